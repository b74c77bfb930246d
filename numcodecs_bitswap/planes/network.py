"""The network and its inputs (FORMAT.md 9.4)."""

import numpy as np

from ..runtime.jit import address_of, merged, part
from ..runtime.vectors import WIDE
from .layers import layer_add, layer_begin, layer_grow, layer_relu, layer_set
from .rows import (
    insert_row,
    log_row,
    relative_row,
    squash_rows,
    subtract_rows,
    sum_sizes,
    unit_row,
    weighed_row,
)
from .tables import AROUND, FAR, LEAST_SCALE, MARGIN_U, MARGIN_Y, NEAR, OUTPUTS

MU, MY = MARGIN_U, MARGIN_Y
ZERO, ONE = np.int32(0), np.int32(1)
F0, F1, HALF, SIXTEENTH = (np.float32(v) for v in (0, 1, 0.5, 0.0625))
NEAR_AT, FAR_AT, AROUND_AT, MOVES = 0, len(NEAR), len(NEAR) + len(FAR), len(NEAR) + len(FAR) + len(AROUND)
"""Where the moves to neighbours are among all of them."""


@part
def lay_moves(G, near, far, around, moves):
    """Compute the distances in bytes from a pixel to its neighbours in a skewed plane."""
    for k in range(MOVES):
        y, u = near[k] if k < FAR_AT else far[k - FAR_AT] if k < AROUND_AT else around[k - AROUND_AT]
        moves[k] = u * G.strides[1] + y * G.strides[2]


@part
def lay_inputs(G, X, T, factors, near_rows, moves, puts, count, spots):
    """Locate the rows of inputs and their factors: spots[k] is a row's address (in G, that of its first cell), whether
    it lies in G, and the address of its factors. `puts` maps rows to inputs, see `model._puts`. The end of `moves` is
    the distance in bytes of the nearest pixels' regressors from the first one.
    """
    for k in range(count):
        kind, a, by, place, f = puts[k, 0], puts[k, 1], puts[k, 2], puts[k, 3], puts[k, 4]
        spots[k, 1] = 0
        if kind <= 0:
            spots[k, 0] = address_of(X, a, 0)
        elif kind == 1:
            spots[k, 0] = address_of(T, a, 0)
        else:
            spots[k, 0], spots[k, 1] = address_of(G, a, 0) + by * G.strides[1] + place * G.strides[2], 1
        spots[k, 2] = address_of(factors, 2 * f if kind <= 0 else 2 * f + 1, 0)
    for j in range(4):
        moves[MOVES + j] = near_rows[j] * X.strides[0]


@merged
def near_sizes(G, a, u, ya, n8, moves, out):
    """Sum of the magnitudes of errors G[a] near each pixel of a wavefront. The first two count twice."""
    middle, least = address_of(G, a, u + MU) + 4 * (MY + ya), np.int32(8 * LEAST_SCALE)
    sum_sizes(out, middle, address_of(moves, 0, NEAR_AT), 2, FAR_AT - NEAR_AT - 2, least, n8 // 8)


@merged
def units(factors, q, f, n8):
    """The factors that scale inputs to units of a local scale q, and a sixteenth of them."""
    unit_row(address_of(factors, 2 * f, 0), q, q, np.int32(4), n8 // 8)
    for i in range(n8):
        factors[2 * f + 1, i] = factors[2 * f, i] * SIXTEENTH


@merged
def insert(words, k, row, n8):
    """Insert input k of the network, with offset 128, into its words."""
    insert_row(address_of(words, k // 4, 0), row, row, np.int32(8 * (k % 4)), n8 // 8)


@merged
def inputs(
    G, R, V, u, ya, n8, X, spots, logs, steps, base, pred, mags, blend, q, top, level, moves, T, factors,
    words,
):  # fmt: skip
    """Compute the inputs of the network, uint8 with offset 128, four in a word: words[k // 4, i]. `logs` gives the
    positions of logarithms.

    mags[v] are the magnitudes of the predictors, mags[V] that of the blend; the rest of `mags` is filled here.
    """
    shift = (u + MU) * G.strides[1] + (MY + ya) * G.strides[2]
    at_q = address_of(q, 0, 0)
    units(factors, at_q, 0, n8)
    for v in range(V):
        subtract_rows(address_of(T, v, 0), address_of(pred, v, 0), address_of(blend, 0, 0), ZERO, n8 // 8)
    for i in range(n8):
        T[V, i] = blend[i] - 16 * base[i]
        T[V + 1, i] = blend[i]
        T[V + 2, i] = top - blend[i]
    # Activity further away, and how much the nearest pixels differ.
    here, least = address_of(G, 1 + R + V, 0) + shift, np.int32(8 * LEAST_SCALE)
    sum_sizes(address_of(mags, V + 1, 0), here, address_of(moves, 0, FAR_AT), 0, AROUND_AT - FAR_AT, least, n8 // 8)
    texture = address_of(mags, V + 2, 0)
    sum_sizes(texture, address_of(X, 0, 0), address_of(moves, 0, MOVES), 0, 4, ONE, n8 // 8)
    for i in range(n8):
        mags[V + 2, i] <<= 5
    for s in range(R):
        mag, f = address_of(mags, V + 3 + s, 0), address_of(factors, 2 + 2 * s, 0)
        here = address_of(G, 2 + R + V + s, 0) + shift
        sum_sizes(mag, here, address_of(moves, 0, AROUND_AT), 0, MOVES - AROUND_AT, ZERO, n8 // 8)
        weighed_row(mag, mag, mag, np.int32(LEAST_SCALE), n8 // 8)
        log_row(f, mag, mag, ZERO, n8 // 8)
        units(factors, f, 1 + s, n8)
    for step in range(steps):
        k = 4 * step
        rows = (
            spots[k, 0] + spots[k, 1] * shift, spots[k + 1, 0] + spots[k + 1, 1] * shift,
            spots[k + 2, 0] + spots[k + 2, 1] * shift, spots[k + 3, 0] + spots[k + 3, 1] * shift,
        )  # fmt: skip
        own = spots[k, 2], spots[k + 1, 2], spots[k + 2, 2], spots[k + 3, 2]
        squash_rows(address_of(words, step, 0), rows, own, n8 // 8)
    # Logarithms of magnitudes, against the local scale.
    at, out, fit = logs[0], address_of(T, 0, 0), address_of(T, 1, 0)
    for v in range(V + 2 + R):
        relative_row(out, address_of(mags, v if v < V else v + 1, 0), at_q, np.int32(4 if v <= V else 2), n8 // 8)
        insert(words, at + v if v < V + 2 else logs[v - V - 1], out, n8)
    for i in range(n8):
        T[0, i] = min(max(2 * (q[i] - 48), -127), 127) + 128
        T[1, i] = np.int32(np.float32(base[i]) * level)
    insert(words, at + V + 2, out, n8)
    insert(words, at + V + 3, fit, n8)


@merged
def blend_predictions(mags, pred, n8, blend, top, num, den):
    """Predictions weighted by the inverse square of their errors nearby."""
    V = pred.shape[0]
    for i in range(n8):
        num[i] = F0
        den[i] = F0
    for v in range(V):
        for i in range(n8):
            f = np.float32(mags[v, i])
            g = F1 / (f * f)
            num[i] += g * np.float32(pred[v, i] - pred[0, i])
            den[i] += g
    for i in range(n8):
        value = np.int32(np.floor(num[i] / den[i] + HALF)) + pred[0, i]
        blend[i] = min(max(value, 0), top)


@merged
def begins(blob, net, at, o, steps):
    """Addresses of a layer's weights, biases and shifts for outputs from o on; net[at] is the layer's position."""
    weights, biases, shifts = net[at] + o * steps, net[at + 1] + o, net[at + 2] + o
    return address_of(blob, 0, weights), address_of(blob, 0, biases), address_of(blob, 0, shifts)


@merged
def networks(net, blob, head, x, width, blocks, n_y, first, end, state, h, v, y):
    """The network of FORMAT.md 9.4: y[o, i] from packed inputs x, i = first .. end - 1 and those that fill the last
    WIDE pixels. `net` says where its layers are in the blob; `head` has the weights of the last one, words [output,
    step], and the last rows of h what only that one takes.
    """
    steps, inner, pitch, at = net[0], width // 4, x.strides[0], np.int64(1)
    for o in range(0, width, OUTPUTS):
        w, b, f = begins(blob, net, at, o, steps)
        for i in range(first, end, WIDE):
            layer_begin(address_of(x, 0, i), pitch, w, steps, b, f, address_of(h, o // 4, i), address_of(state, o, i))
    for _ in range(blocks):
        at += 3
        for o in range(0, width, OUTPUTS):
            w, b, f = begins(blob, net, at, o, inner)
            for i in range(first, end, WIDE):
                layer_relu(address_of(h, 0, i), pitch, w, inner, b, f, address_of(v, o // 4, i), 0)
        at += 3
        for o in range(0, width, OUTPUTS):
            w, b, f = begins(blob, net, at, o, inner)
            for i in range(first, end, WIDE):
                to, own = address_of(h, o // 4, i), address_of(state, o, i)
                layer_grow(address_of(v, 0, i), pitch, w, inner, b, f, to, own)
    at += 3
    for o in range(0, n_y, OUTPUTS):
        _, b, f = begins(blob, net, at, o, inner)
        w, all_inner = address_of(head, o, 0), head.shape[1]
        for i in range(first, end, WIDE):
            layer_set(address_of(h, 0, i), pitch, w, all_inner, b, f, address_of(y, o, i), 0)
    at += 3
    for o in range(0, n_y * 2 // 3, OUTPUTS):
        w, b, f = begins(blob, net, at, o, steps)
        for i in range(first, end, WIDE):
            layer_add(address_of(x, 0, i), pitch, w, steps, b, f, address_of(y, o, i), 0)


@merged
def span(lo, hi):
    """The first pixel of the vectors of eight that hold pixels lo .. hi - 1, and the number of vectors."""
    # From 0 on, where rows are aligned, unless that takes one vector more.
    first = lo if (hi - lo + 7) // 8 < (hi + 7) // 8 else 0
    return first, (hi - first + 7) // 8

"""What the network sees of a pixel, and the network (FORMAT.md 9.4)."""

import numpy as np

from ..runtime.jit import address_of, part
from .products import (
    LANES,
    absolute32,
    add32,
    add_sizes,
    layer_add,
    layer_begin,
    layer_grow,
    layer_rectify,
    layer_set,
    log_row,
    relative_row,
    squash_row,
    times32,
    unit_row,
    weighed_row,
    word32,
)
from .tables import LEAST_SCALE, MARGIN_U, MARGIN_Y, OUTPUTS

MU, MY = MARGIN_U, MARGIN_Y
ZERO = np.int32(0)
F0, F1, HALF, SIXTEENTH = (np.float32(v) for v in (0, 1, 0.5, 0.0625))


@part
def magnitudes(S, u, ya, n8, around, begin, out):
    """out[i] = begin + sum of the errors around, each with its weight, in 1/32 level."""
    r, c = u + MU, MY + ya
    for i in range(n8):
        out[i] = begin
    for k in range(around.shape[0]):
        row = address_of(S, r + around[k, 1], c + around[k, 0])
        add_sizes(address_of(out, 0, 0), row, row, np.int32(around[k, 2]), n8 // 8)


@part
def inputs(
    G, R, V, u, ya, n8, X, near_rows, puts, count, base, pred, mags, blend, q, top, level, far, around, F, T, factors
):
    """Inputs of the network, uint8 with offset 128, F[k, i]. `puts` says which row goes where: see `model._puts`.

    mags[v] are those of the predictors, mags[V] that of the blend; what follows in `mags` is filled here.
    """
    r, c = u + MU, MY + ya
    at_q = address_of(q, 0, 0)
    unit_row(address_of(factors, 0, 0), at_q, at_q, np.int32(4), n8 // 8)
    for v in range(V):
        p, t = pred[v], T[v]
        for i in range(n8):
            t[i] = p[i] - blend[i]
    for i in range(n8):
        T[V, i] = blend[i] - 16 * base[i]
        T[V + 1, i] = blend[i]
        T[V + 2, i] = top - blend[i]
    # Activity further away, and how much the nearest pixels differ.
    magnitudes(G[1 + R + V], u, ya, n8, far, np.int32(8 * LEAST_SCALE), mags[V + 1])
    texture = mags[V + 2]
    for i in range(n8):
        texture[i] = 4
    for j in range(4):
        x = X[near_rows[j]]
        for i in range(n8):
            texture[i] = add32(texture[i], times32(np.int32(4), absolute32(x[i])))
    for i in range(n8):
        texture[i] = 8 * texture[i]
    for s in range(R):
        magnitudes(G[2 + R + V + s], u, ya, n8, around, ZERO, mags[V + 3 + s])
        mag, f = address_of(mags, V + 3 + s, 0), address_of(factors, 1 + s, 0)
        weighed_row(mag, mag, mag, np.int32(LEAST_SCALE), n8 // 8)
        log_row(f, mag, mag, ZERO, n8 // 8)
        unit_row(f, f, f, np.int32(4), n8 // 8)
    for t in range(count):
        k, kind, a, by, place, f = puts[t, 0], puts[t, 1], puts[t, 2], puts[t, 3], puts[t, 4], puts[t, 5]
        if kind == 0:
            squash_row(address_of(F, k, 0), address_of(X, a, 0), address_of(factors, f, 0), F1, n8 // 8)
        elif kind == 1:
            squash_row(address_of(F, k, 0), address_of(T, a, 0), address_of(factors, f, 0), SIXTEENTH, n8 // 8)
        else:
            row = address_of(G, a, r + by) + 4 * (c + place)
            squash_row(address_of(F, k, 0), row, address_of(factors, f, 0), SIXTEENTH, n8 // 8)
    # Logarithms of magnitudes, against the local scale.
    at = puts[count, 0]
    for v in range(V + 2 + R):
        row = address_of(mags, v if v < V else v + 1, 0)
        out = address_of(F, at + v if v < V + 2 else puts[count, v - V - 1], 0)
        relative_row(out, row, at_q, np.int32(4 if v <= V else 2), n8 // 8)
    out, fit = F[at + V + 2], F[at + V + 3]
    for i in range(n8):
        out[i] = min(max(2 * (q[i] - 48), -127), 127) + 128
        fit[i] = np.int32(np.float32(base[i]) * level)


@part
def blend_predictions(mags, pred, n8, blend, top, num, den):
    """Predictions weighted by the inverse square of their errors nearby."""
    V = pred.shape[0]
    p0 = pred[0]
    for i in range(n8):
        num[i] = F0
        den[i] = F0
    for v in range(V):
        m, p = mags[v], pred[v]
        for i in range(n8):
            f = np.float32(m[i])
            g = F1 / (f * f)
            num[i] += g * np.float32(p[i] - p0[i])
            den[i] += g
    for i in range(n8):
        value = np.int32(np.floor(num[i] / den[i] + HALF)) + p0[i]
        blend[i] = min(max(value, 0), top)


@part
def pack(F, count, n, words):
    """Rows of uint8 in int32 to words of four rows."""
    for k in range(count):
        out = words[k]
        a, b, c, d = F[4 * k], F[4 * k + 1], F[4 * k + 2], F[4 * k + 3]
        for i in range(n):
            out[i] = word32(a[i], b[i], c[i], d[i])


@part
def begins(blob, net, at, o, steps):
    """Where weights, biases and shifts of a layer lie, of its outputs from o on; net[at] says where they begin."""
    weights, biases, shifts = net[at] + o * steps, net[at + 1] + o, net[at + 2] + o
    return address_of(blob, 0, weights), address_of(blob, 0, biases), address_of(blob, 0, shifts)


@part
def network(net, blob, x, width, blocks, n_y, n, state, h, v, y):
    """The network of FORMAT.md 9.4: y[o, i] from packed inputs x. `net` says where its layers are in the blob."""
    steps, inner, pitch, at = net[0], width // 4, x.strides[0], np.int64(1)
    for o in range(0, width, OUTPUTS):
        w, b, f = begins(blob, net, at, o, steps)
        for i in range(0, n, LANES):
            layer_begin(address_of(x, 0, i), pitch, w, steps, b, f, address_of(h, o // 4, i), address_of(state, o, i))
    for _ in range(blocks):
        at += 3
        for o in range(0, width, OUTPUTS):
            w, b, f = begins(blob, net, at, o, inner)
            for i in range(0, n, LANES):
                layer_rectify(address_of(h, 0, i), pitch, w, inner, b, f, address_of(v, o // 4, i), 0)
        at += 3
        for o in range(0, width, OUTPUTS):
            w, b, f = begins(blob, net, at, o, inner)
            for i in range(0, n, LANES):
                to, own = address_of(h, o // 4, i), address_of(state, o, i)
                layer_grow(address_of(v, 0, i), pitch, w, inner, b, f, to, own)
    at += 3
    for o in range(0, n_y, OUTPUTS):
        w, b, f = begins(blob, net, at, o, inner)
        for i in range(0, n, LANES):
            layer_set(address_of(h, 0, i), pitch, w, inner, b, f, address_of(y, o, i), 0)
    at += 3
    for o in range(0, n_y * 2 // 3, OUTPUTS):
        w, b, f = begins(blob, net, at, o, steps)
        for i in range(0, n, LANES):
            layer_add(address_of(x, 0, i), pitch, w, steps, b, f, address_of(y, o, i), 0)

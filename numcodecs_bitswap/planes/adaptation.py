"""The network's last layer learns from the pixels that are known (FORMAT.md 9.6)."""

import numpy as np

from ..jit import address_of, part
from .logistics import gradient_rows
from .mixtures import SIGMOIDS
from .products import correlate, note_pairs, square_sums
from .tables import (
    CONTEXT_FIRST,
    CONTEXT_INPUT,
    CONTEXTS,
    GRADIENT,
    HEAD_KEEP,
    HEAD_LIMIT,
    HEAD_PRIOR,
    HEAD_RATES,
)

F0, F1, HALF = np.float32(0), np.float32(1), np.float32(0.5)
KEEP, PRIOR, LIMIT = np.float32(HEAD_KEEP), np.float32(HEAD_PRIOR), np.float32(HEAD_LIMIT)
MEAN_RATE, RATE = np.float32(HEAD_RATES[0]), np.float32(HEAD_RATES[1])
MOST = np.float32(GRADIENT)


@part
def begin_head(net, blob, at, width, head, words, moments, rates, K):
    """The last layer as it was trained: head[j, k] in float32, words[j, k // 4] of int8; nothing is known of slopes.
    net[at] says where the layer is in the blob.
    """
    inner = width // 4
    head[:] = F0
    words[:] = 0
    moments[:] = F0
    for j in range(3 * K):
        for k in range(inner):
            word = blob[net[at] + j * inner + k]
            words[j, k] = word
            for b in range(4):
                head[j, 4 * k + b] = np.float32(((word >> 8 * b & 255) ^ 128) - 128)
        rates[j] = (MEAN_RATE if j < K else RATE) * np.float32(np.int64(1) << np.int64(blob[net[at + 2] + j]))


@part
def set_contexts(q, n8, words):
    """Inputs of the last layer for the classes of local scales, four in a word."""
    for i in range(n8):
        c = min(max((q[i] - CONTEXT_FIRST) >> 2, 0), CONTEXTS - 1)
        for k in range(CONTEXTS // 4):
            words[k, i] = CONTEXT_INPUT << 8 * (c & 3) if k == c >> 2 else 0


@part
def learn_head(
    values, centre, m, q, K, weight, mean, slope, width, state, lo, hi, n8, rows, mask, pairs, sums, squares, head,
    words, moments, rates,
):  # fmt: skip
    """A step of the last layer, once the values of a wavefront are known.

    rows : the layer's inputs, then gradients, [input or output, pixel]; pairs[pixel // 2]: two of each in a word.
    sums[output, input], squares : of products. moments : of inputs, of outputs, the number of pixels.
    """
    inputs, outputs = width + CONTEXTS, sums.shape[0]
    for k in range(width):
        row, out = state[k], rows[k]
        for i in range(n8):
            out[i] = max(row[i], 0)
    for k in range(width, inputs):
        out = rows[k]
        for i in range(n8):
            out[i] = CONTEXT_INPUT if k - width == min(max((q[i] - CONTEXT_FIRST) >> 2, 0), CONTEXTS - 1) else 0
    gradient_rows(
        address_of(rows, inputs, 0), rows.strides[0], address_of(values, 0, 0), address_of(centre, 0, 0), m,
        address_of(q, 0, 0), K, address_of(weight, 0, 0), address_of(mean, 0, 0), address_of(slope, 0, 0),
        address_of(SIGMOIDS, 0, 0), n8 // 8,
    )  # fmt: skip
    for i in range(n8):
        mask[i] = F1 if lo <= i and i < hi else F0
    for i in range(0, n8, 8):
        for j in range(0, inputs + outputs, 8):
            note_pairs(
                address_of(pairs, i // 2, j), pairs.strides[0], address_of(rows, j, i), rows.strides[0],
                address_of(mask, 0, i), MOST,
            )  # fmt: skip
    for j in range(0, outputs, 8):
        for k in range(0, inputs, 8):
            correlate(
                address_of(sums, j, k), sums.strides[0], address_of(pairs, 0, inputs + j), address_of(pairs, 0, k),
                pairs.strides[0], n8 // 2,
            )  # fmt: skip
    square_sums(
        address_of(squares, 0, 0), address_of(pairs, 0, 0), pairs.strides[0], n8 // 2, (inputs + outputs) // 8
    )
    count = inputs + outputs
    moments[count] = moments[count] * KEEP + np.float32(hi - lo)
    for k in range(count):
        moments[k] = moments[k] * KEEP + np.float32(squares[k])
    shares = mask  # the mean square of each input
    for k in range(inputs):
        shares[k] = moments[k] / moments[count]
    for j in range(3 * K):
        v, rate, h, s = moments[inputs + j], rates[j], head[j], sums[j]
        for k in range(inputs):
            step = np.float32(s[k]) * rate / (v * shares[k] + PRIOR)
            h[k] = min(max(h[k] - step, -LIMIT), LIMIT)
        for k in range(inputs // 4):
            word = np.int32(0)
            for b in range(4):
                word |= (np.int32(np.floor(h[4 * k + b] + HALF)) & 255) << 8 * b
            words[j, k] = word

"""Backward-adaptive least squares: statistics of blocks, weights, predictions (FORMAT.md 9.3)."""

import numpy as np

from ..runtime.jit import address_of, merged, scratch
from ..runtime.vectors import WIDE
from .elimination import (
    add_product,
    add_products,
    divide,
    invert,
    less_product,
    less_products,
    round_weights,
    subtract_products,
    window_sums,
)
from .pairs import correlate, correlate_wide, decay_and_add, weigh
from .tables import BLOCK, OTHER, OWN, REFERENCES, WEIGHT_BITS, WEIGHT_CLIP

BL = BLOCK
F0, F1 = np.float32(0), np.float32(1)
SCALE, HIGHEST = np.float64(1 << WEIGHT_BITS), np.float64(WEIGHT_CLIP)
MOST = len(OWN) + REFERENCES * len(OTHER) + 1
"""Numbers of a solution, rounded up to an even number."""
ROOM = 4 * (4 * MOST + 8)
"""Words for three vectors of each and a row of C, with what is written behind its end."""
PAD = 8
"""Blocks of zeros before and behind those of a plane: as far as a window reaches."""


@merged
def learn(XP, b, words, n, sizes, lams, A, S):
    """Add the products of block b to the statistics of every predictor. XP: pairs of regressors, the target last."""
    first, row, pitch, count = address_of(XP, BL * b, 0), A.strides[0], XP.strides[1], np.int64(BL * (BL // 2))
    for i in range(0, words, 8):
        end = words - (words - i) % WIDE
        for j in range(i, end, WIDE):
            correlate_wide(address_of(A, i, j), row, first + 4 * i, first + 4 * j, pitch, count)
        if end < words:
            correlate(address_of(A, i, end), row, first + 4 * i, first + 4 * end, pitch, count)
    for v in range(len(sizes)):
        m, lam, at = sizes[v], lams[v], address_of(S, v, b + PAD)
        for j in range(m):
            k = j // 8
            last = S[v, b + PAD, j, m] * lam + np.float32(A[j, n])
            decay_and_add(at + j * S.strides[2] + 32 * k, address_of(A, j, 8 * k), lam, m // 8 + 1 - k)
            S[v, b + PAD, j, m] = last


@merged
def solve(S, v, b, count, m, lam, reach, ridge, target, C, lanes, weights):
    """Weights of predictor v in `count` <= 8 blocks from b on, rounded to integers, from the blocks around each.

    Windowed sums and ridge, then elimination, row by row; every operation is rounded once, in this order. A vector
    holds eight blocks: C[j, k] are the eight numbers C_jk. `lanes` : vectors for intermediate results.
    """
    powers, factor = address_of(lanes, 0, 0), address_of(lanes, 2, 0)
    own_memory = scratch(ROOM)
    inverses = address_of(own_memory, 0, 0)
    factors, spare = inverses + 32 * MOST, inverses + 96 * MOST
    row, cell = C.strides[0], C.strides[1]
    first, sums = address_of(C, 0, 0), address_of(S, v, b + PAD)
    power = F1
    for d in range(reach + 1):
        lanes[d // 8, d % 8] = power
        power *= lam
    for j in range(m):
        for k in range(j // 8 * 8, m + 1, 8):
            window_sums(first + j * row + k * cell, sums + j * S.strides[2] + 4 * k, S.strides[1], powers, reach)
        pull = ridge * target[j]
        for lane in range(8):
            C[j, j, lane] += ridge
            C[j, m, lane] += pull
    # Two rows at a time: each element sees the same operations in the same order as with one column at a time. What is
    # left of the diagonal is of no use, and neither is a spare row behind the last.
    for i in range(0, m, 2):
        own, inverse = first + i * row, inverses + 32 * i
        following = own + row if i + 1 < m else spare
        less_products(factors, first + i * cell, row, inverses, i)
        for k in range(i // 4 * 4, m + 1, 4):
            add_products(own + k * cell, following + k * cell, first + k * cell, row, factors, i)
        invert(inverse, own + i * cell, ridge)
        less_product(factor, own + (i + 1) * cell, inverse)
        add_product(following + (i + 1) * cell, own + (i + 1) * cell, factor, m - i)
        invert(inverse + 32, following + (i + 1) * cell, ridge)
    for i in range(m - 1, -1, -1):
        divide(factor, first + i * row + m * cell, first + i * row + i * cell, ridge)
        round_weights(address_of(weights, v, b) + 8 * i, weights.strides[1], factor, SCALE, HIGHEST, count)
        subtract_products(first + m * cell, first + i * cell, row, factor, i)


@merged
def predict(X, base, weights, size, b0, n8, top, pred):
    """pred[v, i], in 1/32 level: integer weights times regressors, exact in double, rounded."""
    for v in range(weights.shape[0]):
        for at in range(0, n8, BL):
            weigh(
                address_of(pred, v, at), address_of(X, 0, at), X.strides[0], address_of(weights, v, b0 + at // BL),
                size[v], address_of(base, 0, at), top,
            )  # fmt: skip

"""Least squares that adapt backward: statistics of blocks, weights, predictions (FORMAT.md 9.3)."""

import numpy as np

from ..runtime.jit import address_of, part
from .elimination import (
    add_products,
    add_two_products,
    divide,
    invert,
    less_product,
    subtract_product,
    window_sums,
)
from .products import correlate, decay_and_add, weigh
from .tables import BLOCK, WEIGHT_BITS, WEIGHT_CLIP

BL = BLOCK
F0, F1 = np.float32(0), np.float32(1)
TO_32 = 16.0 / (1 << WEIGHT_BITS)
SCALE, MOST = np.float64(1 << WEIGHT_BITS), np.float64(WEIGHT_CLIP)
PAD = 8
"""Blocks of zeros before and behind those of a plane: as far as a window reaches."""


@part
def learn(XP, b, words, n, sizes, lams, A, S):
    """Add block b's products to the statistics of every predictor. XP: pairs of regressors, the target last."""
    for i in range(0, words, 8):
        for j in range(i, words, 8):
            correlate(
                address_of(A, i, j), A.strides[0], address_of(XP, BL * b, 0) + 4 * i, address_of(XP, BL * b, 0) + 4 * j,
                XP.strides[1], BL * (BL // 2),
            )  # fmt: skip
    for v in range(len(sizes)):
        m, lam, at = sizes[v], lams[v], address_of(S, v, b + PAD)
        for j in range(m):
            k = j // 8
            last = S[v, b + PAD, j, m] * lam + np.float32(A[j, n])
            decay_and_add(at + j * S.strides[2] + 32 * k, address_of(A, j, 8 * k), lam, m // 8 + 1 - k)
            S[v, b + PAD, j, m] = last


@part
def solve(S, v, b, count, m, lam, reach, ridge, target, C, lanes, weights):
    """Weights of predictor v in `count` <= 8 blocks from b on, rounded to integers, from the blocks around each.

    Windowed sums and ridge, then elimination, column by column; every operation is rounded once, in this order. Blocks
    lie side by side in vectors: C[j, k] are the eight numbers C_jk, lanes[0 .. 4] vectors for what is done next.
    """
    powers, inverse, other = address_of(lanes, 0, 0), address_of(lanes, 2, 0), address_of(lanes, 3, 0)
    factor, factor2 = address_of(lanes, 4, 0), address_of(lanes, 5, 0)
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
    # Two columns at a time: each element sees the same operations in the same order as with one.
    for j in range(0, m - 1, 2):
        own, next_own = first + j * row, first + (j + 1) * row
        invert(inverse, own + j * cell, ridge)
        less_product(factor, own + (j + 1) * cell, inverse)
        add_products(next_own + (j + 1) * cell, own + (j + 1) * cell, factor, m - j)
        invert(other, next_own + (j + 1) * cell, ridge)
        for i in range(j + 2, m):
            less_product(factor, own + i * cell, inverse)
            less_product(factor2, next_own + i * cell, other)
            add_two_products(
                first + i * row + i * cell, own + i * cell, factor, next_own + i * cell, factor2, m + 1 - i
            )
    for i in range(m - 1, -1, -1):
        last = first + i * row
        divide(factor, last + m * cell, last + i * cell, ridge)
        for lane in range(count):
            rounded = np.floor(np.float64(lanes[4, lane]) * SCALE + 0.5)
            weights[v, b + lane, i] = MOST if rounded >= MOST else rounded if rounded > -MOST else -MOST
        for j in range(i):
            subtract_product(first + j * row + m * cell, first + j * row + i * cell, factor)


@part
def predict(X, base, weights, size, b0, n8, top, pred, acc):
    """pred[v, i], in 1/32 level: integer weights times regressors, exact in double, rounded."""
    for v in range(weights.shape[0]):
        out = pred[v]
        for k in range(n8 // BL):
            at = k * BL
            weigh(address_of(acc, 0, 0), address_of(X, 0, at), X.strides[0], address_of(weights, v, b0 + k), size[v])
            for i in range(BL):
                p = np.floor(acc[i] * TO_32 + 0.5) + 16.0 * np.float64(base[at + i])
                out[at + i] = np.int32(min(max(p, 0.0), top))

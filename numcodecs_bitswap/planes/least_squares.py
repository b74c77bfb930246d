"""Least squares that adapt backward: statistics of blocks, weights, predictions (FORMAT.md 9.3)."""

import numpy as np

from ..jit import address_of, part
from .products import add_scaled, add_two_scaled, correlate, decay_and_add, weigh
from .tables import BLOCK, WEIGHT_BITS, WEIGHT_CLIP

BL = BLOCK
F0, F1 = np.float32(0), np.float32(1)
TO_32 = 16.0 / (1 << WEIGHT_BITS)


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
        m, lam, at = sizes[v], lams[v], address_of(S, v, b)
        for j in range(m):
            k = j // 8
            last = S[v, b, j, m] * lam + np.float32(A[j, n])
            decay_and_add(at + j * S.strides[2] + 32 * k, address_of(A, j, 8 * k), lam, m // 8 + 1 - k)
            S[v, b, j, m] = last


@part
def solve(S, v, b, blocks, m, lam, reach, ridge, target, C, w):
    """Weights of predictor v in block b, rounded to integers, from the statistics of the blocks around it.

    Windowed sums and ridge, then elimination, column by column; every operation is rounded once, in this order.
    """
    C[:m] = F0
    for dv in range(-reach, reach + 1):
        if 0 <= b + dv < blocks:
            f = F1
            for _ in range(abs(dv)):
                f *= lam
            for j in range(m):
                k = j // 8
                add_scaled(address_of(C, j, 8 * k), address_of(S, b + dv, j) + 32 * k, f, m // 8 + 1 - k)
    for j in range(m):
        C[j, j] += ridge
        C[j, m] += ridge * target[j]
    # Two columns at a time: each element sees the same operations in the same order as with one.
    for j in range(0, m - 1, 2):
        first = F1 / max(C[j, j], ridge)  # not below it but for rounding
        add_scaled(
            address_of(C, j + 1, j // 8 * 8), address_of(C, j, j // 8 * 8), -(C[j, j + 1] * first), m // 8 + 1 - j // 8
        )
        second = F1 / max(C[j + 1, j + 1], ridge)
        for i in range(j + 2, m):
            k = i // 8
            add_two_scaled(
                address_of(C, i, 8 * k), address_of(C, j, 8 * k), -(C[j, i] * first),
                address_of(C, j + 1, 8 * k), -(C[j + 1, i] * second), m // 8 + 1 - k,
            )  # fmt: skip
    scale = np.float64(1 << WEIGHT_BITS)
    most = np.float64(WEIGHT_CLIP)
    for i in range(m - 1, -1, -1):
        value = C[i, m] / max(C[i, i], ridge)
        rounded = np.floor(np.float64(value) * scale + 0.5)
        w[i] = most if rounded >= most else rounded if rounded > -most else -most
        for j in range(i):
            C[j, m] -= C[j, i] * value


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

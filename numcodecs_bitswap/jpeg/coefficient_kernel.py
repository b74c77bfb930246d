"""Quantised coefficients of a JPEG's components, block by block, as binary decisions under a network
(FORMAT.md 11). All in integers. Encoder and decoder are one function.

Components are coded one after the other, their blocks row by row. For a block: the number of its coefficients that are
not zero, the DC coefficient, then the others in zigzag order until all that are not zero are known.
"""

import numpy as np

from ..rans.arithmetic_coder import EVEN, begin, decide, end, overrun
from ..runtime.jit import compiled, part
from .coefficient_tables import (
    BANDS,
    CENTRED,
    CLASSES,
    COUNT,
    FEATURES,
    GAIN_BITS,
    INNOVATION,
    INPUTS,
    LARGEST_LOG,
    LARGEST_SQUARES,
    ROWS,
    UNIT,
    WEIGHT_BITS,
)
from .network import evaluate, places

ENCODE, DECODE, OBSERVE = 0, 1, 2
ZERO, AGREES, HAZARDS, MANTISSA = 0, 1, 2, 2 + 2 * CLASSES
"""Outputs of the network: whether the number is zero; whether it has the likelier sign; for each class of magnitudes
whether it is in that one (a set for the likelier sign, a set for the other); the second highest bit.
"""
MOST_BITS = 18
"""Most bits of a number's magnitude."""


@part
def magnitude(value):
    """|value|."""
    a = np.int64(value)
    return -a if a < 0 else a


@part
def log8(value, log):
    """8 log2(1 + value), the network's view of a magnitude."""
    return log[min(value, LARGEST_LOG)]


@part
def shared(shares, other, band, innovation):
    """The contribution of the innovation of another component, 0 or 1, to a prediction."""
    gain = (shares[other, band, 0] << GAIN_BITS) // shares[other, band, 1]
    return (min(max(gain, -1024), 1024) * innovation) >> GAIN_BITS


@part
def learn(shares, other, band, innovation, others):
    """Add an innovation and that of another component, 0 or 1, to the sums of products and squares."""
    shares[other, band, 0] += innovation * others
    shares[other, band, 1] += np.int64(others) * others
    if shares[other, band, 1] >> LARGEST_SQUARES:
        shares[other, band, 0] >>= 1
        shares[other, band, 1] >>= 1


@part
def finish(block, sizes, near, sums, log):
    """Store logarithms for later blocks: of the magnitude of each frequency, and of the sum around it without DC."""
    for v in range(8):
        for u in range(8):
            sizes[8 * v + u] = log8(8 * magnitude(block[8 * v + u]), log)
            total = np.int64(0)
            for a in range(max(u - 1, 0), min(u + 1, 7) + 1):
                if a + v > 0:
                    total += magnitude(block[8 * v + a])
            sums[v, u] = total
    for v in range(8):
        for u in range(8):
            total = sums[v, u]
            if v > 0:
                total += sums[v - 1, u]
            if v < 7:
                total += sums[v + 1, u]
            near[8 * v + u] = log8(2 * total, log)


@part
def chance(y, sigmoid):
    """The probability for an output of the network."""
    return sigmoid[min(max(UNIT * np.int64(y), -4096), 4095) + 4096]


@part
def number(decode, value, may_be_zero, y, sigmoid, state, data):
    """Code a number, whose sign is relative to the likelier one."""
    if may_be_zero and decide(decode, np.int64(value == 0), chance(y[ZERO], sigmoid), state, data) == 1:
        return np.int64(0)
    agrees = decide(decode, np.int64(value > 0), chance(y[AGREES], sigmoid), state, data)
    size = magnitude(value)
    bits = 1
    at = HAZARDS if agrees == 1 else HAZARDS + CLASSES
    while bits < MOST_BITS:
        p = chance(y[at + bits - 1], sigmoid) if bits <= CLASSES else np.int64(EVEN)
        if decide(decode, np.int64(size >> bits == 0), p, state, data) == 1:
            break
        bits += 1
    found = np.int64(1)
    for k in range(bits - 2, -1, -1):
        p = chance(y[MANTISSA + min(bits, 4) - 2], sigmoid) if k == bits - 2 else np.int64(EVEN)
        found = 2 * found + decide(decode, (size >> k) & 1, p, state, data)
    return found if agrees == 1 else -found


def code_coefficients(
    mode, Q, D, E, sizes, near, counts, frame, steps, net, predictions, own, zigzag, log, sigmoid, shares_at_first,
    seen, told, state, data,
):  # fmt: skip
    """Code blocks int16 Q (blocks, 64), filled in place when decoding. Returns the length of the data; -1 if the
    decoder would have needed more, or found a number out of range. When observing, returns the number of rows.

    D, E : int32 (blocks, 64), zeros, filled with coefficients times their steps, and innovations. sizes, near : uint8
    (blocks, 64), zeros, filled by `finish`. counts : int64 (blocks,).
    frame : int64 (components, 7): first block, rows, columns, kind, number of the first component's blocks that lie in
    one of it vertically and horizontally, number of components before it with the same grid.
    steps : int64 (components, 64). predictions : int16 (2, 64, TERMS). own : int64 (64, 14).
    shares_at_first : int64 (KINDS,). seen : int16 (rows, FEATURES + 1), told : int32 (rows, 2).
    """
    decode = mode == DECODE
    x, y, network = np.zeros(INPUTS, np.int16), net[-1], places(net)
    none, nothing, only = np.zeros(64, np.int16), np.zeros(64, np.uint8), np.zeros(64, np.int32)
    sums = np.zeros((8, 8), np.int64)
    means = np.zeros(ROWS, np.int64)
    behind = np.zeros((3, 65), np.int64)  # number of nonzero coefficients of adjacent blocks from a place on
    at = 0
    begin(decode, state, data)
    for c in range(len(frame)):
        first, rows, columns, kind = frame[c, 0], frame[c, 1], frame[c, 2], frame[c, 3]
        down, across, same = frame[c, 4], frame[c, 5], frame[c, 6]
        means[:] = 0
        # The share of the innovations of the two components before: sums of products and of squares.
        shares = np.zeros((2, BANDS, 2), np.int64)
        for k in range(BANDS):
            shares[:, k, 1] = 1 << 12
            shares[0, k, 0] = shares_at_first[kind]
        weights = predictions[1 if kind == 1 or kind == 2 else 0]
        for row in range(rows):
            for column in range(columns):
                b = first + row * columns + column
                block, own_sizes = Q[b], sizes[b]
                has_w, has_n = column > 0, row > 0
                w, n = b - 1 if has_w else b, b - columns if has_n else b
                qw, qn = Q[w] if has_w else none, Q[n] if has_n else none
                size_w, size_n = sizes[w] if has_w else nothing, sizes[n] if has_n else nothing
                size_nw = sizes[n - 1] if has_w and has_n else nothing
                size_ne = sizes[n + 1] if has_n and column + 1 < columns else nothing
                size_ww = sizes[w - 1] if column > 1 else nothing
                size_nn = sizes[n - columns] if row > 1 else nothing
                near_w, near_n = near[w] if has_w else nothing, near[n] if has_n else nothing
                # Without one neighbour, the mean of the other is used.
                only[0] = D[n, 0] if has_n else D[w, 0] if has_w else 0
                dw, dn = D[w] if has_w else only, D[n] if has_n else only
                # The other component's block at the same place, and the blocks after it.
                o = o2 = first
                has_o2, o_count = same > 1, np.int64(0)
                qo = qo_e = qo_s = none
                size_o = size_o2 = near_o = nothing
                if c > 0:
                    luma = frame[0, 0] + down * row * frame[0, 2] + across * column
                    if same > 0:
                        o = frame[c - 1, 0] + row * columns + column
                        qo, o_count = Q[o], counts[o]
                        if column + 1 < columns:
                            qo_e = Q[o + 1]
                        if row + 1 < rows:
                            qo_s = Q[o + columns]
                        if c > 1:
                            o2 = frame[c - 2, 0] + row * columns + column if has_o2 else luma
                            size_o2 = sizes[o2]
                    else:
                        o = luma
                        qo, o_count = Q[o], counts[o]
                        if across > 1:
                            qo_e = Q[o + 1]
                            o_count = (o_count + counts[o + 1]) // 2
                        if down > 1:
                            qo_s = Q[o + frame[0, 2]]
                        if across > 1 and down > 1:
                            size_o2 = sizes[o + frame[0, 2] + 1]
                    size_o, near_o = sizes[o], near[o]
                left = np.int64(0)
                if not decode:
                    for k in range(1, 64):
                        if block[k] != 0:
                            left += 1
                total, sum_before = left, np.int64(0)
                energy_w, energy_n = np.int64(0), np.int64(0)
                for k in range(63, 0, -1):
                    i = zigzag[k]
                    energy_w += magnitude(qw[i])
                    energy_n += magnitude(qn[i])
                    behind[0, k] = behind[0, k + 1] + (qw[i] != 0)
                    behind[1, k] = behind[1, k + 1] + (qn[i] != 0)
                    behind[2, k] = behind[2, k + 1] + (qo[i] != 0)
                for place in range(-1, 64):
                    if place > 0 and left == 0:
                        break
                    i = COUNT if place < 0 else zigzag[place]
                    u, v = i & 7, (i >> 3) & 7
                    x[:] = 0
                    step = np.int64(1)
                    P = np.int64(0)
                    intra = np.int64(0)
                    if place < 0:
                        cw, cn = counts[w] if has_w else 0, counts[n] if has_n else 0
                        known = np.int64(has_w) + np.int64(has_n)
                        P = 8 * (cw + cn) // known if known else np.int64(64)
                        x[0], x[1] = log8(8 * cw, log), log8(8 * cn, log)
                        x[2] = log8(8 * counts[n - 1], log) if has_w and has_n else 0
                        x[3] = log8(8 * counts[n + 1], log) if has_n and column + 1 < columns else 0
                        x[4] = log8(8 * magnitude(cw - cn), log)
                        x[27] = log8(8 * o_count, log)
                        x[28] = log8(8 * counts[o2], log) if has_o2 else 0
                    else:
                        step = steps[c, i]
                        acc = np.int64(0)
                        for k in range(8):
                            acc += np.int64(weights[i, k]) * dw[8 * v + k] + np.int64(weights[i, 8 + k]) * dn[8 * k + u]
                        for k in range(u + v):
                            acc += np.int64(weights[i, 16 + k]) * D[b, own[i, k]]
                        intra = acc >> WEIGHT_BITS
                        if same > 0:
                            intra += shared(shares, 0, u + v, E[o, i])
                            if has_o2:
                                intra += shared(shares, 1, u + v, E[o2, i])
                        intra = min(max(intra, -INNOVATION), INNOVATION)
                        P = (8 * intra) // step
                        if place == 0:
                            x[0] = log8(8 * magnitude(E[w, 0]) // step, log)
                            x[1] = log8(8 * magnitude(E[n, 0]) // step, log)
                            if has_w and has_n:
                                x[2] = log8(8 * magnitude(E[n - 1, 0]) // step, log)
                            if has_n and column + 1 < columns:
                                x[3] = log8(8 * magnitude(E[n + 1, 0]) // step, log)
                            x[4] = log8(8 * magnitude(dw[0] - dn[0]) // step, log)
                        else:
                            x[0], x[1], x[2], x[3] = size_w[i], size_n[i], size_nw[i], size_ne[i]
                            x[4], x[5] = size_ww[i], size_nn[i]
                            if u > 0:
                                x[8] = own_sizes[i - 1]
                            if v > 0:
                                x[9] = own_sizes[i - 8]
                            if u > 0 and v > 0:
                                x[10] = own_sizes[i - 9]
                            if u > 1:
                                x[11] = own_sizes[i - 2]
                            if v > 1:
                                x[12] = own_sizes[i - 16]
                            x[13] = own_sizes[zigzag[place - 1]]
                            if place > 1:
                                x[14] = own_sizes[zigzag[place - 2]]
                            if place > 2:
                                x[15] = own_sizes[zigzag[place - 3]]
                            x[16] = log8(8 * sum_before // place, log)
                            x[17], x[18] = log8(8 * left, log), log8(8 * (64 - place), log)
                            x[19] = 127 * left // (64 - place)
                            for k in range(3):
                                x[41 + k] = log8(8 * behind[k, place], log)
                        x[6], x[7] = near_w[i], near_n[i]
                        x[22] = log8(8 * total, log)
                        x[27], x[28] = size_o[i], size_o2[i]
                        x[29] = log8(8 * o_count, log)
                        x[30] = near_o[i]
                        x[31] = log8(4 * (magnitude(qo_e[i]) + magnitude(qo_s[i])), log)
                        x[25] = log8(step, log)
                    x[20], x[21] = log8(energy_w, log), log8(energy_n, log)
                    x[24] = log8(means[i] >> 5, log)
                    x[26] = log8(steps[c, 0], log)
                    x[32], x[33] = 127 * has_w, 127 * has_n
                    x[39] = 127 if c > 0 and same == 0 else 0
                    # The coded number is the difference to a centre, positive on the prediction's side.
                    centre = (P + 4) >> 3 if place <= 0 or magnitude(P) >= CENTRED else np.int64(0)
                    off = P - 8 * centre
                    side = np.int64(1) if off >= 0 else np.int64(-1)
                    x[23] = log8(magnitude(off), log)
                    x[34] = log8(magnitude(centre), log)
                    if place > 0:
                        x[35] = size_w[i] if qw[i] * side > 0 else -np.int64(size_w[i])
                        x[36] = size_n[i] if qn[i] * side > 0 else -np.int64(size_n[i])
                        x[37] = size_o[i] if qo[i] * side > 0 else -np.int64(size_o[i])
                    if place >= 0 and same > 0:
                        size = log8(8 * magnitude(E[o, i]) // step, log)
                        x[38] = size if E[o, i] * side > 0 else -size
                        if has_o2:
                            size = log8(8 * magnitude(E[o2, i]) // step, log)
                            x[40] = size if E[o2, i] * side > 0 else -size
                    actual = left if place < 0 else np.int64(block[i])
                    may_be_zero = place <= 0 or centre != 0 or left < 64 - place
                    value = side * (actual - centre)
                    if mode == OBSERVE:
                        if at < len(seen):
                            for k in range(FEATURES):
                                seen[at, k] = x[k]
                            seen[at, FEATURES] = ROWS * kind + i
                            told[at, 0], told[at, 1] = value, may_be_zero
                        at += 1
                    else:
                        evaluate(x, ROWS * kind + i, network)
                        value = number(decode, value, may_be_zero, y, sigmoid, state, data)
                    actual = centre + side * value
                    size = magnitude(actual if place != 0 else value)
                    means[i] += (min(size, 4095) << 8) - means[i] >> 4 if means[i] else (min(size, 4095) << 8)
                    if place < 0:
                        if actual < 0 or actual > 63:
                            return -1
                        left = total = actual
                        counts[b] = actual
                        continue
                    if magnitude(actual) > 2047:
                        return -1
                    block[i] = actual
                    own_sizes[i] = log8(8 * magnitude(actual), log)
                    D[b, i] = actual * step
                    innovation = min(max(np.int64(D[b, i]) - intra, -INNOVATION), INNOVATION)
                    E[b, i] = innovation
                    if same > 0:
                        learn(shares, 0, u + v, innovation, E[o, i])
                        if has_o2:
                            learn(shares, 1, u + v, innovation, E[o2, i])
                    if place > 0:
                        sum_before += magnitude(actual)
                        if actual != 0:
                            left -= 1
                finish(block, own_sizes, near[b], sums, log)
                if left != 0 or (decode and overrun(state, data)):
                    return -1
    return at if mode == OBSERVE else end(decode, state, data)


code_coefficients = compiled(code_coefficients)

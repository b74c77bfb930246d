"""Quantised coefficients of a JPEG's components, block by block, as binary decisions under a network
(FORMAT.md 11). All in integers. Encoder and decoder are one function.

Components are coded one after the other, their blocks row by row. For a block: the number of its coefficients that are
not zero, the DC coefficient, then the others in zigzag order until all that are not zero are known.
"""

import numpy as np

from ..rans.arithmetic_coder import EVEN, begin, decide, end, overrun
from ..runtime.jit import compiled, merged, part, scratch
from .coefficient_tables import (
    BANDS,
    BYTES,
    CENTRED,
    CLASSES,
    COUNT,
    EARLY,
    FEATURES,
    GAIN_BITS,
    INNOVATION,
    INPUTS,
    LARGEST_LOG,
    LARGEST_SQUARES,
    NEGATIVE,
    NUMBER_INPUTS,
    ROWS,
    UNIT,
    WEIGHT_BITS,
)
from .network import evaluate, evaluate_late, fix_place, places, predict, prediction_places, share

ENCODE, DECODE, OBSERVE = 0, 1, 2
ZERO, AGREES, HAZARDS, OTHER_HAZARDS, MANTISSA = 0, 1, 2, 4, 6
LATE_HAZARDS, LATE_OTHER_HAZARDS, LATE_MANTISSA = EARLY, EARLY + CLASSES - 2, EARLY + 2 * (CLASSES - 2)
"""Outputs of the network: whether the number is zero; whether it has the likelier sign; for the first two classes of
magnitudes whether it is in that one (for the likelier sign, for the other); the second highest bit of two. Then the
same for other classes, and for three bits and for more.
"""
MOST_BITS = 18
"""Most bits of a number's magnitude."""
INVERSE_BITS, STEP_BITS = 32, 40
"""Fraction bits of the inverses of 1 .. 64, and of steps."""
EDGE = 10
"""Side of a block with the zeros before it."""
B18, B20, B21, B22, B25, B26, B29, B32, B33, B39, B40, B41, B42, B43 = (
    BYTES[k] for k in (18, 20, 21, 22, 25, 26, 29, 32, 33, 39, 40, 41, 42, 43)
)
N35, N36, N37, N38, N40 = (NEGATIVE[k] for k in (35, 36, 37, 38, 40))
"""Bytes of inputs that are not at their own number, and of negative parts."""
ALWAYS_ZERO = NUMBER_INPUTS - 1
POSITIVE_BYTES = np.array(BYTES)
NEGATIVE_BYTES = np.array([NEGATIVE.get(k, ALWAYS_ZERO) for k in range(FEATURES)])


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
def divided(value, step, inverse):
    """value // step for magnitudes below 2^19; `inverse`: 2^STEP_BITS / step, rounded up."""
    down = ((magnitude(value) + (step - 1 if value < 0 else 0)) * inverse) >> STEP_BITS
    return -down if value < 0 else down


@part
def put_signed(x, at, negative, size, positive):
    """Set an input with a sign."""
    x[at] = size if positive else 0
    x[negative] = 0 if positive else size


@part
def put_place(x, place, step, first_step, other, log):
    """Set the inputs that are the same in all blocks of a component."""
    x[B18] = log8(8 * (64 - place), log) if place > 0 else 0
    x[B25] = log8(step, log) if place >= 0 else 0
    x[B26] = log8(first_step, log)
    x[B39] = 127 if other else 0


@part
def shared(shares, other, band, innovation):
    """The contribution of the innovation of another component, 0 or 1, to a prediction."""
    gain = (shares[other, band, 0] << GAIN_BITS) // shares[other, band, 1]
    return (min(max(gain, -1024), 1024) * innovation) >> GAIN_BITS


@part
def learn(shares, other, band, innovation, others):
    """Add an innovation and that of another component, 0 or 1, to the sums of products and squares."""
    shares[other, band, 0] += innovation * others
    shares[other, band, 1] += others * others
    if shares[other, band, 1] >> LARGEST_SQUARES:
        shares[other, band, 0] >>= 1
        shares[other, band, 1] >>= 1


@merged
def finish(around, rows, columns, near, b, log):
    """Store logarithms, for later blocks, of the sums of magnitudes around each frequency of a block, without DC.
    `around`: magnitudes, with zeros on every side, which are those before `rows` and `columns`. It becomes zero.
    """
    for v in range(min(rows + 1, 8)):
        before, here = np.int64(0), around[v, 1] + around[v + 1, 1] + around[v + 2, 1]
        for u in range(min(columns + 1, 8)):
            after = around[v, u + 2] + around[v + 1, u + 2] + around[v + 2, u + 2]
            near[b, 8 * v + u] = log8(2 * (before + here + after), log)
            before, here = here, after
    around[:] = 0


@part
def chance(y, sigmoid):
    """The probability for an output of the network."""
    return sigmoid[min(max(UNIT * np.int64(y), -4096), 4095) + 4096]


@merged
def number(decode, value, may_be_zero, network, y, sigmoid, state, data):
    """Code a number, whose sign is relative to the likelier one."""
    if may_be_zero and decide(decode, np.int64(value == 0), chance(y[ZERO], sigmoid), state, data) == 1:
        return np.int64(0)
    agrees = decide(decode, np.int64(value > 0), chance(y[AGREES], sigmoid), state, data)
    size = magnitude(value)
    bits = 1
    at = HAZARDS if agrees == 1 else OTHER_HAZARDS
    while bits < MOST_BITS:
        if bits == 3:
            evaluate_late(network)
            at = (LATE_HAZARDS if agrees == 1 else LATE_OTHER_HAZARDS) - 2
        p = chance(y[at + bits - 1], sigmoid) if bits <= CLASSES else np.int64(EVEN)
        if decide(decode, np.int64(size >> bits == 0), p, state, data) == 1:
            break
        bits += 1
    found = np.int64(1)
    for k in range(bits - 2, -1, -1):
        p = np.int64(EVEN)
        if k == bits - 2:
            p = chance(y[MANTISSA if bits == 2 else LATE_MANTISSA + min(bits, 4) - 3], sigmoid)
        found = 2 * found + decide(decode, (size >> k) & 1, p, state, data)
    return found if agrees == 1 else -found


def code_coefficients(
    mode, Q, E, sizes, near, counts, energies, D, frame, steps, net, predictions, zigzag, log, sigmoid,
    shares_at_first, seen, told, data,
):  # fmt: skip
    """Code blocks int16 Q (blocks + 1, 64), filled in place when decoding. Returns the length of the data; -1 if the
    decoder would have needed more, or found a number out of range. When observing, returns the number of rows.

    The last block of every array is zero, in place of blocks that do not exist.

    E : int32 (blocks + 1, 64), zeros, filled with innovations. sizes, near : uint8 (blocks + 1, 64), zeros, filled with
    logarithms of magnitudes and of the sums around them. counts, energies : int64 (blocks + 1,), zeros, filled with the
    number of coefficients that are not zero and the sum of their magnitudes.
    D : float64 (2 columns + 1, 128): coefficients times their steps in two rows of blocks, by rows and by columns.
    frame : int64 (components, 7): first block, rows, columns, kind, number of the first component's blocks that lie in
    one of it vertically and horizontally, number of components before it with the same grid.
    steps : int64 (components, 64). predictions : float64 (2, 64, 32). shares_at_first : int64 (KINDS,).
    seen : int16 (rows, FEATURES + 1), told : int32 (rows, 2).
    """
    decode = mode == DECODE
    x, y, network = np.zeros(INPUTS, np.uint8), net.y, places(net)
    weights_and_values = prediction_places(predictions, D)
    own, around = np.zeros(EDGE * EDGE, np.uint8), np.zeros((EDGE, EDGE), np.int64)
    state, means, inverses, step_inverses = scratch(4), scratch(ROWS), scratch(65), scratch(64)
    for k in range(1, 65):
        inverses[k] = ((1 << INVERSE_BITS) + k - 1) // k
    nothing, alone = len(Q) - 1, len(D) - 1
    at = 0
    begin(decode, state, data)
    for c in range(len(frame)):
        first, rows, columns, kind = frame[c, 0], frame[c, 1], frame[c, 2], frame[c, 3]
        down, across, same = frame[c, 4], frame[c, 5], frame[c, 6]
        has_o2, other_grid = same > 1, c > 0 and same == 0
        means[:] = 0
        D[:] = 0
        # The share of the innovations of the two components before: sums of products and of squares.
        shares = np.zeros((2, BANDS, 2), np.int64)
        for k in range(BANDS):
            shares[:, k, 1] = 1 << 12
            shares[0, k, 0] = shares_at_first[kind]
        table = 1 if kind == 1 or kind == 2 else 0
        for place in range(-1, 64):
            i = COUNT if place < 0 else zigzag[place]
            step = steps[c, i] if place >= 0 else np.int64(1)
            if place >= 0:
                step_inverses[i] = ((1 << STEP_BITS) + step - 1) // step
            put_place(x, place, step, steps[c, 0], other_grid, log)
            fix_place(x, i, network)
        for row in range(rows):
            for column in range(columns):
                b = first + row * columns + column
                has_w, has_n = column > 0, row > 0
                w, n = b - 1 if has_w else nothing, b - columns if has_n else nothing
                nw, ne = n - 1 if has_w and has_n else nothing, n + 1 if has_n and column + 1 < columns else nothing
                ww, nn = b - 2 if column > 1 else nothing, n - columns if row > 1 else nothing
                d = (row & 1) * columns + column
                dw, dn = d - 1 if has_w else alone, columns - d + 2 * column if has_n else alone
                # Without one neighbour, the mean of the other is used.
                D[alone, 0] = D[alone, 64] = D[dn, 0] if has_n else D[dw, 0] if has_w else 0.0
                D[d] = 0
                # The other component's block at the same place, and the blocks after it.
                o, o_e, o_s, o2, o_count = nothing, nothing, nothing, nothing, np.int64(0)
                if c > 0:
                    luma = frame[0, 0] + down * row * frame[0, 2] + across * column
                    if same > 0:
                        o = frame[c - 1, 0] + row * columns + column
                        o_count = counts[o]
                        if column + 1 < columns:
                            o_e = o + 1
                        if row + 1 < rows:
                            o_s = o + columns
                        if c > 1:
                            o2 = frame[c - 2, 0] + row * columns + column if has_o2 else luma
                    else:
                        o = luma
                        o_count = counts[o]
                        if across > 1:
                            o_e = o + 1
                            o_count = (o_count + counts[o_e]) // 2
                        if down > 1:
                            o_s = o + frame[0, 2]
                        if across > 1 and down > 1:
                            o2 = o_s + 1
                left = np.int64(0)
                if not decode:
                    for k in range(1, 64):
                        left += Q[b, k] != 0
                total, sum_before = left, np.int64(0)
                # The number of coefficients of blocks beside this that are not zero from a place on.
                behind_w, behind_n, behind_o = counts[w], counts[n], counts[o]
                own[:], high_v, high_u = 0, np.int64(0), np.int64(0)
                before, before_2, before_3 = np.uint8(0), np.uint8(0), np.uint8(0)
                x[B20], x[B21] = log8(energies[w], log), log8(energies[n], log)
                x[B32], x[B33] = 127 * has_w, 127 * has_n
                for place in range(-1, 64):
                    if place > 0 and left == 0:
                        break
                    i = COUNT if place < 0 else zigzag[place]
                    u, v = i & 7, (i >> 3) & 7
                    step, inverse = np.int64(1), np.int64(0)
                    P, intra = np.int64(0), np.int64(0)
                    e_o, e_o2 = np.int64(0), np.int64(0)
                    if place < 0:
                        x[:NUMBER_INPUTS], x[B22], x[B29] = 0, 0, 0
                        cw, cn = behind_w, behind_n
                        P = 8 * (cw + cn) >> (has_w and has_n) if has_w or has_n else np.int64(64)
                        x[0], x[1] = log8(8 * cw, log), log8(8 * cn, log)
                        x[2], x[3] = log8(8 * counts[nw], log), log8(8 * counts[ne], log)
                        x[4] = log8(8 * magnitude(cw - cn), log)
                        x[27] = log8(8 * o_count, log)
                        x[28] = log8(8 * counts[o2], log) if has_o2 else 0
                        share(x, network)
                    else:
                        step, inverse = steps[c, i], step_inverses[i]
                        intra = predict(table, i, dw, dn, d, weights_and_values) >> WEIGHT_BITS
                        if same > 0:
                            e_o = np.int64(E[o, i])
                            intra += shared(shares, 0, u + v, e_o)
                            if has_o2:
                                e_o2 = np.int64(E[o2, i])
                                intra += shared(shares, 1, u + v, e_o2)
                        intra = min(max(intra, -INNOVATION), INNOVATION)
                        P = divided(8 * intra, step, inverse)
                        if place == 0:
                            x[:NUMBER_INPUTS] = 0
                            x[0] = log8(divided(8 * magnitude(E[w, 0]), step, inverse), log)
                            x[1] = log8(divided(8 * magnitude(E[n, 0]), step, inverse), log)
                            x[2] = log8(divided(8 * magnitude(E[nw, 0]), step, inverse), log)
                            x[3] = log8(divided(8 * magnitude(E[ne, 0]), step, inverse), log)
                            x[4] = log8(magnitude(8 * (D[dw, 0] - D[dn, 0])) // step, log)
                            x[B22], x[B29] = log8(8 * total, log), log8(8 * o_count, log)
                            share(x, network)
                        else:
                            x[0], x[1], x[2], x[3] = sizes[w, i], sizes[n, i], sizes[nw, i], sizes[ne, i]
                            x[4], x[5] = sizes[ww, i], sizes[nn, i]
                            p = EDGE * (v + 2) + u + 2
                            x[8], x[9], x[10] = own[p - 1], own[p - EDGE], own[p - EDGE - 1]
                            x[11], x[12] = own[p - 2], own[p - 2 * EDGE]
                            x[13], x[14], x[15] = before, before_2, before_3
                            x[16] = log8((8 * sum_before * inverses[place]) >> INVERSE_BITS, log)
                            x[17] = log8(8 * left, log)
                            x[19] = (127 * left * inverses[64 - place]) >> INVERSE_BITS
                            x[B41], x[B42] = log8(8 * behind_w, log), log8(8 * behind_n, log)
                            x[B43] = log8(8 * behind_o, log)
                        x[6], x[7] = near[w, i], near[n, i]
                        x[27], x[28] = sizes[o, i], sizes[o2, i]
                        x[30] = near[o, i]
                        x[31] = log8(4 * (magnitude(Q[o_e, i]) + magnitude(Q[o_s, i])), log)
                    x[24] = log8(means[i] >> 5, log)
                    # The coded number is the difference to a centre, positive on the prediction's side.
                    centre = (P + 4) >> 3 if place <= 0 or magnitude(P) >= CENTRED else np.int64(0)
                    off = P - 8 * centre
                    side = np.int64(1) if off >= 0 else np.int64(-1)
                    x[23] = log8(magnitude(off), log)
                    x[34] = log8(magnitude(centre), log)
                    if place > 0:
                        put_signed(x, 35, N35, x[0], Q[w, i] * side > 0)
                        put_signed(x, 36, N36, x[1], Q[n, i] * side > 0)
                        put_signed(x, 37, N37, x[27], Q[o, i] * side > 0)
                        behind_w -= Q[w, i] != 0
                        behind_n -= Q[n, i] != 0
                        behind_o -= Q[o, i] != 0
                    if place >= 0 and same > 0:
                        put_signed(x, 38, N38, log8(divided(8 * magnitude(e_o), step, inverse), log), e_o * side > 0)
                        if has_o2:
                            size = log8(divided(8 * magnitude(e_o2), step, inverse), log)
                            put_signed(x, B40, N40, size, e_o2 * side > 0)
                    actual = left if place < 0 else np.int64(Q[b, i])
                    may_be_zero = place <= 0 or centre != 0 or left < 64 - place
                    value = side * (actual - centre)
                    if mode == OBSERVE:
                        if at < len(seen):
                            put_place(x, place, step, steps[c, 0], other_grid, log)
                            for k in range(FEATURES):
                                seen[at, k] = np.int64(x[POSITIVE_BYTES[k]]) - x[NEGATIVE_BYTES[k]]
                            seen[at, FEATURES] = ROWS * kind + i
                            told[at, 0], told[at, 1] = value, may_be_zero
                        at += 1
                    else:
                        evaluate(x, i, ROWS * kind + i, network)
                        value = number(decode, value, may_be_zero, network, y, sigmoid, state, data)
                    actual = centre + side * value
                    size = magnitude(actual if place != 0 else value)
                    means[i] += (min(size, 4095) << 8) - means[i] >> 4 if means[i] else (min(size, 4095) << 8)
                    if place < 0:
                        if actual < 0 or actual > 63:
                            return -1
                        left = total = actual
                        counts[b] = actual
                        continue
                    size = magnitude(actual)
                    if size > 2047:
                        return -1
                    before_3, before_2, before = before_2, before, log8(8 * size, log)
                    if actual != 0:
                        Q[b, i] = actual
                        sizes[b, i] = own[EDGE * (v + 2) + u + 2] = before
                        D[d, i] = D[d, 64 + 8 * u + v] = actual * step
                        if place > 0:
                            around[v + 1, u + 1] = size
                            high_v, high_u = max(high_v, v), max(high_u, u)
                            sum_before += size
                            left -= 1
                    innovation = min(max(actual * step - intra, -INNOVATION), INNOVATION)
                    E[b, i] = innovation
                    if same > 0:
                        learn(shares, 0, u + v, innovation, e_o)
                        if has_o2:
                            learn(shares, 1, u + v, innovation, e_o2)
                energies[b] = sum_before
                if total > 0:
                    finish(around, high_v + 1, high_u + 1, near, b, log)
                if left != 0 or (decode and overrun(state, data)):
                    return -1
    return at if mode == OBSERVE else end(decode, state, data)


code_coefficients = compiled(code_coefficients)

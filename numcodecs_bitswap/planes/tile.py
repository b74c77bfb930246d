"""One tile of all planes of a chunk <-> a message: the whole way of a pixel, compiled (FORMAT.md 9).

Encoder and decoder are one function: the encoder knows the pixels and notes the interval of each, to push them all in
the opposite order at the end; the decoder pops. numba compiles it; without numba it is the same Python, and slow.

Arrays of a plane are *skewed*: cell [u, y] holds pixel (y, u - 2 y), so that a wavefront lies side by side and a
neighbour (dy, dx) of all its pixels is row u + dx + 2 dy, dy further on. Cells outside the tile repeat the nearest pixel
that is known.
"""

from typing import Any

import numpy as np

from ..jit import compiled, address_of
from .products import (
    LANES,
    OUTPUTS,
    absolute32,
    add32,
    add_scaled,
    add_two_scaled,
    clamp32,
    correlate,
    decay_and_add,
    note_pairs,
    outputs,
    shift32,
    times32,
    weigh,
    word32,
)
from .tables import (
    AROUND,
    BLOCK,
    CLIP,
    FAR,
    INVERSE,
    LEAST_SCALE,
    LOGISTIC_SCALES,
    MARGIN_U,
    MARGIN_Y,
    NEAR,
    SCALE,
    SEEN_OTHER,
    SEEN_OWN,
    SIGMOID,
    SLOPE,
    WEIGHT,
    WEIGHT_BITS,
    WEIGHT_CLIP,
    WEIGHTS,
)

MU, MY, BL = MARGIN_U, MARGIN_Y, BLOCK
NEAR_Y, NEAR_X = np.array(NEAR).T.copy()
FAR_Y, FAR_X = np.array(FAR).T.copy()
AROUND_Y, AROUND_X = np.array(AROUND).T.copy()
NN, NF, NA = len(NEAR), len(FAR), len(AROUND)
ZERO, MOST, LEAST = np.int32(0), np.int32(127), np.int32(-127)
F0, F1, HALF, QUARTER = np.float32(0), np.float32(1), np.float32(0.5), np.float32(0.25)
C24, C127, C128, C16, C256 = (np.float32(v) for v in (24, 127, 128, 16, 256))
I16_CLIP = np.float32(CLIP)
TO_32 = 16.0 / (1 << WEIGHT_BITS)
HEAD_MIN = np.uint64(1 << 24)
LEAST_FREE = np.float32(2.0**22)


@compiled
def log8(s):
    """8 times the binary logarithm of s >= 1, evenly spaced in each octave, rounded down."""
    return (np.float32(s).view(np.int32) >> 20) - 1016


@compiled
def squash(x):
    """An input in 1/16 of the local scale as it is, from 32 on a quarter as fast, at most 127; int32 towards zero."""
    a = abs(x)
    a = min(min(a, C24 + QUARTER * a), C127)
    return np.int32(-a if x < F0 else a)


@compiled
def limited(v, low, high):
    return np.int32(min(max(v, low), high))


@compiled
def pad_front(G, u, h, w, first, last):
    """Repeat the border pixels of wavefront u in the cells outside, of arrays first .. last - 1."""
    r = u + MU
    for a in range(first, last):
        S = G[a]
        if u % 2 == 0 and u // 2 < h:
            y = u // 2 + MY
            for d in range(1, 5):
                S[r + 2 - d, y + 1] = S[r, y]
        k = u - w + 1
        if k >= 0 and k % 2 == 0 and k // 2 < h:
            y = k // 2 + MY
            for d in range(1, 5):
                S[r + d, y] = S[r, y]
        if u < w + 4:
            for k in range(1, 4):
                S[r, MY - k] = S[r, MY]


@compiled
def lay_out(S, plane, h, w, start):
    """A known plane, skewed, with what is outside of it on all sides."""
    S[:] = start
    for y in range(h):
        for x in range(w):
            S[x + 2 * y + MU, y + MY] = plane[y, x]
        if y > 0:
            for d in range(1, 5):
                S[2 * y - d + MU, y + MY] = plane[y - 1, 0]
        for d in range(4):
            S[2 * y + w + d + MU, y + MY] = plane[y, w - 1]
    for u in range(w + 4):
        for k in range(1, 4):
            S[u + MU, MY - k] = S[u + MU, MY]
    for k in range(2):
        y = h + k
        for x in range(-4, w + 4):
            S[x + 2 * y + MU, y + MY] = S[x + 2 * (h - 1) + MU, h - 1 + MY]


@compiled
def regressors(G, R, u, ya, n8, own, other, X, base):
    """Differences of neighbours to the base, in half levels, X[j, i], and twice the base."""
    r, c = u + MU, MY + ya
    S = G[0]
    west, north = S[r - 1, c : c + n8], S[r - 2, c - 1 : c - 1 + n8]
    for i in range(n8):
        base[i] = west[i] + north[i]
    for k in range(own.shape[0]):
        dy, dx, j = own[k, 0], own[k, 1], own[k, 2]
        row, out = S[r + dx + 2 * dy, c + dy : c + dy + n8], X[j]
        for i in range(n8):
            out[i] = 2 * row[i] - base[i]
    for q in range(R):
        S = G[1 + q]
        west, north = S[r - 1, c : c + n8], S[r - 2, c - 1 : c - 1 + n8]
        for k in range(other.shape[0]):
            dy, dx, j = other[k, 0], other[k, 1], other[k, 2 + q]
            row, out = S[r + dx + 2 * dy, c + dy : c + dy + n8], X[j]
            for i in range(n8):
                out[i] = 2 * row[i] - west[i] - north[i]


@compiled
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


@compiled
def magnitudes(S, u, ya, n8, out, add):
    """8 times the mean error nearby, in 1/32 level, plus `add`."""
    r, c = u + MU, MY + ya
    for i in range(n8):
        out[i] = add
    for k in range(NN):
        dy, dx = NEAR_Y[k], NEAR_X[k]
        row = S[r + dx + 2 * dy, c + dy : c + dy + n8]
        times = np.int32(2 if k < 2 else 1)
        for i in range(n8):
            out[i] = add32(out[i], times32(times, absolute32(row[i])))


@compiled
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


@compiled
def put(F, k, row, factor, n8):
    """Input k of the network: squashed row times factor."""
    out = F[k]
    for i in range(n8):
        out[i] = squash(np.float32(row[i]) * factor[i]) + 128


@compiled
def inputs(G, R, V, u, ya, n8, X, own, other, base, pred, mags, blend, q, top, level, F, inv, tmp, mag):
    """Inputs of the network, uint8 with offset 128, F[k, i]; returns their number."""
    r, c = u + MU, MY + ya
    k = 0
    for i in range(n8):
        inv[i] = C256 * INVERSE[q[i]]
    for j in range(SEEN_OWN):
        put(F, k, X[own[j, 2]], inv, n8)
        k += 1
    for i in range(n8):
        inv[i] = C16 * INVERSE[q[i]]
    for v in range(V):
        p = pred[v]
        for i in range(n8):
            tmp[i] = p[i] - blend[i]
        put(F, k, tmp, inv, n8)
        k += 1
    for i in range(n8):
        tmp[i] = blend[i] - 16 * base[i]
    put(F, k, tmp, inv, n8)
    k += 1
    for v in range(V):
        S = G[1 + R + v]
        for a in range(NN):
            dy, dx = NEAR_Y[a], NEAR_X[a]
            put(F, k, S[r + dx + 2 * dy, c + dy : c + dy + n8], inv, n8)
            k += 1
    for i in range(n8):
        tmp[i] = blend[i]
    put(F, k, tmp, inv, n8)
    k += 1
    for i in range(n8):
        tmp[i] = top - blend[i]
    put(F, k, tmp, inv, n8)
    k += 1
    # logarithms of magnitudes, relative to the local scale
    for v in range(V):
        out, m = F[k], mags[v]
        for i in range(n8):
            out[i] = limited(4 * (log8(m[i] >> 3) - q[i]), -127, 127) + 128
        k += 1
    for i in range(n8):
        mag[i] = 8 * LEAST_SCALE
    S = G[1 + R + V]
    for a in range(NF):
        dy, dx = FAR_Y[a], FAR_X[a]
        row = S[r + dx + 2 * dy, c + dy : c + dy + n8]
        for i in range(n8):
            mag[i] = add32(mag[i], absolute32(row[i]))
    out = F[k]
    for i in range(n8):
        out[i] = limited(4 * (log8(mag[i] >> 3) - q[i]), -127, 127) + 128
    k += 1
    for i in range(n8):
        mag[i] = 4
    for j in range(4):
        x = X[own[j, 2]]
        for i in range(n8):
            mag[i] = add32(mag[i], times32(np.int32(4), absolute32(x[i])))
    out = F[k]
    for i in range(n8):
        out[i] = limited(2 * (log8(mag[i]) - q[i]), -127, 127) + 128
    k += 1
    out = F[k]
    for i in range(n8):
        out[i] = limited(2 * (q[i] - 48), -127, 127) + 128
    k += 1
    out = F[k]
    for i in range(n8):
        out[i] = np.int32(np.float32(base[i]) * level)
    k += 1
    for s in range(R):
        E = G[2 + R + V + s]
        for i in range(n8):
            mag[i] = 0
        for a in range(NA):
            dy, dx = AROUND_Y[a], AROUND_X[a]
            row = E[r + dx + 2 * dy, c + dy : c + dy + n8]
            for i in range(n8):
                mag[i] = add32(mag[i], absolute32(row[i]))
        out = F[k]
        for i in range(n8):
            own_q = log8(((13 * mag[i]) >> 6) + LEAST_SCALE)
            out[i] = limited(2 * (own_q - q[i]), -127, 127) + 128
            inv[i] = C256 * INVERSE[own_q]
        k += 1
        for j in range(SEEN_OTHER):
            put(F, k, X[other[j, 2 + s]], inv, n8)
            k += 1
        for i in range(n8):
            inv[i] = inv[i] * np.float32(0.0625)
        for a in range(NA):
            dy, dx = AROUND_Y[a], AROUND_X[a]
            put(F, k, E[r + dx + 2 * dy, c + dy : c + dy + n8], inv, n8)
            k += 1
    return k


@compiled
def pack(F, count, n, words):
    """Rows of uint8 in int32 to words of four rows."""
    for k in range((count + 3) // 4):
        out = words[k]
        a, b, c, d = F[4 * k], F[4 * k + 1], F[4 * k + 2], F[4 * k + 3]
        for i in range(n):
            out[i] = word32(a[i], b[i], c[i], d[i])


@compiled
def layer(x, steps, n, blob, at, n_out, out):
    """out[o, i] = sums of one layer, o = 0 .. n_out - 1 rounded up to OUTPUTS. The weights begin at blob[at]."""
    for o in range(0, n_out, OUTPUTS):
        for p in range(0, n, LANES):
            outputs(
                address_of(out, o, p), out.strides[0], address_of(x, 0, p), x.strides[0],
                address_of(blob, 0, at + o * steps), 4 * steps, steps,
            )  # fmt: skip


@compiled
def rectified(sums, blob, bias, shift, n_out, n, words):
    """clamp(sum + bias >> shift, 0, 127), packed."""
    for o in range(0, n_out, 4):
        out = words[o // 4]
        s0, s1, s2, s3 = sums[o], sums[o + 1], sums[o + 2], sums[o + 3]
        b0, b1, b2, b3 = blob[bias + o], blob[bias + o + 1], blob[bias + o + 2], blob[bias + o + 3]
        f0, f1, f2, f3 = blob[shift + o], blob[shift + o + 1], blob[shift + o + 2], blob[shift + o + 3]
        for i in range(n):
            out[i] = word32(
                clamp32(shift32(add32(s0[i], b0), f0), ZERO, MOST), clamp32(shift32(add32(s1[i], b1), f1), ZERO, MOST),
                clamp32(shift32(add32(s2[i], b2), f2), ZERO, MOST), clamp32(shift32(add32(s3[i], b3), f3), ZERO, MOST),
            )  # fmt: skip


@compiled
def network(net, blob, x, width, blocks, n_y, n, sums, state, h, v, y):
    """The network of FORMAT.md 9.4: y[o, i] from packed inputs x. `net` says where its layers are in the blob."""
    steps, at = net[0], 1
    layer(x, steps, n, blob, net[at], width, sums)
    for o in range(width):
        s, t, b, f = sums[o], state[o], blob[net[at + 1] + o], blob[net[at + 2] + o]
        for i in range(n):
            t[i] = clamp32(shift32(add32(s[i], b), f), LEAST, MOST)
    at += 3
    for _ in range(blocks):
        positive(state, width, n, h)
        layer(h, width // 4, n, blob, net[at], width, sums)
        rectified(sums, blob, net[at + 1], net[at + 2], width, n, v)
        layer(v, width // 4, n, blob, net[at + 3], width, sums)
        for o in range(width):
            s, t, b, f = sums[o], state[o], blob[net[at + 4] + o], blob[net[at + 5] + o]
            for i in range(n):
                t[i] = clamp32(add32(t[i], shift32(add32(s[i], b), f)), LEAST, MOST)
        at += 6
    positive(state, width, n, h)
    layer(h, width // 4, n, blob, net[at], n_y, sums)
    for o in range(n_y):
        s, b, f = sums[o], blob[net[at + 1] + o], blob[net[at + 2] + o]
        for i in range(n):
            y[o, i] = shift32(add32(s[i], b), f)
    linear = n_y * 2 // 3
    layer(x, steps, n, blob, net[at + 3], linear, sums)
    for o in range(linear):
        s, b, f = sums[o], blob[net[at + 4] + o], blob[net[at + 5] + o]
        for i in range(n):
            y[o, i] = add32(y[o, i], shift32(add32(s[i], b), f))


@compiled
def positive(state, width, n, words):
    """ReLU of the state, packed."""
    for o in range(0, width, 4):
        out = words[o // 4]
        a, b, c, d = state[o], state[o + 1], state[o + 2], state[o + 3]
        for i in range(n):
            out[i] = word32(
                clamp32(a[i], ZERO, MOST), clamp32(b[i], ZERO, MOST), clamp32(c[i], ZERO, MOST), clamp32(d[i], ZERO, MOST)
            )  # fmt: skip


@compiled
def mixture(y, K, n8, q, blend, top, weight, mean, slope, centre, rate, alphabet):
    """Parameters of the mixtures (FORMAT.md 9.5) from the network's outputs."""
    total = 65536.0 - alphabet
    for i in range(n8):
        most = y[2 * K, i]
        for k in range(1, K):
            most = max(most, y[2 * K + k, i])
        sum_w, peak, at = 0, -(1 << 30), 0
        for k in range(K):
            w = WEIGHT[min(most - y[2 * K + k, i], WEIGHTS - 1)]
            weight[k, i] = w
            sum_w += w
            j = min(max(2 * q[i] + y[K + k, i], 0), LOGISTIC_SCALES - 1)
            slope[k, i] = SLOPE[j]
            off = np.float32(limited(y[k, i], -8192, 8192)) * SCALE[q[i]] * np.float32(0.015625)
            off = min(max(off, -LEAST_FREE), LEAST_FREE)
            mean[k, i] = blend[i] + np.int32(off)
            if y[2 * K + k, i] - j > peak:
                peak, at = y[2 * K + k, i] - j, k
        centre[i] = min(max((mean[at, i] + 16) >> 5, 0), top >> 5)
        rate[i] = np.int64(np.floor(total * 268435456.0 / np.float64(sum_w)))


@compiled
def edge_of(s, half):
    """The lower edge of bucket s, from the centre."""
    i = abs(s - half)
    b = max((i >> 3) - 1, 0)
    e = (i - 8 * b) << b
    return -e if s < half else e


@compiled
def bits_of(s, half):
    """Number of low bits of a sample in bucket s."""
    i = s - half if s >= half else half - 1 - s
    return max((i >> 3) - 1, 0)


@compiled
def bucket_of(d, half):
    """The bucket of a sample at distance d from the centre."""
    v = d if d >= 0 else -d - 1
    i = v
    if v >= 16:
        b = 0
        while (v >> b) >= 16:
            b += 1
        i = 8 * b + (v >> b)
    return half + i if d >= 0 else half - 1 - i


@compiled
def cumulative(s, i, half, m, K, weight, mean, slope, centre, rate):
    """cum(s): the mass below bucket s, of 2^16."""
    x = centre[i] + edge_of(s, half)
    if x <= 0:
        return np.int64(0)
    if x > m:
        return np.int64(65536)
    mass = np.int64(0)
    for k in range(K):
        t = np.float32(32 * x - 16 - mean[k, i]) * slope[k, i]
        t = min(max(t, np.float32(-4096)), np.float32(4095))
        mass += weight[k, i] * SIGMOID[np.int64(np.floor(t)) + 4096]
    return s + ((rate[i] * mass) >> 44)


@compiled
def push(heads, lane, tail, place, start, freq):
    head = heads[lane]
    limit = np.uint64(freq) << np.uint64(16)
    while head >= limit:
        tail[place] = np.uint8(head & np.uint64(255))
        place += 1
        head >>= np.uint64(8)
    f = np.uint64(freq)
    heads[lane] = ((head // f) << np.uint64(16)) + head % f + np.uint64(start)
    return place


@compiled
def pop_update(heads, lane, tail, place, start, freq):
    """Returns the new place, -1 if the tail is too short."""
    head = heads[lane]
    head = np.uint64(freq) * (head >> np.uint64(16)) + (head & np.uint64(65535)) - np.uint64(start)
    while head < HEAD_MIN:
        place -= 1
        if place < 0:
            return -1
        head = (head << np.uint64(8)) | np.uint64(tail[place])
    heads[lane] = head
    return place


@compiled
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


@compiled
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


@compiled
def settle(G, R, V, n, u, ya, lo, hi, plane, errors, pred, blend, base, X, values):
    """What is known of a wavefront once its pixels are: values, errors, the regression's target."""
    r, c = u + MU, MY + ya
    for i in range(lo, hi):
        values[i] = plane[ya + i, u - 2 * (ya + i)]
    for i in range(lo, hi):
        G[0, r, c + i] = values[i]
        X[n, i] = 2 * values[i] - base[i]
    for v in range(V):
        out, p = G[1 + R + v, r], pred[v]
        for i in range(lo, hi):
            out[c + i] = 32 * values[i] - p[i]
    out = G[1 + R + V, r]
    for i in range(lo, hi):
        e = 32 * values[i] - blend[i]
        out[c + i] = e
        errors[ya + i, u - 2 * (ya + i)] = e


@compiled
def code_tile(decode, planes, references, m, own, others, orders, sizes, period, reach, lams, lamv, ridges, targets, width, blocks, K,
              nets, blob, heads, tail, length, dump, seen, told, chosen, average):  # fmt: skip
    """Code the tile's planes (P, h, w), uint16 of 0 .. m, in order; filled in place when decoding.

    Returns the length of the tail, or -1 if it was too short, -2 if a sample came out above m. `cost` is counted ...
    """
    P, h, w = planes.shape
    V = len(sizes[0])
    L = len(heads)
    U = w + 2 * (h - 1)
    rows, pitch = U + 2 * MU, MY + (h + 7) // 8 * 8 + 24
    NB = (h + BL - 1) // BL
    NP = NB * BL + 16
    start = (m + 1) >> 1
    unknown = (m + 1) >> 2
    top = 32 * m
    maxn = 0
    for r in range(sizes.shape[0]):
        maxn = max(maxn, orders[r])
    words_most = (maxn + 1 + 7) // 8 * 8
    G = np.empty((2 + V + 2 * references.shape[1], rows, pitch), np.int32)
    errors = np.zeros((P, h, w), np.int32)
    S = np.zeros((V, NB, maxn, words_most), np.float32)
    weights = np.zeros((V, NB, maxn), np.float64)
    XP = np.zeros((NB * BL, BL // 2, words_most), np.int32)
    A = np.zeros((words_most, words_most), np.int32)
    C = np.zeros((maxn, words_most), np.float32)
    X = np.zeros((words_most, NP), np.int32)
    base, blend, q = np.zeros(NP, np.int32), np.zeros(NP, np.int32), np.zeros(NP, np.int32)
    tmp, mag = np.zeros(NP, np.int32), np.zeros(NP, np.int32)
    pred, mags = np.zeros((V, NP), np.int32), np.zeros((V + 1, NP), np.int32)
    num, den, inv = np.zeros(NP, np.float32), np.zeros(NP, np.float32), np.zeros(NP, np.float32)
    acc = np.zeros(BL, np.float64)
    F = np.full((160, NP), 128, np.int32)
    words = np.zeros((40, NP), np.int32)
    wide = max(width, 16)
    sums, state = np.zeros((wide + 8, NP), np.int32), np.zeros((wide, NP), np.int32)
    hidden, inner = np.zeros((wide // 4, NP), np.int32), np.zeros((wide // 4, NP), np.int32)
    y = np.zeros((3 * K, NP), np.int32)
    weight, mean = np.zeros((K, NP), np.int64), np.zeros((K, NP), np.int32)
    slope = np.zeros((K, NP), np.float32)
    centre, rate = np.zeros(NP, np.int32), np.zeros(NP, np.int64)
    picked = np.zeros(NP, np.int64)
    half = bucket_of(m, 0) + 1
    alphabet = 2 * half
    deep = m >= 16
    noted = np.empty(0 if decode else P * h * w, np.uint32)
    lows = np.empty(0 if decode or not deep else P * h * w, np.uint32)
    level = np.float32(127.5) / np.float32(max(m, 1))
    done = 0
    place = length
    if not decode:
        place = 0
    for p in range(P):
        R = 0
        while R < references.shape[1] and references[p, R] >= 0:
            R += 1
        n, size = orders[R], sizes[R]
        n_words = (n + 1 + 7) // 8 * 8
        own_r, other_r = own[R], others[R]
        G[0] = start
        for s in range(R):
            lay_out(G[1 + s], planes[references[p, s]], h, w, start)
            lay_out(G[2 + R + V + s], errors[references[p, s]], h, w, 0)
        for v in range(V + 1):
            G[1 + R + v] = unknown
        S[:] = 0
        for v in range(V):
            for b in range(NB):
                for j in range(size[v]):
                    weights[v, b, j] = np.floor(targets[R, j] * np.float64(1 << WEIGHT_BITS) + 0.5)
        for u in range(U):
            y0, y1 = max(0, (u - w + 2) >> 1), min(h - 1, u >> 1)
            if u % BL == 0:
                if u > 0:
                    low, high = max(0, (u - BL - w + 2) >> 1) // BL, min(h - 1, (u - 1) >> 1) // BL
                    for b in range(NB):
                        if low <= b <= high:
                            learn(XP, b, n_words, n, size, lams, A, S)
                    first = y0 // BL
                    for v in range(V):
                        if (u // BL) % period[v] != 0:
                            continue
                        reached = min(h - 1, (u + BL * period[v] - 1) >> 1) // BL
                        for b in range(first, reached + 1):
                            solve(S[v], v, b, NB, size[v], lamv[v], reach[v], ridges[v], targets[R], C, weights[v, b])
                low = y0 // BL * BL
                for yy in range(low, min(NB * BL, (min(h - 1, (u + BL - 1) >> 1) // BL + 1) * BL)):
                    XP[yy] = 0
            ya = y0 // BL * BL
            n8 = (y1 - ya) // BL * BL + BL
            lo, hi = y0 - ya, y1 - ya + 1
            regressors(G, R, u, ya, n8, own_r, other_r, X, base)
            predict(X, base, weights, size, ya // BL, n8, np.float64(top), pred, acc)
            for v in range(V):
                magnitudes(G[1 + R + v], u, ya, n8, mags[v], 8 * LEAST_SCALE)
            magnitudes(G[1 + R + V], u, ya, n8, mags[V], 8 * LEAST_SCALE)
            blend_predictions(mags, pred, n8, blend, top, num, den)
            for i in range(n8):
                q[i] = log8(mags[V, i] >> 3)
            count = inputs(
                G, R, V, u, ya, n8, X, own_r, other_r, base, pred, mags, blend, q, top, level, F, inv, tmp, mag
            )
            for k in range(count, (count + 3) // 4 * 4):
                F[k, :] = 128
            if dump:
                for i in range(lo, hi):
                    if chosen[p, ya + i, u - 2 * (ya + i)] >= 0:
                        row = chosen[p, ya + i, u - 2 * (ya + i)]
                        told[row, 0], told[row, 1], told[row, 2], told[row, 3] = (
                            R,
                            blend[i],
                            q[i],
                            planes[p, ya + i, u - 2 * (ya + i)],
                        )
                        for k in range(count):
                            seen[row, k] = F[k, i] - 128
            else:
                pack(F, count, n8, words)
                network(nets[R], blob, words, width, blocks, 3 * K, n8, sums, state, hidden, inner, y)
                mixture(y, K, n8, q, blend, top, weight, mean, slope, centre, rate, alphabet)
            if decode:
                for i in range(lo, hi):
                    lane = (i - lo) % L
                    r = np.int64(heads[lane] & np.uint64(65535))
                    s, step = half, 1
                    low_s, high_s = 0, alphabet
                    if cumulative(s, i, half, m, K, weight, mean, slope, centre, rate) <= r:
                        low_s = s
                        while (
                            low_s + step < alphabet
                            and cumulative(low_s + step, i, half, m, K, weight, mean, slope, centre, rate) <= r
                        ):
                            low_s += step
                            step *= 2
                        high_s = min(low_s + step, alphabet)
                    else:
                        high_s = s
                        while (
                            high_s - step > 0
                            and cumulative(high_s - step, i, half, m, K, weight, mean, slope, centre, rate) > r
                        ):
                            high_s -= step
                            step *= 2
                        low_s = max(high_s - step, 0)
                    while high_s - low_s > 1:
                        middle = (low_s + high_s) >> 1
                        if cumulative(middle, i, half, m, K, weight, mean, slope, centre, rate) <= r:
                            low_s = middle
                        else:
                            high_s = middle
                    begin = cumulative(low_s, i, half, m, K, weight, mean, slope, centre, rate)
                    freq = cumulative(low_s + 1, i, half, m, K, weight, mean, slope, centre, rate) - begin
                    place = pop_update(heads, lane, tail, place, begin, freq)
                    if place < 0:
                        return -1
                    picked[i] = low_s
                for i in range(lo, hi):
                    s = picked[i]
                    d = centre[i] + edge_of(s, half)
                    bits = bits_of(s, half)
                    if bits > 0:
                        lane = (i - lo) % L
                        r = np.int64(heads[lane] & np.uint64(65535)) >> (16 - bits)
                        place = pop_update(heads, lane, tail, place, r << (16 - bits), 1 << (16 - bits))
                        if place < 0:
                            return -1
                        d += r
                    if d < 0 or d > m:
                        return -2
                    planes[p, ya + i, u - 2 * (ya + i)] = d
            elif not dump:
                for i in range(lo, hi):
                    x = np.int64(planes[p, ya + i, u - 2 * (ya + i)]) - centre[i]
                    s = bucket_of(x, half)
                    begin = cumulative(s, i, half, m, K, weight, mean, slope, centre, rate)
                    freq = cumulative(s + 1, i, half, m, K, weight, mean, slope, centre, rate) - begin
                    noted[done + i - lo] = np.uint32(begin | (freq - 1) << 16)
                    if deep:
                        bits = bits_of(s, half)
                        lows[done + i - lo] = np.uint32((x - edge_of(s, half)) << 4 | bits)
            done += hi - lo
            settle(G, R, V, n, u, ya, lo, hi, planes[p], errors[p], pred, blend, base, X, tmp)
            pad_front(G, u, h, w, 0, 1)
            pad_front(G, u, h, w, 1 + R, 2 + R + V)
            for i in range(n8):
                inv[i] = C256 * INVERSE[(3 * q[i]) >> 2]
            inv[:lo] = F0
            inv[hi:n8] = F0
            pair, odd = (u % BL) >> 1, u % 2 == 1
            for i in range(0, n8, 8):
                for j in range(0, n + 1, 8):
                    note_pairs(
                        address_of(XP, ya + i, pair) + 4 * j, XP.strides[0], address_of(X, j, i), X.strides[0],
                        address_of(inv, 0, i), I16_CLIP, odd,
                    )  # fmt: skip
        if dump:
            average[R, maxn] += NB
            for b in range(NB):
                for j in range(n):
                    average[R, j] += weights[0, b, j]
    if decode or dump:
        return place
    for p in range(P - 1, -1, -1):
        for u in range(U - 1, -1, -1):
            y0, y1 = max(0, (u - w + 2) >> 1), min(h - 1, u >> 1)
            count = y1 - y0 + 1
            done -= count
            if deep:
                for i in range(count - 1, -1, -1):
                    bits = np.int64(lows[done + i] & np.uint32(15))
                    if bits > 0:
                        low_s = np.int64(lows[done + i] >> np.uint32(4))
                        place = push(heads, i % L, tail, place, low_s << (16 - bits), 1 << (16 - bits))
            for i in range(count - 1, -1, -1):
                begin = np.int64(noted[done + i] & np.uint32(65535))
                freq = np.int64(noted[done + i] >> np.uint32(16)) + 1
                place = push(heads, i % L, tail, place, begin, freq)
    return place

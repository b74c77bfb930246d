"""One tile of all planes of a chunk <-> a message: the whole way of a pixel, compiled (FORMAT.md 9).

Encoder and decoder are one function: the encoder knows the pixels and notes the interval of each, to push them all in
the opposite order at the end; the decoder pops. numba compiles it, and holds no interpreter lock meanwhile.

Arrays of a plane are *skewed*: cell [u, y] holds pixel (y, u - 2 y), so that a wavefront lies side by side and a
neighbour (dy, dx) of all its pixels is row u + dx + 2 dy, dy further on. Cells outside the tile repeat the nearest
pixel that is known.
"""

import zlib
from pathlib import Path

import numpy as np

from ..runtime.jit import address_of, compiled, part
from .least_squares import PAD, learn, predict, solve
from .mixtures import SIGMOIDS, bits_of, bucket_of, edge_of, find, intervals, mixture, pop_update, push, windows
from .network import blend_predictions, inputs, magnitudes, network, pack
from .products import double_less, error_row, log_row, note_pairs, unit_row
from .tables import BLOCK, CLIP, KEEP, LARGEST, LEAST_SCALE, MARGIN_U, MARGIN_Y, WEIGHT_BITS

MU, MY, BL = MARGIN_U, MARGIN_Y, BLOCK
F0, KEPT = np.float32(0), np.float32(KEEP)
LIMIT = np.float32(CLIP)


@part
def pad_front(G, u, h, w, R, V):
    """Repeat the border pixels of wavefront u in the cells outside, of the plane and of its errors."""
    r = u + MU
    for a in range(V + 2):
        S = G[a + R if a > 0 else 0]
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


@part
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


@part
def regressors(G, R, u, ya, n8, moves, count, X, bases):
    """Differences of neighbours to their plane's base, in half levels, X[j, i]; twice the bases."""
    r, c = u + MU, MY + ya
    for a in range(R + 1):
        west, north, base = G[a, r - 1, c : c + n8], G[a, r - 2, c - 1 : c - 1 + n8], bases[a]
        for i in range(n8):
            base[i] = west[i] + north[i]
    for j in range(count):
        a = moves[j, 0]
        row = address_of(G, a, r + moves[j, 1]) + 4 * (c + moves[j, 2])
        double_less(address_of(X, j, 0), row, address_of(bases, a, 0), np.int32(0), n8 // 8)


@part
def settle(G, R, V, n, u, ya, lo, hi, errors, pred, blend, base, X, values):
    """What is known of a wavefront once its pixels are: values, errors, the regression's target."""
    r, c = u + MU, MY + ya
    count, at = (hi + 7) // 8, address_of(values, 0, 0)
    for i in range(lo, hi):
        G[0, r, c + i] = values[i]
    double_less(address_of(X, n, 0), at, address_of(base, 0, 0), np.int32(0), count)
    for v in range(V):
        error_row(address_of(G, 1 + R + v, r) + 4 * c, at, address_of(pred, v, 0), lo, hi, count)
    error_row(address_of(G, 1 + R + V, r) + 4 * c, at, address_of(blend, 0, 0), lo, hi, count)
    for i in range(lo, hi):
        errors[ya + i, u - 2 * (ya + i)] = G[1 + R + V, r, c + i]


def _kernel(version):  # type: ignore[no-untyped-def]
    """numba keeps compiled code under the time stamp of this file and what the kernel encloses. The files that it calls
    do not count, so a checksum of them is enclosed.
    """

    def code_tile(
        decode, planes, errors, references, m, moves, orders, sizes, puts, put_counts, near_rows, near, far, around,
        period, reach, lams, lamv, ridges, targets, width, blocks, K, nets, blob, heads, tail, length,
        G, S, weights, XP, A, C, X, bases, rows, pred, mags, T, factors, F, words, state, hidden, inner, y, weight,
        mean, slope, floats, floats8, acc, picked, edges, out, window, noted, lows, seen, told, chosen, average,
    ):  # fmt: skip
        """Code the tile's planes (P, h, w), int32 of 0 .. m, in order; filled in place when decoding.

        Returns the length of the tail; -1 if it was too short, -2 if a sample came out above m. With `chosen` of the
        shape of the planes nothing is coded: inputs of pixels whose row is not -1 go to `seen`, what else is known to
        `told`.
        """
        _ = version
        P, h, w = planes.shape
        V = sizes.shape[1]
        L = len(heads)
        U = w + 2 * (h - 1)
        NB = (h + BL - 1) // BL
        top = 32 * m
        half = bucket_of(m, 0) + 1
        alphabet = 2 * half
        deep = m >= 16
        dump = chosen.shape[0] == P and chosen.shape[1] == h
        base, blend, q, centre, values = bases[0], rows[0], rows[1], rows[2], rows[3]
        stride, rate, started, ended = rows[4], rows[5], rows[6], rows[7]
        num, den, stat = floats[0], floats[1], floats[2]
        for s in range(len(edges)):  # what is beyond the last is above all samples
            edges[s] = edge_of(s, half) if s <= alphabet else LARGEST + 1
        at_weight, at_mean, at_slope = address_of(weight, 0, 0), address_of(mean, 0, 0), address_of(slope, 0, 0)
        at_edges, at_out = address_of(edges, 0, 0), address_of(out, 0, 0)
        at_sigmoid, at_window = address_of(SIGMOIDS, 0, 0), address_of(window, 0, 0)
        level = np.float32(127.5) / np.float32(m)
        done = 0
        place = length
        before = -1
        for p in range(P):
            R = 0
            while references.shape[1] > R and references[p, R] >= 0:
                R += 1
            n, size = orders[R], sizes[R]
            n_words = (n + 8) // 8 * 8
            G[0] = (m + 1) >> 1
            for s in range(R):
                lay_out(G[1 + s], planes[references[p, s]], h, w, (m + 1) >> 1)
                lay_out(G[2 + R + V + s], errors[references[p, s]], h, w, np.int64(0))
            G[1 + R : 2 + R + V] = (m + 1) >> 2
            if before == R:
                S[:, PAD : PAD + NB] *= KEPT
            else:
                S[:, PAD : PAD + NB] = F0
                for j in range(n):
                    weights[:, :, j] = np.floor(np.float64(targets[R, j]) * np.float64(1 << WEIGHT_BITS) + 0.5)
            before = R
            for u in range(U):
                y0, y1 = max(0, (u - w + 2) >> 1), min(h - 1, u >> 1)
                ya = y0 // BL * BL
                if u % BL == 0:
                    if u > 0:
                        for b in range(max(0, (u - BL - w + 2) >> 1) // BL, min(h - 1, (u - 1) >> 1) // BL + 1):
                            learn(XP, b, n_words, n, size, lams, A, S)
                        for v in range(V):
                            if (u // BL) % period[v] == 0:
                                end = min(h - 1, (u + BL * period[v] - 1) >> 1) // BL + 1
                                for b in range(ya // BL, end, 8):
                                    solve(
                                        S, v, b, min(end - b, 8), size[v], lamv[v], reach[v], ridges[v], targets[R], C,
                                        floats8, weights,
                                    )  # fmt: skip
                    XP[ya : (min(h - 1, (u + BL - 1) >> 1) // BL + 1) * BL] = 0
                n8 = (y1 - ya) // BL * BL + BL
                lo, hi = y0 - ya, y1 - ya + 1
                regressors(G, R, u, ya, n8, moves[R], n, X, bases)
                predict(X, base, weights, size, ya // BL, n8, np.float64(top), pred, acc)
                for v in range(V + 1):
                    magnitudes(G[1 + R + v], u, ya, n8, near, np.int32(8 * LEAST_SCALE), mags[v])
                blend_predictions(mags, pred, n8, blend, top, num, den)
                at_q, at_stat, at_mag = address_of(q, 0, 0), address_of(stat, 0, 0), address_of(mags, V, 0)
                log_row(at_q, at_mag, at_mag, np.int32(0), n8 // 8)
                unit_row(at_stat, at_q, at_q, np.int32(3), n8 // 8)
                stat[:lo] = F0
                stat[hi:n8] = F0
                inputs(
                    G, R, V, u, ya, n8, X, near_rows[R], puts[R], put_counts[R], base, pred, mags, blend, q, top, level,
                    far, around, F, T, factors,
                )  # fmt: skip
                if dump:
                    for i in range(lo, hi):
                        row = chosen[p, ya + i, u - 2 * (ya + i)]
                        if row >= 0:
                            told[row, 0], told[row, 1], told[row, 2] = R, blend[i], q[i]
                            told[row, 3] = planes[p, ya + i, u - 2 * (ya + i)]
                            for k in range(4 * nets[R, 0]):
                                seen[row, k] = F[k, i] - 128
                else:
                    pack(F, nets[R, 0], n8, words)
                    network(nets[R], blob, words, width, blocks, 3 * K, n8, state, hidden, inner, y)
                    mixture(y, K, n8, q, blend, top, weight, mean, slope, centre, rate, stride, alphabet)
                if decode:
                    windows(window, stride, n8, half, m, K, weight, mean, slope, centre, rate)
                    lane = np.int64(0)
                    for i in range(lo, hi):
                        r = np.int64(heads[lane] & np.uint64(65535))
                        picked[i], begin, freq = find(
                            r, at_window + 32 * i, np.int64(stride[i]), half, m, K, centre[i], rate[i], mean.strides[0],
                            at_weight + 4 * i, at_mean + 4 * i, at_slope + 4 * i, at_edges, at_sigmoid, at_out,
                        )  # fmt: skip
                        place = pop_update(heads, lane, tail, place, begin, freq)
                        if place < 0:
                            return -1
                        lane = lane + 1 if lane + 1 < L else 0
                    for i in range(lo, hi):
                        values[i] = centre[i] + edges[picked[i]]
                    for low in (16, 0):
                        for i in range(lo, hi if m >> low >= 16 else lo):
                            bits = min(max(bits_of(picked[i], half) - low, 0), 16)
                            if bits > 0:
                                lane = (i - lo) % L
                                r = np.int64(heads[lane] & np.uint64(65535)) >> (16 - bits)
                                place = pop_update(heads, lane, tail, place, r << (16 - bits), 1 << (16 - bits))
                                if place < 0:
                                    return -1
                                values[i] += r << low
                    for i in range(lo, hi):
                        if values[i] < 0 or values[i] > m:
                            return -2
                        planes[p, ya + i, u - 2 * (ya + i)] = values[i]
                else:
                    for i in range(lo, hi):
                        values[i] = planes[p, ya + i, u - 2 * (ya + i)]
                    if not dump:
                        intervals(started, ended, values, n8, half, m, K, weight, mean, slope, centre, rate)
                        for i in range(lo, hi):
                            noted[done + i - lo] = started[i]
                            if deep:
                                lows[done + i - lo] = ended[i]
                done += hi - lo
                settle(G, R, V, n, u, ya, lo, hi, errors[p], pred, blend, base, X, values)
                pad_front(G, u, h, w, R, V)
                for i in range(0, n8, 8):
                    for j in range(0, n + 1, 8):
                        note_pairs(
                            address_of(XP, ya + i, (u % BL) >> 1) + 4 * j, XP.strides[0],
                            address_of(X, j, i), X.strides[0], address_of(stat, 0, i), LIMIT, u % 2 == 1,
                        )  # fmt: skip
            if dump:
                average[R, -1] += NB
                for b in range(NB):
                    for j in range(n):
                        average[R, j] += weights[0, b, j]
        if decode or dump:
            return place
        for _p in range(P):
            for u in range(U - 1, -1, -1):
                count = min(h - 1, u >> 1) - max(0, (u - w + 2) >> 1) + 1
                done -= count
                for low in (0, 16):
                    for i in range(count - 1 if m >> low >= 16 else -1, -1, -1):
                        bits = min(max(np.int64(lows[done + i] & np.uint32(31)) - low, 0), 16)
                        if bits > 0:
                            number = np.int64(lows[done + i] >> np.uint32(5)) >> low & ((1 << bits) - 1)
                            place = push(heads, i % L, tail, place, number << (16 - bits), 1 << (16 - bits))
                lane = (count - 1) % L
                for i in range(count - 1, -1, -1):
                    begin = np.int64(noted[done + i] & np.uint32(65535))
                    place = push(heads, lane, tail, place, begin, np.int64(noted[done + i] >> np.uint32(16)) + 1)
                    lane = lane - 1 if lane > 0 else L - 1
        return place

    return compiled(code_tile)


code_tile = _kernel(zlib.crc32(b"".join(file.read_bytes() for file in sorted(Path(__file__).parent.glob("*.py")))))

"""One tile of all planes of a chunk <-> a message: all steps of coding a pixel, compiled (FORMAT.md 9).

Encoder and decoder are one function. The encoder knows the pixels and notes their intervals, to push them in reverse
order at the end; the decoder pops. numba compiles the function without the interpreter lock.

Arrays of a plane are *skewed*: cell [u, y] holds pixel (y, u - 2 y), so that a wavefront is contiguous, and the
neighbours (dy, dx) of its pixels are row u + dx + 2 dy, shifted by dy. Cells outside the tile repeat the nearest known
pixel.
"""

import zlib
from pathlib import Path

import numpy as np

from ..runtime.jit import address_of, compiled, merged, part
from ..runtime.vectors import copy_steps
from .adaptation import begin_head, learn_head, set_contexts
from .least_squares import PAD, learn, predict, solve
from .mixtures import (
    SIGMOIDS,
    bits_of,
    bucket_of,
    edge_of,
    find,
    gradients_of,
    intervals,
    look,
    mixture,
    pop_update,
    push,
    search,
    windows,
)
from .network import blend_predictions, inputs, lay_inputs, lay_moves, near_sizes, networks, span
from .pairs import note_pairs
from .rows import add_rows, double_less, error_row, log_row, unit_row
from .tables import BLOCK, CLIP, KEEP, LARGEST, MARGIN_U, MARGIN_Y, WEIGHT_BITS

MU, MY, BL = MARGIN_U, MARGIN_Y, BLOCK
F0, KEPT = np.float32(0), np.float32(KEEP)
LIMIT = np.float32(CLIP)


@merged
def pad_front(G, u, h, w, R, V):
    """Repeat the border pixels of wavefront u in the cells outside, of the plane and of its errors."""
    r = u + MU
    for each in range(V + 2):
        a = each + R if each > 0 else 0
        if u % 2 == 0 and u // 2 < h:
            y = u // 2 + MY
            for d in range(1, 5):
                G[a, r + 2 - d, y + 1] = G[a, r, y]
        k = u - w + 1
        if k >= 0 and k % 2 == 0 and k // 2 < h:
            y = k // 2 + MY
            for d in range(1, 5):
                G[a, r + d, y] = G[a, r, y]
        if u < w + 4:
            for k in range(1, 4):
                G[a, r, MY - k] = G[a, r, MY]


@part
def lay_out(S, plane, h, w, start):
    """Skew a known plane, and fill the cells outside that are neighbours on all sides."""
    S[:MU] = start
    for y in range(h):
        copy_steps(address_of(S, 2 * y + MU, y + MY), S.strides[0], address_of(plane, y, 0), plane.strides[1], w)
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
def fade(S, count):
    """Fade the statistics of a plane for the next one. A loop, since for `S *= KEPT` numba also compiles exceptions."""
    for v in range(S.shape[0]):
        for b in range(PAD, PAD + count):
            for j in range(S.shape[2]):
                for k in range(S.shape[3]):
                    S[v, b, j, k] *= KEPT


@merged
def regressors(G, R, u, ya, n8, moves, count, X, bases):
    """X[j, i] = the differences of neighbours to their plane's base, in half levels; bases = twice the bases."""
    r, c = u + MU, MY + ya
    for a in range(R + 1):
        west, north = address_of(G, a, r - 1) + 4 * c, address_of(G, a, r - 2) + 4 * (c - 1)
        add_rows(address_of(bases, a, 0), west, north, np.int32(0), n8 // 8)
    for j in range(count):
        a = moves[j, 0]
        row = address_of(G, a, r + moves[j, 1]) + 4 * (c + moves[j, 2])
        double_less(address_of(X, j, 0), row, address_of(bases, a, 0), np.int32(0), n8 // 8)


@merged
def record_wavefront(G, R, V, n, u, ya, lo, hi, pred, blend, base, X, values):
    """Store the values, the errors and the regression's target of a wavefront once its pixels are known."""
    r, c = u + MU, MY + ya
    count, at = (hi + 7) // 8, address_of(values, 0, 0)
    for i in range(lo, hi):
        G[0, r, c + i] = values[i]
    double_less(address_of(X, n, 0), at, address_of(base, 0, 0), np.int32(0), count)
    for v in range(V):
        error_row(address_of(G, 1 + R + v, r) + 4 * c, at, address_of(pred, v, 0), lo, hi, count)
    error_row(address_of(G, 1 + R + V, r) + 4 * c, at, address_of(blend, 0, 0), lo, hi, count)


def _kernel(version):  # type: ignore[no-untyped-def]
    """numba keeps compiled code under the time stamp of this file and what the kernel encloses. The files that it calls
    do not count, so a checksum of them is enclosed.
    """

    def code_tile(
        decode, planes, errors, references, m, moves, orders, sizes, puts, put_counts, near_rows, near, far, around,
        period, reach, lams, lamv, ridges, targets, width, blocks, K, nets, blob, heads, tail, length,
        G, S, weights, XP, A, C, X, bases, rows, pred, mags, T, factors, spots, moved, words, state, hidden, inner, y,
        weight, mean, slope, floats, floats8, picked, edges, out, window, found, eight, head, head_words, moments,
        rates, gradients, mask, pairs, sums, squares, noted, lows, seen, told, chosen, average,
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
        lay_moves(G, near, far, around, moved)
        done = 0
        place = length
        before = -1
        for p in range(P):
            R = 0
            while references.shape[1] > R and references[p, R] >= 0:
                R += 1
            n, size, net, target = orders[R], sizes[R], nets[R], targets[R]
            own_moves, logs = moves[R], puts[R, put_counts[R]]
            referred = False
            for later in range(p + 1, P):
                for s in range(references.shape[1]):
                    referred |= references[later, s] == p
            n_words = (n + 8) // 8 * 8
            # Other cells are written before they are read, but for those of no pixel, which may hold anything.
            G[0, :MU] = (m + 1) >> 1
            for s in range(R):
                lay_out(G[1 + s], planes[references[p, s]], h, w, (m + 1) >> 1)
                lay_out(G[2 + R + V + s], errors[references[p, s]], h, w, np.int64(0))
            G[1 + R : 2 + R + V, :MU] = (m + 1) >> 2
            if before == R:
                fade(S, NB)
            else:
                S[:, PAD : PAD + NB] = F0
                for j in range(n):
                    weights[:, :, j] = np.floor(np.float64(target[j]) * np.float64(1 << WEIGHT_BITS) + 0.5)
                begin_head(net, blob, 4 + 6 * blocks, width, head, head_words, moments, rates, K)
            before = R
            lay_inputs(G, X, T, factors, near_rows[R], moved, puts[R], 4 * net[0], spots)
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
                                        S, v, b, min(end - b, 8), size[v], lamv[v], reach[v], ridges[v], target, C,
                                        floats8, weights,
                                    )  # fmt: skip
                    # Blocks that are not in all of the next wavefronts; new ones begin with the first of them.
                    XP[ya : max(0, (u + BL - w + 1) >> 1) // BL * BL] = 0
                n8 = (y1 - ya) // BL * BL + BL
                lo, hi = y0 - ya, y1 - ya + 1
                first, vectors = span(lo, hi)
                known, known_step = address_of(planes, p, y0) + 4 * (u - 2 * y0), planes.strides[1] - 8
                regressors(G, R, u, ya, n8, own_moves, n, X, bases)
                predict(X, base, weights, size, ya // BL, n8, np.float64(top), pred)
                for v in range(V + 1):
                    near_sizes(G, 1 + R + v, u, ya, n8, moved, address_of(mags, v, 0))
                blend_predictions(mags, pred, n8, blend, top, num, den)
                at_q, at_stat, at_mag = address_of(q, 0, 0), address_of(stat, 0, 0), address_of(mags, V, 0)
                log_row(at_q, at_mag, at_mag, np.int32(0), n8 // 8)
                unit_row(at_stat, at_q, at_q, np.int32(3), n8 // 8)
                for i in range(lo):
                    stat[i] = F0
                for i in range(hi, n8):
                    stat[i] = F0
                inputs(
                    G, R, V, u, ya, n8, X, spots, logs, net[0], base, pred, mags,
                    blend, q, top, level, moved, T, factors, words,
                )  # fmt: skip
                if dump:
                    for i in range(lo, hi):
                        row = chosen[p, ya + i, u - 2 * (ya + i)]
                        if row >= 0:
                            told[row, 0], told[row, 1], told[row, 2] = R, blend[i], q[i]
                            told[row, 3] = planes[p, ya + i, u - 2 * (ya + i)]
                            for k in range(4 * net[0]):
                                seen[row, k] = (words[k // 4, i] >> 8 * (k % 4) & 255) - 128
                else:
                    set_contexts(q, n8, hidden, width // 4)
                    networks(net, blob, head_words, words, width, blocks, 3 * K, first, hi, state, hidden, inner, y)
                    mixture(y, K, first, vectors, q, blend, top, weight, mean, slope, centre, rate, stride, alphabet)
                if decode:
                    grouped = L % 8 == 0  # the next eight pixels are on lanes of their own
                    if not grouped:
                        windows(window, stride, n8, half, m, K, weight, mean, slope, centre, rate)
                    lane = np.int64(0)
                    for i in range(lo, hi):
                        r = np.int64(heads[lane] & np.uint64(65535))
                        if grouped:
                            k = (i - lo) % 8
                            if k == 0:
                                for other in range(8):
                                    eight[other] = np.int32(heads[lane + other] & np.uint64(65535))
                                search(found, eight, i, stride, half, m, K, weight, mean, slope, centre, rate)
                            low, high = np.int64(found[0, k]), np.int64(found[1, k])
                            start, end = np.int64(found[2, k]), np.int64(found[3, k])
                        else:
                            low, high, start, end = look(at_window + 32 * i, r, np.int64(stride[i]), half)
                        if high - low > 1:
                            low, start, end = find(
                                r, low, high, start, end, np.int64(stride[i]), centre[i], m, rate[i], K,
                                at_weight + 4 * i, at_mean + 4 * i, at_slope + 4 * i, mean.strides[0], at_edges,
                                at_sigmoid, at_out,
                            )  # fmt: skip
                        picked[i] = low
                        place = pop_update(heads, lane, tail, place, start, end - start)
                        if place < 0:
                            return -1
                        lane = lane + 1 if lane + 1 < L else 0
                    for i in range(lo, hi):
                        values[i] = centre[i] + edges[picked[i]]
                    for low in (16, 0):
                        lane = np.int64(-1)
                        for i in range(lo, hi if m >> low >= 16 else lo):
                            lane = lane + 1 if lane + 1 < L else 0
                            bits = min(max(bits_of(picked[i], half) - low, 0), 16)
                            if bits > 0:
                                r = np.int64(heads[lane] & np.uint64(65535)) >> (16 - bits)
                                place = pop_update(heads, lane, tail, place, r << (16 - bits), 1 << (16 - bits))
                                if place < 0:
                                    return -1
                                values[i] += r << low
                    for i in range(lo, hi):
                        if values[i] < 0 or values[i] > m:
                            return -2
                    copy_steps(known, known_step, address_of(values, 0, lo), np.int64(4), hi - lo)
                else:
                    copy_steps(address_of(values, 0, lo), np.int64(4), known, known_step, hi - lo)
                    if not dump:
                        intervals(
                            started, ended, gradients, values, first, vectors, q, half, m, K, weight, mean, slope,
                            centre, rate,
                        )  # fmt: skip
                        for i in range(lo, hi):
                            noted[done + i - lo] = started[i]
                            if deep:
                                lows[done + i - lo] = ended[i]
                if not dump and hi > lo:
                    if decode:
                        gradients_of(gradients, values, first, vectors, q, m, K, weight, mean, slope, centre)
                    learn_head(
                        hidden, K, lo, hi, first, vectors, gradients, mask, pairs, sums, squares, head, head_words,
                        moments, rates,
                    )  # fmt: skip
                done += hi - lo
                record_wavefront(G, R, V, n, u, ya, lo, hi, pred, blend, base, X, values)
                if referred:
                    found_errors = address_of(G, 1 + R + V, u + MU) + 4 * (MY + y0)
                    copy_steps(address_of(errors, p, y0) + 4 * (u - 2 * y0), known_step, found_errors, 4, hi - lo)
                pad_front(G, u, h, w, R, V)
                for i in range(0, n8, 8):
                    for j in range(0, n + 1, 8):
                        note_pairs(
                            address_of(XP, ya + i + u % BL, 0) + 4 * j, XP.strides[1],
                            address_of(X, j, i), X.strides[0], address_of(stat, 0, i), LIMIT,
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
                    lane = count % L
                    for i in range(count - 1 if m >> low >= 16 else -1, -1, -1):
                        lane = lane - 1 if lane > 0 else L - 1
                        bits = min(max(np.int64(lows[done + i] & np.uint32(31)) - low, 0), 16)
                        if bits > 0:
                            number = np.int64(lows[done + i] >> np.uint32(5)) >> low & ((1 << bits) - 1)
                            place = push(heads, lane, tail, place, number << (16 - bits), 1 << (16 - bits))
                lane = (count - 1) % L
                for i in range(count - 1, -1, -1):
                    begin = np.int64(noted[done + i] & np.uint32(65535))
                    place = push(heads, lane, tail, place, begin, np.int64(noted[done + i] >> np.uint32(16)) + 1)
                    lane = lane - 1 if lane > 0 else L - 1
        return place

    return compiled(code_tile)


code_tile = _kernel(zlib.crc32(b"".join(file.read_bytes() for file in sorted(Path(__file__).parent.glob("*.py")))))

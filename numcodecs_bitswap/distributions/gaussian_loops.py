"""Push and pop of a block of values with Gaussians (FORMAT.md section 3.8) on a CPU, one compiled loop each: symbols
and places, without intermediate arrays of the block's size.

CHUNK values at a time are prepared by vector loops, then coded ROW lanes at a time; the few values in the tails are
handled one by one. Both loops take a message's arrays, then means, deviations, whether there is a floor, values (B, n),
and the first message and the one after the last.
"""

from typing import Any

import numpy as np

from ..rans.numba_rows import ROW, WHOLE, idle_lanes, pop_row, push_run
from ..runtime.jit import compiled, inlined, scratch
from .gaussian_numba import SIZES64, STARTS64, cum, far, field, mass
from .gaussian_places import ALPHABET, CENTRE, LARGEST, LAST_BITS, TAILS
from .tables import positions, vae_tables

CHUNK = 256
POSITION = positions(vae_tables().normal).astype(np.int32)
"""The inverse of NORMAL, for guesses of symbols."""
ONES = WHOLE - 2 * TAILS
"""The mass that a floor leaves."""


@inlined
def _middle(d, offset, inverse, floor):  # type: ignore[no-untyped-def]
    """Start and freq of the symbol in the middle that is d steps from that of the mean."""
    start, end = mass(d, offset, inverse), mass(d + 1, offset, inverse)
    if floor:
        start, end = TAILS + (ONES * start >> 16), TAILS + (ONES * end >> 16)
    return start, end - start


@inlined
def _number(symbol):  # type: ignore[no-untyped-def]
    """The number of a tail, from its symbol."""
    return max(symbol - (ALPHABET - TAILS), TAILS - 1 - symbol)


@inlined
def _length(tail, shift):  # type: ignore[no-untyped-def]
    """The number of bits of the places in a tail's symbol."""
    return shift + SIZES64[np.uint64(tail)] if tail + 1 < TAILS else LAST_BITS


@compiled
def push(heads, tail, sizes, means, deviations, floor, values, first, last):  # type: ignore[no-untyped-def]
    """Push values: low bits of the places, their high bits, symbols."""
    n, lanes = values.shape[1], heads.shape[1]
    row = scratch(ROW), scratch(ROW), scratch(ROW), scratch(ROW)
    starts, freqs, outer = np.empty((3, CHUNK + ROW), np.int32)
    states = idle_lanes(lanes)
    at_far, symbols, lengths, rests = np.empty((4, n), np.int64)  # of the values outside the middle
    for m in range(first, last):
        words, size = tail[m], sizes[m]
        states[:lanes] = heads[m]
        outside = 0
        for at in range((n - 1) // CHUNK * CHUNK, -1, -CHUNK):
            here = slice(at, min(at + CHUNK, n))
            value, mean, deviation = values[m, here], means[m, here], deviations[m, here]
            count, beyond = len(value), 0
            for j in range(count):
                shift, step, mantissa, _, _ = field(np.int64(mean[j]), deviation[j])
                d, reach = (value[j] >> shift) - step, 7 * mantissa >> 9
                outer[j] = (d < -reach) | (d >= reach)
                beyond += outer[j]
                starts[j], freqs[j] = (value[j] & ((1 << shift) - 1)) << (16 - shift), 1 << (16 - shift)
            for back in range(count if beyond else 0):
                j = count - 1 - back
                if outer[j]:
                    shift, step, mantissa, _, _ = field(np.int64(mean[j]), deviation[j])
                    d, reach = (value[j] >> shift) - step, 7 * mantissa >> 9
                    symbol, length, place = far(np.int64(value[j]), shift, step, d, reach)
                    at_far[outside], symbols[outside], lengths[outside], rests[outside] = (
                        at + j,
                        symbol,
                        length,
                        place >> 16,
                    )
                    outside += 1
                    free = max(16 - length, 0)
                    starts[j], freqs[j] = (place & 0xFFFF) << free, 1 << free
            size = push_run(states, lanes, at, count, starts, freqs, row, words, size)
        for k in range(outside):
            if lengths[k] > 16:
                free = 32 - lengths[k]
                starts[0], freqs[0] = rests[k] << free, 1 << free
                size = push_run(states, lanes, at_far[k], 1, starts, freqs, row, words, size)
        done = 0
        for at in range((n - 1) // CHUNK * CHUNK, -1, -CHUNK):
            here = slice(at, min(at + CHUNK, n))
            value, mean, deviation = values[m, here], means[m, here], deviations[m, here]
            count, least = len(value), np.int32(1)
            for j in range(count):
                shift, step, _, offset, inverse = field(np.int64(mean[j]), deviation[j])
                starts[j], freqs[j] = _middle((value[j] >> shift) - step, offset, inverse, floor)
            while done < outside and at_far[done] >= at:
                j = at_far[done] - at
                _, _, mantissa, offset, inverse = field(np.int64(mean[j]), deviation[j])
                start = cum(symbols[done], offset, 7 * mantissa >> 9, inverse, floor)
                starts[j] = start
                freqs[j] = cum(symbols[done] + 1, offset, 7 * mantissa >> 9, inverse, floor) - start
                done += 1
            for j in range(count):
                least = min(least, freqs[j])
            if least < 1:
                size = -1
                break
            size = push_run(states, lanes, at, count, starts, freqs, row, words, size)
        heads[m], sizes[m] = states[:lanes], size


@inlined
def _search(r, s, offset, reach, inverse, floor):  # type: ignore[no-untyped-def]
    """The symbol with cum(s) <= r < cum(s + 1), its start and freq, from a guess s."""
    start = cum(s, offset, reach, inverse, floor)
    while start > r:
        s -= 1
        start = cum(s, offset, reach, inverse, floor)
    end = cum(s + 1, offset, reach, inverse, floor)
    while end <= r:
        s, start = s + 1, end
        end = cum(s + 1, offset, reach, inverse, floor)
    return s, start, end - start


@compiled
def pop(heads, tail, sizes, means, deviations, floor, values, first, last):  # type: ignore[no-untyped-def]
    """Pop values: symbols, high bits of the places, their low bits."""
    n, lanes = values.shape[1], heads.shape[1]
    row = scratch(ROW), scratch(ROW), scratch(ROW), scratch(ROW)
    start, freq, guess = row[0], row[1], scratch(ROW)
    offsets, mantissas, inverses = np.ones((3, CHUNK + ROW), np.int32)
    shifts, steps, frees, places = np.zeros((4, CHUNK + ROW), np.int32)
    at_far, rests = np.empty((2, n), np.int64)  # of the values outside the middle
    states = idle_lanes(lanes)
    for m in range(first, last):
        words, symbols, size = tail[m], values[m], sizes[m]
        states[:lanes] = heads[m]
        outside = 0
        for at in range(0, n, CHUNK):
            here = slice(at, min(at + CHUNK, n))
            symbol, mean, deviation = symbols[here], means[m, here], deviations[m, here]
            for j in range(len(symbol)):
                _, _, mantissas[j], offsets[j], inverses[j] = field(np.int64(mean[j]), deviation[j])
            done = 0
            while done < len(symbol):
                lane = (at + done) % lanes
                width = min(min(lanes - lane, ROW), len(symbol) - done)
                missed: Any = 0
                own = np.uint64(lane)
                for k in range(ROW):
                    place, r = np.uint64(done + k), states[own + np.uint64(k)] & 0xFFFF
                    mantissa, offset, inverse = (
                        np.int64(mantissas[place]),
                        np.int64(offsets[place]),
                        np.int64(inverses[place]),
                    )
                    reach = 7 * mantissa >> 9
                    d = (np.int64(POSITION[np.uint64(r >> 4)]) * mantissa * 21845 + (offset << 26)) >> 32
                    d = min(max(d, -reach), reach - 1)  # 21845 is 2^26 / 3072
                    guess[k] = d
                    start[k], freq[k] = _middle(d, offset, inverse, floor)
                for k in range(width, ROW):
                    start[k], freq[k] = 0, WHOLE
                for k in range(ROW):
                    r = states[own + np.uint64(k)] & 0xFFFF
                    missed += np.int64((r < start[k]) | (r >= start[k] + freq[k]))
                for k in range(width if missed else 0):
                    place, r = np.uint64(done + k), states[own + np.uint64(k)] & 0xFFFF
                    if not start[k] <= r < start[k] + freq[k]:
                        reach = 7 * np.int64(mantissas[place]) >> 9
                        s, start[k], freq[k] = _search(
                            r, guess[k] + CENTRE, np.int64(offsets[place]), reach, np.int64(inverses[place]), floor
                        )
                        guess[k] = s - CENTRE
                        if _number(s) >= 0:
                            at_far[outside], rests[outside] = at + done + k, 0
                            outside += 1
                size = pop_row(states, own, row, words, size)
                for k in range(width):
                    symbol[np.uint64(done + k)] = guess[k] + CENTRE
                done += width
        for e in range(outside):
            i = at_far[e]
            shift, _, _, _, _ = field(np.int64(means[m, i]), deviations[m, i])
            length = _length(_number(symbols[i]), shift)
            if length > 16:
                for k in range(ROW):
                    start[k], freq[k] = 0, WHOLE
                own = np.uint64(i % lanes)
                freq[0] = 1 << (32 - length)
                rests[e] = (states[own] & 0xFFFF) >> (32 - length)
                start[0] = rests[e] << (32 - length)
                size = pop_row(states, own, row, words, size)
        now = 0
        for at in range(0, n, CHUNK):
            here = slice(at, min(at + CHUNK, n))
            symbol, mean, deviation = symbols[here], means[m, here], deviations[m, here]
            for j in range(len(symbol)):
                shifts[j], steps[j], _, _, _ = field(np.int64(mean[j]), deviation[j])
                frees[j] = 16 - shifts[j]
            before = now
            while now < outside and at_far[now] < at + len(symbol):
                j = at_far[now] - at
                frees[j] = max(16 - _length(_number(symbol[j]), np.int64(shifts[j])), 0)
                now += 1
            done = 0
            while done < len(symbol):
                lane = (at + done) % lanes
                width = min(min(lanes - lane, ROW), len(symbol) - done)
                own = np.uint64(lane)
                for k in range(ROW):
                    place, r = np.uint64(done + k), states[own + np.uint64(k)] & 0xFFFF
                    free = np.int64(frees[place])
                    places[place] = r >> free
                    start[k], freq[k] = r >> free << free, 1 << free
                for k in range(width, ROW):
                    start[k], freq[k] = 0, WHOLE
                size = pop_row(states, own, row, words, size)
                done += width
            for e in range(before, now):
                j = at_far[e] - at
                t, above = _number(symbol[j]), symbol[j] > CENTRE
                shift, step, mantissa, _, _ = field(np.int64(mean[j]), deviation[j])
                reach = 7 * mantissa >> 9
                beyond = (STARTS64[t] << shift) + places[j] + (rests[e] << 16)
                end = (step + (reach if above else -reach)) << shift
                there = end + beyond if above else end - 1 - beyond
                symbol[j], places[j] = (there >> shift) - step + CENTRE, there & ((1 << shift) - 1)
            for j in range(len(symbol)):
                there = ((np.int64(symbol[j]) - CENTRE + steps[j]) << shifts[j]) + places[j]
                symbol[j] = min(max(there, -LARGEST), LARGEST)
        heads[m], sizes[m] = states[:lanes], size

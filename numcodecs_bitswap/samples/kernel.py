"""Loops that numpy takes many passes for. Words and low bits are uint64 here, whatever their size, so that each loop is
compiled once. What a decoder runs is integers only.
"""

import math

import numpy as np

from ..runtime.loops import compiled, part


@part
def low_of_cell(cell, p, exponent, first):
    """Low bits of a cell >= 0: those of the floats' mantissas; in cell 0, of all floats."""
    return min(p + 1 - math.frexp(float(cell))[1], exponent) if cell > 0 else first


def split_cells(words, bits, p, exponent, first, trailing, least, numbers, low, counts):
    """`Fixed.split` of words (n,): numbers uint32, low bits uint64, counts uint8."""
    sign = np.uint64(1) << np.uint64(bits - 1)
    for i in range(len(words)):
        magnitude = np.int64(words[i] & (sign - np.uint64(1)))
        biased = magnitude >> p
        mantissa = magnitude & ((np.int64(1) << p) - 1)
        if biased > 0:
            mantissa |= np.int64(1) << p
        shift = min(exponent + 1 - max(biased, 1), bits - 1)
        cell = mantissa >> shift
        rest, count = mantissa & ((np.int64(1) << shift) - 1), shift
        if cell == 0:
            rest, count = magnitude, first
        low[i] = rest >> trailing
        counts[i] = max(count - trailing, 0)
        numbers[i] = (-1 - cell if words[i] >= sign else cell) - least


def count_low(numbers, p, exponent, first, trailing, least, counts):
    """`Fixed.low_counts` of numbers (n,)."""
    for i in range(len(numbers)):
        cell = np.int64(numbers[i]) + least
        cell = -1 - cell if cell < 0 else cell
        counts[i] = max(low_of_cell(cell, p, exponent, first) - trailing, 0)


def join_cells(numbers, low, bits, p, exponent, trailing, least, words):
    """`Fixed.words` of numbers (n,) and low bits uint64 (n,): words uint64 (n,)."""
    for i in range(len(numbers)):
        cell = np.int64(numbers[i]) + least
        below = cell < 0
        cell = -1 - cell if below else cell
        magnitude = np.int64(low[i]) << trailing
        if cell > 0:
            shift = low_of_cell(cell, p, exponent, 0)
            # With the leading bit, which adds 1 to the exponent.
            magnitude = (magnitude | cell << max(shift, 0)) + (max(exponent - shift, 0) << p)
        words[i] = np.uint64(magnitude) | (np.uint64(1) << np.uint64(bits - 1) if below else np.uint64(0))


def fill_rows(gap, closed, source):
    """Where each word of rows without gaps is taken from (`Gaps.close`): gap (rows, w) -> source (rows, width)."""
    rows, w = gap.shape
    good = 0
    while gap[good].all():
        good += 1
    for r in range(rows):
        if not gap[r].all():
            good = r
        first = 0
        while gap[good, first]:
            first += 1
        last, at = first, 0
        for x in range(w):
            if not gap[good, x]:
                last = x
            if not closed or not gap[r, x]:
                source[r, at] = good * w + last
                at += 1
        if at == 0:
            last = first
        while at < source.shape[1]:
            source[r, at] = good * w + last
            at += 1


def follow_copies(mask, kinds, neighbours, source):
    """Where each word of planes is copied from in the end; False: a copy of what is outside of its plane."""
    P, h, w = mask.shape
    for p in range(P):
        for y in range(h):
            for x in range(w):
                at = (p * h + y) * w + x
                k = np.int64(mask[p, y, x]) - kinds - 1
                if k < 0:
                    source[at] = at
                    continue
                yy, xx = y + neighbours[k, 0], x + neighbours[k, 1]
                if yy < 0 or xx < 0 or xx >= w:
                    return False
                source[at] = source[(p * h + yy) * w + xx]
    return True


def gather_bits(low, counts, k, bits):
    """Bit k of those that have so many bits, eight to a byte, the first the highest; behind one byte more.

    A byte is stored with each bit, which is faster than to ask whether it is full.
    """
    at, byte = 0, np.int64(0)
    for i in range(len(low)):
        there = np.int64(counts[i] > k)
        byte = byte << there | (np.int64(low[i] >> np.uint64(k)) & there)
        at += there
        bits[(at + 7) >> 3] = (byte << (-at & 7)) & 255


def spread_bits(bits, counts, k, low):
    """Inverse of `gather_bits`: bit k of those is added to `low`."""
    at = 0
    for i in range(len(low)):
        there = np.int64(counts[i] > k)
        if at >> 3 < len(bits):
            low[i] |= np.uint64(bits[at >> 3] >> (7 - (at & 7)) & there) << np.uint64(k)
        at += there


def fitted_step(x, step, off, fine):
    """A step fitted to ascending x, some of them 0, by least squares: to the nearest first, then to three times as far;
    0 if they are not multiples of it, as far as `off` and `fine` of it allow.
    """
    reach, count = 4.0, 0
    while count < len(x):
        begin, end = np.searchsorted(x, -reach * step), np.searchsorted(x, reach * step, side="right")
        count = end - begin
        reach *= 3
        if count < 3:
            continue
        # Of what is left of x, which is small, so that sums of it are exact to the last digits of the step.
        mean_k, mean = 0.0, 0.0
        for i in range(begin, end):
            k = np.rint(x[i] / step)
            mean_k += k / count
            mean += (x[i] - k * step) / count
        kk, more = 0.0, 0.0
        for i in range(begin, end):
            k = np.rint(x[i] / step)
            kk += (k - mean_k) * (k - mean_k)
            more += (k - mean_k) * (x[i] - k * step - mean)
        if kk == 0:
            continue
        more /= kk
        squares = 0.0
        for i in range(begin, end):
            k = np.rint(x[i] / step)
            rest = x[i] - k * step - mean - more * (k - mean_k)
            squares += rest * rest
        step += more
        if not step > 0 or math.sqrt(squares / count) > max(off, fine * step):
            return 0.0
    return step


@part
def room_of(s, k, low, high):
    """Between lines of slope s: how far above the lowest the highest may lie, and the middle."""
    top, bottom = np.inf, -np.inf
    for i in range(len(k)):
        top = min(top, high[i] - s * k[i])
        bottom = max(bottom, low[i] - s * k[i])
    return top - bottom, (top + bottom) / 2


def room(s, k, low, high):
    """The same, compiled by itself."""
    return room_of(s, k, low, high)


def widest(left, right, k, low, high):
    """The slope between two that leaves the most room, a concave function of it: by halving."""
    for _ in range(60):
        a, b = left + 0.382 * (right - left), left + 0.618 * (right - left)
        if room_of(a, k, low, high)[0] < room_of(b, k, low, high)[0]:
            left = a
        else:
            right = b
    return (left + right) / 2


split_cells = compiled(split_cells)
count_low = compiled(count_low)
join_cells = compiled(join_cells)
fill_rows = compiled(fill_rows)
follow_copies = compiled(follow_copies)
gather_bits = compiled(gather_bits)
spread_bits = compiled(spread_bits)
fitted_step = compiled(fitted_step)
room = compiled(room)
widest = compiled(widest)

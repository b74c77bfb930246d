"""Compiled loops for which numpy needs many passes. Words and low bits of every size are uint64 here, so that each loop
is compiled once. The decoder's loops use integers only.
"""

import math

import numpy as np

from ..runtime.loops import compiled, part


@part
def low_of_cell(cell, p, exponent, first):
    """Number of low bits of a cell >= 0: what the cell leaves of the mantissa; in cell 0, all bits of its floats."""
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
            # The sum includes the leading bit, which adds 1 to the exponent.
            magnitude = (magnitude | cell << max(shift, 0)) + (max(exponent - shift, 0) << p)
        words[i] = np.uint64(magnitude) | (np.uint64(1) << np.uint64(bits - 1) if below else np.uint64(0))


def fill_rows(gap, closed, source):
    """The index of the word that `Gaps.close` puts in each place: gap (rows, w) -> source (rows, width)."""
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
    """Find the word from which each word is copied in the end. Returns False if one copies a word outside its plane."""
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
    """Pack bit k of the numbers that have it, eight to a byte, highest bit first. `bits` needs one byte to spare.

    A byte is stored with each bit, which is faster than a test whether it is full.
    """
    at, byte = 0, np.int64(0)
    for i in range(len(low)):
        there = np.int64(counts[i] > k)
        byte = byte << there | (np.int64(low[i] >> np.uint64(k)) & there)
        at += there
        bits[(at + 7) >> 3] = (byte << (-at & 7)) & 255


def spread_bits(bits, counts, k, low):
    """Inverse of `gather_bits`: adds bit k to `low`."""
    at = 0
    for i in range(len(low)):
        there = np.int64(counts[i] > k)
        if at >> 3 < len(bits):
            low[i] |= np.uint64(bits[at >> 3] >> (7 - (at & 7)) & there) << np.uint64(k)
        at += there


def fitted_step(x, step, off, fine):
    """Least-squares fit of a step to ascending x, of which some are 0: over a range of x that triples with each round.
    0 if x are not multiples of the step within the tolerances `off` and `fine`.
    """
    reach, count = 4.0, 0
    while count < len(x):
        begin, end = np.searchsorted(x, -reach * step), np.searchsorted(x, reach * step, side="right")
        count = end - begin
        reach *= 3
        if count < 3:
            continue
        # Fit the residuals of x: they are small, so their sums are exact to the last digits of the step.
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
    """The range of constants with which a line of slope s meets all intervals: its width and its middle."""
    top, bottom = np.inf, -np.inf
    for i in range(len(k)):
        top = min(top, high[i] - s * k[i])
        bottom = max(bottom, low[i] - s * k[i])
    return top - bottom, (top + bottom) / 2


def room(s, k, low, high):
    """`room_of`, compiled on its own."""
    return room_of(s, k, low, high)


def widest(left, right, k, low, high):
    """The slope in left .. right with the most room, which is a concave function of it, by bisection."""
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

"""Loops of the first test of an array: whether a few of its colours and blocks look like decoded JPEG. They run for
every image, so they are cheap. Integers, and single-precision operations that are rounded one by one: the result is the
same on every machine.
"""

import numpy as np

from ..runtime.jit import compiled, part
from . import finding_kernel
from .colour import (
    BLUE_TO_CB,
    BLUE_TO_CR,
    BLUE_TO_LUMA,
    GREEN_TO_CB,
    GREEN_TO_CR,
    GREEN_TO_LUMA,
    RED_TO_CB,
    RED_TO_CR,
    RED_TO_LUMA,
)
from .decoding_kernel import add_both, add_cb, add_cr
from .finding_kernel import UNIT, weigh

LIKELY = 4
"""Number of grid offsets that are tested if there is no other evidence for a JPEG."""
ENOUGH = 25
"""Number of windows that make the counts of frequencies next to 0 reliable."""
ALIKE = 20
"""At the best offset of a JPEG, the frequencies next to 0 exceed the mean of all offsets by 1/ALIKE of the others."""
WINDOW = 15
"""Side of a window, which contains a block at each of the 64 offsets."""
TRANSFORM = (finding_kernel.TRANSFORM / 2**20).astype(np.float32)
"""The orthonormal cosine transform of size 8."""


@part
def estimate(red, green, blue):
    """Estimated luma and chroma of a colour, whether they are surely right, and whether a level was clipped."""
    cb = ((RED_TO_CB * red + GREEN_TO_CB * green + BLUE_TO_CB * blue + 32767) >> 16) + 128
    cr = ((RED_TO_CR * red + GREEN_TO_CR * green + BLUE_TO_CR * blue + 32767) >> 16) + 128
    cut = min(red, green, blue) == 0 or max(red, green, blue) == 255
    luma = red - add_cr(cr)
    sure = luma == green - add_both(cb, cr) and luma == blue - add_cb(cb) and 0 <= luma < 256 and not cut
    if not sure:
        luma = (RED_TO_LUMA * red + GREEN_TO_LUMA * green + BLUE_TO_LUMA * blue + 32768) >> 16
    return luma, cb, cr, sure, cut


def estimate_all(colours, first, found, sure, cut):
    """`estimate` for all colours (n, 3) whose channel of red is `first`: int32 (3, n), bool (n,)."""
    for n in range(len(colours)):
        red, green, blue = np.int64(colours[n, first]), np.int64(colours[n, 1]), np.int64(colours[n, 2 - first])
        found[0, n], found[1, n], found[2, n], sure[n], cut[n] = estimate(red, green, blue)


def glance(colours, first, stride):
    """For some colours: the number without clipped levels; the number of those that no luma and chroma near the
    estimate give; whether any is not gray.
    """
    known, bad, coloured = 0, 0, False
    for n in range(0, len(colours), stride):
        red, green, blue = np.int64(colours[n, first]), np.int64(colours[n, 1]), np.int64(colours[n, 2 - first])
        coloured |= red != green or green != blue
        _, cb, cr, sure, cut = estimate(red, green, blue)
        if cut:
            continue
        known += 1
        for i in range(-1, 2):
            for j in range(-1, 2):
                luma = red - add_cr(cr + j)
                sure |= luma == green - add_both(cb + i, cr + j) and luma == blue - add_cb(cb + i)
        bad += not sure
    return known, bad, coloured


@part
def read_windows(array, first, tops, lefts, levels, cut):
    """Read windows (n, 15, 15) that begin at `tops` and `lefts`: luma less 128, or the middle channel less 128 if
    `first` is -1, and where a level was clipped.
    """
    middle = array.shape[2] >> 1
    for n in range(len(tops)):
        for i in range(WINDOW):
            for j in range(WINDOW):
                y, x = tops[n] + i, lefts[n] + j
                if first < 0:
                    level = np.int64(array[y, x, middle])
                    cut[n, i, j] = level == 0 or level == 255
                else:
                    red, green, blue = (
                        np.int64(array[y, x, first]),
                        np.int64(array[y, x, 1]),
                        np.int64(array[y, x, 2 - first]),
                    )
                    level, _, _, _, cut[n, i, j] = estimate(red, green, blue)
                levels[n, i, j] = level - 128


@part
def count_small(levels, tops, lefts, counts):
    """Count the frequencies next to 0 in the blocks of windows, for each offset from the array's origin: (64,)."""
    lines, near = np.empty((WINDOW, 64), np.float32), np.empty(64, np.int32)
    folded = np.empty((2, 4, 64), np.float32)
    column, sums = np.zeros((WINDOW, WINDOW + 1), np.float32), np.empty((64, WINDOW + 1), np.float32)
    counts[:] = 0
    for n in range(len(levels)):
        # Columns are long enough for vectors, rows of eight are not.
        for y in range(WINDOW):
            for x in range(WINDOW):
                column[x, y] = levels[n, y, x]
        for u in range(8):
            for x in range(8):
                for y in range(WINDOW + 1):
                    sums[8 * u + x, y] = (
                        TRANSFORM[u, 0] * column[x, y]
                        + TRANSFORM[u, 1] * column[x + 1, y]
                        + TRANSFORM[u, 2] * column[x + 2, y]
                        + TRANSFORM[u, 3] * column[x + 3, y]
                        + TRANSFORM[u, 4] * column[x + 4, y]
                        + TRANSFORM[u, 5] * column[x + 5, y]
                        + TRANSFORM[u, 6] * column[x + 6, y]
                        + TRANSFORM[u, 7] * column[x + 7, y]
                    )
        for y in range(WINDOW):
            for p in range(64):
                lines[y, p] = sums[p, y]
        for y in range(8):
            near[:] = 0
            for k in range(4):
                a, b = lines[y + k], lines[y + 7 - k]
                for p in range(64):
                    folded[0, k, p], folded[1, k, p] = a[p] + b[p], a[p] - b[p]
            for v in range(8):
                a, b, c, d = TRANSFORM[v, 0], TRANSFORM[v, 1], TRANSFORM[v, 2], TRANSFORM[v, 3]
                half = folded[v & 1]
                for p in range(64):
                    total = a * half[0, p] + b * half[1, p] + c * half[2, p] + d * half[3, p]
                    near[p] += abs(total) < np.float32(1)
            for u in range(8):
                for x in range(8):
                    counts[8 * ((tops[n] + y) & 7) + ((lefts[n] + x) & 7)] += near[8 * u + x]


@part
def describe(levels, cut, top, left):
    """For a block of a window: the number of clipped samples, and the number equal to their neighbour to the right or
    below, whichever is larger.
    """
    lost, across, down = 0, 0, 0
    for i in range(top, top + 8):
        for j in range(left, left + 8):
            lost += cut[i, j]
            across += j < left + 7 and levels[i, j] == levels[i, j + 1]
            down += i < top + 7 and levels[i, j] == levels[i + 1, j]
    return lost, max(across, down)


@part
def block_values(levels, top, left, lines, values):
    """Frequencies (64,) of a block of a window, in units of 1/64."""
    for v in range(8):
        for x in range(8):
            total = np.float32(0)
            for k in range(8):
                total += TRANSFORM[v, k] * levels[top + k, left + x]
            lines[v, x] = np.float32(UNIT) * total
    for v in range(8):
        for u in range(8):
            total = np.float32(0)
            for k in range(8):
                total += TRANSFORM[u, k] * lines[v, k]
            values[8 * v + u] = total


@part
def select(counts, largest):
    """Find the indices of the largest counts, of equal ones the first. np.argsort takes seconds to compile."""
    left = counts.copy()
    for m in range(len(largest)):
        best = 0
        for k in range(1, len(left)):
            if left[k] > left[best]:
                best = k
        largest[m], left[best] = best, -1


def look(array, first, tops, lefts, likely, unsure, logarithms, reciprocals, scale, counts, evidence):
    """Find the likeliest offsets 8 y + x, `likely`, int64 (m,), and the evidence for steps per block at each, in 1/256
    nat. `counts`, (64,) : the number of frequencies next to 0 at each offset.

    first, tops, lefts : as in `read_windows`. unsure : `grid.UNSURE`.
    """
    n_windows, number = len(tops), len(likely)
    levels, cut = np.empty((n_windows, WINDOW, WINDOW), np.float32), np.empty((n_windows, WINDOW, WINDOW), np.bool_)
    read_windows(array, first, tops, lefts, levels, cut)
    count_small(levels, tops, lefts, counts)
    select(counts, likely)
    # Without a JPEG the counts are about the same at all offsets.
    most, total, of = 64 * counts[likely[0]], np.int64(0), 64 * 64 * n_windows
    for k in range(64):
        total += counts[k]
    if number == LIKELY and n_windows >= ENOUGH and 16 * total < 15 * of and ALIKE * (most - total) < of - total:
        evidence[:] = 0
        return
    described = np.empty((number, n_windows, 2), np.int64)
    for m in range(number):
        for n in range(n_windows):
            top, left = ((likely[m] >> 3) - tops[n]) & 7, ((likely[m] & 7) - lefts[n]) & 7
            described[m, n, 0], described[m, n, 1] = describe(levels[n], cut[n], top, left)
    # All offsets are compared on blocks within the same limits, which leave enough at the likeliest offsets.
    for most_cut, most_same in unsure:
        enough = True
        for m in range(LIKELY):
            count = 0
            for n in range(n_windows):
                count += described[m, n, 0] <= most_cut and described[m, n, 1] <= most_same
            enough &= 4 * count >= n_windows
        if enough:
            break
    lines, values = np.empty((8, 8), np.float32), np.empty((64, n_windows), np.float32)
    gain, beyond = np.empty(256, np.float32), np.empty(257, np.int64)
    for m in range(number):
        count = 0
        for n in range(n_windows):
            if described[m, n, 0] <= most_cut and described[m, n, 1] <= most_same:
                top, left = ((likely[m] >> 3) - tops[n]) & 7, ((likely[m] & 7) - lefts[n]) & 7
                block_values(levels[n], top, left, lines, values[:, count])
                count += 1
        total = np.float32(0)
        for k in range(64):
            total += weigh(values[k, :count], logarithms, reciprocals, scale, gain, beyond)
        evidence[m] = np.int64(total) // max(count, n_windows >> 3, 1)


estimate_all = compiled(estimate_all)
glance = compiled(glance)
look = compiled(look)

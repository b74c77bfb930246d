"""Loops of the first look at an array: whether a few of its colours, and of its blocks, are as a JPEG file makes them.
They run for every image, so they cost next to nothing. Integers, and single-precision numbers that are rounded after
each operation: all machines see the same.
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
"""Offsets of a grid that are looked at, when nothing else speaks for a JPEG."""
ENOUGH = 25
"""Windows that say enough of how many frequencies are next to 0 at each offset."""
ALIKE = 20
"""One in so many of all frequencies that are not: if at no offset so many more are, there was no JPEG."""
WINDOW = 15
"""Rows and columns of pixels that have a block at each of the 64 offsets."""
TRANSFORM = (finding_kernel.TRANSFORM / 2**20).astype(np.float32)
"""The orthonormal cosine transform of 8."""


@part
def estimate(red, green, blue):
    """Luma and chroma of a colour, whether they are surely what made it, and whether a level was cut off."""
    cb = ((RED_TO_CB * red + GREEN_TO_CB * green + BLUE_TO_CB * blue + 32767) >> 16) + 128
    cr = ((RED_TO_CR * red + GREEN_TO_CR * green + BLUE_TO_CR * blue + 32767) >> 16) + 128
    cut = min(red, green, blue) == 0 or max(red, green, blue) == 255
    luma = red - add_cr(cr)
    sure = luma == green - add_both(cb, cr) and luma == blue - add_cb(cb) and 0 <= luma < 256 and not cut
    if not sure:
        luma = (RED_TO_LUMA * red + GREEN_TO_LUMA * green + BLUE_TO_LUMA * blue + 32768) >> 16
    return luma, cb, cr, sure, cut


def estimate_all(colours, first, found, sure, cut):
    """The same of all colours (n, 3), of which `first` is the channel of red: int32 (3, n), bool (n,)."""
    for n in range(len(colours)):
        red, green, blue = np.int64(colours[n, first]), np.int64(colours[n, 1]), np.int64(colours[n, 2 - first])
        found[0, n], found[1, n], found[2, n], sure[n], cut[n] = estimate(red, green, blue)


def glance(colours, first, stride):
    """Of some colours: how many have no level that was cut off; of how many of these no luma and chroma next to the
    estimated make them; whether any is no gray.
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
    """Luma less 128, (n, 15, 15), of windows that begin at `tops` and `lefts`, or the middle one of the channels as it
    is if `first` is -1, and where a level was cut off.
    """
    middle = array.shape[2] >> 1
    for n in range(len(tops)):
        for i in range(WINDOW):
            for j in range(WINDOW):
                pixel = array[tops[n] + i, lefts[n] + j]
                if first < 0:
                    level = np.int64(pixel[middle])
                    cut[n, i, j] = level == 0 or level == 255
                else:
                    red, green, blue = np.int64(pixel[first]), np.int64(pixel[1]), np.int64(pixel[2 - first])
                    level, _, _, _, cut[n, i, j] = estimate(red, green, blue)
                levels[n, i, j] = level - 128


@part
def count_small(levels, tops, lefts, counts):
    """How many frequencies, of the blocks of windows, are next to 0 at each offset from the array's begin: (64,)."""
    lines, near = np.empty((WINDOW, 64), np.float32), np.empty(64, np.int32)
    folded = np.empty((2, 4, 64), np.float32)
    counts[:] = 0
    for n in range(len(levels)):
        for y in range(WINDOW):
            row, line = levels[n, y], lines[y]
            for u in range(8):
                factors = TRANSFORM[u]
                for x in range(8):
                    total = np.float32(0)
                    for k in range(8):
                        total += factors[k] * row[x + k]
                    line[8 * u + x] = total
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
    """Of a block of a window: how many samples were cut off, and how many are as their neighbours to the right or
    below, whichever are more.
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


def look(array, first, tops, lefts, likely, unsure, logarithms, reciprocals, scale, counts, evidence):
    """Evidence for steps per block, in 1/256 nat, of blocks at the likeliest offsets: int64 (m,), as the offsets
    8 y + x. How many frequencies of all blocks are next to 0 at each offset: `counts`, (64,).

    `first`, `tops`, `lefts` : where windows are, as `read_windows` has it. `unsure` : `grid.UNSURE`.
    """
    n_windows, number = len(tops), len(likely)
    levels, cut = np.empty((n_windows, WINDOW, WINDOW), np.float32), np.empty((n_windows, WINDOW, WINDOW), np.bool_)
    read_windows(array, first, tops, lefts, levels, cut)
    count_small(levels, tops, lefts, counts)
    likely[:] = np.argsort(-counts, kind="mergesort")[:number]
    # What is no JPEG's has as many at all offsets.
    most, total, of = 64 * counts[likely[0]], counts.sum(), 64 * 64 * n_windows
    if number == LIKELY and n_windows >= ENOUGH and 16 * total < 15 * of and ALIKE * (most - total) < of - total:
        evidence[:] = 0
        return
    described = np.empty((number, n_windows, 2), np.int64)
    for m in range(number):
        for n in range(n_windows):
            top, left = ((likely[m] >> 3) - tops[n]) & 7, ((likely[m] & 7) - lefts[n]) & 7
            described[m, n] = describe(levels[n], cut[n], top, left)
    # All offsets are judged by blocks of the same kind, of which the likeliest have enough.
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

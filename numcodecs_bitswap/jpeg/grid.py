"""The first look at an array: whether a few of its colours, and of its blocks, are as a JPEG file makes them, and where
blocks begin. It runs for every image, so it costs next to nothing where there was no JPEG.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import grid_kernel, tables

Flags = NDArray[np.bool_]

kernel: Any = grid_kernel

GLANCES = 256, 4096
"""Pixels whose colours are looked at; the second number where the levels of nearly all were cut off."""
WINDOWS = 6
"""Rows and columns of places at which the grid is looked for."""
CLEAR = 256
"""Evidence for steps per block, in 1/256 nat: there is no more where nothing was quantised."""
SMALL = 512
"""What a frequency next to 0 is worth."""
SURE = 16 * CLEAR
"""Evidence with which no other offsets are looked at."""
UNSURE = (0, 20), (0, 36), (4, 36), (64, 64)
"""Samples of a block that may have been cut off, and that may be as their neighbours: the first of these for which
there are enough blocks.
"""


class Glance(NamedTuple):
    """What a few colours say.

    Attributes
    ----------
    decoded : bool
        Luma and chroma made nearly all of them.
    coloured : bool
        Some are no gray, which luma and chroma make all of.
    """

    decoded: bool
    coloured: bool


def glance(array: NDArray[np.uint8], first: int) -> Glance:
    """A look at a few colours (H, W, 3), of which `first` is the channel of red."""
    colours = array.reshape(-1, 3)
    for count in GLANCES:
        known, bad, coloured = kernel.glance(colours, first, max(len(colours) // count, 1) | 1)
        if 8 * count * known >= len(colours):
            break
    return Glance(8 * bad <= known, coloured)


def estimates(array: NDArray[np.uint8], first: int) -> tuple[NDArray[np.int32], Flags, Flags]:
    """Luma and chroma (3, H W) of colours, which of them are surely what made these, and where a level was cut off."""
    colours = array.reshape(-1, 3)
    found, flags = np.empty((3, len(colours)), np.int32), np.empty((2, len(colours)), np.bool_)
    kernel.estimate_all(colours, first, found, *flags)
    return found, flags[0], flags[1]


def find_grid(array: NDArray[np.uint8], first: int = -1, thorough: bool = False) -> tuple[int, int] | None:
    """Rows and columns before the first whole block.

    Parameters
    ----------
    array
        uint8 (H, W, channels), 16 x 16 or more.
    first
        The channel of red, to look at luma; -1: the middle channel is looked at.
    thorough
        All offsets are looked at: something else speaks for a JPEG.

    Returns
    -------
    None if there seem to be no blocks.
    """
    tops, lefts = _spread(array.shape[0], array.shape[1])
    best: tuple[int, int, tuple[int, int] | None] = 0, 0, None
    for number in (kernel.LIKELY, 64):
        likely, counts, evidence = (np.empty(n, np.int64) for n in (number, 64, number))
        weights = tables.of_gains(tables.EXACT_NOISE)
        kernel.look(array, first, tops, lefts, likely, UNSURE, *weights, counts, evidence)
        for offset, found in zip(likely.tolist(), evidence.tolist(), strict=True):
            # Of smooth pictures nearly all frequencies are next to 0, which says more than the others.
            rank = found + int(counts[offset]) * SMALL // len(tops)
            if found > CLEAR and rank > best[0]:
                best = rank, found, divmod(offset, 8)
        if not thorough or best[1] > SURE:
            break
    return best[2]


@cache
def _spread(height: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where windows begin."""
    tops, lefts = (
        np.unique(np.arange(n) * (side - kernel.WINDOW) // max(n - 1, 1))
        for side in (height, width)
        for n in [min(WINDOWS, side // 8)]
    )
    return tops.repeat(len(lefts)), np.tile(lefts, len(tops))

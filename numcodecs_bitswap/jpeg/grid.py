"""First test of an array: whether a few of its colours and blocks look like decoded JPEG, and where blocks begin. It
runs for every image, so it is cheap for those that were no JPEG.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import grid_kernel, tables

Flags = NDArray[np.bool_]

kernel: Any = grid_kernel

GLANCES = 256, 4096
"""Pixels whose colours are tested; the second number if nearly all of the first are clipped."""
WINDOWS = 6
"""Rows and columns of windows in which the grid is searched."""
CLEAR = 256
"""Evidence for steps per block, in 1/256 nat, that unquantised images do not exceed."""
SMALL = 512
"""Evidence that a frequency next to 0 counts for."""
SURE = 16 * CLEAR
"""With more evidence than this, no other offsets are tested."""
UNSURE = (0, 20), (0, 36), (4, 36), (64, 64)
"""Limits on the samples of a block that are clipped, and that equal a neighbour. The first pair that leaves enough
blocks is used.
"""


class Glance(NamedTuple):
    """Result of a test of a few colours.

    Attributes
    ----------
    decoded : bool
        Nearly all of them have luma and chroma.
    coloured : bool
        Some are not gray. Every gray has luma and chroma, so only others are evidence.
    """

    decoded: bool
    coloured: bool


def glance(array: NDArray[np.uint8], first: int) -> Glance:
    """Test a few colours of an array (H, W, 3) whose channel of red is `first`."""
    colours = array.reshape(-1, 3)
    for count in GLANCES:
        known, bad, coloured = kernel.glance(colours, first, max(len(colours) // count, 1) | 1)
        if 8 * count * known >= len(colours):
            break
    return Glance(8 * bad <= known, coloured)


def estimates(array: NDArray[np.uint8], first: int) -> tuple[NDArray[np.int32], Flags, Flags]:
    """Estimated luma and chroma (3, H W) of colours, where they are surely right, and where a level was clipped."""
    colours = array.reshape(-1, 3)
    found, flags = np.empty((3, len(colours)), np.int32), np.empty((2, len(colours)), np.bool_)
    kernel.estimate_all(colours, first, found, *flags)
    return found, flags[0], flags[1]


def find_grid(array: NDArray[np.uint8], first: int = -1, thorough: bool = False) -> tuple[int, int] | None:
    """Find the number of rows and columns before the first whole block.

    Parameters
    ----------
    array : ndarray
        uint8 (H, W, channels), 16 x 16 or more.
    first : int
        The channel of red, to search in luma; -1 to search in the middle channel.
    thorough : bool
        Test all offsets, as there is other evidence for a JPEG.

    Returns
    -------
    (int, int) or None
        None if there seem to be no blocks.
    """
    tops, lefts = _spread(array.shape[0], array.shape[1])
    best: tuple[int, int, tuple[int, int] | None] = 0, 0, None
    for number in (kernel.LIKELY, 64):
        likely, counts, evidence = (np.empty(n, np.int64) for n in (number, 64, number))
        weights = tables.of_gains(tables.EXACT_NOISE)
        kernel.look(array, first, tops, lefts, likely, UNSURE, *weights, counts, evidence)
        for offset, found in zip(likely.tolist(), evidence.tolist(), strict=True):
            # In smooth pictures nearly all frequencies are next to 0, and their number is better evidence than steps.
            rank = found + int(counts[offset]) * SMALL // len(tops)
            if found > CLEAR and rank > best[0]:
                best = rank, found, divmod(offset, 8)
        if not thorough or best[1] > SURE:
            break
    return best[2]


@cache
def _spread(height: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The top left corners of windows."""
    tops, lefts = (
        np.unique(np.arange(n) * (side - kernel.WINDOW) // max(n - 1, 1))
        for side in (height, width)
        for n in [min(WINDOWS, side // 8)]
    )
    return tops.repeat(len(lefts)), np.tile(lefts, len(tops))

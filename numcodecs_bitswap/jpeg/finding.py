"""The search for what a JPEG file held of an array that was decoded from it. Integers decide: what is found is the same
on every machine.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from . import finding_kernel as kernel
from . import tables
from .decoding import coloured, pixels, samples
from .picture import Component, Picture, Samples

Steps = NDArray[np.uint16]
Levels = NDArray[np.int16]
Scaled = NDArray[np.int32]
"""Samples in units of 1/64."""

LEAST = 16
"""Rows and columns below which nothing is looked for."""
WINDOWS = 32, 192
"""Places at which the grid is looked for; the second when the first does not say enough."""
GLANCE = 256
SAMPLE = 256
"""Blocks of which steps are taken."""
UNSURE = 20, 30, 40, 128
"""Samples of them that may say little: the first of these for which there are enough."""
ROUNDS = 16


@cache
def _basis() -> NDArray[np.int64]:
    """(64, 64): 2^14 times the samples of each frequency."""
    lines = np.concatenate([kernel.COSINES, kernel.COSINES[:, ::-1] * np.array([1, -1] * 4)[:, None]], 1)
    product = lines[:, None, :, None] * lines[None, :, None, :]
    return (product.reshape(64, 64) + (1 << 25)) >> 26


def find(array: NDArray[np.uint8]) -> Picture | None:
    """What a JPEG file held of an array.

    Parameters
    ----------
    array
        uint8 (H, W) or (H, W, 3), C-contiguous.

    Returns
    -------
    Of which `decoding.pixels` makes most blocks of the array's region, or None if that does not pay.
    """
    if min(array.shape[:2]) < LEAST:
        return None
    if array.ndim == 2:
        return _worth(array, _find_planes(array[..., None]))
    for first in (0, 2):
        if _decoded_colours(array, first):
            found = _worth(array, _find_ycbcr(array, first))
            if found is not None:
                return found
            break
    return _worth(array, _find_planes(array))


def wrong_blocks(array: NDArray[np.uint8], picture: Picture) -> NDArray[np.uint8]:
    """How many pixels of each block of 8 x 8 of the picture's region are others in the array, (rows, columns)."""
    return _wrong(array, pixels(picture), picture.offset)


def _wrong(array: NDArray[np.uint8], decoded: NDArray[np.uint8], offset: tuple[int, int]) -> NDArray[np.uint8]:
    height, width = decoded.shape[:2]
    counts = np.zeros((height // 8, width // 8), np.uint8)
    shapes = array.reshape(*array.shape[:2], -1), decoded.reshape(height, width, -1)
    kernel.wrong_pixels(*shapes, *offset, counts)
    return counts


def _worth(array: NDArray[np.uint8], picture: Picture | None) -> Picture | None:
    """A picture of which most blocks are right."""
    if picture is None or 2 * np.count_nonzero(wrong := wrong_blocks(array, picture)) > wrong.size:
        return None
    return picture


def _decoded_colours(array: NDArray[np.uint8], first: int) -> bool:
    """Whether a few pixels say that colours were made of luma and chroma."""
    stride = max(array.shape[0] * array.shape[1] // GLANCE, 1) | 1
    bad = kernel.split(array, first, stride, np.empty((0, 0, 0), np.int16), np.empty((0, 0), np.uint8))
    return 8 * int(bad) * stride <= array.shape[0] * array.shape[1]


def _grid(plane: NDArray[np.uint8]) -> tuple[int, int] | None:
    """Rows and columns before the first whole block; None if there seem to be no blocks."""
    height, width = plane.shape
    for count in WINDOWS:
        side = int(count**0.5 + 1)
        tops = np.unique(np.linspace(0, height - 15, min(side, height // 8)).astype(np.int64))
        lefts = np.unique(np.linspace(0, width - 15, min(side, width // 8)).astype(np.int64))
        tops, lefts = (each.ravel() for each in np.meshgrid(tops, lefts, indexing="ij"))
        counts = np.zeros((len(tops), 8, 8), np.int64)
        kernel.small_frequencies(plane, tops, lefts, kernel.COSINES, counts)
        total = counts.sum(0).ravel()
        best = int(total.argmax())
        GRID_LOG.append((len(tops), total))
        return divmod(best, 8)
    return None


GRID_LOG = []


def _blocks(shape: tuple[int, ...], offset: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of whole blocks."""
    return (shape[0] - offset[0]) // 8, (shape[1] - offset[1]) // 8


def _bounds(plane: NDArray[np.int16]) -> tuple[Levels, Levels]:
    """Samples that make these levels: what was cut off may have been more."""
    lows = np.where(plane <= 0, -kernel.UNKNOWN, plane).astype(np.int16)
    return lows, np.where(plane >= 255, kernel.UNKNOWN, plane).astype(np.int16)


class _Plane:
    """A plane of samples, what is known of it, and the coefficients that are found."""

    def __init__(self, levels: NDArray[np.int16], offset: tuple[int, int], noise: int = tables.EXACT_NOISE) -> None:
        self.scaled: Scaled = levels.astype(np.int32) << 6
        self.lows, self.highs = _bounds(levels)
        self.offset, self.noise = offset, noise
        rows, columns = self.size = _blocks(levels.shape, offset)
        self.steps: Steps = np.ones(64, np.uint16)
        self.coefficients = np.zeros((rows, columns, 64), np.int16)
        self.wrong = np.full((rows, columns), 64, np.uint8)

    def values(self) -> Scaled:
        """Frequencies of some blocks of which nothing was cut off."""
        rows, columns = self.size
        count = min(rows * columns, 4 * SAMPLE)
        places = np.arange(count) * (rows * columns) // count
        values = np.empty((count + 1, 64), np.int32)
        for most in UNSURE:
            n = kernel.frequencies(
                *(self.scaled, self.lows, self.highs, *divmod(places, columns), *self.offset, most),
                *(kernel.COSINES, values),
            )
            if 4 * n >= min(count, SAMPLE):
                break
        return values[:n][:: -(-n // SAMPLE) or 1]

    def choose_steps(self) -> None:
        """The table that makes most blocks exact."""
        values = self.values()
        gain = tables.gains(values, self.noise)
        self.steps = tables.likely_standard(gain)

    def fit(self, dirty: NDArray[np.bool_], repair: bool = False, rounds: int = ROUNDS) -> None:
        """Coefficients of some blocks."""
        kernel.fit(
            *(self.scaled, self.lows, self.highs, dirty, *self.offset, self.steps, rounds, repair),
            *(kernel.COSINES, _basis(), self.coefficients, self.wrong),
        )

    def component(self) -> Component:
        """What was found."""
        return Component(self.steps, self.coefficients)


def _find_planes(array: NDArray[np.uint8]) -> Picture | None:
    """Of channels as they are, (H, W, channels)."""
    channels = array.shape[2]
    offset = _grid(np.ascontiguousarray(array[..., channels // 2]))
    if offset is None:
        return None
    planes = [_Plane(array[..., k].astype(np.int16), offset) for k in range(channels)]
    for plane in planes:
        plane.choose_steps()
        plane.fit(np.ones(plane.size, np.bool_))
        plane.fit(plane.wrong > 0, repair=True)
    return Picture("gray" if channels == 1 else "rgb", (1, 1), offset, tuple(p.component() for p in planes))


def _find_ycbcr(array: NDArray[np.uint8], first: int) -> Picture | None:
    levels, kinds = np.empty((3, *array.shape[:2]), np.int16), np.empty(array.shape[:2], np.uint8)
    kernel.split(array, first, 1, levels, kinds)
    offset = _grid(levels[0].astype(np.uint8))
    if offset is None:
        return None
    planes = [_Plane(each, offset) for each in levels]
    for plane in planes:
        plane.lows[kinds > 0], plane.highs[kinds > 0] = -kernel.UNKNOWN, kernel.UNKNOWN
        plane.choose_steps()
    dirty = np.ones(planes[0].size, np.bool_)
    for n in range(ROUNDS + 1):
        repair = n == ROUNDS
        decoded = []
        for plane in planes[1:] + planes[:1]:
            plane.fit(dirty, repair)
            decoded.append(samples(plane.component()))
        decoded = decoded[2:] + decoded[:2]
        wrong = _wrong(array, coloured(*decoded, first == 2), offset)
        dirty = wrong > 0
        if not dirty.any():
            break
        scaled = np.stack([p.scaled for p in planes])
        kernel.project(array, first, np.stack(decoded), kinds, dirty, *offset, scaled, planes[0].lows, planes[0].highs)
        for plane, each in zip(planes, scaled, strict=True):
            plane.scaled = each
    return Picture("ycbcr", (1, 1), offset, tuple(p.component() for p in planes), reversed=first == 2)

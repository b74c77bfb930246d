"""The search for what a JPEG file held of an array that was decoded from it. Integers decide: what is found is the same
on every machine.
"""

from collections.abc import Callable, Sequence
from copy import copy
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import finding_kernel, tables
from .colour import CB_TO_BLUE, CB_TO_GREEN, CR_TO_GREEN, CR_TO_RED
from .decoding import coloured, pixels, samples, surrounded, triangle, upsampled
from .picture import Component, Picture, Ring, Samples

Steps = NDArray[np.uint16]
Levels = NDArray[np.int16]
Scaled = NDArray[np.int32]
"""Samples in units of 1/64."""
Flags = NDArray[np.bool_]

kernel: Any = finding_kernel

LEAST = 16
"""Rows and columns below which nothing is looked for."""
WINDOWS = 6
"""Rows and columns of places at which the grid is looked for."""
LIKELY = 4
"""Offsets of a grid that are looked at, when nothing else speaks for a JPEG."""
CLEAR = 256
"""Evidence for steps per block, in 1/256 nat: there is no more where nothing was quantised."""
EVIDENCE = 64
"""Of as many blocks as steps are taken of: with less there was no JPEG."""
SMALL = 512
"""What a frequency next to 0 is worth."""
SURE = 16 * CLEAR
"""Evidence with which no other offsets are looked at."""
STRONG = 8
"""Evidence for steps of chroma that is worth as many frequencies next to 0."""
GLANCES = 256, 4096
"""Pixels whose colours are looked at first; the second number where the levels of nearly all were cut off."""
SAMPLE = 256
"""Blocks of which steps are taken."""
MANY = 4096
"""Blocks of which steps are taken that are of no quality's table."""
TRIED = 96
"""Blocks on which tables are tried."""
UNSURE = (0, 20), (0, 36), (4, 36), (64, 64)
"""Samples of them that may have been cut off, and that may be as their neighbours: the first of these for which there
are enough.
"""
SOME = 64
"""Blocks that are enough."""
FEW = 500
"""Exact blocks in a thousand that make one try other tables."""
LEAST_EXACT, LEAST_LUMA = 100, 20
"""Exact blocks in a thousand, of planes as they are and of luma: with fewer there was no JPEG."""
ONES = 48
"""Steps of 1 of a table with which nothing is won."""
ENOUGH = 900
"""Exact blocks in a thousand of chroma: no other sampling is tried."""
ROUNDS, IDLE = 24, 2
"""How often samples that were cut off are moved; how often without more exact blocks."""
POLISH = 2
"""How often blocks of chroma are repaired."""
REACH, SWEEPS = 6, 4
"""How far samples around those of the MCUs are moved, and how often."""


@cache
def _basis() -> NDArray[np.int64]:
    """(64, 64): 2^14 times the samples of each frequency."""
    lines = np.concatenate([kernel.COSINES, kernel.COSINES[:, ::-1] * np.array([1, -1] * 4)[:, None]], 1)
    product = lines[:, None, :, None] * lines[None, :, None, :]
    basis: NDArray[np.int64] = (product.reshape(64, 64) + (1 << 25)) >> 26
    return basis


@cache
def _elimination(width: int, phase: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For `kernel.halve`: the normal equations of samples with weights 3 and 1, three to a row, are solved from both
    sides. Units of 2^-20.
    """
    count = (width + phase + 1) // 2 + 2
    own, beside = [0] * count, [0] * (count + 1)
    for x in range(phase, width + phase):
        near = (x >> 1) + 1
        far = near + 2 * (x & 1) - 1
        own[near] += 144
        own[far] += 16
        beside[max(near, far)] += 48
    # Samples outside are most likely as those next to them.
    for j in (1, count - 1):
        own[j - 1] += ALIKE
        own[j] += ALIKE
        beside[j] -= ALIKE
    inverse, ratio, left = [], [], 0
    for j in range(count):
        # A sample of which no pixel is made is 0.
        left = (max(own[j], 1) << 20) - (beside[j] ** 2 << 40) // left if j else max(own[j], 1) << 20
        inverse.append((16 << 40) // left)
        ratio += [(beside[j] << 40) // left, (beside[j + 1] << 40) // left]
    return np.array(inverse), np.array(ratio)


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
    region = array[offset[0] : offset[0] + height, offset[1] : offset[1] + width]
    wrong = region != decoded
    if wrong.ndim == 3:
        wrong = wrong[..., 0] | wrong[..., 1] | wrong[..., 2]
    lines = wrong.view(np.uint8).reshape(height // 8, 8, width).sum(1, dtype=np.uint8)
    counts: NDArray[np.uint8] = lines.reshape(height // 8, width // 8, 8).sum(2, dtype=np.uint8)
    return counts


def _worth(array: NDArray[np.uint8], picture: Picture | None) -> Picture | None:
    """A picture of which most blocks are right."""
    if picture is None or 2 * np.count_nonzero(wrong := wrong_blocks(array, picture)) > wrong.size:
        return None
    return picture


def _estimates(colours: NDArray[np.int32], first: int) -> tuple[NDArray[np.int32], Flags, Flags]:
    """Luma and chroma (n, 3) of colours (n, 3), which of them are surely what made these, and where a level was cut
    off.
    """
    red, green, blue = (np.ascontiguousarray(colours[:, k]) for k in (first, 1, 2 - first))
    cb = (-11059 * red - 21709 * green + 32768 * blue + 32767) >> 16
    cr = (32768 * red - 27439 * green - 5329 * blue + 32767) >> 16
    luma = red - (CR_TO_RED * cr + 32768 >> 16)
    cut = (np.minimum(np.minimum(red, green), blue) == 0) | (np.maximum(np.maximum(red, green), blue) == 255)
    sure = (luma == green - (CB_TO_GREEN * cb + CR_TO_GREEN * cr + 32768 >> 16)) & (
        luma == blue - (CB_TO_BLUE * cb + 32768 >> 16)
    )
    sure &= (luma >= 0) & (luma < 256) & ~cut
    luma = np.where(sure, luma, (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16)
    return np.stack([luma, cb + 128, cr + 128], 1), sure, cut


def _decoded_colours(array: NDArray[np.uint8], first: int) -> bool:
    """Whether a few pixels say that colours were made of luma and chroma: nothing is compiled for that."""
    pixels = array.reshape(-1, 3)
    for glance in GLANCES:
        stride = max(len(pixels) // glance, 1) | 1
        colours = pixels[::stride].astype(np.int32)
        estimates, sure, cut = _estimates(colours, first)
        known = int(np.count_nonzero(~cut))
        if 8 * known >= len(cut):
            break
    left = ~(sure | cut)
    red, green, blue = (colours[left, k] for k in (first, 1, 2 - first))
    bad = np.ones(len(red), np.bool_)
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            cb, cr = estimates[left, 1] + (i - 128), estimates[left, 2] + (j - 128)
            luma = red - (CR_TO_RED * cr + 32768 >> 16)
            same = luma == green - (CB_TO_GREEN * cb + CR_TO_GREEN * cr + 32768 >> 16)
            bad &= ~(same & (luma == blue - (CB_TO_BLUE * cb + 32768 >> 16)))
    return bool(8 * np.count_nonzero(bad) <= known)


class _Split:
    """Luma and chroma of colours, estimated first."""

    def __init__(self, array: NDArray[np.uint8], first: int) -> None:
        self.array, self.first = array, first
        self.estimates, self.sure, self.cut = _estimates(array.reshape(-1, 3).astype(np.int32), first)

    def grid(self) -> tuple[int, int] | None:
        """The grid of luma, of which estimates say enough: nothing more is compiled where there is none."""
        shape = self.array.shape[:2]
        return _grid(self.estimates[:, 0].reshape(shape).astype(np.int16), self.cut.reshape(shape))

    def solved(self) -> tuple[Levels, NDArray[np.uint8]]:
        """Luma and chroma (3, H, W) of colours, and of each pixel whether they are known, 0, were cut off somewhere, 1,
        or are of no JPEG, 2.
        """
        colours = self.array.reshape(-1, 3)
        left = np.flatnonzero(~self.sure)
        kinds = np.zeros(len(colours), np.uint8)
        # Where nothing was cut off what was made of them is at most one off.
        found, cut = self.estimates[left], self.cut[left]
        lows, highs = np.empty((2, len(left)), np.int16)
        kernel.solve(colours[left], self.first, np.where(cut, kernel.FAR, 1), False, False, found, lows, highs)
        self.estimates[left] = found
        kinds[left] = np.where(lows > highs, 2, cut)
        levels = np.ascontiguousarray(self.estimates.T, np.int16)
        return levels.reshape(3, *self.array.shape[:2]), kinds.reshape(self.array.shape[:2])


def _bounds(plane: NDArray[np.int16]) -> tuple[Levels, Levels]:
    """Samples that make these levels: what was cut off may have been more."""
    lows = np.where(plane <= 0, -kernel.UNKNOWN, plane).astype(np.int16)
    return lows, np.where(plane >= 255, kernel.UNKNOWN, plane).astype(np.int16)


ALIKE = 4
"""Weight, in sixteenths, with which samples outside of an array are taken for as those next to them."""


@cache
def _cosines(width: int) -> NDArray[np.float64]:
    """2^15 times the cosine transform of eight of `width` samples, from each place on where they fit: products of
    samples with them are integers below 2^53, of which nothing is rounded anywhere.
    """
    lines = np.concatenate([kernel.COSINES, kernel.COSINES[:, ::-1] * np.array([1, -1] * 4)[:, None]], 1)
    count = width - 7
    shifted = np.zeros((count, 8, width))
    for at in range(count):
        shifted[at, :, at : at + 8] = (lines + 16) >> 5
    return shifted.reshape(-1, width)


def _telling(blocks: NDArray[Any], cut: Flags, least: int, flat_lie: bool) -> Flags:
    """Which blocks (..., n, 8, 8) say the most of their steps, at least so many of n if there are: those of which few
    samples were cut off, and few are as their neighbours. What was lost by rounding flat ones is no noise.
    """
    unit = kernel.UNIT if blocks.dtype == np.int32 else 1
    unsure = np.count_nonzero(cut, axis=(-2, -1))
    across = np.count_nonzero(abs(blocks[..., 1:] - blocks[..., :-1]) < unit, axis=(-2, -1))
    down = np.count_nonzero(abs(blocks[..., 1:, :] - blocks[..., :-1, :]) < unit, axis=(-2, -1))
    same = np.maximum(across, down)
    if flat_lie:
        # What is of one level all over is a multiple of 8, whatever the steps.
        same += 64 * (across + down == 112)
    for most_cut, most_flat in UNSURE:
        chosen = (unsure <= most_cut) & (same <= most_flat)
        if np.all(np.count_nonzero(chosen, axis=-1).ravel()[:LIKELY] >= least):
            break
    return np.asarray(chosen, np.bool_)


class _Plane:
    """A plane of samples, what is known of it, and the coefficients that are found."""

    def __init__(self, scaled: Scaled, lows: Levels, highs: Levels, offset: tuple[int, int], noise: int) -> None:
        self.scaled, self.lows, self.highs = scaled, lows, highs
        self.noise = noise
        self.steps: Steps = np.ones(64, np.uint16)
        height, width = scaled.shape
        self.place(offset, ((height - offset[0]) // 8, (width - offset[1]) // 8))

    @classmethod
    def of_levels(cls, levels: Levels, offset: tuple[int, int]) -> "_Plane":
        """Of samples that are known, unless they were cut off."""
        return cls(levels.astype(np.int32) << 6, *_bounds(levels), offset, tables.EXACT_NOISE)

    def place(self, offset: tuple[int, int], size: tuple[int, int]) -> None:
        """Where blocks are, and how many rows and columns of them."""
        self.offset, self.size = offset, size
        self.coefficients = np.zeros((*size, 64), np.int16)
        self.wrong = np.full(size, 64, np.uint8)
        self._values: Scaled | None = None
        self._gains: NDArray[np.int64] | None = None

    def values(self) -> Scaled:
        """Frequencies of some blocks that say the most."""
        if self._values is None:
            self._values = self._frequencies(4 * SAMPLE, SAMPLE)
        return self._values

    def any_values(self) -> Scaled:
        """Frequencies of some blocks, flat ones too."""
        return self._frequencies(4 * SAMPLE, SAMPLE, False)

    def free_steps(self, *others: "_Plane") -> Steps:
        """Steps by all blocks, of other planes with the same too: what is rare is seen in none of a few."""
        values = np.concatenate([plane._frequencies(MANY, MANY) for plane in (self, *others)])
        return tables.likely_steps(tables.gains(values, self.noise), values, tables.CLEAR // 2)

    def _frequencies(self, looked: int, most: int, flat_lie: bool = True) -> Scaled:
        """Of at most so many of as many blocks that are looked at."""
        rows, columns = self.size
        count = min(rows * columns, looked)
        down, right = np.divmod(np.arange(count) * (rows * columns) // max(count, 1), columns)
        places = (
            self.offset[0] + 8 * down[:, None, None] + np.arange(8)[:, None],
            self.offset[1] + 8 * right[:, None, None] + np.arange(8),
        )
        blocks = self.scaled[places]
        cut = self.highs[places] - self.lows[places] >= kernel.UNKNOWN
        least = min(min(count, most) // 6 + 1, SOME)
        chosen = np.flatnonzero(_telling(blocks, cut, least, flat_lie))
        if not len(chosen):
            chosen = np.flatnonzero(_telling(blocks, cut, least, False))
        chosen = chosen[:: -(-len(chosen) // most) or 1]
        self._telling = down[chosen] * columns + right[chosen]
        frequencies = _cosines(8) @ (blocks[chosen] - 128.0 * kernel.UNIT) @ _cosines(8).T
        values: Scaled = np.floor(frequencies.reshape(-1, 64) * 2.0**-30 + 0.5).astype(np.int32)
        return values

    def gains(self) -> NDArray[np.int64]:
        """Of the steps of each frequency."""
        if self._gains is None:
            self._gains = tables.gains(self.values(), self.noise)
        return self._gains

    def clear(self) -> bool:
        """Whether blocks say that there were steps: of more of them than a grid is found by, chance says much less."""
        return int(self.gains().max(1).sum()) > EVIDENCE * len(self.values())

    def exact(self, steps: Steps) -> int:
        """How many of some blocks in a thousand a table makes exact."""
        # Of those that say the most: what was cut off, or is flat, agrees with many tables.
        self.values()
        some = np.zeros(self.wrong.size, np.bool_)
        some[self._telling[:: max(len(self._telling) // TRIED, 1)]] = True
        self.steps = steps
        self.fit(some.reshape(self.size), rounds=4)
        return 1000 * int(np.count_nonzero(self.wrong.ravel()[some] == 0)) // max(int(np.count_nonzero(some)), 1)

    def fit(self, dirty: Flags, repair: bool = False, rounds: int = ROUNDS) -> None:
        """Coefficients of some blocks."""
        where = self.scaled, self.lows, self.highs, dirty, *self.offset, self.steps
        kernel.fit(*where, rounds, kernel.COSINES, self.coefficients, self.wrong)
        if repair and self.wrong[dirty].any():
            kernel.repair(*where, kernel.COSINES, _basis(), self.coefficients, self.wrong)

    def kept(self) -> "_Plane":
        """As it is now."""
        kept = copy(self)
        kept.scaled, kept.lows, kept.highs = self.scaled.copy(), self.lows.copy(), self.highs.copy()
        kept.coefficients, kept.wrong = self.coefficients.copy(), self.wrong.copy()
        return kept

    def component(self) -> Component:
        """What was found."""
        return Component(self.steps, self.coefficients)


def _grid(levels: Levels, cut_off: Flags | None = None) -> tuple[int, int] | None:
    """Rows and columns before the first whole block; None if there seem to be no blocks.

    With `cut_off`, of luma, there is more time: its colours said that there are.
    """
    tops, lefts = (_spread(side) for side in levels.shape)
    tops, lefts = (each.ravel() for each in np.meshgrid(tops, lefts, indexing="ij"))
    eight, fifteen = np.arange(8), np.arange(15)
    places = tops[:, None, None] + fifteen[:, None], lefts[:, None, None] + fifteen
    windows = levels[places]
    cut = (windows <= 0) | (windows >= 255)
    if cut_off is not None:
        cut |= cut_off[places]
    # Blocks at all 64 offsets in each window.
    frequencies = (_cosines(15) @ ((windows - 128.0) @ _cosines(15).T)).reshape(-1, 8, 8, 8, 8)
    near = np.count_nonzero(abs(frequencies) < 2.0**30, axis=(2, 4))
    counts = np.zeros((8, 8), np.int64)
    np.add.at(counts, ((tops[:, None, None] + eight[:, None]) & 7, (lefts[:, None, None] + eight) & 7), near)
    likely = np.argsort(-counts.ravel(), kind="stable")
    best: tuple[int, int, tuple[int, int] | None] = 0, 0, None
    each = np.arange(len(tops))
    for number in (LIKELY, 64):
        offsets = np.stack(np.divmod(likely[:number], 8), 1)
        down, right = ((offsets[:, k, None] - at) & 7 for k, at in enumerate((tops, lefts)))
        inside = (
            each[:, None, None],
            down[..., None, None] + eight[:, None],
            right[..., None, None] + eight,
        )
        # All offsets are judged by blocks of the same kind, of which the likeliest have enough.
        telling = _telling(windows[inside], cut[inside], len(tops) // 4, False)
        for n in range(number):
            chosen = telling[n]
            values = frequencies[each, down[n], :, right[n]][chosen].reshape(-1, 64)
            values = np.floor(values * 2.0**-24 + 0.5).astype(np.int32)
            evidence = int(tables.gains(values, tables.EXACT_NOISE).max(1).sum()) // max(len(values), len(tops) // 8, 1)
            # Of smooth pictures nearly all frequencies are next to 0, which says more than the others.
            rank = evidence + int(counts.ravel()[likely[n]]) * SMALL // len(tops)
            if evidence > CLEAR:
                best = max(best, (rank, evidence, (int(offsets[n, 0]), int(offsets[n, 1]))), key=lambda each: each[0])
        if cut_off is None or best[1] > SURE:
            break
    return best[2]


def _spread(side: int) -> NDArray[np.int64]:
    """Where windows begin."""
    n = min(WINDOWS, side // 8)
    return np.unique(np.arange(n) * (side - 15) // max(n - 1, 1))


def _find_planes(array: NDArray[np.uint8]) -> Picture | None:
    """Of channels as they are, (H, W, channels)."""
    channels = array.shape[2]
    offset = _grid(array[..., channels // 2].astype(np.int16))
    if offset is None:
        return None
    planes = [_Plane.of_levels(array[..., k].astype(np.int16), offset) for k in range(channels)]
    if not planes[channels // 2].clear():
        return None
    together = np.sum([plane.gains() for plane in planes], axis=0)
    most = 0
    for plane in planes:
        likely = [*tables.likely_standard(together), *tables.likely_standard(plane.gains())]
        score, plane.steps = _choose(
            plane.exact, likely, [partial(planes[0].free_steps, *planes[1:]), plane.free_steps]
        )
        most = max(most, score)
        if most < LEAST_EXACT or np.count_nonzero(plane.steps == 1) > ONES:
            return None
    for plane in planes:
        plane.fit(np.ones(plane.size, np.bool_))
        plane.fit(plane.wrong > 0, repair=True)
    return Picture("gray" if channels == 1 else "rgb", (1, 1), offset, tuple(p.component() for p in planes))


def _ring_of(found: Samples) -> Ring:
    """The outermost samples; a side that is as the next one is left out."""
    top, bottom, left, right = found[0], found[-1], found[1:-1, 0], found[1:-1, -1]
    return Ring(
        None if np.array_equal(top, found[1]) else top,
        None if np.array_equal(bottom, found[-2]) else bottom,
        None if np.array_equal(left, found[1:-1, 1]) else left,
        None if np.array_equal(right, found[1:-1, -2]) else right,
    )


def _choose(
    exact: Callable[[Steps], int], likely: list[Steps], others: Sequence[Callable[[], Steps]]
) -> tuple[int, Steps]:
    """Of tables the first that makes nearly as many blocks in a thousand exact as any does; how many.

    `others` are made and tried if the likely ones make few exact.
    """
    tried: list[tuple[int, Steps]] = []
    most = -1
    for candidates in ([partial(_same, steps) for steps in likely], others):
        for make in candidates:
            steps = make()
            if not any(np.array_equal(steps, each) for _, each in tried):
                tried.append((exact(steps), steps))
        most = max(score for score, _ in tried)
        if most > FEW:
            break
    return next((score, steps) for score, steps in tried if 8 * score >= 7 * most)


def _same(steps: Steps) -> Steps:
    return steps


class _Colours:
    """Luma and chroma of an array, and what a JPEG of one sampling held of it."""

    def __init__(self, array: NDArray[np.uint8], first: int, levels: Levels, kinds: NDArray[np.uint8]) -> None:
        self.array, self.first, self.levels, self.kinds = array, first, levels, kinds
        self.scaled = levels.astype(np.int32) << 6
        self.score = 0
        self.steps: Steps | None = None
        """Of luma, whatever the sampling."""

    def samplings(self, grid: tuple[int, int]) -> list[tuple[int, int]]:
        """Which may be: the coarsest first, then that of which least has to be true."""
        halved = []
        for axis in range(2):
            off, count = 0, 0
            for each in self.levels[1:]:
                lines, kinds = (each, self.kinds) if axis else (each.T, self.kinds.T)
                first = 1 - (grid[axis] & 1)
                n = (lines.shape[1] - first - 2) // 2
                # Four pixels in a row, two of each of two samples, are made of three by 3/4 and 1/4.
                a, b, c, d = (lines[:, first + k :: 2][:, :n] for k in range(4))
                known = np.bitwise_or.reduce([kinds[:, first + k :: 2][:, :n] for k in range(4)]) == 0
                off += int(np.count_nonzero(known & (abs(3 * (b - c) - (a - d)) > 4)))
                count += int(np.count_nonzero(known))
            halved.append(512 * off <= count)
        possible = [(sy, sx) for sy in (2, 1) for sx in (2, 1) if sy <= 1 + halved[0] and sx <= 1 + halved[1]]
        return sorted(possible, key=[(2, 2), (1, 1), (2, 1), (1, 2)].index) if len(possible) > 2 else possible

    def halved(self, plane: Scaled, sampling: tuple[int, int], grid: tuple[int, int]) -> Scaled:
        """Samples of chroma of all pixels, with those outside that the outermost pixels are made of."""
        # By how much the upsampled are off on average, in the order even, odd.
        even, odd = (-2, 2) if sampling == (2, 2) else (8, -8)
        for axis in (1, 0):
            if sampling[axis] == 2:
                lines = np.ascontiguousarray(plane if axis else plane.T)
                phase = grid[axis] & 1
                inverse, ratio = _elimination(lines.shape[1], phase)
                out = np.empty((len(lines), len(inverse)), np.int32)
                kernel.halve(lines, phase, even, odd, inverse, ratio, out)
                plane = out if axis else np.ascontiguousarray(out.T)
                even, odd = 0, 0
        return plane

    def guessed(self, sampling: tuple[int, int], grid: tuple[int, int]) -> Flags:
        """Which samples of chroma pixels are made of that were cut off."""
        flags = self.kinds > 0
        for axis in (1, 0):
            if sampling[axis] == 2:
                lines = flags if axis else flags.T
                phase = grid[axis] & 1
                count = (lines.shape[1] + phase + 1) // 2
                pairs = np.zeros((len(lines), 2 * count), np.bool_)
                pairs[:, phase : phase + lines.shape[1]] = lines
                even, odd = pairs[:, ::2], pairs[:, 1::2]
                found = np.zeros((len(lines), count + 2), np.bool_)
                found[:, 1:-1] = even | odd
                found[:, :-2] |= even
                found[:, 2:] |= odd
                flags = found if axis else found.T
        return np.ascontiguousarray(flags)

    def luma_at(self, grid: tuple[int, int]) -> _Plane:
        """Luma, with blocks from a pixel on."""
        luma = _Plane.of_levels(self.levels[0], grid)
        luma.lows[self.kinds > 0], luma.highs[self.kinds > 0] = -kernel.UNKNOWN, kernel.UNKNOWN
        return luma

    def start(self, sampling: tuple[int, int], grid: tuple[int, int]) -> int:
        """Places MCUs and chooses tables; how many of a thousand blocks of chroma are exact."""
        self.sampling, self.grid = sampling, grid
        open_pixels = self.kinds > 0
        self.luma = self.luma_at(grid)
        self.chroma = []
        for k in (1, 2):
            if sampling == (1, 1):
                plane = _Plane.of_levels(self.levels[k], grid)
                plane.lows[open_pixels], plane.highs[open_pixels] = -kernel.UNKNOWN, kernel.UNKNOWN
            else:
                small = self.halved(self.scaled[k], sampling, grid)
                level = small + 32 >> 6
                lows, highs = (level - 1).astype(np.int16), (level + 1).astype(np.int16)
                unsure = self.guessed(sampling, grid)
                lows[unsure], highs[unsure] = -kernel.UNKNOWN, kernel.UNKNOWN
                plane = _Plane(small, lows, highs, (0, 0), tables.SOLVED_NOISE)
            self.chroma.append(plane)
        self.place()
        return self.choose()

    def place(self) -> None:
        """Where whole MCUs begin: where most frequencies of chroma are next to 0, and there is evidence for steps."""
        best = -1, (0, 0)
        for i in range(self.sampling[0]):
            for j in range(self.sampling[1]):
                offset = self.grid[0] + 8 * i, self.grid[1] + 8 * j
                size = self._mcus(offset)
                if min(size) < 1:
                    continue
                evidence, small = 0, 0
                for plane in self.chroma:
                    plane.place(self._inner(offset), size)
                    values = plane.any_values()
                    count = max(len(values), 1)
                    evidence += int(tables.gains(values, plane.noise).max(1).sum()) // (CLEAR * count)
                    small += 64 * int(np.count_nonzero(abs(values) < 64)) // count
                best = max(best, (small + min(evidence, STRONG), offset), key=lambda each: each[0])
        self.offset = best[1]
        rows, columns = self._mcus(self.offset)
        for plane in self.chroma:
            plane.place(self._inner(self.offset), (rows, columns))
        self.luma.place(self.offset, (rows * self.sampling[0], columns * self.sampling[1]))
        cut = self.kinds[self.offset[0] :, self.offset[1] :][: 8 * self.luma.size[0], : 8 * self.luma.size[1]]
        self.cut = cut.reshape(self.luma.size[0], 8, self.luma.size[1], 8).any((1, 3))

    def _mcus(self, offset: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of whole MCUs."""
        rows, columns = ((self.array.shape[k] - offset[k]) // (8 * self.sampling[k]) for k in range(2))
        return rows, columns

    def _inner(self, offset: tuple[int, int]) -> tuple[int, int]:
        """Where samples of chroma begin that belong to MCUs that begin at a pixel."""
        top, left = ((offset[k] + 1) // 2 + 1 if self.sampling[k] == 2 else offset[k] for k in range(2))
        return top, left

    def choose(self) -> int:
        """Tables of luma and chroma; how many of a thousand blocks of chroma are exact."""
        if self.steps is None:
            likely = tables.likely_standard(self.luma.gains())
            self.score, self.steps = _choose(self.luma.exact, likely, [self.luma.free_steps])
        luma = self.luma.steps = self.steps
        if self.score < LEAST_LUMA:
            return -1
        together = self.chroma[0].gains() + self.chroma[1].gains()
        likely = tables.likely_standard(together)
        partner = tables.partner(luma)
        if partner is None:
            # Cameras have tables of luma and chroma that are nearly the same.
            likely = [tables.similar_steps(together, luma), *likely]
        else:
            likely.insert(0, partner)
        others = [partial(self.chroma[0].free_steps, self.chroma[1])]
        exact = 0
        for k, plane in enumerate(self.chroma):
            score, plane.steps = _choose(partial(self.exact, k), likely, others)
            # Steps of 1 make everything exact that is smooth.
            exact += score if np.count_nonzero(plane.steps == 1) <= ONES else 0
        return exact // 2

    def exact(self, k: int, steps: Steps) -> int:
        """How many blocks of chroma in a thousand a table makes exact."""
        plane = self.chroma[k]
        if self.sampling == (1, 1):
            return plane.exact(steps)
        plane.steps = steps
        plane.fit(np.ones(plane.size, np.bool_))
        wrong = self.misfits(k, surrounded(samples(plane.component()), self.ring(plane)))
        # By MCUs of which half of the pixels are known at least, if there are enough.
        region = tuple(
            slice(at, at + 8 * each * n) for at, each, n in zip(self.offset, self.sampling, plane.size, strict=True)
        )
        known = self.kinds[region].reshape(plane.size[0], 8 * self.sampling[0], plane.size[1], -1) == 0
        known = 2 * np.count_nonzero(known, axis=(1, 3)) >= 64 * self.sampling[0] * self.sampling[1]
        if 16 * np.count_nonzero(known) < known.size:
            known[:] = True
        return 1000 * int(np.count_nonzero(wrong[known] == 0)) // int(np.count_nonzero(known))

    def ring(self, plane: _Plane) -> Ring:
        """What seems to be around the samples of MCUs."""
        if self.sampling == (1, 1):
            return Ring()
        (top, left), (rows, columns) = plane.offset, plane.size
        # Where nothing is halved, nothing outside is needed.
        margins = tuple((int(each == 1), int(each == 1)) for each in self.sampling)
        around = np.pad(plane.scaled, margins, "edge")
        top, left = top + margins[0][0], left + margins[1][0]
        around = around[top - 1 : top + 8 * rows + 1, left - 1 : left + 8 * columns + 1]
        around = (around + 32 >> 6).clip(0, 255).astype(np.uint8)
        across, down = (around[1:-1, 0], around[1:-1, -1]), (around[0], around[-1])
        return Ring(*(down if self.sampling[0] == 2 else (None, None)), *(across if self.sampling[1] == 2 else ()))

    def around(self, dirty: Flags, repair: bool) -> tuple[list[Samples], Flags]:
        """Fits dirty blocks of luma: all planes as they are decoded, and which blocks are wrong."""
        self.luma.fit(dirty, repair)
        decoded = [samples(self.luma.component())]
        for plane, ring in zip(self.chroma, self.rings, strict=True):
            decoded.append(upsampled(samples(plane.component()), ring, self.sampling))
        array = coloured(decoded[0], decoded[1], decoded[2], self.first == 2)
        return decoded, _wrong(self.array, array, self.offset) > 0

    def search(self) -> Picture:
        """Fits blocks, and moves samples that were cut off, in turns."""
        dirty = fitted = np.ones(self.luma.size, np.bool_)
        least, idle, middle, best = dirty.size + 1, 0, False, (dirty, self.kept())
        for n in range(ROUNDS + 1):
            units = self.units(fitted)
            for plane in self.chroma:
                plane.fit(units)
            self.rings = [self.ring(plane) for plane in self.chroma]
            decoded, dirty = self.around(fitted, repair=False)
            left = int(np.count_nonzero(dirty & self.cut))
            idle += 1
            if left < least:
                least, idle, best = left, 0, (dirty, self.kept())
            if idle == IDLE and not middle and self.sampling != (1, 1):
                middle, idle = True, 0
            if n == ROUNDS or left == 0 or idle == IDLE:
                break
            # Where chroma is not halved, nothing changes in blocks of which all was known.
            fitted = dirty & self.cut if self.sampling == (1, 1) else dirty
            self.project(np.stack(decoded), dirty, middle)
            self.luma.scaled = self.scaled[0]
            for k, plane in enumerate(self.chroma):
                plane.scaled = self.scaled[k + 1]
                if self.sampling != (1, 1):
                    plane.scaled = self.halved(plane.scaled, self.sampling, self.grid)
        dirty, (self.luma, *self.chroma) = best
        self.rings = [self.ring(plane) for plane in self.chroma]
        if not dirty.any():
            return self.picture()
        self.kinds, self.unknown = self.kinds.copy(), self.kinds > 0
        if self.sampling == (1, 1):
            self.polish_blocks(dirty)
        else:
            for n in range(POLISH):
                self.closed(np.stack(self.around(dirty, repair=False)[0]))
                self.rings = [self.polished(k, n > 0) for k in range(2)]
                _, dirty = self.around(dirty, repair=True)
                if not dirty.any():
                    break
        return self.picture()

    def polish_blocks(self, dirty: Flags) -> None:
        """Repairs blocks of all planes, of which each is by itself."""
        for plane in self.chroma:
            plane.fit(dirty, repair=True)
        planes = self.luma, *self.chroma
        least = np.full(dirty.shape, 65)
        best = [plane.coefficients.copy() for plane in planes]
        for n in range(POLISH + 1):
            decoded, _ = self.around(dirty, repair=True)
            now = _wrong(self.array, coloured(decoded[0], decoded[1], decoded[2], self.first == 2), self.offset)
            better = now < least
            least[better] = now[better]
            for plane, coefficients in zip(planes, best, strict=True):
                coefficients[better] = plane.coefficients[better]
            dirty = (now > 0) & self.cut
            if n == POLISH or not dirty.any():
                break
            stacked = np.stack(decoded)
            self.closed(stacked)
            for k, plane in enumerate(self.chroma):
                known = self.unknown & (self.kinds == 0)
                plane.scaled[known] = self.levels[k + 1][known].astype(np.int32) * kernel.UNIT
                plane.lows[known] = plane.highs[known] = self.levels[k + 1][known]
                plane.fit(dirty, repair=True)
            stacked[1:] = [samples(plane.component()) for plane in self.chroma]
            self.kinds[self.unknown] = 1
            self.project(stacked, dirty, False)
            self.luma.scaled = self.scaled[0]
        for plane, coefficients in zip(planes, best, strict=True):
            plane.coefficients = coefficients

    def kept(self) -> list[_Plane]:
        """Planes as they are."""
        return [plane.kept() for plane in (self.luma, *self.chroma)]

    def project(self, decoded: Samples, dirty: Flags, middle: bool) -> None:
        """Takes for samples that were cut off the nearest to decoded ones (3, h, w), in dirty blocks."""
        region = tuple(slice(at, at + side) for at, side in zip(self.offset, decoded.shape[1:], strict=True))
        y, x = np.nonzero((self.kinds[region] == 1) & dirty.repeat(8, 0).repeat(8, 1))
        found = np.ascontiguousarray(decoded[:, y, x].T, np.int32)
        y, x = y + self.offset[0], x + self.offset[1]
        lows, highs = np.empty((2, len(y)), np.int16)
        kernel.solve(self.array[y, x], self.first, np.full(len(y), kernel.FAR), True, False, found, lows, highs)
        good = lows <= highs
        y, x, lows, highs = y[good], x[good], lows[good], highs[good]
        self.scaled[:, y, x] = found[good].T * kernel.UNIT
        if middle:
            luma = decoded[0, y - self.offset[0], x - self.offset[1]]
            chroma, known = self.chroma_of(y, x, np.concatenate([luma[:, None], found[good][:, 1:]], 1))
            self.scaled[1:, y[known], x[known]] = chroma[known].T
        self.luma.lows[y, x] = np.where(lows > 0, lows, -kernel.UNKNOWN)
        self.luma.highs[y, x] = np.where(highs < 255, highs, kernel.UNKNOWN)

    def closed(self, decoded: Samples) -> None:
        """Takes chroma of what was cut off for known, as near to decoded planes (3, h, w) as it makes their colours."""
        region = tuple(slice(at, at + side) for at, side in zip(self.offset, decoded.shape[1:], strict=True))
        again = coloured(decoded[0], decoded[1], decoded[2], self.first == 2)
        cut = self.unknown[region]
        wrong = cut & (again != self.array[region]).any(2)
        self.levels[1:, *region] = np.where(cut, decoded[1:], self.levels[1:, *region])
        self.kinds[region][cut] = 0
        y, x = np.nonzero(wrong)
        found = decoded[:, y, x].T
        y, x = y + self.offset[0], x + self.offset[1]
        chroma, known = self.chroma_of(y, x, found)
        self.kinds[y, x] = ~known
        self.levels[1:, y, x] = chroma.T + kernel.HALF >> 6

    def chroma_of(
        self, y: NDArray[np.int64], x: NDArray[np.int64], estimates: NDArray[Any]
    ) -> tuple[NDArray[np.int32], Flags]:
        """Chroma (n, 2) of some pixels in units of 1/64, by luma and chroma (n, 3), and where there is any."""
        found = np.ascontiguousarray(estimates, np.int32)
        lows, highs = np.empty((2, len(y)), np.int16)
        kernel.solve(self.array[y, x], self.first, np.full(len(y), kernel.FAR), False, True, found, lows, highs)
        return found[:, 1:], np.asarray(lows <= highs, np.bool_)

    def units(self, blocks: Flags) -> Flags:
        """MCUs of which any block of luma is flagged."""
        sy, sx = self.sampling
        rows, columns = blocks.shape
        return np.asarray(blocks.reshape(rows // sy, sy, columns // sx, sx).any((1, 3)), np.bool_)

    def polished(self, k: int, again: bool) -> Ring:
        """Repairs blocks of chroma from samples that make the right pixels, those that were found where this is done
        again; the ring that does.
        """
        plane, ring = self.chroma[k], self.rings[k]
        for last in (False, True):
            found = surrounded(samples(plane.component()), ring)
            rim = np.ones(found.shape, np.bool_)
            rim[1:-1, 1:-1] = False
            self.settle(k, found, rim, REACH)
            ring = _ring_of(found)
            wrong = self.misfits(k, found)
            if last or not wrong.any():
                break
            inside = (wrong > 0).repeat(8, 0).repeat(8, 1)
            rim[1:-1, 1:-1] = inside
            (top, left), (rows, columns) = plane.offset, plane.size
            estimate = (plane.scaled[top : top + 8 * rows, left : left + 8 * columns] + 32 >> 6).clip(0, 255)
            if not again:
                found[1:-1, 1:-1][inside] = estimate[inside]
            self.settle(k, found, rim, 1 + again)
            other = _Plane.of_levels(found[1:-1, 1:-1].astype(np.int16), (0, 0))
            other.steps, other.coefficients = plane.steps, plane.coefficients.copy()
            other.fit(wrong > 0, repair=True)
            now = self.misfits(k, surrounded(samples(other.component()), ring))
            better = now < wrong
            plane.coefficients[better] = other.coefficients[better]
        return ring

    def settle(self, k: int, found: Samples, dirty: Flags, reach: int) -> None:
        """Moves samples with a ring for pixels to come right."""
        kernel.settle(found, dirty, reach, *self.sampling, self.levels[k + 1], self.kinds, *self.offset, SWEEPS)

    def misfits(self, k: int, found: Samples) -> NDArray[np.int64]:
        """How many known pixels of each MCU are not those of samples with a ring."""
        decoded = triangle(found, self.sampling)
        region = tuple(slice(at, at + side) for at, side in zip(self.offset, decoded.shape, strict=True))
        wrong = (self.levels[k + 1][region] != decoded) & (self.kinds[region] == 0)
        rows, columns = self.chroma[k].size
        shaped = wrong.reshape(rows, decoded.shape[0] // rows, columns, -1)
        counts: NDArray[np.int64] = np.count_nonzero(shaped, axis=(1, 3))
        return counts

    def picture(self) -> Picture:
        """What was found."""
        components = tuple(plane.component() for plane in (self.luma, *self.chroma))
        rings = self.rings[0], self.rings[1]
        return Picture("ycbcr", self.sampling, self.offset, components, rings, self.first == 2)


def _find_ycbcr(array: NDArray[np.uint8], first: int) -> Picture | None:
    """Of luma and chroma."""
    split = _Split(array, first)
    grid = split.grid()
    if grid is None:
        return None
    colours = _Colours(array, first, *split.solved())
    if not colours.luma_at(grid).clear():
        return None
    best, exact = None, -1
    for sampling in colours.samplings(grid):
        if all(array.shape[k] >= grid[k] + 8 * sampling[k] for k in range(2)):
            now = colours.start(sampling, grid)
            if colours.score < LEAST_LUMA or np.count_nonzero(colours.luma.steps == 1) > ONES:
                return None
            # Where chroma is not halved nothing is made up, and little makes wrong tables exact.
            if 8 * now > (7 if sampling == (1, 1) else 9) * exact:
                best, exact = copy(colours), now
            if exact > ENOUGH or (sampling == (1, 1) and 2 * now < exact):
                break
    return None if best is None else best.search()

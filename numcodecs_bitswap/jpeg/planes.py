"""Planes of samples that were decoded from a JPEG file, and the search for their steps and coefficients. All decisions
are made in integers, so the result is the same on every machine.
"""

from collections.abc import Callable, Sequence
from copy import copy
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import finding_kernel, tables
from .grid import UNSURE, Flags, find_grid
from .picture import Component, Picture

Steps = NDArray[np.uint16]
Levels = NDArray[np.int16]
Scaled = NDArray[np.int32]
"""Samples in units of 1/64."""

kernel: Any = finding_kernel

EVIDENCE = 64
"""Least evidence for steps per block, in 1/256 nat; with less there was no JPEG."""
SAMPLE = 256
"""Blocks from which steps are estimated."""
MANY = 4096
"""Blocks from which tables other than the standard ones are estimated."""
TRIED = 96
"""Blocks on which tables are tried."""
SOME = 64
"""Number of blocks that is always enough."""
FEW = 900
"""With fewer exact blocks in a thousand, other tables are tried."""
LEAST_EXACT = 100
"""Exact blocks in a thousand; with fewer there was no JPEG."""
ONES = 48
"""A table with more steps of 1 gains nothing."""
ROUNDS = 24
"""Most rounds in which clipped samples are adjusted."""


@cache
def _basis() -> NDArray[np.int64]:
    """(64, 64): 2^14 times the samples of each basis function."""
    product = kernel.TRANSFORM[:, None, :, None] * kernel.TRANSFORM[None, :, None, :]
    basis: NDArray[np.int64] = (product.reshape(64, 64) + (1 << 25)) >> 26
    return basis


class Plane:
    """A plane of samples, their bounds, and the steps and coefficients found for them."""

    def __init__(self, scaled: Scaled, lows: Levels, highs: Levels, offset: tuple[int, int], noise: int) -> None:
        self.scaled, self.lows, self.highs = scaled, lows, highs
        self.noise = noise
        self.steps: Steps = np.ones(64, np.uint16)
        height, width = scaled.shape
        self.place(offset, ((height - offset[0]) // 8, (width - offset[1]) // 8))

    @classmethod
    def of_levels(cls, levels: NDArray[Any], offset: tuple[int, int]) -> "Plane":
        """A plane of known samples, except that those at 0 and 255 may have been clipped."""
        lows, highs = levels.astype(np.int16), levels.astype(np.int16)
        lows[levels <= 0], highs[levels >= 255] = -kernel.UNKNOWN, kernel.UNKNOWN
        return cls(levels.astype(np.int32) << 6, lows, highs, offset, tables.EXACT_NOISE)

    def place(self, offset: tuple[int, int], size: tuple[int, int]) -> None:
        """Set the offset of the blocks, and the number of their rows and columns."""
        self.offset, self.size = offset, size
        self.coefficients = np.zeros((*size, 64), np.int16)
        self.wrong = np.full(size, 64, np.uint8)
        self._values: Scaled | None = None
        self._gains: NDArray[np.int64] | None = None

    def values(self) -> Scaled:
        """Frequencies of the most informative of some blocks."""
        if self._values is None:
            self._values = self._frequencies(4 * SAMPLE, SAMPLE)
        return self._values

    def any_values(self) -> Scaled:
        """Frequencies of some blocks, including flat ones."""
        return self._frequencies(4 * SAMPLE, SAMPLE, False)

    def free_steps(self, *others: "Plane") -> Steps:
        """Steps estimated from many blocks, also of other planes with the same steps: few blocks lack rare values."""
        values = np.concatenate([plane._frequencies(MANY, MANY) for plane in (self, *others)])
        return tables.likely_steps(tables.gains(values, self.noise), values, tables.CLEAR // 2)

    def _frequencies(self, looked: int, most: int, flat_lie: bool = True) -> Scaled:
        """Frequencies of at most `most` of `looked` blocks."""
        self._told_by = self._telling(looked, most, flat_lie)
        values = np.empty((len(self._told_by), 64), np.int32)
        kernel.frequencies(self.scaled, *self.offset, self.size[1], self._told_by, kernel.COSINES, values)
        return values

    def _telling(self, looked: int, most: int, flat_lie: bool) -> NDArray[np.int64]:
        """The most informative of some blocks: those with few clipped samples and few that equal a neighbour. If
        `flat_lie`, flat blocks are avoided, since their rounding errors are not random.
        """
        rows, columns = self.size
        count = min(rows * columns, looked)
        blocks = np.arange(count) * (rows * columns) // max(count, 1)
        unsure, same, flat = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count, np.bool_)
        kernel.describe(self.scaled, self.lows, self.highs, *self.offset, columns, blocks, unsure, same, flat)
        least = min(min(count, most) // 6 + 1, SOME)
        # The DC frequency of a flat block is a multiple of 8 with any steps.
        for allowed in (~flat, True) if flat_lie else (True,):
            for most_cut, most_same in UNSURE:
                chosen = np.flatnonzero((unsure <= most_cut) & (same <= most_same) & allowed)
                if len(chosen) >= least:
                    break
            if len(chosen):
                break
        return blocks[chosen[:: -(-len(chosen) // most) or 1]]

    def gains(self) -> NDArray[np.int64]:
        """The log likelihood ratios of the steps of each frequency."""
        if self._gains is None:
            self._gains = tables.gains(self.values(), self.noise)
        return self._gains

    def clear(self) -> bool:
        """Whether there is evidence for steps: over more blocks than in the search for the grid, chance gives less."""
        return int(self.gains().max(1).sum()) > EVIDENCE * len(self.values())

    def promising(self) -> bool:
        """Whether any likely table makes enough blocks exact for others to be tried."""
        likely = [tables.likely_steps(self.gains(), self.values()), *tables.likely_standard(self.gains())]
        return any(self.exact(steps) >= LEAST_EXACT // 2 for steps in likely)

    def says_little(self) -> bool:
        """Whether fewer than half of the blocks are informative about steps."""
        return 2 * len(self.values()) < min(self.size[0] * self.size[1], SAMPLE)

    def exact(self, steps: Steps) -> int:
        """The number of blocks in a thousand that a table makes exact."""
        # Of informative blocks only: blocks that are clipped or flat agree with many tables.
        self.values()
        some = np.zeros(self.wrong.size, np.bool_)
        some[self._told_by[:: max(len(self._told_by) // TRIED, 1)]] = True
        self.steps = steps
        self.fit(some.reshape(self.size), rounds=4)
        return 1000 * int(np.count_nonzero(self.wrong.ravel()[some] == 0)) // max(int(np.count_nonzero(some)), 1)

    def fit(self, dirty: Flags, repair: bool = False, rounds: int = ROUNDS) -> None:
        """Fit the coefficients of dirty blocks."""
        where = self.scaled, self.lows, self.highs, dirty, *self.offset, self.steps
        kernel.fit(*where, rounds, kernel.COSINES, self.coefficients, self.wrong)
        if repair and self.wrong[dirty].any():
            kernel.repair(*where, kernel.COSINES, _basis(), self.coefficients, self.wrong)

    def kept(self) -> "Plane":
        """A copy of the present state."""
        kept = copy(self)
        kept.scaled, kept.lows, kept.highs = self.scaled.copy(), self.lows.copy(), self.highs.copy()
        kept.coefficients, kept.wrong = self.coefficients.copy(), self.wrong.copy()
        return kept

    def component(self) -> Component:
        """The steps and coefficients found."""
        return Component(self.steps, self.coefficients)


def choose(
    exact: Callable[[Steps], int], likely: list[Steps], others: Sequence[Callable[[], Steps]]
) -> tuple[int, Steps]:
    """The first table that makes nearly as many blocks exact as the best one, and that number in a thousand.

    `others` are computed and tried if the likely tables make few blocks exact.
    """
    tried: list[tuple[int, Steps]] = []
    most = -1
    for candidates in ([partial(_same, steps) for steps in likely], others):
        for make in candidates:
            steps = make()
            if not any(np.array_equal(steps, each) for _, each in tried):
                tried.append((exact(steps), steps))
        most = max(score for score, _ in tried)
        # Steps of 1 make every smooth block exact.
        if any(score > FEW and score == most and np.count_nonzero(steps == 1) <= ONES for score, steps in tried):
            break
    return next((score, steps) for score, steps in tried if 16 * score >= 15 * most)


def _same(steps: Steps) -> Steps:
    return steps


def find_planes(array: NDArray[np.uint8]) -> Picture | None:
    """The picture of an array (H, W, channels) whose channels were JPEG components themselves, or None."""
    channels = array.shape[2]
    offset = find_grid(array)
    if offset is None:
        return None
    middle = Plane.of_levels(array[..., channels // 2], offset)
    # If most blocks are flat or clipped, another channel may be more informative.
    if not middle.clear() or not (middle.promising() or middle.says_little()):
        return None
    planes = [middle if k == channels // 2 else Plane.of_levels(array[..., k], offset) for k in range(channels)]
    if not any(plane.promising() for plane in planes):
        return None
    together = np.sum([plane.gains() for plane in planes], axis=0)
    most = 0
    for plane in planes:
        likely = [*tables.likely_standard(together), *tables.likely_standard(plane.gains())]
        score, plane.steps = choose(plane.exact, likely, [partial(planes[0].free_steps, *planes[1:]), plane.free_steps])
        most = max(most, score)
        if most < LEAST_EXACT or np.count_nonzero(plane.steps == 1) > ONES:
            return None
    for plane in planes:
        plane.fit(np.ones(plane.size, np.bool_))
        plane.fit(plane.wrong > 0, repair=True)
    return Picture("gray" if channels == 1 else "rgb", (1, 1), offset, tuple(p.component() for p in planes))

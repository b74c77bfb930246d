"""Search for the luma and chroma of colours that were decoded from a JPEG file, and for their coefficients. All
decisions are made in integers, so the result is the same on every machine.
"""

from collections.abc import Callable
from copy import copy
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import finding_kernel, tables
from .decoding import coloured, samples, surrounded, triangle, upsampled, wrong_pixels
from .grid import CLEAR, Flags, estimates, find_grid
from .picture import Picture, Ring, Samples
from .planes import ONES, ROUNDS, Levels, Plane, Scaled, Steps, choose

kernel: Any = finding_kernel

STRONG = 8
"""Most that evidence for steps of chroma counts against the number of frequencies next to 0."""
ENOUGH = 900
"""With more exact blocks of chroma in a thousand, no other sampling is tried."""
IDLE = 2
"""Rounds without more exact blocks after which clipped samples are no longer adjusted."""
SEAMS = 64
"""One in so many places may contradict a halved axis: where tiles meet, chroma is not interpolated."""
LEAST_LUMA = 20
"""Exact blocks of luma in a thousand; with fewer there was no JPEG."""
POLISH = 2
"""Rounds in which blocks of chroma are repaired."""
VOTES = 6
"""Most revisions of a table."""
REACH, SWEEPS = 6, 4
"""Largest change of samples around the MCUs, and number of sweeps over them."""
ALIKE = 4
"""Weight, in sixteenths, of the assumption that samples outside an array equal those next to them."""


@cache
def _elimination(width: int, phase: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Factors for `kernel.halve`, in units of 2^-20: the tridiagonal normal equations of samples with weights 3 and 1
    are eliminated from both sides.
    """
    count = (width + phase + 1) // 2 + 2
    own, beside = [0] * count, [0] * (count + 1)
    for x in range(phase, width + phase):
        near = (x >> 1) + 1
        far = near + 2 * (x & 1) - 1
        own[near] += 144
        own[far] += 16
        beside[max(near, far)] += 48
    # Samples outside most likely equal those next to them.
    for j in (1, count - 1):
        own[j - 1] += ALIKE
        own[j] += ALIKE
        beside[j] -= ALIKE
    inverse, ratio, left = [], [], 0
    for j in range(count):
        # A sample on which no pixel depends becomes 0.
        left = (max(own[j], 1) << 20) - (beside[j] ** 2 << 40) // left if j else max(own[j], 1) << 20
        inverse.append((16 << 40) // left)
        ratio += [(beside[j] << 40) // left, (beside[j + 1] << 40) // left]
    return np.array(inverse), np.array(ratio)


def _solved(array: NDArray[np.uint8], first: int) -> tuple[Levels, NDArray[np.uint8]]:
    """Luma and chroma (3, H, W) of colours, and the kind of each pixel: 0 if they are known, 1 if a level was clipped,
    2 if there are none.
    """
    estimated, sure, cut = estimates(array, first)
    colours, left = array.reshape(-1, 3), np.flatnonzero(~sure)
    kinds = np.zeros(len(colours), np.uint8)
    # Without clipping, the estimate is at most one off.
    found, cut = np.ascontiguousarray(estimated[:, left].T), cut[left]
    lows, highs = np.empty((2, len(left)), np.int16)
    kernel.solve(colours[left], first, np.where(cut, kernel.FAR, 1), False, False, found, lows, highs)
    estimated[:, left] = found.T
    kinds[left] = np.where(lows > highs, 2, cut)
    return estimated.astype(np.int16).reshape(3, *array.shape[:2]), kinds.reshape(array.shape[:2])


def _ring_of(found: Samples) -> Ring:
    """The ring of outermost samples. A side that equals the samples next to it is None."""
    top, bottom, left, right = found[0], found[-1], found[1:-1, 0], found[1:-1, -1]
    return Ring(
        None if np.array_equal(top, found[1]) else top,
        None if np.array_equal(bottom, found[-2]) else bottom,
        None if np.array_equal(left, found[1:-1, 1]) else left,
        None if np.array_equal(right, found[1:-1, -2]) else right,
    )


class _Colours:
    """Luma and chroma of an array, and their coefficients with one sampling."""

    def __init__(self, array: NDArray[np.uint8], first: int, levels: Levels, kinds: NDArray[np.uint8]) -> None:
        self.array, self.first, self.levels, self.kinds = array, first, levels, kinds
        self.scaled = levels.astype(np.int32) << 6
        self.score = 0
        self.steps: Steps | None = None
        """The steps of luma, which do not depend on the sampling."""

    def samplings(self, grid: tuple[int, int]) -> list[tuple[int, int]]:
        """Possible samplings: the coarsest first, then (1, 1), which assumes the least."""
        halved = []
        for axis in range(2):
            off, count = 0, 0
            for each in self.levels[1:]:
                lines, kinds = (each, self.kinds) if axis else (each.T, self.kinds.T)
                first = 1 - (grid[axis] & 1)
                n = (lines.shape[1] - first - 2) // 2
                # Four pixels in a row, two for each of two samples, are mixtures of samples with weights 3/4 and 1/4.
                a, b, c, d = (lines[:, first + k :: 2][:, :n] for k in range(4))
                known = np.bitwise_or.reduce([kinds[:, first + k :: 2][:, :n] for k in range(4)]) == 0
                off += int(np.count_nonzero(known & (abs(3 * (b - c) - (a - d)) > 4)))
                count += int(np.count_nonzero(known))
            halved.append(SEAMS * off <= count)
        possible = [(sy, sx) for sy in (2, 1) for sx in (2, 1) if sy <= 1 + halved[0] and sx <= 1 + halved[1]]
        return sorted(possible, key=[(2, 2), (1, 1), (2, 1), (1, 2)].index) if len(possible) > 2 else possible

    def halved(self, plane: Scaled, sampling: tuple[int, int], grid: tuple[int, int]) -> Scaled:
        """Subsampled chroma of a plane of all pixels, with the samples outside on which the outermost pixels depend."""
        # Corrects the mean rounding error of upsampling, for even and odd pixels.
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
        """The samples of chroma on which clipped pixels depend."""
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

    def luma_at(self, grid: tuple[int, int]) -> Plane:
        """The plane of luma, with blocks that begin at a pixel."""
        luma = Plane.of_levels(self.levels[0], grid)
        luma.lows[self.kinds > 0], luma.highs[self.kinds > 0] = -kernel.UNKNOWN, kernel.UNKNOWN
        return luma

    def start(self, sampling: tuple[int, int], grid: tuple[int, int]) -> int:
        """Place MCUs and choose tables; returns the number of exact blocks of chroma in a thousand."""
        self.sampling, self.grid = sampling, grid
        open_pixels = self.kinds > 0
        self.luma = self.luma_at(grid)
        self.chroma = []
        for k in (1, 2):
            if sampling == (1, 1):
                plane = Plane.of_levels(self.levels[k], grid)
                plane.lows[open_pixels], plane.highs[open_pixels] = -kernel.UNKNOWN, kernel.UNKNOWN
            else:
                small = self.halved(self.scaled[k], sampling, grid)
                level = small + 32 >> 6
                lows, highs = (level - 1).astype(np.int16), (level + 1).astype(np.int16)
                unsure = self.guessed(sampling, grid)
                lows[unsure], highs[unsure] = -kernel.UNKNOWN, kernel.UNKNOWN
                plane = Plane(small, lows, highs, (0, 0), tables.SOLVED_NOISE)
            self.chroma.append(plane)
        self.place()
        return self.choose()

    def place(self) -> None:
        """Place the whole MCUs where most frequencies of chroma are next to 0 and there is evidence for steps."""
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
        """The number of rows and columns of whole MCUs."""
        rows, columns = ((self.array.shape[k] - offset[k]) // (8 * self.sampling[k]) for k in range(2))
        return rows, columns

    def _inner(self, offset: tuple[int, int]) -> tuple[int, int]:
        """The first sample of chroma of MCUs that begin at a pixel."""
        top, left = ((offset[k] + 1) // 2 + 1 if self.sampling[k] == 2 else offset[k] for k in range(2))
        return top, left

    def choose(self) -> int:
        """Choose the tables of luma and chroma; returns the number of exact blocks of chroma in a thousand."""
        if self.steps is None:
            likely = tables.likely_standard(self.luma.gains())
            self.score, self.steps = choose(self.luma.exact, likely, [self.luma.free_steps])
            if LEAST_LUMA <= self.score < 1000:
                self.score, self.steps = self.revised([0], self.steps, None, self.luma.exact)
        luma = self.luma.steps = self.steps
        if self.score < LEAST_LUMA:
            return -1
        together = self.chroma[0].gains() + self.chroma[1].gains()
        likely = tables.likely_standard(together)
        partner = tables.partner(luma)
        if partner is None:
            # The tables of cameras are nearly the same for luma and chroma.
            likely = [tables.similar_steps(together, luma), *likely]
        else:
            likely.insert(0, partner)
        others = [partial(self.chroma[0].free_steps, self.chroma[1])]
        exact = 0
        for k, plane in enumerate(self.chroma):
            score, plane.steps = choose(partial(self.exact, k), likely, others)
            # Steps of 1 make every smooth block exact.
            exact += score if np.count_nonzero(plane.steps == 1) <= ONES else 0
        return exact // 2

    def refine(self) -> None:
        """Improve nonstandard steps of chroma: both planes share them, and cameras use nearly those of luma."""

        def exact(steps: Steps) -> int:
            return self.exact(0, steps) + self.exact(1, steps)

        if tables.is_standard(self.luma.steps):
            return
        likeliest = max([plane.steps for plane in (*self.chroma, self.luma)], key=exact)
        _, steps = self.revised([1, 2], likeliest, self.luma.steps, exact)
        for plane in self.chroma:
            plane.steps = steps

    def revised(
        self, which: list[int], steps: Steps, like: Steps | None, exact: Callable[[Steps], int]
    ) -> tuple[int, Steps]:
        """Revise a table of some planes that is not standard, with other steps where these make more pixels exact.
        Returns the number of exact blocks, and the table.
        """
        best, most = steps, exact(steps)
        for _ in range(0 if tables.is_standard(steps) else VOTES):
            others = tables.others(best, like)
            votes = np.zeros(others.shape, np.int64)
            for k in which:
                plane = [self.luma, *self.chroma][k]
                sampling = self.sampling if k else (1, 1)
                where = *sampling, self.levels[k], self.kinds, *self.offset
                kernel.vote(plane.scaled, *plane.offset, best, others, kernel.COSINES, *where, votes)
            chosen = np.arange(64), votes.argmax(1)
            steps = np.where(votes[chosen] > 0, others[chosen], best).astype(np.uint16)
            now = exact(steps)
            if now <= most:
                break
            best, most = steps, now
        return most, best

    def exact(self, k: int, steps: Steps) -> int:
        """The number of blocks of chroma in a thousand that a table makes exact."""
        plane = self.chroma[k]
        if self.sampling == (1, 1):
            return plane.exact(steps)
        plane.steps = steps
        plane.fit(np.ones(plane.size, np.bool_))
        wrong = self.misfits(k, surrounded(samples(plane.component()), self.ring(plane)))
        # Count only MCUs with at least half of their pixels known, if there are enough.
        region = tuple(
            slice(at, at + 8 * each * n) for at, each, n in zip(self.offset, self.sampling, plane.size, strict=True)
        )
        known = self.kinds[region].reshape(plane.size[0], 8 * self.sampling[0], plane.size[1], -1) == 0
        known = 2 * np.count_nonzero(known, axis=(1, 3)) >= 64 * self.sampling[0] * self.sampling[1]
        if 16 * np.count_nonzero(known) < known.size:
            known[:] = True
        return 1000 * int(np.count_nonzero(wrong[known] == 0)) // int(np.count_nonzero(known))

    def ring(self, plane: Plane) -> Ring:
        """The estimated ring of samples around those of the MCUs."""
        if self.sampling == (1, 1):
            return Ring()
        (top, left), (rows, columns) = plane.offset, plane.size
        # Along an axis that is not halved, no samples outside are needed.
        margins = tuple((int(each == 1), int(each == 1)) for each in self.sampling)
        around = np.pad(plane.scaled, margins, "edge")
        top, left = top + margins[0][0], left + margins[1][0]
        around = around[top - 1 : top + 8 * rows + 1, left - 1 : left + 8 * columns + 1]
        around = (around + 32 >> 6).clip(0, 255).astype(np.uint8)
        across, down = (around[1:-1, 0], around[1:-1, -1]), (around[0], around[-1])
        return Ring(*(down if self.sampling[0] == 2 else (None, None)), *(across if self.sampling[1] == 2 else ()))

    def around(self, dirty: Flags, repair: bool) -> tuple[list[Samples], Flags]:
        """Fit dirty blocks of luma; returns all planes as decoded, and which blocks are wrong."""
        self.luma.fit(dirty, repair)
        decoded = [samples(self.luma.component())]
        for plane, ring in zip(self.chroma, self.rings, strict=True):
            decoded.append(upsampled(samples(plane.component()), ring, self.sampling))
        array = coloured(decoded[0], decoded[1], decoded[2], self.first == 2)
        return decoded, wrong_pixels(self.array, array, self.offset) > 0

    def search(self) -> Picture:
        """Alternate between fitting blocks and adjusting clipped samples."""
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
            # If chroma is not halved, nothing changes in blocks without clipped pixels.
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
        """Repair blocks of all planes, if chroma is not subsampled: then each block is independent."""
        for plane in self.chroma:
            plane.fit(dirty, repair=True)
        planes = self.luma, *self.chroma
        least = np.full(dirty.shape, 65)
        best = [plane.coefficients.copy() for plane in planes]
        for n in range(POLISH + 1):
            decoded, _ = self.around(dirty, repair=True)
            now = wrong_pixels(self.array, coloured(decoded[0], decoded[1], decoded[2], self.first == 2), self.offset)
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

    def kept(self) -> list[Plane]:
        """Copies of the planes in their present state."""
        return [plane.kept() for plane in (self.luma, *self.chroma)]

    def project(self, decoded: Samples, dirty: Flags, middle: bool) -> None:
        """In dirty blocks, set clipped samples to the possible ones nearest to decoded samples (3, h, w)."""
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
        """Treat the chroma of clipped pixels as known: that nearest to decoded planes (3, h, w) that fits colours."""
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
        """Chroma (n, 2) of pixels in units of 1/64, from estimates of luma and chroma (n, 3), and where it exists."""
        found = np.ascontiguousarray(estimates, np.int32)
        lows, highs = np.empty((2, len(y)), np.int16)
        kernel.solve(self.array[y, x], self.first, np.full(len(y), kernel.FAR), False, True, found, lows, highs)
        return found[:, 1:], np.asarray(lows <= highs, np.bool_)

    def units(self, blocks: Flags) -> Flags:
        """Which MCUs contain a flagged block of luma."""
        sy, sx = self.sampling
        rows, columns = blocks.shape
        return np.asarray(blocks.reshape(rows // sy, sy, columns // sx, sx).any((1, 3)), np.bool_)

    def polished(self, k: int, again: bool) -> Ring:
        """Repair blocks of chroma by way of samples that give the right pixels, and return their ring. If `again`, the
        samples start from the present coefficients.
        """
        plane, ring = self.chroma[k], self.rings[k]
        for last in (False, True):
            found = surrounded(samples(plane.component()), ring)
            rim = np.ones(found.shape, np.bool_)
            rim[1:-1, 1:-1] = False
            self.reduce_misfit(k, found, rim, REACH)
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
            self.reduce_misfit(k, found, rim, 1 + again)
            other = Plane.of_levels(found[1:-1, 1:-1].astype(np.int16), (0, 0))
            other.steps, other.coefficients = plane.steps, plane.coefficients.copy()
            other.fit(wrong > 0, repair=True)
            now = self.misfits(k, surrounded(samples(other.component()), ring))
            better = now < wrong
            plane.coefficients[better] = other.coefficients[better]
        return ring

    def reduce_misfit(self, k: int, found: Samples, dirty: Flags, reach: int) -> None:
        """Change dirty samples, with their ring, to reduce the misfit of pixels."""
        kernel.reduce_misfit(found, dirty, reach, *self.sampling, self.levels[k + 1], self.kinds, *self.offset, SWEEPS)

    def misfits(self, k: int, found: Samples) -> NDArray[np.int64]:
        """The number of known pixels in each MCU that differ from those of samples with their ring."""
        decoded = triangle(found, self.sampling)
        region = tuple(slice(at, at + side) for at, side in zip(self.offset, decoded.shape, strict=True))
        wrong = (self.levels[k + 1][region] != decoded) & (self.kinds[region] == 0)
        rows, columns = self.chroma[k].size
        shaped = wrong.reshape(rows, decoded.shape[0] // rows, columns, -1)
        counts: NDArray[np.int64] = np.count_nonzero(shaped, axis=(1, 3))
        return counts

    def picture(self) -> Picture:
        """The picture found."""
        components = tuple(plane.component() for plane in (self.luma, *self.chroma))
        rings = self.rings[0], self.rings[1]
        return Picture("ycbcr", self.sampling, self.offset, components, rings, self.first == 2)


def find_ycbcr(array: NDArray[np.uint8], first: int, coloured: bool) -> Picture | None:
    """The picture of an array whose JPEG stored luma and chroma, or None. `coloured`: some colours are not gray, which
    is evidence for a JPEG.
    """
    grid = find_grid(array, first, thorough=coloured)
    if grid is None:
        return None
    colours = _Colours(array, first, *_solved(array, first))
    if not colours.luma_at(grid).clear():
        return None
    best, exact = None, -1
    for sampling in colours.samplings(grid):
        if all(array.shape[k] >= grid[k] + 8 * sampling[k] for k in range(2)):
            now = colours.start(sampling, grid)
            if colours.score < LEAST_LUMA or np.count_nonzero(colours.luma.steps == 1) > ONES:
                return None
            # If chroma is not halved, no samples are estimated, and wrong tables rarely make blocks exact.
            if 8 * now > (7 if sampling == (1, 1) else 9) * exact:
                best, exact = copy(colours), now
            if exact > ENOUGH or (sampling == (1, 1) and 2 * now < exact):
                break
    if best is None:
        return None
    best.refine()
    return best.search()

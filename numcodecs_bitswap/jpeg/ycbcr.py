"""Luma and chroma of colours that were decoded from a JPEG file, and what it held of them. Integers decide: what is
found is the same on every machine.
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
"""Evidence for steps of chroma that is worth as many frequencies next to 0."""
ENOUGH = 900
"""Exact blocks in a thousand of chroma: no other sampling is tried."""
IDLE = 2
"""How often samples that were cut off are moved without more exact blocks."""
LEAST_LUMA = 20
"""Exact blocks of luma in a thousand: with fewer there was no JPEG."""
POLISH = 2
"""How often blocks of chroma are repaired."""
VOTES = 6
"""How often a table is revised."""
REACH, SWEEPS = 6, 4
"""How far samples around those of the MCUs are moved, and how often."""
ALIKE = 4
"""Weight, in sixteenths, with which samples outside of an array are taken for as those next to them."""


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


def _solved(array: NDArray[np.uint8], first: int) -> tuple[Levels, NDArray[np.uint8]]:
    """Luma and chroma (3, H, W) of colours, and of each pixel whether they are known, 0, were cut off somewhere, 1, or
    are of no JPEG, 2.
    """
    estimated, sure, cut = estimates(array, first)
    colours, left = array.reshape(-1, 3), np.flatnonzero(~sure)
    kinds = np.zeros(len(colours), np.uint8)
    # Where nothing was cut off what was made of them is at most one off.
    found, cut = np.ascontiguousarray(estimated[:, left].T), cut[left]
    lows, highs = np.empty((2, len(left)), np.int16)
    kernel.solve(colours[left], first, np.where(cut, kernel.FAR, 1), False, False, found, lows, highs)
    estimated[:, left] = found.T
    kinds[left] = np.where(lows > highs, 2, cut)
    return estimated.astype(np.int16).reshape(3, *array.shape[:2]), kinds.reshape(array.shape[:2])


def _ring_of(found: Samples) -> Ring:
    """The outermost samples; a side that is as the next one is left out."""
    top, bottom, left, right = found[0], found[-1], found[1:-1, 0], found[1:-1, -1]
    return Ring(
        None if np.array_equal(top, found[1]) else top,
        None if np.array_equal(bottom, found[-2]) else bottom,
        None if np.array_equal(left, found[1:-1, 1]) else left,
        None if np.array_equal(right, found[1:-1, -2]) else right,
    )


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

    def luma_at(self, grid: tuple[int, int]) -> Plane:
        """Luma, with blocks from a pixel on."""
        luma = Plane.of_levels(self.levels[0], grid)
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
            # Cameras have tables of luma and chroma that are nearly the same.
            likely = [tables.similar_steps(together, luma), *likely]
        else:
            likely.insert(0, partner)
        others = [partial(self.chroma[0].free_steps, self.chroma[1])]
        exact = 0
        for k, plane in enumerate(self.chroma):
            score, plane.steps = choose(partial(self.exact, k), likely, others)
            # Steps of 1 make everything exact that is smooth.
            exact += score if np.count_nonzero(plane.steps == 1) <= ONES else 0
        return exact // 2

    def refine(self) -> None:
        """Better steps of chroma, of no quality: both planes have the same, and cameras nearly those of luma."""

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
        """A table of some planes that is of no quality, with other steps where more pixels come right by them; how many
        blocks that makes exact.
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

    def ring(self, plane: Plane) -> Ring:
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
        return decoded, wrong_pixels(self.array, array, self.offset) > 0

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
            other = Plane.of_levels(found[1:-1, 1:-1].astype(np.int16), (0, 0))
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


def find_ycbcr(array: NDArray[np.uint8], first: int, coloured: bool) -> Picture | None:
    """Of luma and chroma; whether some colours are no gray, which says that there were."""
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
            # Where chroma is not halved nothing is made up, and little makes wrong tables exact.
            if 8 * now > (7 if sampling == (1, 1) else 9) * exact:
                best, exact = copy(colours), now
            if exact > ENOUGH or (sampling == (1, 1) and 2 * now < exact):
                break
    if best is None:
        return None
    best.refine()
    return best.search()

"""Which transforms an array gets. Encoder only: a frame says what was chosen."""

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..jpeg import colour
from . import fixed, gaps, lattice, lattice_search, low_bits, noise, ordered, words
from . import steps as series
from .chain import Samples, Scale, narrowed, number_of
from .gaps import Gaps
from .lattice import Lattice, Line
from .luma import Luma
from .ordered import Ordered
from .words import Words

TARGET = 5.0
"""Bits of a float that are worth to be coded: what is beyond is noise."""
LEAP = 1.03
"""How much more a series may take as steps by the estimate."""
FEW = 64
"""One word for so many others may be off a lattice."""
HINTS = 8
"""Groups whose lines are tried for the next one."""
LABELS = 0.6
"""Part of the numbers that is the same as a neighbour, from which on an array is looked at as one of labels."""


@dataclass(frozen=True)
class Prepared:
    """An array as it is coded: numbers 0 .. m, and how they come back."""

    samples: Samples
    numbers: Words
    m: int


def prepare(array: NDArray[Any], axes: tuple[int, int], channel: int | None) -> Prepared:
    """Numbers of an array.

    Parameters
    ----------
    array : ndarray
        Numeric, of one axis or more, not all the same.
    axes : (int, int)
        The y and x axis, of the words.
    channel : int or None
        An axis of three colours.
    """
    given = words.of_array(array)
    start = Samples(array.dtype, array.shape, axes, False, None, Luma(0))
    if channel is not None and array.dtype.str == "|u1" and array.shape[channel] == 3:
        planes = colour.to_ycbcr(given, channel)
        if planes is not None:
            return Prepared(replace(start, scale=Luma(channel)), planes, 255)
    if number_of(array.dtype, False) == np.float64:
        single = narrowed(given)
        if single is not None:
            given, start = single, replace(start, narrow=True)
    number = number_of(array.dtype, start.narrow)
    found = gaps.find(given, number, axes, lattice=True)
    filled = given if found is None else found.close(given)
    points = _lattice(filled, number, axes, found) if number.kind == "f" and number.itemsize > 2 else None
    if points is not None and (points.off is None or points.by_number):
        return _prepared(replace(start, gaps=found), points, filled)
    plain = ordered.find(filled, number)
    scale: Scale = plain
    if (tabled := ordered.with_table(plain, filled)) is not None:
        return _prepared(replace(start, gaps=found), tabled, filled)
    if number.kind == "f" and _finite(filled, number):
        there = None if found is None else found.there
        if points is not None and _points_bits(points, filled, axes, there) < _float(filled, number, axes, there)[0]:
            return _prepared(replace(start, gaps=found), points, filled)
        if (more := gaps.find(given, number, axes, known=found)) is not found:
            found = more
            filled = given if found is None else found.close(given)
            there = None if found is None else found.there
        scale = _float(filled, number, axes, there)[1]
    start = replace(start, gaps=found)
    if words.is_series(array.shape) and isinstance(scale, Ordered) and not (found is not None and found.closed):
        whole, stepped = _prepared(start, scale, filled), _stepped(start, filled, number)
        # Between two rows of a series there is a leap that steps do not have.
        return stepped if _bits(stepped) < LEAP * _bits(whole) else whole
    return _prepared(start, scale, filled)


def plain(array: NDArray[Any], axes: tuple[int, int]) -> Prepared:
    """Numbers of any array by the order of its words, and by nothing else."""
    given = words.of_array(array)
    start = Samples(array.dtype, array.shape, axes, False, None, Luma(0))
    return _prepared(start, ordered.find(given, number_of(array.dtype, False), 0), given)


def _stepped(start: Samples, filled: Words, number: np.dtype[Any]) -> Prepared:
    """A series as its steps."""
    steps = series.of_words(filled, number)
    scale = ordered.find(steps.steps(filled), steps.signed)
    coded = noise.bits(scale.numbers(steps.steps(filled)), start.axes)
    scale = scale.coarser(max(int(coded - TARGET), 0) if number.kind == "f" else 0)
    return _prepared(replace(start, steps=steps), scale, filled)


def _bits(prepared: Prepared) -> float:
    """Bits of all numbers, roughly."""
    there = None if prepared.samples.gaps is None else prepared.samples.gaps.there
    return noise.bits(prepared.numbers, prepared.samples.axes, there) * prepared.numbers.size + 8 * len(
        prepared.samples.low
    )


def look_like_labels(array: NDArray[Any], axes: tuple[int, int]) -> bool:
    """Whether most items are the same as a neighbour."""
    given = words.of_array(array)
    y, x = (np.moveaxis(given, axis, 0) for axis in axes)
    return any(len(each) > 1 and float(np.mean(each[1:] == each[:-1])) >= LABELS for each in (y, x))


def labelled(array: NDArray[Any], axes: tuple[int, int]) -> Prepared:
    """An array as labels, in the order in which they occur first."""
    given = words.of_array(array)
    number = number_of(array.dtype, False)
    start = Samples(array.dtype, array.shape, axes, False, None, Luma(0))
    return _prepared(start, ordered.by_occurrence(ordered.find(given, number, 0), given), given)


def _prepared(samples: Samples, scale: Scale, filled: Words) -> Prepared:
    if samples.steps is not None:
        filled = samples.steps.steps(filled)
    numbers, low, counts = scale.split(filled)
    there = samples.there
    packed = b""
    if counts.any():
        packed = low_bits.pack(*(part.reshape(-1) if there is None else part[there] for part in (low, counts)))
    return Prepared(replace(samples, scale=scale, low=packed), numbers, max(int(numbers.max()), 1))


def _finite(given: Words, number: np.dtype[Any]) -> bool:
    return bool(np.isfinite(given.view(number)).all())


def _lattice(filled: Words, number: np.dtype[Any], axes: tuple[int, int], found: Gaps | None) -> Lattice | None:
    """The lattice of an array, or of each of its planes; None if there is none, or one that does not pay."""
    if not _finite(filled, number):
        return None
    leading = tuple(axis for axis in range(filled.ndim) if axis not in axes)
    best: Lattice | None = None
    good = None if found is None else found.there
    for groups in ((), leading) if prod(filled.shape[axis] for axis in leading) > 1 else ((),):
        rows = ordered.grouped(filled.view(number), groups)
        there = None if good is None else ordered.grouped(good, groups)
        lines: list[Line] = []
        for k, row in enumerate(rows):
            values = row if there is None else row[there[k]]
            line = lattice_search.search(values, _hints(lines)) if len(values) else Line(1.0, 0.0, 1.0)
            if line is None and groups:
                line = lattice_search.few(values)
            if line is None:
                break
            lines.append(line)
        else:
            scale = lattice.fit(filled, number, groups, lines, axes)
            if scale is not None and (scale.off is None or np.count_nonzero(scale.off) * FEW < filled.size):
                return scale
            if scale is not None and scale.by_number:
                return scale
            # Else the planes may have lattices of their own.
            best = best or scale
    return best


def _hints(lines: list[Line]) -> list[Line]:
    """The last lines that differ by more than their constant."""
    return list({(line.s, line.d, line.single, line.a == 0): line for line in reversed(lines[-HINTS:])}.values())


def _points_bits(points: Lattice, filled: Words, axes: tuple[int, int], there: NDArray[np.bool_] | None) -> float:
    """Bits of a number of a lattice and of what is off it."""
    assert points.off is not None
    _, counts = np.unique(points.off, return_counts=True)
    mantissa, exponent = np.frexp(counts / points.off.size)
    entropy = float(-(counts / points.off.size * (exponent - 2 + 2 * mantissa)).sum())
    return noise.bits(points.numbers(filled), axes, there) + points.low + entropy


def _float(
    filled: Words, number: np.dtype[Any], axes: tuple[int, int], there: NDArray[np.bool_] | None
) -> tuple[float, Scale]:
    """Cells of one width or the order of the bits, as many low bits left out as are noise; and bits of a number."""
    found: list[tuple[float, Scale]] = []
    sample = filled.reshape(-1) if there is None else filled[there]
    sample = sample[:: max(len(sample) // noise.SAMPLES, 1)]
    for scale in (fixed.find(filled, number), ordered.find(filled, number)):
        coded = noise.bits(filled, axes, there, of=scale.numbers)
        low = float(scale.low_counts(scale.numbers(sample)).mean())
        found.append((coded + low, scale.coarser(max(int(coded - TARGET), 0)).onto(filled)))
    return min(found, key=lambda each: each[0])

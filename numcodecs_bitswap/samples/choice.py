"""Choice of an array's transforms. Encoder only: the frame records the choice."""

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
"""Estimated bits of a float that the model codes; lower bits are noise and are stored as they are."""
LEAP = 1.03
"""Steps are chosen if their estimate is below this many times that of the words themselves."""
FEW = 64
"""At most one word in this many may be off a lattice."""
HINTS = 8
"""The lines of this many previous groups are tried first for the next group."""
LABELS = 0.6
"""Fraction of items equal to a neighbour from which an array is treated as possible labels."""


@dataclass(frozen=True)
class Prepared:
    """An array as it is coded: numbers 0 .. m, and the transforms that restore it."""

    samples: Samples
    numbers: Words
    m: int


def prepare(array: NDArray[Any], axes: tuple[int, int], channel: int | None) -> Prepared:
    """Choose the transforms of an array and apply them.

    Parameters
    ----------
    array : ndarray
        Numeric, with one axis or more, not constant.
    axes : (int, int)
        The y and x axes of the words.
    channel : int or None
        The axis of the colour channels.
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
        # The estimate for words counts a jump between two rows of a series, which steps do not have: hence LEAP.
        return stepped if _bits(stepped) < LEAP * _bits(whole) else whole
    return _prepared(start, scale, filled)


def plain(array: NDArray[Any], axes: tuple[int, int]) -> Prepared:
    """Numbers of any array by the order of its words, with no other transform."""
    given = words.of_array(array)
    start = Samples(array.dtype, array.shape, axes, False, None, Luma(0))
    return _prepared(start, ordered.find(given, number_of(array.dtype, False), 0), given)


def _stepped(start: Samples, filled: Words, number: np.dtype[Any]) -> Prepared:
    """A series, coded as its steps."""
    steps = series.of_words(filled, number)
    scale = ordered.find(steps.steps(filled), steps.signed)
    coded = noise.bits(scale.numbers(steps.steps(filled)), start.axes)
    scale = scale.coarser(max(int(coded - TARGET), 0) if number.kind == "f" else 0)
    return _prepared(replace(start, steps=steps), scale, filled)


def _bits(prepared: Prepared) -> float:
    """Estimated bits of all numbers and their low bits."""
    there = None if prepared.samples.gaps is None else prepared.samples.gaps.there
    return noise.bits(prepared.numbers, prepared.samples.axes, there) * prepared.numbers.size + 8 * len(
        prepared.samples.low
    )


def look_like_labels(array: NDArray[Any], axes: tuple[int, int]) -> bool:
    """Whether most items equal their neighbour along one of the axes."""
    given = words.of_array(array)
    y, x = (np.moveaxis(given, axis, 0) for axis in axes)
    return any(len(each) > 1 and float(np.mean(each[1:] == each[:-1])) >= LABELS for each in (y, x))


def labelled(array: NDArray[Any], axes: tuple[int, int]) -> Prepared:
    """An array as labels, numbered in the order of their first occurrence."""
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
    """The lattice of an array, or of each of its planes; None if there is none."""
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
            # Otherwise each plane may have a lattice of its own.
            best = best or scale
    return best


def _hints(lines: list[Line]) -> list[Line]:
    """The latest lines, one for each combination of parameters other than the constant."""
    return list({(line.s, line.d, line.single, line.a == 0): line for line in reversed(lines[-HINTS:])}.values())


def _points_bits(points: Lattice, filled: Words, axes: tuple[int, int], there: NDArray[np.bool_] | None) -> float:
    """Estimated bits per number on a lattice, including the deviations of words from it."""
    assert points.off is not None
    _, counts = np.unique(points.off, return_counts=True)
    mantissa, exponent = np.frexp(counts / points.off.size)
    entropy = float(-(counts / points.off.size * (exponent - 2 + 2 * mantissa)).sum())
    return noise.bits(points.numbers(filled), axes, there) + points.low + entropy


def _float(
    filled: Words, number: np.dtype[Any], axes: tuple[int, int], there: NDArray[np.bool_] | None
) -> tuple[float, Scale]:
    """Estimated bits per number, and the better of fixed-point and ordered samples, with noise as low bits."""
    found: list[tuple[float, Scale]] = []
    sample = filled.reshape(-1) if there is None else filled[there]
    sample = sample[:: max(len(sample) // noise.SAMPLES, 1)]
    for scale in (fixed.find(filled, number), ordered.find(filled, number)):
        coded = noise.bits(filled, axes, there, of=scale.numbers)
        low = float(scale.low_counts(scale.numbers(sample)).mean())
        found.append((coded + low, scale.coarser(max(int(coded - TARGET), 0)).onto(filled)))
    return min(found, key=lambda each: each[0])

"""Choice of an array's transforms. Encoder only: the frame records the choice."""

from dataclasses import dataclass
from functools import partial
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
from .steps import Steps
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
    if channel is not None and array.dtype.str == "|u1" and array.shape[channel] == 3:
        planes = colour.to_ycbcr(given, channel)
        if planes is not None:
            return Prepared(Samples(array.dtype, array.shape, axes, False, None, Luma(channel)), planes, 255)
    single = narrowed(given) if number_of(array.dtype, False) == np.float64 else None
    given = given if single is None else single
    number = number_of(array.dtype, single is not None)
    prepared = partial(_prepared, array, axes, single is not None)
    levels = ordered.levels_of(given, number)
    found = gaps.find(given, number, axes, lattice=True, few=None if levels is None else levels.few)
    filled = given
    if found is not None:
        filled = found.close(given)
        levels = ordered.levels_of(filled, number)
    points = _lattice(filled, number, axes, found) if number.kind == "f" and number.itemsize > 2 else None
    if points is not None and (points.off is None or points.by_number):
        return prepared(found, points, filled)
    plain = ordered.find(filled if levels is None else levels.words, number)
    scale: Scale = plain
    if (tabled := ordered.with_table(plain, filled, levels)) is not None:
        return prepared(found, tabled, filled)
    if number.kind == "f" and _finite(filled, number):
        there = None if found is None else found.there
        if points is not None and _points_bits(points, filled, axes, there) < _float(filled, number, axes, there)[0]:
            return prepared(found, points, filled)
        if (more := gaps.find(given, number, axes, known=found)) is not found:
            found = more
            filled = given if found is None else found.close(given)
            there = None if found is None else found.there
        scale = _float(filled, number, axes, there)[1]
    whole = prepared(found, scale, filled)
    if words.is_series(array.shape) and isinstance(scale, Ordered) and not (found is not None and found.closed):
        steps = series.of_words(filled, number)
        stepped = prepared(found, _scale_of_steps(steps, filled, axes), filled, steps)
        # The estimate for words counts a jump between two rows of a series, which steps do not have: hence LEAP.
        return stepped if _bits(stepped) < LEAP * _bits(whole) else whole
    return whole


def plain(array: NDArray[Any], axes: tuple[int, int]) -> Prepared:
    """Numbers of any array by the order of its words, with no other transform."""
    given = words.of_array(array)
    return _prepared(array, axes, False, None, ordered.find(given, number_of(array.dtype, False), 0), given)


def _scale_of_steps(steps: Steps, filled: Words, axes: tuple[int, int]) -> Ordered:
    """The scale of the steps of a series."""
    found = steps.steps(filled)
    scale = ordered.find(found, steps.signed)
    if steps.number.kind != "f":
        return scale
    return scale.coarser(max(int(noise.bits(scale.numbers(found), axes) - TARGET), 0))


def _bits(prepared: Prepared) -> float:
    """Estimated bits of all numbers and their low bits."""
    there = None if prepared.samples.gaps is None else prepared.samples.gaps.there
    return noise.bits(prepared.numbers, prepared.samples.axes, there) * prepared.numbers.size + 8 * len(
        prepared.samples.low
    )


def look_like_labels(array: NDArray[Any], axes: tuple[int, int]) -> bool:
    """Whether most items equal their neighbour along one of the axes."""
    given = words.of_array(array)
    for axis in axes:
        every = [slice(None)] * given.ndim
        after, before = every.copy(), every.copy()
        after[axis], before[axis] = slice(1, None), slice(None, -1)
        same = given[tuple(after)] == given[tuple(before)]
        if same.size and np.count_nonzero(same) / same.size >= LABELS:
            return True
    return False


def labelled(array: NDArray[Any], axes: tuple[int, int]) -> Prepared:
    """An array as labels, numbered in the order of their first occurrence."""
    given = words.of_array(array)
    number = number_of(array.dtype, False)
    scale = ordered.by_occurrence(ordered.find(given, number, 0), given)
    return _prepared(array, axes, False, None, scale, given)


def _prepared(
    array: NDArray[Any],
    axes: tuple[int, int],
    narrow: bool,
    found: Gaps | None,
    scale: Scale,
    filled: Words,
    steps: Steps | None = None,
) -> Prepared:
    """The numbers of words without gaps, or of their steps."""
    numbers, low, counts = scale.split(filled if steps is None else steps.steps(filled))
    packed = b""
    if counts is not None and counts.any():
        there = None if found is None or steps is not None else found.there
        packed = low_bits.pack(*(part.reshape(-1) if there is None else part[there] for part in (low, counts)))
    samples = Samples(array.dtype, array.shape, axes, narrow, found, scale, packed, steps)
    return Prepared(samples, numbers, max(int(numbers.max()), 1))


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
        counts = scale.low_counts(scale.numbers(sample))
        low = 0.0 if counts is None else float(counts.mean())
        found.append((coded + low, scale.coarser(max(int(coded - TARGET), 0)).onto(filled)))
    return min(found, key=lambda each: each[0])

"""Floats that were made of integers <-> those integers k (FORMAT.md 1.4): float(((k * s) + a) / d), in the arithmetic
that decoders of packed data use. `lattice_search` finds s, a and d.

Every operation is one of IEEE 754, rounded once, in the order written. An element that differs slightly from the result
records its deviation, counted in floats.
"""

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import labels
from ..chunk.fields import Reader, packed, sized, varints
from ..errors import FormatError
from ..planes.tables import LARGEST
from .ordered import GLANCE, grouped, read_axes, ungrouped
from .words import Words, of_planes, ordered, plane_shape, planes_of, unordered

MOST_OFF = 1 << 20
"""Largest deviation of an element, counted in floats."""


@dataclass(frozen=True)
class Line:
    """float(((k * s) + a) / d), in binary32 if `single`, otherwise in binary64."""

    s: float
    a: float
    d: float
    single: bool = False

    def values(self, k: NDArray[Any], number: np.dtype[Any]) -> NDArray[Any]:
        """Floats of integers `k`, int64. Overflow and NaN, too, are the same on every machine."""
        real = np.dtype(np.float32 if self.single else np.float64).type
        with np.errstate(all="ignore"):
            x = k.astype(real)
            if self.s != 1:
                x *= real(self.s)
            if self.a != 0:
                x += real(self.a)
            if self.d != 1:
                x /= real(self.d)
            return x.astype(number, copy=False)


@dataclass(frozen=True)
class Lattice:
    """Numbers k - least, shifted right by `low` bits.

    Attributes
    ----------
    number : dtype
        float32 or float64.
    groups : tuple of int
        Axes along which each item has its own line and least k.
    lines : tuple of Line
    least : tuple of int
    low : int
    off : int32 array, or None
        Deviation from the line, counted in floats: of each word (the words' shape), or of each number
        (groups, numbers).
    by_number : bool
        Whether `off` is per number.
    axes : (int, int)
        The y and x axes.
    """

    code = 2

    number: np.dtype[Any]
    groups: tuple[int, ...]
    lines: tuple[Line, ...]
    least: tuple[int, ...]
    low: int
    axes: tuple[int, int]
    off: NDArray[np.int32] | None = None
    by_number: bool = False

    def integers(self, words: Words) -> NDArray[np.int64]:
        """The nearest k of each word."""
        rows = np.array(grouped(words.view(self.number), self.groups), np.float64)
        for row, line in zip(rows, self.lines, strict=True):
            if line.d != 1:
                row *= line.d
            if line.a != 0:
                row -= line.a
            if line.s != 1:
                row /= line.s
            np.rint(row, row)
        return ungrouped(rows, words.shape, self.groups).astype(np.int64)

    def on_lines(self, k: NDArray[np.int64]) -> Words:
        """The words of integers k, without deviations."""
        rows = grouped(k, self.groups)
        values = np.empty(rows.shape, self.number)
        for value, row, line in zip(values, rows, self.lines, strict=True):
            value[:] = line.values(row, self.number)
        return ungrouped(values, k.shape, self.groups).view(f"u{self.number.itemsize}")

    def _from_least(self, words: Words) -> NDArray[np.int64]:
        least = np.array(self.least, np.int64)[:, None]
        return ungrouped(grouped(self.integers(words), self.groups) - least, words.shape, self.groups)

    def numbers(self, words: Words) -> Words:
        """Numbers of words."""
        return (self._from_least(words) >> self.low).astype(np.uint32)

    def split(self, words: Words) -> tuple[Words, Words, NDArray[np.uint8] | None]:
        """Numbers of words, their low bits, and the number of low bits of each; inverse of `words`."""
        low = self._from_least(words)
        return (low >> self.low).astype(np.uint32), low.astype(np.uint64), self.low_counts(low)

    def low_counts(self, numbers: Words) -> NDArray[np.uint8] | None:
        """The number of low bits of each number; None: there are none."""
        return np.full(numbers.shape, self.low, np.uint8) if self.low else None

    def words(self, numbers: Words, low: Words | None) -> Words:
        """Words of numbers and low bits; inverse of `split`."""
        k = numbers.astype(np.int64) << self.low
        if low is not None:
            k |= low.astype(np.int64)
        rows = grouped(k, self.groups)
        words = self.on_lines(ungrouped(rows + np.array(self.least, np.int64)[:, None], k.shape, self.groups))
        if self.off is None:
            return words
        off = self.off
        if self.by_number:
            if int(rows.max()) >= off.shape[1]:
                raise FormatError("a number exceeds those of the lattice: the frame was altered")
            off = ungrouped(np.take_along_axis(off, rows, 1), k.shape, self.groups)
        levels = ordered(words, self.number)
        return unordered(levels + off.astype(np.int64).astype(levels.dtype), self.number)

    def write(self) -> bytes:
        """Fields of a frame; inverse of `read`."""
        fields = bytes([self.low, len(self.groups), *self.groups])
        fields += packed(np.array([(line.s, line.a, line.d) for line in self.lines], np.float64).T)
        fields += packed(np.array([line.single for line in self.lines], np.uint8))
        fields += packed(np.array(self.least, np.int64))
        if self.off is None:
            return fields + varints([0])
        names, numbers = np.unique(self.off, return_inverse=True)
        numbers = numbers.reshape(self.off.shape)
        planes = numbers[None] if self.by_number else planes_of(numbers, self.axes)
        coded = labels.encode(planes, np.arange(len(planes)) - 1, len(names) - 1)
        most = self.off.shape[1] if self.by_number else 0
        return fields + varints([len(names), most]) + packed(names.astype(np.int32)) + sized(coded)

    @classmethod
    def read(cls, reader: Reader, number: np.dtype[Any], shape: tuple[int, ...], axes: tuple[int, int]) -> "Lattice":
        """Inverse of `write`.

        Raises
        ------
        FormatError
            A field is out of range.
        """
        low = reader.byte("low bits")
        if low > 40:
            raise FormatError(f"{low} low bits are out of range")
        groups = read_axes(reader, shape)
        count = prod(shape[axis] for axis in groups)
        lines = reader.unpack(np.dtype(np.float64), 3 * count, "lines").reshape(3, count).T.tolist()
        single = reader.unpack(np.dtype(np.uint8), count, "precisions").tolist()
        if max(single) > 1:
            raise FormatError("a precision is out of range")
        least = reader.unpack(np.dtype(np.int64), count, "least numbers").tolist()
        if any(abs(each) > 1 << 53 for each in least):
            raise FormatError("a least number is out of range")
        found = tuple(Line(s, a, d, single=bool(each)) for (s, a, d), each in zip(lines, single, strict=True))
        names = reader.varint("number of errors")
        if names == 0:
            return cls(number, groups, found, tuple(least), low, axes)
        most = reader.varint("numbers with errors")
        if names > prod(shape) or count * most > prod(shape):
            raise FormatError(f"{names} groups of {most} deviations are more than there are samples")
        table = reader.unpack(np.dtype(np.int32), names, "errors")
        order = (1, count, most) if most else plane_shape(shape, axes)
        planes = labels.decode(reader.sized("errors"), order, np.arange(order[0]) - 1, names - 1)
        if most:
            return cls(number, groups, found, tuple(least), low, axes, table[planes[0]], True)
        return cls(number, groups, found, tuple(least), low, axes, of_planes(table[planes], shape, axes))


def fit(
    words: Words, number: np.dtype[Any], groups: tuple[int, ...], lines: list[Line], axes: tuple[int, int]
) -> Lattice | None:
    """The lattice of some lines, with the least k and the deviations; None if a word deviates too far."""
    # A sample is usually enough to see that words deviate too far.
    glance = words.reshape(-1)[:: words.size // GLANCE] if not groups and words.size > 2 * GLANCE else None
    if glance is not None and fit(glance, number, groups, lines, axes) is None:
        return None
    lattice = Lattice(number, groups, tuple(lines), (0,) * len(lines), 0, axes)
    with np.errstate(all="ignore"):
        k = lattice.integers(words)
    if int(np.abs(k).max()) > 1 << 52:
        return None
    rows = grouped(k, groups)
    least = rows.min(1)
    most = int((rows.max(1) - least).max())
    low = max(most.bit_length() - LARGEST.bit_length(), 0)
    lattice = replace(lattice, least=tuple(int(each) for each in least), low=low)
    there = lattice.on_lines(k)
    if np.array_equal(there, words):
        return lattice
    difference = ordered(words, number) - ordered(there, number)
    off = difference.view(f"i{number.itemsize}")
    if int(np.abs(off).max()) > MOST_OFF:
        return None
    off = off.astype(np.int32)
    table = np.zeros((len(lines), most + 1 if (most + 1) * len(lines) <= off.size else 0), np.int32)
    if table.size:
        # Equal numbers of a group have equal values on the line, so deviations may be recorded per number.
        numbers = rows - least[:, None]
        np.put_along_axis(table, numbers, grouped(off, groups), 1)
        if np.array_equal(np.take_along_axis(table, numbers, 1), grouped(off, groups)):
            return replace(lattice, off=table, by_number=True)
    return replace(lattice, off=off)

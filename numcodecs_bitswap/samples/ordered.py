"""Words <-> numbers from 0 in the same order (FORMAT.md 1.4): offset and step, a table of the levels in use, low bits.
For integers, and for floats by the order of their bits. numpy only.

Instruments add a constant, store signed numbers, or use only every 16th value or a few of many levels. All of that is
removed before a model sees the numbers.
"""

from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..chunk.fields import Reader, packed, varints
from ..errors import FormatError
from ..planes.tables import LARGEST
from .words import Words, ends, ordered, trailing_zeros, unordered

GLANCE = 4096
"""Words in the sample that is examined before the whole array."""
PER_LEVEL = 8
"""With this many samples per level on average, a missing level is one that the instrument does not have."""


@dataclass(frozen=True)
class Ordered:
    """A word, in the order of the numbers, is offset + step * (2^low * level + low bits).

    Attributes
    ----------
    number : dtype
        u, i or f.
    trailing : int
        Number of lowest bits that are 0 in all floats.
    offset, step, low : int
    groups : tuple of int
        Axes along which each item has its own table. Empty without tables.
    table : tuple of arrays
        For each group its levels, in the order of their numbers. If empty, a level is its own number.
    """

    code = 0

    number: np.dtype[Any]
    trailing: int
    offset: int
    step: int
    low: int = 0
    groups: tuple[int, ...] = ()
    table: tuple[Words, ...] = ()

    def numbers(self, words: Words) -> Words:
        """Numbers of words."""
        levels = self._levels(words)
        if not self.table:
            return np.asarray(levels >> levels.dtype.type(self.low)) if self.low else levels
        parts = [_rank(table, part) for table, part in zip(self.table, grouped(levels, self.groups), strict=True)]
        return ungrouped(np.stack(parts), levels.shape, self.groups)

    def split(self, words: Words) -> tuple[Words, Words, NDArray[np.uint8] | None]:
        """Numbers of words, their low bits, and the number of low bits of each; inverse of `words`."""
        numbers = self.numbers(words)
        return numbers, self._levels(words) if self.low else numbers, self.low_counts(numbers)

    def low_counts(self, numbers: Words) -> NDArray[np.uint8] | None:
        """The number of low bits of each number; None: there are none."""
        return np.full(numbers.shape, self.low, np.uint8) if self.low else None

    def words(self, numbers: Words, low: Words | None) -> Words:
        """Words of numbers and low bits; inverse of `split`.

        Raises
        ------
        FormatError
            A number is not in the table.
        """
        kind = np.dtype(f"u{self.number.itemsize}").type
        if self.table:
            parts = []
            for table, part in zip(self.table, grouped(numbers, self.groups), strict=True):
                if int(part.max()) >= len(table):
                    raise FormatError("a number exceeds its table: the frame was altered")
                parts.append(table[part])
            levels = ungrouped(np.stack(parts), numbers.shape, self.groups).astype(kind)
        else:
            levels = numbers.astype(kind)
        if low is not None:
            levels = levels << kind(self.low) | low.astype(kind)
        if self.step != 1:
            levels *= kind(self.step)
        if self.offset:
            levels += kind(self.offset)
        return unordered(levels, self.number, self.trailing)

    def onto(self, words: Words) -> "Ordered":
        """The same for other words, with more low bits if they need them."""
        offset, top = ordered(ends(words, self.number), self.number, self.trailing)
        needed = (int(top - offset) // self.step).bit_length() - LARGEST.bit_length()
        return replace(self, offset=int(offset), low=max(self.low, needed))

    def coarser(self, bits: int) -> "Ordered":
        """The same with more low bits."""
        return replace(self, low=min(self.low + bits, 8 * self.number.itemsize - 1))

    def _levels(self, words: Words) -> Words:
        levels = ordered(words, self.number, self.trailing)
        if self.offset:
            levels = levels - words.dtype.type(self.offset)
        return np.asarray(levels // words.dtype.type(self.step) if self.step > 1 else levels)

    def write(self) -> bytes:
        """Fields of a frame; inverse of `read`."""
        size = self.number.itemsize
        fixed = bytes([self.trailing]) + self.offset.to_bytes(size, "little") + self.step.to_bytes(size, "little")
        fixed += bytes([self.low, len(self.groups), *self.groups])
        if not self.table:
            return fixed + varints([0])
        counts = varints(len(table) for table in self.table)
        return fixed + varints([len(self.table)]) + counts + packed(np.concatenate([_steps(t) for t in self.table]))

    @classmethod
    def read(cls, reader: Reader, number: np.dtype[Any], shape: tuple[int, ...], axes: tuple[int, int]) -> "Ordered":
        """Inverse of `write`.

        Raises
        ------
        FormatError
            A field is out of range.
        """
        word = np.dtype(f"u{number.itemsize}")
        trailing = reader.byte("trailing zeros")
        if trailing > ({2: 10, 4: 23, 8: 52}[number.itemsize] if number.kind == "f" else 0):
            raise FormatError(f"{trailing} trailing zeros are out of range")
        offset, step, low = reader.word(word, "offset"), reader.word(word, "step"), reader.byte("low bits")
        if low >= 8 * number.itemsize or step == 0:
            raise FormatError(f"step {step} and {low} low bits are out of range")
        groups = read_axes(reader, shape)
        count = reader.varint("number of tables")
        if count == 0:
            return cls(number, trailing, offset, step, low, groups)
        if count != prod(shape[axis] for axis in groups) or low:
            raise FormatError(f"{count} tables do not fit the axes {groups}, or have low bits")
        counts = [reader.varint("levels") for _ in range(count)]
        if min(counts) < 1 or sum(counts) > prod(shape):
            raise FormatError("a table has more levels than there are numbers")
        steps = reader.unpack(word, sum(counts), "levels")
        table = tuple(np.cumsum(part, dtype=word) for part in np.split(steps, np.cumsum(counts)[:-1]))
        return cls(number, trailing, offset, step, 0, groups, table)


class Levels(NamedTuple):
    """The words that occur in an array, in the order of their numbers, and how often each does."""

    words: Words
    counts: NDArray[np.int64]

    @property
    def few(self) -> Words:
        """Each word once, or twice if it occurs more than once."""
        return self.words.repeat(np.minimum(self.counts, 2))


def levels_of(words: Words, number: np.dtype[Any]) -> Levels | None:
    """The levels of integers of up to 16 bits; None of others."""
    if number.kind == "f" or number.itemsize > 2:
        return None
    found, counts = _in_use(ordered(words.reshape(-1), number))
    return Levels(unordered(found, number), counts)


def find(words: Words, number: np.dtype[Any], trailing: int | None = None) -> Ordered:
    """Offset and step of words, without a table. Low bits are split off if numbers would exceed the plane coder's."""
    if trailing is None:
        trailing = trailing_zeros(words, number) if number.kind == "f" else 0
    offset, top = ordered(ends(words, number), number, trailing)
    step = 1
    if number.kind != "f":
        flat = words.reshape(-1)
        for part in (flat[:GLANCE], flat):
            step = int(np.gcd.reduce(ordered(part, number) - offset))
            if step == 1:
                break
        step = step or 1
    low = max((int(top - offset) // step).bit_length() - LARGEST.bit_length(), 0)
    return Ordered(number, trailing, int(offset), step, low)


def with_table(scale: Ordered, words: Words, levels: Levels | None = None) -> Ordered | None:
    """The same with a table of the levels in use; None if it would gain too little."""
    if levels is None or 2 * len(levels.words) > GLANCE:
        flat = words.reshape(-1)
        if flat.size > GLANCE and len(np.unique(flat[:: flat.size // GLANCE])) * 2 > GLANCE:
            return None
    if levels is None:
        found, counts = _in_use(scale._levels(words.reshape(-1)))
    else:
        found, counts = scale._levels(levels.words), levels.counts
    if not _missing(found, counts):
        return None
    return Ordered(scale.number, scale.trailing, scale.offset, scale.step, 0, (), (found,))


def by_occurrence(scale: Ordered, words: Words) -> Ordered:
    """The same with a table of the levels in the order of their first occurrence."""
    levels = scale._levels(words).reshape(-1)
    found, first = np.unique(levels, return_index=True)
    return Ordered(scale.number, scale.trailing, scale.offset, scale.step, 0, (), (found[np.argsort(first)],))


def _in_use(levels: Words) -> tuple[Words, NDArray[np.int64]]:
    """The levels that occur, ascending, and their counts."""
    if int(levels.max()) >= levels.size:
        return np.unique(levels, return_counts=True)
    counts = np.bincount(levels.astype(np.int64))
    found = np.flatnonzero(counts)
    return found.astype(levels.dtype), counts[found]


def _missing(found: Words, counts: NDArray[np.int64]) -> bool:
    """Whether a quarter of the levels in the range of most samples do not occur."""
    total = int(counts.sum())
    if int(found[-1] - found[0]) < 16 or PER_LEVEL * len(found) > total:
        return False
    below = np.cumsum(counts)
    low, high = np.searchsorted(below, [total // 20, total - total // 20])
    return 4 * (int(high) - int(low) + 1) <= 3 * (int(found[high] - found[low]) + 1)


def _rank(table: Words, levels: Words) -> Words:
    """Indices of levels in a table."""
    if int(table.max()) < levels.size:
        indices = np.zeros(int(table.max()) + 1, np.uint32)
        indices[table] = np.arange(len(table))
        return indices[levels]
    order = np.argsort(table, kind="stable")
    return order[np.searchsorted(table[order], levels)].astype(np.uint32)


def _steps(table: Words) -> Words:
    return np.diff(table, prepend=table.dtype.type(0))


def grouped(array: NDArray[Any], groups: tuple[int, ...]) -> NDArray[Any]:
    """An array as rows (groups, items), one group for each index along the axes `groups`; inverse of `ungrouped`."""
    moved = np.moveaxis(array, groups, range(len(groups)))
    return moved.reshape(prod(moved.shape[: len(groups)]), -1)


def ungrouped(rows: NDArray[Any], shape: tuple[int, ...], groups: tuple[int, ...]) -> NDArray[Any]:
    """Inverse of `grouped`."""
    lead = [shape[axis] for axis in groups]
    rest = [n for axis, n in enumerate(shape) if axis not in groups]
    return np.ascontiguousarray(np.moveaxis(rows.reshape(*lead, *rest), range(len(groups)), groups))


def read_axes(reader: Reader, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Read a list of ascending axes.

    Raises
    ------
    FormatError
        They do not ascend, or exceed the array's dimensions.
    """
    axes = tuple(reader.take(reader.byte("number of axes"), "axes"))
    if any(a >= b for a, b in pairwise(axes)) or (axes and axes[-1] >= len(shape)):
        raise FormatError(f"axes {axes} do not fit {len(shape)} dimensions")
    return axes

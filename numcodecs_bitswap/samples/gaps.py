"""Words that stand for something else than a number of the series (NaN, infinities, fill values, exact zeros of a
field that is zero where it is not defined) <-> a mask, and words filled from their neighbours (FORMAT.md 1.4).
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import labels
from ..errors import FormatError
from ..fields import Reader, sized, varints
from .words import Words, ordered

MOST = 15
"""Kinds of gaps."""
OFTEN = 32
"""One value for so many others is more than chance."""
FAR = 4
"""An outlier is so many times farther from the others than they are from each other."""


@dataclass(frozen=True)
class Gaps:
    """Which words are gaps, and where.

    Attributes
    ----------
    words : tuple of int
        Ascending.
    mask : uint8 array of the words' shape
        0, or the number of a word of `words`, from 1.
    axes : (int, int)
        The y and x axis.
    """

    words: tuple[int, ...]
    mask: NDArray[np.uint8]
    axes: tuple[int, int]

    def write(self, dtype: np.dtype[Any]) -> bytes:
        """Fields of a frame; inverse of `read`."""
        planes = _planes(self.mask, self.axes)
        coded = labels.encode(planes, np.arange(len(planes)) - 1, len(self.words))
        words = b"".join(word.to_bytes(dtype.itemsize, "little") for word in self.words)
        return varints([len(self.words)]) + words + sized(coded)

    @classmethod
    def read(cls, reader: Reader, dtype: np.dtype[Any], shape: tuple[int, ...], axes: tuple[int, int]) -> "Gaps | None":
        """Inverse of `write`; None: no gaps.

        Raises
        ------
        FormatError
            The fields are out of range, or the mask is damaged.
        """
        count = reader.varint("number of gaps")
        if count == 0:
            return None
        if count > MOST:
            raise FormatError(f"{count} kinds of gaps are out of range")
        found = tuple(reader.word(dtype, "gap") for _ in range(count))
        if any(a >= b for a, b in zip(found, found[1:], strict=False)):
            raise FormatError("gaps have to ascend")
        order = _planes(np.empty(shape, np.bool_), axes).shape
        planes = labels.decode(reader.sized("mask"), order, np.arange(order[0]) - 1, count)
        moved = np.moveaxis(np.empty(shape, np.bool_), axes, (-2, -1)).shape
        mask = np.moveaxis(planes.astype(np.uint8).reshape(moved), (-2, -1), axes)
        return cls(found, np.ascontiguousarray(mask), axes)

    def restore(self, words: Words) -> Words:
        """Words with the gaps in them; inverse of `fill`."""
        table = np.array([0, *self.words], words.dtype)
        return np.where(self.mask > 0, table[self.mask], words)

    def fill(self, words: Words) -> Words:
        """Words in which a gap is the same as the number before it in its row, or else behind it; rows without a number
        are the same as the row before.
        """
        planes, gap = _planes(words, self.axes), _planes(self.mask, self.axes) > 0
        P, h, w = planes.shape
        column = np.arange(w)
        before = np.maximum.accumulate(np.where(gap, -1, column), -1)
        behind = np.minimum.accumulate(np.where(gap, w, column)[..., ::-1], -1)[..., ::-1]
        nearest = np.where(before >= 0, before, np.minimum(behind, w - 1))
        rows = np.take_along_axis(planes, nearest, -1).reshape(P * h, w)
        good = ~gap.all(-1).reshape(-1)
        source = np.maximum.accumulate(np.where(good, np.arange(P * h), -1))
        source[source < 0] = int(np.argmax(good))
        moved = np.moveaxis(words, self.axes, (-2, -1)).shape
        return np.ascontiguousarray(np.moveaxis(rows[source].reshape(moved), (-2, -1), self.axes))


def find(words: Words, number: np.dtype[Any], axes: tuple[int, int], lattice: bool = False) -> Gaps | None:
    """The gaps of words, or None if there are none, or too many kinds.

    Parameters
    ----------
    words : unsigned integers
    number : dtype
    axes : (int, int)
    lattice : bool
        The numbers are few; that one is frequent means nothing.
    """
    found: list[int] = []
    good = np.ones(words.shape, np.bool_)
    if number.kind == "f":
        exponents = {2: 0x7C00, 4: 0x7F800000, 8: 0x7FF << 52}[number.itemsize]
        odd = (words & words.dtype.type(exponents)) == exponents
        if odd.any():
            found = [int(word) for word in np.unique(words[odd])]
            good = ~odd
    if len(found) > MOST or not good.any():
        return None
    for _ in range(4):
        level = ordered(words, number)[good]
        word = _outlier(level, words[good], number)
        if word is None and number.kind == "f" and not lattice:
            word = _frequent(words[good])
        if word is None:
            break
        found.append(word)
        good &= words != word
        if len(found) > MOST or not good.any():
            return None
    if not found:
        return None
    names = np.array(sorted(found), words.dtype)
    mask = np.where(good, 0, np.searchsorted(names, words) + 1).astype(np.uint8)
    return Gaps(tuple(int(word) for word in names), mask, axes)


def _outlier(levels: Words, words: Words, number: np.dtype[Any]) -> int | None:
    """The least or the largest word, if it is far from all others and not alone."""
    values = words.view(number).astype(np.float64) if number.kind == "f" else levels.astype(np.float64)
    for sign in (-1, 1):
        end = (values * sign).max()
        others = values[values * sign < end]
        if len(others) == 0:
            return None
        far = end - (others * sign).max()
        if far > FAR * (others.max() - others.min()) and len(values) - len(others) > 1 and len(others) > 1:
            return int(words[np.argmax(values * sign)])
    return None


def _frequent(words: Words) -> int | None:
    """A word that is much more frequent than others."""
    sample = words[:: max(len(words) // 4096, 1)]
    found, counts = np.unique(sample, return_counts=True)
    most = int(counts.argmax())
    return int(found[most]) if counts[most] * OFTEN > len(sample) and len(sample) >= 256 else None


def _planes(array: NDArray[Any], axes: tuple[int, int]) -> NDArray[Any]:
    moved = np.moveaxis(array, axes, (-2, -1))
    return moved.reshape(prod(moved.shape[:-2]), *moved.shape[-2:])

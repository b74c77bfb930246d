"""Gaps <-> a mask, and words without them (FORMAT.md 1.4). Gaps are words that are no measurements: NaN, infinities,
fill values, exact zeros of a field that is zero where it is undefined; and copies of a neighbour, as resampling makes.

Gaps are filled from their row. Where many words are copies, rows are closed up instead, so that words that were
neighbours before resampling are neighbours again.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import labels
from ..chunk.fields import Reader, sized, varints
from ..errors import FormatError
from .words import Words, of_planes, ordered, plane_shape, planes_of

MOST = 15
"""Most kinds of gaps."""
OFTEN = 32
"""A value that makes up more than one in this many words is frequent beyond chance."""
FAR = 4
"""An outlier is this many times farther from the other words than these are apart."""
COPIED = ((0, -1), (-1, 0), (-1, -1), (-1, 1))
"""Neighbours (dy, dx) of which a word may be a copy."""
GLANCE = 4096
"""Words in the sample that is examined before the whole array."""
COPIES = 0.1
"""Fraction of copies among the words from which they are left out."""


@dataclass(frozen=True)
class Gaps:
    """The gaps of an array: their words and their mask.

    Attributes
    ----------
    words : tuple of int
        Ascending.
    mask : uint8 array of the words' shape
        0: a number; then one value for each of `words`; then one for each neighbour in COPIED that is copied.
    axes : (int, int)
        The y and x axes.
    closed : bool
        Rows are closed up; otherwise gaps are filled.
    """

    words: tuple[int, ...]
    mask: NDArray[np.uint8]
    axes: tuple[int, int]
    closed: bool = False

    def write(self, dtype: np.dtype[Any]) -> bytes:
        """Fields of a frame; inverse of `read`."""
        planes = planes_of(self.mask, self.axes)
        coded = labels.encode(planes, np.arange(len(planes)) - 1, len(self.words) + len(COPIED))
        words = b"".join(word.to_bytes(dtype.itemsize, "little") for word in self.words)
        return varints([2 * len(self.words) + 2 - self.closed]) + words + sized(coded)

    @classmethod
    def read(
        cls,
        reader: Reader,
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        axes: tuple[int, int],
        mask: NDArray[np.uint8] | None = None,
    ) -> "Gaps | None":
        """Inverse of `write`; None if there are no gaps. A mask that is given is not decoded.

        Raises
        ------
        FormatError
            The fields are out of range, or the mask is damaged.
        """
        kinds = reader.varint("kinds of gaps")
        if kinds == 0:
            return None
        count = (kinds - 1) // 2
        if count > MOST:
            raise FormatError(f"{count} kinds of gaps are out of range")
        found = tuple(reader.word(dtype, "gap") for _ in range(count))
        if any(a >= b for a, b in pairwise(found)):
            raise FormatError("the words of gaps do not ascend")
        order, coded = plane_shape(shape, axes), reader.sized("mask")
        if mask is not None:
            return cls(found, mask, axes, kinds % 2 == 1)
        planes = labels.decode(coded, order, np.arange(order[0]) - 1, count + len(COPIED))
        if planes.all():
            raise FormatError("the mask leaves no numbers")
        return cls(found, of_planes(planes.astype(np.uint8), shape, axes), axes, kinds % 2 == 1)

    @cached_property
    def there(self) -> NDArray[np.bool_]:
        """Which words of the result of `close` are numbers."""
        if not self.closed:
            return np.asarray(self.mask == 0)
        count = (planes_of(self.mask, self.axes) == 0).sum(-1)
        there = np.arange(count.max()) < count[..., None]
        return of_planes(there, self.closed_shape, self.axes)

    @cached_property
    def closed_shape(self) -> tuple[int, ...]:
        """The shape of the result of `close`."""
        shape = list(self.mask.shape)
        if self.closed:
            shape[self.axes[1]] = int((self.mask == 0).sum(self.axes[1]).max())
        return tuple(shape)

    def close(self, words: Words) -> Words:
        """Words without gaps. A gap takes the number before it in its row, or else the one after it; in a row without
        numbers, the word in the row before. Rows that are closed up are padded with copies of their last number.
        """
        from .kernel import fill_rows  # may read numba

        planes, mask = planes_of(words, self.axes), planes_of(self.mask, self.axes)
        P, h, w = planes.shape
        source = np.empty((P * h, self.closed_shape[self.axes[1]]), np.int64)
        fill_rows(mask.reshape(P * h, w) > 0, self.closed, source)  # type: ignore[no-untyped-call]
        filled = planes.reshape(-1).take(source.reshape(P, h, -1))
        return of_planes(filled, self.closed_shape, self.axes)

    def open(self, words: Words) -> Words:
        """Words with their gaps; inverse of `close`."""
        planes, mask = planes_of(words, self.axes), planes_of(self.mask, self.axes)
        if self.closed:
            spread = np.zeros(mask.shape, words.dtype)
            spread[mask == 0] = planes[planes_of(self.there, self.axes)]
            planes = spread
        table = np.zeros(len(self.words) + len(COPIED) + 1, words.dtype)
        table[1 : len(self.words) + 1] = self.words
        planes = np.where(mask > 0, table[mask], planes)
        if int(mask.max()) > len(self.words):
            planes = planes.reshape(-1)[_sources(mask, len(self.words))]
        return of_planes(planes, self.mask.shape, self.axes)


def find(
    words: Words,
    number: np.dtype[Any],
    axes: tuple[int, int],
    lattice: bool = False,
    known: Gaps | None = None,
    few: Words | None = None,
) -> Gaps | None:
    """The gaps of words, or None if there are none or too many kinds.

    Parameters
    ----------
    words : unsigned integers
    number : dtype
    axes : (int, int)
    lattice : bool
        Assume few distinct numbers, so that frequent words and equal neighbours are no sign of gaps.
    known : Gaps, optional
        The gaps found with `lattice`; returned if there are no others.
    few : unsigned integers (n,), optional
        Each word once, or twice if it occurs more than once: enough to look at where the words are no floats.
    """
    found: list[int] = []
    left = words.reshape(-1) if few is None else few
    if known is not None:
        found, left = list(known.words), words[known.mask == 0]
    elif number.kind == "f":
        exponents = {2: 0x7C00, 4: 0x7F800000, 8: 0x7FF << 52}[number.itemsize]
        odd = (left & words.dtype.type(exponents)) == exponents
        if odd.any():
            found = [int(word) for word in np.unique(left[odd])]
            left = left[~odd]
    if len(found) > MOST or not left.size:
        return None
    for _ in range(4):
        word = _outlier(left, number)
        if word is None and number.kind == "f" and not lattice:
            word = _frequent(left)
        if word is None:
            break
        found.append(word)
        left = left[left != word]
        if len(found) > MOST or not left.size:
            return None
    if not found and (lattice or number.kind != "f"):
        return known
    names = np.array(sorted(found), words.dtype)
    mask = np.zeros(words.shape, np.uint8)
    for k, name in enumerate(names):
        mask[words == name] = k + 1
    copies = None if lattice or number.kind != "f" else _copies(words, mask, len(found), axes)
    if copies is None and (not found or (known is not None and len(found) == len(known.words))):
        return known
    return Gaps(tuple(int(word) for word in names), mask if copies is None else copies, axes, copies is not None)


def _copies(words: Words, mask: NDArray[np.uint8], kinds: int, axes: tuple[int, int]) -> NDArray[np.uint8] | None:
    """The mask with copies marked too, or None if there are few copies."""
    planes, own = planes_of(words, axes), planes_of(mask, axes)
    _, h, w = planes.shape
    # A sample of pairs of rows shows whether there are any.
    rows, good = planes.reshape(-1, w), own.reshape(-1, w) == 0
    step = max(len(rows) * w // (4 * GLANCE), 1) | 1
    here, above = rows[1::step], rows[:-1:step]
    same = here == above
    same[:, 1:] |= (here[:, 1:] == here[:, :-1]) | (here[:, 1:] == above[:, :-1])
    same[:, :-1] |= here[:, :-1] == above[:, 1:]
    if np.count_nonzero(same & good[1::step]) < COPIES / 2 * np.count_nonzero(good[1::step]):
        return None
    own = own.copy()
    there = own == 0
    for k, (dy, dx) in enumerate(COPIED):
        here = planes[:, -dy:, max(-dx, 0) : w - max(dx, 0)]
        other = planes[:, : h + dy, max(dx, 0) : w + min(dx, 0)]
        part = own[:, -dy:, max(-dx, 0) : w - max(dx, 0)]
        part[(part == 0) & (here == other)] = kinds + 1 + k
    if np.count_nonzero(there & (own > 0)) < COPIES * np.count_nonzero(there):
        return None
    return of_planes(own, words.shape, axes)


def _sources(mask: NDArray[np.uint8], kinds: int) -> NDArray[np.int64]:
    """The index of the word from which each word is copied in the end; its own if it is no copy.

    Raises
    ------
    FormatError
        A word copies a neighbour outside its plane.
    """
    from .kernel import follow_copies  # may read numba

    source = np.empty(mask.size, np.int64)
    if not follow_copies(np.ascontiguousarray(mask), kinds, np.array(COPIED), source):  # type: ignore[no-untyped-call]
        raise FormatError("a word copies one outside its plane: the frame was altered")
    return source.reshape(mask.shape)


def _outlier(words: Words, number: np.dtype[Any]) -> int | None:
    """The least or the largest word, if it occurs more than once and is far from all others."""
    values = words.view(number) if number.kind == "f" else ordered(words, number)
    least, most = float(values.min()), float(values.max())
    glance = values[:: max(len(values) // GLANCE, 1)].astype(np.float64)
    inner = glance[(glance > least) & (glance < most)]
    if len(inner):
        with np.errstate(over="ignore"):
            # Over all words, those next to the ends lie at these or beyond.
            low, high = inner.min(), inner.max()
            if low - least <= FAR * (most - low) and most - high <= FAR * (high - least):
                return None
    values = values.astype(np.float64)
    for sign in (-1, 1):
        end = (values * sign).max()
        others = values[values * sign < end]
        if len(others) == 0:
            return None
        with np.errstate(over="ignore"):
            far = end - (others * sign).max() > FAR * (others.max() - others.min())
        if far and len(values) - len(others) > 1 and others.max() > others.min():
            return int(words[np.argmax(values * sign)])
    return None


def _frequent(words: Words) -> int | None:
    """A word that is much more frequent than the others, or None."""
    sample = words[:: max(len(words) // 4096, 1)]
    found, counts = np.unique(sample, return_counts=True)
    most = int(counts.argmax())
    return int(found[most]) if counts[most] * OFTEN > len(sample) and len(sample) >= 256 else None

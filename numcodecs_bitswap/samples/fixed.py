"""Floats <-> cells of one width, a power of two, and low bits, as many as tell the floats of the cell apart
(FORMAT.md 1.4). So numbers are evenly spaced, as what they measure, and noise costs no more than its bits. Integers
only.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError
from ..fields import Reader
from .ordered import LARGEST
from .words import Words, ordered, trailing_zeros, unordered

MANTISSA = {2: 10, 4: 23, 8: 52}


@dataclass(frozen=True)
class Fixed:
    """Cells of 2^exponent times the least denormal float; numbers are cells from `least` on.

    Attributes
    ----------
    number : dtype
    trailing : int
        Lowest bits of the mantissa that are 0.
    exponent : int
        Not below the biased exponent of any float.
    least : int
        Cell k >= 0 are the floats from k times the width on, cell -1 - k their negatives.
    """

    code = 1

    number: np.dtype[Any]
    trailing: int
    exponent: int
    least: int

    def split(self, words: Words) -> tuple[Words, Words, NDArray[np.uint8]]:
        """Numbers of words, the lowest bits, and how many of these there are; inverse of `words`."""
        kind, p = words.dtype.type, MANTISSA[self.number.itemsize]
        sign = kind(1 << 8 * self.number.itemsize - 1)
        magnitude = words & (sign - kind(1))
        exponent = magnitude >> kind(p)
        mantissa = magnitude & kind((1 << p) - 1) | (exponent > 0).astype(kind) << kind(p)
        shift = np.minimum(kind(self.exponent + 1) - np.maximum(exponent, kind(1)), kind(8 * sign.itemsize - 1))
        cells = mantissa >> shift
        inside = cells > 0
        low = np.where(inside, mantissa & (kind(1) << shift) - kind(1), magnitude) >> kind(self.trailing)
        counts = np.where(inside, shift, kind((self._first() - 1).bit_length()))
        counts = np.maximum(counts, kind(self.trailing)) - kind(self.trailing)
        signed = cells.astype(np.int64)
        numbers = np.where(words >= sign, -1 - signed, signed) - self.least
        return numbers.astype(np.uint32), low, counts.astype(np.uint8)

    def onto(self, words: Words) -> "Fixed":
        """The same for other words; with wider cells if they need them."""
        levels = ordered(words, self.number)
        ends = unordered(np.array([levels.min(), levels.max()]), self.number)
        p = MANTISSA[self.number.itemsize]
        largest = int((ends & ends.dtype.type((1 << 8 * self.number.itemsize - 1) - 1)).max())
        scale = replace(self, exponent=max(self.exponent, (largest >> p) - 1, 0), least=0)
        while True:
            cells = [scale._cell(int(word)) for word in ends]
            excess = (cells[1] - cells[0]).bit_length() - LARGEST.bit_length()
            if excess <= 0:
                return replace(scale, least=cells[0])
            scale = scale.coarser(excess)

    def _cell(self, word: int) -> int:
        size, p = self.number.itemsize, MANTISSA[self.number.itemsize]
        magnitude = word & (1 << 8 * size - 1) - 1
        exponent = magnitude >> p
        mantissa = magnitude & (1 << p) - 1 | (exponent > 0) << p
        cell = mantissa >> min(self.exponent + 1 - max(exponent, 1), 8 * size - 1)
        return -1 - cell if word >> 8 * size - 1 else cell

    def coarser(self, bits: int) -> "Fixed":
        """With cells 2^bits as wide."""
        most = (1 << 8 * self.number.itemsize - 1 - MANTISSA[self.number.itemsize]) - 2
        return replace(self, exponent=min(self.exponent + bits, most + MANTISSA[self.number.itemsize]))

    def _counts(self, cells: NDArray[np.int64]) -> NDArray[np.int64]:
        """Low bits of cells >= 0: those of the floats' mantissas; in cell 0, of all floats."""
        p = MANTISSA[self.number.itemsize]
        lengths = np.frexp(cells.astype(np.float64))[1].astype(np.int64)
        counts = np.minimum(p + 1 - lengths, self.exponent)
        counts[cells == 0] = (self._first() - 1).bit_length()
        return np.asarray(np.maximum(counts - self.trailing, 0))

    def _first(self) -> int:
        """The bits of the least float of cell 1."""
        p = MANTISSA[self.number.itemsize]
        return self.exponent - p + 1 << p if self.exponent > p else 1 << self.exponent

    def numbers(self, words: Words) -> Words:
        """Numbers of words."""
        return self.split(words)[0]

    def low_counts(self, numbers: Words) -> NDArray[np.uint8]:
        """How many low bits each number has."""
        cells = numbers.astype(np.int64) + self.least
        return self._counts(np.where(cells < 0, -1 - cells, cells)).astype(np.uint8)

    def words(self, numbers: Words, low: Words | None) -> Words:
        """Words of numbers and low bits; inverse of `split`."""
        size = self.number.itemsize
        p = MANTISSA[size]
        signed = numbers.astype(np.int64) + self.least
        cells = np.where(signed < 0, -1 - signed, signed)
        lengths = np.frexp(cells.astype(np.float64))[1].astype(np.int64)
        shift = np.minimum(p + 1 - lengths, self.exponent)
        rest = np.zeros_like(cells) if low is None else low.astype(np.int64) << self.trailing
        mantissa = (cells << np.maximum(shift, 0)) | rest
        # With the leading bit, which adds 1 to the exponent.
        magnitude = mantissa + (np.maximum(self.exponent - shift, 0) << p)
        magnitude = np.where(cells == 0, rest, magnitude)
        word = np.dtype(f"u{size}").type
        return np.asarray(magnitude.astype(word) | np.where(signed < 0, word(1 << 8 * size - 1), word(0)))

    def write(self) -> bytes:
        """Fields of a frame; inverse of `read`."""
        fields = bytes([self.trailing]) + self.exponent.to_bytes(2, "little")
        return fields + self.least.to_bytes(8, "little", signed=True)

    @classmethod
    def read(cls, reader: Reader, number: np.dtype[Any], shape: tuple[int, ...], axes: tuple[int, int]) -> "Fixed":
        """Inverse of `write`.

        Raises
        ------
        FormatError
            A field is out of range.
        """
        trailing = reader.byte("trailing zeros")
        exponent = reader.word(np.dtype("u2"), "exponent")
        least = int.from_bytes(reader.take(8, "least cell"), "little", signed=True)
        p = MANTISSA[number.itemsize]
        if trailing > p or exponent >= (1 << 8 * number.itemsize - 1 - p) - 1 + p or abs(least) > 2 << p:
            raise FormatError(f"trailing zeros {trailing}, exponent {exponent} or cell {least} out of range")
        return cls(number, trailing, exponent, least)


def find(words: Words, number: np.dtype[Any]) -> Fixed:
    """The narrowest cells, with numbers up to the largest that the plane coder takes; words are finite."""
    return Fixed(number, trailing_zeros(words, number), 0, 0).onto(words)

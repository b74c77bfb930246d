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
from .words import Words, trailing_zeros

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

    def _cells(self, words: Words) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Cells, the bits below, and how many of them there are."""
        size = self.number.itemsize
        bits = words.astype(np.int64)
        magnitude = bits & (1 << 8 * size - 1) - 1
        p = MANTISSA[size]
        exponent = magnitude >> p
        mantissa = np.where(exponent > 0, magnitude & (1 << p) - 1 | 1 << p, magnitude)
        shift = np.minimum(self.exponent - np.maximum(exponent, 1) + 1, 62)
        cells = mantissa >> shift
        low = np.where(cells > 0, mantissa & (np.int64(1) << shift) - 1, magnitude)
        negative = words >> words.dtype.type(8 * size - 1) > 0
        return np.where(negative, -1 - cells, cells), low >> self.trailing, self._counts(cells)

    def onto(self, words: Words) -> "Fixed":
        """The same for other words; with wider cells if they need them."""
        size, p = self.number.itemsize, MANTISSA[self.number.itemsize]
        largest = int((words & words.dtype.type((1 << 8 * size - 1) - 1)).max())
        scale = replace(self, exponent=max(self.exponent, (largest >> p) - 1, 0))
        while True:
            cells = scale._cells(words)[0]
            least, most = int(cells.min()), int(cells.max())
            excess = (most - least).bit_length() - LARGEST.bit_length()
            if excess <= 0:
                return replace(scale, least=least)
            scale = scale.coarser(excess)

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
        return np.maximum(counts - self.trailing, 0)

    def _first(self) -> int:
        """The bits of the least float of cell 1."""
        p = MANTISSA[self.number.itemsize]
        return self.exponent - p + 1 << p if self.exponent > p else 1 << self.exponent

    def numbers(self, words: Words) -> Words:
        """Numbers of words; inverse of `words`."""
        return (self._cells(words)[0] - self.least).astype(np.uint32)

    def low_bits(self, words: Words) -> tuple[Words, NDArray[np.uint8]]:
        """What the numbers do not say: lowest bits, and how many they are."""
        _, low, counts = self._cells(words)
        return low.astype(np.uint64), counts.astype(np.uint8)

    def low_counts(self, numbers: Words) -> NDArray[np.uint8]:
        """How many low bits each number has."""
        cells = numbers.astype(np.int64) + self.least
        return self._counts(np.where(cells < 0, -1 - cells, cells)).astype(np.uint8)

    def words(self, numbers: Words, low: Words | None) -> Words:
        """Words of numbers and low bits; inverse of `numbers` and `low_bits`."""
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
        return magnitude.astype(word) | np.where(signed < 0, word(1 << 8 * size - 1), word(0))

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

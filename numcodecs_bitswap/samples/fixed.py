"""Floats <-> fixed-point numbers: cells whose width is a power of two, and the low bits that tell the floats of a cell
apart (FORMAT.md 1.4). The numbers are evenly spaced, like the measured quantity, and noise costs no more than its bits.
Integers only.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..chunk.fields import Reader
from ..errors import FormatError
from ..planes.tables import LARGEST
from .words import Words, ends, trailing_zeros

MANTISSA = {2: 10, 4: 23, 8: 52}


@dataclass(frozen=True)
class Fixed:
    """Cells of 2^exponent times the smallest subnormal float; numbers count cells from `least`.

    Attributes
    ----------
    number : dtype
    trailing : int
        Number of lowest mantissa bits that are 0 in all floats.
    exponent : int
        Not below the biased exponent of any float.
    least : int
        Cell k >= 0 holds the floats from k to k + 1 times the width, cell -1 - k their negatives.
    """

    code = 1

    number: np.dtype[Any]
    trailing: int
    exponent: int
    least: int

    def split(self, words: Words) -> tuple[Words, Words, NDArray[np.uint8]]:
        """Numbers of words, their low bits, and the number of low bits of each; inverse of `words`."""
        from .kernel import split_cells  # may read numba

        wide, bits = words.reshape(-1).astype(np.uint64), 8 * self.number.itemsize
        numbers, low = np.empty(wide.shape, np.uint32), np.empty_like(wide)
        counts = np.empty(wide.shape, np.uint8)
        cells = MANTISSA[self.number.itemsize], self.exponent, self._first_count()
        split_cells(wide, bits, *cells, self.trailing, self.least, numbers, low, counts)  # type: ignore[no-untyped-call]
        return numbers.reshape(words.shape), low.reshape(words.shape), counts.reshape(words.shape)

    def onto(self, words: Words) -> "Fixed":
        """The same for other words, with wider cells if they need them."""
        both = ends(words, self.number)
        p = MANTISSA[self.number.itemsize]
        largest = int((both & both.dtype.type((1 << 8 * self.number.itemsize - 1) - 1)).max())
        scale = replace(self, exponent=max(self.exponent, (largest >> p) - 1, 0), least=0)
        while True:
            cells = [scale._cell(int(word)) for word in both]
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
        """The same with cells that are 2^bits times as wide."""
        most = (1 << 8 * self.number.itemsize - 1 - MANTISSA[self.number.itemsize]) - 2
        return replace(self, exponent=min(self.exponent + bits, most + MANTISSA[self.number.itemsize]))

    def _first_count(self) -> int:
        """Low bits of cell 0: the bits of the floats below the least float of cell 1."""
        p = MANTISSA[self.number.itemsize]
        first = self.exponent - p + 1 << p if self.exponent > p else 1 << self.exponent
        return (first - 1).bit_length()

    def numbers(self, words: Words) -> Words:
        """Numbers of words."""
        return self.split(words)[0]

    def low_counts(self, numbers: Words) -> NDArray[np.uint8]:
        """The number of low bits of each number."""
        from .kernel import count_low  # may read numba

        flat = numbers.reshape(-1).astype(np.uint32)
        largest = int(flat.max(initial=0))
        if few := 2 * largest < len(flat):
            flat = np.arange(largest + 1, dtype=np.uint32)
        counts = np.empty(flat.shape, np.uint8)
        cells = MANTISSA[self.number.itemsize], self.exponent, self._first_count()
        count_low(flat, *cells, self.trailing, self.least, counts)  # type: ignore[no-untyped-call]
        return counts[numbers] if few else counts.reshape(numbers.shape)

    def words(self, numbers: Words, low: Words | None) -> Words:
        """Words of numbers and low bits; inverse of `split`."""
        from .kernel import join_cells  # may read numba

        flat, bits = numbers.reshape(-1).astype(np.uint32), 8 * self.number.itemsize
        rest = np.zeros(flat.shape, np.uint64) if low is None else low.reshape(-1).astype(np.uint64)
        found, p = np.empty(flat.shape, np.uint64), MANTISSA[self.number.itemsize]
        join_cells(flat, rest, bits, p, self.exponent, self.trailing, self.least, found)  # type: ignore[no-untyped-call]
        return found.astype(f"u{self.number.itemsize}").reshape(numbers.shape)

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
    """The narrowest cells of finite words whose numbers the plane coder can take."""
    return Fixed(number, trailing_zeros(words, number), 0, 0).onto(words)

"""RGB decoded from a JPEG file, as luma and chroma (FORMAT.md 1.6). numpy only."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..chunk.fields import Reader
from ..errors import FormatError
from ..jpeg import colour
from .words import Words


@dataclass(frozen=True)
class Luma:
    """Numbers are Y, Cb and Cr along an axis of 8-bit words."""

    code = 3

    axis: int

    def numbers(self, words: Words) -> Words:
        """Numbers of words, all of which have luma and chroma."""
        planes = colour.to_ycbcr(words, self.axis)
        assert planes is not None
        return planes

    def split(self, words: Words) -> tuple[Words, Words, None]:
        """Numbers of words, and no low bits; inverse of `words`."""
        numbers = self.numbers(words)
        return numbers, numbers, None

    def low_counts(self, numbers: Words) -> None:
        """The number of low bits of each number: none."""

    def words(self, numbers: Words, low: Words | None) -> Words:
        """Red, green and blue; inverse of `numbers`."""
        if int(numbers.max()) > 255:
            raise FormatError("luma or chroma is outside 0 .. 255")
        return colour.to_rgb(np.ascontiguousarray(numbers, np.uint8), self.axis)

    def write(self) -> bytes:
        """Fields of a frame; inverse of `read`."""
        return bytes([self.axis])

    @classmethod
    def read(cls, reader: Reader, number: np.dtype[Any], shape: tuple[int, ...], axes: tuple[int, int]) -> "Luma":
        """Inverse of `write`.

        Raises
        ------
        FormatError
            The array cannot hold colours along the axis.
        """
        axis = reader.byte("colour axis")
        if axis >= len(shape) or axis in axes or shape[axis] != 3 or number.str != "|u1":
            raise FormatError(f"axis {axis} cannot hold luma and chroma")
        return cls(axis)

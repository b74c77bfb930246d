"""Series <-> the steps from one word to the next (FORMAT.md 1.4). Integers only."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..chunk.fields import Reader, packed
from .words import Words, ordered, unordered


@dataclass(frozen=True)
class Steps:
    """Signed steps along the last two axes, taken as one, and the first word of each series.

    Attributes
    ----------
    number : dtype
        Of the words of the series.
    first : unsigned integers (series,)
        First words, mapped to the order of their numbers.
    """

    number: np.dtype[Any]
    first: Words

    @property
    def signed(self) -> np.dtype[Any]:
        """The dtype of steps."""
        return np.dtype(f"i{self.number.itemsize}")

    def steps(self, words: Words) -> Words:
        """Steps between words; inverse of `words`."""
        series = ordered(words, self.number).reshape(len(self.first), -1)
        return np.diff(series, prepend=series[:, :1]).reshape(words.shape)

    def words(self, steps: Words) -> Words:
        """Words restored from steps; inverse of `steps`."""
        series = np.cumsum(steps.reshape(len(self.first), -1), 1, dtype=steps.dtype) + self.first[:, None]
        return unordered(series, self.number).reshape(steps.shape)

    def write(self) -> bytes:
        """Fields of a frame; inverse of `read`."""
        return packed(self.first)

    @classmethod
    def read(cls, reader: Reader, number: np.dtype[Any], series: int) -> "Steps":
        """Inverse of `write`."""
        return cls(number, reader.unpack(np.dtype(f"u{number.itemsize}"), series, "first words"))


def of_words(words: Words, number: np.dtype[Any]) -> Steps:
    """The steps of words whose last two axes are one series."""
    return Steps(number, ordered(words, number).reshape(-1, words.shape[-2] * words.shape[-1])[:, 0])

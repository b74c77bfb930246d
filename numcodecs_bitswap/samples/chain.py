"""The chain of transforms between an array and its numbers, and its fields in a frame (FORMAT.md 1.4)."""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..chunk.fields import Reader, sized
from ..errors import FormatError
from . import low_bits, words
from .fixed import Fixed
from .gaps import Gaps
from .lattice import Lattice
from .luma import Luma
from .ordered import Ordered
from .steps import Steps
from .words import Words

Scale = Ordered | Fixed | Lattice | Luma
SCALES: dict[int, Any] = {scale.code: scale for scale in (Ordered, Fixed, Lattice, Luma)}
NARROW = 16
"""Added to the code of a scale: all numbers are binary64, and exact in binary32."""
STEPS = 32
"""Added to the code of a scale: its words are steps."""


def is_numeric(dtype: np.dtype[Any]) -> bool:
    """Whether a dtype is numeric."""
    return words.plain(dtype) is not None


@dataclass(frozen=True)
class Samples:
    """The transforms from an array to its numbers.

    Attributes
    ----------
    dtype, shape : dtype, tuple of int
        Of the array.
    axes : (int, int)
        The y and x axes of the words.
    narrow : bool
        Every float64 is exact in float32, and is coded as float32.
    gaps : Gaps or None
    scale : Ordered, Fixed, Lattice or Luma
        Maps words, or steps, to numbers.
    low : bytes
        Packed low bits of the words that are not gaps.
    steps : Steps or None
        If given, the words are coded as the steps of a series.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    axes: tuple[int, int]
    narrow: bool
    gaps: Gaps | None
    scale: Scale
    low: bytes = b""
    steps: Steps | None = None

    def array(self, numbers: Words) -> NDArray[Any]:
        """The array restored from its numbers, in C order.

        Raises
        ------
        FormatError
            The numbers do not match the tables, or the low bits do not match the numbers.
        """
        counts, low = self.scale.low_counts(numbers), None
        if counts is None and self.low:
            raise FormatError("low bits of numbers that have none")
        if counts is not None:
            there = self.there
            low = low_bits.unpack(memoryview(self.low), counts.reshape(-1) if there is None else counts[there])
            if there is not None:
                spread = np.zeros(numbers.shape, low.dtype)
                spread[there] = low
                low = spread
            low = low.reshape(numbers.shape)
        found = self.scale.words(numbers, low)
        if self.steps is not None:
            found = self.steps.words(found)
        if self.gaps is not None:
            found = self.gaps.open(found)
        return words.to_array(widened(found) if self.narrow else found, self.dtype, self.shape)

    def write(self) -> bytes:
        """Fields of a frame; inverse of `read`."""
        return self.fields

    @cached_property
    def fields(self) -> bytes:
        """The result of `write`, cached because a mask takes long to encode."""
        number = number_of(self.dtype, self.narrow)
        flags = (NARROW if self.narrow else 0) + (STEPS if self.steps is not None else 0)
        start = bytes([self.scale.code + flags, *self.axes])
        steps = b"" if self.steps is None else self.steps.write()
        gaps = b"\0" if self.gaps is None else self.gaps.write(number)
        return start + gaps + steps + self.scale.write() + sized(self.low)

    @classmethod
    def read(
        cls, reader: Reader, dtype: np.dtype[Any], shape: tuple[int, ...], mask: NDArray[np.uint8] | None = None
    ) -> "Samples":
        """Inverse of `write`.

        Parameters
        ----------
        reader : Reader
        dtype, shape : dtype, tuple of int
            Of the array.
        mask : uint8 array, optional
            The mask of the gaps, if it is known. It is then not decoded.

        Raises
        ------
        FormatError
            A field is out of range.
        """
        if words.plain(dtype) is None or not shape:
            raise FormatError(f"the planes route holds numeric arrays with axes, not {dtype} of shape {shape}")
        code = reader.byte("kind of samples")
        narrow, stepped, kind = code & NARROW > 0, code & STEPS > 0, code & ~(NARROW | STEPS)
        if kind not in SCALES or (narrow and number_of(dtype, False) != np.float64):
            raise FormatError(f"kind of samples {code} is unknown")
        scale, number, order = SCALES[kind], number_of(dtype, narrow), words.shape_of(dtype, shape)
        axes = reader.byte("y axis"), reader.byte("x axis")
        if max(axes) >= len(order) or axes[0] == axes[1]:
            raise FormatError(f"axes {axes} do not fit {len(order)} dimensions")
        if (number.kind != "f" and scale in (Fixed, Lattice)) or (scale is Lattice and number.itemsize == 2):
            raise FormatError(f"samples of kind {code} cannot be {number}")
        gaps = Gaps.read(reader, number, order, axes, mask)
        steps = None
        if stepped:
            if not words.is_series(shape) or scale is not Ordered or (gaps is not None and gaps.closed):
                raise FormatError("steps need a series, samples of kind 0, and no rows that are closed up")
            steps = Steps.read(reader, number, prod(order[:-2]))
            number = steps.signed
        found = scale.read(reader, number, order if gaps is None else gaps.closed_shape, axes)
        return cls(dtype, shape, axes, narrow, gaps, found, bytes(reader.sized("low bits")), steps)

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The shape of the numbers."""
        return words.shape_of(self.dtype, self.shape) if self.gaps is None else self.gaps.closed_shape

    @property
    def there(self) -> NDArray[np.bool_] | None:
        """Which numbers are not gaps. None: all count, as steps are summed across gaps too."""
        if self.gaps is None or self.steps is not None:
            return None
        there: NDArray[np.bool_] = self.gaps.there
        return there

    @cached_property
    def planes(self) -> int:
        """The number of planes."""
        return prod(n for axis, n in enumerate(self.order) if axis not in self.axes)


def number_of(dtype: np.dtype[Any], narrow: bool) -> np.dtype[Any]:
    """The dtype as which an array's numbers are coded."""
    number = words.plain(dtype)
    assert number is not None
    return np.dtype(np.float32) if narrow else number


def narrowed(wide: Words) -> Words | None:
    """float32 words of float64 words; None unless every conversion is exact. Inverse of `widened`."""
    glance = wide.reshape(-1)[:: max(wide.size // 1024, 1)]
    for part in (glance, wide):
        with np.errstate(all="ignore"):
            single = part.view(np.float64).astype(np.float32).view(np.uint32)
        odd = _odd(part)
        if odd.any():
            bits = part[odd]
            single[odd] = (
                (bits >> np.uint64(32) & np.uint64(1 << 31))
                | np.uint64(0x7F800000)
                | (bits >> np.uint64(29) & np.uint64((1 << 23) - 1))
            )
        if not np.array_equal(widened(single), part):
            return None
    return single


def widened(single: Words) -> Words:
    """float64 words of float32 words. NaN is converted in integers, since machines convert its payload differently."""
    with np.errstate(all="ignore"):
        wide = single.view(np.float32).astype(np.float64).view(np.uint64)
    odd = single & np.uint32(0x7F800000) == 0x7F800000
    if odd.any():
        bits = single[odd].astype(np.uint64)
        wide[odd] = (
            (bits >> np.uint64(31) << np.uint64(63))
            | np.uint64(0x7FF << 52)
            | ((bits & np.uint64((1 << 23) - 1)) << np.uint64(29))
        )
    return wide


def _odd(wide: Words) -> NDArray[np.bool_]:
    return np.asarray((wide & np.uint64(0x7FF << 52)) == np.uint64(0x7FF << 52))

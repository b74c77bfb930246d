"""16-bit samples <-> numbers that start at zero and use every value. numpy only; imports nothing of this package.

Instruments add a constant, store signed numbers, or use every 16th value only; a model should not see any of that.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

DEEP = ("u2", "i2")
"""Kind and size of the dtypes of 16-bit samples, of either byte order."""
LEVELS = 1 << 16
SIGNED = 1 << 15
GLANCE = 4096
"""Samples that are looked at before all are."""


class Scale(NamedTuple):
    """A sample is offset + step * x, x = 0 .. 65535; of signed dtypes less 2^15."""

    offset: int
    step: int


def is_deep(dtype: np.dtype[Any]) -> bool:
    """Whether these are 16-bit samples."""
    return dtype.str[1:] in DEEP


def reduce(array: NDArray[Any]) -> tuple[NDArray[np.uint16], Scale]:
    """Numbers x from 16-bit samples, not empty: the least is 0 and they have no common divisor. Inverse of `restore`.

    Parameters
    ----------
    array : uint16 or int16 ndarray
        Any byte order, shape and strides.

    Returns
    -------
    x : uint16 ndarray of the same shape
    scale : Scale
        The step is 1 if all samples are the same.
    """
    samples = array.astype(np.uint16)  # int16 wraps around, so adding 2^15 modulo 2^16 is what its offset is
    if array.dtype.kind == "i":
        samples += np.uint16(SIGNED)
    offset = samples.min()
    samples -= offset
    flat = samples.reshape(-1)
    step = int(np.gcd.reduce(flat[:GLANCE]))
    if step != 1:
        step = int(np.gcd.reduce(flat)) or 1
    return samples // np.uint16(step), Scale(int(offset), step)


def restore(x: NDArray[Any], scale: Scale | None, dtype: np.dtype[Any]) -> NDArray[Any]:
    """16-bit samples, modulo 2^16, of a dtype of either byte order; inverse of `reduce`. Without a scale x as uint8.

    Parameters
    ----------
    x : uint8 or uint16 ndarray
        Spoilt.
    """
    if scale is None:
        return x.astype(np.uint8, copy=False)
    x *= np.uint16(scale.step)
    x += np.uint16(scale.offset + (SIGNED if dtype.kind == "i" else 0) & 0xFFFF)
    return x.view(f"{dtype.kind}2").astype(dtype, copy=False)

"""Integer samples <-> numbers 0 .. m that start at zero and use every value (FORMAT.md section 1.4). numpy only.

Instruments add a constant, store signed numbers, use every 16th value only, or a few levels of many; a model should not
see any of that.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

KINDS = ("u1", "i1", "u2", "i2")
"""Kind and size of the dtypes that are coded as planes, of either byte order."""
GLANCE = 4096
"""Samples that are looked at before all are."""
PER_LEVEL = 8
"""Samples to a level, on average, from which on a level that is missing is one that the instrument does not have."""


class Scale(NamedTuple):
    """A sample is the dtype's least value + offset + step * level, with level = x or, with a table, levels[x]."""

    offset: int
    step: int
    levels: NDArray[np.uint16] | None = None


def is_integer(dtype: np.dtype[Any]) -> bool:
    """Whether these are samples of 8 or 16 bits."""
    return dtype.str[1:] in KINDS


def reduce(array: NDArray[Any]) -> tuple[NDArray[np.uint16], Scale, int]:
    """Numbers x from samples of 8 or 16 bits, not empty; inverse of `restore`.

    Parameters
    ----------
    array : uint8, int8, uint16 or int16 ndarray
        Any byte order, shape and strides.

    Returns
    -------
    x : uint16 ndarray of the same shape
        The least is 0, they have no common divisor, and none is missing where that would pay.
    scale : Scale
        The step is 1 if all samples are the same.
    m : int
        The largest x.
    """
    samples = array.astype(np.int32)
    least = int(samples.min())
    samples -= least
    flat = samples.reshape(-1)
    step = int(np.gcd.reduce(flat[:GLANCE]))
    if step != 1:
        step = int(np.gcd.reduce(flat)) or 1
        samples //= step
    offset = least - int(np.iinfo(array.dtype).min)
    m = int(samples.max())
    table = _levels(samples.reshape(-1), m)
    if table is None:
        return samples.astype(np.uint16), Scale(offset, step), m
    index = np.zeros(m + 1, np.uint16)
    index[table] = np.arange(len(table))
    return index[samples], Scale(offset, step, table), len(table) - 1


def _levels(flat: NDArray[np.int32], m: int) -> NDArray[np.uint16] | None:
    """The levels in use, if a quarter of those where most samples lie are missing; else None."""
    count = np.bincount(flat, minlength=m + 1)
    used = count > 0
    if m < 16 or PER_LEVEL * int(used.sum()) > len(flat):
        return None
    below = np.cumsum(count)
    low, high = np.searchsorted(below, [len(flat) // 20, len(flat) - len(flat) // 20])
    if 4 * int(used[low : high + 1].sum()) > 3 * (high + 1 - low):
        return None
    return np.flatnonzero(used).astype(np.uint16)


def restore(x: NDArray[Any], scale: Scale, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Samples of a dtype, modulo its range; inverse of `reduce`.

    Parameters
    ----------
    x : uint16 ndarray
        Each below the number of levels, if there is a table.
    """
    values = (x if scale.levels is None else scale.levels[x]).astype(np.int32)
    values *= scale.step
    values += scale.offset + int(np.iinfo(dtype).min)
    return values.astype(dtype)

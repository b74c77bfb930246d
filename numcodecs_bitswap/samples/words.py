"""Arrays of any numeric dtype <-> words: unsigned integers of the items' size in native byte order, with two or more
axes (FORMAT.md 1.4). numpy only.
"""

from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

Words = NDArray[Any]
"""Unsigned integers of 8, 16, 32 or 64 bits."""

KINDS = ("u1", "i1", "u2", "i2")
"""Kind and size of the dtypes on which models are trained, in either byte order."""
ROW = 256
"""Items per row when a series is cut into rows."""
SHORT = 4
"""Largest last axis of a two-dimensional array that is taken as several series."""
FEW = 16
"""Words that are compared first: they are usually enough to see that not all are equal."""
_SIZES = {"b": (1,), "u": (1, 2, 4, 8), "i": (1, 2, 4, 8), "f": (2, 4, 8), "c": (8, 16), "m": (8,), "M": (8,)}


@lru_cache(64)
def plain(dtype: np.dtype[Any]) -> np.dtype[Any] | None:
    """The native dtype of an array's numbers: u, i or f of 1 to 8 bytes; None if the dtype is not numeric."""
    if dtype.itemsize not in _SIZES.get(dtype.kind, ()):
        return None
    kind, size = {"b": ("u", 1), "c": ("f", dtype.itemsize // 2)}.get(dtype.kind, (dtype.kind, dtype.itemsize))
    return np.dtype(f"{'i' if kind in 'mM' else kind}{size}")


def is_series(shape: tuple[int, ...]) -> bool:
    """Whether an array holds series, not planes: it has one axis, or two of which the second has at most four items."""
    return len(shape) == 1 or (len(shape) == 2 and shape[1] <= SHORT < shape[0])


def shape_of(dtype: np.dtype[Any], shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of an array's words. Complex numbers add a leading axis; series are cut into rows."""
    if is_series(shape):
        shape = *shape[1:], -(-shape[0] // ROW), min(ROW, shape[0])
    return (2, *shape) if dtype.kind == "c" else shape


def of_array(array: NDArray[Any]) -> Words:
    """Words of an array; inverse of `to_array`. The last row of a series repeats its last item."""
    number = plain(array.dtype)
    assert number is not None
    if number == array.dtype and not is_series(array.shape):
        return np.ascontiguousarray(array).view(f"u{number.itemsize}")
    shape = shape_of(array.dtype, array.shape)
    if is_series(array.shape):
        padded = np.empty((*array.shape[1:], prod(shape[-2:])), array.dtype)
        padded[..., : len(array)] = array.T
        padded[..., len(array) :] = array[-1][..., None]
        array = padded
    native = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    if array.dtype.kind == "c":
        native = np.ascontiguousarray(np.moveaxis(native.view(number).reshape(*array.shape, 2), -1, 0))
    return native.view(f"u{number.itemsize}").reshape(shape)


def to_array(words: Words, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Inverse of `of_array`."""
    number = plain(dtype)
    assert number is not None
    if number == dtype and not is_series(shape):
        return np.ascontiguousarray(words).view(dtype)
    if dtype.kind == "c":
        words = np.moveaxis(words, 0, -1)
    items = np.ascontiguousarray(words, f"u{number.itemsize}").reshape(-1).view(dtype.newbyteorder("="))
    if is_series(shape):
        return items.reshape(*shape[1:], -1)[..., : shape[0]].T.astype(dtype, order="C")
    return items.reshape(shape).astype(dtype, copy=False)


def are_equal(words: Words) -> bool:
    """Whether all words are equal."""
    flat = words.reshape(-1)
    return all(bool((each == flat[0]).all()) for each in (flat[:FEW], flat))


def planes_of(array: NDArray[Any], axes: tuple[int, int]) -> NDArray[Any]:
    """Planes (P, h, w) of an array, in C order of the other axes; inverse of `of_planes`."""
    order = [axis for axis in range(array.ndim) if axis not in axes]
    return array.transpose([*order, *axes]).reshape(plane_shape(array.shape, axes))


def of_planes(planes: NDArray[Any], shape: tuple[int, ...], axes: tuple[int, int]) -> NDArray[Any]:
    """Inverse of `planes_of`."""
    lead = [n for axis, n in enumerate(shape) if axis not in axes]
    moved = planes.reshape(*lead, shape[axes[0]], shape[axes[1]])
    return np.ascontiguousarray(np.moveaxis(moved, (-2, -1), axes))


def plane_shape(shape: tuple[int, ...], axes: tuple[int, int]) -> tuple[int, int, int]:
    """The shape (P, h, w) of the planes of an array."""
    return prod(n for axis, n in enumerate(shape) if axis not in axes), shape[axes[0]], shape[axes[1]]


def ordered(words: Words, number: np.dtype[Any], trailing: int = 0) -> Words:
    """Map words to unsigned integers in the order of their numbers, -0.0 just below 0.0; inverse of `unordered`.

    Parameters
    ----------
    words : unsigned integers
    number : dtype
        Of the numbers: u, i or f.
    trailing : int
        Number of lowest bits of a float's magnitude that are 0 and are dropped.
    """
    if number.kind == "u":
        return words
    sign = words.dtype.type(1 << 8 * words.itemsize - 1)
    if number.kind == "i":
        return np.asarray(words ^ sign)
    # Negative floats have all bits inverted, others the sign bit.
    signed = words.view(f"i{words.itemsize}")
    turned = (signed >> signed.dtype.type(8 * words.itemsize - 1)).view(words.dtype)
    turned |= sign
    turned ^= words
    return np.asarray(turned >> words.dtype.type(trailing) if trailing else turned)


def unordered(levels: Words, number: np.dtype[Any], trailing: int = 0) -> Words:
    """Inverse of `ordered`."""
    if number.kind == "u":
        return levels
    sign = levels.dtype.type(1 << 8 * levels.itemsize - 1)
    if number.kind == "i":
        return np.asarray(levels ^ sign)
    raised = levels << levels.dtype.type(trailing)
    signed = raised.view(f"i{levels.itemsize}")
    turned = ~(signed >> signed.dtype.type(8 * levels.itemsize - 1)).view(levels.dtype)
    turned |= sign
    turned ^= raised
    if trailing:
        turned &= ~levels.dtype.type((1 << trailing) - 1)
    return np.asarray(turned)


def ends(words: Words, number: np.dtype[Any]) -> Words:
    """The words of the least and the largest number, shape (2,)."""
    if number.kind == "u":
        return np.array([words.min(), words.max()])
    signed = words.view(f"i{words.itemsize}")
    least, most = signed.min(), signed.max()
    if number.kind == "f" and least < 0:
        # The words of negative floats grow with their magnitude.
        below = words.max()
        return np.array([below, words.min() if most < 0 else most.astype(words.dtype)])
    return np.array([least, most]).view(words.dtype)


def trailing_zeros(words: Words, number: np.dtype[Any]) -> int:
    """The number of lowest bits that are 0 in all words; of floats, at most the width of the mantissa."""
    used = int(np.bitwise_or.reduce(words, axis=None))
    most = {2: 10, 4: 23, 8: 52}[number.itemsize]
    return min((used & -used).bit_length() - 1 if used else most, most)

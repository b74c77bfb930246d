"""Arrays <-> patches: which axes are those of an image, and how it is cut (FORMAT.md 1.3).

An array is a list of images (H, W, c): a y, an x and a channel axis; every other axis is a leading one. Each image is
cut from its top left corner into tiles of P x P, smaller at the right and lower edge. Tiles of one shape are a *shape
class*. There are at most four, in the order of FORMAT.md: whole tiles, the right edge, the lower edge, the corner.
numpy only; imports nothing of this package.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Geometry = list[tuple[int, int, int]]


@dataclass(frozen=True)
class Axes:
    """The axes of an image in an array; channel None: one channel, without an axis."""

    y: int
    x: int
    channel: int | None


def image_axes(
    shape: tuple[int, ...], channel_axis: str | int | None, spatial_axes: str | Sequence[int]
) -> Axes | None:
    """Which axes of an array are y, x and channel.

    Parameters
    ----------
    shape : tuple of int
    channel_axis : "auto", int or None
        "auto": the last axis if its size is 3, there are at least three axes and it is not a spatial one; else none.
        An axis whose size is neither 1 nor 3 is a leading axis.
    spatial_axes : "auto" or two ints
        "auto": the last two axes that are not the channel axis.

    Returns
    -------
    Axes or None
        None: the array has too few axes to be an image.

    Raises
    ------
    ValueError
        An axis that the array does not have, or one named twice.
    """
    ndim = len(shape)
    spatial = [] if isinstance(spatial_axes, str) else [_axis(axis, ndim) for axis in spatial_axes]
    if isinstance(channel_axis, str):
        channel = ndim - 1 if ndim >= 3 and shape[-1] == 3 and ndim - 1 not in spatial else None
    else:
        channel = None if channel_axis is None else _axis(channel_axis, ndim)
    if channel in spatial or len(set(spatial)) != len(spatial):
        raise ValueError(f"channel_axis {channel_axis} and spatial_axes {spatial_axes} name an axis twice")
    spatial = spatial or [axis for axis in range(ndim) if axis != channel][-2:]
    if len(spatial) < 2:
        return None
    return Axes(spatial[0], spatial[1], channel if channel is not None and shape[channel] in (1, 3) else None)


def _axis(axis: int, ndim: int) -> int:
    if not -ndim <= axis < ndim:
        raise ValueError(f"axis {axis} does not exist in an array of {ndim} dimensions")
    return axis % ndim


def geometry(shape: tuple[int, ...], axes: Axes, size: int) -> Geometry:
    """The shape classes of an array, in order.

    Parameters
    ----------
    shape : tuple of int
    axes : Axes
    size : int
        P, the largest side of a patch.

    Returns
    -------
    list of (n, h, w)
        Number of patches and their height and width. Empty for an image of height or width 0.
    """
    leading = math.prod(n for axis, n in enumerate(shape) if axis not in (axes.y, axes.x, axes.channel))
    tiles = _tiles(shape[axes.y], shape[axes.x], size)
    return [(leading * down * across, h, w) for _, (down, h), _, (across, w) in tiles]


def split(array: NDArray[np.uint8], axes: Axes, size: int) -> list[NDArray[np.uint8]]:
    """Cut an array of any strides into its shape classes, arrays (n, h, w, c); inverse of `join`."""
    return [tiles.reshape(math.prod(tiles.shape[:-3]), *tiles.shape[-3:]) for tiles in _classes(array, axes, size)]


def join(classes: Sequence[NDArray[np.uint8]], array: NDArray[np.uint8], axes: Axes, size: int) -> None:
    """Fill an array of any strides from its shape classes; inverse of `split`.

    Parameters
    ----------
    classes : list of uint8 arrays (n, h, w, c)
        Of the sizes `geometry(array.shape, axes, size)`.
    array : uint8 array
        Written in place.
    """
    for tiles, patches in zip(_classes(array, axes, size), classes, strict=True):
        tiles[...] = patches.reshape(tiles.shape)


def _classes(array: NDArray[np.uint8], axes: Axes, size: int) -> Iterator[NDArray[np.uint8]]:
    """Views (leading axes, rows of tiles, columns of tiles, h, w, c) of an array, one per shape class."""
    if axes.channel is None:
        images = np.moveaxis(array[..., np.newaxis], (axes.y, axes.x), (-3, -2))
    else:
        images = np.moveaxis(array, (axes.y, axes.x, axes.channel), (-3, -2, -1))
    *leading, height, width, channels = images.shape
    for rows, (down, h), columns, (across, w) in _tiles(height, width, size):
        # Splitting an axis in two never copies, so these are views whatever the strides.
        tiles = images[..., rows, columns, :].reshape(*leading, down, h, across, w, channels)
        yield np.swapaxes(tiles, -4, -3)


def _tiles(height: int, width: int, size: int) -> Iterator[tuple[slice, tuple[int, int], slice, tuple[int, int]]]:
    """The classes of one image: rows, (tiles down, their height), columns, (tiles across, their width)."""
    for rows, down in _runs(height, size):
        for columns, across in _runs(width, size):
            yield rows, down, columns, across


def _runs(length: int, size: int) -> list[tuple[slice, tuple[int, int]]]:
    """A length cut into whole tiles and the rest: (part of the axis, (number of tiles, their size)) of each."""
    whole = length // size * size
    runs = [(slice(0, whole), (length // size, size)), (slice(whole, length), (1, length - whole))]
    return [run for run in runs if run[0].start < run[0].stop]


def horizontal_step(array: NDArray[Any], axes: Axes) -> tuple[int, int]:
    """Sum of the absolute differences between neighbours along x, and their number: a measure of noise."""
    images = np.moveaxis(array, axes.x, -1)
    left, right = images[..., :-1], images[..., 1:]
    return int(np.sum(np.maximum(left, right) - np.minimum(left, right), dtype=np.int64)), left.size

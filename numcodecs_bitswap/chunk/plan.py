"""Which routes and models are tried on an array (FORMAT.md 8), by rules that are the same on every machine. Loads no
model.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from .. import samples
from ..models import catalog
from ..options import AUTO_FLOW, AUTO_JPEG, AUTO_PLANES, AUTO_UNIVERSAL, Options
from . import patches
from .patches import Axes

SMALLEST = 256
"""Samples of the smallest array that a plane model is tried on: below this, the payload's fixed part leaves no gain."""
SMALLEST_SERIES = 4096
"""The same for series, which are mostly coordinates when they are short."""
LONGER = 2
"""The two longest axes may be the spatial ones if both are this many times as long as the shorter of the last two."""


@dataclass(frozen=True)
class Plan:
    """The routes to try. Models are given by name or id.

    Attributes
    ----------
    axes : Axes
        The axes of the planes.
    longest : Axes or None
        Other axes whose planes may be smaller: the array may be a volume (y, x, z).
    planes : list of str
        Models of the plane coder to choose from; empty: the planes route is not tried.
    jpeg : str or None
        Model of the JPEG route; None: the route is not tried.
    model : str or None
        Model of the model route; None: the route is not tried.
    """

    axes: Axes
    longest: Axes | None
    planes: list[str]
    jpeg: str | None
    model: str | None


def plan(array: NDArray[Any], options: Options, codec: str, stored_bytes: Callable[[], int]) -> Plan | None:
    """What is tried on an array, or None.

    Parameters
    ----------
    array : ndarray
    options : Options
    codec : str
    stored_bytes : callable
        Bytes of the array's stored payload.

    Raises
    ------
    ValueError
        Axes that the array does not have.
    MissingModel, ModelError
        The model is not installed, or its file is damaged.
    """
    series = samples.is_series(array.shape)
    if not samples.is_numeric(array.dtype) or array.size < (SMALLEST_SERIES if series else SMALLEST):
        return None
    axes = _axes(array, options)
    if axes is None:
        return None
    channels = 1 if axes.channel is None else samples.shape_of(array.dtype, array.shape)[axes.channel]
    image = array.dtype.str == "|u1" and not series
    name, kind = options.model, "auto" if options.model == "auto" else catalog.kind_of(options.model)
    if codec == "local_bits_back" and kind == "auto":
        name, kind = AUTO_FLOW.get(channels, AUTO_FLOW[1]), "flow"
    planes = {"planes": [name], "auto": AUTO_PLANES.get(array.dtype.itemsize, [AUTO_UNIVERSAL])}
    jpeg = {"jpeg": name, "auto": AUTO_JPEG} if image and channels in (1, 3) else {}
    other = kind not in ("auto", "planes", "jpeg") and image and worth_a_model(array, axes, stored_bytes())
    longest = None if series or options.spatial_axes != "auto" else _longest(array, axes)
    return Plan(axes, longest, planes.get(kind, []), jpeg.get(kind), name if other else None)


def worth_a_model(array: NDArray[Any], axes: Axes, stored_bytes: int) -> bool:
    """Whether the model route may gain anything on an image (FORMAT.md 8.8). In integers, so the same on every machine.

    It does not where the stored payload has at most 96 bytes, about the fixed part of a model payload. Below 512
    samples, or on a strip narrower than 8, that fixed part and the few pixels with known neighbours leave no gain.
    Noise is stored: the mean difference between neighbours is a third of the range for uniform noise, and a hundredth
    to a tenth for photographs, so from 56/256 on there is nothing to predict.
    """
    if array.size < 512 or min(array.shape[axes.y], array.shape[axes.x]) < 8 or stored_bytes <= 96:
        return False
    total, count = patches.horizontal_step(array, axes)
    return total < 56 * count


def _axes(array: NDArray[Any], options: Options) -> Axes | None:
    """The axes of an array's planes, as the planes route counts them: complex words have one more axis in front."""
    if samples.is_series(array.shape):
        more = len(samples.shape_of(array.dtype, array.shape)) - 2
        return Axes(more, more + 1, None)
    axes = patches.image_axes(array.shape, options.channel_axis, options.spatial_axes)
    if axes is None or array.dtype.kind != "c":
        return axes
    return Axes(axes.y + 1, axes.x + 1, None if axes.channel is None else axes.channel + 1)


def _longest(array: NDArray[Any], last: Axes) -> Axes | None:
    """The two longest axes, if one of the last two is short compared with them."""
    if last.channel is not None or array.dtype.kind == "c":
        return None
    y, x = sorted(sorted(range(array.ndim), key=lambda axis: -array.shape[axis])[:2])
    short, long = min(array.shape[last.y], array.shape[last.x]), min(array.shape[y], array.shape[x])
    return Axes(y, x, None) if LONGER * short <= long else None

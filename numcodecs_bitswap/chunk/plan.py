"""Which routes and models are tried on an array (FORMAT.md 8): by rules that are the same on every machine. Loads
nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from .. import samples
from ..models import catalog
from ..options import AUTO_FLOW, AUTO_JPEG, AUTO_PHOTO, AUTO_UNIVERSAL, Options
from . import patches
from .patches import Axes

SMALLEST = 256
"""Samples of the smallest array that a plane model is tried on: below, its payload's fixed part leaves no gain."""
SMALLEST_SERIES = 4096
"""The same of series: those are mostly coordinates."""
LONGER = 2
"""How many times as long as one of the last two axes the two longest have to be, to be thought of as spatial."""


@dataclass(frozen=True)
class Plan:
    """Models by their names or ids.

    Attributes
    ----------
    axes : Axes
    longest : Axes or None
        Axes of which planes may be smaller: the array may be a volume (y, x, z).
    planes : list of str
        Of the plane coder, to choose from; empty: its route is not tried.
    jpeg : str or None
        Of what JPEG files held.
    model : str or None
        Of another kind.
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
        The model is not there.
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
    planes = {"planes": [name], "auto": [AUTO_PHOTO, AUTO_UNIVERSAL] if array.dtype.itemsize == 1 else [AUTO_UNIVERSAL]}
    jpeg = {"jpeg": name, "auto": AUTO_JPEG} if image and channels in (1, 3) else {}
    other = kind not in ("auto", "planes", "jpeg") and image and worth_a_model(array, axes, stored_bytes())
    longest = None if series or options.spatial_axes != "auto" else _longest(array, axes)
    return Plan(axes, longest, planes.get(kind, []), jpeg.get(kind), name if other else None)


def worth_a_model(array: NDArray[Any], axes: Axes, stored_bytes: int) -> bool:
    """Whether to try a model on an image at all, by a rule in integers: the same on every machine.

    No: a payload of at most 96 bytes is about a model payload's fixed part. Below 512 samples, or on a strip narrower
    than 8, that part and the few pixels that tell anything about their neighbours leave no gain. Noise is stored:
    uniform noise has a mean step of a third of its range between neighbours, photographs of a hundredth to a tenth, so
    from 56/256 on there is nothing to predict.
    """
    if array.size < 512 or min(array.shape[axes.y], array.shape[axes.x]) < 8 or stored_bytes <= 96:
        return False
    total, count = patches.horizontal_step(array, axes)
    return total < 56 * count


def _axes(array: NDArray[Any], options: Options) -> Axes | None:
    """The axes of an array's planes, as the planes route counts them: complex numbers have one more in front."""
    if samples.is_series(array.shape):
        more = len(samples.shape_of(array.dtype, array.shape)) - 2
        return Axes(more, more + 1, None)
    axes = patches.image_axes(array.shape, options.channel_axis, options.spatial_axes)
    if axes is None or array.dtype.kind != "c":
        return axes
    return Axes(axes.y + 1, axes.x + 1, None if axes.channel is None else axes.channel + 1)


def _longest(array: NDArray[Any], last: Axes) -> Axes | None:
    """The two longest axes, if the last two are short beside them."""
    if last.channel is not None or array.dtype.kind == "c":
        return None
    y, x = sorted(sorted(range(array.ndim), key=lambda axis: -array.shape[axis])[:2])
    short, long = min(array.shape[last.y], array.shape[last.x]), min(array.shape[y], array.shape[x])
    return Axes(y, x, None) if LONGER * short <= long else None

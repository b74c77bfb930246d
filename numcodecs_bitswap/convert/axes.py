"""Names of dimensions -> options of a codec."""

from collections.abc import Mapping, Sequence
from typing import Any

import zarr

from ..chunk.patches import image_axes
from ..readers.arrays import FRAME, File

NAMES = {"y": {"y", "lat", "latitude"}, "x": {"x", "lon", "longitude"}, "c": {"c", "channel"}}
"""Names of the y, x and channel dimensions, in lower case."""


def axes_options(
    chunks: Sequence[int], names: Sequence[str | None] | None, channel_axis: int | None = None
) -> dict[str, Any]:
    """The options `channel_axis` and `spatial_axes` of a codec; empty where "auto" gives the same axes.

    Parameters
    ----------
    chunks : sequence of int
        The shape of chunks.
    names : sequence of (str or None), optional
        The names of the axes.
    channel_axis : int, optional
        Takes precedence over the names.

    Raises
    ------
    ValueError
        `channel_axis` does not exist.
    """
    if channel_axis is not None:
        image_axes(tuple(chunks), channel_axis, "auto")
        return {"channel_axis": channel_axis}
    axis = _by_name(names or [])
    if "y" not in axis or "x" not in axis:
        return {}
    channel = axis.get("c")
    channel = channel if channel is not None and chunks[channel] == 3 else None  # others are leading axes
    automatic = image_axes(tuple(chunks), "auto", "auto")
    named = image_axes(tuple(chunks), channel, (axis["y"], axis["x"]))
    if named == automatic:
        return {}
    return {"channel_axis": channel, "spatial_axes": [axis["y"], axis["x"]]}


def _by_name(names: Sequence[str | None]) -> dict[str, int]:
    found = {}
    for axis, name in enumerate(names):
        for what, known in NAMES.items():
            if (name or "").lower() in known:
                found[what] = axis
    return found


def axis_names(path: str, root: Any, array: Any) -> Sequence[str | None] | None:
    """The names of an array's axes: from its metadata, xarray's attribute, or the OME-Zarr group above it."""
    ndim = len(array.shape)
    if not isinstance(array, zarr.Array):
        # image files: axes in front of y and x are pages
        image = isinstance(array, File) and array.path.suffix not in (".npz", FRAME) and ndim >= 2
        colour = image and ndim >= 3 and array.shape[-1] <= 4
        return [None] * (ndim - 2 - colour) + ["y", "x", *["c"] * colour] if image else None
    found: Any = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    while found is None and path and isinstance(root, zarr.Group):
        path, _, name = path.rpartition("/")
        attributes = (root[path] if path else root).attrs.asdict()
        found = _ome_axes(attributes, name)
    return tuple(found) if found is not None and len(found) == ndim else None


def _ome_axes(attributes: Mapping[str, Any], name: str) -> list[str | None] | None:
    """The axes of one scale of an OME-Zarr image, from the attributes of a group."""
    ome = attributes.get("ome", attributes)
    scales = ome.get("multiscales") if isinstance(ome, Mapping) else None
    for scale in scales if isinstance(scales, list) else []:
        axes = scale.get("axes") if isinstance(scale, Mapping) else None
        if isinstance(axes, list) and any(each.get("path") == name for each in scale.get("datasets", [])):
            return [each.get("name") if isinstance(each, Mapping) else each for each in axes]
    return None

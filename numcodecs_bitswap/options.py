"""The configuration of a codec, checked when it is constructed. Shared by the numcodecs codec and the Zarr serializer.

It is stored as JSON with every array, so it holds plain values only. Whether the model is installed and the axes exist
is checked when a chunk is coded, because opening a group constructs the codecs of all its arrays. Imports only
`errors`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .errors import ModelError

AUTO_PHOTO, AUTO_UNIVERSAL, AUTO_MICROSCOPY = "photo-v1", "universal-v1", "microscopy-v1"
AUTO_PLANES = {1: [AUTO_PHOTO, AUTO_UNIVERSAL, AUTO_MICROSCOPY], 2: [AUTO_UNIVERSAL, AUTO_MICROSCOPY]}
"""The plane models that "auto" chooses from by cost, by the bytes of an item; others are coded by AUTO_UNIVERSAL."""
AUTO_JPEG = "jpeg-v1"
"""The model of images decoded from JPEG files, which "auto" tries on all images of 8 bits."""
AUTO_FLOW = {3: "photo-rgb8-flow", 1: "photo-gray8-flow"}
"""The model that "auto" means for local bits-back, by the number of channels."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The checked configuration of a codec: plain values, stored as JSON with every array.

    Attributes
    ----------
    model : str
        "auto" (photo-v1, universal-v1 or microscopy-v1, whichever needs the fewest bytes for a sample of the chunk, and
        jpeg-v1 for images decoded from JPEG files), a model's name, or its id in hex digits.
    channel_axis : "auto", int or None
    spatial_axes : "auto" or (int, int)
        See `chunk.patches.image_axes` and `chunk.plan`.
    verify : bool
        Whether to decode each frame after it was encoded. No part of `config()`.

    Raises
    ------
    TypeError
        An option of another type.
    ModelError
        `model` has characters that no name has.
    """

    model: str = "auto"
    channel_axis: str | int | None = "auto"
    spatial_axes: str | Sequence[int] = "auto"
    verify: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.model, str):
            raise TypeError(f"model must be a name or an id in hex digits, not {self.model!r}")
        if not re.fullmatch(r"\w[\w.+-]*", self.model):
            raise ModelError(
                f"{self.model!r} is not a model's name or id; for a file, name its folder in NUMCODECS_BITSWAP_MODELS"
            )
        if self.channel_axis is not None and self.channel_axis != "auto":
            axis = _integer('channel_axis must be "auto", None or an integer', self.channel_axis)
            object.__setattr__(self, "channel_axis", axis)
        if not (isinstance(self.spatial_axes, str) and self.spatial_axes == "auto"):
            if not isinstance(self.spatial_axes, list | tuple) or len(self.spatial_axes) != 2:
                raise TypeError(f'spatial_axes must be "auto" or two integers, not {self.spatial_axes!r}')
            axes = tuple(_integer("spatial_axes are integers", axis) for axis in self.spatial_axes)
            object.__setattr__(self, "spatial_axes", axes)
        if not isinstance(self.verify, bool):
            raise TypeError(f"verify must be True or False, not {self.verify!r}")

    def config(self) -> dict[str, Any]:
        """The options as JSON values."""
        axes = self.spatial_axes if isinstance(self.spatial_axes, str) else list(self.spatial_axes)
        return {"model": self.model, "channel_axis": self.channel_axis, "spatial_axes": axes}


def _integer(expected: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{expected}, not {value!r}")
    return int(value)

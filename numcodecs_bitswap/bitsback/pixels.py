"""Pixels on their way to a model's device and back, in both directions as short as they are."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Pixels = NDArray[Any]
"""uint8, for a model of 65536 levels uint16."""


def to_device(pixels: Pixels, device: str, dtype: torch.dtype) -> Tensor:
    """Pixels as a tensor of the model's type."""
    signed = pixels.view(np.int16) if pixels.itemsize == 2 else pixels  # torch has no uint16 everywhere
    grid = torch.from_numpy(np.require(signed, requirements="W")).to(device).to(dtype)
    return grid & 0xFFFF if pixels.itemsize == 2 else grid


def to_host(grid: Tensor, levels: int) -> Pixels:
    """The inverse of `to_device`."""
    if levels <= 256:
        return grid.to(torch.uint8).cpu().numpy()
    return grid.to(torch.int16).cpu().numpy().view(np.uint16)

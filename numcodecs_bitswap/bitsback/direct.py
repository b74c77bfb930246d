"""The core without bits-back (FORMAT.md section 6.2): one stage, again and again, down to a single pixel.

For messages too short to pay for the core's latents. It costs more bits than bits-back but needs none to begin with.
"""

import torch
from torch import Tensor

from ..rans.message import Message
from ..symbols.uniform import Uniform
from . import stages
from .coder import Size, phase_sizes
from .stages import Stage

LEVELS = 256
"""Of the last pixel."""


def push(message: Message, stage: Stage, grid: Tensor) -> None:
    """Push a grid (N, h, w, c)."""
    while grid.shape[1:3] != (1, 1):
        grid = stages.push(message, stage, grid, adapted=False)
    for ch in reversed(range(grid.shape[-1])):
        symbols = grid[:, 0, 0, ch].int().reshape(message.batch, -1)
        message.push(Uniform(message.batch, symbols.shape[1], LEVELS, str(grid.device)), symbols)


def pop(message: Message, stage: Stage, n: int, size: Size, channels: int, device: str) -> Tensor:
    """Pop a grid (n, h, w, c)."""
    sizes = [size]
    while sizes[-1] != (1, 1):
        sizes.append(phase_sizes(sizes[-1])[0])
    grid = torch.empty(n, 1, 1, channels, dtype=torch.int16, device=device)
    for ch in range(channels):
        pixels = message.pop(Uniform(message.batch, n // message.batch, LEVELS, str(grid.device)))
        grid[:, 0, 0, ch] = pixels.reshape(-1)
    for size in reversed(sizes[:-1]):
        grid = stages.pop(message, stage, grid, size, adapted=False)
    return grid

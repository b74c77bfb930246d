"""The core without bits-back (FORMAT.md section 6.4): one stage, applied again and again until one pixel is left.

For messages too short to fund the core's latents. It takes more bits than bits-back but needs no initial bits.
"""

from .. import arrays
from ..arrays import Array
from ..distributions.uniform import Uniform
from ..rans.message import Message
from . import stages
from .coder import Size, phase_sizes
from .stages import Stage

LEVELS = 256
"""Alphabet of the last pixel."""


def push(message: Message, stage: Stage, grid: Array) -> None:
    """Push a grid (N, h, w, c)."""
    while grid.shape[1:3] != (1, 1):
        grid = stages.push(message, stage, grid, adapted=False)
    for ch in reversed(range(grid.shape[-1])):
        of = arrays.of(grid)
        symbols = of.cast(grid[:, 0, 0, ch], "int32").reshape(message.batch, -1)
        message.push(Uniform(message.batch, symbols.shape[1], LEVELS, of), symbols)


def pop(message: Message, stage: Stage, last: Array, size: Size) -> Array:
    """Pop a grid of height and width `size`; its last pixels are written to `last` (n, 1, 1, c)."""
    sizes = [size]
    while sizes[-1] != (1, 1):
        sizes.append(phase_sizes(sizes[-1])[0])
    n = len(last) // message.batch
    for ch in range(last.shape[-1]):
        last[..., ch] = message.pop(Uniform(message.batch, n, LEVELS, arrays.of(last))).reshape(-1, 1, 1)
    grid = last
    for size in reversed(sizes[:-1]):
        grid = stages.pop(message, stage, grid, size, adapted=False)
    return grid

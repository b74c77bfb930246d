"""The core of a model, bits-back. Of 16-bit samples its data are differences to a level, in units of a step, both of
the patch and coded with it: their *origin* (FORMAT.md section 6.6).

The origin lies on top of what the core pushed, so that the core may be anything that codes a grid.
"""

from typing import Any, Protocol, cast

import torch
from torch import Tensor

from ..rans.message import Message
from ..symbols.uniform import Uniform
from .coder import Size
from .core import Networks

DEEP = torch.int32
"""Of grids of 16-bit samples."""
ALPHABETS = 1 << 16, 16
"""Of the level, and of the step's exponent less its least value."""


class DeepNetworks(Networks, Protocol):
    """The networks of a core whose data have an origin. See nets.deep_model."""

    def origin(self, grid: Tensor, /) -> Tensor:
        """Levels and exponents, int32 (N, 2, c), that suit a grid (N, h, w, c)."""

    def at(self, origin: Tensor, /) -> Networks:
        """The networks for patches of these origins."""


def push(message: Message, networks: Networks, grid: Tensor, core: Any) -> None:
    """Push a grid (N, h, w, c) by a core, then its origin if it has one."""
    if networks.dtype != DEEP:
        core.push(message, networks, grid)
        return
    model = cast(DeepNetworks, networks)
    origin = model.origin(grid)
    core.push(message, model.at(origin), grid)
    for ch in reversed(range(model.channels)):
        for which in (1, 0):
            symbols = origin[:, which, ch].reshape(message.batch, -1)
            message.push(Uniform(message.batch, symbols.shape[1], ALPHABETS[which], model.device), symbols)


def pop(message: Message, networks: Networks, n: int, size: Size, core: Any) -> Tensor:
    """Pop an origin if there is one, then the grid (n, h, w, c)."""
    grid: Tensor
    if networks.dtype != DEEP:
        grid = core.pop(message, networks, n, size)
        return grid
    model = cast(DeepNetworks, networks)
    origin = torch.zeros(n, 2, model.channels, dtype=torch.int32, device=model.device)
    for ch in range(model.channels):
        for which in (0, 1):
            uniform = Uniform(message.batch, n // message.batch, ALPHABETS[which], model.device)
            origin[:, which, ch] = message.pop(uniform).flatten()
    grid = core.pop(message, model.at(origin), n, size)
    return grid

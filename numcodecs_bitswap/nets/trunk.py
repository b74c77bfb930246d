"""The one network shape of the format (FORMAT.md section 4.2), channels last: int8 inputs (N, h, w, U) -> int32 outputs
(N, h, w, P), padded to a multiple of 8.
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import ModelError
from .elementwise import operations
from .exact import Layer, Tensors
from .torch_ops import aligned

SLAB = 1 << 12
"""Cells computed at a time on a CPU: what a layer makes of them stays in its caches and takes no new memory."""

Slab = tuple[slice, slice]
"""Some grids of a batch, all lines of them; or one grid, some lines of it."""


def slabs(u: Tensor) -> list[Slab]:
    """Cut grids (N, h, w, C) into slabs, in the order of their cells."""
    n, h, w = u.shape[:3]
    if u.device.type != "cpu" or n * h * w <= SLAB:
        return [(slice(None), slice(None))]
    if h * w <= SLAB:
        step = SLAB // (h * w)
        return [(slice(first, first + step), slice(None)) for first in range(0, n, step)]
    step = max(SLAB // w, 1)
    return [(slice(k, k + 1), slice(first, min(first + step, h))) for k in range(n) for first in range(0, h, step)]


def cells(grid: Tensor, slab: Slab) -> Tensor:
    """The rows of a slab, (cells, C)."""
    return grid[slab].flatten(0, 2)


def neighbours(grid: Tensor, slab: Slab) -> Tensor:
    """The 3 x 3 neighbourhoods of a slab's cells, (cells, 9 C)."""
    ops, (images, lines) = operations(grid.device.type), slab
    if lines == slice(None):
        every: Tensor = ops.neighbours(grid[images])
        return every
    above = max(lines.start - 1, 0)  # with the lines around it, which are then left out
    rows: Tensor = ops.neighbours(grid[images, above : lines.stop + 1])
    width = grid.shape[2]
    return rows[(lines.start - above) * width :][: (lines.stop - lines.start) * width]


class Trunk:
    """A network of the model file.

    Parameters
    ----------
    tensors, name : see `Layer`
    n_in : int
        Channels of the input, before padding.
    n_out : int
        Channels of the output.
    blocks : int
        Number of residual blocks.

    Raises
    ------
    ModelError
        The tensors do not describe such a network.
    """

    def __init__(self, tensors: Tensors, name: str, n_in: int, n_out: int, blocks: int, device: str):
        self.first = Layer(tensors, f"{name}.in", (n_in,), device)
        width = self.first.n_out
        self.blocks = []
        for k in range(blocks):
            conv = Layer(tensors, f"{name}.{k}.conv", (width,) * 9, device)
            self.blocks.append((conv, Layer(tensors, f"{name}.{k}.out", (conv.n_out,), device)))
        self.head = Layer(tensors, f"{name}.head", (width,), device)
        self.skip = Layer(tensors, f"{name}.skip", (n_in,), device)
        self.n_in, self.n_out = n_in, n_out
        if any(out.n_out != width for _, out in self.blocks) or not self.head.n_out == self.skip.n_out == n_out:
            raise ModelError(f"network {name}: its layers do not fit together or do not give {n_out} outputs")

    def __call__(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """u : int8 (N, h, w, aligned(n_in)), padding zero. Returns features int8 (N, h, w, width) and y int32 (N, h, w,
        aligned(n_out)).
        """
        ops, parts = operations(u.device.type), slabs(u)

        def grid(rows: Iterable[Tensor]) -> Tensor:
            return torch.cat(list(rows)).view(*u.shape[:3], -1)

        h = grid(ops.rectify(self.first.sums(cells(u, slab)), self.first) for slab in parts)
        for conv, out in self.blocks:
            v = grid(ops.rectify(conv.sums(neighbours(h, slab)), conv) for slab in parts)
            h = grid(ops.residual(out.sums(cells(v, slab)), out, cells(h, slab)) for slab in parts)
        heads = (ops.settle(self.head.sums(cells(h, slab)), self.head) for slab in parts)
        y = grid(ops.settle(self.skip.sums(cells(u, slab)), self.skip, y) for slab, y in zip(parts, heads, strict=True))
        return h, y

    def outputs(self, u: Tensor) -> Tensor:
        """y alone, without the padding: int32 (N, h, w, n_out)."""
        return self(u)[1][..., : self.n_out]


class ChannelNetwork:
    """Correction of a channel's outputs by the channels before it (FORMAT.md section 4.4).

    Parameters
    ----------
    tensors, name : see `Layer`
    width : int
        Features of the trunk.
    n_earlier : int
        Channels before this one.
    n_out : int
        Outputs of the channel.

    Raises
    ------
    ModelError
        The tensors do not describe such a network.
    """

    def __init__(self, tensors: Tensors, name: str, width: int, n_earlier: int, n_out: int, device: str):
        self.first = Layer(tensors, f"{name}.in", (width, n_earlier), device)
        self.out = Layer(tensors, f"{name}.out", (self.first.n_out,), device)
        self.n_earlier = n_earlier
        if self.out.n_out != n_out:
            raise ModelError(f"network {name} does not give {n_out} outputs")

    def __call__(self, features: Tensor, pixels: Tensor, base: Tensor) -> Tensor:
        """features int8 (N, h, w, width), pixels int16 (N, h', w', c), base int16 (N, h, w, c). Returns int32 (N, h, w,
        aligned(n_out)).
        """
        ops = operations(features.device.type)
        rows = ops.with_deviations(features, pixels, base, self.n_earlier)
        return self.outputs(rows).view(*features.shape[:3], -1)

    def outputs(self, rows: Tensor) -> Tensor:
        """The correction by rows int8 (M, width + aligned(n_earlier)): int32 (M, aligned(n_out))."""
        ops = operations(rows.device.type)
        v = ops.rectify(self.first.sums(rows), self.first)
        y: Tensor = ops.settle(self.out.sums(v), self.out)
        return y


def pad_channels(values: Tensor) -> Tensor:
    """Values (..., c) as int8 (..., aligned(c)), padded with zeros."""
    missing = aligned(values.shape[-1]) - values.shape[-1]
    return F.pad(values.to(torch.int8), (0, missing))

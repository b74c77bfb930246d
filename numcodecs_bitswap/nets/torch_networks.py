"""Layers on grids as exact matrix products (`torch_layer`) with `torch_ops` between them: on any device, and the
reference of `triton_ops`. Grids are channels last: int8 (N, h, w, C), outputs int32.

On a CPU some cells are computed at a time, so that the activations stay in the caches.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from . import torch_ops as ops

if TYPE_CHECKING:
    from .torch_layer import TorchLayer as Layer

SLAB = 1 << 12
"""Cells computed at a time on a CPU: their activations stay in the caches, and memory is reused."""

Slab = tuple[slice, slice]
"""Some whole grids of a batch, or some lines of one grid."""


def dense(u: Tensor, layer: "Layer") -> Tensor:
    """A layer at every cell, clamped to [0, 127]: int8 (N, h, w, columns)."""
    h = _empty(u, layer, torch.int8)
    for slab in slabs(u):
        ops.relu(layer.sums(cells(u, slab)), layer, cells(h, slab))
    return h


def block(h: Tensor, conv: "Layer", out: "Layer") -> Tensor:
    """A residual block (FORMAT.md section 4.2): int8 like h."""
    following = torch.empty_like(h)
    for slab in slabs(h):
        v = ops.relu(conv.sums(neighbours(h, slab)), conv)
        ops.residual(out.sums(v), out, cells(h, slab), cells(following, slab))
    return following


def outputs(h: Tensor, head: "Layer", u: Tensor, skip: "Layer") -> Tensor:
    """The sum of two layers, one of h and one of u: int32 (N, h, w, columns)."""
    y = _empty(u, skip, torch.int32)
    for slab in slabs(u):
        ops.requantise(head.sums(cells(h, slab)), head, cells(y, slab))
        ops.requantise(skip.sums(cells(u, slab)), skip, cells(y, slab), add=True)
    return y


def corrected(rows: Tensor, first: "Layer", out: "Layer") -> Tensor:
    """Two layers on rows (M, C), the first clamped to [0, 127]: int32 (M, columns)."""
    v = ops.relu(first.sums(rows), first)
    return ops.requantise(out.sums(v), out)


def correction(features: Tensor, pixels: Tensor, base: Tensor, earlier: int, layers: Sequence["Layer"]) -> Tensor:
    """A channel network of two layers (FORMAT.md section 4.4): int32 (N, h, w, columns). Arguments: see
    `torch_ops.with_deviations`.
    """
    rows = ops.with_deviations(features, pixels, base, earlier)
    return corrected(rows, *layers).view(*features.shape[:3], -1)


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
    images, lines = slab
    if lines == slice(None):
        return ops.neighbours(grid[images])
    above = max(lines.start - 1, 0)  # with the lines around it, which are then left out
    rows = ops.neighbours(grid[images, above : lines.stop + 1])
    width = grid.shape[2]
    return rows[(lines.start - above) * width :][: (lines.stop - lines.start) * width]


def _empty(like: Tensor, layer: "Layer", dtype: torch.dtype) -> Tensor:
    """An uninitialised grid for a layer's outputs."""
    return torch.empty(*like.shape[:3], len(layer.bias), dtype=dtype, device=like.device)

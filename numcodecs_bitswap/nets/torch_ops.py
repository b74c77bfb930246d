"""The operations of networks between matrix products, in torch: on any device, and the reference of `numba_ops` and
`triton_ops`.

Sums are int32 (M, columns); for a wide layer (M, 2 columns), those of the high limbs first. Grids are int16
(N, h, w, c), activations int8, all with channels last.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .units import MEAN_LIMIT, SYMBOL, WIDE, aligned

if TYPE_CHECKING:
    from .torch_layer import TorchLayer as Layer


def requantise(sums: Tensor, layer: "Layer", out: Tensor | None = None, add: bool = False) -> Tensor:
    """(sums + bias) >> shift: int32 (M, columns), in `out` or, if `add`, added to it. Modifies `sums`."""
    if layer.wide:
        high, low = sums.chunk(2, dim=1)
        sums = low.add_(high, alpha=WIDE)
    sums.add_(layer.bias).bitwise_right_shift_(layer.shift)
    if out is None:
        return sums
    return out.add_(sums) if add else out.copy_(sums)


def relu(sums: Tensor, layer: "Layer", out: Tensor | None = None) -> Tensor:
    """Requantised and clamped to [0, 127]: int8 (M, columns), in `out`."""
    clamped = requantise(sums, layer).clamp_(0, 127)
    return clamped.to(torch.int8) if out is None else out.copy_(clamped)


def residual(sums: Tensor, layer: "Layer", h: Tensor, out: Tensor) -> Tensor:
    """h plus the requantised sums, clamped to [-127, 127]: int8 (M, columns), in `out`."""
    return out.copy_(requantise(sums, layer).add_(h).clamp_(-127, 127))


def neighbours(h: Tensor) -> Tensor:
    """3 x 3 neighbourhoods, zeros outside: (N, h, w, C) to rows (N h w, 9 C) in the order row, column, channel."""
    n, height, width, c = h.shape
    padded = h.new_zeros(n, height + 2, width + 2, c)
    padded[:, 1:-1, 1:-1] = h
    # Three adjacent cells are 3 C consecutive values, so the copy below moves long runs.
    row = (width + 2) * c
    view = padded.as_strided((n, height, width, 3, 3 * c), ((height + 2) * row, row, c, row, 1))
    return view.reshape(-1, 9 * c)


def inputs_a(c: Tensor) -> tuple[Tensor, Tensor]:
    """Input u of pass a (FORMAT.md section 5), int8 (N, h, w, aligned(17 c)), and the base of phase (1, 1)."""
    around = shifted(c, -1, 2)
    total = around[5] + around[6] + around[9] + around[10]
    return _differences(around, (total + 2) >> 2), 8 * total


def inputs_b(c: Tensor, d: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Input u of pass b, int8 (N, h, w, aligned(33 c)), and the bases of phases (0, 1) and (1, 0)."""
    around, diagonal = shifted(c, -1, 2), shifted(d, -2, 1)
    right, below, above, left = around[6], around[9], diagonal[6], diagonal[9]
    s01, s10 = c + right + above + d, c + below + left + d
    return _differences(around + diagonal, (s01 + s10 + 4) >> 3), 8 * s01, 8 * s10


def shifted(grid: Tensor, low: int, high: int) -> list[Tensor]:
    """Neighbours low..high in both axes, edges repeated, row offset outermost: views of (N, h, w, c)."""
    h, w = grid.shape[1:3]
    steps = [torch.arange(low, size + high, device=grid.device).clamp_(0, size - 1) for size in (h, w)]
    padded = grid[:, steps[0]][:, :, steps[1]]
    side = range(high - low + 1)
    return [padded[:, m : m + h, n : n + w] for m in side for n in side]


def _differences(windows: list[Tensor], reference: Tensor) -> Tensor:
    """Differences of the windows from the reference, then the level of the reference."""
    c = reference.shape[-1]
    u = torch.zeros(*reference.shape[:3], aligned(c * (len(windows) + 1)), dtype=torch.int8, device=reference.device)
    for k, view in enumerate(windows):
        u[..., c * k : c * (k + 1)] = (view - reference).clamp_(-127, 127)
    u[..., c * len(windows) : c * (len(windows) + 1)] = (reference - 128).clamp_(-127, 127)
    return u


def with_deviations(features: Tensor, pixels: Tensor, base: Tensor, earlier: int) -> Tensor:
    """Input rows of a channel network (FORMAT.md section 4.4): features (N, h, w, C), then the deviations of the first
    `earlier` channels of the pixels (N, h', w', c) from their base: int8 (N h w, C + aligned(earlier)). h' and w' may
    be smaller than h and w.
    """
    n, h, w, width = features.shape
    rows = features.new_zeros(n, h, w, width + aligned(earlier))
    rows[..., :width] = features
    h, w = pixels.shape[1:3]
    level = base[:, :h, :w, :earlier] + SYMBOL // 2 >> 5
    rows[:, :h, :w, width : width + earlier] = (pixels[..., :earlier] - level).clamp_(-127, 127)
    return rows.flatten(0, 2)


def mixtures(
    y: Tensor, first: int, added: Tensor | None, base: Tensor, pixels: Tensor, ch: int, k: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, means and scales of channel `ch` of a phase (FORMAT.md section 4.3), int32 (N, h', w', k) each.

    Parameters
    ----------
    y : int32 tensor, shape (N, h, w, outputs)
        The outputs of the phase begin at `first`.
    added : int32 tensor, shape (N, h, w, columns), or None
        What a channel network adds to the channel's outputs.
    base : int16 tensor, shape (N, h, w, c)
    pixels : int16 tensor, shape (N, h', w', c)
        Known in the channels before `ch`; h' and w' may be smaller than h and w.
    """
    h, w, c = pixels.shape[1:]
    y, base = y[:, :h, :w], base[:, :h, :w]
    own = y[..., first + 3 * k * ch : first + 3 * k * (ch + 1)]
    if added is not None:
        own = own + added[:, :h, :w, : 3 * k]
    logits, offsets, scales = torch.split(own, k, dim=-1)
    mean = base[..., ch].int()
    for earlier in range(ch):
        coefficient = y[..., first + 3 * k * c + ch * (ch - 1) // 2 + earlier].clamp(-127, 127)
        mean = mean + (coefficient * (SYMBOL * pixels[..., earlier].int() - base[..., earlier]) >> 6)
    means = offsets.clamp(-MEAN_LIMIT, MEAN_LIMIT).add_(mean.unsqueeze(-1))
    return logits.clamp(-127, 127), means, scales.clamp(0, 127)

"""What the networks of 16-bit samples do between matrix products, in torch: on any device, and the reference of
`deep_numba`.

Grids are int32 (N, h, w, c), bases in 1/32 level. The step of a cell and channel is 2^g of these units.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from .torch_ops import MEAN_LIMIT, SYMBOL, aligned, shifted

LEAST_STEP = 2
UNIT_STEP = 5
"""A step of one level."""
SCALE_LIMIT, MEANS = 191, 65535 * SYMBOL
"""Largest scale index in units of the step; largest mean."""
LEAST_SCALE, LARGEST_SCALE = 6, 263
"""Scale indices, in levels: those that no shift (FORMAT.md section 5.1) takes out of the range."""


def inputs_a(c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Input u of pass a (FORMAT.md section 5.2), int8 (N, h, w, aligned(21 c)); the base of phase (1, 1); g."""
    around = shifted(c, -1, 2)
    base = 8 * (around[5] + around[6] + around[9] + around[10])
    u, g = _normalised(c, around, base)
    return u, base, g


def inputs_b(c: Tensor, d: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Input u of pass b, int8 (N, h, w, aligned(37 c)); the bases of phases (0, 1) and (1, 0); g."""
    around, diagonal = shifted(c, -1, 2), shifted(d, -2, 1)
    s01, s10 = c + around[6] + diagonal[6] + d, c + around[9] + diagonal[9] + d
    u, g = _normalised(c, around + diagonal, 4 * (s01 + s10))
    return u, 8 * s01, 8 * s10, g


def _normalised(grid: Tensor, windows: Sequence[Tensor], reference: Tensor) -> tuple[Tensor, Tensor]:
    """Differences of the windows and of the grid's mean to the reference, in units of their step; codes of the step,
    the level, and the spread here and everywhere; g.
    """
    c, count = reference.shape[-1], len(windows)
    unit = count.bit_length() + 3
    differences = [SYMBOL * view - reference for view in windows]
    total = torch.stack(differences).abs_().sum(0, dtype=torch.int32)
    g = step(total, unit)
    everywhere = (total.sum((1, 2), keepdim=True) // total[0, ..., 0].numel()).expand_as(total)
    u = torch.zeros(*reference.shape[:3], aligned(c * (count + 5)), dtype=torch.int8, device=reference.device)
    values = [difference >> g for difference in (*differences, SYMBOL * mean_level(grid) - reference)]
    values += [8 * g - 72, code(reference + SYMBOL // 2 >> 5) - 64]
    values += [4 * (code(total) - 8 * (g + unit)), 2 * (code(everywhere) - 8 * (g + unit))]
    for k, value in enumerate(values):
        u[..., c * k : c * (k + 1)] = value.clamp_(-127, 127)
    return u, g


def mean_level(grid: Tensor) -> Tensor:
    """Rounded means of grids (N, h, w, c), int32 (N, 1, 1, c)."""
    n = grid.shape[1] * grid.shape[2]
    return ((grid.sum((1, 2), keepdim=True) + n // 2) // n).int()


def step(total: Tensor, unit: int) -> Tensor:
    """g, int32, of sums of 2^(unit - 4) magnitudes in 1/32 level: a mean magnitude of 8 to 16 units of 2^g."""
    return (bit_length(total) - unit).clamp_(min=LEAST_STEP)


def code(values: Tensor) -> Tensor:
    """About 8 log2 of integers 0 .. 2^31 - 1, int32: 8 of 1, more by 1 for each eighth of an octave, -8 of 0."""
    length = bit_length(values)
    return 8 * length + (16 * values.long() >> length).int() - 8


def bit_length(values: Tensor) -> Tensor:
    """Bit lengths of integers 0 .. 2^31 - 1, int32."""
    length = torch.zeros_like(values, dtype=torch.int32)
    for half in (16, 8, 4, 2, 1):
        more = (values >> half > 0).int() * half
        length += more
        values = values >> more
    return (length + values).int()


def with_deviations(features: Tensor, pixels: Tensor, base: Tensor, g: Tensor, earlier: int) -> Tensor:
    """Rows of a channel network (FORMAT.md section 4.5), as `torch_ops.with_deviations` has them."""
    n, h, w, width = features.shape
    rows = features.new_zeros(n, h, w, width + aligned(earlier))
    rows[..., :width] = features
    h, w = pixels.shape[1:3]
    off = SYMBOL * pixels[..., :earlier] - base[:, :h, :w, :earlier]
    rows[:, :h, :w, width : width + earlier] = (off >> g[:, :h, :w, :earlier]).clamp_(-127, 127)
    return rows.flatten(0, 2)


def mixtures(
    y: Tensor, first: int, added: Tensor | None, base: Tensor, g: Tensor, pixels: Tensor, ch: int, k: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, means and scales of channel `ch` of a phase (FORMAT.md section 4.5), int32 (N, h', w', k) each.

    Parameters as for `torch_ops.mixtures`, and g int32 (N, h, w, c).
    """
    h, w, c = pixels.shape[1:]
    y, base, g = y[:, :h, :w], base[:, :h, :w], g[:, :h, :w, ch, None]
    own = y[..., first + 3 * k * ch : first + 3 * k * (ch + 1)]
    if added is not None:
        own = own + added[:, :h, :w, : 3 * k]
    logits, offsets, scales = torch.split(own, k, dim=-1)
    mean = base[..., ch]
    for earlier in range(ch):
        coefficient = y[..., first + 3 * k * c + ch * (ch - 1) // 2 + earlier].clamp(-127, 127)
        mean = mean + (coefficient * (SYMBOL * pixels[..., earlier] - base[..., earlier]) >> 6)
    means = mean.unsqueeze(-1) + (offsets.clamp(-MEAN_LIMIT, MEAN_LIMIT) << g >> UNIT_STEP)
    scales = scales.clamp(0, SCALE_LIMIT) + 12 * (g - UNIT_STEP)
    return logits.clamp(-127, 127), means.clamp_(0, MEANS), scales.clamp_(LEAST_SCALE, LARGEST_SCALE)

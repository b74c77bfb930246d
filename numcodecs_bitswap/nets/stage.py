"""A context stage (FORMAT.md section 5): the coarser grid, then the phases already known -> parameters of the next
phases.
"""

import torch
from torch import Tensor

from .exact import Tensors, aligned
from .parameters import PhaseParameters, phase_outputs
from .trunk import ChannelNetwork, Trunk


def shifted(grid: Tensor, low: int, high: int) -> list[Tensor]:
    """Neighbours low..high in both axes, edges repeated, row offset outermost: views of (N, h, w, c)."""
    h, w = grid.shape[1:3]
    steps = [torch.arange(low, size + high, device=grid.device).clamp_(0, size - 1) for size in (h, w)]
    padded = grid[:, steps[0]][:, :, steps[1]]
    side = range(high - low + 1)
    return [padded[:, m : m + h, n : n + w] for m in side for n in side]


def window_inputs(windows: list[Tensor], reference: Tensor) -> Tensor:
    """Differences of the windows to the reference, then the reference's own level: int8 (N, h, w, aligned)."""
    c = reference.shape[-1]
    u = torch.zeros(*reference.shape[:3], aligned(c * (len(windows) + 1)), dtype=torch.int8, device=reference.device)
    for k, view in enumerate(windows):
        u[..., c * k : c * (k + 1)] = (view - reference).clamp_(-127, 127)
    u[..., c * len(windows) : c * (len(windows) + 1)] = (reference - 128).clamp_(-127, 127)
    return u


class Stage:
    """Networks `a` and `b` of one stage. Grids are int16 (N, h, w, c), one value per cell and channel.

    Raises
    ------
    ModelError
        The tensors do not fit.
    """

    def __init__(self, tensors: Tensors, name: str, channels: int, mixtures: int, blocks: int, device: str):
        outputs = phase_outputs(channels, mixtures)
        self.mixtures = mixtures
        self.a = Trunk(tensors, f"{name}.a", 17 * channels, outputs, blocks, device)
        self.b = Trunk(tensors, f"{name}.b", 33 * channels, 2 * outputs, blocks, device)
        self.corrections = {
            phase: tuple(
                ChannelNetwork(tensors, f"{name}.phase{phase}.{ch}", trunk.first.n_out, ch, 3 * mixtures, device)
                for ch in range(1, channels)
            )
            for phase, trunk in (("11", self.a), ("01", self.b), ("10", self.b))
        }

    def pass_a(self, c: Tensor) -> PhaseParameters:
        """Parameters of phase (1, 1) given C = phase (0, 0)."""
        around = shifted(c, -1, 2)
        total = around[5] + around[6] + around[9] + around[10]
        u = window_inputs(around, (total + 2) >> 2)
        features, y = self.a(u)
        return PhaseParameters(y, 8 * total, self.mixtures, features, self.corrections["11"])

    def pass_b(self, c: Tensor, d: Tensor) -> tuple[PhaseParameters, PhaseParameters]:
        """Parameters of phases (0, 1) and (1, 0) given C and D = phase (1, 1), missing pixels of D filled from C."""
        around, diagonal = shifted(c, -1, 2), shifted(d, -2, 1)
        right, below, above, left = around[6], around[9], diagonal[6], diagonal[9]
        s01, s10 = c + right + above + d, c + below + left + d
        u = window_inputs(around + diagonal, (s01 + s10 + 4) >> 3)
        features, y = self.b(u)
        y01, y10 = y.chunk(2, dim=-1)
        return (
            PhaseParameters(y01, 8 * s01, self.mixtures, features, self.corrections["01"]),
            PhaseParameters(y10, 8 * s10, self.mixtures, features, self.corrections["10"]),
        )

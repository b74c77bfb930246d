"""Stages of 16-bit samples (FORMAT.md sections 4.5 and 5.2): the networks of `stage`, which see differences in units of
a local step, so that one model serves every noise and every depth.
"""

from dataclasses import dataclass

from torch import Tensor

from .elementwise import deep_operations
from .parameters import Parameters
from .stage import Stage
from .trunk import ChannelNetwork

DEEP_LEVELS = 1 << 16


@dataclass(frozen=True)
class DeepPhaseParameters:
    """Outputs of a network for one phase, as `PhaseParameters` has them.

    Attributes
    ----------
    y : int32 tensor, shape (N, h, w, outputs)
        The phase's own are those from `first` on.
    base, g : int32 tensors, shape (N, h, w, c)
        Units of 1/32 level; the step is 2^g of them.
    corrections : tuple of ChannelNetwork
        Those of channels 1 .. c-1, on `features` int8 (N, h, w, width); the core has none.
    """

    y: Tensor
    first: int
    base: Tensor
    g: Tensor
    mixtures: int
    features: Tensor | None = None
    corrections: tuple[ChannelNetwork, ...] = ()

    def channel(self, ch: int, pixels: Tensor) -> Parameters:
        """See `PhaseParameters.channel`; pixels int32."""
        ops = deep_operations(self.y.device.type)
        added = None
        if ch and self.corrections and self.features is not None:
            rows = ops.with_deviations(self.features, pixels, self.base, self.g, ch)
            added = self.corrections[ch - 1].outputs(rows).view(*self.features.shape[:3], -1)
        tensors = ops.mixtures(self.y, self.first, added, self.base, self.g, pixels, ch, self.mixtures)
        return Parameters("deep", DEEP_LEVELS, tensors)


class DeepStage(Stage):
    """Networks `a` and `b` of one stage. Grids are int32 (N, h, w, c), one value per cell and channel."""

    inputs = 21, 37

    def pass_a(self, c: Tensor) -> DeepPhaseParameters:  # type: ignore[override]  # the same to the coders
        """Parameters of phase (1, 1) given C = phase (0, 0)."""
        u, base, g = deep_operations(c.device.type).inputs_a(c)
        features, y = self.a(u)
        return DeepPhaseParameters(y, 0, base, g, self.mixtures, features, self.corrections["11"])

    def pass_b(self, c: Tensor, d: Tensor) -> tuple[DeepPhaseParameters, DeepPhaseParameters]:  # type: ignore[override]
        """Parameters of phases (0, 1) and (1, 0) given C and D = phase (1, 1), missing pixels of D filled from C."""
        u, base01, base10, g = deep_operations(c.device.type).inputs_b(c, d)
        features, y = self.b(u)
        second = self.b.n_out // 2
        return (
            DeepPhaseParameters(y, 0, base01, g, self.mixtures, features, self.corrections["01"]),
            DeepPhaseParameters(y, second, base10, g, self.mixtures, features, self.corrections["10"]),
        )

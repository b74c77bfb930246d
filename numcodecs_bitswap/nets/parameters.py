"""What network outputs mean: parameters of pixels (FORMAT.md section 4.3) and of latents (section 6.1)."""

from dataclasses import dataclass

from torch import Tensor

MEAN_LIMIT, LATENT_MEAN_LIMIT, COEFFICIENT_LIMIT = 8160, 4096, 127
LATENT_CENTRE = 2048
SYMBOL = 32
"""Units of a mean per level."""


@dataclass(frozen=True)
class Mixture:
    """Parameters of logistic mixtures, int32 (N, h, w, K) each; logits None for one component."""

    logits: Tensor | None
    means: Tensor
    scales: Tensor


def phase_outputs(channels: int, mixtures: int) -> int:
    """Number of outputs that one phase takes."""
    return 3 * mixtures * channels + channels * (channels - 1) // 2


@dataclass(frozen=True)
class PhaseParameters:
    """Network outputs y (N, h, w, outputs) int32 and base (N, h, w, c) of one phase; its mixtures come channel by channel.

    A channel's means depend on the channels before it, so a decoder asks again after each.
    """

    y: Tensor
    base: Tensor
    mixtures: int

    def crop(self, height: int, width: int) -> "PhaseParameters":
        """Keep the cells whose pixel exists."""
        return PhaseParameters(self.y[:, :height, :width], self.base[:, :height, :width], self.mixtures)

    def channel(self, ch: int, pixels: Tensor) -> Mixture:
        """The mixture of channel `ch`, given pixels (N, h, w, c) that are known in the channels before `ch`."""
        k, c = self.mixtures, self.base.shape[-1]
        logits, offsets, scales = self.y[..., 3 * k * ch : 3 * k * (ch + 1)].split(k, dim=-1)
        means = self.base[..., ch].int()
        for earlier in range(ch):
            coefficient = self.y[..., 3 * k * c + ch * (ch - 1) // 2 + earlier].clamp(-COEFFICIENT_LIMIT, COEFFICIENT_LIMIT)
            residual = SYMBOL * pixels[..., earlier].int() - self.base[..., earlier]
            means = means + (coefficient * residual >> 6)
        return Mixture(
            logits.clamp(-127, 127),
            offsets.clamp(-MEAN_LIMIT, MEAN_LIMIT).add_(means.unsqueeze(-1)),
            scales.clamp(0, 127),
        )


def latent_mixture(y: Tensor) -> Mixture:
    """Latent parameters of y (N, h, w, 2 Z): one component, on a last axis of length one: (N, h, w, Z, 1)."""
    means, scales = y.unsqueeze(-1).chunk(2, dim=-2)
    return Mixture(None, means.clamp(-LATENT_MEAN_LIMIT, LATENT_MEAN_LIMIT).add_(LATENT_CENTRE), scales.clamp(0, 127))

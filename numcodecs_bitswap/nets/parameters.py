"""What network outputs mean: parameters of pixels (FORMAT.md sections 4.3, 4.4) and of latents (section 6.1)."""

from dataclasses import dataclass, replace
from typing import Protocol

import torch
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


class Correction(Protocol):
    """A channel network: (features, deviations of the channels before) -> what is added to the channel's outputs."""

    def __call__(self, features: Tensor, deviations: Tensor, /) -> Tensor: ...


@dataclass(frozen=True)
class PhaseParameters:
    """Network outputs y (N, h, w, outputs) int32 and base (N, h, w, c) of one phase; its mixtures come channel by
    channel.

    A channel's parameters depend on the channels before it, so a decoder asks again after each. `corrections` are the
    channel networks of channels 1 .. c-1, on `features` (N, h, w, width); the core has none.
    """

    y: Tensor
    base: Tensor
    mixtures: int
    features: Tensor | None = None
    corrections: tuple[Correction, ...] = ()

    def crop(self, height: int, width: int) -> "PhaseParameters":
        """Keep the cells whose pixel exists."""
        features = None if self.features is None else self.features[:, :height, :width]
        return replace(self, y=self.y[:, :height, :width], base=self.base[:, :height, :width], features=features)

    def channel(self, ch: int, pixels: Tensor) -> Mixture:
        """The mixture of channel `ch`, given pixels (N, h, w, c) that are known in the channels before `ch`."""
        k, c = self.mixtures, self.base.shape[-1]
        y = self.y[..., 3 * k * ch : 3 * k * (ch + 1)]
        if ch and self.corrections and self.features is not None:
            level = (self.base[..., :ch] + SYMBOL // 2) >> 5
            y = y + self.corrections[ch - 1](self.features, (pixels[..., :ch] - level).clamp_(-127, 127))
        logits, offsets, scales = torch.split(y, k, dim=-1)
        means = self.base[..., ch].int()
        for earlier in range(ch):
            coefficient = self.y[..., 3 * k * c + ch * (ch - 1) // 2 + earlier].clamp(
                -COEFFICIENT_LIMIT, COEFFICIENT_LIMIT
            )
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

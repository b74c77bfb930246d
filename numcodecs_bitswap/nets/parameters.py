"""What network outputs mean: parameters of pixels (FORMAT.md sections 4.3, 4.4) and of latents (section 6.1)."""

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

MEAN_LIMIT, LATENT_MEAN_LIMIT, COEFFICIENT_LIMIT = 8160, 4096, 127
LATENT_CENTRE = 2048
DATA_LEVELS, LATENT_LEVELS = 256, 128
SYMBOL = 32
"""Units of a mean per level."""


@dataclass(frozen=True)
class Parameters:
    """Parameters of distributions, one for each symbol of a grid.

    Attributes
    ----------
    family : str
        "mixture" (logits, means, scales), "logistic" (means, scales), "buckets" (means, scales), "uniform" (any
        tensor), "bernoulli" (logits), "beta_binomial" (alpha, beta) or "categorical" (logits): FORMAT.md section 3.
    alphabet : int
    tensors : tuple of int32 tensors, shape (N, h, w, K) or, of latents, (N, h, w, Z, K)
    """

    family: str
    alphabet: int
    tensors: tuple[Tensor, ...]


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

    def channel(self, ch: int, pixels: Tensor) -> Parameters:
        """The mixtures of channel `ch`, given pixels (N, h, w, c) that are known in the channels before `ch`."""
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
        return mixture(logits, offsets, scales, means.unsqueeze(-1))


def mixture(logits: Tensor, offsets: Tensor, scales: Tensor, base: Tensor | int) -> Parameters:
    """Mixtures of pixels; means are `base` plus the offsets."""
    means = offsets.clamp(-MEAN_LIMIT, MEAN_LIMIT).add_(base)
    return Parameters("mixture", DATA_LEVELS, (logits.clamp(-127, 127), means, scales.clamp(0, 127)))


def latent_logistic(y: Tensor) -> Parameters:
    """Latent parameters of y (N, h, w, 2 Z), on a last axis of length one."""
    means, scales = y.unsqueeze(-1).chunk(2, dim=-2)
    means = means.clamp(-LATENT_MEAN_LIMIT, LATENT_MEAN_LIMIT).add_(LATENT_CENTRE)
    return Parameters("logistic", LATENT_LEVELS, (means, scales.clamp(0, 127)))

"""Network outputs -> parameters of pixels (FORMAT.md sections 4.3, 4.4) and of latents (sections 6.1, 6.3)."""

from dataclasses import dataclass
from typing import Protocol

from .. import arrays
from ..arrays import Array
from .backend import Backend
from .units import MEAN_LIMIT

LATENT_MEAN_LIMIT = 4096
LATENT_CENTRE = 2048
BUCKET_MEAN_LIMIT = 256
DATA_LEVELS, LATENT_LEVELS = 256, 128
DATA_BASE = 4096
"""Base of the means of pixels without known neighbours: level 128."""


@dataclass(frozen=True)
class Parameters:
    """Parameters of distributions, one for each symbol of a grid.

    Attributes
    ----------
    family : str
        "mixture" (logits, means, scales), "logistic" (means, scales), "buckets" (means, scales), "uniform" (any
        array), "bernoulli" (logits), "beta_binomial" (alpha, beta) or "categorical" (logits): FORMAT.md section 3.
    alphabet : int
    tensors : tuple of int32 arrays, shape (N, h, w, K) or, of latents, (N, h, w, Z, K)
    """

    family: str
    alphabet: int
    tensors: tuple[Array, ...]


def phase_outputs(channels: int, mixtures: int) -> int:
    """Number of network outputs of one phase."""
    return 3 * mixtures * channels + channels * (channels - 1) // 2


class Correction(Protocol):
    """A channel network: (features, pixels, base) -> corrections of a channel's outputs."""

    def __call__(self, features: Array, pixels: Array, base: Array, /) -> Array: ...


@dataclass(frozen=True)
class PhaseParameters:
    """Outputs of a network for one phase, from which the mixtures of its channels are computed one by one.

    A channel's parameters depend on the channels before it, so a decoder decodes these first.

    Attributes
    ----------
    y : int32 array, shape (N, h, w, outputs)
        Those of the phase begin at `first`.
    base : int16 array, shape (N, h, w, c)
    corrections : tuple of Correction
        The channel networks of channels 1 .. c-1, on `features` int8 (N, h, w, width); the core has none.
    """

    backend: Backend
    y: Array
    first: int
    base: Array
    mixtures: int
    features: Array | None = None
    corrections: tuple[Correction, ...] = ()

    def channel(self, ch: int, pixels: Array) -> Parameters:
        """The mixtures of channel `ch` of the pixels that exist (N, h', w', c), known in the channels before `ch`."""
        added = None
        if ch and self.corrections and self.features is not None:
            added = self.corrections[ch - 1](self.features, pixels, self.base)
        tensors = self.backend.mixtures(self.y, self.first, added, self.base, pixels, ch, self.mixtures)
        return Parameters("mixture", DATA_LEVELS, tensors)


def mixture(logits: Array, offsets: Array, scales: Array, base: Array | int) -> Parameters:
    """Mixtures of pixels; means are `base` plus the offsets."""
    clip = arrays.of(offsets).clip
    means = clip(offsets, -MEAN_LIMIT, MEAN_LIMIT) + base
    return Parameters("mixture", DATA_LEVELS, (clip(logits, -127, 127), means, clip(scales, 0, 127)))


def latent_logistic(y: Array) -> Parameters:
    """Latent parameters of y (N, h, w, 2 Z), on a last axis of length one."""
    clip, z = arrays.of(y).clip, y.shape[-1] // 2
    means, scales = y[..., :z, None], y[..., z:, None]
    means = clip(means, -LATENT_MEAN_LIMIT, LATENT_MEAN_LIMIT) + LATENT_CENTRE
    return Parameters("logistic", LATENT_LEVELS, (means, clip(scales, 0, 127)))


def latent_buckets(y: Array, buckets: int) -> Parameters:
    """Parameters in buckets of equal prior mass, of y (N, h, w, 2 Z)."""
    clip, z = arrays.of(y).clip, y.shape[-1] // 2
    means, scales = y[..., :z, None], y[..., z:, None]
    means = clip(means, -BUCKET_MEAN_LIMIT, BUCKET_MEAN_LIMIT) * 64
    return Parameters("buckets", buckets, (means, clip(scales, 0, 127)))

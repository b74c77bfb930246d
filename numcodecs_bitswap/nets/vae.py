"""A fully connected variational autoencoder of whole patches (FORMAT.md section 6.3), as of Townsend et al. 2019: one
vector of latents for each patch.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import arrays
from ..arrays import Array
from ..distributions.tables import vae_tables
from ..errors import ModelError
from .arch import check_integers, check_kind
from .backend import Backend
from .layers import Tensors
from .parameters import DATA_BASE, DATA_LEVELS, Parameters, latent_buckets, mixture
from .stage import Stage
from .trunk import Trunk, pad_channels

LIMITS = {
    "channels": (1, 3),
    "height": (1, 4096),
    "width": (1, 4096),
    "latent_channels": (1, 256),
    "latent_bits": (1, 9),
    "mixtures": (1, 16),
    "levels": (2, DATA_LEVELS),
}
LOGIT_LIMIT, INDEX_LIMIT = 341, 95


@dataclass(frozen=True)
class ElementParameters:
    """Network outputs y (N, h, w, c, K) of a likelihood; channels are independent of each other."""

    y: Array
    likelihood: str

    def channel(self, ch: int, pixels: Array) -> Parameters:
        """The distributions of channel `ch`."""
        y = self.y[..., ch, :]
        clip = arrays.of(y).clip
        if self.likelihood == "logistic":
            k = y.shape[-1] // 3
            return mixture(y[..., :k], y[..., k : 2 * k], y[..., 2 * k :], DATA_BASE)
        if self.likelihood == "bernoulli":
            return Parameters("bernoulli", 2, (clip(y, -LOGIT_LIMIT, LOGIT_LIMIT),))
        if self.likelihood == "beta_binomial":
            y = clip(y, 0, INDEX_LIMIT)
            return Parameters("beta_binomial", DATA_LEVELS, (y[..., :1], y[..., 1:]))
        return Parameters("categorical", y.shape[-1], (clip(y, -127, 127),))


class VaeModel:
    """The networks of one model file of kind `vae` on one device; attributes and methods as of `BitSwapModel`.

    Raises
    ------
    ModelError
        `arch` or a tensor breaks a rule of FORMAT.md section 7.
    """

    cores = ("bit_swap", "bb_ans")
    cell, latent_layers = 1, 1

    def __init__(self, arch: dict[str, Any], tensors: Tensors, backend: Backend):
        self.arch, self.backend = arch, backend
        check_kind(arch, "vae", (2,))
        check_integers(arch, LIMITS, ("direct",))
        c, k, z, levels = arch["channels"], arch["mixtures"], arch["latent_channels"], arch["levels"]
        kinds = {
            "bernoulli": (1, levels == 2),
            "beta_binomial": (2, levels == DATA_LEVELS),
            "logistic": (3 * k, levels == DATA_LEVELS),
            "categorical": (levels, levels <= 128),
        }
        outputs, possible = kinds.get(arch.get("likelihood", ""), (0, False))
        if not possible:
            raise ModelError(f"the model's arch has likelihood {arch.get('likelihood')!r} with {levels} levels")
        self.channels: int = c
        self.levels: int = levels
        self.shape = (arch["height"], arch["width"], c)
        self.patch_log2 = max(3, (max(self.shape[:2]) - 1).bit_length())
        n = math.prod(self.shape)
        self.stages: list[Stage] = []
        self.direct = Stage(tensors, "stage1", c, k, arch["blocks"]["direct"], backend)
        self._q = Trunk(tensors, "q", n, 2 * z, 0, backend)
        self._p = Trunk(tensors, "p", z, n * outputs, 0, backend)
        bits = arch["latent_bits"]
        centres = vae_tables().edge[(2 * np.arange(1 << bits) + 1) << (9 - bits)]
        self._values = backend.arrays.put((centres + 64 >> 7).astype(np.int8))

    def fits(self, height: int, width: int) -> bool:
        """Whether the core can code patches of this size: only one size."""
        return (height, width) == self.shape[:2]

    def posterior(self, layer: int, below: Array) -> Parameters:
        """q(z | x), of the data's network input."""
        return latent_buckets(self._q.outputs(below), len(self._values))

    def likelihood(self, z: Array) -> list[ElementParameters]:
        """p(x | z), z as a network input."""
        y = self._p.outputs(z).reshape(len(z), -1, *self.shape)
        y = arrays.of(y).permute(y, (0, 2, 3, 4, 1))
        return [ElementParameters(y, self.arch["likelihood"])]

    def conditional(self, layer: int, z: Array) -> Parameters:
        """Raises IndexError: there is one layer."""
        raise IndexError(layer)

    def prior(self, n: int, height: int, width: int) -> Parameters:
        """p(z) for n patches: every bucket has the same mass."""
        like = self.backend.arrays.zeros((n, 1, 1, self.arch["latent_channels"], 1), "int32")
        return Parameters("uniform", len(self._values), (like,))

    def data_input(self, phases: list[Array]) -> Array:
        """Network input of patches (N, h, w, c), the one phase."""
        x = phases[0].reshape(len(phases[0]), 1, 1, -1)
        if self.levels == DATA_LEVELS:
            return pad_channels(arrays.of(x).clip(x - 128, -127, 127))
        return pad_channels(x * (127 // (self.levels - 1)))

    def latent_input(self, z: Array) -> Array:
        """Network input of latents z (N, 1, 1, Z), bucket numbers."""
        return pad_channels(arrays.of(z).take(self._values, z))

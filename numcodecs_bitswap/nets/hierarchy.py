"""A Bit-Swap model (FORMAT.md sections 6 and 7): checked tensors -> stages, direct stage, posterior and generative
networks.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ModelError
from .exact import Tensors
from .parameters import Mixture, PhaseParameters, latent_mixture, phase_outputs
from .stage import Stage
from .trunk import Trunk, pad_channels

LIMITS = {
    "channels": (1, 3),
    "stages": (0, 8),
    "mixtures": (1, 16),
    "latent_layers": (1, 16),
    "latent_channels": (1, 256),
}
LATENT_ZERO = 64
DATA_BASE = 4096


class BitSwapModel:
    """The networks of one model file on one device.

    Parameters
    ----------
    arch : dict
        `arch` of FORMAT.md section 7.
    tensors : dict of str to ndarray
    device : str

    Attributes
    ----------
    stages : list of Stage
        Stages 1 .. S.
    direct : Stage
        Stage S + 1, for the direct core mode.

    Raises
    ------
    ModelError
        `arch` or a tensor breaks the format's rules.
    """

    def __init__(self, arch: dict[str, Any], tensors: Tensors, device: str):
        self.arch, self.device = arch, device
        if arch.get("format") not in (1, 2) or arch.get("kind") != "bit_swap":
            raise ModelError(
                f"a model of format {arch.get('format')}, kind {arch.get('kind')!r}; "
                "this version reads formats 1 and 2, kind 'bit_swap'"
            )
        for key, (low, high) in LIMITS.items():
            if type(arch.get(key)) is not int or not low <= arch[key] <= high:
                raise ModelError(f"the model's arch has {key} = {arch.get(key)!r}, not an integer from {low} to {high}")
        blocks = arch.get("blocks")
        if not isinstance(blocks, dict) or any(
            type(blocks.get(k)) is not int or not 0 <= blocks[k] <= 64 for k in ("stage", "core", "direct")
        ):
            raise ModelError("the model's arch needs blocks = {stage, core, direct}, integers from 0 to 64")
        self.channels: int = arch["channels"]
        if self.channels == 2:
            raise ModelError("a model has 1 or 3 channels")
        c, k, z, layers = self.channels, arch["mixtures"], arch["latent_channels"], arch["latent_layers"]
        depth = [blocks["stage"]] * arch["stages"] + [blocks["direct"]]
        stages = [Stage(tensors, f"stage{t}", c, k, n, device) for t, n in enumerate(depth, 1)]
        self.stages, self.direct = stages[:-1], stages[-1]
        below, core = [4 * c] + [z] * (layers - 1), blocks["core"]
        self._q = [Trunk(tensors, f"q{layer}", n, 2 * z, core, device) for layer, n in enumerate(below, 1)]
        outputs = [4 * phase_outputs(c, k)] + [2 * z] * (layers - 1)
        self._p = [Trunk(tensors, f"p{layer}", z, n, core, device) for layer, n in enumerate(outputs)]
        prior = tensors.get("prior", np.empty(0))
        if prior.shape != (2, z) or prior.dtype != np.int32:
            raise ModelError(f"the model needs an int32 tensor prior of shape (2, {z})")
        self._prior = torch.from_numpy(np.array(prior)).to(device)
        self.latent_layers, self.latent_channels = layers, z

    def posterior(self, layer: int, below: Tensor) -> Mixture:
        """q(z_layer | below), layer from 1; below is x's network input for layer 1 (`data_input`), else that of
        z_(layer-1).
        """
        return latent_mixture(self._q[layer - 1](below)[1])

    def likelihood(self, z: Tensor) -> list[PhaseParameters]:
        """p(x | z_1): the four phases of the cells. z as a network input."""
        _, y = self._p[0](z)
        base = torch.full((*y.shape[:3], self.channels), DATA_BASE, dtype=torch.int16, device=y.device)
        return [PhaseParameters(part, base, self.arch["mixtures"]) for part in y.chunk(4, dim=-1)]

    def conditional(self, layer: int, z: Tensor) -> Mixture:
        """p(z_layer | z_(layer+1)), layer from 1; z as a network input."""
        return latent_mixture(self._p[layer](z)[1])

    def prior(self, n: int, height: int, width: int) -> Mixture:
        """p(z_L) for n grids of cells."""
        return latent_mixture(self._prior.flatten().expand(n, height, width, 2 * self.latent_channels))

    @staticmethod
    def data_input(phases: list[Tensor]) -> Tensor:
        """Network input of cells whose four filled phases are (N, h, w, c) each."""
        return pad_channels((torch.cat(phases, dim=-1) - 128).clamp(-127, 127))

    @staticmethod
    def latent_input(z: Tensor) -> Tensor:
        """Network input of latents z (N, h, w, Z), values 0 .. 127."""
        return pad_channels(z - LATENT_ZERO)

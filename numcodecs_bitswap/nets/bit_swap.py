"""A Bit-Swap model (FORMAT.md sections 6 and 7): checked tensors -> stages, direct stage, posterior and generative
networks.
"""

from typing import Any

import numpy as np

from .. import arrays
from ..arrays import Array
from ..errors import ModelError
from .arch import check_integers, check_kind
from .backend import Backend
from .layers import Tensors
from .parameters import DATA_BASE, DATA_LEVELS, Parameters, PhaseParameters, latent_logistic, phase_outputs
from .stage import Stage
from .trunk import Trunk, pad_channels

LIMITS = {
    "channels": (1, 3),
    "stages": (0, 8),
    "mixtures": (1, 16),
    "latent_layers": (1, 16),
    "latent_channels": (1, 256),
    "patch_log2": (3, 12),
}
LATENT_ZERO = 64


class BitSwapModel:
    """The networks of one model file of kind `bit_swap` on one device.

    Parameters
    ----------
    arch : dict
        `arch` of FORMAT.md section 7.
    tensors : dict of str to ndarray
    backend : Backend
        Runs the networks.

    Attributes
    ----------
    stages : list of Stage
        Stages 1 .. S.
    direct : Stage
        Stage S + 1, for the direct core mode.
    cores : tuple of str
        The codecs, by their names in frame.CODECS, that can use the model.
    cell : int
        Side of the cells of the core's grid: its data are their cell^2 phases.
    levels : int
        Values of pixels are 0 .. levels - 1.
    patch_log2 : int
        Chunks are cut into patches of at most 2^patch_log2 pixels a side.

    Raises
    ------
    ModelError
        `arch` or a tensor breaks a rule of FORMAT.md section 7.
    """

    cores = ("bit_swap", "bb_ans")
    cell, levels = 2, DATA_LEVELS

    def __init__(self, arch: dict[str, Any], tensors: Tensors, backend: Backend):
        self.arch, self.backend = arch, backend
        check_kind(arch, "bit_swap", (1, 2))
        check_integers(arch | {"patch_log2": arch.get("patch_log2", 8)}, LIMITS, ("stage", "core", "direct"))
        self.channels: int = arch["channels"]
        self.patch_log2: int = arch.get("patch_log2", 8)
        blocks = arch["blocks"]
        c, k, z, layers = self.channels, arch["mixtures"], arch["latent_channels"], arch["latent_layers"]
        depth = [blocks["stage"]] * arch["stages"] + [blocks["direct"]]
        stages = [Stage(tensors, f"stage{t}", c, k, n, backend) for t, n in enumerate(depth, 1)]
        self.stages, self.direct = stages[:-1], stages[-1]
        below, core = [4 * c] + [z] * (layers - 1), blocks["core"]
        self._q = [Trunk(tensors, f"q{layer}", n, 2 * z, core, backend) for layer, n in enumerate(below, 1)]
        outputs = [4 * phase_outputs(c, k)] + [2 * z] * (layers - 1)
        self._p = [Trunk(tensors, f"p{layer}", z, n, core, backend) for layer, n in enumerate(outputs)]
        prior = tensors.get("prior", np.empty(0))
        if prior.shape != (2, z) or prior.dtype != np.int32:
            raise ModelError(f"the model needs an int32 tensor prior of shape (2, {z})")
        self._prior = backend.arrays.put(np.array(prior).reshape(-1))
        self.latent_layers, self.latent_channels = layers, z

    def fits(self, height: int, width: int) -> bool:
        """Whether the core can code patches of this size: any."""
        return True

    def posterior(self, layer: int, below: Array) -> Parameters:
        """q(z_layer | below), layer from 1. `below` is a network input: of x (`data_input`) for layer 1, else of
        z_(layer-1).
        """
        return latent_logistic(self._q[layer - 1].outputs(below))

    def likelihood(self, z: Array) -> list[PhaseParameters]:
        """p(x | z_1): the four phases of the cells. z as a network input."""
        _, y = self._p[0](z)
        base = self.backend.arrays.full((*y.shape[:3], self.channels), DATA_BASE, "int16")
        phases = range(0, self._p[0].n_out, self._p[0].n_out // 4)
        return [PhaseParameters(self.backend, y, first, base, self.arch["mixtures"]) for first in phases]

    def conditional(self, layer: int, z: Array) -> Parameters:
        """p(z_layer | z_(layer+1)), layer from 1; z as a network input."""
        return latent_logistic(self._p[layer].outputs(z))

    def prior(self, n: int, height: int, width: int) -> Parameters:
        """p(z_L) for n grids of cells."""
        return latent_logistic(arrays.of(self._prior).broadcast(self._prior, (n, height, width, len(self._prior))))

    @staticmethod
    def data_input(phases: list[Array]) -> Array:
        """Network input of cells whose four filled phases are (N, h, w, c) each."""
        of = arrays.of(phases[0])
        return pad_channels(of.clip(of.concatenate(phases, -1) - 128, -127, 127))

    @staticmethod
    def latent_input(z: Array) -> Array:
        """Network input of latents z (N, h, w, Z), values 0 .. 127."""
        return pad_channels(z - LATENT_ZERO)

"""A Bit-Swap model of 16-bit samples (FORMAT.md sections 6.6 and 7)."""

from typing import Any

import torch
from torch import Tensor

from .deep import DEEP_LEVELS, DeepPhaseParameters, DeepStage
from .deep_torch import LEAST_STEP, mean_level, step
from .hierarchy import BitSwapModel
from .torch_ops import SYMBOL
from .trunk import pad_channels


class DeepModel(BitSwapModel):
    """The networks of one model file of kind `bit_swap` with 65536 levels on one device; see `BitSwapModel`."""

    levels, stage = DEEP_LEVELS, DeepStage
    formats = (3,)
    dtype = torch.int32

    @staticmethod
    def origin(grid: Tensor) -> Tensor:
        """Level and exponent of the step of each patch and channel (FORMAT.md section 8).

        Parameters
        ----------
        grid : int32 tensor, shape (N, h, w, c)

        Returns
        -------
        int32 tensor, shape (N, 2, c)
            Levels 0 .. 65535; exponents less LEAST_STEP, 0 .. 15.
        """
        level = mean_level(grid)
        total = (SYMBOL * (grid - level)).abs().sum((1, 2))
        g = step(total // (grid.shape[1] * grid.shape[2]), 4)
        return torch.stack([level[:, 0, 0], g - LEAST_STEP], 1).int()

    def at(self, origin: Tensor) -> "DeepCore":
        """The networks of the core for patches of these origins."""
        return DeepCore(self, origin)


class DeepCore:
    """The networks of a core whose data are differences to a level, in units of a step: all others are the model's."""

    def __init__(self, model: DeepModel, origin: Tensor):
        self._model = model
        self._base = SYMBOL * origin[:, None, None, 0]
        self._g = origin[:, None, None, 1] + LEAST_STEP

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def likelihood(self, z: Tensor) -> list[DeepPhaseParameters]:
        """p(x | z_1): the four phases of the cells. z as a network input."""
        trunk, k = self._model.decoder, self._model.arch["mixtures"]
        _, y = trunk(z)
        base, g = (each.expand(*y.shape[:3], -1).contiguous() for each in (self._base, self._g))
        return [DeepPhaseParameters(y, first, base, g, k) for first in range(0, trunk.n_out, trunk.n_out // 4)]

    def data_input(self, phases: list[Tensor]) -> Tensor:
        """Network input of cells whose four filled phases are (N, h, w, c) each."""
        differences = [(SYMBOL * x - self._base >> self._g).clamp_(-127, 127) for x in phases]
        return pad_channels(torch.cat(differences, dim=-1))

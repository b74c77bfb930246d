"""What the bits-back cores have in common: the networks they ask, and the posterior of the data's own layer."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from .coder import Parameters, PhaseParameters, Size, filled


class Networks(Protocol):
    """Networks of a core: x, z_1, ..., z_L is a Markov chain both ways; layers count from 1. See nets.hierarchy."""

    channels: int
    cell: int
    latent_layers: int
    device: str

    def fits(self, height: int, width: int, /) -> bool: ...
    def posterior(self, layer: int, below: Tensor, /) -> Parameters: ...
    def likelihood(self, z: Tensor, /) -> Sequence[PhaseParameters]: ...
    def conditional(self, layer: int, z: Tensor, /) -> Parameters: ...
    def prior(self, n: int, height: int, width: int, /) -> Parameters: ...
    def data_input(self, phases: list[Tensor], /) -> Tensor: ...
    def latent_input(self, z: Tensor, /) -> Tensor: ...


def data_posterior(model: Networks, x: list[Tensor]) -> Parameters:
    """q(z_1 | x) of the phases x of a grid."""
    return model.posterior(1, model.data_input([filled(phase, x[0]) for phase in x]))


def unknown(model: Networks, n: int, size: Size) -> Tensor:
    """A grid (n, *size, c) to pop pixels into."""
    return torch.zeros(n, *size, model.channels, dtype=torch.int16, device=model.device)

"""Common to the bits-back cores: the interface of their networks, and the posterior of the first latent layer."""

from collections.abc import Sequence
from typing import Protocol

from ..arrays import Array, Arrays
from .coder import Parameters, PhaseParameters, Size, filled


class Backend(Protocol):
    """Where networks run. See backends.base."""

    @property
    def arrays(self) -> Arrays: ...


class Networks(Protocol):
    """Networks of a core: x, z_1, ..., z_L is a Markov chain both ways; layers count from 1. See nets.bit_swap."""

    channels: int
    cell: int
    latent_layers: int

    @property
    def backend(self) -> Backend: ...
    def fits(self, height: int, width: int, /) -> bool: ...
    def posterior(self, layer: int, below: Array, /) -> Parameters: ...
    def likelihood(self, z: Array, /) -> Sequence[PhaseParameters]: ...
    def conditional(self, layer: int, z: Array, /) -> Parameters: ...
    def prior(self, n: int, height: int, width: int, /) -> Parameters: ...
    def data_input(self, phases: list[Array], /) -> Array: ...
    def latent_input(self, z: Array, /) -> Array: ...


def data_posterior(model: Networks, x: list[Array]) -> Parameters:
    """q(z_1 | x) of the phases x of a grid."""
    return model.posterior(1, model.data_input([filled(phase, x[0]) for phase in x]))


def unknown(model: Networks, n: int, size: Size) -> Array:
    """A grid (n, *size, c) to pop pixels into."""
    return model.backend.arrays.zeros((n, *size, model.channels), "int16")

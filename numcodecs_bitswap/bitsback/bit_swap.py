"""Bit-Swap: recursive bits-back coding with L Markov layers of latents (Kingma, Abbeel, Ho 2019, arXiv:1905.06845;
FORMAT.md section 6.1).

A latent is popped from the message with its posterior, as if the bits there had been made for it; those bits come back
when the decoder pushes it. Doing so layer by layer, pushing each layer before the next is popped, needs the bits of one
layer only.
"""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from ..rans.message import Message
from .coder import (
    Mixture,
    PhaseParameters,
    Size,
    filled,
    join_phases,
    phase_sizes,
    pop_latents,
    pop_phases,
    push_latents,
    push_phases,
    split_phases,
)


class Hierarchy(Protocol):
    """Networks of the core; layers count from 1. See nets.hierarchy."""

    channels: int
    latent_layers: int
    device: str

    def posterior(self, layer: int, below: Tensor, /) -> Mixture: ...
    def likelihood(self, z: Tensor, /) -> Sequence[PhaseParameters]: ...
    def conditional(self, layer: int, z: Tensor, /) -> Mixture: ...
    def prior(self, n: int, height: int, width: int, /) -> Mixture: ...
    def data_input(self, phases: list[Tensor], /) -> Tensor: ...
    def latent_input(self, z: Tensor, /) -> Tensor: ...


def _data_input(model: Hierarchy, phases: list[Tensor]) -> Tensor:
    return model.data_input([filled(phase, phases[0]) for phase in phases])


def push(message: Message, model: Hierarchy, grid: Tensor) -> None:
    """Push a grid x (N, h, w, c): pop z_1, push x; pop z_2, push z_1; ...; push z_L.

    Raises
    ------
    MessageExhausted
        The message holds too few bits for a posterior; it is then spoilt (copy it before).
    """
    x = split_phases(grid)
    z = pop_latents(message, model.posterior(1, _data_input(model, x)))
    push_phases(message, model.likelihood(model.latent_input(z)), x)
    for layer in range(1, model.latent_layers):
        above = pop_latents(message, model.posterior(layer + 1, model.latent_input(z)))
        push_latents(message, model.conditional(layer, model.latent_input(above)), z)
        z = above
    push_latents(message, model.prior(*z.shape[:3]), z)


def pop(message: Message, model: Hierarchy, n: int, size: Size) -> Tensor:
    """Pop a grid (n, h, w, c) and give back the bits its latents were made of: pop z_L; ...; pop z_1, push z_2; pop x,
    push z_1.
    """
    sizes = phase_sizes(size)
    z = pop_latents(message, model.prior(n, *sizes[0]))
    for layer in reversed(range(1, model.latent_layers)):
        above, z = z, pop_latents(message, model.conditional(layer, model.latent_input(z)))
        push_latents(message, model.posterior(layer + 1, model.latent_input(z)), above)
    x = pop_phases(message, model.likelihood(model.latent_input(z)), sizes, n, model.channels, model.device)
    push_latents(message, model.posterior(1, _data_input(model, x)), z)
    return join_phases(x, size)

"""The coders everything is made of: phases of pixels, channel by channel, and layers of latents.

A coder is a pair of functions `push(message, ..., values)` and `pop(message, ...) -> values`, and pop undoes push: it
returns the values and leaves the message as it was. In rANS the reverse is true as well: push undoes pop on *any*
message, so a pop may draw values from bits that mean something else, and a later push gives those bits back. All of
bits-back rests on that.

Grids are int16 (N, h, w, c), N = B g: g patches for each of the B messages.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from ..rans.message import Message
from ..symbols.logistic_mixture import LogisticMixture

DATA_ALPHABET, LATENT_ALPHABET = 256, 128
Size = tuple[int, int]
"""Height and width of a grid."""


class Mixture(Protocol):
    """Parameters, int32 (N, ..., K); logits None for one component. See nets.parameters."""

    @property
    def logits(self) -> Tensor | None: ...
    @property
    def means(self) -> Tensor: ...
    @property
    def scales(self) -> Tensor: ...


class PhaseParameters(Protocol):
    """Parameters of one phase, asked for channel by channel. See nets.parameters."""

    def crop(self, height: int, width: int, /) -> "PhaseParameters": ...
    def channel(self, ch: int, pixels: Tensor, /) -> Mixture: ...


def block(message: Message, mixture: Mixture, alphabet: int) -> LogisticMixture:
    """The distribution of one block: grid positions in row-major order, split over the B messages."""
    shape = (message.batch, -1, mixture.means.shape[-1])
    logits = None if mixture.logits is None else mixture.logits.reshape(shape)
    return LogisticMixture(logits, mixture.means.reshape(shape), mixture.scales.reshape(shape), alphabet)


def push_phases(message: Message, parameters: Sequence[PhaseParameters], phases: Sequence[Tensor]) -> None:
    """Push the pixels (N, h, w, c) of each phase; pixels that do not exist are not in them (FORMAT.md section 5)."""
    cropped = [p.crop(x.shape[1], x.shape[2]) for p, x in zip(parameters, phases, strict=True)]
    for ch in reversed(range(phases[0].shape[-1])):
        for p, x in reversed(list(zip(cropped, phases, strict=True))):
            if x.numel():
                symbols = x[..., ch].int().reshape(message.batch, -1)
                message.push(block(message, p.channel(ch, x), DATA_ALPHABET), symbols)


def pop_phases(
    message: Message, parameters: Sequence[PhaseParameters], sizes: Sequence[Size], n: int, channels: int, device: str
) -> list[Tensor]:
    """Pop the pixels of each phase, given the phases' sizes."""
    cropped = [p.crop(*size) for p, size in zip(parameters, sizes, strict=True)]
    phases = [torch.zeros(n, *size, channels, dtype=torch.int16, device=device) for size in sizes]
    for ch in range(channels):
        for p, x in zip(cropped, phases, strict=True):
            if x.numel():
                x[..., ch] = message.pop(block(message, p.channel(ch, x), DATA_ALPHABET)).reshape(x.shape[:-1])
    return phases


def push_latents(message: Message, mixture: Mixture, z: Tensor) -> None:
    """Push a latent layer z (N, h, w, Z), one block."""
    message.push(block(message, mixture, LATENT_ALPHABET), z.int().reshape(message.batch, -1))


def pop_latents(message: Message, mixture: Mixture) -> Tensor:
    """Pop a latent layer (N, h, w, Z)."""
    return message.pop(block(message, mixture, LATENT_ALPHABET)).reshape(mixture.means.shape[:-1]).short()


def phase_sizes(size: Size) -> list[Size]:
    """Sizes of the phases (0,0), (0,1), (1,0), (1,1) of a grid: pixels of odd rows or columns may be missing."""
    h, w = size
    return [((h + 1 - a) // 2, (w + 1 - b) // 2) for a in (0, 1) for b in (0, 1)]


def split_phases(grid: Tensor) -> list[Tensor]:
    """The phases (0,0), (0,1), (1,0), (1,1) of a grid, each without the pixels that do not exist."""
    return [grid[:, a::2, b::2] for a in (0, 1) for b in (0, 1)]


def join_phases(phases: Sequence[Tensor], size: Size) -> Tensor:
    """The inverse of `split_phases`."""
    first = phases[0]
    grid = torch.empty(len(first), *size, first.shape[-1], dtype=first.dtype, device=first.device)
    for part, phase in zip(split_phases(grid), phases, strict=True):
        part.copy_(phase)
    return grid


def filled(phase: Tensor, c: Tensor) -> Tensor:
    """A phase on all cells: a missing pixel has the value of C, phase (0, 0), at its cell (FORMAT.md section 5)."""
    if phase.shape == c.shape:
        return phase
    full = c.clone()
    full[:, : phase.shape[1], : phase.shape[2]] = phase
    return full

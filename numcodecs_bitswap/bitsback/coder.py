"""The basic coders: phases of pixels, channel by channel, and layers of latents.

A coder is a pair of functions `push(message, ..., values)` and `pop(message, ...) -> values`. Pop is the inverse of
push: it returns the values and restores the message. In rANS the reverse holds as well: push is the inverse of pop, for
*any* message. So a pop may sample values from bits that code something else, and a later push restores those bits.
Bits-back coding relies on this.

Grids are int16, (N, h, w, c), N = B g: g patches for each of the B messages.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from .. import arrays
from ..arrays import Array
from ..distributions.bernoulli import Bernoulli
from ..distributions.beta_binomial import BetaBinomial
from ..distributions.categorical import Categorical
from ..distributions.gaussian_buckets import GaussianBuckets
from ..distributions.logistic_mixture import LogisticMixture
from ..distributions.uniform import Uniform
from ..rans.distribution import Distribution
from ..rans.message import Message

Size = tuple[int, int]
"""Height and width of a grid."""


class Parameters(Protocol):
    """Parameters of a family of distributions, int32 (N, ..., K) each. See nets.parameters."""

    @property
    def family(self) -> str: ...
    @property
    def alphabet(self) -> int: ...
    @property
    def tensors(self) -> tuple[Array, ...]: ...


class PhaseParameters(Protocol):
    """Parameters of one phase, channel by channel. See nets.parameters."""

    def channel(self, ch: int, pixels: Array, /) -> Parameters: ...


FAMILIES: dict[str, Callable[..., Distribution]] = {
    "mixture": lambda alphabet, _, logits, means, scales: LogisticMixture(logits, means, scales, alphabet),
    "logistic": lambda alphabet, floor, means, scales: LogisticMixture(None, means, scales, alphabet, floor),
    "uniform": lambda alphabet, _, like: Uniform(like.shape[0], like.shape[1], alphabet, arrays.of(like)),
    "buckets": lambda alphabet, floor, means, scales: GaussianBuckets(means, scales, alphabet.bit_length() - 1, floor),
    "bernoulli": lambda _, __, logits: Bernoulli(logits),
    "beta_binomial": lambda _, __, alpha, beta: BetaBinomial(alpha, beta),
    "categorical": lambda _, __, logits: Categorical(logits),
}

POSTERIOR_FLOOR = 0
"""Least frequency of a posterior's symbols. Only symbols that were popped are pushed with a posterior, so symbols may
have frequency 0. With a floor, improbable symbols would sometimes be popped, and fit the data badly.
"""


def block(message: Message, parameters: Parameters, floor: int = 1) -> Distribution:
    """The distributions of one block: grid positions in row-major order, split over the B messages."""
    each = [each.reshape(message.batch, -1, each.shape[-1]) for each in parameters.tensors]
    return FAMILIES[parameters.family](parameters.alphabet, floor, *each)


def push_block(message: Message, parameters: Parameters, symbols: Array) -> None:
    """Push a block, symbols (B, n), with the distributions of the parameters."""
    message.push(block(message, parameters), symbols)


def pop_block(message: Message, parameters: Parameters) -> Array:
    """Pop what `push_block` pushed."""
    return message.pop(block(message, parameters))


def push_phases(
    message: Message,
    parameters: Sequence[PhaseParameters],
    phases: Sequence[Array],
    push: Callable[[Message, Parameters, Array], None] = push_block,
) -> None:
    """Push the pixels (N, h, w, c) of each phase, without pixels that do not exist (FORMAT.md section 5)."""
    for ch in reversed(range(phases[0].shape[-1])):
        for p, x in reversed(list(zip(parameters, phases, strict=True))):
            if 0 not in x.shape:
                symbols = arrays.of(x).cast(x[..., ch], "int32").reshape(message.batch, -1)
                push(message, p.channel(ch, x), symbols)


def pop_phases(
    message: Message,
    parameters: Sequence[PhaseParameters],
    phases: Sequence[Array],
    pop: Callable[[Message, Parameters], Array] = pop_block,
) -> list[Array]:
    """Pop the pixels of each phase into grids (N, h, w, c) of their sizes, and return these."""
    for ch in range(phases[0].shape[-1]):
        for p, x in zip(parameters, phases, strict=True):
            if 0 not in x.shape:
                x[..., ch] = pop(message, p.channel(ch, x)).reshape(x.shape[:-1])
    return list(phases)


def push_latents(message: Message, parameters: Parameters, z: Array, floor: int = 1) -> None:
    """Push a latent layer z (N, h, w, Z), one block."""
    message.push(block(message, parameters, floor), arrays.of(z).cast(z, "int32").reshape(message.batch, -1))


def pop_latents(message: Message, parameters: Parameters, floor: int = 1) -> Array:
    """Pop a latent layer (N, h, w, Z)."""
    z = message.pop(block(message, parameters, floor)).reshape(parameters.tensors[0].shape[:-1])
    return arrays.of(z).cast(z, "int16")


def push_posterior(message: Message, posterior: Parameters, z: Array) -> None:
    """Push a latent layer with its posterior, which restores the bits that `pop_posterior` took."""
    push_latents(message, posterior, z, POSTERIOR_FLOOR)


def pop_posterior(message: Message, posterior: Parameters) -> Array:
    """Pop a latent layer (N, h, w, Z) with its posterior: a sample, drawn from the bits of the message."""
    return pop_latents(message, posterior, POSTERIOR_FLOOR)


def phase_sizes(size: Size, cell: int = 2) -> list[Size]:
    """Sizes of the phases (0,0), (0,1), (1,0), (1,1) of a grid: pixels of odd rows or columns may be missing.

    With cells of another side than 2 there are cell^2 phases.
    """
    h, w = size
    return [((h - a - 1) // cell + 1, (w - b - 1) // cell + 1) for a in range(cell) for b in range(cell)]


def split_phases(grid: Array, cell: int = 2) -> list[Array]:
    """The phases of a grid, in the order of `phase_sizes`, without pixels that do not exist."""
    return [grid[:, a::cell, b::cell] for a in range(cell) for b in range(cell)]


def join_phases(phases: Sequence[Array], size: Size, cell: int = 2) -> Array:
    """The inverse of `split_phases`."""
    first = phases[0]
    grid = arrays.of(first).empty((len(first), *size, first.shape[-1]), "int16")
    for part, phase in zip(split_phases(grid, cell), phases, strict=True):
        part[...] = phase
    return grid


def filled(phase: Array, c: Array) -> Array:
    """A phase on all cells: a missing pixel has the value of C, phase (0, 0), at its cell (FORMAT.md section 5)."""
    if phase.shape == c.shape:
        return phase
    full = arrays.of(c).copy(c)
    full[:, : phase.shape[1], : phase.shape[2]] = phase
    return full

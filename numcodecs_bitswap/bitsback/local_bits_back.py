"""Local bits-back coding with a flow, in integers (Ho, Lohn, Abbeel 2019, arXiv:1905.08500, section 3.4.3; FORMAT.md
section 6.5).

A flow f gives a density to real numbers. The encoder pops noise for the pixels, so that they are real numbers up to a
fine step, then moves them through the layers one by one. Most layers are exactly invertible on integers. Where one is
not, because it stretches, the value y' behind it is popped from a narrow Gaussian around f(x), and x is pushed with a
Gaussian around f^-1(y'): on balance that costs -log2 |f'| bits, which is what the density says. For f^-1 any function
will do that is close and that both sides compute alike.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from ..rans.message import Message
from ..symbols.bits import Bits
from ..symbols.checks import at_most, check_range
from ..symbols.gaussian import Gaussian
from ..symbols.gaussian_places import LARGEST, LAST_BITS
from .coder import Parameters, Size, pop_posterior, push_posterior


class Function(Protocol):
    """An elementwise function of values (M,). See nets.transforms."""

    def forward(self, x: Tensor, /) -> tuple[Tensor, Tensor]: ...
    def inverse(self, y: Tensor, near: Tensor | None = None, /) -> Tensor: ...


class Steps(Protocol):
    """Fineness of values. See nets.flow_layers."""

    @property
    def value_bits(self) -> int: ...
    @property
    def latent_bits(self) -> int: ...
    @property
    def noise_bits(self) -> int: ...


class Flow(Protocol):
    """A flow. See nets.flow."""

    channels: int
    device: str
    levels: int
    bucket_bits: int
    steps: Steps
    layers: Sequence[Any]

    def last_shape(self, n: int, height: int, width: int, /) -> tuple[int, int, int, int]: ...
    def noise_posterior(self, grid: Tensor, /) -> Parameters: ...
    def squeeze(self, grid: Tensor, /) -> Tensor: ...
    def unsqueeze(self, cells: Tensor, /) -> Tensor: ...


def push(message: Message, model: Flow, grid: Tensor, layers: "Coders | None" = None) -> None:
    """Push a grid x (N, h, w, c): pop its noise, then layer by layer, then push what remains. `layers` are LAYERS.

    Raises
    ------
    MessageExhausted
        The message holds too few bits to pop from; it is then spoilt (copy it before).
    """
    v = (grid.int() << model.steps.value_bits) + pop_noise(message, model, grid)
    for layer in model.layers:
        v = (layers or LAYERS)[layer.role].push(message, model, layer, v)
    push_prior(message, model, v)


def pop(message: Message, model: Flow, n: int, size: Size, layers: "Coders | None" = None) -> Tensor:
    """Pop a grid (n, h, w, c): the mirror image of `push`.

    Raises
    ------
    FormatError
        A value that is no pixel's.
    """
    v = pop_prior(message, model, model.last_shape(n, *size))
    for layer in reversed(model.layers):
        v = (layers or LAYERS)[layer.role].pop(message, model, layer, v)
    grid = v >> model.steps.value_bits
    least, most = grid.aminmax()
    wrong = (least < 0) | (most >= model.levels)
    message.refuse(wrong, "a value popped is no pixel's: the frame was altered or made with other weights")
    grid = grid.short()
    push_noise(message, model, grid, v & ((1 << model.steps.value_bits) - 1))
    return grid


def push_bijection(message: Message, model: Flow, layer: Any, v: Tensor) -> Tensor:
    """A layer that is exactly invertible on integers: nothing is coded."""
    after: Tensor = layer.forward(v)
    return after


def pop_bijection(message: Message, model: Flow, layer: Any, v: Tensor) -> Tensor:
    """The inverse of `push_bijection`."""
    before: Tensor = layer.inverse(v)
    return before


def push_split(message: Message, model: Flow, layer: Any, v: Tensor) -> Tensor:
    """Push the channels that are taken; returns those kept."""
    push_prior(message, model, channels_of(v, layer.taken))
    return channels_of(v, layer.kept)


def pop_split(message: Message, model: Flow, layer: Any, v: Tensor) -> Tensor:
    """Pop the channels that were taken; returns all."""
    taken = pop_prior(message, model, (*v.shape[:3], len(layer.taken)))
    joined: Tensor = layer.join(v, taken)
    return joined


def push_coupling(message: Message, model: Flow, layer: Any, v: Tensor) -> Tensor:
    """Pop y' ~ N(f(x), (sigma f')^2), push x ~ N(f^-1(y'), sigma^2) for the channels that a coupling changes."""
    function = layer.function(v)
    x = channels_of(v, layer.changed)
    y = pop_near(message, x.shape, *function.forward(x.flatten()))
    push_values(message, around(message, function.inverse(y.flatten(), x.flatten()), model), x)
    return with_channels(v, layer.changed, y)


def pop_coupling(message: Message, model: Flow, layer: Any, v: Tensor) -> Tensor:
    """Pop x ~ N(f^-1(y'), sigma^2), push y' ~ N(f(x), (sigma f')^2)."""
    function = layer.function(v)
    y = channels_of(v, layer.changed)
    x = pop_values(message, around(message, function.inverse(y.flatten()), model), y.shape)
    push_near(message, y, *function.forward(x.flatten()))
    return with_channels(v, layer.changed, x)


class LayerCoder(NamedTuple):
    """Push and pop of a kind of layer: (message, model, layer, values before it or behind) -> the others."""

    push: Callable[[Message, Flow, Any, Tensor], Tensor]
    pop: Callable[[Message, Flow, Any, Tensor], Tensor]


Coders = dict[str, LayerCoder]
LAYERS: Coders = {
    "bijection": LayerCoder(push_bijection, pop_bijection),
    "split": LayerCoder(push_split, pop_split),
    "coupling": LayerCoder(push_coupling, pop_coupling),
}
"""By the role of a layer."""


def push_prior(message: Message, model: Flow, z: Tensor) -> None:
    """Push latents (N, h, w, C) with the standard normal distribution."""
    push_values(message, _prior(message, z.numel(), model), z)


def pop_prior(message: Message, model: Flow, shape: Sequence[int]) -> Tensor:
    """Pop latents of a shape (N, h, w, C)."""
    return pop_values(message, _prior(message, math.prod(shape), model), shape)


def push_noise(message: Message, model: Flow, grid: Tensor, noise: Tensor) -> None:
    """Push the noise of pixels (N, h, w, c), integers below 2^value_bits, given the pixels: variational
    dequantisation, or uniform if the model has no network for it.
    """
    low = model.steps.value_bits - model.bucket_bits
    message.push(_bits(message, model, low, noise.numel()), (noise & ((1 << low) - 1)).reshape(message.batch, -1))
    if model.bucket_bits:
        push_posterior(message, model.noise_posterior(grid), model.squeeze(noise >> low))


def pop_noise(message: Message, model: Flow, grid: Tensor) -> Tensor:
    """Pop the noise of pixels (N, h, w, c)."""
    low = model.steps.value_bits - model.bucket_bits
    high = torch.zeros_like(grid, dtype=torch.int32)
    if model.bucket_bits:
        high = model.unsqueeze(pop_posterior(message, model.noise_posterior(grid)).int())
    return (high << low) + message.pop(_bits(message, model, low, grid.numel())).reshape(grid.shape)


def push_near(message: Message, values: Tensor, means: Tensor, deviations: Tensor) -> None:
    """Push values that were popped by `pop_near`; values far from the means cannot be pushed."""
    push_values(message, gaussians(message, means, deviations, False), values)


def pop_near(message: Message, shape: Sequence[int], means: Tensor, deviations: Tensor) -> Tensor:
    """Pop values of a shape, all within six standard deviations or so of their means."""
    return pop_values(message, gaussians(message, means, deviations, False), shape)


def push_values(message: Message, gaussian: Gaussian, values: Tensor) -> None:
    """Push values (N, ...), one Gaussian for each: places in symbols, then symbols."""
    values = values.reshape(message.batch, -1)
    if message.takes_loops and (loops := gaussian.loops()):
        check_range("values", values, -LARGEST, LARGEST)
        message.push_values(loops, values)
        return
    symbols, sizes, places = gaussian.split(values)
    if (most := at_most(sizes, LAST_BITS)) > 0:
        message.push(Bits(sizes.clamp(max=16).unsqueeze(-1)), places & 0xFFFF)
    if most > 16:
        message.push(Bits((sizes - 16).clamp(min=0).unsqueeze(-1)), places >> 16)
    message.push(gaussian, symbols)


def pop_values(message: Message, gaussian: Gaussian, shape: Sequence[int]) -> Tensor:
    """Pop values of a shape (N, ...), int32."""
    if message.takes_loops and (loops := gaussian.loops()):
        return message.pop_values(loops, gaussian.n).reshape(tuple(shape))
    symbols = message.pop(gaussian)
    sizes = gaussian.sizes(symbols)
    high: Tensor | int = 0
    if (most := at_most(sizes, LAST_BITS)) > 16:
        high = message.pop(Bits((sizes - 16).clamp(min=0).unsqueeze(-1))) << 16
        sizes = sizes.clamp(max=16)
    low = message.pop(Bits(sizes.unsqueeze(-1))) if most > 0 else torch.zeros_like(symbols)
    return gaussian.join(symbols, low + high).reshape(tuple(shape))


def gaussians(message: Message, means: Tensor, deviations: Tensor, floor: bool) -> Gaussian:
    """Gaussians for values (N, ...), split over the messages."""
    return Gaussian(means.reshape(message.batch, -1, 1), deviations.reshape(message.batch, -1, 1), floor)


def around(message: Message, means: Tensor, model: Flow) -> Gaussian:
    """The Gaussian that values are pushed with: of the noise's standard deviation, far values possible."""
    return gaussians(message, means, torch.full_like(means, 256 << model.steps.noise_bits), True)


def _prior(message: Message, values: int, model: Flow) -> Gaussian:
    zero = torch.zeros(values, dtype=torch.int32, device=model.device)
    return gaussians(message, zero, torch.full_like(zero, 256 << model.steps.latent_bits), True)


def _bits(message: Message, model: Flow, bits: int, values: int) -> Bits:
    return Bits(torch.full((message.batch, values // message.batch, 1), bits, dtype=torch.int32, device=model.device))


def channels_of(v: Tensor, channels: list[int]) -> Tensor:
    """Some channels of v (N, h, w, C), faster than by an index of several."""
    return torch.stack([v[..., k] for k in channels], dim=3)


def with_channels(v: Tensor, channels: list[int], values: Tensor) -> Tensor:
    """v (N, h, w, C) with other values in some channels."""
    after = v.clone()
    for k, channel in zip(channels, values.unbind(3), strict=True):
        after[..., k] = channel
    return after

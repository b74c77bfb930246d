"""Local bits-back coding with a flow, in integers (Ho, Lohn, Abbeel 2019, arXiv:1905.08500, section 3.4.3; FORMAT.md
section 6.5).

A flow f defines a density of real numbers. The encoder pops dequantisation noise for the pixels, which makes them real
numbers up to a fine step, then transforms them layer by layer. Most layers are exactly invertible on integers. A
coupling is not, because it stretches: its output y' is popped with a narrow Gaussian around f(x), and x is pushed with
a Gaussian around f^-1(y'). The net cost is -log2 |f'| bits, as the density requires. f^-1 may be any close
approximation that both sides compute alike.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from .. import arrays
from ..arrays import Array
from ..distributions.bits import Bits
from ..distributions.checks import check_range
from ..distributions.gaussian import Gaussian
from ..distributions.gaussian_places import LARGEST
from ..errors import FormatError
from ..rans.message import Message
from .coder import Parameters, Size, pop_posterior, push_posterior
from .core import Backend


class Function(Protocol):
    """An elementwise function of values (M,). See nets.transforms."""

    def forward(self, x: Array, /) -> tuple[Array, Array]: ...
    def inverse(self, y: Array, near: Array | None = None, /) -> Array: ...


class Steps(Protocol):
    """Step sizes of values. See nets.flow_layers."""

    @property
    def value_bits(self) -> int: ...
    @property
    def latent_bits(self) -> int: ...
    @property
    def noise_bits(self) -> int: ...


class Flow(Protocol):
    """A flow. See nets.flow."""

    channels: int
    levels: int
    bucket_bits: int
    steps: Steps
    layers: Sequence[Any]

    @property
    def backend(self) -> Backend: ...
    def last_shape(self, n: int, height: int, width: int, /) -> tuple[int, int, int, int]: ...
    def noise_posterior(self, grid: Array, /) -> Parameters: ...
    def squeeze(self, grid: Array, /) -> Array: ...
    def unsqueeze(self, cells: Array, /) -> Array: ...


def push(message: Message, model: Flow, grid: Array, layers: "Coders | None" = None) -> None:
    """Push a grid x (N, h, w, c): pop its noise, code layer by layer, then push the latents. `layers` are LAYERS.

    Raises
    ------
    MessageExhausted
        The message has too few bits to pop from; it is then in an undefined state (copy it before).
    """
    v = (arrays.of(grid).cast(grid, "int32") << model.steps.value_bits) + pop_noise(message, model, grid)
    for layer in model.layers:
        v = (layers or LAYERS)[layer.role].push(message, model, layer, v)
    push_prior(message, model, v)


def pop(message: Message, model: Flow, n: int, size: Size, layers: "Coders | None" = None) -> Array:
    """Pop a grid (n, h, w, c): the mirror image of `push`.

    Raises
    ------
    FormatError
        A decoded value is not in 0 .. 255.
    """
    v = pop_prior(message, model, model.last_shape(n, *size))
    for layer in reversed(model.layers):
        v = (layers or LAYERS)[layer.role].pop(message, model, layer, v)
    grid = v >> model.steps.value_bits
    message.refuse(
        (grid < 0) | (grid >= model.levels),
        "a decoded value is not a pixel's: the frame was altered or made with other weights",
    )
    grid = arrays.of(grid).cast(grid, "int16")
    push_noise(message, model, grid, v & ((1 << model.steps.value_bits) - 1))
    return grid


def push_bijection(message: Message, model: Flow, layer: Any, v: Array) -> Array:
    """A layer that is exactly invertible on integers: nothing is coded."""
    after: Array = layer.forward(v)
    return after


def pop_bijection(message: Message, model: Flow, layer: Any, v: Array) -> Array:
    """The inverse of `push_bijection`."""
    before: Array = layer.inverse(v)
    return before


def push_split(message: Message, model: Flow, layer: Any, v: Array) -> Array:
    """Push the channels that leave; returns those that stay."""
    push_prior(message, model, channels_of(v, layer.taken))
    return channels_of(v, layer.kept)


def pop_split(message: Message, model: Flow, layer: Any, v: Array) -> Array:
    """Pop the channels that left; returns all channels."""
    taken = pop_prior(message, model, (*v.shape[:3], len(layer.taken)))
    joined: Array = layer.join(v, taken)
    return joined


def push_coupling(message: Message, model: Flow, layer: Any, v: Array) -> Array:
    """Pop y' ~ N(f(x), (sigma f')^2), push x ~ N(f^-1(y'), sigma^2) for the channels that a coupling changes."""
    function = layer.function(v)
    x = channels_of(v, layer.changed)
    y = pop_near(message, x.shape, *function.forward(x.reshape(-1)))
    push_values(message, around(message, function.inverse(y.reshape(-1), x.reshape(-1)), model), x)
    return with_channels(v, layer.changed, y)


def pop_coupling(message: Message, model: Flow, layer: Any, v: Array) -> Array:
    """Pop x ~ N(f^-1(y'), sigma^2), push y' ~ N(f(x), (sigma f')^2)."""
    function = layer.function(v)
    y = channels_of(v, layer.changed)
    x = pop_values(message, around(message, function.inverse(y.reshape(-1)), model), y.shape)
    push_near(message, y, *function.forward(x.reshape(-1)))
    return with_channels(v, layer.changed, x)


class LayerCoder(NamedTuple):
    """Push and pop of a kind of layer: (message, model, layer, its inputs or outputs) -> the others."""

    push: Callable[[Message, Flow, Any, Array], Array]
    pop: Callable[[Message, Flow, Any, Array], Array]


Coders = dict[str, LayerCoder]
LAYERS: Coders = {
    "bijection": LayerCoder(push_bijection, pop_bijection),
    "split": LayerCoder(push_split, pop_split),
    "coupling": LayerCoder(push_coupling, pop_coupling),
}
"""By the role of a layer."""


def push_prior(message: Message, model: Flow, z: Array) -> None:
    """Push latents (N, h, w, C) with the standard normal distribution."""
    push_values(message, _prior(message, math.prod(z.shape), model), z)


def pop_prior(message: Message, model: Flow, shape: Sequence[int]) -> Array:
    """Pop latents of a shape (N, h, w, C)."""
    return pop_values(message, _prior(message, math.prod(shape), model), shape)


def push_noise(message: Message, model: Flow, grid: Array, noise: Array) -> None:
    """Push the noise of pixels (N, h, w, c), integers below 2^value_bits, given the pixels: variational
    dequantisation, or uniform if the model has no network for it.
    """
    low = model.steps.value_bits - model.bucket_bits
    message.push(
        _bits(message, model, low, math.prod(noise.shape)), (noise & ((1 << low) - 1)).reshape(message.batch, -1)
    )
    if model.bucket_bits:
        push_posterior(message, model.noise_posterior(grid), model.squeeze(noise >> low))


def pop_noise(message: Message, model: Flow, grid: Array) -> Array:
    """Pop the noise of pixels (N, h, w, c)."""
    low = model.steps.value_bits - model.bucket_bits
    high: Array | int = 0
    if model.bucket_bits:
        buckets = pop_posterior(message, model.noise_posterior(grid))
        high = model.unsqueeze(arrays.of(grid).cast(buckets, "int32"))
    return (high << low) + message.pop(_bits(message, model, low, math.prod(grid.shape))).reshape(grid.shape)


def push_near(message: Message, values: Array, means: Array, deviations: Array) -> None:
    """Push values that `pop_near` popped; values far from the means cannot be pushed."""
    push_values(message, gaussians(message, means, deviations, False), values)


def pop_near(message: Message, shape: Sequence[int], means: Array, deviations: Array) -> Array:
    """Pop values of a shape, all within six standard deviations or so of their means."""
    return pop_values(message, gaussians(message, means, deviations, False), shape)


def push_values(message: Message, gaussian: Gaussian, values: Array) -> None:
    """Push values (N, ...), one Gaussian for each."""
    try:
        check_range("values", values, -LARGEST, LARGEST)
    except ValueError as error:  # does not happen in an encoder
        raise FormatError(f"{error}: the frame was altered or made with other weights") from error
    message.push_values(gaussian, values.reshape(message.batch, -1))


def pop_values(message: Message, gaussian: Gaussian, shape: Sequence[int]) -> Array:
    """Pop values of a shape (N, ...), int32."""
    return message.pop_values(gaussian).reshape(tuple(shape))


def gaussians(message: Message, means: Array, deviations: Array, floor: bool) -> Gaussian:
    """Gaussians for values (N, ...), split over the messages."""
    return Gaussian(means.reshape(message.batch, -1, 1), deviations.reshape(message.batch, -1, 1), floor)


def around(message: Message, means: Array, model: Flow) -> Gaussian:
    """The Gaussian that values are pushed with: it has the noise's standard deviation, and far values are possible."""
    return gaussians(message, means, arrays.of(means).full(means.shape, 256 << model.steps.noise_bits, "int32"), True)


def _prior(message: Message, values: int, model: Flow) -> Gaussian:
    of = model.backend.arrays
    deviations = of.full((values,), 256 << model.steps.latent_bits, "int32")
    return gaussians(message, of.zeros((values,), "int32"), deviations, True)


def _bits(message: Message, model: Flow, bits: int, values: int) -> Bits:
    return Bits(model.backend.arrays.full((message.batch, values // message.batch, 1), bits, "int32"))


def channels_of(v: Array, channels: list[int]) -> Array:
    """Some channels of v (N, h, w, C); faster than indexing by a list."""
    return arrays.of(v).stack([v[..., k] for k in channels], 3)


def with_channels(v: Array, channels: list[int], values: Array) -> Array:
    """v (N, h, w, C) with other values in some channels."""
    after = arrays.of(v).copy(v)
    for i, k in enumerate(channels):
        after[..., k] = values[..., i]
    return after

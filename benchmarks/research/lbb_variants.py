"""The other two variants of local bits-back coding, for comparison (Ho, Lohn, Abbeel 2019, arXiv:1905.08500, algorithms
1 and 2). No frame is coded by them: FORMAT.md does not know them.

`autoregressive` codes the values of a coupling one after the other, popping y'_i and pushing x_i each time; it is in
integers throughout, so its messages are as portable as those of `local_bits_back`. `black_box` takes nothing of a flow
but the function, its derivative and its inverse, as floating-point numbers. Its messages come back in the process, on
the machine and with the libraries that made them, and nothing more is promised.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from numcodecs_bitswap.bitsback import local_bits_back
from numcodecs_bitswap.bitsback.coder import Size
from numcodecs_bitswap.bitsback.local_bits_back import (
    LAYERS,
    Flow,
    LayerCoder,
    Steps,
    around,
    channels_of,
    pop_near,
    pop_noise,
    pop_prior,
    pop_values,
    push_near,
    push_noise,
    push_prior,
    push_values,
    with_channels,
)
from numcodecs_bitswap.distributions.gaussian_places import LARGEST
from numcodecs_bitswap.errors import FormatError
from numcodecs_bitswap.rans.message import Message

Array = NDArray[Any]
Ints = NDArray[np.int32]


class SmoothFlow(Protocol):
    """A flow as a function of vectors (d,), float64, from levels to standard deviations. See smooth_flow."""

    model: Any

    def forward(self, x: Tensor, size: Size, /) -> Tensor: ...
    def inverse(self, z: Tensor, size: Size, /) -> Tensor: ...
    def jacobian(self, x: Tensor, size: Size, /) -> Tensor: ...


def push_one_by_one(message: Message, model: Flow, layer: Any, v: Array) -> Array:
    """Pop y'_i, push x_i for i = d, ..., 1: the bits of one value pay for the next."""
    x = channels_of(v, layer.changed)
    y, flat = np.empty_like(x).reshape(len(x), -1), x.reshape(len(x), -1)
    d, function = flat.shape[1], layer.function(v)
    for i in reversed(range(d)):
        own = function.part(slice(i, None, d))
        y[:, i] = pop_near(message, (len(x),), *own.forward(flat[:, i]))
        push_values(message, around(message, own.inverse(y[:, i]), model), flat[:, i])
    return with_channels(v, layer.changed, y.reshape(x.shape))


def pop_one_by_one(message: Message, model: Flow, layer: Any, v: Array) -> Array:
    """Pop x_i, push y'_i for i = 1, ..., d."""
    y = channels_of(v, layer.changed)
    x, flat = np.empty_like(y).reshape(len(y), -1), y.reshape(len(y), -1)
    d, function = flat.shape[1], layer.function(v)
    for i in range(d):
        own = function.part(slice(i, None, d))
        x[:, i] = pop_values(message, around(message, own.inverse(flat[:, i]), model), (len(y),))
        push_near(message, flat[:, i], *own.forward(x[:, i]))
    return with_channels(v, layer.changed, x.reshape(y.shape))


ONE_BY_ONE = LAYERS | {"coupling": LayerCoder(push_one_by_one, pop_one_by_one)}


def push_black_box(message: Message, flow: SmoothFlow, grid: Array) -> None:
    """Push grids (N, h, w, c), one after the other: pop z' ~ N(f(x), sigma^2 J J^T), push x ~ N(f^-1(z'), sigma^2),
    push z'. For a batch of one message.
    """
    model = flow.model
    v = (grid.astype(np.int32) << model.steps.value_bits) + pop_noise(message, model, grid)
    for each in v:
        local = _Local(flow, each.reshape(-1), each.shape[:2])
        z = np.zeros(each.size, np.int32)
        for i in range(len(z)):
            z[i] = pop_near(message, (1,), *local.given(z, i))[0]
        push_values(message, around(message, _found(flow, z, each.shape[:2]), model), each.reshape(1, -1))
        push_prior(message, model, z[None])


def pop_black_box(message: Message, flow: SmoothFlow, n: int, size: Size) -> Array:
    """Pop grids (n, h, w, c)."""
    model = flow.model
    grids: list[Array] = []
    d = size[0] * size[1] * model.channels
    for _ in range(n):
        z = pop_prior(message, model, (1, d))[0]
        x = pop_values(message, around(message, _found(flow, z, size), model), (1, d))[0]
        local = _Local(flow, x, size)
        for i in reversed(range(d)):
            push_near(message, z[i : i + 1], *local.given(z, i))
        grids.insert(0, x.reshape(*size, model.channels))
    v = np.stack(grids)
    grid: Array = (v >> model.steps.value_bits).astype(np.int16)
    if ((grid < 0) | (grid >= model.levels)).any():
        raise FormatError("a value popped is no pixel's: other weights, or another process than the one that pushed")
    push_noise(message, model, grid, v & ((1 << model.steps.value_bits) - 1))
    return grid


class _Local:
    """N(f(x), sigma^2 J J^T) at values x (d,) in steps, one coordinate after the other: J J^T = L L^T, L triangular."""

    def __init__(self, flow: SmoothFlow, x: Array, size: Sequence[int]) -> None:
        steps: Steps = flow.model.steps
        real = torch.from_numpy(x / 2**steps.value_bits)
        height, width = size
        self._unit = 2.0**steps.latent_bits
        self._mean = flow.forward(real, (height, width)) * self._unit
        jacobian = flow.jacobian(real, (height, width))
        sigma = self._unit * 2.0 ** (steps.noise_bits - steps.value_bits)
        self._factor = torch.linalg.cholesky(jacobian @ jacobian.T) * sigma

    def given(self, z: Array, i: int) -> tuple[Ints, Ints]:
        """Mean and deviation (in 1/256) of coordinate i, in steps, given those before."""
        off = torch.from_numpy(z[:i].astype(np.float64)) - self._mean[:i]
        solved = torch.linalg.solve_triangular(self._factor[:i, :i], off[:, None], upper=False)
        mean = self._mean[i] + self._factor[i, :i] @ solved[:, 0]
        deviation = (256 * self._factor[i, i]).round().clamp(256, 1 << 27)
        return mean.round().clamp(-LARGEST, LARGEST).int()[None].numpy(), deviation.int()[None].numpy()


def _found(flow: SmoothFlow, z: Array, size: Sequence[int]) -> Array:
    """f^-1(z) in steps."""
    steps: Steps = flow.model.steps
    height, width = size
    x = flow.inverse(torch.from_numpy(z / 2**steps.latent_bits), (height, width))
    return (x * 2**steps.value_bits).round().clamp(-LARGEST, LARGEST).int().numpy()


class Variant(NamedTuple):
    """A coder of grids."""

    push: Callable[[Message, Any, Array], None]
    pop: Callable[[Message, Any, int, Size], Array]


VARIANTS = {
    "compositional": Variant(local_bits_back.push, local_bits_back.pop),
    "autoregressive": Variant(
        lambda message, model, grid: local_bits_back.push(message, model, grid, ONE_BY_ONE),
        lambda message, model, n, size: local_bits_back.pop(message, model, n, size, ONE_BY_ONE),
    ),
    "black_box": Variant(push_black_box, pop_black_box),
}
"""The three variants of the paper by name. All but the last take a model of kind `flow`, the last a `SmoothFlow`."""

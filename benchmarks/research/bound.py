"""The bound a coded chunk is measured against: -log2 p of the integer model, with nothing of rANS, lanes or the frame
in it.

With latents it is the negative ELBO at the very latents that the encoder pops: bits pushed less bits popped. For
reports and tests; not on the coding path.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numcodecs_bitswap import arrays
from numcodecs_bitswap.arrays import Array
from numcodecs_bitswap.bitsback.groups import Model, Pixels, push_classes
from numcodecs_bitswap.bitsback.local_bits_back import channels_of, with_channels
from numcodecs_bitswap.rans.distribution import Distribution, Values
from numcodecs_bitswap.rans.message import Message


class CountingMessage(Message):
    """A message that adds up the information of what is pushed and takes off that of what is popped: `bits`, float64
    (B,).
    """

    bits: NDArray[np.float64]

    def push(self, distribution: Distribution, symbols: Array) -> None:
        """See `Message.push`."""
        super().push(distribution, symbols)
        self.bits = self.bits + information(distribution, symbols)

    def pop(self, distribution: Distribution) -> Array:
        """See `Message.pop`."""
        symbols = super().pop(distribution)
        self.bits = self.bits - information(distribution, symbols)
        return symbols

    def push_values(self, distribution: Values, values: Array) -> None:
        """Symbol by symbol: compiled loops would code them without a call that counts."""
        distribution.push(self, values)

    def pop_values(self, distribution: Values) -> Array:
        """See `push_values`."""
        return distribution.pop(self)

    def copy(self) -> "CountingMessage":
        """See `Message.copy`."""
        other = CountingMessage(self._stack.copy())
        other.bits = self.bits
        return other

    def replace(self, other: Message) -> None:
        """See `Message.replace`."""
        super().replace(other)
        assert isinstance(other, CountingMessage)
        self.bits = other.bits


def information(distribution: Distribution, symbols: Array) -> NDArray[np.float64]:
    """Sum of -log2(freq / 2^16) over a block of symbols (B, n): (B,)."""
    of = arrays.of(symbols)
    prepared, s = distribution.prepare(0, distribution.n), of.cast(symbols, "int64")
    freq = of.numpy(distribution.cum(prepared, s + 1) - distribution.cum(prepared, s))
    return np.asarray((16 - np.log2(freq)).sum(1))


def bound_bits(model: Model, classes: Sequence[Pixels], lanes: int, core: str = "bit_swap") -> NDArray[np.float64]:
    """-log2 p in bits of each of B chunks.

    Parameters
    ----------
    model, classes, lanes, core
        As for `groups.encode`; for a model without stages B must be 1.

    Returns
    -------
    float64 ndarray, shape (B,)
    """
    message = CountingMessage(Message.empty(len(classes[0]), lanes, model.backend.stack)._stack)
    message.bits = np.zeros(message.batch)
    with model.backend.running():
        push_classes(message, model, classes, core)
    return message.bits


def flow_bits(model: Any, grid: NDArray[Any], noise: NDArray[Any]) -> NDArray[np.float64]:
    """-log2 of the density that a flow gives to pixels with their noise, per level and dimension.

    Parameters
    ----------
    model : nets.flow.FlowModel
        On the CPU.
    grid, noise : int16 and int32 ndarrays, shape (N, h, w, c)
        Noise is in steps of 2^-value_bits levels.

    Returns
    -------
    float64 ndarray, shape (N,)
    """
    steps = model.steps
    v = (grid.astype(np.int32) << steps.value_bits) + noise
    bits = np.zeros(len(grid))
    for layer in model.layers:
        if layer.role == "coupling":
            function = layer.function(v)
            x = channels_of(v, layer.changed)
            y, deviations = function.forward(x.reshape(-1))
            slope = np.log2(deviations) - 8 - steps.noise_bits - steps.latent_bits + function.bits
            bits = bits - slope.reshape(len(grid), -1).sum(1)
            v = with_channels(v, layer.changed, y.reshape(x.shape))
        elif layer.role == "split":
            bits = bits + _normal_bits(channels_of(v, layer.taken), steps.latent_bits)
            v = channels_of(v, layer.kept)
        else:
            v = layer.forward(v)
    return bits + _normal_bits(v, steps.latent_bits)


def _normal_bits(z: NDArray[Any], latent_bits: int) -> NDArray[np.float64]:
    """-log2 of the standard normal density of latents (N, h, w, C): (N,)."""
    size = (z / 2**latent_bits) ** 2 + math.log(2 * math.pi)
    return np.asarray(0.5 / math.log(2) * size.sum((1, 2, 3)))

"""The bound a coded chunk is measured against: -log2 p of the integer model, with nothing of rANS, lanes or the frame
in it.

With latents it is the negative ELBO at the very latents that the encoder pops: bits pushed less bits popped. For
reports and tests; not on the coding path.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..rans.distribution import Distribution
from ..rans.message import Message
from .groups import Model, Pixels, push_classes
from .local_bits_back import channels_of, with_channels


class CountingMessage(Message):
    """A message that adds up the information of what is pushed and takes off that of what is popped: `bits`, float64
    (B,).
    """

    bits: Tensor
    takes_loops = False  # whose symbols nobody sees

    def push(self, distribution: Distribution, symbols: Tensor) -> None:
        """See `Message.push`."""
        super().push(distribution, symbols)
        self.bits = self.bits + information(distribution, symbols)

    def pop(self, distribution: Distribution) -> Tensor:
        """See `Message.pop`."""
        symbols = super().pop(distribution)
        self.bits = self.bits - information(distribution, symbols)
        return symbols

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


def information(distribution: Distribution, symbols: Tensor) -> Tensor:
    """Sum of -log2(freq / 2^16) over a block of symbols (B, n): float64 (B,)."""
    prepared, s = distribution.prepare(0, distribution.n), symbols.long()
    freq = distribution.cum(prepared, s + 1) - distribution.cum(prepared, s)
    return (16 - torch.log2(freq.double())).sum(1)


@torch.inference_mode()
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
    message = CountingMessage(Message.empty(len(classes[0]), lanes, model.device)._stack)
    message.bits = torch.zeros(message.batch, dtype=torch.float64, device=model.device)
    push_classes(message, model, classes, core)
    return message.bits.cpu().numpy()


@torch.inference_mode()
def flow_bits(model: Any, grid: Tensor, noise: Tensor) -> Tensor:
    """-log2 of the density that a flow gives to pixels with their noise, per level and dimension.

    Parameters
    ----------
    model : nets.flow.FlowModel
    grid, noise : int16 and int32 tensors, shape (N, h, w, c)
        Noise is in steps of 2^-value_bits levels.

    Returns
    -------
    float64 tensor, shape (N,)
    """
    steps = model.steps
    v = (grid.int() << steps.value_bits) + noise
    bits = torch.zeros(len(grid), dtype=torch.float64, device=grid.device)
    for layer in model.layers:
        if layer.role == "coupling":
            function = layer.function(v)
            x = channels_of(v, layer.changed)
            y, deviations = function.forward(x.flatten())
            slope = torch.log2(deviations.double()) - 8 - steps.noise_bits - steps.latent_bits + function.bits
            bits = bits - slope.reshape(len(grid), -1).sum(1)
            v = with_channels(v, layer.changed, y.reshape(x.shape))
        elif layer.role == "split":
            bits = bits + _normal_bits(channels_of(v, layer.taken), steps.latent_bits)
            v = channels_of(v, layer.kept)
        else:
            v = layer.forward(v)
    total: Tensor = bits + _normal_bits(v, steps.latent_bits)
    return total


def _normal_bits(z: Tensor, latent_bits: int) -> Tensor:
    """-log2 of the standard normal density of latents (N, h, w, C): (N,)."""
    size = (z.double() / 2**latent_bits) ** 2 + math.log(2 * math.pi)
    bits: Tensor = 0.5 / math.log(2) * size.sum((1, 2, 3))
    return bits

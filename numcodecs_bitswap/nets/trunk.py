"""The one network shape of the format (FORMAT.md section 4.2), channels last: int8 inputs (N, h, w, U) -> int32 outputs
(N, h, w, P), padded to a multiple of 8.
"""

from .. import arrays
from ..arrays import Array
from ..errors import ModelError
from .backend import Backend
from .layers import Layer, Tensors
from .units import aligned


class Trunk:
    """A network of the model file.

    Parameters
    ----------
    tensors, name : see `Layer`
    n_in : int
        Channels of the input, before padding.
    n_out : int
        Channels of the output.
    blocks : int
        Number of residual blocks.

    Raises
    ------
    ModelError
        The tensors do not describe such a network.
    """

    def __init__(self, tensors: Tensors, name: str, n_in: int, n_out: int, blocks: int, backend: Backend):
        self.first = Layer(tensors, f"{name}.in", (n_in,))
        width = self.first.n_out
        self.blocks = []
        for k in range(blocks):
            conv = Layer(tensors, f"{name}.{k}.conv", (width,) * 9)
            self.blocks.append((conv, Layer(tensors, f"{name}.{k}.out", (conv.n_out,))))
        self.head = Layer(tensors, f"{name}.head", (width,))
        self.skip = Layer(tensors, f"{name}.skip", (n_in,))
        self.n_in, self.n_out = n_in, n_out
        if any(out.n_out != width for _, out in self.blocks) or not self.head.n_out == self.skip.n_out == n_out:
            raise ModelError(
                f"network {name}: the sizes of its layers do not match, or it does not have {n_out} outputs"
            )
        self._run = backend.network(
            [self.first, *(layer for block in self.blocks for layer in block), self.head, self.skip]
        )

    def __call__(self, u: Array) -> tuple[Array, Array]:
        """Features int8 (N, h, w, width) and y int32 (N, h, w, aligned(n_out)), of inputs u int8
        (N, h, w, aligned(n_in)), padded with zeros.
        """
        return self._run(u)

    def outputs(self, u: Array) -> Array:
        """y alone, without the padding: int32 (N, h, w, n_out)."""
        return self(u)[1][..., : self.n_out]


class ChannelNetwork:
    """Correction of a channel's outputs by the channels before it (FORMAT.md section 4.4).

    Parameters
    ----------
    tensors, name : see `Layer`
    width : int
        Features of the trunk.
    n_earlier : int
        Channels before this one.
    n_out : int
        Outputs of the channel.

    Raises
    ------
    ModelError
        The tensors do not describe such a network.
    """

    def __init__(self, tensors: Tensors, name: str, width: int, n_earlier: int, n_out: int, backend: Backend):
        self.first = Layer(tensors, f"{name}.in", (width, n_earlier))
        self.out = Layer(tensors, f"{name}.out", (self.first.n_out,))
        self.n_earlier = n_earlier
        if self.out.n_out != n_out:
            raise ModelError(f"network {name} does not have {n_out} outputs")
        self._run = backend.correction([self.first, self.out], n_earlier)

    def __call__(self, features: Array, pixels: Array, base: Array) -> Array:
        """Corrections int32 (N, h, w, aligned(n_out)), of features int8 (N, h, w, width), pixels int16 (N, h', w', c)
        and base int16 (N, h, w, c).
        """
        return self._run(features, pixels, base)


def pad_channels(values: Array) -> Array:
    """Values (..., c) as int8 (..., aligned(c)), padded with zeros."""
    count = values.shape[-1]
    padded = arrays.of(values).zeros((*values.shape[:-1], aligned(count)), "int8")
    padded[..., :count] = values
    return padded

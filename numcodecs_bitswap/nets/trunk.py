"""The one network shape of the format (FORMAT.md section 4.2), channels last: int8 inputs (N, h, w, U) -> int32 outputs
(N, h, w, P), padded to a multiple of 8.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import ModelError
from .elementwise import layers, networks, operations
from .exact import Layer, Tensors
from .torch_ops import aligned


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

    def __init__(self, tensors: Tensors, name: str, n_in: int, n_out: int, blocks: int, device: str):
        self.first = Layer(tensors, f"{name}.in", (n_in,), device)
        width = self.first.n_out
        self.blocks = []
        for k in range(blocks):
            conv = Layer(tensors, f"{name}.{k}.conv", (width,) * 9, device)
            self.blocks.append((conv, Layer(tensors, f"{name}.{k}.out", (conv.n_out,), device)))
        self.head = Layer(tensors, f"{name}.head", (width,), device)
        self.skip = Layer(tensors, f"{name}.skip", (n_in,), device)
        self.n_in, self.n_out = n_in, n_out
        if any(out.n_out != width for _, out in self.blocks) or not self.head.n_out == self.skip.n_out == n_out:
            raise ModelError(f"network {name}: its layers do not fit together or do not give {n_out} outputs")
        whole = networks(device)
        self._whole = whole and whole.Network(
            [self.first, *(layer for block in self.blocks for layer in block), self.head, self.skip]
        )

    def __call__(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """u : int8 (N, h, w, aligned(n_in)), padding zero. Returns features int8 (N, h, w, width) and y int32 (N, h, w,
        aligned(n_out)).
        """
        if self._whole:
            features, y = self._whole(u)
            return features, y
        return self.by_layers(u)

    def by_layers(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """The same, one layer after the other."""
        ops = layers(u.device.type)
        h = ops.dense(u, self.first)
        for conv, out in self.blocks:
            h = ops.block(h, conv, out)
        return h, ops.outputs(h, self.head, u, self.skip)

    def outputs(self, u: Tensor) -> Tensor:
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

    def __init__(self, tensors: Tensors, name: str, width: int, n_earlier: int, n_out: int, device: str):
        self.first = Layer(tensors, f"{name}.in", (width, n_earlier), device)
        self.out = Layer(tensors, f"{name}.out", (self.first.n_out,), device)
        self.n_earlier = n_earlier
        if self.out.n_out != n_out:
            raise ModelError(f"network {name} does not give {n_out} outputs")
        whole = networks(device)
        self._whole = whole and whole.Chain([self.first, self.out])

    def __call__(self, features: Tensor, pixels: Tensor, base: Tensor) -> Tensor:
        """features int8 (N, h, w, width), pixels int16 (N, h', w', c), base int16 (N, h, w, c). Returns int32 (N, h, w,
        aligned(n_out)).
        """
        if self._whole:
            rows = operations("cpu").with_deviations(features, pixels, base, self.n_earlier)
            return self.outputs(rows).view(*features.shape[:3], -1)
        y: Tensor = layers(features.device.type).correction(
            features, pixels, base, self.n_earlier, (self.first, self.out)
        )
        return y

    def outputs(self, rows: Tensor) -> Tensor:
        """The correction by rows int8 (M, width + aligned(n_earlier)): int32 (M, aligned(n_out))."""
        y: Tensor = self._whole(rows) if self._whole else layers(rows.device.type).corrected(rows, self.first, self.out)
        return y


def pad_channels(values: Tensor) -> Tensor:
    """Values (..., c) as int8 (..., aligned(c)), padded with zeros."""
    missing = aligned(values.shape[-1]) - values.shape[-1]
    return F.pad(values.to(torch.int8), (0, missing))

"""The one network shape of the format (FORMAT.md section 4.2), channels last: int8 inputs (N, h, w, U) -> int32 outputs
(N, h, w, P).
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import ModelError
from .exact import Layer, Tensors, aligned


def neighbours(h: Tensor) -> Tensor:
    """3 x 3 neighbourhoods, zeros outside: (N, h, w, C) to rows (N h w, 9 C) in the order row, column, channel."""
    n, height, width, c = h.shape
    padded = h.new_zeros(n, height + 2, width + 2, c)
    padded[:, 1:-1, 1:-1] = h
    # Three pixels side by side are 3 C consecutive values, so the copy below moves long runs.
    row = (width + 2) * c
    view = padded.as_strided((n, height, width, 3, 3 * c), ((height + 2) * row, row, c, row, 1))
    return view.reshape(-1, 9 * c)


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

    def __call__(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """u : int8 (N, h, w, aligned(n_in)), padding zero. Returns features int8 (N, h, w, width) and y int32 (N, h, w,
        n_out).
        """
        n, height, width, _ = u.shape
        rows = u.reshape(-1, aligned(self.n_in))
        h = self.first(rows).clamp_(0, 127).to(torch.int8)
        for conv, out in self.blocks:
            v = conv(neighbours(h.view(n, height, width, -1))).clamp_(0, 127).to(torch.int8)
            h = out(v).add_(h).clamp_(-127, 127).to(torch.int8)
        y = self.head(h).add_(self.skip(rows))
        return h.view(n, height, width, -1), y.view(n, height, width, -1)[..., : self.n_out]


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
        if self.out.n_out != n_out:
            raise ModelError(f"network {name} does not give {n_out} outputs")

    def __call__(self, features: Tensor, deviations: Tensor) -> Tensor:
        """features int8 (N, h, w, width), deviations int (N, h, w, n_earlier) in [-127, 127]. Returns int32 (N, h, w,
        n_out).
        """
        rows = torch.cat([features, pad_channels(deviations)], dim=3).flatten(0, 2)
        v = self.first(rows).clamp_(0, 127).to(torch.int8)
        return self.out(v).view(*features.shape[:3], -1)[..., : self.out.n_out]


def pad_channels(values: Tensor) -> Tensor:
    """Values (..., c) as int8 (..., aligned(c)), padded with zeros."""
    missing = aligned(values.shape[-1]) - values.shape[-1]
    return F.pad(values.to(torch.int8), (0, missing))

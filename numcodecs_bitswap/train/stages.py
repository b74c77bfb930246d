"""The differentiable form of a context stage (FORMAT.md section 5), and of the direct core mode (section 6.4)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .distributions import phase_bits, phase_gains
from .fake_quant import ChannelNetwork, Trunk

DIRECT_SHARE, DIRECT_PATCHES = 4, 8
"""In a model without stages the direct stage is trained on one batch in DIRECT_SHARE, and on DIRECT_PATCHES of its
patches: it codes only the first patches of a chunk.
"""


class ChannelNetworks(nn.ModuleList):
    """The channel networks of one phase, for channels 1 .. c-1."""

    def __init__(self, channels: int, mixtures: int, width: int, inner: int):
        gain = phase_gains(1, mixtures, 0.0)[0]
        super().__init__(ChannelNetwork(width, ch, inner, gain) for ch in range(1, channels))

    def correct(self, y: Tensor, features: Tensor, deviations: Tensor, quantised: bool) -> Tensor:
        """Outputs y of the phase, with every channel corrected by the channels before it. deviations (n, c, h, w):
        differences of the pixels from their base, as network inputs.
        """
        if not len(self):
            return y
        added = [net(features, deviations[:, :ch], quantised) for ch, net in enumerate(self, 1)]
        size = added[0].shape[1]
        return torch.cat(
            [y[:, :size], y[:, size : size * (len(added) + 1)] + torch.cat(added, 1), y[:, size * (len(added) + 1) :]],
            1,
        )


def window(grid: Tensor, low: int, high: int) -> Tensor:
    """Neighbours low..high of every cell, edges repeated: (n, c, h, w) to (n, (rows, columns, c), h, w)."""
    h, w = grid.shape[2:]
    padded = F.pad(grid, (-low, high, -low, high), mode="replicate")
    size = high - low + 1
    return torch.cat([padded[:, :, m : m + h, n : n + w] for m in range(size) for n in range(size)], dim=1)


def _inputs(windows: Tensor, reference: Tensor) -> Tensor:
    repeat = windows.shape[1] // reference.shape[1]
    differences = (windows - reference.repeat(1, repeat, 1, 1)).clamp(-127, 127)
    return torch.cat([differences, (reference - 128).clamp(-127, 127)], dim=1)


class Stage(nn.Module):
    """One context stage: passes a and b of FORMAT.md section 5, on grids of even size."""

    def __init__(self, channels: int, mixtures: int, width: int, blocks: int, channel_width: int):
        super().__init__()
        self.mixtures = mixtures
        gain, bias = phase_gains(channels, mixtures, 3.0)
        self.a = Trunk(17 * channels, width, blocks, gain, bias)
        self.b = Trunk(33 * channels, width, blocks, gain.repeat(2), bias.repeat(2))
        self.phases = nn.ModuleList(ChannelNetworks(channels, mixtures, width, channel_width) for _ in range(3))

    def _bits(self, phase: int, x: Tensor, y: Tensor, features: Tensor, base: Tensor, quantised: bool) -> Tensor:
        networks = self.phases[phase]
        assert isinstance(networks, ChannelNetworks)
        deviations = (x - torch.floor((base + 16) / 32)).clamp(-127, 127)
        return phase_bits(x, networks.correct(y, features, deviations, quantised), base, self.mixtures)

    def forward(self, x: Tensor, quantised: bool, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """x : (n, c, h, w). Returns the coarser grid and the bits per patch, shape (n,)."""
        c, d = x[:, :, ::2, ::2], x[:, :, 1::2, 1::2]
        square = torch.unflatten(window(c, 0, 1), 1, (4, -1))
        s = square.sum(1)
        u = _inputs(window(c, -1, 2), torch.floor((s + 2) / 4))
        features, y = self.a(u, quantised, dtype)
        bits_a = self._bits(0, d, y, features, 8 * s, quantised)

        right, below = square[:, 1], square[:, 2]
        up = torch.unflatten(window(d, -1, 0), 1, (4, -1))
        s01, s10 = c + right + up[:, 1] + d, c + below + up[:, 2] + d
        u = _inputs(torch.cat([window(c, -1, 2), window(d, -2, 1)], dim=1), torch.floor((s01 + s10 + 4) / 8))
        features, y = self.b(u, quantised, dtype)
        y01, y10 = y.chunk(2, dim=1)
        bits_01 = self._bits(1, x[:, :, ::2, 1::2], y01, features, 8 * s01, quantised)
        bits_10 = self._bits(2, x[:, :, 1::2, ::2], y10, features, 8 * s10, quantised)
        return c, (bits_a + bits_01 + bits_10).sum(dim=(1, 2, 3))


def direct_bits(stage: nn.Module, grid: Tensor, quantised: bool, dtype: torch.dtype) -> Tensor:
    """Mean bits per patch of the direct core mode, which applies one stage down to a single pixel (FORMAT.md section
    6.4).

    The differentiable stage needs even sizes, so a grid is padded with zeros to a power of two. The codec does not pad:
    it takes slightly more bits at the edges, and none for the zeros.
    """
    side = 1 << (max(grid.shape[2:]) - 1).bit_length()
    grid = F.pad(grid, (0, side - grid.shape[3], 0, side - grid.shape[2]))
    total = torch.full((len(grid),), 8.0 * grid.shape[1], device=grid.device)
    while grid.shape[-1] > 1:
        grid, bits = stage(grid, quantised, dtype)
        total = total + bits
    return total.mean()


def direct_learns(training: bool) -> bool:
    """Whether the direct stage of a model without stages is trained on this batch."""
    return not training or int(torch.randint(DIRECT_SHARE, ())) == 0

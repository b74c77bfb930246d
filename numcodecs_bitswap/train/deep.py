"""The differentiable twins for 16-bit samples: stages, core and mixtures of FORMAT.md sections 3.10, 4.5, 5.2 and 6.5.

Networks see differences in units of a local step 2^g, so one network serves every noise and every depth.
"""

import torch
from torch import Tensor

from .distributions import CHAIN_GAIN, LOGIT_GAIN, SCALE_GAIN, phase_gains
from .fake_quant import Trunk
from .networks import Architecture, Core
from .stages import ChannelNetworks, Stage, window

LEVEL, LEVELS, BUCKETS = 32.0, 65536, 224
"""Units of means per level; levels; buckets of a residual."""
LEAST_STEP, SCALES, LEAST_SCALE = 2, 191, 6


def bit_length(values: Tensor) -> Tensor:
    """Bit length of integer-valued floats."""
    return torch.frexp(values).exponent.float()


def normalised(differences: Tensor, g: Tensor) -> Tensor:
    """Differences in 1/32 level as network inputs, in units of 2^g."""
    return torch.floor(differences * torch.exp2(-g)).clamp(-127, 127)


def code(values: Tensor) -> Tensor:
    """About 8 log2 of integer-valued floats, as FORMAT.md section 5.2 has it."""
    length = bit_length(values)
    return 8 * length + torch.floor(16 * values * torch.exp2(-length)) - 8


def inputs(c: Tensor, windows: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Network input and step g of cells (FORMAT.md section 5.2).

    c : (n, c, h, w), the coarser grid; windows : (n, (k, c), h, w), levels; reference : (n, c, h, w) in 1/32 level.
    Returns u and g (n, c, h, w).
    """
    count = windows.shape[1] // reference.shape[1]
    mean = torch.floor(c.mean(dim=(2, 3), keepdim=True) + 0.5)
    differences = LEVEL * windows - reference.repeat(1, count, 1, 1)
    total = torch.unflatten(differences.abs(), 1, (count, -1)).sum(1)
    unit = count.bit_length() + 3
    g = (bit_length(total) - unit).clamp(min=LEAST_STEP)
    level = torch.floor((reference + 16) / LEVEL)
    everywhere = torch.floor(total.mean(dim=(2, 3), keepdim=True))
    spreads = [4 * (code(total) - 8 * (g + unit)), 2 * (code(everywhere) - 8 * (g + unit))]
    relative = [normalised(differences, g.repeat(1, count, 1, 1)), normalised(LEVEL * mean - reference, g)]
    u = [*relative, 8 * g - 72, code(level) - 64, *(each.clamp(-127, 127) for each in spreads)]
    return torch.cat(u, 1), g


def phase_bits(x: Tensor, y: Tensor, base: Tensor, g: Tensor, mixtures: int) -> Tensor:
    """Bits (n, c, h, w) of one phase, FORMAT.md section 4.5. x, base, g : (n, c, h, w); y : (n, outputs, h, w)."""
    c, k = x.shape[1], mixtures
    chain, pair, bits = y[:, 3 * k * c :].clamp(-127, 127), 0, []
    for ch in range(c):
        logits, offset, scale = torch.split(y[:, 3 * k * ch : 3 * k * (ch + 1)], k, dim=1)
        shift = g[:, ch : ch + 1] - 5
        residual = LEVEL * x[:, ch] - base[:, ch]
        for earlier in range(ch):
            step = chain[:, pair] * (LEVEL * x[:, earlier] - base[:, earlier]) / CHAIN_GAIN
            residual, pair = residual - step, pair + 1
        centred = (residual.unsqueeze(1) - offset.clamp(-8160, 8160) * torch.exp2(shift)) / LEVEL
        scale = (scale.clamp(0, SCALES) + SCALE_GAIN * shift).clamp(min=LEAST_SCALE)
        bits.append(mixture_bits(x[:, ch : ch + 1], logits.clamp(-127, 127), centred, scale))
    return torch.stack(bits, dim=1)


def mixture_bits(x: Tensor, logits: Tensor, distance: Tensor, scales: Tensor) -> Tensor:
    """Bits of section 3.10, with exact sigmoids and without what buckets cost. distance : x less the mean, in levels,
    (n, K, h, w); x : (n, 1, h, w). Returns (n, h, w).
    """
    inverse = torch.exp2(4 - scales / SCALE_GAIN)
    centred = distance * inverse
    upper = torch.where(x >= LEVELS - 1, 1.0, torch.sigmoid(centred + 0.5 * inverse))
    lower = torch.where(x <= 0, 0.0, torch.sigmoid(centred - 0.5 * inverse))
    narrow = inverse * torch.sigmoid(centred) * torch.sigmoid(-centred)  # where the difference would cancel
    mass = torch.where((inverse < 0.01) & (x > 0) & (x < LEVELS - 1), narrow, upper - lower)
    p = (mass * torch.softmax(logits * (torch.log(torch.tensor(2.0)) / LOGIT_GAIN), dim=1)).sum(1)
    nearest = distance.detach().abs().amin(1)
    return -torch.log2(p * (1 - BUCKETS / 65536) + 1 / 65536 / (nearest / 12).clamp(min=1))


class DeepStage(Stage):
    """One context stage of FORMAT.md section 5.2, on grids of even size."""

    def __init__(self, channels: int, mixtures: int, width: int, blocks: int, channel_width: int):
        super().__init__(channels, mixtures, width, blocks, channel_width)
        gain, bias = phase_gains(channels, mixtures, 3.0)
        self.a = Trunk(21 * channels, width, blocks, gain, bias, in_std=2.0)
        self.b = Trunk(37 * channels, width, blocks, gain.repeat(2), bias.repeat(2), in_std=2.0)

    def _cost(
        self, phase: int, x: Tensor, y: Tensor, features: Tensor, base: Tensor, g: Tensor, quantised: bool
    ) -> Tensor:
        networks = self.phases[phase]
        assert isinstance(networks, ChannelNetworks)
        deviations = normalised(LEVEL * x - base, g)
        return phase_bits(x, networks.correct(y, features, deviations, quantised), base, g, self.mixtures)

    def forward(self, x: Tensor, quantised: bool, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """x : (n, c, h, w). Returns the coarser grid and the bits per patch, shape (n,)."""
        c, d = x[:, :, ::2, ::2], x[:, :, 1::2, 1::2]
        square = torch.unflatten(window(c, 0, 1), 1, (4, -1))
        base = 8 * square.sum(1)
        u, g = inputs(c, window(c, -1, 2), base)
        features, y = self.a(u, quantised, dtype)
        bits_a = self._cost(0, d, y, features, base, g, quantised)

        right, below = square[:, 1], square[:, 2]
        up = torch.unflatten(window(d, -1, 0), 1, (4, -1))
        s01, s10 = c + right + up[:, 1] + d, c + below + up[:, 2] + d
        u, g = inputs(c, torch.cat([window(c, -1, 2), window(d, -2, 1)], dim=1), 4 * (s01 + s10))
        features, y = self.b(u, quantised, dtype)
        y01, y10 = y.chunk(2, dim=1)
        bits_01 = self._cost(1, x[:, :, ::2, 1::2], y01, features, 8 * s01, g, quantised)
        bits_10 = self._cost(2, x[:, :, 1::2, ::2], y10, features, 8 * s10, g, quantised)
        return c, (bits_a + bits_01 + bits_10).sum(dim=(1, 2, 3))


class DeepCore(Core):
    """The core of FORMAT.md section 6.6: data as differences to the level of their patch, in units of its step."""

    def __init__(self, arch: Architecture):
        super().__init__(arch)
        self.origin_bits = 21.0 * arch.channels

    def origin(self, grid: Tensor) -> tuple[Tensor, ...]:
        """Level and step g of every patch and channel: (n, c, 1, 1) each."""
        level = torch.floor(grid.mean(dim=(2, 3), keepdim=True) + 0.5)
        spread = torch.floor((LEVEL * (grid - level)).abs().mean(dim=(2, 3), keepdim=True))
        return level, (bit_length(spread) - 4).clamp(min=LEAST_STEP)

    def data_input(self, phases: list[Tensor], origin: tuple[Tensor, ...]) -> Tensor:
        level, g = origin
        return torch.cat([normalised(LEVEL * (x - level), g) for x in phases], dim=1)

    def data_bits(self, x: Tensor, y: Tensor, origin: tuple[Tensor, ...]) -> Tensor:
        level, g = (each.expand_as(x) for each in origin)
        return phase_bits(x, y, LEVEL * level, g, self.mixtures)

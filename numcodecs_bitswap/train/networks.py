"""The differentiable twin of a Bit-Swap model: the same networks, windows and distributions as FORMAT.md sections 3 to
6, in floats.

`BitSwapNet.bits` returns the bits that the integer model would spend on a batch of patches, part by part.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .fake_quant import ChannelNetwork, Trunk, round_clamp

LATENT_ALPHABET = 128
MEAN_GAIN, SCALE_GAIN, LOGIT_GAIN, CHAIN_GAIN = 32.0, 12.0, 12.0, 64.0
"""Units per level (means), per octave (scales, logits) and per one (chain coefficients)."""

DIRECT_PATCHES = 8
"""Patches of a batch from which the direct stage learns, in a model without stages."""


@dataclass(frozen=True)
class Architecture:
    """What a recipe says about the networks; names as in FORMAT.md section 7."""

    kind: ClassVar[str] = "bit_swap"
    channels: int
    stages: int
    mixtures: int
    width: int
    blocks: int
    channel_width: int
    direct_width: int
    direct_blocks: int
    core_width: int
    core_blocks: int
    latent_layers: int
    latent_channels: int
    patch_log2: int = 8

    def network(self) -> "BitSwapNet":
        """The network, with random weights."""
        return BitSwapNet(self)

    def misfit(self, patch: int) -> str:
        """What is wrong with this model or a patch side, or nothing."""
        if not 3 <= self.patch_log2 <= 12:
            return "patch_log2 must be 3 .. 12"
        if self.stages == 0:
            return "patch must be even" if patch % 2 else ""
        fits = patch & (patch - 1) == 0 and patch >> self.stages >= 2
        return "" if fits else f"patch must be a power of two of at least {2 << self.stages}"

    def header(self) -> dict[str, object]:
        """The `arch` of FORMAT.md section 7."""
        names = ("channels", "stages", "mixtures", "latent_layers", "latent_channels")
        blocks = {"stage": self.blocks, "core": self.core_blocks, "direct": self.direct_blocks}
        patch = {} if self.patch_log2 == 8 else {"patch_log2": self.patch_log2}
        return {name: getattr(self, name) for name in names} | {"blocks": blocks} | patch


def phase_gains(channels: int, mixtures: int, octave: float) -> tuple[Tensor, Tensor]:
    """Output gains and initial biases (natural units) of one phase; scales start at 2**octave levels."""
    k = mixtures
    spread = torch.linspace(-1, 1, k) if k > 1 else torch.zeros(1)
    gain = [LOGIT_GAIN] * k + [MEAN_GAIN] * k + [SCALE_GAIN] * k
    bias = [0.0] * k + [0.0] * k + (4 + octave + spread).tolist()
    chain = {1: [], 3: [0.8, 0.0, 0.8]}[channels]
    return torch.tensor(gain * channels + [CHAIN_GAIN] * len(chain)), torch.tensor(bias * channels + chain)


def latent_gains(latent_channels: int, octave: float) -> tuple[Tensor, Tensor]:
    """The same for Z means and Z scales of a latent layer."""
    z = latent_channels
    return torch.tensor([MEAN_GAIN] * z + [SCALE_GAIN] * z), torch.tensor([0.0] * z + [4 + octave] * z)


def floored(p: Tensor, alphabet: int) -> Tensor:
    """Bits of probability p when every symbol of the alphabet gets 2^-16 first (FORMAT.md section 3)."""
    return -torch.log2(p * (1 - alphabet / 65536) + 1 / 65536)


def mixture_bits(x: Tensor, logits: Tensor | None, means: Tensor, scales: Tensor, alphabet: int) -> Tensor:
    """-log2 p(x) of FORMAT.md section 3.2 with exact sigmoids. means in 1/32 level, scales as indices; components on
    dim 1.

    x : (n, ...); the others (n, K, ...). Returns (n, ...).
    """
    x = x.unsqueeze(1)
    inverse = torch.exp2(4 - scales / SCALE_GAIN)
    centred = (x - means / MEAN_GAIN) * inverse
    upper = torch.where(x >= alphabet - 1, 1.0, torch.sigmoid(centred + 0.5 * inverse))
    lower = torch.where(x <= 0, 0.0, torch.sigmoid(centred - 0.5 * inverse))
    mass = upper - lower
    if logits is None:
        p = mass.squeeze(1)
    else:
        p = (mass * torch.softmax(logits * (torch.log(torch.tensor(2.0)) / LOGIT_GAIN), dim=1)).sum(1)
    return floored(p, alphabet)


class ChannelNetworks(nn.ModuleList):
    """The channel networks of one phase, for channels 1 .. c-1."""

    def __init__(self, channels: int, mixtures: int, width: int, inner: int):
        gain = phase_gains(1, mixtures, 0.0)[0]
        super().__init__(ChannelNetwork(width, ch, inner, gain) for ch in range(1, channels))

    def correct(self, y: Tensor, features: Tensor, x: Tensor, base: Tensor, quantised: bool) -> Tensor:
        """Outputs y of the phase, every channel corrected by the channels before it. x, base : (n, c, h, w)."""
        if not len(self):
            return y
        deviations = (x - torch.floor((base + 16) / 32)).clamp(-127, 127)
        added = [net(features, deviations[:, :ch], quantised) for ch, net in enumerate(self, 1)]
        size = added[0].shape[1]
        return torch.cat(
            [y[:, :size], y[:, size : size * (len(added) + 1)] + torch.cat(added, 1), y[:, size * (len(added) + 1) :]],
            1,
        )


def phase_bits(x: Tensor, y: Tensor, base: Tensor, mixtures: int) -> Tensor:
    """Bits (n, c, h, w) of one phase, FORMAT.md section 4.3. x, base : (n, c, h, w); y : (n, outputs, h, w)."""
    c, k = x.shape[1], mixtures
    chain, pair, bits = y[:, 3 * k * c :].clamp(-127, 127), 0, []
    for ch in range(c):
        logits, offset, scale = torch.split(y[:, 3 * k * ch : 3 * k * (ch + 1)], k, dim=1)
        mean = base[:, ch : ch + 1] + offset.clamp(-8160, 8160)
        for earlier in range(ch):
            residual = 32 * x[:, earlier] - base[:, earlier]
            mean = mean + (chain[:, pair] * residual / CHAIN_GAIN).unsqueeze(1)
            pair += 1
        bits.append(mixture_bits(x[:, ch], logits.clamp(-127, 127), mean, scale.clamp(0, 127), 256))
    return torch.stack(bits, dim=1)


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
        return phase_bits(x, networks.correct(y, features, x, base, quantised), base, self.mixtures)

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

    The twin of a stage wants even sizes, so a grid is padded with zeros to a power of two; a codec does not pad, and
    pays a little more at the edges and nothing for the zeros.
    """
    side = 1 << (max(grid.shape[2:]) - 1).bit_length()
    grid = F.pad(grid, (0, side - grid.shape[3], 0, side - grid.shape[2]))
    total = torch.full((len(grid),), 8.0 * grid.shape[1], device=grid.device)
    while grid.shape[-1] > 1:
        grid, bits = stage(grid, quantised, dtype)
        total = total + bits
    return total.mean()


class Core(nn.Module):
    """The Bit-Swap core of FORMAT.md section 6.1: L Markov layers of discretised logistic latents."""

    def __init__(self, arch: Architecture):
        super().__init__()
        c, z, k = arch.channels, arch.latent_channels, arch.mixtures
        self.mixtures = k
        data_gain, data_bias = phase_gains(c, k, 5.0)
        sizes = [4 * c] + [z] * arch.latent_layers
        self.q = nn.ModuleList(
            Trunk(n, arch.core_width, arch.core_blocks, *latent_gains(z, 1.0), in_std=1.4) for n in sizes[:-1]
        )
        self.p = nn.ModuleList(
            Trunk(z, arch.core_width, arch.core_blocks, *gains, in_std=3.0)
            for gains in [(data_gain.repeat(4), data_bias.repeat(4))]
            + [latent_gains(z, 3.0)] * (arch.latent_layers - 1)
        )
        self.prior = nn.Parameter(torch.tensor([[0.0], [7.0]]).repeat(1, z))

    def prior_integers(self) -> Tensor:
        """The `prior` tensor of FORMAT.md section 6.1, straight-through rounded: (2, Z)."""
        gains = torch.tensor([[MEAN_GAIN], [SCALE_GAIN]], device=self.prior.device)
        return torch.cat(
            [round_clamp((self.prior * gains)[:1], -4096, 4096), round_clamp((self.prior * gains)[1:], 0, 127)]
        )

    def forward(self, grid: Tensor, quantised: bool, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """grid : (n, c, h, w), even sizes. Returns net bits per patch (the negative ELBO) and those popped for z_1."""
        phases = [grid[:, :, a::2, b::2] for a in (0, 1) for b in (0, 1)]
        below = (torch.cat(phases, dim=1) - 128).clamp(-127, 127)  # network input of the layer below
        net = torch.zeros(len(grid), device=grid.device)
        popped = net
        for layer, (q, p) in enumerate(zip(self.q, self.p, strict=True)):
            means, scales = _latent(q(below, quantised, dtype)[1])
            noise = torch.rand_like(means).clamp(1e-6, 1 - 1e-6)
            sample = means / MEAN_GAIN + torch.exp2(scales / SCALE_GAIN - 4) * torch.logit(noise)
            z = round_clamp(sample, 0, LATENT_ALPHABET - 1)
            posterior = _latent_bits(z, means, scales)
            popped = popped + posterior if layer == 0 else popped
            y = p(z - 64, quantised, dtype)[1]
            if layer == 0:
                base = torch.full_like(phases[0], 4096.0)
                parts = zip(phases, y.chunk(4, dim=1), strict=True)
                likelihood = sum(phase_bits(x, part, base, self.mixtures).sum(dim=(1, 2, 3)) for x, part in parts)
            else:
                likelihood = _latent_bits(below + 64, *_latent(y))
            net = net + likelihood - posterior
            below = z - 64
        mean, scale = self.prior_integers()[:, None, :, None, None]
        net = net + _latent_bits(below + 64, (2048 + mean).expand_as(below), scale.expand_as(below))
        return net, popped


def _latent(y: Tensor) -> tuple[Tensor, Tensor]:
    means, scales = y.chunk(2, dim=1)
    return 2048 + means.clamp(-4096, 4096), scales.clamp(0, 127)


def _latent_bits(z: Tensor, means: Tensor, scales: Tensor) -> Tensor:
    bits = mixture_bits(z, None, means.unsqueeze(1), scales.unsqueeze(1), LATENT_ALPHABET)
    return bits.sum(dim=(1, 2, 3))


class BitSwapNet(nn.Module):
    """Stages 1 .. S, the direct stage S + 1 and the core."""

    def __init__(self, arch: Architecture):
        super().__init__()
        self.arch = arch
        shapes = [(arch.width, arch.blocks)] * arch.stages + [(arch.direct_width, arch.direct_blocks)]
        self.stages = nn.ModuleList(Stage(arch.channels, arch.mixtures, *shape, arch.channel_width) for shape in shapes)
        self.core = Core(arch)

    def trunks(self) -> dict[str, nn.Module]:
        """The trunks besides the stages, by their names in the model file."""
        named = {f"q{number}": q for number, q in enumerate(self.core.q, 1)}
        return named | {f"p{number}": p for number, p in enumerate(self.core.p)}

    def bits(self, x: Tensor, quantised: bool = True, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        """Mean bits per patch of x (n, c, h, w), integer-valued floats: `stage1`.., `core`, `popped`, `direct`; h = w
        even, a power of two if there are stages.
        """
        result: dict[str, Tensor] = {}
        grid = x
        for number, stage in enumerate(self.stages[:-1], 1):
            grid, bits = stage(grid, quantised, dtype)
            result[f"stage{number}"] = bits.mean()
        net, popped = self.core(grid, quantised, dtype)
        result["core"], result["popped"] = net.mean(), popped.mean()
        # Without stages the direct stage sees whole patches, and only the first patches of a chunk are coded by it.
        few = grid if self.arch.stages else grid[:DIRECT_PATCHES]
        result["direct"] = direct_bits(self.stages[-1], few, quantised, dtype)
        return result

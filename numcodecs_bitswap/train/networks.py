"""The differentiable form of a Bit-Swap model: the same networks, windows and distributions as FORMAT.md sections 3 to
6.2, in floats.

`BitSwapNet.bits` returns the bits that the integer model would spend on a batch of patches, part by part.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from .distributions import (
    LATENT_ALPHABET,
    MEAN_GAIN,
    PIXEL_MEANS,
    SCALE_GAIN,
    latent_gains,
    mixture_bits,
    phase_bits,
    phase_gains,
)
from .fake_quant import Trunk, round_clamp
from .stages import DIRECT_PATCHES, Stage, direct_bits, direct_learns


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The table [model] of a recipe of kind `bit_swap`; names as in FORMAT.md section 7.2."""

    kind: ClassVar[str] = "bit_swap"
    levels: ClassVar[int] = 256
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
        """What is wrong with this model or patch side; "" if nothing."""
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


class Core(nn.Module):
    """The Bit-Swap core of FORMAT.md section 6.1: L Markov layers of discretised logistic latents."""

    def __init__(self, arch: Architecture):
        super().__init__()
        c, z, k = arch.channels, arch.latent_channels, arch.mixtures
        self.mixtures = k
        data_gain, data_bias = phase_gains(c, k, 5.0, *(() if arch.stages else PIXEL_MEANS))
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
        popped = torch.zeros_like(net)
        for layer, (q, p) in enumerate(zip(self.q, self.p, strict=True)):
            means, scales = _latent(q(below, quantised, dtype)[1])
            noise = torch.rand_like(means).clamp(1e-6, 1 - 1e-6)
            sample = means / MEAN_GAIN + torch.exp2(scales / SCALE_GAIN - 4) * torch.logit(noise)
            z = round_clamp(sample, 0, LATENT_ALPHABET - 1)
            posterior = _latent_bits(z, means, scales, posterior=True)
            popped = popped + posterior if layer == 0 else popped
            y = p(z - 64, quantised, dtype)[1]
            if layer == 0:
                parts = zip(phases, y.chunk(4, dim=1), strict=True)
                base = torch.full_like(phases[0], 4096.0)
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


def _latent_bits(z: Tensor, means: Tensor, scales: Tensor, posterior: bool = False) -> Tensor:
    bits = mixture_bits(z, None, means.unsqueeze(1), scales.unsqueeze(1), LATENT_ALPHABET, posterior)
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
        """The trunks other than those of stages, by their names in the model file."""
        named = {f"q{number}": q for number, q in enumerate(self.core.q, 1)}
        return named | {f"p{number}": p for number, p in enumerate(self.core.p)}

    def bits(self, x: Tensor, quantised: bool = True, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        """Mean bits per patch of x (n, c, h, w), integer-valued floats: `stage1`.., `core`, `popped`, `direct`; h = w
        even, a power of two if there are stages. Without stages `direct` is left out of most training batches.
        """
        result: dict[str, Tensor] = {}
        grid = x
        for number, stage in enumerate(self.stages[:-1], 1):
            grid, bits = stage(grid, quantised, dtype)
            result[f"stage{number}"] = bits.mean()
        net, popped = self.core(grid, quantised, dtype)
        result["core"], result["popped"] = net.mean(), popped.mean()
        if self.arch.stages:
            result["direct"] = direct_bits(self.stages[-1], grid, quantised, dtype)
        elif direct_learns(self.training):
            result["direct"] = direct_bits(self.stages[-1], grid[:DIRECT_PATCHES], quantised, dtype)
        return result

"""The differentiable form of a model of kind `flow` (FORMAT.md section 6.5): the layers of the flow in floats, with the
density that local bits-back coding pays for.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from .couplings import Coupling, Inputs, Known
from .distributions import SCALE_GAIN
from .fake_quant import Trunk, quantised_clamp
from .stages import DIRECT_PATCHES, Stage, direct_bits, direct_learns
from .vae import POSTERIOR_GAIN, Buckets

LOG2PI = math.log(2 * math.pi)


@dataclass(frozen=True, kw_only=True)
class FlowArchitecture:
    """The table [model] of a recipe of kind `flow`; names as in FORMAT.md section 7.4.

    `halvings` is the number of squeezes. On each grid half of the pixels are transformed given the rest, then half of
    that rest. The colours are transformed in `colour_steps` steps: 3, or 2 with red and blue in one step.
    """

    kind: ClassVar[str] = "flow"
    levels: ClassVar[int] = 256
    channels: int
    stages: int
    mixtures: int
    halvings: int
    value_bits: int
    latent_bits: int
    noise_bits: int
    bucket_bits: int
    width: int
    blocks: int
    channel_width: int
    direct_width: int
    direct_blocks: int
    core_width: int
    core_blocks: int
    patch_log2: int = 8
    colour_steps: int = 3

    def network(self) -> "FlowNet":
        """The network, with random weights."""
        return FlowNet(self)

    def misfit(self, patch: int) -> str:
        """What is wrong with this model or patch side; "" if nothing."""
        if not 3 <= self.patch_log2 <= 12 or not 5 <= self.value_bits <= 14 or not 5 <= self.latent_bits <= 17:
            return "patch_log2 must be 3 .. 12, value_bits 5 .. 14, latent_bits 5 .. 17"
        if self.bucket_bits > min(9, self.value_bits) or self.halvings < 1:
            return "bucket_bits must be at most 9 and value_bits, halvings at least 1"
        if self.colour_steps not in (2, 3):
            return "colour_steps must be 2 or 3"
        fits = patch & (patch - 1) == 0 and patch >> self.stages + self.halvings >= 1
        return "" if fits else f"patch must be a power of two of at least {1 << self.stages + self.halvings}"

    def header(self) -> dict[str, object]:
        """The `arch` of FORMAT.md section 7."""
        names = ("channels", "stages", "mixtures", "value_bits", "latent_bits", "noise_bits", "bucket_bits")
        blocks = {"stage": self.blocks, "core": self.core_blocks, "direct": self.direct_blocks}
        patch = {} if self.patch_log2 == 8 else {"patch_log2": self.patch_log2}
        lines = {"layers": [list(line) for line in self.layers()], "blocks": blocks}
        return {name: getattr(self, name) for name in names} | lines | patch

    def layers(self) -> list[tuple[str, list[int]] | tuple[str]]:
        """The layers: on every grid a checkerboard of pixels, then phase (1, 1), then, at the end, phase (0, 0); each
        time blue given the other colours, red given green, then green (or red and blue given green, then green).
        """
        c = self.channels
        lines: list[tuple[str, list[int]] | tuple[str]] = [("pointwise",)]
        for halving in range(self.halvings):
            lines.append(("squeeze",))
            last = halving == self.halvings - 1
            for phases in [(1, 2), (3,)] + ([(0,)] if last else []):
                for colours in [[0]] if c == 1 else [[2], [0], [1]] if self.colour_steps == 3 else [[0, 2], [1]]:
                    lines.append(("mixture", [c * p + q for p in phases for q in colours]))
            if not last:
                lines.append(("split", list(range(c, 4 * c))))
        return lines


class FlowNet(nn.Module):
    """Stages 1 .. S, the direct stage S + 1 and the flow."""

    def __init__(self, arch: FlowArchitecture):
        super().__init__()
        self.arch = arch
        c, shapes = arch.channels, [(arch.width, arch.blocks)] * arch.stages + [(arch.direct_width, arch.direct_blocks)]
        self.stages = nn.ModuleList(Stage(c, arch.mixtures, *shape, arch.channel_width) for shape in shapes)
        known = [Known(q, True) for q in range(c)]
        if arch.bucket_bits:
            self.buckets = Buckets(arch.bucket_bits)
            self.noise_inputs = Inputs(known * 4, list(range(4 * c)))
            gains = torch.tensor([POSTERIOR_GAIN, SCALE_GAIN]).repeat_interleave(4 * c)
            biases = torch.tensor([0.0, 7.9]).repeat_interleave(4 * c)
            gain = self.noise_inputs.gain.repeat(9)
            self.noise = Trunk(36 * c, arch.core_width, arch.core_blocks, gains, biases, in_gain=gain)
        self.layers = nn.ModuleDict()
        self.matrices = nn.ParameterDict()
        self.lines = arch.layers()
        for number, (kind, *chosen) in enumerate(self.lines, 1):
            if kind == "squeeze":
                known = known * 4
            elif kind == "pointwise":
                for part in ("upper", "lower"):
                    self.matrices[f"flow{number}_{part}"] = nn.Parameter(torch.zeros(len(known), len(known)))
            elif kind == "split":
                known = [each for k, each in enumerate(known) if k not in chosen[0]]
            else:
                self.layers[f"flow{number}"] = Coupling(
                    known, chosen[0], arch.mixtures, arch.core_width, arch.core_blocks
                )
                known = [each._replace(pixel=each.pixel and k not in chosen[0]) for k, each in enumerate(known)]

    def trunks(self) -> dict[str, nn.Module]:
        """The trunks other than those of stages, by their names in the model file."""
        couplings: dict[str, nn.Module] = {
            name: layer.network for name, layer in self.layers.items() if isinstance(layer, Coupling)
        }
        return couplings | ({"dequantise": self.noise} if self.arch.bucket_bits else {})

    def integers(self) -> dict[str, Tensor]:
        """The matrices of the pointwise layers, as in FORMAT.md section 7.4."""
        return {name.replace("_", "."): _twelfths(m) * 4096 for name, m in self.matrices.items()}

    def bits(self, x: Tensor, quantised: bool = True, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        """Mean bits per patch of x (n, c, h, w), integer-valued floats: `stage1`.., `core`, `popped`, `direct`.
        Without stages `direct` is left out of most training batches.
        """
        result: dict[str, Tensor] = {}
        grid = x
        for number, stage in enumerate(self.stages[:-1], 1):
            grid, bits = stage(grid, quantised, dtype)
            result[f"stage{number}"] = bits.mean()
        noise, popped = self.dequantise(grid, quantised, dtype)
        z, volume = self.transform(grid + noise, quantised, dtype)
        prior = sum((0.5 * (each**2 + LOG2PI)).sum(dim=(1, 2, 3)) for each in z)
        result["core"] = ((prior - volume) / math.log(2) - popped).mean()
        result["popped"] = popped.mean()
        if self.arch.stages:
            result["direct"] = direct_bits(self.stages[-1], grid, quantised, dtype)
        elif direct_learns(self.training):
            result["direct"] = direct_bits(self.stages[-1], grid[:DIRECT_PATCHES], quantised, dtype)
        return result

    def dequantise(self, grid: Tensor, quantised: bool, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Noise in 0 .. 1 for every pixel (n, c, h, w), and the bits per patch that popping it takes in addition to
        uniform noise (negative).
        """
        if not self.arch.bucket_bits:
            return torch.rand_like(grid), torch.zeros(len(grid), device=grid.device)
        cells = squeeze(grid)
        means, scales = self.noise(self.noise_inputs(cells)[0], quantised, dtype)[1].chunk(2, dim=1)
        mean = means.clamp(-256, 256) / POSTERIOR_GAIN
        sigma = torch.exp2(scales.clamp(0, 127) / SCALE_GAIN - 8)
        u = torch.special.ndtr(mean + sigma * torch.randn_like(mean))
        n = self.buckets.n
        bucket = torch.floor(u.detach() * n).clamp(0, n - 1)
        u = u + ((bucket + torch.rand_like(u)) / n - u).detach()
        popped = self.buckets.entropy(mean, sigma) - self.arch.bucket_bits
        return unsqueeze(u), popped.sum(dim=(1, 2, 3))

    def transform(
        self, v: Tensor, quantised: bool = True, dtype: torch.dtype = torch.float32
    ) -> tuple[list[Tensor], Tensor]:
        """All latents of real-valued pixels v (n, c, h, w), and log |det| of the flow's Jacobian per patch, in nats."""
        z, volume = [], torch.zeros(len(v), device=v.device)
        for number, (kind, *chosen) in enumerate(self.lines, 1):
            if kind == "squeeze":
                v = squeeze(v)
            elif kind == "pointwise":
                for part in ("upper", "lower"):
                    v = v + torch.einsum("ij,njhw->nihw", self._triangle(f"flow{number}_{part}"), v)
            elif kind == "split":
                z.append(v[:, chosen[0]])
                v = v[:, [k for k in range(v.shape[1]) if k not in chosen[0]]]
            else:
                v, more = self.layers[f"flow{number}"](v, quantised, dtype)
                volume = volume + more
        return [*z, v], volume

    def _triangle(self, name: str) -> Tensor:
        part = torch.triu if name.endswith("upper") else torch.tril
        return part(_twelfths(self.matrices[name]), 1 if name.endswith("upper") else -1)


def squeeze(v: Tensor) -> Tensor:
    """(n, C, 2h, 2w) to (n, 4 C, h, w)."""
    return torch.cat([v[:, :, a::2, b::2] for a in (0, 1) for b in (0, 1)], dim=1)


def unsqueeze(v: Tensor) -> Tensor:
    """The inverse of `squeeze`."""
    n, c, h, w = v.shape
    return v.reshape(n, 2, 2, c // 4, h, w).permute(0, 3, 4, 1, 5, 2).reshape(n, c // 4, 2 * h, 2 * w)


def _twelfths(m: Tensor) -> Tensor:
    """A matrix rounded to steps of 2^-12, with a straight-through gradient."""
    return quantised_clamp(m * 4096, -32768.0, True, 32767.0) / 4096

"""The differentiable form of a model of kind `vae` (FORMAT.md section 6.3): fully connected networks, one latent layer
with a uniform prior over equal-mass buckets of the normal distribution.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from .distributions import SCALE_GAIN
from .fake_quant import UNIT, Trunk
from .likelihoods import likelihood
from .stages import DIRECT_PATCHES, Stage, direct_bits, direct_learns

POSTERIOR_GAIN = 64.0
"""Units of a posterior mean per standard deviation of the prior."""


@dataclass(frozen=True, kw_only=True)
class VaeArchitecture:
    """The table [model] of a recipe of kind `vae`; names as in FORMAT.md section 7.3. `hidden` is the width of both
    networks, `direct_width` and `channel_width` are those of the direct stage.
    """

    kind: ClassVar[str] = "vae"
    channels: int
    height: int
    width: int
    latent_channels: int
    latent_bits: int
    likelihood: str
    levels: int
    mixtures: int
    hidden: int
    direct_width: int
    direct_blocks: int
    channel_width: int

    def network(self) -> "VaeNet":
        """The network, with random weights."""
        return VaeNet(self)

    def misfit(self, patch: int) -> str:
        """What is wrong with this model or patch side; "" if nothing."""
        levels = {"bernoulli": (2, 2), "beta_binomial": (256, 256), "logistic": (256, 256), "categorical": (2, 128)}
        if self.likelihood not in levels:
            return f"likelihood must be one of {', '.join(levels)}"
        low, high = levels[self.likelihood]
        if not low <= self.levels <= high:
            return f"levels must be {low} .. {high} if the likelihood is {self.likelihood}"
        if not 1 <= self.latent_bits <= 9:
            return "latent_bits must be 1 .. 9"
        return "" if self.height == self.width == patch else "patch must be the model's height and width"

    def header(self) -> dict[str, object]:
        """The `arch` of FORMAT.md section 7."""
        names = ("channels", "height", "width", "latent_channels", "latent_bits", "likelihood", "levels", "mixtures")
        return {name: getattr(self, name) for name in names} | {"blocks": {"direct": self.direct_blocks}}


class Buckets(nn.Module):
    """Equal-mass buckets of the standard normal distribution: 2**bits of them."""

    def __init__(self, bits: int):
        super().__init__()
        self.n = 1 << bits
        quantiles = torch.special.ndtri(torch.arange(2 * self.n + 1, dtype=torch.float64) / (2 * self.n)).float()
        self.edges: Tensor
        self.inputs: Tensor
        # The outermost edges are finite: with infinite ones the gradient would be 0 times infinity.
        self.register_buffer("edges", quantiles[::2].clamp(-1e3, 1e3), persistent=False)
        self.register_buffer("inputs", torch.floor(quantiles[1::2] * UNIT + 0.5), persistent=False)

    def sample(self, mean: Tensor, sigma: Tensor) -> Tensor:
        """Network input of the bucket of a sample of a Gaussian; the gradient is that of the sample."""
        sample = mean + sigma * torch.randn_like(mean)
        bucket = (torch.special.ndtr(sample.detach()) * self.n).long().clamp(0, self.n - 1)
        value = sample.clamp(*(self.inputs[[0, -1]] / UNIT).tolist()) * UNIT
        return value + (self.inputs[bucket] - value).detach()

    def entropy(self, mean: Tensor, sigma: Tensor) -> Tensor:
        """Entropy in bits of the Gaussian over the buckets (FORMAT.md section 3.4): the expected bits of a pop."""
        below = torch.erf((self.edges - mean.unsqueeze(-1)) * (math.sqrt(0.5) / sigma.unsqueeze(-1)))
        nats: Tensor = torch.special.entr((0.5 * below.diff(dim=-1)).clamp(min=1e-9)).sum(-1)
        return nats / math.log(2)


class VaeNet(nn.Module):
    """Networks q and p, and the direct stage. The patches of a batch are the cells of one grid, as no layer looks at
    neighbours.
    """

    def __init__(self, arch: VaeArchitecture):
        super().__init__()
        self.arch = arch
        n, z = arch.channels * arch.height * arch.width, arch.latent_channels
        self.buckets = Buckets(arch.latent_bits)
        self.model = likelihood(arch.likelihood, arch.levels, arch.mixtures)
        # Black is zero and white one unit, for any number of levels.
        span, black = (254, -127) if arch.levels == 256 else (127, 0)
        gains = torch.tensor([POSTERIOR_GAIN, SCALE_GAIN]).repeat_interleave(z)
        biases = torch.tensor([0.0, 7.5]).repeat_interleave(z)
        in_gain = torch.full((n,), UNIT / span)
        self.q = Trunk(n, arch.hidden, 0, gains, biases, in_std=3.0, in_gain=in_gain, zero=black)
        gains, biases = (torch.tensor(v).repeat_interleave(n) for v in (self.model.gains, self.model.biases))
        self.p = Trunk(z, arch.hidden, 0, gains, biases, in_std=1.4, in_gain=torch.ones(z))
        stage = Stage(arch.channels, arch.mixtures, arch.direct_width, arch.direct_blocks, arch.channel_width)
        self.stages = nn.ModuleList([stage])

    def trunks(self) -> dict[str, Trunk]:
        """The trunks other than those of stages, by their names in the model file."""
        return {"q": self.q, "p": self.p}

    def bits(self, x: Tensor, quantised: bool = True, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        """Mean bits per patch of x (n, c, h, w), integer-valued floats: `core`, `popped`, and `direct`, which is left
        out of most training batches.
        """
        values = x.permute(0, 2, 3, 1).flatten(1)
        levels = self.arch.levels
        u = (values - 128).clamp(-127, 127) if levels == 256 else values * (127 // (levels - 1))
        means, scales = _rows(self.q(_cells(u), quantised, dtype)[1]).chunk(2, dim=1)
        mean = means.clamp(-256, 256) / POSTERIOR_GAIN
        sigma = torch.exp2(scales.clamp(0, 127) / SCALE_GAIN - 8)
        popped = self.buckets.entropy(mean, sigma).sum(1)
        y = _rows(self.p(_cells(self.buckets.sample(mean, sigma)), quantised, dtype)[1])
        data = self.model.bits(values, y.reshape(len(x), -1, values.shape[1])).sum(1)
        prior = self.arch.latent_channels * self.arch.latent_bits
        result = {"core": (data + prior - popped).mean(), "popped": popped.mean()}
        if direct_learns(self.training):
            result["direct"] = direct_bits(self.stages[0], x[:DIRECT_PATCHES], quantised, dtype)
        return result


def _cells(rows: Tensor) -> Tensor:
    return rows.t()[None, :, :, None]


def _rows(cells: Tensor) -> Tensor:
    return cells[0, :, :, 0].t()

"""The differentiable form of a flow's couplings (FORMAT.md section 6.5): the inputs of their networks, and mixtures of
logistics transformed to standard normal latents.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .distributions import LOGIT_GAIN, MEAN_GAIN, SCALE_GAIN, phase_gains
from .fake_quant import UNIT, Trunk, round_clamp
from .stages import window

MEAN_START = 4.0
"""Parameter of a skip layer's weight with which a mean equals a pixel."""
LOG2PI = math.log(2 * math.pi)
OCTAVES = 28 * math.log(2)
"""Logits are clamped to this."""


class Known(NamedTuple):
    """A channel: its colour, and whether it is a pixel channel."""

    colour: int
    pixel: bool


class Coupling(nn.Module):
    """A mixture coupling."""

    def __init__(self, known: list[Known], changed: list[int], mixtures: int, width: int, blocks: int):
        super().__init__()
        self.changed, self.mixtures = changed, mixtures
        self.inputs = Inputs(known, [k for k in range(len(known)) if k not in changed])
        gains, biases = [], []
        for k in changed:
            alone = self.inputs.references[known[k].colour] is None
            octave = (5.0 if alone else 3.0) if known[k].pixel else -0.5
            gain, bias = phase_gains(1, mixtures, octave, reach=96.0 if alone and known[k].pixel else 0.0)
            gains.append(gain)
            biases.append(bias)
        n = 9 * len(self.inputs.channels)
        gain = self.inputs.gain.repeat(9)
        self.network = Trunk(n, width, blocks, torch.cat(gains), torch.cat(biases), in_gain=gain)
        self.colours = [known[k].colour if known[k].pixel else None for k in changed]
        self._start_linear(known)

    def _start_linear(self, known: list[Known]) -> None:
        """Initialise the means of pixels: mean of the nearest of their colour, plus changes of green where known."""
        k, seen = self.mixtures, self.inputs.channels
        weight = self.network.skip.weight.data.view(len(self.changed), 3, k, 9, len(seen))
        for n, channel in enumerate(self.changed):
            own, cells = known[channel].colour, len(known) // (1 + max(each.colour for each in known))
            if not known[channel].pixel or cells != 4:
                continue
            row, column = divmod(channel * cells // len(known), 2)
            for colour, share in ((own, 1.0), (1, 0.8)):
                places = []
                for i, other in enumerate(seen):
                    if known[other].pixel and known[other].colour == colour:
                        a, b = divmod(other * cells // len(known), 2)
                        at = [(2 * (w // 3 - 1) + a - row, 2 * (w % 3 - 1) + b - column, w) for w in range(9)]
                        places += [(y * y + x * x, w, i) for y, x, w in at]
                here = [place for place in places if place[0] == 0 and colour != own]
                near = [p for p in places if p[0] == min((q[0] for q in places if q[0]), default=0)]
                if colour != own and not here:
                    continue
                for _, w, i in here:
                    weight[n, 1, :, w, i] += MEAN_START * share
                for _, w, i in near:
                    if w != 4 or i not in self.inputs.references:  # there the input is the level itself
                        weight[n, 1, :, w, i] += (1 if colour == own else -1) * MEAN_START * share / len(near)

    def forward(self, v: Tensor, quantised: bool, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """v : (n, C, h, w). Returns it transformed, and log |det| of the derivative per patch, in nats."""
        u, references = self.inputs(v, quantised)
        y = self.network(u, quantised, dtype)[1].unflatten(1, (len(self.changed), 3, self.mixtures))
        base = torch.stack(
            [torch.zeros_like(v[:, 0]) if q is None else references[q] for q in self.colours], dim=1
        ).unsqueeze(2)
        weights = torch.log_softmax(y[:, :, 0].clamp(-127, 127) * (math.log(2) / LOGIT_GAIN), dim=2)
        means = base + y[:, :, 1].clamp(-8160, 8160) / MEAN_GAIN
        log_scales = (y[:, :, 2].clamp(0, 127) / SCALE_GAIN - 4) * math.log(2)
        t = (v[:, self.changed].unsqueeze(2) - means) * torch.exp(-log_scales)
        below, above = F.logsigmoid(t), F.logsigmoid(-t)
        density = torch.logsumexp(weights + below + above - log_scales, dim=2)
        logit = torch.logsumexp(weights + below, dim=2) - torch.logsumexp(weights + above, dim=2)
        logit = logit.clamp(-OCTAVES, OCTAVES)
        z = -torch.sign(logit) * torch.special.ndtri(torch.sigmoid(-logit.abs()))
        volume = density + 0.5 * z**2 + 0.5 * LOG2PI
        return with_channels(v, self.changed, z), volume.sum(dim=(1, 2, 3))


class Inputs(nn.Module):
    """The inputs of a coupling's network, from the channels that stay."""

    def __init__(self, known: list[Known], channels: list[int]):
        super().__init__()
        self.channels, self.known = channels, [known[k] for k in channels]
        self.references = [
            next((i for i, each in enumerate(self.known) if each.pixel and each.colour == q), None)
            for q in range(max(each.colour for each in known) + 1)
        ]
        self.gain = torch.tensor([UNIT / 4 if each.pixel else 1.0 for each in self.known])

    def forward(self, v: Tensor, quantised: bool = True) -> tuple[Tensor, list[Tensor]]:
        """v : (n, C, h, w). Returns the input (n, 9 channels, h, w) and the reference of every colour, (n, h, w)."""
        seen = torch.stack(
            [_seen(v[:, k], each.pixel, quantised) for k, each in zip(self.channels, self.known, strict=True)], dim=1
        )
        level = torch.full_like(v[:, 0], 128.0)
        references = [level if k is None else seen[:, k] for k in self.references]
        zero = torch.zeros_like(level)
        relative = torch.stack([references[each.colour] if each.pixel else zero for each in self.known], dim=1)
        u = (window(seen, -1, 1) - relative.repeat(1, 9, 1, 1)).clamp(-127, 127)
        own = [4 * len(self.channels) + k for k in self.references if k is not None]
        if own:
            u = with_channels(u, own, (seen[:, [k for k in self.references if k is not None]] - 128).clamp(-127, 127))
        return u, references


def with_channels(v: Tensor, channels: list[int], values: Tensor) -> Tensor:
    """v with other values in some channels."""
    parts = list(v.unbind(1))
    for k, value in zip(channels, values.unbind(1), strict=True):
        parts[k] = value
    return torch.stack(parts, dim=1)


def _seen(v: Tensor, pixel: bool, quantised: bool) -> Tensor:
    """A channel in the units of network inputs: levels, or 1/32 of a latent's deviation."""
    if pixel:
        return torch.floor(v) if quantised else v
    return round_clamp(v * UNIT - 0.5, -127.0, 127.0) if quantised else (v * UNIT).clamp(-127, 127)

"""Fake quantisation: layers that compute in floats what the integer layers of FORMAT.md section 4.1 compute, with
straight-through gradients.

Activations have integer values (int8 units) in a float type. Weights are kept in real units and rounded, at each
forward pass, to `integer / 2**shift` with one shift per output channel; `export.py` writes these integers and shifts.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WEIGHT_LIMIT, WIDE_LIMIT = 63, 4032
"""Largest magnitude of an integer weight, of an ordinary and of a wide layer (FORMAT.md section 4.1)."""
MAX_SHIFT, BIAS_LIMIT, WIDE_BIAS_LIMIT = 12, 2**22, 2**26
"""Largest shift, and bounds that keep biases far below those of FORMAT.md section 4.1."""
SUM_LIMIT, WIDE_SUM_LIMIT = 2**23, 2**28
"""Bounds of sum |w| * 127: half of those of FORMAT.md section 4.1, which leaves the other half for biases."""
UNIT = 32.0
"""Activation units per natural unit: in natural units activations have magnitude one, so common learning rates fit."""


class _RoundClamp(torch.autograd.Function):
    """floor(x + 1/2) clamped to [low, high]; the gradient passes where nothing was clamped."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.limits = low - 0.5, high + 0.5
        return (x + 0.5).floor_().clamp_(low, high)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(grads[0], x, *ctx.limits), None, None


def round_clamp(x: Tensor, low: float, high: float) -> Tensor:
    """Round to the nearest integer (ties up) and clamp, with a straight-through gradient."""
    result: Tensor = _RoundClamp.apply(x, low, high)  # type: ignore[no-untyped-call]
    return result


class QuantLayer(nn.Module):
    """A 1x1 (kernel=1) or zero-padded 3x3 (kernel=3) convolution with integer weights, bias and a shift per output
    channel.

    Parameters
    ----------
    n_in, n_out : int
    kernel : int, 1 or 3
    in_gain, out_gain : Tensor, shape (n_in,) and (n_out,)
        Real weight = out_gain * parameter * in_gain: the gains only affect how fast Adam changes a weight.
    std : float
        Standard deviation of the initial parameters times sqrt(fan in).
    wide : bool
        Integer weights of 13 bits instead of 7. Where outputs are means of pixels, 7 bits cost 1 % of the rate.
    zero : int
        Input that is treated as zero (kernel 1 only); the bias absorbs the difference. If inputs are mostly
        background, every change of a weight would otherwise change the output everywhere.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        kernel: int,
        std: float,
        in_gain: Tensor | None = None,
        out_gain: Tensor | None = None,
        wide: bool = False,
        zero: int = 0,
    ):
        super().__init__()
        self.wide, self.zero = wide, zero
        self.limit = WIDE_LIMIT if wide else WEIGHT_LIMIT
        fan_in = n_in * kernel * kernel
        self.weight = nn.Parameter(torch.randn(n_out, n_in, kernel, kernel) * std / math.sqrt(fan_in))
        self.bias = nn.Parameter(torch.zeros(n_out))
        self.in_gain: Tensor
        self.out_gain: Tensor
        self.register_buffer("in_gain", (torch.ones(n_in) if in_gain is None else in_gain)[None, :, None, None])
        self.register_buffer("out_gain", torch.full((n_out,), UNIT) if out_gain is None else out_gain)

    def integers(self) -> tuple[Tensor, Tensor, Tensor]:
        """Integer weights (n_out, n_in, k, k), biases and shifts (n_out,), all as float tensors."""
        w, b, shift = self._rounded()
        return w, b - self.zero * w.sum(dim=(1, 2, 3)), shift

    def set_integers(self, w: Tensor, b: Tensor, shift: Tensor) -> None:
        """Take the real values of integer weights, biases and shifts; inverse of `integers`."""
        scale = torch.exp2(-shift)
        gain = self.out_gain[:, None, None, None] * self.in_gain / UNIT
        self.weight.copy_(w * scale[:, None, None, None] / gain)
        self.bias.copy_((b + self.zero * w.sum(dim=(1, 2, 3))) * scale / self.out_gain)

    def _rounded(self) -> tuple[Tensor, Tensor, Tensor]:
        with torch.no_grad():
            w = self._real_weight()
            size = w.abs()
            most, most_sum = (WIDE_BIAS_LIMIT, WIDE_SUM_LIMIT) if self.wide else (BIAS_LIMIT, SUM_LIMIT)
            room = torch.minimum(
                self.limit / size.amax(dim=(1, 2, 3)).clamp_min(1e-9),
                most_sum / (127 * size.sum(dim=(1, 2, 3))).clamp_min(1e-9),
            )
            shift = torch.floor(torch.log2(room)).clamp_(0, MAX_SHIFT)
            scale = torch.exp2(shift)
            w = (w * scale[:, None, None, None]).round_().clamp_(-self.limit, self.limit)
            b = (self.bias * self.out_gain * scale).round_().clamp_(-most, most)
        return w, b, shift

    def _real_weight(self) -> Tensor:
        # Shifts are not negative, so the limit of the integers also bounds the real weights.
        gain = self.out_gain[:, None, None, None] * self.in_gain / UNIT
        return (self.weight * gain).clamp(-self.limit, self.limit)

    def forward(self, x: Tensor, quantised: bool = True) -> Tensor:
        """(n, n_in, h, w) integer-valued floats to (n, n_out, h, w), not yet rounded."""
        w, b = self._real_weight(), self.bias * self.out_gain
        if quantised:
            w_int, b_int, shift = self._rounded()
            scale = torch.exp2(-shift)
            w = w + (w_int * scale[:, None, None, None] - w).detach()
            b = b + (b_int * scale - b).detach()
        return F.conv2d(x - self.zero if self.zero else x, w.to(x.dtype), b.to(x.dtype), padding=w.shape[-1] // 2)


class Trunk(nn.Module):
    """The trunk of FORMAT.md section 4.2. `head` is computed in float32, so that means keep their fraction bits with
    bf16.
    """

    def __init__(
        self,
        n_in: int,
        width: int,
        blocks: int,
        out_gain: Tensor,
        out_bias: Tensor,
        in_std: float = 3.0,
        in_gain: Tensor | None = None,
        zero: int = 0,
    ):
        super().__init__()
        self.first = QuantLayer(n_in, width, 1, in_std, in_gain, zero=zero)
        self.convs = nn.ModuleList(QuantLayer(width, width, 3, 1.4) for _ in range(blocks))
        self.outs = nn.ModuleList(QuantLayer(width, width, 1, 0.7) for _ in range(blocks))
        # The inputs have shifts of their own: a linear predictor of a pixel needs weights about UNIT times those of
        # features, and with common shifts the features' weights would round to zero.
        self.head = QuantLayer(width, len(out_gain), 1, 0.02, out_gain=out_gain, wide=True)
        skip_gain = torch.full((n_in,), UNIT / 4) if in_gain is None else in_gain
        self.skip = QuantLayer(n_in, len(out_gain), 1, 0.0, skip_gain, out_gain, wide=True, zero=zero)
        with torch.no_grad():
            self.head.bias.copy_(out_bias)

    def forward(self, u: Tensor, quantised: bool = True, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
        """Features (n, width, h, w) of `dtype` and outputs y (n, n_out, h, w) of u, integer-valued float32
        (n, n_in, h, w) in [-127, 127].
        """
        u = u.contiguous(memory_format=torch.channels_last)  # 1x1 convolutions are several times as fast
        h = quantised_clamp(self.first(u.to(dtype), quantised), 0.0, quantised)
        for conv, out in zip(self.convs, self.outs, strict=True):
            v = quantised_clamp(conv(h, quantised), 0.0, quantised)
            h = quantised_clamp(h + out(v, quantised), -127.0, quantised)
        y = quantised_clamp(self.head(h.float(), quantised), -1e9, quantised, 1e9)
        return h, y + quantised_clamp(self.skip(u, quantised), -1e9, quantised, 1e9)


class ChannelNetwork(nn.Module):
    """The channel network of FORMAT.md section 4.4: corrects a channel's outputs by what the channels before it turned
    out to be.

    Its output is zero at first, so it can be added to a model that was trained without it.
    """

    def __init__(self, width: int, n_earlier: int, inner: int, out_gain: Tensor):
        super().__init__()
        in_gain = torch.cat([torch.ones(width), torch.full((n_earlier,), UNIT / 4)])
        self.first = QuantLayer(width + n_earlier, inner, 1, 1.4, in_gain)
        self.out = QuantLayer(inner, len(out_gain), 1, 0.0, out_gain=out_gain)

    def forward(self, features: Tensor, deviations: Tensor, quantised: bool) -> Tensor:
        """features (n, width, h, w), deviations (n, n_earlier, h, w); returns what to add to the outputs."""
        v = quantised_clamp(
            self.first(torch.cat([features, deviations.to(features.dtype)], dim=1), quantised), 0.0, quantised
        )
        y: Tensor = self.out(v.float(), quantised)
        return quantised_clamp(y, -1e9, quantised, 1e9)


def quantised_clamp(x: Tensor, low: float, quantised: bool, high: float = 127.0) -> Tensor:
    """Clamp, and round with a straight-through gradient if `quantised`."""
    return round_clamp(x, low, high) if quantised else x.clamp(low, high)

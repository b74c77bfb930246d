"""Distributions of the data in a model of kind `vae` (FORMAT.md sections 3.5 to 3.7 and 6.3), in floats.

For each likelihood: gain and initial bias (natural units) of its parameters, and the bits it spends. Parameters y have
shape (n, parameters, elements); x has (n, elements).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .distributions import LOGIT_GAIN, PIXEL_MEANS, floored, mixture_bits, phase_gains
from .fake_quant import round_clamp

SHARPNESS = 95
"""Largest index of a beta-binomial parameter; index a stands for 2^(a/6 - 8)."""


@dataclass(frozen=True)
class Likelihood:
    """One row of the table in FORMAT.md section 6.3; gains and biases have one number per parameter of an element."""

    gains: list[float]
    biases: list[float]
    bits: Callable[[Tensor, Tensor], Tensor]


def likelihood(name: str, levels: int, mixtures: int) -> Likelihood:
    """The likelihood of a name."""
    k = mixtures
    if name == "bernoulli":
        return Likelihood([32.0], [-2.0], bernoulli_bits)
    if name == "beta_binomial":
        return Likelihood([12.0, 12.0], [2.0, 3.5], beta_binomial_bits)
    if name == "logistic":
        gains, biases = phase_gains(1, k, 5.0, *PIXEL_MEANS)
        return Likelihood(gains.tolist(), biases.tolist(), logistic_bits)
    return Likelihood([LOGIT_GAIN] * levels, [0.0] * levels, categorical_bits)


def bernoulli_bits(x: Tensor, y: Tensor) -> Tensor:
    """Section 3.5: logit of 1 in units of 1/32."""
    logit = y[:, 0].clamp(-341, 341) / 32
    return floored(torch.sigmoid(torch.where(x > 0, logit, -logit)), 2)


def logistic_bits(x: Tensor, y: Tensor) -> Tensor:
    """Section 3.2, K components around level 128."""
    logits, means, scales = y.chunk(3, dim=1)
    means = 4096 + means.clamp(-8160, 8160)
    return mixture_bits(x, logits.clamp(-127, 127), means, scales.clamp(0, 127), 256)


def categorical_bits(x: Tensor, y: Tensor) -> Tensor:
    """Section 3.7: a logit for each symbol in units of 1/12 octave."""
    logits = F.log_softmax(y.clamp(-127, 127) * (math.log(2) / LOGIT_GAIN), dim=1)
    return floored(logits.gather(1, x.long().unsqueeze(1)).squeeze(1).exp(), y.shape[1])


def beta_binomial_bits(x: Tensor, y: Tensor) -> Tensor:
    """Section 3.6: indices a and b, rounded straight-through."""
    a, b = round_clamp(y, 0, SHARPNESS).unbind(1)
    log_p: Tensor = _BetaBinomial.apply(a, b, x.long())  # type: ignore[no-untyped-call]
    return floored(torch.exp2(log_p), 256)


@cache
def _beta_binomial_tables(device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Parts of log2 p(x | a, b) = rise[a, x] + rise[b, 255 - x] - total[a, b], and their derivatives by a."""
    index = torch.arange(SHARPNESS + 1, dtype=torch.float64)[:, None]
    t, x = torch.exp2(index / 6 - 8), torch.arange(256, dtype=torch.float64)
    choose = math.lgamma(256) - torch.lgamma(x + 1) - torch.lgamma(256 - x)
    rise = (torch.lgamma(x + t) - torch.lgamma(t) + choose / 2) / math.log(2)
    total = (torch.lgamma(t + t.T + 255) - torch.lgamma(t + t.T)) / math.log(2)
    by_rise = (torch.digamma(x + t) - torch.digamma(t)) * t / 6
    by_total = (torch.digamma(t + t.T + 255) - torch.digamma(t + t.T)) * t / 6
    one, two, three, four = (table.float().to(device) for table in (rise, total, by_rise, by_total))
    return one, two, three, four


class _BetaBinomial(torch.autograd.Function):
    """log2 p(x | a, b) and its gradient from tables: lgamma and digamma of every element would take longer than
    the network.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, x: Tensor) -> Tensor:
        rise, total, *_ = _beta_binomial_tables(a.device)
        i, j = a.long(), b.long()
        ctx.save_for_backward(i, j, x)
        return rise.take(i * 256 + x) + rise.take(j * 256 + 255 - x) - total.take(i * (SHARPNESS + 1) + j)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        i, j, x = ctx.saved_tensors
        _, _, rise, total = _beta_binomial_tables(x.device)
        by_a = rise.take(i * 256 + x) - total.take(i * (SHARPNESS + 1) + j)
        by_b = rise.take(j * 256 + 255 - x) - total.take(j * (SHARPNESS + 1) + i)
        return grads[0] * by_a, grads[0] * by_b, None

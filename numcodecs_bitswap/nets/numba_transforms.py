"""The functions of `transforms` on a CPU, compiled: the same integers."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..jit import compiled, inlined
from .transforms import FINE, LOGIT_LIMIT, MEAN_LIMIT, OCTAVES, UNIT, constants

if TYPE_CHECKING:
    from .transforms import Elementwise

LIMIT = (OCTAVES << 20) - 1
FAR = (OCTAVES << 24) - 1
LINES = 12
MASK30 = (1 << 30) - 1


def forward(function: "Elementwise", x: Tensor) -> tuple[Tensor, Tensor]:
    """See `Elementwise.forward`."""
    y, deviations = torch.empty_like(x), torch.empty_like(x)
    _forward(*_arguments(function), x.numpy(), function.noise_bits, y.numpy(), deviations.numpy())
    return y, deviations


def inverse(function: "Elementwise", y: Tensor) -> Tensor:
    """See `Elementwise.inverse`."""
    x = torch.empty_like(y)
    _inverse(*_arguments(function), y.numpy(), function.reach, x.numpy())
    return x


def _arguments(function: "Elementwise") -> tuple[Any, ...]:
    y = function.y.contiguous().numpy()
    k = y.shape[1] // 3 if function.kind == "mixture" else 0
    tables = [each.numpy() for each in constants(torch.device("cpu"))]
    return (y, k, function.base.contiguous().numpy(), function.bits, function.latent_bits, *tables)


@inlined
def _load(y, k, base, bits, weight, octaves, local):  # type: ignore[no-untyped-def]
    """Put weights, means and octaves of one value into `local`; returns the sum of the weights."""
    n = max(k, 1)
    top = -LOGIT_LIMIT
    for o in range(k):
        top = max(top, min(y[o], LOGIT_LIMIT))
    total = 0
    for o in range(n):
        if k:
            local[o] = weight[min(top - min(max(y[o], -LOGIT_LIMIT), LOGIT_LIMIT), 127)]
            total += local[o]
        local[n + o] = (min(max(int(y[k + o]), -MEAN_LIMIT), MEAN_LIMIT) + base) << (bits - 5)
        local[2 * n + o] = octaves[min(max(y[k + n + o], 0), 127)]
    return total


@inlined
def _interpolated(table, at, bits):  # type: ignore[no-untyped-def]
    place, part = at >> bits, at & ((1 << bits) - 1)
    start = int(table[place])
    return start + ((table[place + 1] - start) * part >> bits)


@inlined
def _log(table, v):  # type: ignore[no-untyped-def]
    # The exponent of v as a float is the place of its highest bit, or one more if v was rounded up.
    exponent = (np.float64(v).view(np.int64) >> 52) - 1023
    exponent -= (v >> exponent) == 0
    mantissa = v >> (exponent - 30) if exponent >= 30 else v << (30 - exponent)
    return (exponent << 24) + _interpolated(table, mantissa & MASK30, 20)


@inlined
def _fine(x, k, bits, local, total, tail, log, quantile):  # type: ignore[no-untyped-def]
    if k == 0:
        t = (x - local[1]) * local[2] >> (bits + 2)
        return min(max(t, -LIMIT), LIMIT) << 4
    mass = 0
    for o in range(k):
        t = (x - local[k + o]) * local[2 * k + o] >> (bits + 2)
        below = _interpolated(tail, min(abs(t), LIMIT), 14)
        mass += local[o] * (below if t < 0 else (1 << 44) - below)
    logit = _log(log, mass) - _log(log, (total << 44) - mass)
    size = _interpolated(quantile, min(abs(logit), FAR), 18)
    return -size if logit < 0 else size


@compiled
def _forward(y, k, base, bits, latent_bits, weight, octaves, tail, log, quantile, x, noise, out, deviations):  # type: ignore[no-untyped-def]
    local = np.empty(3 * max(k, 1), np.int64)
    for i in range(len(x)):
        total = _load(y[i], k, base[i], bits, weight, octaves, local)
        v = int(x[i])
        out[i] = _fine(v, k, bits, local, total, tail, log, quantile) >> (FINE - latent_bits)
        high = _fine(v + (1 << noise), k, bits, local, total, tail, log, quantile)
        low = _fine(v - (1 << noise), k, bits, local, total, tail, log, quantile)
        rise = (high - low) >> (FINE + 1 - UNIT - latent_bits)
        deviations[i] = min(max(rise, 1 << UNIT), 1 << 27)


@compiled
def _inverse(y, k, base, bits, latent_bits, weight, octaves, tail, log, quantile, result, reach, x):  # type: ignore[no-untyped-def]
    local = np.empty(3 * max(k, 1), np.int64)
    for i in range(len(x)):
        total = _load(y[i], k, base[i], bits, weight, octaves, local)
        target = (2 * int(result[i]) + 1) << (FINE - latent_bits - 1)
        # The answer is the same however it is looked for: gallop from where one component would have it, then draw
        # straight lines, then halve.
        low, high = -(1 << reach) - 1, 1 << reach
        below, above = -1, 1
        octave = (1 << (bits + 22)) // local[2 * max(k, 1)] + 1
        at = min(max(local[max(k, 1)] + (octave * target >> 23), low + 1), high - 1)
        step = (octave >> 1) + 1
        while low < at < high:
            rise = _fine(at, k, bits, local, total, tail, log, quantile) - target
            if rise >= 0:
                high, above = at, rise
                at -= step
            else:
                low, below = at, rise
                at += step
            step *= 4
        side, lines = 0, 0
        while high - low > 1:
            lines += 1
            at = low + (high - low) * -below // (above - below) if lines < LINES else (low + high) >> 1
            at = min(max(at, low + 1), high - 1)
            rise = _fine(at, k, bits, local, total, tail, log, quantile) - target
            if rise >= 0:
                below = min(below >> 1, -1) if side > 0 else below  # an end that stays lets the line lean over to it
                high, above, side = at, rise, 1
            else:
                above = above >> 1 if side < 0 else above
                low, below, side = at, rise, -1
        x[i] = high

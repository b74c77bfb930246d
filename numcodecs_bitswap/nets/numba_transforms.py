"""The functions of `transforms` on a CPU, compiled: the same integers.

Loops run over CHUNK values at a time, without branches, so that they become vector instructions. For these the tables
are constants of the compiled code: what no loop can change may be read in any order.
"""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..jit import compiled, inlined
from ..symbols.tables import flow_tables, tables
from .numba_search import FAR, LIMIT, interpolated, log2, search
from .transforms import FINE, LOGIT_LIMIT, MEAN_LIMIT, UNIT

if TYPE_CHECKING:
    from .transforms import Elementwise

WEIGHT, OCTAVES = tables().weight, flow_tables().octaves
TAIL, QUANTILE = flow_tables().tail, flow_tables().quantile
CHUNK = 256
"""Values at a time: their parameters and the tables fit a core's nearest cache."""
STEPS = 2
"""Newton steps before the inverse's first guess."""
GOALS = 512
"""Entries of GOAL for each standard deviation."""
GOAL = np.interp(
    np.arange(6 * GOALS) * (2.0**FINE / GOALS), QUANTILE.astype(np.float64), np.arange(len(QUANTILE)) / 64.0
)
"""Logits in octaves by latents: the inverse of QUANTILE, good enough to begin a search with."""


def forward(function: "Elementwise", x: Tensor) -> tuple[Tensor, Tensor]:
    """See `Elementwise.forward`."""
    y, deviations = torch.empty_like(x), torch.empty_like(x)
    arguments = (x.contiguous().numpy(), function.noise_bits, y.numpy(), deviations.numpy())
    _forward(*_arguments(function), *arguments)
    return y, deviations


def inverse(function: "Elementwise", y: Tensor) -> Tensor:
    """See `Elementwise.inverse`."""
    x = torch.empty_like(y)
    _inverse(*_arguments(function), y.contiguous().numpy(), function.reach, x.numpy())
    return x


def _arguments(function: "Elementwise") -> tuple[object, ...]:
    k = function.y.shape[1] // 3 if function.kind == "mixture" else 0
    return (function.y.contiguous().numpy(), k, function.base.contiguous().numpy(), function.bits, function.latent_bits)


@inlined
def _load(y, k, base, bits, local):  # type: ignore[no-untyped-def]
    """Put n values' weights, means, octaves and sum of weights into `local`, a row each."""
    n, components = len(y), max(k, 1)
    top, total = local[0], local[3 * components]
    for i in range(n):
        total[i] = 0
        top[i] = -LOGIT_LIMIT
    for c in range(1, k):
        for i in range(n):
            top[i] = max(top[i], min(max(y[i, c], y[i, 0]), LOGIT_LIMIT))
    for c in range(k - 1, -1, -1):  # the first row last: until then it holds the largest logits
        weight = local[c]
        for i in range(n):
            largest = max(top[i], min(y[i, 0], LOGIT_LIMIT))
            drop = largest - min(max(y[i, c], -LOGIT_LIMIT), LOGIT_LIMIT)
            weight[i] = WEIGHT[np.uint64(min(max(drop, 0), 127))]
            total[i] += weight[i]
    for c in range(components):
        mean, octave = local[components + c], local[2 * components + c]
        for i in range(n):
            mean[i] = (min(max(y[i, k + c], -MEAN_LIMIT), MEAN_LIMIT) + base[i]) << (bits - 5)
            octave[i] = OCTAVES[np.uint64(min(max(y[i, k + components + c], 0), 127))]


@inlined
def _masses(x, more, k, bits, local, mass):  # type: ignore[no-untyped-def]
    """Masses below x + more in steps of 2^-44, times the weights."""
    for i in range(len(x)):
        mass[i] = 0
    for c in range(k):
        weight, mean, octave = local[c], local[k + c], local[2 * k + c]
        for i in range(len(x)):
            t = (np.int64(x[i]) + more - mean[i]) * octave[i] >> (bits + 2)
            below = interpolated(TAIL, min(abs(t), LIMIT), 14)
            mass[i] += weight[i] * (below if t < 0 else (1 << 44) - below)


@inlined
def _fine(x, more, k, bits, local, mass, out):  # type: ignore[no-untyped-def]
    """fine(x + more) of n values."""
    if k == 0:
        mean, octave = local[1], local[2]
        for i in range(len(x)):
            t = (np.int64(x[i]) + more - mean[i]) * octave[i] >> (bits + 2)
            out[i] = min(max(t, -LIMIT), LIMIT) << 4
        return
    _masses(x, more, k, bits, local, mass)
    total = local[3 * k]
    for i in range(len(x)):
        logit = log2(mass[i]) - log2((np.int64(total[i]) << 44) - mass[i])
        size = interpolated(QUANTILE, min(abs(logit), FAR), 18)
        out[i] = -size if logit < 0 else size


@compiled
def _forward(y, k, base, bits, latent_bits, x, noise, out, deviations):  # type: ignore[no-untyped-def]
    local = np.empty((3 * max(k, 1) + 1, CHUNK), np.int32)
    mass, fine, high = np.empty(CHUNK, np.int64), np.empty(CHUNK, np.int64), np.empty(CHUNK, np.int64)
    for first in range(0, len(x), CHUNK):
        last = min(first + CHUNK, len(x))
        at, result, deviation = x[first:last], out[first:last], deviations[first:last]
        _load(y[first:last], k, base[first:last], bits, local)
        _fine(at, 0, k, bits, local, mass, fine)
        for i in range(len(at)):
            result[i] = fine[i] >> (FINE - latent_bits)
        _fine(at, 1 << noise, k, bits, local, mass, high)
        _fine(at, -(1 << noise), k, bits, local, mass, fine)
        for i in range(len(at)):
            rise = (high[i] - fine[i]) >> (FINE + 1 - UNIT - latent_bits)
            deviation[i] = min(max(rise, 1 << UNIT), 1 << 27)


@inlined
def _start(target, k, bits, reach, local, goal, value, at):  # type: ignore[no-untyped-def]
    """Where to look for values: the mean of where each component would have them."""
    scale, unit, limit = GOALS / 2.0**FINE, 2.0 ** (bits + 22), 2.0**reach
    for i in range(len(at)):
        place = min(abs(target[i]) * scale, 6.0 * GOALS - 2)
        whole = np.uint64(np.int64(place))
        octaves = GOAL[whole] + (GOAL[whole + np.uint64(1)] - GOAL[whole]) * (place - whole)
        goal[i] = -octaves if target[i] < 0 else octaves
        value[i] = 0.0
    for c in range(k):
        weight, mean, octave = local[c], local[k + c], local[2 * k + c]
        for i in range(len(at)):
            value[i] += weight[i] * (mean[i] + goal[i] * (unit / octave[i]))
    total = local[3 * k]
    for i in range(len(at)):
        at[i] = np.int32(min(max(value[i] / total[i], -limit), limit))


@inlined
def _newton(k, bits, reach, local, goal, mass, slope, at):  # type: ignore[no-untyped-def]
    """One step towards the logits `goal`."""
    unit, limit = 2.0 ** (bits + 22), 2.0**reach
    for i in range(len(at)):
        mass[i], slope[i] = 0, 0.0
    for c in range(k):
        weight, mean, octave = local[c], local[k + c], local[2 * k + c]
        for i in range(len(at)):
            t = (np.int64(at[i]) - mean[i]) * octave[i] >> (bits + 2)
            below = interpolated(TAIL, min(abs(t), LIMIT), 14)
            share = below * 2.0**-44
            slope[i] += share * (1.0 - share) * weight[i] * octave[i]
            mass[i] += weight[i] * (below if t < 0 else (1 << 44) - below)
    total = local[3 * k]
    for i in range(len(at)):
        rest = (np.int64(total[i]) << 44) - mass[i]
        logit = (log2(mass[i]) - log2(rest)) * 2.0**-FINE
        below, above = mass[i] * 2.0**-44, rest * 2.0**-44
        step = (goal[i] - logit) * unit * below * above / (slope[i] * total[i])
        at[i] = np.int32(np.int64(min(max(at[i] + step, -limit), limit) + (FAR + 0.5)) - FAR)


@compiled
def _inverse(y, k, base, bits, latent_bits, result, reach, x):  # type: ignore[no-untyped-def]
    components = max(k, 1)
    local = np.empty((3 * components + 1, CHUNK), np.int32)
    own = np.empty(3 * components + 1, np.int64)
    mass, target, here, beside = (
        np.empty(CHUNK, np.int64),
        np.empty(CHUNK, np.int64),
        np.empty(CHUNK, np.int64),
        np.empty(CHUNK, np.int64),
    )
    goal, slope, next_to = np.empty(CHUNK), np.empty(CHUNK), np.empty(CHUNK, np.int32)
    for first in range(0, len(x), CHUNK):
        last = min(first + CHUNK, len(x))
        at, wanted = x[first:last], result[first:last]
        n = len(at)
        _load(y[first:last], k, base[first:last], bits, local)
        for i in range(n):
            target[i] = (2 * np.int64(wanted[i]) + 1) << (FINE - latent_bits - 1)
            at[i] = 0
        # The answer is the same however it is looked for: only the last comparisons have to be exact.
        if k:
            _start(target, k, bits, reach, local, goal, slope, at)
            for _ in range(STEPS):
                _newton(k, bits, reach, local, goal, mass, slope, at)
        _fine(at, 0, k, bits, local, mass, here)
        for i in range(n):
            next_to[i] = at[i] - 1 if here[i] >= target[i] else at[i] + 1
        _fine(next_to[:n], 0, k, bits, local, mass, beside)
        for i in range(n):
            found = (here[i] >= target[i]) != (beside[i] >= target[i])
            if found:
                at[i] = min(max(at[i], next_to[i]), 1 << reach)
            else:
                for o in range(3 * components + 1):
                    own[o] = local[o, i]
                at[i] = search(target[i], at[i], k, bits, reach, own)

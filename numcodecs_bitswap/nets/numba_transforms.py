"""The functions of `transforms` on a CPU, for numpy arrays, compiled: the same integers.

Loops run over CHUNK values at a time, without branches, so that they are vectorised. To allow this, the tables are
constants of the compiled code: no store can alias them.
"""

import numpy as np

from ..arrays import Array
from ..distributions.tables import flow_tables, tables
from ..runtime.jit import compiled, inlined
from .numba_search import FAR, LIMIT, QUANTILES, interpolated, log2, packed, search
from .transforms import FINE, LOGIT_LIMIT, MEAN_LIMIT, UNIT, Elementwise

WEIGHT, OCTAVES = tables().weight.astype(np.int32), flow_tables().octaves  # vector gathers take 32 bits
TAIL, QUANTILE = flow_tables().tail, flow_tables().quantile
CHUNK = 256
"""Values at a time: their parameters and the tables fit the L1 cache."""
STEPS, NEAR_STEPS = 3, 1
"""Newton steps for the guess of the inverse; fewer if values near it are known."""
GOALS = 256
"""Entries of GOAL for each standard deviation."""
GOAL = np.interp(
    np.arange(6 * GOALS) * (2.0**FINE / GOALS), QUANTILE.astype(np.float64), np.arange(len(QUANTILE)) / 64.0
).astype(np.float32)
"""Logits in octaves, by latents: the inverse of QUANTILE, accurate enough to start a search."""
EXP2 = tuple(np.array([1.0000036, 0.69296956, 0.24162132, 0.051717736, 0.013683984], np.float32))
"""2^x for 0 <= x < 1, as a polynomial."""
LOG2 = tuple(
    np.array([1.4426932, -0.72116274, 0.47770593, -0.33924779, 0.21558854, -0.096066259, 0.020490348], np.float32)
)
"""log2(1 + x) / x for 0 <= x < 1."""
ONE, HALF, STEEPEST = np.float32(1), np.float32(0.5), np.float32(30)


class CompiledElementwise(Elementwise):
    """See `Elementwise`."""

    def forward(self, x: Array) -> tuple[Array, Array]:
        y, deviations = np.empty((2, len(x)), np.int32)
        _forward(*self._arguments(), np.ascontiguousarray(x), self.noise_bits, y, deviations)
        return y, deviations

    def inverse(self, y: Array, near: Array | None = None) -> Array:
        x = np.zeros(len(y), np.int32) if near is None else near.copy()
        _inverse(*self._arguments(), np.ascontiguousarray(y), self.reach, near is not None, x)
        return x

    def _arguments(self) -> tuple[object, ...]:
        k = self.y.shape[1] // 3 if self.kind == "mixture" else 0
        return (np.ascontiguousarray(self.y), k, np.ascontiguousarray(self.base), self.bits, self.latent_bits)


@inlined
def _load(y, k, base, bits, local):  # type: ignore[no-untyped-def]
    """Put the weights, means, octaves and sums of weights of values into `local`, a row each."""
    n, components, zero = len(y), max(k, 1), np.int32(0)
    skipped = components - k  # an affine function has no weight
    for c in range(k + 2 * components):
        row = local[skipped + c]
        for i in range(n):
            row[i] = y[np.uint64(i), np.uint64(c)]
    top, total = local[3 * components], local[3 * components]
    for i in range(n):
        top[i] = -LOGIT_LIMIT
    for c in range(k):
        weight = local[c]
        for i in range(n):
            weight[i] = min(max(weight[i], np.int32(-LOGIT_LIMIT)), np.int32(LOGIT_LIMIT))
            top[i] = max(top[i], weight[i])
    for c in range(k):
        weight = local[c]
        for i in range(n):
            weight[i] = WEIGHT[np.uint32(min(top[i] - weight[i], np.int32(127)))]
    for i in range(n):
        total[i] = 0
    for c in range(k):
        weight = local[c]
        for i in range(n):
            total[i] += weight[i]
    for c in range(components):
        mean, octave = local[components + c], local[2 * components + c]
        for i in range(n):
            mean[i] = (min(max(mean[i], np.int32(-MEAN_LIMIT)), np.int32(MEAN_LIMIT)) + base[i]) << np.int32(bits - 5)
            octave[i] = OCTAVES[np.uint32(min(max(octave[i], zero), np.int32(127)))]


@inlined
def _below(t):  # type: ignore[no-untyped-def]
    """A component's mass below t, a logit in steps of 2^-20 octave."""
    below = interpolated(TAIL, min(abs(t), LIMIT), 14)
    return below if t < 0 else (1 << 44) - below


@inlined
def _quantile(mass, total):  # type: ignore[no-untyped-def]
    """fine of the mass below a value, in steps of 2^-44 of the weights' total."""
    logit = log2(mass) - log2((np.int64(total) << 44) - mass)
    size = packed(QUANTILES, min(abs(logit), FAR), 18)
    return -size if logit < 0 else size


@inlined
def _fine(x, k, bits, local, mass, out):  # type: ignore[no-untyped-def]
    """fine(x) of n values."""
    if k == 0:
        mean, octave = local[1], local[2]
        for i in range(len(x)):
            t = (np.int64(x[i]) - mean[i]) * octave[i] >> (bits + 2)
            out[i] = min(max(t, -LIMIT), LIMIT) << 4
        return
    for i in range(len(x)):
        mass[i] = 0
    for c in range(k):
        weight, mean, octave = local[c], local[k + c], local[2 * k + c]
        for i in range(len(x)):
            mass[i] += weight[i] * _below((np.int64(x[i]) - mean[i]) * octave[i] >> (bits + 2))
    total = local[3 * k]
    for i in range(len(x)):
        out[i] = _quantile(mass[i], total[i])


@inlined
def _three(x, noise, k, bits, local, low, middle, high):  # type: ignore[no-untyped-def]
    """fine(x - noise), fine(x) and fine(x + noise) of n values."""
    if k == 0:
        mean, octave = local[1], local[2]
        for i in range(len(x)):
            t, step = (np.int64(x[i]) - mean[i]) * octave[i], np.int64(noise) * octave[i]
            low[i] = min(max(t - step >> (bits + 2), -LIMIT), LIMIT) << 4
            middle[i] = min(max(t >> (bits + 2), -LIMIT), LIMIT) << 4
            high[i] = min(max(t + step >> (bits + 2), -LIMIT), LIMIT) << 4
        return
    for i in range(len(x)):
        low[i], middle[i], high[i] = 0, 0, 0
    for c in range(k):
        weight, mean, octave = local[c], local[k + c], local[2 * k + c]
        for i in range(len(x)):
            t, step = (np.int64(x[i]) - mean[i]) * octave[i], np.int64(noise) * octave[i]
            low[i] += weight[i] * _below(t - step >> (bits + 2))
            middle[i] += weight[i] * _below(t >> (bits + 2))
            high[i] += weight[i] * _below(t + step >> (bits + 2))
    total = local[3 * k]
    for i in range(len(x)):
        low[i] = _quantile(low[i], total[i])
        middle[i] = _quantile(middle[i], total[i])
        high[i] = _quantile(high[i], total[i])


@compiled
def _forward(y, k, base, bits, latent_bits, x, noise, out, deviations):  # type: ignore[no-untyped-def]
    local = np.empty((3 * max(k, 1) + 1, CHUNK), np.int32)
    low, middle, high = np.empty((3, CHUNK), np.int64)
    for first in range(0, len(x), CHUNK):
        last = min(first + CHUNK, len(x))
        at, result, deviation = x[first:last], out[first:last], deviations[first:last]
        _load(y[first:last], k, base[first:last], bits, local)
        _three(at, 1 << noise, k, bits, local, low, middle, high)
        for i in range(len(at)):
            result[i] = middle[i] >> (FINE - latent_bits)
            rise = (high[i] - low[i]) >> (FINE + 1 - UNIT - latent_bits)
            deviation[i] = min(max(rise, 1 << UNIT), 1 << 27)


@inlined
def _goals(target, goal):  # type: ignore[no-untyped-def]
    """Logits in octaves, from latents."""
    scale = np.float32(GOALS / 2.0**FINE)
    for i in range(len(target)):
        place = min(np.float32(abs(target[i])) * scale, np.float32(6 * GOALS - 2))
        whole = np.uint32(place)
        low, high = GOAL[whole], GOAL[whole + np.uint32(1)]
        octaves = low + (high - low) * (place - np.float32(whole))
        goal[i] = -octaves if target[i] < 0 else octaves


@inlined
def _start(k, unit, limit, local, goal, value, at):  # type: ignore[no-untyped-def]
    """Start of the search: the mean of the components' own inverses."""
    for i in range(len(at)):
        value[i] = 0
    for c in range(k):
        weight, mean, octave = local[c], local[k + c], local[2 * k + c]
        for i in range(len(at)):
            there = np.float32(mean[i]) + goal[i] * (unit / np.float32(octave[i]))
            value[i] += np.float32(weight[i]) * there
    total = local[3 * k]
    for i in range(len(at)):
        at[i] = np.int32(min(max(value[i] / np.float32(total[i]), -limit), limit))


@inlined
def _newton(k, unit, limit, edge, local, goal, below, above, slope, at):  # type: ignore[no-untyped-def]
    """A Newton step towards the logits `goal`, in floats: it need not be exact."""
    per_unit = ONE / unit
    for i in range(len(at)):
        below[i], above[i], slope[i] = 0, 0, 0
    for c in range(k):
        weight, mean, octave = local[c], local[k + c], local[2 * k + c]
        for i in range(len(at)):
            rise = np.float32(octave[i]) * per_unit
            t = min(max(np.float32(np.int32(at[i] - mean[i])) * rise, -STEEPEST), STEEPEST) + STEEPEST
            whole = np.int32(t)
            x = t - np.float32(whole)
            power = EXP2[0] + x * (EXP2[1] + x * (EXP2[2] + x * (EXP2[3] + x * EXP2[4])))
            power *= np.int32((whole + (127 - 30)) << 23).view(np.float32)
            over = ONE / (ONE + power)
            rest = np.float32(weight[i]) * over
            above[i] += rest
            below[i] += rest * power
            slope[i] += rest * power * over * rise
    for i in range(len(at)):
        odds = np.float32(below[i] / above[i]).view(np.int32)
        exponent = np.int32((odds >> 23) - 127)
        x = np.int32((odds & 0x7FFFFF) | 0x3F800000).view(np.float32) - ONE
        series = LOG2[3] + x * (LOG2[4] + x * (LOG2[5] + x * LOG2[6]))
        logit = np.float32(exponent) + x * (LOG2[0] + x * (LOG2[1] + x * (LOG2[2] + x * series)))
        step = (goal[i] - logit) * below[i] * above[i] / (slope[i] * (below[i] + above[i]))
        step = np.floor(min(max(step, -2 * limit), 2 * limit) + HALF)
        at[i] = min(max(np.int32(at[i] + np.int32(step)), -edge), edge)


@compiled
def _inverse(y, k, base, bits, latent_bits, result, reach, near, x):  # type: ignore[no-untyped-def]
    components = max(k, 1)
    local = np.empty((3 * components + 1, CHUNK), np.int32)
    mass, target, here, there = np.empty((4, CHUNK), np.int64)
    goal, below, above, slope = np.empty((4, CHUNK), np.float32)
    neighbour, guess, own = np.empty(CHUNK, np.int32), np.empty(CHUNK, np.int32), np.empty(3 * components + 1, np.int64)
    unit, limit, edge = np.float32(2.0 ** (bits + 22)), np.float32(2.0**reach), np.int32(1 << reach)
    for first in range(0, len(x), CHUNK):
        last = min(first + CHUNK, len(x))
        at, wanted = x[first:last], result[first:last]
        _load(y[first:last], k, base[first:last], bits, local)
        for i in range(len(at)):
            target[i] = (2 * np.int64(wanted[i]) + 1) << (FINE - latent_bits - 1)
        # The result does not depend on the search: only the final comparisons have to be exact.
        if k:
            _goals(target[: len(at)], goal)
            if not near:
                _start(k, unit, limit, local, goal, slope, at)
            for _ in range(NEAR_STEPS if near else STEPS):
                _newton(k, unit, limit, edge, local, goal, below, above, slope, at)
        _fine(at, k, bits, local, mass, here)
        for i in range(len(at)):
            neighbour[i] = at[i] - 1 if here[i] >= target[i] else at[i] + 1
        _fine(neighbour[: len(at)], k, bits, local, mass, there)
        missed = 0
        for i in range(len(at)):
            missed += (here[i] >= target[i]) == (there[i] >= target[i])
            guess[i] = at[i]
            at[i] = min(max(at[i], neighbour[i], -edge), edge)
        if missed:
            for i in range(len(at)):
                if (here[i] >= target[i]) == (there[i] >= target[i]):
                    own[:] = local[:, i]
                    at[i] = search(target[i], guess[i], k, bits, reach, own)

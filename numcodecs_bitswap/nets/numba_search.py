"""The function of a coupling for one value, and the search for its inverse where the vector loops do not find it."""

import numpy as np

from ..distributions.tables import flow_tables
from ..runtime.jit import inlined
from .transforms import OCTAVES

TAIL, LOG, QUANTILE = flow_tables().tail, flow_tables().log, flow_tables().quantile
RISE_BITS = 20
"""Bits of the rise in an entry of a packed table, which has the start of a line and its rise."""
LOGS, QUANTILES = ((each[:-1].astype(np.int64) << RISE_BITS) + np.diff(each) for each in (LOG, QUANTILE))
LIMIT = (OCTAVES << 20) - 1
FAR = (OCTAVES << 24) - 1
LINES = 12
MASK30 = (1 << 30) - 1


@inlined
def interpolated(table, at, bits):  # type: ignore[no-untyped-def]
    """A table's value at `at`, in 1/2^bits of a step, by linear interpolation."""
    place, part = np.uint64(at >> bits), at & ((1 << bits) - 1)
    start = np.int64(table[place])
    return start + ((np.int64(table[place + np.uint64(1)]) - start) * part >> bits)


@inlined
def packed(table, at, bits):  # type: ignore[no-untyped-def]
    """The same for a packed table."""
    line = table[np.uint64(at >> bits)]
    rise = line & ((1 << RISE_BITS) - 1)
    return (line >> RISE_BITS) + (rise * (at & ((1 << bits) - 1)) >> bits)


@inlined
def log2(v):  # type: ignore[no-untyped-def]
    """log2(v) in steps of 2^-24, v >= 1."""
    # The exponent of v as a float is the index of its highest bit, or one more if v was rounded up.
    exponent = (np.float64(v).view(np.int64) >> 52) - 1023
    exponent -= np.int64((v >> exponent) == 0)
    mantissa = (v << (62 - exponent)) >> 32
    return (exponent << 24) + packed(LOGS, mantissa & MASK30, 20)


@inlined
def fine(x, k, bits, own):  # type: ignore[no-untyped-def]
    """fine(x); `own` holds weights, means, octaves and the sum of weights."""
    if k == 0:
        t = (x - own[1]) * own[2] >> (bits + 2)
        return min(max(t, -LIMIT), LIMIT) << 4
    mass = 0
    for c in range(k):
        t = (x - own[k + c]) * own[2 * k + c] >> (bits + 2)
        below = interpolated(TAIL, min(abs(t), LIMIT), 14)
        mass += own[c] * (below if t < 0 else (1 << 44) - below)
    logit = log2(mass) - log2((own[3 * k] << 44) - mass)
    size = packed(QUANTILES, min(abs(logit), FAR), 18)
    return -size if logit < 0 else size


@inlined
def search(target, at, k, bits, reach, own):  # type: ignore[no-untyped-def]
    """The smallest x with fine(x) >= target, or 2^reach: exponential search from `at`, then regula falsi, then
    bisection.
    """
    low, high = -(1 << reach) - 1, 1 << reach
    below, above = -1, 1
    at = min(max(np.int64(at), low + 1), high - 1)
    step = 2
    while low < at < high:
        rise = fine(at, k, bits, own) - target
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
        rise = fine(at, k, bits, own) - target
        if rise >= 0:
            below = min(below >> 1, -1) if side > 0 else below  # an end that does not move draws the line towards it
            high, above, side = at, rise, 1
        else:
            above = above >> 1 if side < 0 else above
            low, below, side = at, rise, -1
    return high

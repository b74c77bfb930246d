"""The Triton form of the distributions: `load` and `cum` of each family, on the fields and constants of its native
form.

Needs Triton, so only the Triton backend imports this file. Integers are as wide as FORMAT.md section 3 requires.
"""

from typing import Any

import triton
import triton.language as tl

from ..rans.distribution import TritonFunctions
from . import bernoulli, beta_binomial, bits, categorical, gaussian, gaussian_buckets, logistic_mixture, uniform

FEW = 16
"""Largest alphabet of a categorical distribution with a Triton form, which holds all weights."""

# Indices in the constants. Triton takes global numbers as constants only.
INVSCALE, WEIGHT = tl.constexpr(logistic_mixture.INVSCALE), tl.constexpr(logistic_mixture.WEIGHT)
MIXTURE_FLOOR = tl.constexpr(logistic_mixture.FLOOR)
INVSIGMA, EDGE = tl.constexpr(gaussian_buckets.INVSIGMA), tl.constexpr(gaussian_buckets.EDGE)
GAUSSIAN_FLOOR = tl.constexpr(gaussian_buckets.FLOOR)
CENTRE, TAILS = tl.constexpr(gaussian.CENTRE), tl.constexpr(gaussian.TAILS)
BEYOND, TAILS_FLOOR = tl.constexpr(gaussian.BEYOND), tl.constexpr(gaussian.FLOOR)
INDICES, ROW = tl.constexpr(beta_binomial.INDICES), tl.constexpr(beta_binomial.ROW)


@triton.jit
def _uniform_load(at, here, first, second, third, constants, alphabet, K: tl.constexpr):
    return at, at, at


@triton.jit
def _uniform_cum(s, first, second, third, constants, alphabet, K: tl.constexpr):
    return ((s.to(tl.int64) << 16) // alphabet).to(tl.int32)


@triton.jit
def _mixture_load(at, here, logits, means, scales, constants, alphabet, K: tl.constexpr):
    top = tl.load(logits + at * K, here, other=0).to(tl.int64)
    for k in tl.static_range(1, K):
        top = tl.maximum(top, tl.load(logits + at * K + k, here, other=0))
    total = tl.zeros_like(top)
    zero, inverse, w, weight = (), (), (), ()
    for k in tl.static_range(K):
        zero += (tl.load(means + at * K + k, here, other=0) + 16,)
        inverse += (tl.load(constants + INVSCALE + tl.load(scales + at * K + k, here, other=0)),)
        distance = tl.minimum(top - tl.load(logits + at * K + k, here, other=0), 127)
        w += (tl.load(constants + WEIGHT + distance),)
        total += w[k]
    r = ((65536 - tl.load(constants + MIXTURE_FLOOR) * alphabet).to(tl.int64) << 28) // total
    for k in tl.static_range(K):
        weight += (r * w[k],)
    return zero, inverse, weight


@triton.jit
def _mixture_cum(s, zero, inverse, weight, constants, alphabet, K: tl.constexpr):
    mass = tl.zeros_like(s).to(tl.int64)
    for k in tl.static_range(K):
        t = ((32 * s - zero[k]).to(tl.int64) * inverse[k] >> 12) + 4096
        mass += weight[k] * tl.load(constants + tl.minimum(tl.maximum(t, 0), 8191))
    value = tl.load(constants + MIXTURE_FLOOR) * s + (mass >> 44).to(tl.int32)
    return tl.where(s >= alphabet, 65536, tl.where(s <= 0, 0, value))


@triton.jit
def _gaussian_load(at, here, means, scales, third, constants, alphabet, K: tl.constexpr):
    inverse = tl.load(constants + INVSIGMA + tl.load(scales + at, here, other=0))
    return tl.load(means + at, here, other=0), inverse, at


@triton.jit
def _gaussian_cum(s, mean, inverse, third, constants, alphabet, K: tl.constexpr):
    t = ((tl.load(constants + EDGE + s) - mean).to(tl.int64) * inverse >> 12) + 4096
    normal = tl.load(constants + tl.minimum(tl.maximum(t, 0), 8191)).to(tl.int64)
    floor = tl.load(constants + GAUSSIAN_FLOOR)
    return floor * s + ((65536 - floor * alphabet) * normal >> 16).to(tl.int32)


@triton.jit
def _bernoulli_load(at, here, logits, second, third, constants, alphabet, K: tl.constexpr):
    t = 4096 - 12 * tl.load(logits + at, here, other=0).to(tl.int64)
    sigmoid = tl.load(constants + tl.minimum(tl.maximum(t, 0), 8191)).to(tl.int64)
    return 1 + (65534 * sigmoid >> 16).to(tl.int32), at, at


@triton.jit
def _bernoulli_cum(s, one, second, third, constants, alphabet, K: tl.constexpr):
    return tl.where(s >= 2, 65536, tl.where(s <= 0, 0, one))


@triton.jit
def _beta_binomial_load(at, here, alpha, beta, third, constants, alphabet, K: tl.constexpr):
    row = INDICES * tl.load(alpha + at, here, other=0) + tl.load(beta + at, here, other=0)
    return row * ROW, at, at


@triton.jit
def _beta_binomial_cum(s, row, second, third, constants, alphabet, K: tl.constexpr):
    return tl.load(constants + row + s)


@triton.jit
def _categorical_load(at, here, logits, second, third, constants, alphabet, K: tl.constexpr):
    top = tl.load(logits + at * K, here, other=0)
    for k in tl.static_range(1, K):
        top = tl.maximum(top, tl.load(logits + at * K + k, here, other=0))
    total = tl.zeros_like(top)
    w = ()
    for k in tl.static_range(K):
        w += (tl.load(constants + tl.minimum(top - tl.load(logits + at * K + k, here, other=0), 127)),)
        total += w[k]
    return w, total, at


@triton.jit
def _categorical_cum(s, w, total, third, constants, alphabet, K: tl.constexpr):
    below = tl.zeros_like(total)
    for k in tl.static_range(K):
        below += tl.where(k < s, w[k], 0)
    return s + (below.to(tl.int64) * (65536 - K) // total).to(tl.int32)


@triton.jit
def _integer_gaussian_load(at, here, offsets, mantissas, inverses, constants, alphabet, K: tl.constexpr):
    reach = 7 * tl.load(mantissas + at, here, other=0) >> 9
    return tl.load(offsets + at, here, other=0), tl.load(inverses + at, here, other=0).to(tl.int64), reach


@triton.jit
def _integer_gaussian_cum(s, offset, inverse, reach, constants, alphabet, K: tl.constexpr):
    d = tl.minimum(tl.maximum(s - CENTRE, -reach), reach) + tl.load(constants + BEYOND + s)
    t = (64 * d - offset).to(tl.int64) * inverse >> 13
    t = tl.minimum(tl.maximum(t, -4096 * 64), 4095 * 64 - 1).to(tl.int32)
    place, part = (t >> 6) + 4096, t & 63
    value = (tl.load(constants + place) * (64 - part) + tl.load(constants + place + 1) * part + 32) >> 6
    value = tl.where(s >= alphabet, 65536, tl.where(s <= 0, 0, value))
    ones = tl.minimum(tl.maximum(s, 0), TAILS) + tl.minimum(tl.maximum(s - (alphabet - TAILS), 0), TAILS)
    floored = ones + (value.to(tl.int64) * (65536 - 2 * TAILS) >> 16).to(tl.int32)
    return tl.where(tl.load(constants + TAILS_FLOOR) > 0, floored, value)


@triton.jit
def _bits_load(at, here, shift, second, third, constants, alphabet, K: tl.constexpr):
    return tl.load(shift + at, here, other=0), at, at


@triton.jit
def _bits_cum(s, shift, second, third, constants, alphabet, K: tl.constexpr):
    return tl.minimum(s.to(tl.int64) << shift.to(tl.int64), 65536).to(tl.int32)


FORMS = {
    uniform.Uniform: TritonFunctions(_uniform_load, _uniform_cum),
    logistic_mixture.LogisticMixture: TritonFunctions(_mixture_load, _mixture_cum),
    gaussian_buckets.GaussianBuckets: TritonFunctions(_gaussian_load, _gaussian_cum),
    bernoulli.Bernoulli: TritonFunctions(_bernoulli_load, _bernoulli_cum),
    beta_binomial.BetaBinomial: TritonFunctions(_beta_binomial_load, _beta_binomial_cum),
    categorical.Categorical: TritonFunctions(_categorical_load, _categorical_cum),
    gaussian.Gaussian: TritonFunctions(_integer_gaussian_load, _integer_gaussian_cum),
    bits.Bits: TritonFunctions(_bits_load, _bits_cum),
}


def form(distribution: Any) -> TritonFunctions | None:
    """The Triton form of a block; None if there is none."""
    if isinstance(distribution, categorical.Categorical) and distribution.alphabet > FEW:
        return None
    return FORMS.get(type(distribution))

"""Section 3 of FORMAT.md, for `frames`: the tables, computed anew with `decimal`, and the distributions.

Every entry is a plain Python integer; the tables that take time are worked out as far as they are asked for.
"""

import math
import operator
from bisect import bisect_left
from collections.abc import Callable
from decimal import Decimal
from functools import cache, lru_cache
from itertools import accumulate
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class Block(Protocol):
    """A cum, of the same alphabet, for each symbol of a block."""

    alphabet: int

    def __len__(self) -> int: ...

    def cum(self, i: int, s: int) -> int:
        """cum(s) of symbol i."""
        ...


# ---- 3.1 Tables

SIGMOID = [round(2**16 / (1 + (Decimal(4096 - i) / 384).exp())) for i in range(8192)]
INVSCALE = np.array([round(49152 / Decimal(2) ** (Decimal(j) / 12 - 4)) for j in range(128)])
WEIGHT = np.array([round(2**14 * Decimal(2) ** (-Decimal(d) / 12)) for d in range(128)])

PI = Decimal("3.141592653589793238462643383")
LN2 = Decimal(2).ln()


def phi(x: Decimal) -> Decimal:
    """Phi(x): half, and the normal density times x + x^3 / 3 + x^5 / (3 * 5) + ..."""
    term = total = x
    odd = 1
    while abs(term) > Decimal("1e-20"):
        odd += 2
        term *= x * x / odd
        total += term
    return Decimal("0.5") + total * (-x * x / 2).exp() / (2 * PI).sqrt()


def log2(x: Decimal) -> Decimal:
    return x.ln() / LN2


@cache
def normal(i: int) -> int:
    return round(2**16 * phi(Decimal(i - 4096) / 768))


@cache
def edge(k: int) -> int:
    """The e that has k / 1024 between Phi((e - 1/2) / 2^12) and Phi((e + 1/2) / 2^12)."""
    values = range(-(2**14), 2**14)
    return values[bisect_left(values, Decimal(k) / 1024, key=lambda e: phi(Decimal(2 * e + 1) / 2**13))]


INVSIGMA = [round(768 * Decimal(2) ** (8 - Decimal(j) / 12)) for j in range(128)]


@cache
def rise(a: int) -> list[int]:
    """Row a; Gamma(x + t) / Gamma(t) is t (t + 1) ... (t + x - 1)."""
    t = Decimal(2) ** (Decimal(a) / 6 - 8)
    products = accumulate((t + i for i in range(255)), operator.mul, initial=Decimal(1))
    return [round(2**12 * log2(product)) for product in products]


CHOOSE = [round(2**12 * log2(Decimal(math.comb(255, x)))) for x in range(256)]
POWER = [round(2**28 * Decimal(2) ** (-Decimal(f) / 4096)) for f in range(4096)]

# ---- 3.2 Mixture of discretised logistics


class Mixture:
    """Logits, means and scale indices are of shape (n, K)."""

    def __init__(self, logits: Ints, means: Ints, scales: Ints, alphabet: int, floor: int = 1) -> None:
        self.alphabet, self.floor = alphabet, floor
        self.parameters = logits, means, scales
        weights = WEIGHT[np.minimum(logits.max(1, keepdims=True) - logits, 127)]
        self.ratios: list[int] = (((2**16 - floor * alphabet) << 28) // weights.sum(1)).tolist()
        self.components: list[list[list[int]]] = np.stack([weights, means, INVSCALE[scales]], 2).tolist()

    def __len__(self) -> int:
        return len(self.ratios)

    def shifted(self, by: int) -> "Mixture":
        """The same with other scale indices (5.1)."""
        logits, means, scales = self.parameters
        return Mixture(logits, means, (scales + by).clip(0, 127), self.alphabet, self.floor)

    def cum(self, i: int, s: int) -> int:
        if s == 0 or s == self.alphabet:
            return 2**16 if s else 0
        total = 0
        for weight, mean, invscale in self.components[i]:
            t = ((32 * s - 16 - mean) * invscale >> 12) + 4096
            total += weight * SIGMOID[min(max(t, 0), 8191)]
        return self.floor * s + (self.ratios[i] * total >> 44)


# ---- 3.3 Uniform


class Uniform:
    def __init__(self, n: int, alphabet: int) -> None:
        self.n, self.alphabet = n, alphabet

    def __len__(self) -> int:
        return self.n

    def cum(self, i: int, s: int) -> int:
        return (s << 16) // self.alphabet


# ---- 3.4 Gaussian over equal-mass buckets


class GaussianBuckets:
    """Means and scale indices are of shape (n,); there are 2^p buckets."""

    def __init__(self, means: Ints, scales: Ints, p: int, floor: int = 1) -> None:
        self.alphabet, self.step, self.floor = 1 << p, 1 << 10 - p, floor
        self.parameters: list[tuple[int, int]] = list(zip(means.tolist(), scales.tolist(), strict=True))

    def __len__(self) -> int:
        return len(self.parameters)

    def cum(self, i: int, k: int) -> int:
        if k == 0 or k == self.alphabet:
            return 2**16 if k else 0
        m, j = self.parameters[i]
        t = ((edge(k * self.step) - m) * INVSIGMA[j] >> 12) + 4096
        mass = 2**16 - self.floor * self.alphabet
        return self.floor * k + (mass * normal(min(max(t, 0), 8191)) >> 16)


# ---- 3.5 to 3.7: all of cum(0) .. cum(A) as a function of a symbol's parameters


class Listed:
    """`cums` gives the list of a symbol's cum from its parameters, one row of an array of shape (n, parameters)."""

    def __init__(self, cums: Callable[..., list[int]], parameters: Ints, alphabet: int) -> None:
        self.cums, self.alphabet = cums, alphabet
        self.parameters: list[list[int]] = parameters.tolist()

    def __len__(self) -> int:
        return len(self.parameters)

    def cum(self, i: int, s: int) -> int:
        return self.cums(*self.parameters[i])[s]


def in_proportion(weights: list[int]) -> list[int]:
    alphabet, total = len(weights), sum(weights)
    return [s + (2**16 - alphabet) * below // total for s, below in enumerate(accumulate(weights, initial=0))]


@cache
def bernoulli(logit: int) -> list[int]:
    return [0, 1 + ((2**16 - 2) * SIGMOID[min(max(4096 - 12 * logit, 0), 8191)] >> 16), 2**16]


@cache
def beta_binomial(a: int, b: int) -> list[int]:
    e = [CHOOSE[x] + rise(a)[x] + rise(b)[255 - x] for x in range(256)]
    return in_proportion([POWER[d % 4096] >> min(d >> 12, 40) for d in (max(e) - each for each in e)])


@lru_cache
def categorical(*logits: int) -> list[int]:
    largest = max(logits)
    return in_proportion([int(WEIGHT[min(largest - logit, 127)]) for logit in logits])


# ---- 3.9 Bits


class Bits:
    alphabet = 2**16

    def __init__(self, sizes: list[int]) -> None:
        self.sizes = sizes

    def __len__(self) -> int:
        return len(self.sizes)

    def cum(self, i: int, s: int) -> int:
        return min(s << 16 - self.sizes[i], 2**16)

"""The elementwise functions of couplings (FORMAT.md section 6.5): integers -> integers, monotone non-decreasing.

A value x in steps of 2^-bits units becomes fine(x) in steps of 2^-24: a logistic mixture's distribution function at x,
then the quantile function of the standard normal distribution (`mixture`), or a multiple of x minus a mean (`affine`).
All steps are monotone: tables with linear interpolation, sums of them, shifts. So fine is monotone non-decreasing, and
its inverse is found by search. Vectorised; `numba_transforms` has compiled loops.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Self

import numpy as np
from numpy.typing import NDArray

from .. import arrays
from ..arrays import Array
from ..distributions.tables import flow_tables, tables

FINE = 24
"""fine(x) is in steps of 2^-FINE."""
OCTAVES = 28
"""Logits are clamped to +-OCTAVES octaves."""
UNIT = 8
"""Standard deviations are in units of 2^-UNIT, as in distributions.gaussian."""
LOGIT_LIMIT, MEAN_LIMIT = 127, 8160


def outputs(kind: str, mixtures: int) -> int:
    """Number of network outputs for each transformed value."""
    return 3 * mixtures if kind == "mixture" else 2


@dataclass(frozen=True)
class Elementwise:
    """A function for each of M values, given by network outputs.

    Attributes
    ----------
    kind : str
        "mixture" or "affine".
    y : int32 array, shape (M, outputs)
        Network outputs of M values: K logits, K means, K scales; or a mean and a scale.
    base : int32 array, shape (M,)
        Base of the means, in 1/32 unit.
    bits : int
        Values are in steps of 2^-bits units, 5 .. 17.
    reach : int
        Values are in -2^reach .. 2^reach.
    latent_bits : int
        Results are in steps of 2^-latent_bits, at most 17.
    noise_bits : int
        The noise that local bits-back adds to values has a standard deviation of 2^noise_bits steps.
    """

    kind: str
    y: Array
    base: Array
    bits: int
    reach: int
    latent_bits: int
    noise_bits: int

    def part(self, at: slice) -> Self:
        """Some of the functions."""
        return replace(self, y=self.y[at], base=self.base[at])

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Results of values (M,), and the standard deviations of the values' noise after the function, in 1/256 step:
        int32 (M,) each.
        """
        of = arrays.of(x)
        parameters, noise = self._parameters(), 1 << self.noise_bits
        y = self._fine(parameters, x) >> (FINE - self.latent_bits)
        rise = self._fine(parameters, x + noise) - self._fine(parameters, x - noise)
        deviations = rise >> (FINE + 1 - UNIT - self.latent_bits)
        return of.cast(y, "int32"), of.cast(of.clip(deviations, 1 << UNIT, 1 << 27), "int32")

    def inverse(self, y: Array, near: Array | None = None) -> Array:
        """The smallest values (M,), int32, whose results are at least the middle of step y, or 2^reach. Values `near`
        them only make the search faster.
        """
        of, parameters = arrays.of(y), self._parameters()
        target = (2 * of.cast(y, "int64") + 1) << (FINE - self.latent_bits - 1)
        low = of.full(target.shape, -(1 << self.reach) - 1, "int64")
        high = of.full(target.shape, 1 << self.reach, "int64")
        for _ in range(self.reach + 2):
            middle = (low + high) >> 1
            above = self._fine(parameters, middle) >= target
            low, high = of.where(above, low, middle), of.where(above, middle, high)
        return of.cast(high, "int32")

    def _parameters(self) -> tuple[Array, Array, Array]:
        """Weights, means in steps and octaves per unit, int64 (M, K); affine functions have K = 1 and no weights."""
        of = arrays.of(self.y)
        weight, octaves = (of.constant(table) for table in constants()[:2])
        y = of.cast(self.y, "int64")
        k = y.shape[1] // 3 if self.kind == "mixture" else 0
        components = max(k, 1)
        logits, means, scales = y[:, :k], y[:, k : k + components], y[:, k + components :]
        if k:
            logits = of.clip(logits, -LOGIT_LIMIT, LOGIT_LIMIT)
            logits = of.take(weight, of.clip(of.largest(logits) - logits, None, 127))
        means = (of.clip(means, -MEAN_LIMIT, MEAN_LIMIT) + self.base[:, None]) << (self.bits - 5)
        return logits, means, of.take(octaves, of.clip(scales, 0, 127))

    def _fine(self, parameters: tuple[Array, Array, Array], x: Array) -> Array:
        weights, means, octaves = parameters
        of = arrays.of(x)
        _, _, tail, log, quantile = (of.constant(table) for table in constants())
        limit = (OCTAVES << 20) - 1
        t = of.clip((of.cast(x, "int64")[:, None] - means) * octaves >> (self.bits + 2), -limit, limit)
        if self.kind == "affine":
            return t[:, 0] << 4
        below = _interpolated(tail, abs(t), 14)
        below = of.where(t < 0, below, (1 << 44) - below)
        mass = (weights * below).sum(1)
        logit = _log(log, mass) - _log(log, (weights.sum(1) << 44) - mass)
        size = _interpolated(quantile, of.clip(abs(logit), None, (OCTAVES << 24) - 1), 18)
        return of.where(logit < 0, -size, size)


@cache
def constants() -> tuple[NDArray[np.int64], ...]:
    """WEIGHT, OCTAVES, TAIL, LOG and QUANTILE (FORMAT.md section 3.1)."""
    flow = flow_tables()
    every = (tables().weight, flow.octaves, flow.tail, flow.log, flow.quantile)
    return tuple(table.astype(np.int64) for table in every)


def _interpolated(table: Array, at: Array, bits: int) -> Array:
    take, place, part = arrays.of(at).take, at >> bits, at & ((1 << bits) - 1)
    start = take(table, place)
    return start + ((take(table, place + 1) - start) * part >> bits)


def _log(table: Array, v: Array) -> Array:
    """log2(v) in steps of 2^-24, v >= 1: the index of the highest bit, and a table for the bits below it."""
    of = arrays.of(v)
    top, exponent = v, of.zeros(v.shape, "int64")
    for size in (32, 16, 8, 4, 2, 1):
        high = top >> size > 0
        top = of.where(high, top >> size, top)
        exponent = of.where(high, exponent + size, exponent)
    mantissa = of.where(exponent >= 30, v >> of.clip(exponent - 30, 0, None), v << of.clip(30 - exponent, 0, None))
    return (exponent << 24) + _interpolated(table, mantissa & ((1 << 30) - 1), 20)

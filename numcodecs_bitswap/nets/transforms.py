"""The elementwise functions of couplings (FORMAT.md section 6.5): integers -> integers, never falling.

A value x in steps of 2^-bits units becomes fine(x) in steps of 2^-24: a logistic mixture's distribution function at x,
then the quantile of the standard normal distribution (`mixture`), or a multiple of x less a mean (`affine`). Everything
is a table with linear interpolation, a sum of such, or a shift, so fine never falls; its inverse is found by search.
"""

from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..symbols.tables import flow_tables, tables

FINE = 24
"""fine(x) is in steps of 2^-FINE."""
OCTAVES = 28
"""Logits are clamped to +-OCTAVES octaves."""
UNIT = 8
"""Standard deviations are in 1/256, as in symbols.gaussian."""
LOGIT_LIMIT, MEAN_LIMIT = 127, 8160


def outputs(kind: str, mixtures: int) -> int:
    """Network outputs for each value that is transformed."""
    return 3 * mixtures if kind == "mixture" else 2


@dataclass(frozen=True)
class Elementwise:
    """A function for each of many values: network outputs and what they refer to.

    Attributes
    ----------
    kind : str
        "mixture" or "affine".
    y : int32 tensor, shape (M, outputs)
        Network outputs of M values: K logits, K means, K scales; or a mean and a scale.
    base : int32 tensor, shape (M,)
        What means are relative to, in 1/32 unit.
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
    y: Tensor
    base: Tensor
    bits: int
    reach: int
    latent_bits: int
    noise_bits: int

    def part(self, at: slice) -> "Elementwise":
        """Some of the functions."""
        return replace(self, y=self.y[at], base=self.base[at])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Results of values (M,), and the standard deviations that the noise of the values has there, in 1/256 step:
        int32 (M,) each.
        """
        if self._compiled:
            results: tuple[Tensor, Tensor] = _numba().forward(self, x)
            return results
        parameters, noise = self._parameters(), 1 << self.noise_bits
        y = self._fine(parameters, x) >> (FINE - self.latent_bits)
        rise = self._fine(parameters, x + noise) - self._fine(parameters, x - noise)
        deviations = rise >> (FINE + 1 - UNIT - self.latent_bits)
        return y.int(), deviations.clamp(1 << UNIT, 1 << 27).int()

    def inverse(self, y: Tensor, near: Tensor | None = None) -> Tensor:
        """The smallest values (M,), int32, whose results are the middle of the step y or above, or 2^reach. They are
        found sooner if values `near` them are known, which have no effect otherwise.
        """
        if self._compiled:
            values: Tensor = _numba().inverse(self, y, near)
            return values
        parameters = self._parameters()
        target = (2 * y.long() + 1) << (FINE - self.latent_bits - 1)
        low = torch.full_like(target, -(1 << self.reach) - 1)
        high = torch.full_like(target, 1 << self.reach)
        for _ in range(self.reach + 2):
            middle = (low + high) >> 1
            above = self._fine(parameters, middle) >= target
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        return high.int()

    @property
    def _compiled(self) -> bool:
        return not self.y.is_cuda and find_spec("numba") is not None

    def _parameters(self) -> tuple[Tensor, Tensor, Tensor]:
        """Weights, means in steps and octaves per unit, int64 (M, K); affine functions have K = 1 and no weights."""
        weight, octaves = (table for table in constants(self.y.device)[:2])
        y = self.y.long()
        logits, means, scales = y.chunk(3, 1) if self.kind == "mixture" else (y[:, :0], *y.chunk(2, 1))
        if self.kind == "mixture":
            logits = logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
            logits = weight[(logits.amax(1, keepdim=True) - logits).clamp(max=127)]
        means = (means.clamp(-MEAN_LIMIT, MEAN_LIMIT) + self.base[:, None]) << (self.bits - 5)
        return logits, means, octaves[scales.clamp(0, 127)]

    def _fine(self, parameters: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
        weights, means, octaves = parameters
        _, _, tail, log, quantile = constants(x.device)
        limit = (OCTAVES << 20) - 1
        t = ((x.long()[:, None] - means) * octaves >> (self.bits + 2)).clamp(-limit, limit)
        if self.kind == "affine":
            return t[:, 0] << 4
        below = _interpolated(tail, t.abs(), 14)
        below = torch.where(t < 0, below, (1 << 44) - below)
        mass = (weights * below).sum(1)
        logit = _log(log, mass) - _log(log, (weights.sum(1) << 44) - mass)
        size = _interpolated(quantile, logit.abs().clamp(max=(OCTAVES << 24) - 1), 18)
        return torch.where(logit < 0, -size, size)


@cache
def constants(device: torch.device) -> tuple[Tensor, ...]:
    """WEIGHT, OCTAVES, TAIL, LOG and QUANTILE (FORMAT.md section 3.1), int64."""
    flow = flow_tables()
    arrays = (tables().weight, flow.octaves, flow.tail, flow.log, flow.quantile)
    return tuple(torch.from_numpy(array.astype(np.int64)).to(device) for array in arrays)


def _interpolated(table: Tensor, at: Tensor, bits: int) -> Tensor:
    place, part = at >> bits, at & ((1 << bits) - 1)
    start = table.take(place)
    return start + ((table.take(place + 1) - start) * part >> bits)


def _log(table: Tensor, v: Tensor) -> Tensor:
    """log2(v) in steps of 2^-24, v >= 1: the place of the highest bit, and a table of what is below it."""
    top, exponent = v, torch.zeros_like(v)
    for size in (32, 16, 8, 4, 2, 1):
        high = top >> size > 0
        top = torch.where(high, top >> size, top)
        exponent = torch.where(high, exponent + size, exponent)
    mantissa = torch.where(exponent >= 30, v >> (exponent - 30).clamp(min=0), v << (30 - exponent).clamp(min=0))
    return (exponent << 24) + _interpolated(table, mantissa & ((1 << 30) - 1), 20)


@cache
def _numba() -> Any:
    from . import numba_transforms

    return numba_transforms

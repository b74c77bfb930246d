"""Mixtures of discretised logistics (FORMAT.md section 3.2): the parameters of the networks -> intervals.

The same integer function twice: vectorised, and as plain functions for the compiled backend.
"""

from copy import copy
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import arrays
from ..arrays import Array
from ..rans.distribution import Functions, Native
from .checks import check_range
from .tables import positions, tables


class LogisticMixture:
    """A mixture of K logistics over 0 .. alphabet - 1 for every symbol of a block.

    Parameters
    ----------
    logits : int32 array, shape (B, n, K), or None
        Units of 1/12 octave. None: K = 1, where they have no effect.
    means : int32 array, shape (B, n, K)
        Units of 1/32 level, |means| < 2^17.
    scales : int32 array, shape (B, n, K)
        0 .. 127; index j is a scale of 2^(j/12 - 4) levels.
    alphabet : int
        2 .. 2^12.
    floor : int
        F, the least frequency of a symbol: 1, or 0 for posteriors.

    Raises
    ------
    ValueError
        Shapes that differ or a value outside its range.
    """

    def __init__(self, logits: Array | None, means: Array, scales: Array, alphabet: int, floor: int = 1) -> None:
        self.batch, self.n, self.components = means.shape
        self.alphabet, self._floor = alphabet, floor
        # The weight of a single component does not depend on its logit, so any array of the shape may be used.
        self._logits = means if logits is None else logits
        self._means, self._scales = means, scales
        if (logits is None and self.components != 1) or not self._logits.shape == means.shape == scales.shape:
            raise ValueError(
                f"shapes of a mixture's parameters differ: {self._logits.shape}, {means.shape}, {scales.shape}"
            )
        if not 2 <= alphabet <= 1 << 12:
            raise ValueError(f"an alphabet of {alphabet} symbols is not in 2 .. 4096")
        check_range("means", means, -(1 << 17) + 1, (1 << 17) - 1)
        check_range("scales", scales, 0, 127)

    scale_limit = 127

    def shifted(self, shift: int | Array) -> "LogisticMixture":
        """See `Shiftable.shifted`."""
        by = shift if isinstance(shift, int) else shift[..., None]
        shifted = copy(self)  # is not checked again
        shifted._scales = arrays.of(self._scales).clip(self._scales + by, 0, self.scale_limit)
        return shifted

    def thinned(self, every: int) -> "LogisticMixture":
        """See `Shiftable.thinned`."""
        logits, means, scales = (each[:, ::every] for each in (self._logits, self._means, self._scales))
        return LogisticMixture(logits, means, scales, self.alphabet, self._floor)

    def prepare(self, first: int, last: int) -> tuple[Array, ...]:
        """See `Distribution.prepare`: zero points 16 + m_k, INVSCALE[j_k] and R w_k, each int64 (B, k, K)."""
        of = arrays.of(self._means)
        _, invscale, weight = map(of.constant, _tables())
        logits, means, scales = (of.cast(p[:, first:last], "int64") for p in (self._logits, self._means, self._scales))
        w = of.take(weight, of.clip(of.largest(logits) - logits, None, 127))
        r = (((1 << 16) - self._floor * self.alphabet) << 28) // of.total(w)
        return means + 16, of.take(invscale, scales), r * w

    def cum(self, prepared: tuple[Array, ...], symbols: Array) -> Array:
        """See `Distribution.cum`."""
        zero, inverse, weight = prepared
        of = arrays.of(symbols)
        t = of.clip(((32 * symbols[..., None] - zero) * inverse >> 12) + 4096, 0, 8191)
        sigmoid = of.take(of.constant(_tables()[0]), t)
        mass = (weight * sigmoid).sum(-1)  # R within the sum: the same integer, below 2^60
        inner = self._floor * symbols + (mass >> 44)
        return of.where(symbols >= self.alphabet, 1 << 16, of.where(symbols <= 0, 0, inner))

    def native(self) -> Native:
        """See `Distribution.native`; the fields are logits, means and scales."""
        of = arrays.of(self._means)
        means, scales = of.packed(self._means, "int32"), of.packed(self._scales, "int32")
        logits = means if self._logits is self._means else of.packed(self._logits, "int32")
        constants = of.constant(_constants(self.alphabet, self._floor))
        return Native(Functions(_load, _guess, _cum, _rescale), (logits, means, scales), constants)


@cache
def _tables() -> tuple[NDArray[np.int64], ...]:
    """The tables, int64."""
    return tuple(each.astype(np.int64) for each in tables())


# The native form. local: K zero points, K inverse scales, K weights, as in `LogisticMixture.prepare`; K scales.
SIGMOID, INVSCALE, WEIGHT, POSITION, SCALE = 0, 8192, 8320, 8448, 12544  # indices in the constants
ALPHABET, FLOOR = 12672, 12673


@cache
def _constants(alphabet: int, floor: int) -> NDArray[np.int32]:
    """The tables; their inverses, for guesses (i - 4096 with SIGMOID[i] about 16 u, and 2^28 / INVSCALE); A; F."""
    sigmoid, invscale, weight = tables()
    position = positions(sigmoid)
    constants = np.concatenate([sigmoid, invscale, weight, position, (1 << 28) // invscale, [alphabet, floor]])
    return constants.astype(np.int32)


def _load(b: int, i: int, local: Any, logits: Any, means: Any, scales: Any, constants: Any, components: int) -> None:
    if components == 1:  # the same without a division: one weight is 2^14
        local[0] = means[b, i, 0] + 16
        local[1] = constants[np.uint64(INVSCALE + scales[b, i, 0])]
        local[2] = ((1 << 16) - constants[FLOOR] * constants[ALPHABET]) << 28
        local[3] = constants[np.uint64(SCALE + scales[b, i, 0])]
        return
    top = logits[b, i, 0]
    for k in range(1, components):
        top = max(top, logits[b, i, k])
    total = 0
    for k in range(components):
        w = constants[WEIGHT + min(top - logits[b, i, k], 127)]
        total += w
        local[k] = means[b, i, k] + 16
        local[components + k] = constants[INVSCALE + scales[b, i, k]]
        local[2 * components + k] = w
        local[3 * components + k] = constants[SCALE + scales[b, i, k]]
    # Exact: a quotient that is not an integer is at least 1/total below the next one, far more than rounding adds.
    r = int(float(((1 << 16) - constants[FLOOR] * constants[ALPHABET]) << 28) / float(total))
    for k in range(components):
        local[2 * components + k] *= r


def _rescale(local: Any, k: int, index: int, constants: Any, components: int) -> None:
    local[components + k] = constants[INVSCALE + index]


def _cum(s: int, local: Any, constants: Any, components: int) -> Any:
    mass = 0
    for k in range(components):
        t = ((32 * s - local[k]) * local[components + k] >> 12) + 4096
        mass += local[2 * components + k] * constants[np.uint64(SIGMOID + min(max(t, 0), 8191))]
    value = constants[FLOOR] * s + (mass >> 44)
    if s <= 0:
        value = 0
    if s >= constants[ALPHABET]:
        value = 1 << 16
    return value


def _guess(r: int, local: Any, constants: Any, components: int) -> Any:
    # The mean of the components' quantiles, from the inverse tables. Weights sum to 2^44 less the floors, here to 2^24.
    floors = constants[FLOOR] * constants[ALPHABET]
    mass = r - constants[FLOOR] * min(max(local[0] >> 5, 0), constants[ALPHABET])  # without the floor of symbols below
    mass += mass * floors >> 16  # of all, not of what the floors leave
    position = constants[np.uint64(POSITION + (min(max(mass, 0), 65535) >> 4))]
    place = 0
    for k in range(components):
        quantile = local[k] + (position * local[3 * components + k] >> 16)
        place += quantile * (local[2 * components + k] >> 20)
    place += (place >> 16) * floors
    return min(max(place >> 29, 0), constants[ALPHABET] - 1)

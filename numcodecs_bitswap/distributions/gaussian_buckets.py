"""Gaussians over buckets of equal prior mass (FORMAT.md section 3.4).

The same integer function twice: vectorised, and as plain functions for the compiled backend.
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import arrays
from ..arrays import Array
from ..rans.distribution import Functions, Native
from .checks import block_shape, check_range
from .tables import positions, vae_tables

FAR = 1 << 20
"""Edges 0 and A, beyond every Gaussian: NORMAL is 0 and 2^16 at the ends, so cum(0) = 0 and cum(A) = 2^16 follow."""


class GaussianBuckets:
    """A Gaussian for every symbol of a block; a symbol is a bucket, and all have mass 2^-bits under N(0, 1).

    Parameters
    ----------
    means : int32 array, shape (B, n, 1)
        Units of 2^-12, |means| < 2^17.
    scales : int32 array, shape (B, n, 1)
        0 .. 127; index j is a standard deviation of 2^(j/12 - 8).
    bits : int
        1 .. 9; the alphabet is 2^bits.
    floor : int
        F, the least frequency of a symbol: 1, or 0 for posteriors.

    Raises
    ------
    ValueError
        Other shapes, or a value outside its range.
    """

    components = 1

    def __init__(self, means: Array, scales: Array, bits: int, floor: int = 1) -> None:
        self.batch, self.n = block_shape(means, scales)
        if not 1 <= bits <= 9:
            raise ValueError(f"{bits} bits of buckets are not in 1 .. 9")
        check_range("means", means, -(1 << 17) + 1, (1 << 17) - 1)
        check_range("scales", scales, 0, 127)
        self.alphabet = 1 << bits
        self._means, self._scales, self._bits, self._floor = means, scales, bits, floor

    def prepare(self, first: int, last: int) -> tuple[Array, ...]:
        """See `Distribution.prepare`: means and INVSIGMA[j], each int64 (B, k)."""
        of = arrays.of(self._means)
        means, scales = (of.cast(p[:, first:last, 0], "int64") for p in (self._means, self._scales))
        return means, of.take(of.constant(_tables(self._bits)[2]), scales)

    def cum(self, prepared: tuple[Array, ...], symbols: Array) -> Array:
        """See `Distribution.cum`."""
        mean, inverse = prepared
        of = arrays.of(symbols)
        normal, edge = (of.constant(table) for table in _tables(self._bits)[:2])
        t = of.clip(((of.take(edge, symbols) - mean) * inverse >> 12) + 4096, 0, 8191)
        mass = (1 << 16) - self._floor * self.alphabet
        return self._floor * symbols + (mass * of.take(normal, t) >> 16)

    def native(self) -> Native:
        """See `Distribution.native`; the fields are means, scales and scales again."""
        of = arrays.of(self._means)
        means, scales = (of.packed(p, "int32") for p in (self._means, self._scales))
        constants = of.constant(_constants(self._bits, self._floor))
        return Native(Functions(_load, _guess, _cum), (means, scales, scales), constants)


def _edges(bits: int) -> NDArray[np.int32]:
    """Edges 0 .. 2^bits of the buckets, in units of 2^-12."""
    edges = np.append(vae_tables().edge[:: 1 << (10 - bits)], FAR)
    edges[0] = -FAR
    return edges.astype(np.int32)


@cache
def _tables(bits: int) -> tuple[NDArray[np.int64], ...]:
    """NORMAL, the edges and INVSIGMA."""
    return tuple(each.astype(np.int64) for each in (vae_tables().normal, _edges(bits), vae_tables().invsigma))


# The native form. local: the mean, INVSIGMA[j], and for guesses the standard deviation and the mean's bucket.
NORMAL, INVSIGMA, POSITION, SIGMA = 0, 8192, 8320, 12416  # indices in the constants
ALPHABET, FLOOR, EDGE = 12544, 12545, 12546


@cache
def _constants(bits: int, floor: int) -> NDArray[np.int32]:
    """The tables; their inverses, for guesses (i - 4096 with cum of about 16 u at NORMAL[i], less the floor of every
    bucket below; and 2^28 / INVSIGMA); A; F; the edges.
    """
    normal, invsigma = vae_tables().normal.astype(np.int64), vae_tables().invsigma
    position = positions(((1 << 16) - (floor << bits)) * normal >> 16)
    scale = (1 << 28) // invsigma
    constants = np.concatenate([normal, invsigma, position, scale, [1 << bits, floor], _edges(bits)])
    return constants.astype(np.int32)


def _load(b: int, i: int, local: Any, means: Any, scales: Any, third: Any, constants: Any, components: int) -> None:
    row, column = np.uint64(b), np.uint64(i)
    local[0] = means[row, column, 0]
    local[1] = constants[np.uint64(INVSIGMA + scales[row, column, 0])]
    local[2] = constants[np.uint64(SIGMA + scales[row, column, 0])]


def _cum(s: int, local: Any, constants: Any, components: int) -> Any:
    t = ((constants[np.uint64(EDGE + s)] - local[0]) * local[1] >> 12) + 4096
    mass = (1 << 16) - constants[FLOOR] * constants[ALPHABET]
    return constants[FLOOR] * s + (mass * constants[np.uint64(NORMAL + min(max(t, 0), 8191))] >> 16)


def _guess(r: int, local: Any, constants: Any, components: int) -> Any:
    # The bucket of the mean tells how much of r is the floor of buckets below; the rest is a quantile of the Gaussian.
    bucket = constants[np.uint64(NORMAL + min(max((local[0] * 3 >> 4) + 4096, 0), 8191))] * constants[ALPHABET] >> 16
    mass = min(max(r - constants[FLOOR] * bucket, 0), 65535)
    place = local[0] + (constants[np.uint64(POSITION + (mass >> 4))] * local[2] >> 16)
    bucket = constants[np.uint64(NORMAL + min(max((place * 3 >> 4) + 4096, 0), 8191))] * constants[ALPHABET] >> 16
    return min(bucket, constants[ALPHABET] - 1)

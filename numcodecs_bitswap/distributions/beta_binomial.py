"""Beta-binomial distributions over 0 .. 255 (FORMAT.md section 3.6), as a table of all of them, made at first use."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import arrays
from ..arrays import Array
from ..rans.distribution import Functions, Native
from .checks import block_shape, check_range
from .tables import vae_tables

ALPHABET, INDICES = 256, 96
GUIDE = 31
ROW = ALPHABET + 1 + GUIDE
"""Length of a row of the table: cum(0), ..., cum(256), then guesses for pop, one for each 1/GUIDE of 2^16."""


class BetaBinomial:
    """A beta-binomial distribution with n = 255 for every symbol of a block.

    Parameters
    ----------
    alpha, beta : int32 array, shape (B, n, 1)
        0 .. 95; index a is a parameter of 2^(a/6 - 8).

    Raises
    ------
    ValueError
        Other shapes, or an index outside its range.
    """

    alphabet, components = ALPHABET, 1

    def __init__(self, alpha: Array, beta: Array) -> None:
        self.batch, self.n = block_shape(alpha, beta)
        check_range("alpha", alpha, 0, INDICES - 1)
        check_range("beta", beta, 0, INDICES - 1)
        self._alpha, self._beta = alpha, beta

    def prepare(self, first: int, last: int) -> tuple[Array, ...]:
        """See `Distribution.prepare`: the starts of the rows, int64 (B, k)."""
        of = arrays.of(self._alpha)
        alpha, beta = (of.cast(p[:, first:last, 0], "int64") for p in (self._alpha, self._beta))
        return ((INDICES * alpha + beta) * ROW,)

    def cum(self, prepared: tuple[Array, ...], symbols: Array) -> Array:
        """See `Distribution.cum`."""
        (row,) = prepared
        of = arrays.of(symbols)
        return of.cast(of.take(of.constant(_table()), row + symbols), "int64")

    def native(self) -> Native:
        """See `Distribution.native`; the fields are alpha, beta and beta again."""
        of = arrays.of(self._alpha)
        alpha, beta = (of.packed(p, "int32") for p in (self._alpha, self._beta))
        return Native(Functions(_load, _guess, _cum), (alpha, beta, beta), of.constant(_table()))


@cache
def _table() -> NDArray[np.int32]:
    """The rows of all pairs (a, b), a outermost, one after the other."""
    rise, choose, power = (table.astype(np.int64) for table in vae_tables()[3:])
    e = choose + rise[:, None] + rise[None, :, ::-1]
    d = e.max(2, keepdims=True) - e
    below = (power[d & 4095] >> np.minimum(d >> 12, 40)).cumsum(2)
    ends = np.zeros((INDICES * INDICES, ALPHABET + 1), np.int64)
    ends[:, 1:] = (((1 << 16) - ALPHABET) * below // below[..., -1:] + np.arange(1, ALPHABET + 1)).reshape(-1, ALPHABET)
    # One search for all rows at once: each has its own range of numbers.
    stretch = np.arange(len(ends))[:, None] << 17
    middles = ((2 * np.arange(GUIDE) + 1) << 15) // GUIDE
    symbols = np.searchsorted((stretch + ends).ravel(), stretch + middles, "right") - 1
    guide = symbols - np.arange(len(ends))[:, None] * (ALPHABET + 1)
    return np.hstack([ends, guide]).astype(np.int32).ravel()


# The native form. local: the start of the row.


def _load(b: int, i: int, local: Any, alpha: Any, beta: Any, third: Any, constants: Any, components: int) -> None:
    local[0] = (INDICES * alpha[b, i, 0] + beta[b, i, 0]) * ROW


def _cum(s: int, local: Any, constants: Any, components: int) -> Any:
    return constants[local[0] + s]


def _guess(r: int, local: Any, constants: Any, components: int) -> Any:
    return constants[local[0] + ALPHABET + 1 + (r * GUIDE >> 16)]

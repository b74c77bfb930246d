"""Bernoulli distributions (FORMAT.md section 3.5)."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import arrays
from ..arrays import Array
from ..rans.distribution import Functions, Native
from .checks import block_shape
from .tables import tables


class Bernoulli:
    """0 or 1 for every symbol of a block.

    Parameters
    ----------
    logits : int32 array, shape (B, n, 1)
        log(p(1) / p(0)) in units of 1/32; values beyond +-341 have no further effect.

    Raises
    ------
    ValueError
        Another shape.
    """

    alphabet, components = 2, 1

    def __init__(self, logits: Array) -> None:
        self.batch, self.n = block_shape(logits)
        self._logits = logits

    def prepare(self, first: int, last: int) -> tuple[Array, ...]:
        """See `Distribution.prepare`: cum(1), int64 (B, k)."""
        of = arrays.of(self._logits)
        t = of.clip(4096 - 12 * of.cast(self._logits[:, first:last, 0], "int64"), 0, 8191)
        return (1 + (((1 << 16) - 2) * of.cast(of.take(of.constant(_constants()), t), "int64") >> 16),)

    def cum(self, prepared: tuple[Array, ...], symbols: Array) -> Array:
        """See `Distribution.cum`."""
        (one,) = prepared
        where = arrays.of(symbols).where
        return where(symbols >= 2, 1 << 16, where(symbols <= 0, 0, one))

    def native(self) -> Native:
        """See `Distribution.native`; each field is the logits."""
        of = arrays.of(self._logits)
        logits = of.packed(self._logits, "int32")
        return Native(Functions(_load, _guess, _cum), (logits, logits, logits), of.constant(_constants()))


@cache
def _constants() -> NDArray[np.int32]:
    """SIGMOID."""
    return tables().sigmoid.astype(np.int32)


# The native form. local: cum(0), cum(1), cum(2).


def _load(b: int, i: int, local: Any, logits: Any, second: Any, third: Any, constants: Any, components: int) -> None:
    local[0] = 0
    local[1] = 1 + (((1 << 16) - 2) * constants[min(max(4096 - 12 * logits[b, i, 0], 0), 8191)] >> 16)
    local[2] = 1 << 16


def _cum(s: int, local: Any, constants: Any, components: int) -> Any:
    return local[s]


def _guess(r: int, local: Any, constants: Any, components: int) -> Any:
    return 1 if r >= local[1] else 0

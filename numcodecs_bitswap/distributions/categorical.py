"""Categorical distributions (FORMAT.md section 3.7)."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import arrays
from ..arrays import Array
from ..rans.distribution import Functions, Native
from .tables import tables


class Categorical:
    """A categorical distribution with A logits, for every symbol of a block.

    Parameters
    ----------
    logits : int32 array, shape (B, n, A)
        Units of 1/12 octave; 2 <= A <= 256.

    Raises
    ------
    ValueError
        Another shape.
    """

    def __init__(self, logits: Array) -> None:
        if logits.ndim != 3 or not 2 <= logits.shape[2] <= 256:
            raise ValueError(f"logits of a block have shape (B, n, A) with A in 2 .. 256, not {tuple(logits.shape)}")
        self.batch, self.n, self.alphabet = logits.shape
        self.components = self.alphabet
        self._logits = logits

    def prepare(self, first: int, last: int) -> tuple[Array, ...]:
        """See `Distribution.prepare`: cum(0), ..., cum(A), int64 (B, k, A + 1)."""
        of = arrays.of(self._logits)
        logits = of.cast(self._logits[:, first:last], "int64")
        w = of.take(of.constant(_constants()), of.clip(of.largest(logits) - logits, None, 127))
        below = of.zeros((*w.shape[:2], self.alphabet + 1), "int64")
        below[..., 1:] = of.sums(w)
        s = of.range(0, self.alphabet + 1)
        return (s + ((1 << 16) - self.alphabet) * below // below[..., -1:],)

    def cum(self, prepared: tuple[Array, ...], symbols: Array) -> Array:
        """See `Distribution.cum`."""
        (ends,) = prepared
        of = arrays.of(symbols)
        return of.gather(of.broadcast(ends, (*symbols.shape, self.alphabet + 1)), symbols[..., None])[..., 0]

    def native(self) -> Native:
        """See `Distribution.native`; each field is the logits."""
        of = arrays.of(self._logits)
        logits = of.packed(self._logits, "int32")
        return Native(Functions(_load, _guess, _cum), (logits, logits, logits), of.constant(_constants()))


@cache
def _constants() -> NDArray[np.int32]:
    """WEIGHT."""
    return tables().weight.astype(np.int32)


# The native form. local: the sums of w_i over i < s for s = 0 .. A, so that local[A] is the sum of all.


def _load(b: int, i: int, local: Any, logits: Any, second: Any, third: Any, constants: Any, components: int) -> None:
    top = logits[b, i, 0]
    for k in range(1, components):
        top = max(top, logits[b, i, k])
    local[0] = 0
    for k in range(components):
        local[k + 1] = local[k] + constants[min(top - logits[b, i, k], 127)]


def _cum(s: int, local: Any, constants: Any, components: int) -> Any:
    return s + (((1 << 16) - components) * local[s]) // local[components]


def _guess(r: int, local: Any, constants: Any, components: int) -> Any:
    return r * components >> 16

"""Plain bits (FORMAT.md section 3.9)."""

from typing import Any

import numpy as np

from .. import arrays
from ..arrays import Array
from ..rans.distribution import Functions, Native
from .checks import block_shape, check_range


class Bits:
    """Uniform numbers of a given size in bits, one for every symbol of a block; without bits nothing is coded.

    Parameters
    ----------
    sizes : int32 array, shape (B, n, 1)
        0 .. 16; symbols are 0 .. 2^size - 1.

    Raises
    ------
    ValueError
        Another shape, or a size outside its range.
    """

    alphabet, components = 1 << 16, 1

    def __init__(self, sizes: Array) -> None:
        self.batch, self.n = block_shape(sizes)
        check_range("sizes", sizes, 0, 16)
        self._shift = 16 - arrays.of(sizes).cast(sizes, "int32")

    def prepare(self, first: int, last: int) -> tuple[Array, ...]:
        """See `Distribution.prepare`: 16 - size, int64 (B, k)."""
        return (arrays.of(self._shift).cast(self._shift[:, first:last, 0], "int64"),)

    def cum(self, prepared: tuple[Array, ...], symbols: Array) -> Array:
        """See `Distribution.cum`; symbols that do not exist have no mass."""
        return arrays.of(symbols).clip(symbols << prepared[0], None, 1 << 16)

    def native(self) -> Native:
        """See `Distribution.native`; each field is 16 - size."""
        of = arrays.of(self._shift)
        shift, constants = of.packed(self._shift, "int32"), of.empty((0,), "int32")
        return Native(Functions(_load, _guess, _cum), (shift, shift, shift), constants, shift[..., 0])


def _load(b: int, i: int, local: Any, shift: Any, second: Any, third: Any, constants: Any, components: int) -> None:
    local[0] = shift[np.uint64(b), np.uint64(i), 0]


def _guess(r: int, local: Any, constants: Any, components: int) -> Any:
    return r >> local[0]


def _cum(s: int, local: Any, constants: Any, components: int) -> Any:
    return min(s << local[0], 1 << 16)

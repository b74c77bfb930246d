"""Plain bits (FORMAT.md section 3.9). Imports `rans.distribution` and the checks."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..rans.distribution import Functions, Native, TritonFunctions
from .checks import block_shape, check_range


class Bits:
    """A number of a given size in bits, all values alike, for every symbol of a block; none if it has no bits.

    Parameters
    ----------
    sizes : int32 tensor, shape (B, n, 1)
        0 .. 16; symbols are 0 .. 2^size - 1.

    Raises
    ------
    ValueError
        Another shape, or a size outside its range.
    """

    alphabet, components = 1 << 16, 1

    def __init__(self, sizes: Tensor) -> None:
        self.batch, self.n = block_shape(sizes)
        check_range("sizes", sizes, 0, 16)
        self._shift = 16 - sizes.int()

    def prepare(self, first: int, last: int) -> tuple[Tensor, ...]:
        """See `Distribution.prepare`: 16 - size, int64 (B, k)."""
        return (self._shift[:, first:last, 0].long(),)

    def cum(self, prepared: tuple[Tensor, ...], symbols: Tensor) -> Tensor:
        """See `Distribution.cum`; symbols that do not exist have no mass."""
        return (symbols << prepared[0]).clamp(max=1 << 16)

    def native(self) -> Native:
        """See `Distribution.native`; each field is 16 - size."""
        shift = self._shift.contiguous()
        constants = torch.empty(0, dtype=torch.int32, device=shift.device)
        return Native(Functions(_load, _guess, _cum), (shift, shift, shift), constants, _triton, shift[..., 0])


def _load(b: int, i: int, local: Any, shift: Any, second: Any, third: Any, constants: Any, components: int) -> None:
    local[0] = shift[np.uint64(b), np.uint64(i), 0]


def _guess(r: int, local: Any, constants: Any, components: int) -> Any:
    return r >> local[0]


def _cum(s: int, local: Any, constants: Any, components: int) -> Any:
    return min(s << local[0], 1 << 16)


def _triton() -> TritonFunctions:
    from .triton_forms import BITS

    return BITS

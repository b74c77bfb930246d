"""Uniform distributions over powers of two, one for each symbol (FORMAT.md section 3.9). Imports `rans.distribution`
only.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..rans.distribution import Functions, Native


@dataclass(frozen=True)
class LowBits:
    """Uniform distributions over 0 .. width - 1, width a power of two up to 2^13.

    Attributes
    ----------
    widths : int32 tensor, shape (B, n, 1)
    """

    widths: Tensor

    alphabet = 1 << 13
    components = 1

    @property
    def batch(self) -> int:
        """See `Distribution.batch`."""
        return self.widths.shape[0]

    @property
    def n(self) -> int:
        """See `Distribution.n`."""
        return self.widths.shape[1]

    def prepare(self, first: int, last: int) -> tuple[Tensor, ...]:
        """See `Distribution.prepare`: frequencies, int64 (B, k)."""
        return ((1 << 16) // self.widths[:, first:last, 0].long(),)

    def cum(self, prepared: tuple[Tensor, ...], symbols: Tensor) -> Tensor:
        """See `Distribution.cum`."""
        return (symbols * prepared[0]).clamp(max=1 << 16)

    def native(self) -> Native:
        """See `Distribution.native`; the first field is used."""
        widths = self.widths.contiguous()
        none = torch.zeros(1, dtype=torch.int32, device=widths.device)
        return Native(Functions(_load_width, _guess_low, _cum_low), (widths, widths, widths), none)


def _load_width(b: int, i: int, local: Any, widths: Any, _: Any, __: Any, constants: Any, components: int) -> None:
    local[0] = (1 << 16) // widths[b, i, 0]


def _cum_low(s: int, local: Any, constants: Any, components: int) -> Any:
    return min(s * local[0], 1 << 16)


def _guess_low(r: int, local: Any, constants: Any, components: int) -> Any:
    return r // local[0]

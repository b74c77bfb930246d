"""Categorical distributions (FORMAT.md section 3.7). Imports `rans.distribution` and the tables."""

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from ..rans.distribution import Functions, Native, TritonFunctions
from .tables import tables

FEW = 16
"""Symbols that the Triton form is for: it holds all their weights."""


class Categorical:
    """A logit for each of A symbols, for every symbol of a block.

    Parameters
    ----------
    logits : int32 tensor, shape (B, n, A)
        Units of 1/12 octave; 2 <= A <= 256.

    Raises
    ------
    ValueError
        Another shape.
    """

    def __init__(self, logits: Tensor) -> None:
        if logits.ndim != 3 or not 2 <= logits.shape[2] <= 256:
            raise ValueError(f"logits of a block have shape (B, n, A) with A in 2 .. 256, not {tuple(logits.shape)}")
        self.batch, self.n, self.alphabet = logits.shape
        self.components = self.alphabet
        self._logits = logits

    def prepare(self, first: int, last: int) -> tuple[Tensor, ...]:
        """See `Distribution.prepare`: cum(0), ..., cum(A), int64 (B, k, A + 1)."""
        logits = self._logits[:, first:last].long()
        w = _constants(logits.device)[(logits.amax(2, keepdim=True) - logits).clamp(max=127)]
        below = pad(w.cumsum(2), (1, 0))
        s = torch.arange(self.alphabet + 1, device=logits.device)
        return (s + ((1 << 16) - self.alphabet) * below // below[..., -1:],)

    def cum(self, prepared: tuple[Tensor, ...], symbols: Tensor) -> Tensor:
        """See `Distribution.cum`."""
        (ends,) = prepared
        return ends.expand(*symbols.shape, -1).gather(-1, symbols[..., None])[..., 0]

    def native(self) -> Native:
        """See `Distribution.native`; each field is the logits."""
        logits = self._logits.int().contiguous()
        form = _triton if self.alphabet <= FEW else None
        return Native(Functions(_load, _guess, _cum), (logits, logits, logits), _constants(logits.device), form)


@cache
def _constants(device: torch.device) -> Tensor:
    """WEIGHT, int32."""
    return torch.from_numpy(tables().weight.astype(np.int32)).to(device)


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


def _triton() -> TritonFunctions:
    from .triton_forms import CATEGORICAL

    return CATEGORICAL

"""Symbols whose intervals are known, as a distribution: for backends that take nothing else."""

from typing import Any

import torch
from torch import Tensor

from .distribution import Functions, Native


class Known:
    """Intervals of a block's symbols: each has one symbol, 0. It can be pushed and not popped.

    Parameters
    ----------
    starts, freqs : int32 tensors, shape (B, n)
    """

    alphabet, components = 1, 1

    def __init__(self, starts: Tensor, freqs: Tensor) -> None:
        self.batch, self.n = starts.shape
        self._starts, self._freqs = starts, freqs

    @property
    def symbols(self) -> Tensor:
        """What is to be pushed: int32 zeros (B, n)."""
        return torch.zeros_like(self._starts)

    def prepare(self, first: int, last: int) -> tuple[Tensor, ...]:
        """See `Distribution.prepare`: starts and freqs, int64 (B, k)."""
        return self._starts[:, first:last].long(), self._freqs[:, first:last].long()

    def cum(self, prepared: tuple[Tensor, ...], symbols: Tensor) -> Tensor:
        """See `Distribution.cum`: start and end."""
        starts, freqs = prepared
        return starts + symbols * freqs

    def native(self) -> Native:
        """A form that nothing can be compiled from."""
        none = torch.empty(0, dtype=torch.int32, device=self._starts.device)
        return Native(Functions(_nothing, _nothing, _nothing), (none, none, none), none)


def _nothing(*_: object) -> Any:
    raise NotImplementedError("intervals that are known are pushed by `Message.push_intervals`")

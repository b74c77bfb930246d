"""The message in torch tensors on any device: push and pop of FORMAT.md section 2, vectorised over messages and lanes.

A *row* is L successive symbols, one on each lane; rows are coded in turn, the lanes of a row at once. In a row pushes
go from the last lane to the first, so the words of the last lane come first on the tail; pops go the other way. int64
throughout; imports no distribution.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from torch import Tensor

from ..errors import FormatError, MessageExhausted
from .distribution import Distribution, Shiftable, Values
from .words import IMPOSSIBLE, LEAST_HEAD, SHORT, Words

if TYPE_CHECKING:
    from .message import Message

SLAB = 1 << 20
"""Components prepared at a time, about: bounds the memory used in addition to the block."""


class TorchStack:
    """B messages on one device.

    Attributes
    ----------
    heads : int64 tensor, shape (B, L)
    tail : int32 tensor, shape (B, capacity + 1)
        Words below `size` are in use; lanes without a word write to the last column.
    size : int64 tensor, shape (B,)
    """

    defers = False

    def __init__(self, heads: Tensor, tail: Tensor, size: Tensor) -> None:
        self.heads, self.tail, self.size = heads, tail, size

    @classmethod
    def unflatten(cls, words: list[Words], device: str) -> Self:
        """See `Message.unflatten`."""
        sizes = [tail.size for _, tail in words]
        heads = np.stack([heads for heads, _ in words]).astype(np.int64)
        tails = np.zeros((len(words), max(sizes) + 1), np.uint8)
        for row, (_, tail) in zip(tails, words, strict=True):
            row[: tail.size] = tail
        arrays = heads, tails, np.array(sizes, np.int64)
        on_device = [torch.from_numpy(array).to(device) for array in arrays]
        return cls(on_device[0], on_device[1].int(), on_device[2])

    def flatten(self) -> list[Words]:
        """See `Message.flatten`."""
        heads, sizes = (tensor.cpu().numpy() for tensor in (self.heads, self.size))
        tails = self.tail[:, : int(sizes.max())].to(torch.uint8).cpu().numpy()
        return [
            (head.astype(np.uint32), tail[:size].copy()) for head, tail, size in zip(heads, tails, sizes, strict=True)
        ]

    def copy(self) -> Self:
        """See `Message.copy`."""
        return type(self)(self.heads.clone(), self.tail.clone(), self.size.clone())

    def push_values(self, message: "Message", distribution: Values, values: Tensor) -> None:
        """See `Message.push_values`."""
        distribution.push(message, values)

    def pop_values(self, message: "Message", distribution: Values) -> Tensor:
        """See `Message.pop_values`."""
        values: Tensor = distribution.pop(message)
        return values

    def push(self, distribution: Distribution, symbols: Tensor) -> None:
        """See `Message.push`."""
        self.reserve(distribution.n)
        lanes = self.heads.shape[1]
        for first, last in reversed(list(_slabs(distribution, lanes))):
            prepared = distribution.prepare(first, last)
            start, freq = _interval(distribution, prepared, symbols[:, first:last].long())
            if (freq < 1).any():
                raise FormatError(IMPOSSIBLE)
            self.push_intervals(start, freq)

    def push_intervals(self, start: Tensor, freq: Tensor) -> None:
        """Push symbols by their intervals, int64 (B, n): 1 <= freq. `reserve` must have been called.

        The interval [0, 2^16) does not change a message.
        """
        lanes = self.heads.shape[1]
        limits = freq[..., None] << torch.tensor([16, 24], device=freq.device)
        rest_of_range = (1 << 16) - freq
        before, given = torch.empty_like(freq), torch.empty_like(freq)
        rows = (torch.split(each, lanes, 1) for each in (start, freq, limits, rest_of_range, before, given))
        for a, f, limit, other, kept, words in reversed(list(zip(*rows, strict=True))):
            head = self.heads[:, : a.shape[1]]  # a view: the last row may be short
            kept.copy_(head)
            torch.sum(head[..., None] >= limit, 2, out=words)
            rest = head >> (words << 3)
            torch.addcmul(rest + a, rest // f, other, out=head)  # of integers
        self._put(before, given)

    def _put(self, heads: Tensor, given: Tensor) -> None:
        """Append the words of heads to the tail, `given` of each; those of the last head come first."""
        rank = given.flip(1).cumsum(1).flip(1)  # words of this symbol and those after it
        first = self.size[:, None] + rank - given
        for word in range(2):
            where = torch.where(given > word, first + word, self.tail.shape[1] - 1)
            self.tail.scatter_(1, where, (heads >> 8 * word & 255).int())
        self.size += rank[:, 0]

    def pop(self, distribution: Distribution) -> Tensor:
        """See `Message.pop`."""
        lanes = self.heads.shape[1]
        symbols = torch.empty(distribution.batch, distribution.n, dtype=torch.int32, device=self.heads.device)
        for first, last in _slabs(distribution, lanes):
            prepared = distribution.prepare(first, last)
            for i in range(0, last - first, lanes):
                row = tuple(tensor[:, i : i + lanes] for tensor in prepared)
                symbols[:, first + i : min(first + i + lanes, last)] = self._pop_row(
                    distribution, row, min(lanes, last - first - i)
                )
        self.check_size()
        return symbols

    def _pop_row(self, distribution: Distribution, prepared: tuple[Tensor, ...], k: int) -> Tensor:
        symbol = _search(distribution, prepared, self.peek(k))
        self.pop_row(*_interval(distribution, prepared, symbol))
        return symbol

    def peek(self, k: int) -> Tensor:
        """The low 16 bits of the first k heads, int64 (B, k), which are in the intervals of the symbols on top."""
        return self.heads[:, :k] & 0xFFFF

    def pop_row(self, start: Tensor, freq: Tensor) -> None:
        """Pop one symbol from each of the first k lanes, with intervals int64 (B, k) that contain what `peek` returns.

        `check_size` raises if there were too few words.
        """
        head = self.heads[:, : start.shape[1]]
        rest = freq * (head >> 16) + (head & 0xFFFF) - start
        taken = (rest < LEAST_HEAD).long() + (rest < LEAST_HEAD >> 8)
        rank = taken.cumsum(1)  # words taken by this lane and those before it
        first, shift = self.size[:, None] - rank, taken << 3
        # Below the bottom of the tail any word is used: the pop fails at the end.
        low, high = (self.tail.gather(1, place.clamp(0, self.tail.shape[1] - 1)) for place in (first, first + 1))
        words = (low | high << 8) & (1 << shift) - 1
        torch.add(rest << shift, words, out=head)
        self.size -= rank[:, -1]

    def costs(self, shiftable: Shiftable, symbols: Tensor, shifts: tuple[int, ...], every: int, log: Tensor) -> Tensor:
        """See `Message.costs`."""
        few, symbols, costs = shiftable.thinned(every), symbols[:, ::every].long(), []
        for shift in shifts:
            distribution = few.shifted(shift)
            _, freq = _interval(distribution, distribution.prepare(0, few.n), symbols)
            costs.append(log.take(freq).sum(1))
        return torch.stack(costs, 1)

    def check(self) -> None:
        """See `Message.check`."""

    def check_size(self) -> None:
        """Raise if more words were taken than there were; called once for a block, since it waits for the device."""
        if (self.size < 0).any():
            raise MessageExhausted(SHORT)

    def reserve(self, symbols: int) -> None:
        """Make room for the words of `symbols` more symbols: a push adds at most two per symbol."""
        need = int(self.size.max()) + 2 * symbols + 1
        if need > self.tail.shape[1]:
            self._grow(need)

    def _grow(self, need: int) -> None:
        tail = self.tail.new_zeros(self.tail.shape[0], max(need, 2 * self.tail.shape[1]))
        tail[:, : self.tail.shape[1]] = self.tail
        self.tail = tail


def _slabs(distribution: Distribution, lanes: int) -> Iterator[tuple[int, int]]:
    """Cut the symbols of a block into runs of whole rows, each small enough to prepare at once."""
    rows = max(SLAB // (distribution.batch * lanes * max(distribution.components, 1)), 1)
    for first in range(0, distribution.n, rows * lanes):
        yield first, min(first + rows * lanes, distribution.n)


def _interval(distribution: Distribution, prepared: tuple[Tensor, ...], symbol: Tensor) -> tuple[Tensor, Tensor]:
    start = distribution.cum(prepared, symbol)
    return start, distribution.cum(prepared, symbol + 1) - start


def _search(distribution: Distribution, prepared: tuple[Tensor, ...], r: Tensor) -> Tensor:
    """The symbols with cum(s) <= r < cum(s + 1), four bits at a time: few operations, since each has its overhead."""
    wide = tuple(tensor.unsqueeze(2) for tensor in prepared)
    digits = torch.arange(1, 16, device=r.device)
    symbol = torch.zeros_like(r)
    for shift in reversed(range(0, (distribution.alphabet - 1).bit_length(), 4)):
        higher = (symbol[..., None] + (digits << shift)).clamp(max=distribution.alphabet)
        symbol += (distribution.cum(wide, higher) <= r[..., None]).sum(2) << shift
    return symbol

"""The message in arrays on the CPU, with just-in-time compiled loops: push and pop of FORMAT.md section 2 as written.

One symbol after the other, so few lanes cost no speed. Messages of a batch are coded on several threads (the
compiled code holds no interpreter lock; numba's own threading is not used, since it must not be entered twice).
Imports no distribution: kernels are compiled once for each distribution's functions and kept on disk.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import FormatError, MessageExhausted
from ..jit import FEATURES
from .distribution import Distribution, Loops, Native, Shiftable
from .message import IMPOSSIBLE, SHORT, Words
from .numba_bits import pop_bits
from .numba_kernels import SMALL_ALPHABET, cost_kernel, kernels

THREADED = 1 << 15
"""Symbols in a block from which threads are worth starting."""

VECTORS = "+avx512dq" in FEATURES
"""Whether the CPU multiplies vectors of int64: without, halving takes twice as long as guesses."""
FEW_COMPONENTS, MANY_LANES = 6, 8
"""Of mixtures that a pop halves for: whole vectors, in a loop that is not too long to compile."""

_COMPILING = Lock()


class NumbaStack:
    """B messages.

    Attributes
    ----------
    heads : int64 array, shape (B, L)
    tail : uint8 array, shape (B, capacity + 2)
        Words below `size`; two words more, so that a push may write before it knows whether to keep them.
    size : int64 array, shape (B,)
    """

    defers, takes_loops = False, True

    def __init__(self, heads: NDArray[np.int64], tail: NDArray[np.uint8], size: NDArray[np.int64]) -> None:
        self.heads, self.tail, self.size = heads, tail, size

    @classmethod
    def unflatten(cls, words: list[Words]) -> Self:
        """See `Message.unflatten`."""
        size = np.array([tail.size for _, tail in words], np.int64)
        tails = np.zeros((len(words), int(size.max()) + 2), np.uint8)
        for row, (_, tail) in zip(tails, words, strict=True):
            row[: tail.size] = tail
        return cls(np.stack([heads for heads, _ in words]).astype(np.int64), tails, size)

    def flatten(self) -> list[Words]:
        """See `Message.flatten`."""
        return [
            (head.astype(np.uint32), tail[:size].copy())
            for head, tail, size in zip(self.heads, self.tail, self.size, strict=True)
        ]

    def copy(self) -> Self:
        """See `Message.copy`."""
        return type(self)(self.heads.copy(), self.tail.copy(), self.size.copy())

    def check(self) -> None:
        """See `Message.check`."""

    def push(self, distribution: Distribution, symbols: Tensor) -> None:
        """See `Message.push`."""
        self._reserve(distribution.n)
        self._run(0, distribution, distribution.native(), symbols.int().contiguous())
        if (self.size < 0).any():
            raise FormatError(IMPOSSIBLE)

    def pop(self, distribution: Distribution) -> Tensor:
        """See `Message.pop`."""
        symbols = torch.empty(distribution.batch, distribution.n, dtype=torch.int32)
        native = distribution.native()
        if native.shifts is None:
            self._run(2 if self._halves(distribution) else 1, distribution, native, symbols)
        else:
            arrays = self.heads, self.tail, self.size, native.shifts.numpy(), symbols.numpy()
            self._spread(lambda first, last: pop_bits(*arrays, first, last), symbols)
        if (self.size < 0).any():
            raise MessageExhausted(SHORT)
        return symbols

    def push_values(self, loops: Loops, values: Tensor) -> None:
        """See `Message.push_values`."""
        self._reserve(loops.most * values.shape[1])
        self._loop(loops.push, loops, values.contiguous())
        if (self.size < 0).any():
            raise FormatError(IMPOSSIBLE)

    def pop_values(self, loops: Loops, n: int) -> Tensor:
        """See `Message.pop_values`."""
        values = torch.empty(len(self.heads), n, dtype=torch.int32)
        self._loop(loops.pop, loops, values)
        if (self.size < 0).any():
            raise MessageExhausted(SHORT)
        return values

    def costs(self, shiftable: Shiftable, symbols: Tensor, shifts: tuple[int, ...], every: int, log: Tensor) -> Tensor:
        """See `Message.costs`."""
        native = shiftable.native()
        with _COMPILING:
            kernel = cost_kernel(native.functions, shiftable.components, len(shifts))
        arrays = (each.numpy() for each in (symbols.int(), *native.fields, native.constants))
        out = np.zeros((len(symbols), len(shifts)), np.int64)
        kernel(*arrays, np.array(shifts), shiftable.scale_limit, every, log.numpy(), out)
        return torch.from_numpy(out)

    def _halves(self, distribution: Distribution) -> bool:
        """Whether `pop_halving` is the fastest pop."""
        small = distribution.alphabet <= SMALL_ALPHABET and 1 < distribution.components <= FEW_COMPONENTS
        return VECTORS and small and self.heads.shape[1] >= MANY_LANES

    def _run(self, which: int, distribution: Distribution, native: Native, symbols: Tensor) -> None:
        """Run one of the kernels."""
        with _COMPILING:
            kernel = kernels(native.functions, distribution.components)[which]
        arrays = self.heads, self.tail, self.size, symbols.numpy(), distribution.alphabet
        arguments = (*arrays, *(each.numpy() for each in (*native.fields, native.constants)))
        self._spread(lambda first, last: kernel(*arguments, first, last), symbols)

    def _loop(self, loop: Callable[..., None], loops: Loops, values: Tensor) -> None:
        arguments = self.heads, self.tail, self.size, *loops.parameters, values.numpy()
        self._spread(lambda first, last: loop(*arguments, first, last), values)

    def _spread(self, work: Callable[[int, int], None], symbols: Tensor) -> None:
        """Do work(first, last) for all messages, on threads if there is enough of it."""
        batch = len(symbols)
        workers = min(batch, torch.get_num_threads()) if symbols.numel() >= THREADED else 1
        if workers == 1:
            work(0, batch)
        else:
            with ThreadPoolExecutor(workers) as pool:  # made for each block: a pool kept would not survive a fork
                list(pool.map(work, range(batch), range(1, batch + 1)))

    def _reserve(self, symbols: int) -> None:
        """Make room for the words of `symbols` more symbols: a push adds at most two per symbol."""
        need = int(self.size.max()) + 2 * symbols + 2
        if need > self.tail.shape[1]:
            tail = np.empty((self.tail.shape[0], max(need, 2 * self.tail.shape[1])), np.uint8)
            tail[:, : self.tail.shape[1]] = self.tail
            self.tail = tail

"""The message in arrays on the CPU, with just-in-time compiled loops: push and pop of FORMAT.md section 2 as written.

Symbols are coded one by one, so few lanes cost no speed, and messages one by one: parallelism is that of passes (the
compiled code does not hold the interpreter lock). Imports no distribution: kernels are compiled once for the functions
of each distribution and cached on disk.
"""

import os
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from ..arrays import Array
from ..errors import FormatError, MessageExhausted
from ..runtime.jit import FEATURES
from .distribution import Distribution, Loops, Native, Shiftable, Values
from .numba_bits import pop_bits
from .numba_kernels import SMALL_ALPHABET, cost_kernel, kernels
from .words import IMPOSSIBLE, SHORT, Words

if TYPE_CHECKING:
    from .message import Message

VECTORS = "+avx512dq" in FEATURES
"""Whether the CPU multiplies vectors of int64; without that, bisection takes twice as long as guesses."""
FEW_COMPONENTS, MANY_LANES = 6, 8
"""Most components and fewest lanes for a pop by bisection: whole vectors, in a loop not too long to compile."""

_COMPILING = Lock()


def _after_fork() -> None:
    """Another thread of the parent may have held it."""
    global _COMPILING
    _COMPILING = Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class NumbaStack:
    """B messages.

    Attributes
    ----------
    heads : int64 array, shape (B, L)
    tail : uint8 array, shape (B, capacity + 2)
        Words below `size` are in use. Two extra words let a push write before it knows whether to keep them.
    size : int64 array, shape (B,)
    """

    defers = False

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

    def push(self, distribution: Distribution, symbols: Array) -> None:
        """See `Message.push`."""
        self._reserve(distribution.n)
        self._run(0, distribution, distribution.native(), np.ascontiguousarray(symbols, np.int32))
        if (self.size < 0).any():
            raise FormatError(IMPOSSIBLE)

    def pop(self, distribution: Distribution) -> Array:
        """See `Message.pop`."""
        symbols = np.empty((distribution.batch, distribution.n), np.int32)
        native = distribution.native()
        if native.shifts is None:
            self._run(2 if self._halves(distribution) else 1, distribution, native, symbols)
        else:
            pop_bits(self.heads, self.tail, self.size, native.shifts, symbols, 0, len(symbols))
        if (self.size < 0).any():
            raise MessageExhausted(SHORT)
        return symbols

    def push_values(self, message: "Message", distribution: Values, values: Array) -> None:
        """See `Message.push_values`."""
        loops = distribution.loops()
        self._reserve(loops.most * values.shape[1])
        self._loop(loops.push, loops, np.ascontiguousarray(values, np.int32))
        if (self.size < 0).any():
            raise FormatError(IMPOSSIBLE)

    def pop_values(self, message: "Message", distribution: Values) -> Array:
        """See `Message.pop_values`."""
        loops, values = distribution.loops(), np.empty((distribution.batch, distribution.n), np.int32)
        self._loop(loops.pop, loops, values)
        if (self.size < 0).any():
            raise MessageExhausted(SHORT)
        return values

    def costs(self, shiftable: Shiftable, symbols: Array, shifts: tuple[int, ...], every: int, log: Array) -> Array:
        """See `Message.costs`."""
        native = shiftable.native()
        with _COMPILING:
            kernel = cost_kernel(native.functions, shiftable.components, len(shifts))
        arrays = np.ascontiguousarray(symbols, np.int32), *native.fields, native.constants
        out = np.zeros((len(symbols), len(shifts)), np.int64)
        kernel(*arrays, np.array(shifts), shiftable.scale_limit, every, log, out)
        return out

    def _halves(self, distribution: Distribution) -> bool:
        """Whether `pop_halving` is the fastest pop."""
        small = distribution.alphabet <= SMALL_ALPHABET and 1 < distribution.components <= FEW_COMPONENTS
        return VECTORS and small and self.heads.shape[1] >= MANY_LANES

    def _run(self, which: int, distribution: Distribution, native: Native, symbols: NDArray[np.int32]) -> None:
        """Run one of the kernels."""
        with _COMPILING:
            kernel = kernels(native.functions, distribution.components)[which]
        arrays = self.heads, self.tail, self.size, symbols, distribution.alphabet
        kernel(*arrays, *native.fields, native.constants, 0, len(symbols))

    def _loop(self, loop: Callable[..., None], loops: Loops, values: NDArray[np.int32]) -> None:
        loop(self.heads, self.tail, self.size, *loops.parameters, values, 0, len(values))

    def _reserve(self, symbols: int) -> None:
        """Make room for the words of `symbols` more symbols: a push adds at most two per symbol."""
        need = int(self.size.max()) + 2 * symbols + 2
        if need > self.tail.shape[1]:
            tail = np.empty((self.tail.shape[0], max(need, 2 * self.tail.shape[1])), np.uint8)
            tail[:, : self.tail.shape[1]] = self.tail
            self.tail = tail

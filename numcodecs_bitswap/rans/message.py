"""A batch of messages (FORMAT.md section 2).

Imports `errors` and `arrays`. The lanes are held by a `Stack`, which a backend makes; every stack gives the same words.
"""

from collections.abc import Callable
from typing import Protocol, Self

import numpy as np

from .. import arrays
from ..arrays import Array
from ..errors import FormatError
from .distribution import Distribution, Shiftable, Values
from .words import LEAST_HEAD, Words, empty_words


class Stack(Protocol):
    """A backend: the lanes and tails of B messages, mutable. Arguments were checked by `Message`."""

    @property
    def heads(self) -> Array:
        """Shape (B, L)."""

    defers: bool
    """Whether errors, also symbols outside the alphabet, are raised by `check` and `flatten` only."""

    def check(self) -> None:
        """See `Message.check`."""

    def push_values(self, message: "Message", distribution: Values, values: Array) -> None:
        """See `Message.push_values`; `message` is the one that holds this stack."""

    def pop_values(self, message: "Message", distribution: Values) -> Array:
        """See `Message.pop_values`."""

    def push(self, distribution: Distribution, symbols: Array) -> None:
        """See `Message.push`."""

    def pop(self, distribution: Distribution) -> Array:
        """See `Message.pop`."""

    def costs(self, shiftable: Shiftable, symbols: Array, shifts: tuple[int, ...], every: int, log: Array) -> Array:
        """See `Message.costs`."""

    def copy(self) -> Self:
        """A stack that shares nothing with this one."""

    def flatten(self) -> list[Words]:
        """See `Message.flatten`."""


class Message:
    """B messages of L lanes each, coded in parallel; mutable. Made by `empty` or `unflatten`.

    Attributes
    ----------
    batch, lanes : int
        B and L.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._refused: list[tuple[Array, str]] = []
        self.batch: int
        self.lanes: int
        self.batch, self.lanes = stack.heads.shape

    @classmethod
    def empty(cls, batch: int, lanes: int, stack: Callable[[list[Words]], Stack]) -> "Message":
        """Return `batch` empty messages."""
        return cls.unflatten([empty_words(lanes)] * batch, stack)

    @classmethod
    def unflatten(cls, words: list[Words], stack: Callable[[list[Words]], Stack]) -> "Message":
        """Return the messages with these heads and tails.

        Parameters
        ----------
        words : list of (heads uint32 (L,), tail uint8 (T,))
            One pair for each message; L is the same for all, T need not be.
        stack : callable
            Makes the stack that holds them: `stack` of a backend (`backends.for_device`).

        Raises
        ------
        ValueError
            No message, no lane, unequal numbers of lanes, or a head below 2^24.
        """
        shapes = {heads.shape for heads, _ in words}
        if len(shapes) != 1 or min([lanes for each in shapes for lanes in each], default=0) < 1:
            raise ValueError("a batch needs at least one message, and messages the same number of lanes, at least one")
        if any(heads.min() < LEAST_HEAD for heads, _ in words):
            raise ValueError("heads must be in [2^24, 2^32)")
        return cls(stack(words))

    def push(self, distribution: Distribution, symbols: Array) -> None:
        """Push a block; the exact inverse of `pop`.

        Parameters
        ----------
        distribution : Distribution
            The distributions of B x n symbols.
        symbols : int32 array, shape (B, n)
            0 <= symbols < alphabet.

        Raises
        ------
        ValueError
            A shape that does not fit or a symbol outside the alphabet.
        FormatError
            A symbol of frequency 0. The messages are unusable afterwards.

        On Triton `check` raises the last two, both as `FormatError`.
        """
        self._check(distribution)
        if symbols.shape != (distribution.batch, distribution.n):
            raise ValueError(f"symbols have shape {tuple(symbols.shape)}, not {distribution.batch, distribution.n}")
        if 0 in symbols.shape:
            return
        if not self._stack.defers:
            check_symbols(distribution, symbols)
        self._stack.push(distribution, symbols)

    def push_values(self, distribution: Values, values: Array) -> None:
        """Push a block of values, int32 (B, n), as `push` does symbols."""
        self._check(distribution)
        self._stack.push_values(self, distribution, values)

    def pop_values(self, distribution: Values) -> Array:
        """Pop a block of values, int32 (B, n), as `pop` does symbols."""
        self._check(distribution)
        return self._stack.pop_values(self, distribution)

    def pop(self, distribution: Distribution) -> Array:
        """Pop a block; the exact inverse of `push`, whatever the message holds.

        Returns
        -------
        symbols : int32 array, shape (B, n)

        Raises
        ------
        MessageExhausted
            A message has too few words. The messages are unusable afterwards; `copy` them before, to go on with them.
            On Triton `check` raises it.
        """
        self._check(distribution)
        return self._stack.pop(distribution)

    def costs(self, shiftable: Shiftable, symbols: Array, shifts: tuple[int, ...], every: int, log: Array) -> Array:
        """The cost of a push with shifted distributions: int64 (B, number of shifts).

        Parameters
        ----------
        shiftable : Shiftable
        symbols : int32 array, shape (B, n)
        shifts : tuple of int
        every : int
            Only symbols number 0, every, 2 every, ... are counted.
        log : int64 array, shape (2^16 + 1,)
            Cost of a symbol by its frequency.
        """
        self._check(shiftable)
        return self._stack.costs(shiftable, symbols, shifts, every, log)

    def check(self) -> None:
        """Raise errors that were deferred: reading them from a GPU waits for it."""
        self._stack.check()
        if self._refused:
            every, reasons = zip(*self._refused, strict=True)
            of = arrays.of(every[0])
            for wrong, why in zip(of.numpy(of.stack(every, 0)).tolist(), reasons, strict=True):
                if wrong:
                    raise FormatError(why)
            self._refused.clear()

    def refuse(self, wrong: Array, why: str) -> None:
        """Raise FormatError if any of `wrong`, a mask of popped values, is true; on Triton after `check`."""
        self._refused.append((wrong.any(), why))
        if not self._stack.defers:
            self.check()

    def copy(self) -> "Message":
        """Return messages that share nothing with these."""
        other = Message(self._stack.copy())
        other._refused = list(self._refused)
        return other

    def flatten(self) -> list[Words]:
        """Return (heads uint32 (L,), tail uint8 (T,)) of each message; the inverse of `unflatten`.

        Raises what `check` raises.
        """
        self.check()
        return self._stack.flatten()

    def replace(self, other: "Message") -> None:
        """Become `other`, which must not be used any more: accepts a trial that succeeded."""
        self._stack, self._refused = other._stack, other._refused

    def is_empty(self) -> bool:
        """Whether every message is the empty message."""
        heads = empty_words(self.lanes)[0]
        return all(tail.size == 0 and np.array_equal(own, heads) for own, tail in self.flatten())

    def _check(self, distribution: Distribution) -> None:
        if distribution.batch != self.batch:
            raise ValueError(f"a distribution for {distribution.batch} messages, but there are {self.batch}")


def check_symbols(distribution: Distribution, symbols: Array) -> None:
    """Raise ValueError unless all symbols are in the alphabet."""
    low, high = int(symbols.min()), int(symbols.max())
    if low < 0 or high >= distribution.alphabet:
        raise ValueError(f"symbols {low} .. {high} are not all in 0 .. {distribution.alphabet - 1}")

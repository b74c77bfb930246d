"""A batch of messages, and the choice of the backend that holds them (FORMAT.md section 2).

Imports `errors` and, when a message is made, one backend. Every backend gives the same words.
"""

import os
from importlib.util import find_spec
from typing import Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import FormatError
from .distribution import Distribution, Loops, Shiftable

Words = tuple[NDArray[np.uint32], NDArray[np.uint8]]
"""One message at rest: heads in [2^24, 2^32), shape (L,), and tail, shape (T,), its bottom first."""

IMPOSSIBLE = "a symbol that its distribution does not have: the frame was altered or made with other weights"
"""What a push of a symbol of frequency 0 says."""
SHORT = "the message holds fewer words than its symbols need: it is truncated or altered"
"""What a pop of too many symbols says."""

LEAST_HEAD = 1 << 24
SEED = 2654435761
"""2^32 over the golden ratio: spreads the low bits of empty heads (FORMAT.md section 2)."""


class Stack(Protocol):
    """A backend: the lanes and tails of B messages, mutable. Arguments were checked by `Message`."""

    @property
    def heads(self) -> Tensor | NDArray[np.int64]:
        """Shape (B, L)."""

    defers: bool
    """Whether what is wrong, symbols outside the alphabet too, is said by `check` and `flatten` only."""

    takes_loops: bool
    """Whether `push_values` and `pop_values` are there."""

    def check(self) -> None:
        """See `Message.check`."""

    def push_values(self, loops: Loops, values: Tensor) -> None:
        """See `Message.push_values`."""

    def pop_values(self, loops: Loops, n: int) -> Tensor:
        """See `Message.pop_values`."""

    def push(self, distribution: Distribution, symbols: Tensor) -> None:
        """See `Message.push`."""

    def pop(self, distribution: Distribution) -> Tensor:
        """See `Message.pop`."""

    def costs(self, shiftable: Shiftable, symbols: Tensor, shifts: tuple[int, ...], every: int, log: Tensor) -> Tensor:
        """See `Message.costs`."""

    def copy(self) -> Self:
        """A stack that shares nothing with this one."""

    def flatten(self) -> list[Words]:
        """See `Message.flatten`."""


class Message:
    """B messages of L lanes each, coded alike and side by side; mutable.

    Make one with `empty` or `unflatten`.

    Attributes
    ----------
    batch, lanes : int
        B and L.
    device : torch.device
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._refused: list[tuple[Tensor, str]] = []
        self.batch: int
        self.lanes: int
        self.batch, self.lanes = stack.heads.shape
        self.device = torch.as_tensor(stack.heads).device

    @classmethod
    def empty(cls, batch: int, lanes: int, device: str = "cpu", backend: str = "auto") -> "Message":
        """Return `batch` empty messages."""
        return cls.unflatten([empty_words(lanes)] * batch, device, backend)

    @classmethod
    def unflatten(cls, words: list[Words], device: str = "cpu", backend: str = "auto") -> "Message":
        """Return the messages with these heads and tails.

        Parameters
        ----------
        words : list of (heads uint32 (L,), tail uint8 (T,))
            One pair for each message; L is the same for all, T need not be.
        device : str
            Where the lanes live, and the symbols and distributions they are coded with.
        backend : {"auto", "numba", "triton", "torch"}
            "auto" is numba on the CPU and Triton on a CUDA device where they are installed, else torch. Triton codes on
            the CPU only in its interpreter: with TRITON_INTERPRET=1 in the environment, for tests.

        Raises
        ------
        ValueError
            No message, no lane, unequal numbers of lanes, a head that is too low, or a backend that does not exist
            there.
        """
        shapes = {heads.shape for heads, _ in words}
        if len(shapes) != 1 or min([lanes for each in shapes for lanes in each], default=0) < 1:
            raise ValueError("a batch needs at least one message, and messages the same number of lanes, at least one")
        if any(heads.min() < LEAST_HEAD for heads, _ in words):
            raise ValueError("heads must be in [2^24, 2^32)")
        kind = torch.device(device).type
        if backend == "auto":
            fast = {"cpu": "numba", "cuda": "triton"}.get(kind)
            backend = fast if fast and find_spec(fast) else "torch"
        if backend == "numba" and kind == "cpu":
            from .numba_backend import NumbaStack

            return cls(NumbaStack.unflatten(words))
        if backend == "triton" and (kind == "cuda" or os.environ.get("TRITON_INTERPRET") == "1"):
            from .triton_backend import TritonStack

            return cls(TritonStack.unflatten(words, device))
        if backend == "torch":
            from .torch_backend import TorchStack

            return cls(TorchStack.unflatten(words, device))
        raise ValueError(f"no backend {backend!r} for device {device!r}")

    def push(self, distribution: Distribution, symbols: Tensor) -> None:
        """Push a block; the exact inverse of `pop`.

        Parameters
        ----------
        distribution : Distribution
            The distributions of B x n symbols.
        symbols : int32 tensor, shape (B, n)
            0 <= symbols < alphabet.

        Raises
        ------
        ValueError
            A shape that does not fit or a symbol outside the alphabet.
        FormatError
            A symbol of frequency 0. The messages are unusable afterwards.

        Triton says the last two in `check`, both as `FormatError`.
        """
        self._check(distribution)
        if symbols.shape != (distribution.batch, distribution.n):
            raise ValueError(f"symbols have shape {tuple(symbols.shape)}, not {distribution.batch, distribution.n}")
        if symbols.numel() == 0:
            return
        if not self._stack.defers:
            check_symbols(distribution, symbols)
        self._stack.push(distribution, symbols)

    @property
    def takes_loops(self) -> bool:
        """Whether values may be coded by `push_values` and `pop_values`."""
        return self._stack.takes_loops

    def push_values(self, loops: Loops, values: Tensor) -> None:
        """Push a block of values, int32 (B, n), as `push` does."""
        self._stack.push_values(loops, values)

    def pop_values(self, loops: Loops, n: int) -> Tensor:
        """Pop a block of values, int32 (B, n), as `pop` does."""
        return self._stack.pop_values(loops, n)

    def pop(self, distribution: Distribution) -> Tensor:
        """Pop a block; the exact inverse of `push`, whatever the message holds.

        Returns
        -------
        symbols : int32 tensor, shape (B, n)

        Raises
        ------
        MessageExhausted
            A message has too few words. The messages are unusable afterwards: `copy` first to go on with them. Triton
            says it in `check`.
        """
        self._check(distribution)
        return self._stack.pop(distribution)

    def costs(self, shiftable: Shiftable, symbols: Tensor, shifts: tuple[int, ...], every: int, log: Tensor) -> Tensor:
        """What a push would cost with shifted distributions: int64 (B, number of shifts).

        Parameters
        ----------
        shiftable : Shiftable
        symbols : int32 tensor, shape (B, n)
        shifts : tuple of int
        every : int
            Symbols number 0, every, 2 every, ... are looked at.
        log : int64 tensor, shape (2^16 + 1,)
            Cost of a symbol by its frequency.
        """
        self._check(shiftable)
        return self._stack.costs(shiftable, symbols, shifts, every, log)

    def check(self) -> None:
        """Raise what was wrong so far and was not said yet, since to ask a GPU is to wait for it."""
        self._stack.check()
        if self._refused:
            every, reasons = zip(*self._refused, strict=True)
            for wrong, why in zip(torch.stack(every).tolist(), reasons, strict=True):
                if wrong:
                    raise FormatError(why)
            self._refused.clear()

    def refuse(self, wrong: Tensor, why: str) -> None:
        """Raise FormatError if any of `wrong` is true: of what was popped, where Triton says it in `check`."""
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
        """Become `other`, which must not be used any more: keep a trial that went well."""
        self._stack, self._refused = other._stack, other._refused

    def is_empty(self) -> bool:
        """Whether every message is the empty message."""
        heads = empty_words(self.lanes)[0]
        return all(tail.size == 0 and np.array_equal(own, heads) for own, tail in self.flatten())

    def _check(self, distribution: Distribution) -> None:
        if distribution.batch != self.batch:
            raise ValueError(f"a distribution for {distribution.batch} messages, but there are {self.batch}")


def check_symbols(distribution: Distribution, symbols: Tensor) -> None:
    """Raise ValueError unless all symbols are in the alphabet."""
    low, high = (each.item() for each in symbols.aminmax())
    if low < 0 or high >= distribution.alphabet:
        raise ValueError(f"symbols {low} .. {high} are not all in 0 .. {distribution.alphabet - 1}")


def empty_words(lanes: int) -> Words:
    """The empty message at rest.

    The low bits of its heads differ from lane to lane: they are what the first latents are popped from, and those are
    to be samples of their posteriors.
    """
    low = np.arange(1, lanes + 1, dtype=np.uint64) * np.uint64(SEED) % np.uint64(1 << 32) >> np.uint64(8)
    return (LEAST_HEAD + low).astype(np.uint32), np.empty(0, np.uint8)

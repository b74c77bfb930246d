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

from .distribution import Distribution

Words = tuple[NDArray[np.uint32], NDArray[np.uint16]]
"""One message at rest: heads, shape (L,), and tail, shape (T,), bottom of the stack first."""

HEAD_MIN = 1 << 16
"""Heads are in [2^16, 2^32)."""


class Stack(Protocol):
    """A backend: the lanes and tails of B messages, mutable. Arguments were checked by `Message`."""

    @property
    def heads(self) -> Tensor | NDArray[np.int64]:
        """Shape (B, L)."""

    def push(self, distribution: Distribution, symbols: Tensor) -> None:
        """See `Message.push`."""

    def pop(self, distribution: Distribution) -> Tensor:
        """See `Message.pop`."""

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
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.batch: int
        self.lanes: int
        self.batch, self.lanes = stack.heads.shape

    @classmethod
    def empty(cls, batch: int, lanes: int, device: str = "cpu", backend: str = "auto") -> "Message":
        """Return `batch` empty messages: all heads 2^16, no tail."""
        return cls.unflatten([empty_words(lanes)] * batch, device, backend)

    @classmethod
    def unflatten(cls, words: list[Words], device: str = "cpu", backend: str = "auto") -> "Message":
        """Return the messages with these heads and tails.

        Parameters
        ----------
        words : list of (heads uint32 (L,), tail uint16 (T,))
            One pair for each message; L is the same for all, T need not be.
        device : str
            Where the lanes live, and the symbols and distributions they are coded with.
        backend : {"auto", "numba", "triton", "torch"}
            "auto" is numba on the CPU and Triton on a CUDA device where they are installed, else torch. Triton codes on
            the CPU only in its interpreter: with TRITON_INTERPRET=1 in the environment, for tests.

        Raises
        ------
        ValueError
            No message, no lane, unequal numbers of lanes, a head below 2^16, or a backend that does not exist there.
        """
        shapes = {heads.shape for heads, _ in words}
        if len(shapes) != 1 or min(shapes.pop(), default=0) < 1:
            raise ValueError("a batch needs at least one message, and messages the same number of lanes, at least one")
        if any(heads.min() < HEAD_MIN for heads, _ in words):
            raise ValueError("heads must be in [2^16, 2^32)")
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
        """
        self._check(distribution)
        if symbols.shape != (distribution.batch, distribution.n):
            raise ValueError(f"symbols have shape {tuple(symbols.shape)}, not {distribution.batch, distribution.n}")
        if symbols.numel() == 0:
            return
        low, high = symbols.aminmax()
        if low < 0 or high >= distribution.alphabet:
            raise ValueError(f"symbols {int(low)} .. {int(high)} are not all in 0 .. {distribution.alphabet - 1}")
        self._stack.push(distribution, symbols)

    def pop(self, distribution: Distribution) -> Tensor:
        """Pop a block; the exact inverse of `push`, whatever the message holds.

        Returns
        -------
        symbols : int32 tensor, shape (B, n)

        Raises
        ------
        MessageExhausted
            A message has too few words. The messages are unusable afterwards: `copy` first to go on with them.
        """
        self._check(distribution)
        return self._stack.pop(distribution)

    def copy(self) -> "Message":
        """Return messages that share nothing with these."""
        return Message(self._stack.copy())

    def flatten(self) -> list[Words]:
        """Return (heads uint32 (L,), tail uint16 (T,)) of each message; the inverse of `unflatten`."""
        return self._stack.flatten()

    def replace(self, other: "Message") -> None:
        """Become `other`, which must not be used any more: keep a trial that went well."""
        self._stack = other._stack

    def is_empty(self) -> bool:
        """Whether every message is the empty message: all heads 2^16, no tail."""
        return all(tail.size == 0 and bool((heads == HEAD_MIN).all()) for heads, tail in self.flatten())

    def _check(self, distribution: Distribution) -> None:
        if distribution.batch != self.batch:
            raise ValueError(f"a distribution for {distribution.batch} messages, but there are {self.batch}")


def empty_words(lanes: int) -> Words:
    """The empty message at rest."""
    return np.full(lanes, HEAD_MIN, np.uint32), np.empty(0, np.uint16)

"""Chains of images as in the papers: one message per run, on which images are pushed one after the other, and whose
initial bits are paid for.

A chain begins with random words, more than enough. What was ever eaten of them are its initial bits; the words below
could have been left out. So the total after n images is the message less the words never touched. (The codecs of this
package need no such words; see FORMAT.md section 8.)
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from numcodecs_bitswap.arrays import Array, of
from numcodecs_bitswap.bitsback.groups import CORES, Model
from numcodecs_bitswap.rans.distribution import Distribution, Values
from numcodecs_bitswap.rans.message import Message
from numcodecs_bitswap.rans.words import LEAST_HEAD, Words

WORDS = 1 << 17
"""Random words that a chain begins with; `MessageExhausted` says so if a model eats more."""
HEAD_BITS, WORD_BITS = 32, 8


class PaidMessage(Message):
    """A message that knows how far down its tails were ever eaten: `low`, int64 (B,), in words.

    Within one block a pop only takes words and a push only adds some, so to look after every pop is enough.
    """

    def __init__(self, stack: Any) -> None:
        super().__init__(stack)
        self.low = self.size

    @property
    def size(self) -> NDArray[np.int64]:
        """Words in each tail, (B,)."""
        stack: Any = self._stack
        return of(stack.size).numpy(stack.size).copy()

    def pop(self, distribution: Distribution) -> Array:
        """See `Message.pop`."""
        symbols = super().pop(distribution)
        self.low = np.minimum(self.low, self.size)
        return symbols

    def pop_values(self, distribution: Values) -> Array:
        """See `Message.pop_values`."""
        values = super().pop_values(distribution)
        self.low = np.minimum(self.low, self.size)
        return values


@dataclass(frozen=True)
class Chains:
    """R runs of n images each; entry i of the last axis is the state after i images.

    Attributes
    ----------
    size, low : int64 (R, n + 1)
        Words in the tail, and the fewest there ever were.
    head : float64 (R, n + 1)
        log2 of the head.
    """

    size: NDArray[np.int64]
    low: NDArray[np.int64]
    head: NDArray[np.float64]

    @property
    def initial(self) -> NDArray[np.int64]:
        """Initial bits after i images, (R, n + 1): the head and the words eaten."""
        return HEAD_BITS + WORD_BITS * (self.size[:, :1] - self.low)

    @property
    def total(self) -> NDArray[np.int64]:
        """Bits to be stored after i images, (R, n + 1): the head and the words from the lowest one touched."""
        return HEAD_BITS + WORD_BITS * (self.size - self.low)

    @property
    def net(self) -> NDArray[np.float64]:
        """Bits that each image added, (R, n)."""
        return np.diff(WORD_BITS * self.size + self.head, axis=1)

    @property
    def end_to_end(self) -> NDArray[np.int64]:
        """Bits to be stored after i images of one chain that is all runs, one after the other, (R n + 1,)."""
        grown = self.size - self.size[:, :1]
        below = np.concatenate([[0], np.cumsum(grown[:-1, -1])])[:, None]  # what earlier runs left
        first = np.zeros((1, 1), np.int64)
        size = np.concatenate([first, (grown + below)[:, 1:].reshape(1, -1)], axis=1)
        low = np.concatenate([first, (self.low - self.size[:, :1] + below)[:, 1:].reshape(1, -1)], axis=1)
        total: NDArray[np.int64] = HEAD_BITS + WORD_BITS * (size - np.minimum.accumulate(low, axis=1))
        return total[0]


def start(runs: int, seed: int = 0) -> list[Words]:
    """The random messages that chains begin with, one lane each."""
    rng = np.random.default_rng(seed)
    heads = rng.integers(LEAST_HEAD, 1 << 32, (runs, 1), dtype=np.uint32)
    return list(zip(heads, rng.integers(0, 1 << WORD_BITS, (runs, WORDS), dtype=np.uint8), strict=True))


def push_chains(message: PaidMessage, model: Model, core: str, images: NDArray[np.uint8]) -> Chains:
    """Push runs of images (R, n, h, w, c), side by side, each image on its own with the core alone."""
    states = [_state(message)]
    for i in tqdm(range(images.shape[1]), desc=f"{core} chain, encode", leave=False):
        grid = model.backend.arrays.put(images[:, i].astype(np.int16))
        CORES[core].push(message, model, grid)
        states.append(_state(message))
    size, low, head = (np.stack(column, axis=1) for column in zip(*states, strict=True))
    return Chains(size, low, head)


def pop_chains(
    message: PaidMessage, model: Model, core: str, shape: tuple[int, int, int, int, int]
) -> NDArray[np.uint8]:
    """Pop what `push_chains` pushed, the last image first: images of that shape (R, n, h, w, c)."""
    images = np.empty(shape, np.uint8)
    for i in tqdm(reversed(range(shape[1])), desc=f"{core} chain, decode", total=shape[1], leave=False):
        images[:, i] = model.backend.arrays.numpy(CORES[core].pop(message, model, shape[0], shape[2:4]))
    return images


def measure_chains(model: Model, core: str, images: NDArray[np.uint8]) -> Chains:
    """Push runs of images and pop them again.

    Raises
    ------
    AssertionError
        The images or the random words did not come back.
    """
    words = start(len(images))
    message = PaidMessage(Message.unflatten(words, model.backend.stack)._stack)
    chains = push_chains(message, model, core, images)
    if not np.array_equal(pop_chains(message, model, core, images.shape), images):
        raise AssertionError(f"a {core} chain did not decode to the same images")
    for (head, tail), (head_after, tail_after) in zip(words, message.flatten(), strict=True):
        if not (np.array_equal(head, head_after) and np.array_equal(tail, tail_after)):
            raise AssertionError(f"a {core} chain did not give its initial bits back")
    return chains


def runs_of(images: NDArray[np.uint8], length: int = 100, seed: int = 0) -> NDArray[np.uint8]:
    """Images (n, h, w[, c]) as runs (R, length, h, w, c) as in the papers, in an order drawn once: a set may be sorted
    in parts. What does not fill a run is left out.
    """
    length = min(length, len(images))
    order = np.random.default_rng(seed).permutation(len(images))[: len(images) // length * length]
    shape = (*images.shape[1:3], images.shape[3] if images.ndim == 4 else 1)
    return images[order].reshape(-1, length, *shape)


def _state(message: PaidMessage) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    heads = message._stack.heads
    return message.size, message.low, np.log2(of(heads).numpy(heads)[:, 0])

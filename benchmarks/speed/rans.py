"""Speed of the message: million symbols per second, push and pop, for each backend of a device.

    python benchmarks/speed/rans.py [cpu | cuda]

256 symbols in the alphabet, parameters and symbols as a model of photographs has them (about 3 bits a symbol). On a CPU
one message on one thread. Each backend's words are first compared with the CPU's.
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.research.bound import information
from numcodecs_bitswap.distributions.logistic_mixture import LogisticMixture
from numcodecs_bitswap.rans.message import Message, Stack
from numcodecs_bitswap.rans.numba_backend import NumbaStack
from numcodecs_bitswap.rans.words import Words

# (backend, messages, lanes, symbols of each message)
SIZES = {
    "cpu": [
        ("numba", 1, 1, 1 << 20),
        ("numba", 1, 32, 1 << 20),
        ("torch", 1, 32, 1 << 16),
        ("torch", 1, 1024, 1 << 20),
    ],
    "cuda": [
        ("torch", 64, 512, 1 << 14),
        ("triton", 1, 32, 1 << 16),
        ("triton", 64, 32, 1 << 16),
        ("triton", 64, 512, 1 << 18),
        ("triton", 1024, 128, 1 << 14),
    ],
}


def stack(backend: str, device: str) -> Callable[[list[Words]], Stack]:
    """What holds the messages of a backend."""
    if backend == "numba":
        return NumbaStack.unflatten
    if backend == "triton":
        from numcodecs_bitswap.distributions.triton_forms import form
        from numcodecs_bitswap.rans.triton_backend import TritonStack

        return partial(TritonStack.with_forms, device=device, forms=form)
    from numcodecs_bitswap.rans.torch_backend import TorchStack

    return partial(TorchStack.unflatten, device=device)


def put(array: Any, backend: str, device: str) -> Any:
    """An array for a backend."""
    return array if backend == "numba" else torch.from_numpy(array).to(device)


def fetch(array: Any) -> Any:
    """The inverse of `put`."""
    return array if isinstance(array, np.ndarray) else array.cpu().numpy()


def mixture(
    batch: int, n: int, components: int, backend: str = "numba", device: str = "cpu", spread: int = 200
) -> LogisticMixture:
    """A block of random mixtures."""
    rng = np.random.default_rng(0)

    def draw(low: int, high: int, k: int = components) -> Any:
        return put(rng.integers(low, high + 1, (batch, n, k)).astype(np.int32), backend, device)

    means = draw(1000, 7000, 1) + draw(-spread, spread)
    return LogisticMixture(draw(-30, 30), means, draw(36, 84), 256)


def random_messages(batch: int, lanes: int, size: int) -> list[Words]:
    """Messages full of random bits."""
    rng = np.random.default_rng(0)
    heads = rng.integers(1 << 24, 1 << 32, (batch, lanes), np.uint32)
    return list(zip(heads, rng.integers(0, 1 << 8, (batch, size), np.uint8), strict=True))


def same(one: list[Words], other: list[Words]) -> bool:
    """Whether messages at rest are equal."""
    return all(np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1]) for a, b in zip(one, other, strict=True))


def exact(backend: str, device: str, batch: int, lanes: int, components: int) -> bool:
    """Whether a backend pops the symbols and leaves the words that the CPU does, and pushes them back."""
    n = 9 * lanes - 1
    block, words = mixture(batch, n, components, backend, device), random_messages(batch, lanes, 2 * n)
    message, reference = (Message.unflatten(words, stack(*each)) for each in ((backend, device), ("numba", "cpu")))
    symbols = message.pop(block)
    expected = reference.pop(mixture(batch, n, components))
    popped = np.array_equal(fetch(symbols), expected) and same(message.flatten(), reference.flatten())
    message.push(block, symbols)
    return popped and same(message.flatten(), words)


def clock(device: str) -> float:
    """The time in seconds when the device has done its work."""
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter()


@dataclass(frozen=True)
class Rate:
    """One line of the table: million symbols per second, bits per symbol and how many of them -log2 p does not need."""

    backend: str
    components: int
    messages: int
    lanes: int
    symbols: int
    exact: bool
    push: float
    pop: float
    bits: float
    loss: float

    def __str__(self) -> str:
        sizes = f"{self.backend:8} {self.components:2} {self.messages:3} {self.lanes:6} {self.symbols:8}"
        return f"{sizes} {self.exact!s:>6} {self.push:9.2f} {self.pop:9.2f}   {self.bits:.3f} ({self.loss:.4f})"


HEADING = "backend   K   B  lanes        n  exact      push       pop   bits/symbol (over -log2 p)"


def rates(device: str, smaller: int = 1) -> Iterator[Rate]:
    """Every line for a device, each time the best of five; blocks are `smaller` times smaller than SIZES says.

    On a CPU the caller limits torch to one thread.
    """
    for backend, batch, lanes, size in SIZES[device]:
        for components in (1, 3):
            yield rate(backend, device, batch, lanes, size // smaller, components)


def rate(backend: str, device: str, batch: int, lanes: int, n: int, components: int) -> Rate:
    """Time push and pop of a block, and compare what they do with the CPU."""
    is_exact = exact(backend, device, batch, lanes, components)
    block = mixture(batch, n, components, backend, device)
    # Popping from random lanes, one for each symbol, draws from the distribution.
    drawn = Message.unflatten(random_messages(batch, n, 2 * n), NumbaStack.unflatten)
    symbols = put(drawn.pop(mixture(batch, n, components)), backend, device)
    times = []
    for _ in range(5):
        message = Message.empty(batch, lanes, stack(backend, device))
        start = clock(device)
        message.push(block, symbols)
        pushed = clock(device)
        words = message.flatten()
        before = clock(device)
        popped = message.pop(block)
        times.append((pushed - start, clock(device) - before))
        is_exact &= np.array_equal(fetch(popped), fetch(symbols))
    push, pop = (batch * n / 1e6 / min(column) for column in zip(*times, strict=True))
    bits = float(np.mean([8 * tail.nbytes + 32 * lanes for _, tail in words]) / n)
    loss = bits - float(information(block, symbols).mean() / n)
    return Rate(backend, components, batch, lanes, n, is_exact, push, pop, bits, loss)


def main(device: str = "cpu") -> None:
    """Print the table."""
    torch.set_num_threads(1)
    if device != "cpu":
        from numcodecs_bitswap.rans import triton_backend

        triton_backend.ENOUGH = 0  # what does not compile is to be seen here, and what is not exact
        print(torch.cuda.get_device_name(), "torch", torch.__version__)
    print(HEADING)
    for each in rates(device):
        print(each, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""For the tests of the message: FORMAT.md section 2 in plain integers, random messages and distributions, and messages
of every backend that are given numpy arrays.
"""

from bisect import bisect_right
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray

from numcodecs_bitswap.arrays import Array, Arrays
from numcodecs_bitswap.arrays.on_numpy import NUMPY
from numcodecs_bitswap.arrays.on_torch import arrays_on
from numcodecs_bitswap.distributions.bernoulli import Bernoulli
from numcodecs_bitswap.distributions.beta_binomial import BetaBinomial
from numcodecs_bitswap.distributions.categorical import Categorical
from numcodecs_bitswap.distributions.gaussian import Gaussian
from numcodecs_bitswap.distributions.gaussian_buckets import GaussianBuckets
from numcodecs_bitswap.distributions.logistic_mixture import LogisticMixture
from numcodecs_bitswap.distributions.uniform import Uniform
from numcodecs_bitswap.rans.distribution import Distribution, Functions, Native
from numcodecs_bitswap.rans.message import Message, Stack
from numcodecs_bitswap.rans.numba_backend import NumbaStack
from numcodecs_bitswap.rans.torch_backend import TorchStack
from numcodecs_bitswap.rans.words import Words, empty_words


@dataclass(frozen=True)
class Table:
    """The same distribution for every symbol, given as cum(0), ..., cum(A)."""

    batch: int
    n: int
    ends: tuple[int, ...]
    of: Arrays = NUMPY

    components = 0

    @property
    def alphabet(self) -> int:
        return len(self.ends) - 1

    def prepare(self, first: int, last: int) -> tuple[Array, ...]:
        return ()

    def cum(self, prepared: tuple[Array, ...], symbols: Array) -> Array:
        return self.of.put(np.array(self.ends))[symbols]

    def native(self) -> Native:
        none = self.of.empty((self.batch, self.n, 0), "int32")
        return Native(Functions(_load, _guess, _cum), (none, none, none), self.of.put(np.array(self.ends, np.int32)))


def _load(b: int, i: int, local: Any, first: Any, second: Any, third: Any, constants: Any, components: int) -> None:
    pass


def _guess(r: int, local: Any, constants: Any, components: int) -> int:
    return r % (len(constants) - 1)  # any symbol must do


def _cum(s: int, local: Any, constants: Any, components: int) -> int:
    return int(constants[s])


class Plain:
    """FORMAT.md section 2 for one message, as written there."""

    def __init__(self, words: Words) -> None:
        self.heads, self.tail = words[0].tolist(), words[1].tolist()

    def words(self) -> Words:
        return np.array(self.heads, np.uint32), np.array(self.tail, np.uint8)

    def push(self, cums: list[list[int]], symbols: list[int]) -> None:
        for i in reversed(range(len(symbols))):
            start, end = cums[i][symbols[i]], cums[i][symbols[i] + 1]
            freq, lane = end - start, i % len(self.heads)
            head = self.heads[lane]
            while head >= freq * 2**16:
                self.tail.append(head % 2**8)
                head //= 2**8
            self.heads[lane] = (head // freq) * 2**16 + head % freq + start

    def pop(self, cums: list[list[int]]) -> list[int]:
        symbols = []
        for i, cum in enumerate(cums):
            lane = i % len(self.heads)
            r = self.heads[lane] % 2**16
            symbol = bisect_right(cum, r) - 1
            head = (cum[symbol + 1] - cum[symbol]) * (self.heads[lane] // 2**16) + r - cum[symbol]
            while head < 2**24:
                head = head * 2**8 + self.tail.pop()
            self.heads[lane] = head
            symbols.append(symbol)
        return symbols


def cums(distribution: Distribution) -> list[list[list[int]]]:
    """cum(0 .. A) for each message and symbol."""
    prepared = distribution.prepare(0, distribution.n)
    shape = distribution.batch, distribution.n
    values = [distribution.cum(prepared, np.full(shape, s)) for s in range(distribution.alphabet + 1)]
    return np.stack(values, 2).tolist()


def on_torch(distribution: Any) -> Any:
    """The same distributions, of torch tensors."""
    other = copy(distribution)
    vars(other).pop("_fields", None)  # which a Gaussian makes of the others when it needs them
    for name, value in list(vars(other).items()):
        if isinstance(value, np.ndarray):
            object.__setattr__(other, name, torch.from_numpy(value.copy()))
        elif value is NUMPY:
            object.__setattr__(other, name, arrays_on(torch.device("cpu")))
    return other


class TorchMessage:
    """A message of a backend of torch that is given numpy arrays, as those of numba are, and gives such back."""

    def __init__(self, message: Message) -> None:
        self._message, self.batch, self.lanes = message, message.batch, message.lanes
        self.flatten, self.check, self.is_empty = message.flatten, message.check, message.is_empty

    def push(self, distribution: Any, symbols: NDArray[Any]) -> None:
        self._message.push(on_torch(distribution), torch.from_numpy(symbols.copy()))

    def pop(self, distribution: Any) -> NDArray[Any]:
        return np.asarray(self._message.pop(on_torch(distribution)).numpy())

    def push_values(self, distribution: Any, values: NDArray[Any]) -> None:
        self._message.push_values(on_torch(distribution), torch.from_numpy(values.copy()))

    def pop_values(self, distribution: Any) -> NDArray[Any]:
        return np.asarray(self._message.pop_values(on_torch(distribution)).numpy())

    def costs(self, mixture: Any, symbols: NDArray[Any], shifts: Any, every: int, log: NDArray[Any]) -> NDArray[Any]:
        arrays = torch.from_numpy(symbols.copy()), shifts, every, torch.from_numpy(log)
        return np.asarray(self._message.costs(on_torch(mixture), *arrays).numpy())

    def copy(self) -> "TorchMessage":
        return TorchMessage(self._message.copy())


def triton_stack(words: list[Words]) -> Stack:
    """Triton's, in its interpreter."""
    from numcodecs_bitswap.distributions.triton_forms import form
    from numcodecs_bitswap.rans.triton_backend import TritonStack

    return TritonStack.with_forms(words, "cpu", form)


STACKS: dict[str, Callable[[list[Words]], Stack]] = {
    "numba": NumbaStack.unflatten,
    "torch": lambda words: TorchStack.unflatten(words, "cpu"),
    "triton": triton_stack,
}


def unflatten(words: list[Words], backend: str = "numba") -> Any:
    """Messages of a backend, for numpy arrays."""
    message = Message.unflatten(words, STACKS[backend])
    return message if backend == "numba" else TorchMessage(message)


def empty(batch: int, lanes: int, backend: str = "numba") -> Any:
    """The same of empty messages."""
    return unflatten([empty_words(lanes)] * batch, backend)


def same(message: Any, expected: list[Words]) -> bool:
    words = message.flatten()
    return len(words) == len(expected) and all(
        all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in ((heads, other[0]), (tail, other[1])))
        for (heads, tail), other in zip(words, expected, strict=True)
    )


def random_words(rng: np.random.Generator, lanes: int, n: int) -> Words:
    """A message of 16 n bits, and its heads."""
    return rng.integers(1 << 24, 1 << 32, lanes, np.uint32), rng.integers(0, 256, 2 * n, np.uint8)


def random_mixture(rng: np.random.Generator, batch: int, n: int, components: int, alphabet: int) -> LogisticMixture:
    shape = batch, n, components
    ranges = [(-127, 128), (-2000, 32 * alphabet + 2000), (0, 128)]
    logits, means, scales = (rng.integers(*ends, shape).astype(np.int32) for ends in ranges)
    return LogisticMixture(logits, means, scales, alphabet)


def random_table(rng: np.random.Generator, batch: int, n: int, alphabet: int) -> Table:
    inner = rng.choice(np.arange(1, 1 << 16), alphabet - 1, replace=False)
    return Table(batch, n, (0, *sorted(inner.tolist()), 1 << 16))


def integers(rng: np.random.Generator, low: int, high: int, *shape: int) -> NDArray[np.int32]:
    return rng.integers(low, high, shape).astype(np.int32)


def random_gaussian(rng: np.random.Generator, batch: int, n: int, floor: bool) -> Gaussian:
    deviations = (2 ** rng.uniform(8, 27, (batch, n, 1))).astype(np.int32)
    return Gaussian(integers(rng, -(1 << 26), 1 << 26, batch, n, 1), deviations, floor)


BLOCKS: dict[str, Callable[[np.random.Generator, int, int], Distribution]] = {
    "logistic": lambda rng, b, n: random_mixture(rng, b, n, 1, 128),
    "mixture": lambda rng, b, n: random_mixture(rng, b, n, 3, 256),
    "uniform": lambda rng, b, n: Uniform(b, n, int(rng.integers(1, 301))),
    "gaussian": lambda rng, b, n: GaussianBuckets(
        integers(rng, -20_000, 20_001, b, n, 1), integers(rng, 0, 128, b, n, 1), 9
    ),
    "bernoulli": lambda rng, b, n: Bernoulli(integers(rng, -350, 351, b, n, 1)),
    "beta-binomial": lambda rng, b, n: BetaBinomial(integers(rng, 0, 96, b, n, 1), integers(rng, 0, 96, b, n, 1)),
    "posterior": lambda rng, b, n: LogisticMixture(
        None, integers(rng, -2000, 6000, b, n, 1), integers(rng, 0, 128, b, n, 1), 128, floor=0
    ),
    "Gaussian posterior": lambda rng, b, n: GaussianBuckets(
        integers(rng, -20_000, 20_001, b, n, 1), integers(rng, 0, 128, b, n, 1), 7, floor=0
    ),
    "categorical": lambda rng, b, n: Categorical(integers(rng, -127, 128, b, n, 11)),
    "integer Gaussian": lambda rng, b, n: random_gaussian(rng, b, n, True),
    "integer Gaussian posterior": lambda rng, b, n: random_gaussian(rng, b, n, False),
}
"""Every symbol with its own parameters, for b messages of n symbols."""


@st.composite
def messages(draw: st.DrawFn) -> tuple[list[Words], Distribution]:
    """Random messages with words enough, and the distributions of a block."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    batch, lanes, n = draw(st.integers(1, 4)), draw(st.integers(1, 67)), draw(st.integers(0, 150))
    kind = draw(st.sampled_from(["mixture", "table", "uniform"]))
    distribution: Distribution
    if kind == "mixture":
        distribution = random_mixture(
            rng, batch, n, draw(st.sampled_from([1, 3])), draw(st.sampled_from([2, 100, 256]))
        )
    elif kind == "table":
        distribution = random_table(rng, batch, n, draw(st.integers(2, 9)))
    else:
        distribution = Uniform(batch, n, draw(st.integers(1, 300)))
    return [random_words(rng, lanes, n + draw(st.integers(0, 9))) for _ in range(batch)], distribution

"""The message: its laws on every message, and both backends against FORMAT.md section 2 in plain integers."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.research.bound import information
from numcodecs_bitswap.distributions.logistic_mixture import LogisticMixture
from numcodecs_bitswap.distributions.uniform import Uniform
from numcodecs_bitswap.errors import FormatError, MessageExhausted
from numcodecs_bitswap.rans import numba_backend
from numcodecs_bitswap.rans.distribution import Distribution
from numcodecs_bitswap.rans.words import Words
from numcodecs_bitswap.runtime import jit
from reference.message import Plain, Table, cums, empty, messages, random_mixture, random_words, same, unflatten

BACKENDS = ["numba", "torch"]


@given(messages())
def test_both_backends_are_the_format(case: tuple[list[Words], Distribution]) -> None:
    """push(pop(m)) = m, and pop(push(m, x)) = (m, x) where m is the message popped from; words as the format says."""
    words, distribution = case
    tables = cums(distribution)
    plain = [Plain(pair) for pair in words]
    expected = [one.pop(table) for one, table in zip(plain, tables, strict=True)]
    for backend in BACKENDS:
        message = unflatten(words, backend)
        symbols = message.pop(distribution)
        assert symbols.dtype == np.int32
        assert symbols.tolist() == expected
        assert same(message, [one.words() for one in plain])
        message.push(distribution, symbols)
        assert same(message, words)


@given(messages(), st.integers(0, 2**32))
def test_any_symbols_can_be_pushed(case: tuple[list[Words], Distribution], seed: int) -> None:
    words, distribution = case
    shape = distribution.batch, distribution.n
    symbols = np.random.default_rng(seed).integers(0, distribution.alphabet, shape).astype(np.int32)
    plain = [Plain(pair) for pair in words]
    for one, table, row in zip(plain, cums(distribution), symbols.tolist(), strict=True):
        one.push(table, row)
    for backend in BACKENDS:
        message = unflatten(words, backend)
        before = message.copy()
        message.push(distribution, symbols)
        assert same(message, [one.words() for one in plain])
        assert np.array_equal(message.pop(distribution), symbols)
        assert same(message, words)
        assert same(before, words)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("ends", "symbol"), [((0, 65535, 65536), 0), ((0, 65535, 65536), 1), ((0, 40000, 65536), 0)])
def test_extreme_intervals_for_long(backend: str, ends: tuple[int, ...], symbol: int) -> None:
    """p = 1 - 2^-16, p = 2^-16 and p > 1/2, again and again: the coder neither loops nor loses."""
    n = 5000
    table = Table(2, n, ends)
    symbols = np.full((2, n), symbol, np.int32)
    message = empty(2, 3, backend)
    for _ in range(3):
        message.push(table, symbols)
    bits = 3 * n * (16 - np.log2(ends[symbol + 1] - ends[symbol]))
    for _, tail in message.flatten():
        # One symbol alone is off by a part of a per cent, and the others of its distribution make up for it.
        assert abs(8 * tail.nbytes - bits) <= 3 * 8 + 0.003 * bits
    for _ in range(3):
        assert np.array_equal(message.pop(table), symbols)
    assert message.is_empty()


@pytest.mark.parametrize("vectors", [False, True])
def test_mixtures_on_many_lanes(vectors: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Popped as on a CPU with wide vectors, and as on one without."""
    monkeypatch.setattr(numba_backend, "VECTORS", vectors)
    rng = np.random.default_rng(0)
    mixture, words = random_mixture(rng, 2, 300, 3, 256), [random_words(rng, 72, 700) for _ in range(2)]
    message, other = (unflatten(words, backend) for backend in BACKENDS)
    symbols = message.pop(mixture)
    assert np.array_equal(symbols, other.pop(mixture))
    assert same(message, other.flatten())
    message.push(mixture, symbols)
    assert same(message, words)


@pytest.mark.parametrize("components", [1, 4])
def test_length_is_the_information(components: int) -> None:
    """-log2 p, at most 0.001 % more, and the lanes' states."""
    rng, n, lanes = np.random.default_rng(components), 200_000, 32
    mixture = random_mixture(rng, 1, n, components, 256)
    symbols = unflatten([random_words(rng, n, n)]).pop(mixture)  # drawn at random: each on a lane of its own
    message = empty(1, lanes)
    message.push(mixture, symbols)
    bits = float(information(mixture, symbols).sum())
    length = 32 * lanes + 8 * message.flatten()[0][1].nbytes
    assert bits < length <= bits + 32 * lanes + 1e-5 * bits


@pytest.mark.parametrize("backend", BACKENDS)
def test_popping_too_much_raises(backend: str) -> None:
    rng = np.random.default_rng(0)
    bytes_ = Uniform(2, 12, 256)
    with pytest.raises(MessageExhausted):
        empty(2, 5, backend).pop(bytes_)
    # 2 lanes and 12 bytes take 6 words of each message, give or take one a lane: the shorter message decides.
    enough, scarce = random_words(rng, 2, 8), random_words(rng, 2, 3)
    unflatten([enough, enough], backend).pop(bytes_)
    for words in ([enough, scarce], [scarce, enough]):
        with pytest.raises(MessageExhausted):
            unflatten(words, backend).pop(bytes_)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_a_posterior_does_not_have_cannot_be_pushed(backend: str) -> None:
    """Only what was popped is pushed with a posterior; in an altered frame it may be anything."""
    rng, table = np.random.default_rng(0), Table(2, 3, (0, 0, 30_000, 30_000, 65536))
    words = [random_words(rng, 2, 9), random_words(rng, 2, 9)]
    message = unflatten(words, backend)
    symbols = message.pop(table)
    assert set(symbols.flatten().tolist()) == {1, 3}
    message.push(table, symbols)
    assert same(message, words)
    symbols[1, 1] = 2
    with pytest.raises(FormatError, match="altered"):
        message.push(table, symbols)


def test_backends_run_out_at_the_same_word() -> None:
    rng, failures = np.random.default_rng(1), 0
    for size in range(40):
        words = [random_words(rng, 7, size)]
        outcomes = set()
        for backend in BACKENDS:
            try:
                outcomes.add(str(unflatten(words, backend).pop(Uniform(1, 50, 200)).tolist()))
            except MessageExhausted:
                outcomes.add("exhausted")
        assert len(outcomes) == 1
        failures += "exhausted" in outcomes
    assert 10 < failures < 30


def test_slabs_and_batches_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block is coded alike alone and beside others, and prepared in one piece or in many."""
    from numcodecs_bitswap.rans import torch_backend

    rng, batch, n = np.random.default_rng(2), 3, 12_001
    mixture, words = random_mixture(rng, batch, n, 2, 256), [random_words(rng, 40, n) for _ in range(batch)]
    alone = []
    for b in range(batch):
        logits, means, scales = (p[b : b + 1] for p in (mixture._logits, mixture._means, mixture._scales))
        alone.append(unflatten(words[b : b + 1]).pop(LogisticMixture(logits, means, scales, 256))[0])
    monkeypatch.setattr(torch_backend, "SLAB", 50_000)
    for backend in BACKENDS:
        message = unflatten(words, backend)
        symbols = message.pop(mixture)
        assert np.array_equal(symbols, np.stack(alone))
        message.push(mixture, symbols)
        assert same(message, words)


def test_many_threads_may_code_at_once() -> None:
    """Each with its own message; the first calls, which compile, included."""
    ends = (0, 10, 1000, 65536)

    def run(seed: int) -> bool:
        words = [random_words(np.random.default_rng(seed), 3, 2000)]
        message = unflatten(words, "numba")
        message.push(Table(1, 2000, ends), message.pop(Table(1, 2000, ends)))
        return same(message, words)

    numba_backend.kernels.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(run, range(16)))


def test_empty() -> None:
    message = empty(2, 3)
    assert (message.batch, message.lanes) == (2, 3)
    assert message.is_empty()
    message.push(Uniform(2, 1, 256), np.array([[0], [7]], np.int32))
    assert not message.is_empty()
    assert unflatten(message.flatten()).pop(Uniform(2, 1, 256)).tolist() == [[0], [7]]


@pytest.mark.parametrize("backend", BACKENDS)
def test_wrong_arguments_are_refused(backend: str) -> None:
    message = empty(2, 3, backend)
    wrong = [(1, np.zeros((1, 4))), (2, np.zeros((2, 3))), (2, np.full((2, 4), 9)), (2, np.full((2, 4), -1))]
    for batch, symbols in wrong:
        with pytest.raises(ValueError, match=r"alphabet|messages|shape|symbols"):
            message.push(Uniform(batch, 4, 9), symbols.astype(np.int32))
    with pytest.raises(ValueError, match="messages"):
        message.pop(Uniform(3, 4, 9))
    assert message.is_empty()
    good, low = np.full(3, 1 << 24, np.uint32), np.array([1 << 24, (1 << 24) - 1], np.uint32)
    tail = np.empty(0, np.uint8)
    for words in ([], [(good[:0], tail)], [(good, tail), (good[:2], tail)], [(low, tail)]):
        with pytest.raises(ValueError, match=r"lane|heads"):
            unflatten(words, backend)


def test_no_place_for_compiled_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither the package's folder nor a cache folder can be written, kernels are compiled anew."""
    from numba import njit as real

    def njit(cache: bool = False, **options: Any) -> Any:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    monkeypatch.setattr(jit, "njit", njit)
    numba_backend.kernels.cache_clear()
    words = [random_words(np.random.default_rng(3), 2, 50)]
    message = unflatten(words, "numba")
    message.push(Uniform(1, 50, 77), message.pop(Uniform(1, 50, 77)))
    assert same(message, words)
    numba_backend.kernels.cache_clear()


def test_compiled_code_is_kept_on_disk() -> None:
    """A fresh process loads what this one compiled, instead of compiling for seconds."""
    unflatten([random_words(np.random.default_rng(4), 2, 50)], "numba").pop(Uniform(1, 9, 77))
    script = """
from numcodecs_bitswap.rans import numba_backend
from numcodecs_bitswap.rans.message import Message
from numcodecs_bitswap.distributions.uniform import Uniform
uniform = Uniform(1, 0, 77)
Message.empty(1, 2, numba_backend.NumbaStack.unflatten).pop(uniform)
pop = numba_backend.kernels(uniform.native().functions, 0)[1]
print(sum(pop.stats.cache_hits.values()), sum(pop.stats.cache_misses.values()))
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["1", "0"]

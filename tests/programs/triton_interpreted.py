"""Tests of the Triton backend that need its interpreter: run by test_triton.py, with TRITON_INTERPRET=1."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import triton
import triton.language as tl
from hypothesis import given, settings
from hypothesis import strategies as st

from numcodecs_bitswap import backends
from numcodecs_bitswap.backends.on_torch import TorchBackend
from numcodecs_bitswap.bitsback import groups
from numcodecs_bitswap.distributions.bits import Bits
from numcodecs_bitswap.distributions.gaussian_buckets import GaussianBuckets
from numcodecs_bitswap.distributions.triton_forms import FORMS, form
from numcodecs_bitswap.distributions.uniform import Uniform
from numcodecs_bitswap.errors import FormatError, MessageExhausted
from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.rans import triton_backend
from numcodecs_bitswap.rans.distribution import Distribution, TritonFunctions
from numcodecs_bitswap.rans.message import Message
from numcodecs_bitswap.rans.triton_backend import TritonStack
from numcodecs_bitswap.rans.words import Words
from pictures import photograph
from reference.message import BLOCKS, Plain, TorchMessage, cums, integers, random_mixture, random_words, same, unflatten

few = partial(settings, max_examples=12)
NOT_ALL = "posterior", "Gaussian posterior", "integer Gaussian", "integer Gaussian posterior"
"""Blocks that do not have every symbol."""


@pytest.fixture(autouse=True)
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels alone, not helped by the torch backend."""
    monkeypatch.setattr(triton_backend, "ENOUGH", 0)


@st.composite
def blocks(draw: st.DrawFn, of: Sequence[str] = tuple(BLOCKS)) -> tuple[list[Words], list[Distribution]]:
    """Random messages with words enough, and a few blocks of at most three rows."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    batch, lanes = draw(st.integers(1, 3)), draw(st.integers(1, 70))
    kinds = draw(st.lists(st.sampled_from(of), min_size=1, max_size=3))
    chosen = [BLOCKS[kind](rng, batch, draw(st.integers(0, 3 * lanes))) for kind in kinds]
    words = sum(each.n for each in chosen)
    return [random_words(rng, lanes, words + draw(st.integers(0, 9))) for _ in range(batch)], chosen


@few()
@given(blocks())
def test_pop_is_the_format_and_push_its_inverse(case: tuple[list[Words], list[Distribution]]) -> None:
    words, chosen = case
    plain, message = [Plain(pair) for pair in words], unflatten(words, "triton")
    popped = []
    for distribution in chosen:
        expected = [one.pop(table) for one, table in zip(plain, cums(distribution), strict=True)]
        popped.append(message.pop(distribution))
        assert popped[-1].dtype == np.int32
        assert popped[-1].tolist() == expected
        assert same(message, [one.words() for one in plain])
    for distribution, symbols in reversed(list(zip(chosen, popped, strict=True))):
        message.push(distribution, symbols)
    assert same(message, words)


@few()
@given(st.integers(1, 3), st.integers(1, 40), st.integers(1, 100), st.integers(0, 2**32))
def test_bits(batch: int, lanes: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = integers(rng, 0, 17, batch, n)
    values = integers(rng, 0, 1 << 16, batch, n) & ((1 << sizes) - 1)
    words = [random_words(rng, lanes, n) for _ in range(batch)]
    message, other = (unflatten(words, backend) for backend in ("triton", "numba"))
    for each in (message, other):
        each.push(Bits(sizes[:, :, None]), values)
    assert same(message, other.flatten())
    assert np.array_equal(message.pop(Bits(sizes[:, :, None])), values)
    assert same(message, words)


@few()
@given(blocks(["logistic", "mixture"]), st.integers(0, 2**32))
def test_costs(case: tuple[list[Words], list[Distribution]], seed: int) -> None:
    words, chosen = case
    rng = np.random.default_rng(seed)
    log, shifts, every = rng.integers(0, 5000, 65537), (-9, 0, 30), int(rng.integers(1, 5))
    message, other = (unflatten(words, backend) for backend in ("triton", "torch"))
    for mixture in chosen:
        symbols = integers(rng, 0, mixture.alphabet, mixture.batch, mixture.n)
        asked: Any = mixture, symbols, shifts, every, log
        assert np.array_equal(message.costs(*asked), other.costs(*asked))


@few()
@given(blocks([kind for kind in BLOCKS if kind not in NOT_ALL]), st.integers(0, 2**32))
def test_push_is_that_of_the_other_backends_and_pop_its_inverse(
    case: tuple[list[Words], list[Distribution]], seed: int
) -> None:
    words, chosen = case
    rng = np.random.default_rng(seed)
    values = [integers(rng, 0, each.alphabet, each.batch, each.n) for each in chosen]
    message, *others = (unflatten(words, backend) for backend in ("triton", "numba", "torch"))
    for distribution, symbols in zip(chosen, values, strict=True):
        for each in (message, *others):
            each.push(distribution, symbols)
    for other in others:
        assert same(message, other.flatten())
    for distribution, symbols in reversed(list(zip(chosen, values, strict=True))):
        assert np.array_equal(message.pop(distribution), symbols)
    assert same(message, words)


@pytest.mark.parametrize(
    ("components", "alphabet", "lanes"), [(1, 2, 1), (2, 3000, 512), (16, 256, 100), (3, 256, 1000), (3, 256, 1100)]
)
def test_every_size_of_mixture_and_message(components: int, alphabet: int, lanes: int) -> None:
    rng = np.random.default_rng(components)
    n = 3 * lanes - 1
    mixture, words = random_mixture(rng, 2, n, components, alphabet), [random_words(rng, lanes, n) for _ in range(2)]
    message, other = (unflatten(words, backend) for backend in ("triton", "numba"))
    symbols = message.pop(mixture)
    assert np.array_equal(symbols, other.pop(mixture))
    assert same(message, other.flatten())
    message.push(mixture, symbols)
    assert same(message, words)


@pytest.mark.parametrize("alphabet", [1, 2, 65535, 65536])
def test_extreme_intervals(alphabet: int) -> None:
    """freq = 2^16 and freq = 1; heads at both ends of their range."""
    uniform, heads = Uniform(1, 20, alphabet), np.array([1 << 24, (1 << 32) - 1, 1 << 31], np.uint32)
    words = [(heads, random_words(np.random.default_rng(0), 1, 30)[1])]
    message, other = (unflatten(words, backend) for backend in ("triton", "numba"))
    symbols = message.pop(uniform)
    assert np.array_equal(symbols, other.pop(uniform))
    assert same(message, other.flatten())
    message.push(uniform, symbols)
    assert same(message, words)


def test_what_a_posterior_does_not_have_cannot_be_pushed() -> None:
    posterior = GaussianBuckets(np.zeros((2, 40, 1), np.int32), np.zeros((2, 40, 1), np.int32), 7, floor=0)
    words = [random_words(np.random.default_rng(0), 9, 50)] * 2
    message = unflatten(words, "triton")
    symbols = message.pop(posterior)
    message.push(posterior, symbols)
    assert same(message, words)
    symbols[1, 20] = 0
    message.push(posterior, symbols)
    with pytest.raises(FormatError, match="altered"):
        message.check()


def test_it_runs_out_at_the_same_word() -> None:
    rng, failures = np.random.default_rng(1), 0
    enough = random_words(rng, 7, 99)
    for size in range(14, 30, 4):
        scarce = random_words(rng, 7, size)
        for words in ([enough, scarce], [scarce, enough]):
            outcomes = set()
            for backend in ("triton", "numba"):
                try:
                    message = unflatten(words, backend)
                    symbols = message.pop(Uniform(2, 50, 200))
                    message.check()
                    outcomes.add(str(symbols.tolist()))
                except MessageExhausted:
                    outcomes.add("exhausted")
            assert len(outcomes) == 1
            failures += "exhausted" in outcomes
    assert 2 <= failures <= 6


@pytest.mark.parametrize("core", ["bit_swap", "bb_ans"])
def test_chunks(core: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two chunks through stages and core: the same heads, tail and schedule as with numba, and back."""
    model = catalog.load("tiny-rgb8-v1", "cpu").net
    chunks = np.stack([photograph()[None, y : y + 30, 200:227] for y in (60, 150)])
    lanes = 150
    plain = groups.encode(model, [chunks], lanes, core)
    assert {mode for each in plain for _, mode in each.schedule} == {groups.BITS_BACK}
    backend = TorchBackend("torch")
    made = []

    def stack(words: list[Words]) -> TritonStack:
        made.append(len(words))
        return TritonStack.with_forms(words, "cpu", form)

    monkeypatch.setattr(backend, "stack", stack)
    monkeypatch.setattr(backends, "for_device", lambda device: backend)
    model = catalog._load(catalog.find("tiny-rgb8-v1"), "torch").net
    coded = groups.encode(model, [chunks], lanes, core)
    (decoded,) = groups.decode(model, coded, [chunks.shape[1:4]], core)
    assert made == [2, 2]
    assert np.array_equal(decoded, chunks)
    for one, other in zip(coded, plain, strict=True):
        assert one.schedule == other.schedule
        assert np.array_equal(one.heads, other.heads)
        assert np.array_equal(one.tail, other.tail)


@triton.jit
def all_for_the_last(s, first, second, third, constants, alphabet, K: tl.constexpr):  # type: ignore[no-untyped-def]
    return tl.where(s == alphabet, 65536, s)


@triton.jit
def no_form(s, first, second, third, constants, alphabet, K: tl.constexpr):  # type: ignore[no-untyped-def]
    return no_compiler  # noqa: F821


@pytest.fixture
def doubting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_backend, "ENOUGH", 300)
    monkeypatch.setattr(triton_backend, "_agreed", {})


@pytest.mark.usefixtures("doubting")
@pytest.mark.parametrize(("cum", "reason"), [(all_for_the_last, "other words"), (no_form, "no_compiler")])
def test_kernels_that_do_not_give_the_words_are_not_used(cum: Any, reason: str) -> None:
    uniform, rng = Uniform(2, 60, 200), np.random.default_rng(2)
    words = [random_words(rng, 20, 60) for _ in range(2)]
    load = FORMS[Uniform].load
    stack = TritonStack.with_forms(words, "cpu", lambda distribution: TritonFunctions(load, cum))
    message, other = TorchMessage(Message(stack)), unflatten(words)
    with pytest.warns(UserWarning, match=reason):
        symbols = message.pop(uniform)
    assert np.array_equal(symbols, other.pop(uniform))
    message.push(uniform, symbols)  # and warns no more
    assert same(message, words)


@pytest.mark.usefixtures("doubting")
def test_kernels_are_trusted_after_enough_symbols(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []
    agrees = TritonStack._agrees
    monkeypatch.setattr(TritonStack, "_agrees", lambda *arguments: counts.append(1) or agrees(*arguments))
    message = unflatten([random_words(np.random.default_rng(3), 40, 1000)], "triton")
    for n, so_far in [(100, 1), (0, 1), (199, 2), (40, 3), (400, 3)]:
        message.pop(Uniform(1, n, 200))
        assert len(counts) == so_far

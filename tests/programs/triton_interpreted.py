"""Tests of the Triton backend that need its interpreter: run by test_triton.py, with TRITON_INTERPRET=1."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from hypothesis import given, settings
from hypothesis import strategies as st

from numcodecs_bitswap import catalog
from numcodecs_bitswap.bitsback import groups
from numcodecs_bitswap.errors import FormatError, MessageExhausted
from numcodecs_bitswap.rans import message as message_module
from numcodecs_bitswap.rans import triton_backend
from numcodecs_bitswap.rans.distribution import Distribution, Native, TritonFunctions
from numcodecs_bitswap.rans.message import Message, Words
from numcodecs_bitswap.rans.torch_backend import TorchStack
from numcodecs_bitswap.rans.triton_backend import TritonStack
from numcodecs_bitswap.symbols.bits import Bits
from numcodecs_bitswap.symbols.gaussian_buckets import GaussianBuckets
from numcodecs_bitswap.symbols.triton_forms import UNIFORM
from numcodecs_bitswap.symbols.uniform import Uniform
from pictures import photograph
from plain_message import BLOCKS, Plain, cums, integers, random_mixture, random_words, same

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
    plain, message = [Plain(pair) for pair in words], Message.unflatten(words, backend="triton")
    popped = []
    for distribution in chosen:
        expected = [one.pop(table) for one, table in zip(plain, cums(distribution), strict=True)]
        popped.append(message.pop(distribution))
        assert popped[-1].dtype == torch.int32
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
    message, other = (Message.unflatten(words, backend=backend) for backend in ("triton", "numba"))
    for each in (message, other):
        each.push(Bits(sizes.unsqueeze(2)), values)
    assert same(message, other.flatten())
    assert torch.equal(message.pop(Bits(sizes.unsqueeze(2))), values)
    assert same(message, words)


@few()
@given(blocks(["logistic", "mixture"]), st.integers(0, 2**32))
def test_costs(case: tuple[list[Words], list[Distribution]], seed: int) -> None:
    words, chosen = case
    rng = np.random.default_rng(seed)
    log, shifts, every = torch.from_numpy(rng.integers(0, 5000, 65537)), (-9, 0, 30), int(rng.integers(1, 5))
    message, other = (Message.unflatten(words, backend=backend) for backend in ("triton", "torch"))
    for mixture in chosen:
        symbols = integers(rng, 0, mixture.alphabet, mixture.batch, mixture.n)
        asked: Any = mixture, symbols, shifts, every, log
        assert torch.equal(message.costs(*asked), other.costs(*asked))


@few()
@given(blocks([kind for kind in BLOCKS if kind not in NOT_ALL]), st.integers(0, 2**32))
def test_push_is_that_of_the_other_backends_and_pop_its_inverse(
    case: tuple[list[Words], list[Distribution]], seed: int
) -> None:
    words, chosen = case
    rng = np.random.default_rng(seed)
    values = [integers(rng, 0, each.alphabet, each.batch, each.n) for each in chosen]
    message, *others = (Message.unflatten(words, backend=backend) for backend in ("triton", "numba", "torch"))
    for distribution, symbols in zip(chosen, values, strict=True):
        for each in (message, *others):
            each.push(distribution, symbols)
    for other in others:
        assert same(message, other.flatten())
    for distribution, symbols in reversed(list(zip(chosen, values, strict=True))):
        assert torch.equal(message.pop(distribution), symbols)
    assert same(message, words)


@pytest.mark.parametrize(
    ("components", "alphabet", "lanes"), [(1, 2, 1), (2, 3000, 512), (16, 256, 100), (3, 256, 1000), (3, 256, 1100)]
)
def test_every_size_of_mixture_and_message(components: int, alphabet: int, lanes: int) -> None:
    rng = np.random.default_rng(components)
    n = 3 * lanes - 1
    mixture, words = random_mixture(rng, 2, n, components, alphabet), [random_words(rng, lanes, n) for _ in range(2)]
    message, other = (Message.unflatten(words, backend=backend) for backend in ("triton", "numba"))
    symbols = message.pop(mixture)
    assert torch.equal(symbols, other.pop(mixture))
    assert same(message, other.flatten())
    message.push(mixture, symbols)
    assert same(message, words)


@pytest.mark.parametrize("alphabet", [1, 2, 65535, 65536])
def test_extreme_intervals(alphabet: int) -> None:
    """freq = 2^16 and freq = 1; heads at both ends of their range."""
    uniform, heads = Uniform(1, 20, alphabet), np.array([1 << 24, (1 << 32) - 1, 1 << 31], np.uint32)
    words = [(heads, random_words(np.random.default_rng(0), 1, 30)[1])]
    message, other = (Message.unflatten(words, backend=backend) for backend in ("triton", "numba"))
    symbols = message.pop(uniform)
    assert torch.equal(symbols, other.pop(uniform))
    assert same(message, other.flatten())
    message.push(uniform, symbols)
    assert same(message, words)


def test_what_a_posterior_does_not_have_cannot_be_pushed() -> None:
    posterior = GaussianBuckets(torch.zeros(2, 40, 1).int(), torch.zeros(2, 40, 1).int(), 7, floor=0)
    words = [random_words(np.random.default_rng(0), 9, 50)] * 2
    message = Message.unflatten(words, backend="triton")
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
                    message = Message.unflatten(words, backend=backend)
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
    unflatten = Message.unflatten
    kinds = []

    def with_triton(words: list[Words], device: str = "cpu", backend: str = "auto") -> Message:
        kinds.append(backend)
        return unflatten(words, device, "triton")

    monkeypatch.setattr(Message, "unflatten", with_triton)
    coded = groups.encode(model, [chunks], lanes, core)
    (decoded,) = groups.decode(model, coded, [chunks.shape[1:4]], core)
    assert kinds == ["auto", "auto"]
    assert np.array_equal(decoded, chunks)
    for one, other in zip(coded, plain, strict=True):
        assert one.schedule == other.schedule
        assert np.array_equal(one.heads, other.heads)
        assert np.array_equal(one.tail, other.tail)


class Twisted(Uniform):
    """A uniform distribution whose Triton form is another's, or none that Triton can use."""

    form: Any

    def native(self) -> Native:
        return super().native()._replace(triton=self.form)


@triton.jit
def all_for_the_last(s, first, second, third, constants, alphabet, K: tl.constexpr):  # type: ignore[no-untyped-def]
    return tl.where(s == alphabet, 65536, s)


def other_functions() -> TritonFunctions:
    return TritonFunctions(UNIFORM.load, all_for_the_last)


def no_functions() -> TritonFunctions:
    raise RuntimeError("no compiler")


@pytest.fixture
def doubting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_backend, "ENOUGH", 300)
    monkeypatch.setattr(triton_backend, "_agreed", {})


@pytest.mark.usefixtures("doubting")
@pytest.mark.parametrize(("form", "reason"), [(other_functions, "other words"), (no_functions, "no compiler")])
def test_kernels_that_do_not_give_the_words_are_not_used(form: Any, reason: str) -> None:
    twisted, rng = type("Kind", (Twisted,), {"form": staticmethod(form)})(2, 60, 200), np.random.default_rng(2)
    words = [random_words(rng, 20, 60) for _ in range(2)]
    message, other = (Message.unflatten(words, backend=backend) for backend in ("triton", "numba"))
    with pytest.warns(UserWarning, match=reason):
        symbols = message.pop(twisted)
    assert torch.equal(symbols, other.pop(Uniform(2, 60, 200)))
    message.push(twisted, symbols)  # and warns no more
    assert same(message, words)


@pytest.mark.usefixtures("doubting")
def test_kernels_are_trusted_after_enough_symbols(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []
    agrees = TritonStack._agrees
    monkeypatch.setattr(TritonStack, "_agrees", lambda *arguments: counts.append(1) or agrees(*arguments))
    message = Message.unflatten([random_words(np.random.default_rng(3), 40, 1000)], backend="triton")
    for n, so_far in [(100, 1), (0, 1), (199, 2), (40, 3), (400, 3)]:
        message.pop(Uniform(1, n, 200))
        assert len(counts) == so_far


def test_auto_is_triton_on_cuda_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    on_cpu = TorchStack.unflatten.__func__  # type: ignore[attr-defined]

    def unflatten(cls: Any, words: list[Words], device: str) -> TorchStack:
        made.append((cls, device))
        return on_cpu(cls, words, "cpu")

    monkeypatch.setattr(TorchStack, "unflatten", classmethod(unflatten))
    Message.empty(1, 1, "cuda:0")
    monkeypatch.setattr(message_module, "find_spec", lambda name: None)
    Message.empty(1, 1, "cuda:0")
    Message.empty(1, 1, "cpu")
    assert made == [(TritonStack, "cuda:0"), (TorchStack, "cuda:0"), (TorchStack, "cpu")]

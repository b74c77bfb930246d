"""Distributions: the tables' values, and cum of FORMAT.md section 3 in plain integers against both forms of it."""

import math
from collections.abc import Callable
from decimal import localcontext
from functools import cache
from itertools import accumulate
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

import make_tables
from numcodecs_bitswap.distributions.bernoulli import Bernoulli
from numcodecs_bitswap.distributions.beta_binomial import BetaBinomial
from numcodecs_bitswap.distributions.categorical import Categorical
from numcodecs_bitswap.distributions.gaussian_buckets import GaussianBuckets
from numcodecs_bitswap.distributions.logistic_mixture import LogisticMixture
from numcodecs_bitswap.distributions.tables import tables, vae_tables
from numcodecs_bitswap.distributions.uniform import Uniform
from numcodecs_bitswap.rans.distribution import Distribution, Functions
from reference.message import BLOCKS, Plain, cums, on_torch, random_words, same, unflatten

Component = tuple[int, int, int]
"""(logit, mean, scale)"""


def plain_cum(s: int, components: list[Component], alphabet: int) -> int:
    """FORMAT.md section 3.2, in its own order."""
    if s == 0:
        return 0
    if s == alphabet:
        return 1 << 16
    sigmoid, invscale, weight = [[int(value) for value in table] for table in tables()]
    top = max(logit for logit, _, _ in components)
    w = [weight[min(top - logit, 127)] for logit, _, _ in components]
    r = ((2**16 - alphabet) * 2**28) // sum(w)
    t = [min(max(((32 * s - 16 - m) * invscale[j] >> 12) + 4096, 0), 8191) for _, m, j in components]
    return s + ((r * sum(w_k * sigmoid[t_k] for w_k, t_k in zip(w, t, strict=True))) >> 44)


@cache
def plain_tables() -> dict[str, Any]:
    return {name: table.tolist() for part in (tables(), vae_tables()) for name, table in part._asdict().items()}


def plain_gaussian(mean: int, j: int, p: int) -> list[int]:
    """FORMAT.md section 3.4: cum(0), ..., cum(A)."""
    table, alphabet = plain_tables(), 2**p

    def t(k: int) -> int:
        return min(max(((table["edge"][k * 2 ** (10 - p)] - mean) * table["invsigma"][j] >> 12) + 4096, 0), 8191)

    inner = [k + ((2**16 - alphabet) * table["normal"][t(k)] >> 16) for k in range(1, alphabet)]
    return [0, *inner, 2**16]


def plain_bernoulli(logit: int) -> list[int]:
    """FORMAT.md section 3.5: cum(0), cum(1), cum(2)."""
    return [0, 1 + ((2**16 - 2) * plain_tables()["sigmoid"][min(max(4096 - 12 * logit, 0), 8191)] >> 16), 2**16]


def plain_beta_binomial(a: int, b: int) -> list[int]:
    """FORMAT.md section 3.6: cum(0), ..., cum(256)."""
    table = plain_tables()
    e = [table["choose"][x] + table["rise"][a][x] + table["rise"][b][255 - x] for x in range(256)]
    d = [max(e) - e_x for e_x in e]
    return with_ones([table["power"][d_x % 4096] >> min(d_x >> 12, 40) for d_x in d])


def plain_categorical(logits: list[int]) -> list[int]:
    """FORMAT.md section 3.7: cum(0), ..., cum(A)."""
    return with_ones([plain_tables()["weight"][min(max(logits) - logit, 127)] for logit in logits])


def with_ones(w: list[int]) -> list[int]:
    """The cum that the weights of all symbols give in sections 3.6 and 3.7."""
    return [s + ((2**16 - len(w)) * below) // sum(w) for s, below in enumerate(accumulate(w, initial=0))]


def vector_cum(distribution: Distribution, symbols: list[int]) -> list[int]:
    """By numpy; torch gives the same."""
    values = distribution.cum(distribution.prepare(0, distribution.n), np.array([symbols]))
    other = on_torch(distribution)
    assert other.cum(other.prepare(0, other.n), torch.tensor([symbols])).tolist() == values.tolist()
    return values[0].tolist()


@cache
def compiled_loop(functions: Functions) -> Callable[..., None]:
    load, cum = njit(functions.load), njit(functions.cum)

    def loop(symbols: Any, out: Any, a: Any, b: Any, c: Any, constants: Any, components: int) -> None:
        local = np.empty(4 * components, np.int64)
        for i in range(len(symbols)):
            load(0, i, local, a, b, c, constants, components)
            out[i] = cum(symbols[i], local, constants, components)

    return njit(loop)  # type: ignore[no-any-return]


def native_cum(distribution: Distribution, symbols: list[int]) -> list[int]:
    native = distribution.native()
    out = np.empty(len(symbols), np.int64)
    compiled_loop(native.functions)(np.array(symbols), out, *native.fields, native.constants, distribution.components)
    return out.tolist()


def test_tables_are_the_formulas_rounded() -> None:
    sigmoid, invscale, weight = (table.tolist() for table in tables())
    with localcontext(prec=40):  # `nearest` raises near a tie
        for i in {*range(0, 8192, 61), 4095, 4096, 4097, 8191}:
            assert sigmoid[i] == make_tables.nearest(make_tables.sigmoid(i))
        assert invscale == [make_tables.nearest(make_tables.invscale(j)) for j in range(128)]
        assert weight == [make_tables.nearest(make_tables.weight(d)) for d in range(128)]
    assert len(sigmoid) == 8192
    assert sigmoid == sorted(sigmoid)
    assert all(sigmoid[i] + sigmoid[8192 - i] == 1 << 16 for i in range(1, 8192))


def test_vae_tables_are_the_formulas_rounded() -> None:
    normal, edge, invsigma, rise, choose, power = (table.tolist() for table in vae_tables())
    with localcontext(prec=40):
        for i in {*range(0, 8192, 61), 4095, 4096, 4097, 8191}:
            assert normal[i] == make_tables.nearest(make_tables.normal(i))
        for k in {*range(1, 1024, 31), 512, 1023}:
            assert edge[k] == make_tables.nearest(make_tables.edge(k))
        for a in (0, 1, 48, 95):
            assert rise[a] == [make_tables.nearest(value) for value in make_tables.rise(a)]
        for f in {*range(0, 4096, 31), 2563, 4095}:
            assert power[f] == make_tables.nearest(make_tables.power(f))
        assert invsigma == [make_tables.nearest(make_tables.invsigma(j)) for j in range(128)]
        assert choose == [make_tables.nearest(make_tables.choose(x)) for x in range(256)]
    assert [len(table) for table in vae_tables()] == [8192, 1024, 128, 96, 256, 4096]
    assert [normal[0], normal[-1]] == [0, 1 << 16]
    assert all(normal[i] + normal[8192 - i] == 1 << 16 for i in range(1, 8192))
    assert all(edge[k] + edge[1024 - k] == 0 for k in range(1, 1024))
    for ordered in (normal, edge[1:], invsigma[::-1], power[::-1]):
        assert ordered == sorted(ordered)


def test_vae_tables_are_those_of_other_formulas() -> None:
    """In floats, by the functions of the standard library: the error function, its inverse and log Gamma."""
    normal, edge, invsigma, rise, choose, power = vae_tables()
    gauss, log2 = NormalDist(), math.log(2)
    assert np.allclose(normal, [2**16 * gauss.cdf((i - 4096) / 768) for i in range(8192)], rtol=0, atol=0.5001)
    assert np.allclose(edge[1:], [2**12 * gauss.inv_cdf(k / 1024) for k in range(1, 1024)], rtol=0, atol=0.5001)
    assert np.allclose(invsigma, [768 * 2 ** (8 - j / 12) for j in range(128)], rtol=0, atol=0.5001)
    assert np.allclose(rise, log_rise() * 2**12 / log2, rtol=0, atol=0.5001)
    assert np.allclose(choose, log_choose() * 2**12 / log2, rtol=0, atol=0.5001)
    assert np.allclose(power, 2 ** (28 - np.arange(4096) / 4096), rtol=0, atol=0.5001)


def log_rise() -> Any:
    """log(Gamma(x + t) / Gamma(t)) for each index of t, and x = 0 .. 255."""
    t = [2 ** (a / 6 - 8) for a in range(96)]
    return np.array([[math.lgamma(x + one) - math.lgamma(one) for x in range(256)] for one in t])


def log_choose() -> Any:
    """log of the number of ways to choose x of 255."""
    return np.array([math.lgamma(256) - math.lgamma(x + 1) - math.lgamma(256 - x) for x in range(256)])


def test_tables_are_never_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(make_tables, "FOLDER", tmp_path)
    (tmp_path / "tables.npz").write_bytes(b"of a release")
    for name in ("arrays", "vae_arrays"):
        monkeypatch.setattr(make_tables, name, lambda: {"one": np.arange(3)})
    make_tables.main()
    assert capsys.readouterr().out == "tables.npz exists and is left as it is\n"
    assert (tmp_path / "tables.npz").read_bytes() == b"of a release"
    made = (tmp_path / "vae_tables.npz").read_bytes()
    make_tables.main()
    assert "vae_tables.npz exists" in capsys.readouterr().out
    assert (tmp_path / "vae_tables.npz").read_bytes() == made
    with np.load(tmp_path / "vae_tables.npz") as stored:
        assert stored["one"].tolist() == [0, 1, 2]


def test_a_value_near_a_tie_is_refused() -> None:
    with localcontext(prec=40) as context, pytest.raises(ArithmeticError, match="tie"):
        make_tables.nearest(context.create_decimal("7.4999999"))


means = st.integers(-(2**17) + 1, 2**17 - 1) | st.integers(-500, 9000)
component = st.tuples(st.integers(-127, 127), means, st.integers(0, 127))
mixtures = st.lists(component, min_size=1, max_size=5)


@given(mixtures, st.sampled_from([2, 3, 128, 256, 1000, 4096]))
def test_mixture(components: list[Component], alphabet: int) -> None:
    """Torch, compiled and plain integers agree on every symbol; every symbol has freq >= 1."""
    logits, means, scales = np.repeat(np.array(components, np.int32).T[:, None], alphabet + 1, 1)
    distribution = LogisticMixture(logits[None], means[None], scales[None], alphabet)
    symbols = list(range(alphabet + 1))
    cum = vector_cum(distribution, symbols)
    assert native_cum(distribution, symbols) == cum
    assert [cum[0], cum[-1]] == [0, 1 << 16]
    assert min(np.diff(cum)) >= 1
    some = {0, 1, alphabet // 2, alphabet - 1, alphabet}
    assert {s: plain_cum(s, components, alphabet) for s in some} == {s: cum[s] for s in some}


@given(component, st.integers(0, 255))
def test_one_component_needs_no_logit(one: Component, symbol: int) -> None:
    logit, mean, scale = (np.full((1, 1, 1), value, np.int32) for value in one)
    for cum in (vector_cum, native_cum):
        with_logit = cum(LogisticMixture(logit, mean, scale, 256), [symbol])
        assert with_logit == cum(LogisticMixture(None, mean, scale, 256), [symbol]) == [plain_cum(symbol, [one], 256)]


@given(st.integers(1, 1 << 16), st.data())
def test_uniform(alphabet: int, data: st.DataObject) -> None:
    symbols = [0, alphabet, *data.draw(st.lists(st.integers(0, alphabet), max_size=20))]
    distribution = Uniform(1, len(symbols), alphabet)
    expected = [s * 2**16 // alphabet for s in symbols]
    assert vector_cum(distribution, symbols) == native_cum(distribution, symbols) == expected


def check_every_symbol(distribution: Distribution, expected: list[int]) -> None:
    """Torch, compiled and plain integers agree on every symbol; every symbol has freq >= 1."""
    symbols = list(range(distribution.alphabet + 1))
    assert (distribution.batch, distribution.n, len(expected)) == (1, len(symbols), len(symbols))
    assert vector_cum(distribution, symbols) == native_cum(distribution, symbols) == expected
    assert [expected[0], expected[-1]] == [0, 1 << 16]
    assert min(np.diff(expected)) >= 1


def same_for_all(value: int | list[int], n: int) -> Any:
    """A block's parameter, int32 (1, n, 1), or (1, n, K) of a list."""
    return np.repeat(np.array(value, np.int32).reshape(1, 1, -1), n, 1)


@given(st.integers(-(2**17) + 1, 2**17 - 1) | st.integers(-16384, 16384), st.integers(0, 127), st.integers(1, 9))
def test_gaussian_buckets(mean: int, scale: int, bits: int) -> None:
    n = 2**bits + 1
    distribution = GaussianBuckets(same_for_all(mean, n), same_for_all(scale, n), bits)
    check_every_symbol(distribution, plain_gaussian(mean, scale, bits))


@given(st.integers(-(2**31), 2**31 - 1) | st.integers(-400, 400))
def test_bernoulli(logit: int) -> None:
    check_every_symbol(Bernoulli(same_for_all(logit, 3)), plain_bernoulli(logit))


@given(st.integers(0, 95), st.integers(0, 95))
def test_beta_binomial(a: int, b: int) -> None:
    check_every_symbol(BetaBinomial(same_for_all(a, 257), same_for_all(b, 257)), plain_beta_binomial(a, b))


@given(st.lists(st.integers(-127, 127), min_size=2, max_size=256))
def test_categorical(logits: list[int]) -> None:
    check_every_symbol(Categorical(same_for_all(logits, len(logits) + 1)), plain_categorical(logits))


@pytest.mark.parametrize("kind", BLOCKS)
def test_both_backends_pop_as_the_format_says_and_push_back(kind: str) -> None:
    """Every symbol with its own parameters, two messages, a last row that is short."""
    rng, batch, n, lanes = np.random.default_rng(6), 2, 1000, 7
    distribution = BLOCKS[kind](rng, batch, n)
    words = [random_words(rng, lanes, n) for _ in range(batch)]
    plain = [Plain(pair) for pair in words]
    expected = [one.pop(cum) for one, cum in zip(plain, cums(distribution), strict=True)]
    for backend in ("numba", "torch"):
        message = unflatten(words, backend)
        symbols = message.pop(distribution)
        assert symbols.tolist() == expected
        assert same(message, [one.words() for one in plain])
        message.push(distribution, symbols)
        assert same(message, words)


def test_gaussian_buckets_have_the_mass_of_the_gaussian() -> None:
    """Up to what the units allow: edges of 2^-12, and NORMAL at steps of 1/768 standard deviation."""
    gauss = NormalDist()
    for mean, scale, bits in [(0, 96, 8), (-3000, 90, 9), (5000, 60, 6), (16384, 127, 4), (700, 24, 9), (-12000, 0, 9)]:
        sigma, alphabet = 2 ** (scale / 12 - 8), 2**bits
        cum = np.array(plain_gaussian(mean, scale, bits)[1:-1])
        k = np.arange(1, alphabet)
        real = [gauss.cdf((gauss.inv_cdf(one / alphabet) - mean / 2**12) / sigma) for one in k]
        error = 0.4 * (2**-13 / sigma + 2 / 768) + 2 / 2**16
        assert np.abs(cum - k - (2**16 - alphabet) * np.array(real)).max() <= error * 2**16


def test_bernoulli_is_the_logistic_function() -> None:
    for logit in range(-341, 342):
        assert abs(plain_bernoulli(logit)[1] - 2**16 / (1 + math.exp(logit / 32))) <= 2


def test_beta_binomial_has_its_probabilities() -> None:
    """Every one of the 96 x 96, to 1/2000, besides the 1 that every symbol has and what rounding takes."""
    a, b = np.meshgrid(np.arange(96), np.arange(96), indexing="ij")
    block = BetaBinomial(*(p.astype(np.int32).reshape(1, -1, 1) for p in (a, b)))
    symbols = np.broadcast_to(np.arange(257), (1, 96 * 96, 257))
    cum = block.cum((block.prepare(0, block.n)[0][..., None],), symbols).reshape(96, 96, 257)
    freq = np.diff(cum)
    assert freq.min() >= 1
    t = [2 ** (one / 6 - 8) for one in range(96)]
    total = np.array([[math.lgamma(255 + t_a + t_b) - math.lgamma(t_a + t_b) for t_b in t] for t_a in t])
    rise = log_rise()
    real = np.exp(log_choose() + rise[:, None] + rise[None, :, ::-1] - total[..., None])
    assert np.abs(real.sum(2) - 1).max() < 1e-9
    expected = (2**16 - 256) * real
    assert (np.abs(freq - 1 - expected) <= 1 + expected / 2000).all()


def test_categorical_is_softmax() -> None:
    rng = np.random.default_rng(5)
    for alphabet in (2, 3, 10, 128, 256):
        logits = rng.integers(-60, 61, alphabet)
        real = 2.0 ** (logits / 12) / (2.0 ** (logits / 12)).sum()
        freq = np.diff(plain_categorical(logits.tolist()))
        rounded = (0.5 + 0.5 * alphabet * real) / 2**14  # weights are rounded, and their sum is at least 2^14
        assert (np.abs(freq - 1 - (2**16 - alphabet) * real) <= 1 + (2**16 - alphabet) * rounded).all()


def test_out_of_range_parameters_are_refused() -> None:
    good = np.zeros((1, 2, 3), np.int32)
    for logits, means, scales, alphabet in [
        (None, good, good, 256),
        (good, good[:, :1], good, 256),
        (good, good, good[..., :2], 256),
        (good, good + (1 << 17), good, 256),
        (good, good - (1 << 17), good, 256),
        (good, good, good - 1, 256),
        (good, good, good + 128, 256),
        (good, good, good, 1),
        (good, good, good, 4097),
    ]:
        with pytest.raises(ValueError, match=r"mixture|alphabet|means|scales"):
            LogisticMixture(logits, means, scales, alphabet)
    for alphabet in (0, 65537):
        with pytest.raises(ValueError, match="16 bits"):
            Uniform(1, 1, alphabet)
    good = np.zeros((1, 2, 1), np.int32)
    for means, scales, bits in [
        (good + (1 << 17), good, 8),
        (good - (1 << 17), good, 8),
        (good, good - 1, 8),
        (good, good + 128, 8),
        (good, good, 0),
        (good, good, 10),
        (good, good[:, :1], 8),
    ]:
        with pytest.raises(ValueError, match=r"buckets|means|scales|shape"):
            GaussianBuckets(means, scales, bits)
    for alpha, beta in [(good - 1, good), (good, good - 1), (good + 96, good), (good, good + 96), (good, good[:, :1])]:
        with pytest.raises(ValueError, match=r"alpha|beta|shape"):
            BetaBinomial(alpha, beta)
    for logits in (good[0], np.repeat(good, 2, 2)):
        with pytest.raises(ValueError, match="shape"):
            Bernoulli(logits)
    for logits in (good[0], good, np.repeat(good, 257, 2)):
        with pytest.raises(ValueError, match="shape"):
            Categorical(logits)


@pytest.mark.parametrize("alphabet", [2, 100, 256, 4096])
def test_weights_are_shared_out_exactly_by_floats(alphabet: int) -> None:
    """As compiled loops do, for every sum of weights of 16 components."""
    mass, totals = ((1 << 16) - alphabet) << 28, np.arange(1 << 14, (16 << 14) + 1)
    assert np.array_equal((float(mass) / totals.astype(np.float64)).astype(np.int64), mass // totals)

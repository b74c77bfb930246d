"""Distributions: the tables' values, and cum of FORMAT.md section 3 in plain integers against both forms of it."""

from collections.abc import Callable
from decimal import localcontext
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from numcodecs_bitswap.rans.distribution import Distribution, Functions
from numcodecs_bitswap.symbols import make_tables
from numcodecs_bitswap.symbols.logistic_mixture import LogisticMixture
from numcodecs_bitswap.symbols.tables import tables
from numcodecs_bitswap.symbols.uniform import Uniform

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


def torch_cum(distribution: Distribution, symbols: list[int]) -> list[int]:
    return distribution.cum(distribution.prepare(0, distribution.n), torch.tensor([symbols]))[0].tolist()


@cache
def compiled_loop(functions: Functions) -> Callable[..., None]:
    load, _, cum = (njit(function) for function in functions)

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


def test_tables_are_never_written_over() -> None:
    with pytest.raises(FileExistsError):
        make_tables.main()


def test_a_value_near_a_tie_is_refused() -> None:
    with localcontext(prec=40) as context, pytest.raises(ArithmeticError, match="tie"):
        make_tables.nearest(context.create_decimal("7.499999"))


means = st.integers(-(2**17) + 1, 2**17 - 1) | st.integers(-500, 9000)
component = st.tuples(st.integers(-127, 127), means, st.integers(0, 127))
mixtures = st.lists(component, min_size=1, max_size=5)


@given(mixtures, st.sampled_from([2, 3, 128, 256, 1000, 4096]))
def test_mixture(components: list[Component], alphabet: int) -> None:
    """Torch, compiled and plain integers agree on every symbol; every symbol has freq >= 1."""
    logits, means, scales = torch.tensor(components, dtype=torch.int32).T.expand(alphabet + 1, 3, -1).unbind(1)
    distribution = LogisticMixture(logits[None], means[None], scales[None], alphabet)
    symbols = list(range(alphabet + 1))
    cum = torch_cum(distribution, symbols)
    assert native_cum(distribution, symbols) == cum
    assert [cum[0], cum[-1]] == [0, 1 << 16]
    assert min(np.diff(cum)) >= 1
    some = {0, 1, alphabet // 2, alphabet - 1, alphabet}
    assert {s: plain_cum(s, components, alphabet) for s in some} == {s: cum[s] for s in some}


@given(component, st.integers(0, 255))
def test_one_component_needs_no_logit(one: Component, symbol: int) -> None:
    logit, mean, scale = (torch.full((1, 1, 1), value, dtype=torch.int32) for value in one)
    for cum in (torch_cum, native_cum):
        with_logit = cum(LogisticMixture(logit, mean, scale, 256), [symbol])
        assert with_logit == cum(LogisticMixture(None, mean, scale, 256), [symbol]) == [plain_cum(symbol, [one], 256)]


@given(st.integers(1, 1 << 16), st.data())
def test_uniform(alphabet: int, data: st.DataObject) -> None:
    symbols = [0, alphabet, *data.draw(st.lists(st.integers(0, alphabet), max_size=20))]
    distribution = Uniform(1, len(symbols), alphabet)
    expected = [s * 2**16 // alphabet for s in symbols]
    assert torch_cum(distribution, symbols) == native_cum(distribution, symbols) == expected


def test_bits_are_those_of_the_intervals() -> None:
    zero = torch.zeros(1, 256, 1, dtype=torch.int32)
    distribution = LogisticMixture(None, zero + 4000, zero + 80, 256)
    p = torch.exp2(-distribution.bits(torch.arange(256)[None]))
    assert p.sum() == pytest.approx(1)
    assert p.argmax() == 125
    freq = plain_cum(126, [(0, 4000, 80)], 256) - plain_cum(125, [(0, 4000, 80)], 256)
    assert float(p[0, 125]) == pytest.approx(freq / 65536)


def test_out_of_range_parameters_are_refused() -> None:
    good = torch.zeros(1, 2, 3, dtype=torch.int32)
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

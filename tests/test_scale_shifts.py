"""bitsback/scale_shifts.py: shifts of a block's scales, chosen in integers as FORMAT.md section 8 says."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.research.bound import information
from numcodecs_bitswap.arrays.on_numpy import NUMPY
from numcodecs_bitswap.bitsback import scale_shifts
from numcodecs_bitswap.bitsback.coder import block
from numcodecs_bitswap.distributions.logistic_mixture import LogisticMixture
from numcodecs_bitswap.nets.parameters import Parameters
from reference.message import empty, integers, random_words, same, unflatten

BACKENDS = ["numba", "torch"]


def parameters(rng: np.random.Generator, n: int, scale: tuple[int, int] = (0, 128)) -> Parameters:
    """Of n pixels of one image, in two patches."""
    shape = 2, 1, n // 2, 3
    tensors = integers(rng, -127, 128, *shape), integers(rng, 0, 8192, *shape), integers(rng, *scale, *shape)
    return Parameters("mixture", 256, tensors)


def drawn(message: Any, given: Parameters, off: int) -> NDArray[Any]:
    """Symbols of the mixtures with other scales."""
    logits, means, scales = given.tensors
    wider = Parameters("mixture", 256, (logits, means, (scales + off).clip(0, 127)))
    rng = np.random.default_rng(0)
    return unflatten([random_words(rng, 5, 20_000)] * message.batch).pop(block(message, wider))


@given(st.integers(0, 2**32), st.sampled_from([254, 256, 258, 3000]), st.integers(-8, 12))
@settings(max_examples=25)
def test_pop_is_the_inverse_of_push(seed: int, n: int, off: int) -> None:
    rng = np.random.default_rng(seed)
    given = parameters(rng, n)
    for backend in BACKENDS:
        message = unflatten([random_words(rng, 5, 50)], backend)
        before, symbols = message.flatten(), drawn(message, given, off)
        scale_shifts.push_block(message, given, symbols)
        assert np.array_equal(scale_shifts.pop_block(message, given), symbols)
        assert same(message, before)


def cost(value: int) -> int:
    return round(256 * (16 - math.log2(value)))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("n", "every"), [(512, 1), (514, 2), (2500, 5)])
def test_the_choice_is_that_of_the_format(backend: str, n: int, every: int) -> None:
    rng = np.random.default_rng(n)
    message, given = empty(1, 1, backend), parameters(rng, n, (30, 80))
    logits, means, scales = (each.reshape(1, -1, 3) for each in given.tensors)
    for off in (-9, 0, 5, 30):
        symbols = drawn(message, given, off)
        costs = []
        for v in range(8):
            mixture = LogisticMixture(logits, means, (scales + 2 * v - 6).clip(0, 127), 256)
            prepared, s = mixture.prepare(0, n), symbols.astype(np.int64)
            frequencies = (mixture.cum(prepared, s + 1) - mixture.cum(prepared, s))[0, ::every].tolist()
            costs.append(every * sum(map(cost, frequencies)) + (263 if v == 3 else 967))
        choice = scale_shifts.choose(message, LogisticMixture(logits, means, scales, 256), symbols)
        assert choice.tolist() == [[costs.index(min(costs))]]
        assert abs(2 * choice.item() - 6 - off) <= 1 or choice.item() in (0, 7)


def test_costs_are_near_no_tie_and_prices_are_those_of_the_prior() -> None:
    log, price = scale_shifts._LOG, scale_shifts._PRICES
    exact = 256 * (16 - np.log2(np.arange(1, 65537)))
    assert np.abs(exact - log[1:]).max() < 0.5 - 1e-6
    message = empty(1, 1)
    for v, expected in ((0, 967), (3, 263), (7, 967)):
        bits = information(scale_shifts.prior(message, NUMPY), np.full((1, 1), v))[0]
        assert round(256 * bits) == price[v] == expected


def test_small_blocks_have_no_shift() -> None:
    rng = np.random.default_rng(0)
    given, plain = parameters(rng, scale_shifts.FEWEST - 2), empty(1, 3)
    message, symbols = plain.copy(), drawn(plain, given, 9)
    scale_shifts.push_block(message, given, symbols)
    plain.push(block(plain, given), symbols)
    assert same(message, plain.flatten())


def test_a_shift_pays_where_the_scales_are_off() -> None:
    rng = np.random.default_rng(1)
    given, plain = parameters(rng, 4000, (20, 60)), empty(1, 1)
    message, symbols = plain.copy(), drawn(plain, given, 7)
    scale_shifts.push_block(message, given, symbols)
    plain.push(block(plain, given), symbols)
    assert message.flatten()[0][1].size < 0.99 * plain.flatten()[0][1].size

"""Gaussians over the integers and plain bits: cum in plain integers against both forms, places, and what coding with
them costs beside the density.
"""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import make_tables
from numcodecs_bitswap.bitsback.local_bits_back import pop_values, push_values
from numcodecs_bitswap.distributions import gaussian_places
from numcodecs_bitswap.distributions.bits import Bits
from numcodecs_bitswap.distributions.gaussian import ALPHABET, LARGEST, Gaussian
from numcodecs_bitswap.distributions.tables import flow_tables, vae_tables
from numcodecs_bitswap.errors import FormatError, MessageExhausted
from numcodecs_bitswap.rans.numba_backend import NumbaStack
from numcodecs_bitswap.rans.torch_backend import TorchStack
from reference.message import empty, on_torch, unflatten

deviations = st.integers(256, 1 << 27) | st.floats(8, 27).map(lambda octave: round(2**octave))
means = st.integers(-LARGEST, LARGEST) | st.integers(-5000, 5000)


def plain_gaussian(mean: int, deviation: int, floor: bool) -> list[int]:
    """cum(0), ..., cum(A) of FORMAT.md section 3.8."""
    normal = vae_tables().normal.tolist()
    m = max(deviation.bit_length() - 13, 0)
    a = deviation >> m
    reach, rest = 7 * a >> 9, mean - (mean >> m << m)
    offset = (rest << 6 >> m) + (32 >> m)
    tails = [4, 12, 28, 284]
    lower = [-reach - tail for tail in reversed(tails)]
    lower += [min(max(d, -reach), reach) for d in range(-112, 113)]
    lower += [reach + tail for tail in tails]
    below = [0]
    for d in lower:
        t = min(max((64 * d - offset) * (196608 * 2**13 // a) >> 13, -4096 * 64), 4095 * 64 - 1)
        i, f = (t >> 6) + 4096, t & 63
        below.append((normal[i] * (64 - f) + normal[i + 1] * f + 32) >> 6)
    below.append(65536)
    if not floor:
        return below
    return [min(s, 5) + max(s - 229, 0) + (65526 * n >> 16) for s, n in enumerate(below)]


@given(means, deviations, st.booleans())
def test_cum_is_the_specified_one(mean: int, deviation: int, floor: bool) -> None:
    one = Gaussian(np.array([[[mean]]], np.int32), np.array([[[deviation]]], np.int32), floor)
    prepared = tuple(each[:, :, None] for each in one.prepare(0, 1))
    symbols = np.arange(ALPHABET + 1)
    expected = plain_gaussian(mean, deviation, floor)
    assert one.cum(prepared, symbols[None, None])[0, 0].tolist() == expected
    functions, fields, constants = one.native()[:3]
    table = constants.astype(np.int64)
    local = np.zeros(4, np.int64)
    functions.load(0, 0, local, *fields, table, 1)
    assert [int(functions.cum(s, local, table, 1)) for s in range(ALPHABET + 1)] == expected
    assert all(0 <= functions.guess(r, local, table, 1) < ALPHABET for r in range(0, 65536, 97))


@given(means, deviations, st.integers(-LARGEST, LARGEST) | st.none(), st.floats(-40, 40))
def test_every_value_has_a_symbol_and_a_place(mean: int, deviation: int, value: int | None, far: float) -> None:
    """And with a floor it can be coded, however far from the mean."""
    if value is None:
        value = min(max(mean + round(far * deviation / 256), -LARGEST), LARGEST)
    one = Gaussian(np.array([[[mean]]], np.int32), np.array([[[deviation]]], np.int32), True)
    symbols, sizes, places = one.split(np.array([[value]], np.int32))
    assert one.join(symbols, places).item() == value
    assert np.array_equal(one.sizes(symbols), sizes)
    assert 0 <= places.item() < 2 ** sizes.item()
    ends = plain_gaussian(mean, deviation, True)
    assert ends[symbols.item()] < ends[symbols.item() + 1]


@given(means, deviations, st.booleans(), st.integers(0, 2**32))
def test_messages_come_back(mean: int, deviation: int, floor: bool, seed: int) -> None:
    """Pop then push leaves a message as it was, in both backends, which pop the same."""
    rng = np.random.default_rng(seed)
    n = 50
    own = Gaussian(np.full((1, n, 1), mean, np.int32), np.full((1, n, 1), deviation, np.int32), floor)
    words = [(rng.integers(1 << 24, 1 << 32, 3, dtype=np.uint32), rng.integers(0, 256, 1000, dtype=np.uint8))]
    popped = []
    for backend in ("numba", "torch"):
        message = unflatten(words, backend)
        popped.append(message.pop(own))
        message.push(own, popped[-1])
        heads, tail = message.flatten()[0]
        assert np.array_equal(heads, words[0][0])
        assert np.array_equal(tail, words[0][1])
    assert np.array_equal(*popped)


def some_values(seed: int, n: int = 100) -> Any:
    """Values, means and deviations (2, n), a few values far from their means."""
    rng = np.random.default_rng(seed)
    mean = rng.integers(-(2 ** rng.integers(8, 27)), 2 ** rng.integers(8, 27), (2, n))
    deviation = np.rint(2 ** rng.uniform(8, 27, (2, n))).astype(int)
    far = np.where(rng.random((2, n)) < 0.1, 40, 1) * rng.standard_normal((2, n))
    value = np.clip(mean + np.rint(far * deviation / 256).astype(int), -LARGEST, LARGEST)
    return tuple(each.astype(np.int32) for each in (value, mean, deviation))


@given(st.integers(0, 2**32))
def test_places_in_numpy_and_in_torch(seed: int) -> None:
    values, means, deviations = some_values(seed)
    own = Gaussian(means[..., None], deviations[..., None], True)
    other = on_torch(own)
    for mine, theirs in zip(own._fields, other._fields, strict=True):
        assert (mine.dtype, mine.tolist()) == (np.int32, theirs.tolist())
    symbols, sizes, places = own.split(values)
    split = other.split(torch.from_numpy(values))
    for mine, theirs in zip((symbols, sizes, places), split, strict=True):
        assert (mine.dtype, mine.tolist()) == (np.int32, theirs.tolist())
    assert np.array_equal(own.sizes(symbols), gaussian_places.sizes(split[0], other._fields[0]).numpy())
    assert np.array_equal(own.join(symbols, places), values)
    assert np.array_equal(other.join(*split[::2]).numpy(), values)


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 600))
def test_values_are_coded_alike_by_loops_and_by_symbols(seed: int, lanes: int, n: int) -> None:
    """Pushed, popped again, and popped from any message: with every backend the same."""
    rng = np.random.default_rng(seed)
    values, means, deviations = some_values(seed, n)
    words = [
        (rng.integers(1 << 24, 1 << 32, lanes, dtype=np.uint32), rng.integers(0, 255, 6 * n + 99, np.uint8))
        for _ in range(2)
    ]
    results = []
    for backend, loops in (("numba", True), ("numba", False), ("torch", False)):
        message, own = unflatten(words, backend), Gaussian(means[..., None], deviations[..., None], True)
        with pytest.MonkeyPatch.context() as patch:
            if not loops:
                patch.setattr(NumbaStack, "push_values", TorchStack.push_values)
                patch.setattr(NumbaStack, "pop_values", TorchStack.pop_values)
            drawn = pop_values(message, own, values.shape)
            after = message.flatten()
            push_values(message, own, drawn)
            back = message.flatten()
            push_values(message, own, values)
            results.append([each.tolist() for pair in after + message.flatten() for each in (*pair, drawn)])
            assert np.array_equal(pop_values(message, own, values.shape), values)
        for given_words, own_words in zip(words, back, strict=True):
            same = all(np.array_equal(one, other) for one, other in zip(given_words, own_words, strict=True))
            assert same or abs(drawn).max() == LARGEST  # bounded, so that others are pushed than were popped
    assert results[0] == results[1] == results[2]


@given(st.integers(0, 2**32))
def test_loops_say_what_is_wrong(seed: int) -> None:
    """A value too far from its mean where there is no floor, values out of range, and messages with too few words."""
    values, means, deviations = some_values(seed, 100)
    own, far = Gaussian(means[..., None], deviations.clip(max=1 << 20)[..., None], False), means.copy()
    far[1, 99] += -(1 << 20) if far[1, 99] > 0 else 1 << 20
    with pytest.raises(FormatError, match="a symbol that its distribution does not have"):
        push_values(empty(2, 3), own, far)
    with pytest.raises(ValueError, match="values"):
        push_values(empty(2, 3), own, far + (1 << 28))
    with pytest.raises(MessageExhausted):
        pop_values(empty(2, 3), own, values.shape)


@given(st.lists(st.integers(0, 16), min_size=1, max_size=40), st.integers(0, 2**32))
def test_bits(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    symbols = np.array([[int(rng.integers(1 << size)) for size in sizes]], np.int32)
    block = Bits(np.array(sizes, np.int32)[None, :, None])
    flat = []
    for backend in ("numba", "torch"):
        message = empty(1, 2, backend)
        message.push(block, symbols)
        flat.append(message.flatten()[0])
        assert np.array_equal(message.pop(block), symbols)
        assert message.is_empty()
    assert np.array_equal(flat[0][1], flat[1][1])
    assert 8 * len(flat[0][1]) <= sum(sizes) + 16


def test_no_bits_leave_a_message_as_it_is() -> None:
    message = empty(1, 3)
    message.push(Bits(np.zeros((1, 100, 1), np.int32)), np.zeros((1, 100), np.int32))
    assert message.is_empty()


@pytest.mark.parametrize("deviation", [2**8 * 16, 2**8 * 31, 5000, 2**8 * 100, 2**8 * 50000, 12345678])
@pytest.mark.parametrize("floor", [False, True])
def test_it_costs_what_the_density_says(deviation: int, floor: bool) -> None:
    """Of values drawn from the Gaussian itself: within 0.0004 bit for each (0.0001 and the floor)."""
    rng, n = np.random.default_rng(0), 200_000
    mean = 12345 + rng.integers(0, 1 << 12, n)
    sigma = deviation / 256
    values = np.rint(mean + sigma * np.clip(rng.standard_normal(n), -3.4, 3.4)).astype(np.int32)
    own = Gaussian(mean.astype(np.int32)[None, :, None], np.full((1, n, 1), deviation, np.int32), floor)
    symbols, sizes, _ = own.split(values[None])
    prepared = own.prepare(0, n)
    freq = own.cum(prepared, symbols.astype(np.int64) + 1) - own.cum(prepared, symbols.astype(np.int64))
    bits = (16 - np.log2(freq) + sizes).mean()
    z = (values - mean) / sigma
    ideal = float(np.mean(0.5 * z**2) + math.log(sigma) + 0.5 * math.log(2 * math.pi)) / math.log(2)
    assert abs(bits - ideal) < 0.0004


def test_a_popped_value_is_never_far_and_a_far_one_cannot_be_pushed_back() -> None:
    own = Gaussian(np.zeros((1, 1, 1), np.int32), np.full((1, 1, 1), 16 << 8, np.int32), False)
    symbols, _, _ = own.split(np.array([[3000]], np.int32))
    with pytest.raises(FormatError):
        empty(1, 1).push(own, symbols)
    with pytest.raises(FormatError):
        push_values(empty(1, 1), own, np.array([[3000]], np.int32))


@pytest.mark.parametrize(("mean", "deviation"), [(LARGEST + 1, 256), (-LARGEST - 1, 256), (0, 255), (0, (1 << 27) + 1)])
def test_parameters_out_of_range_are_refused(mean: int, deviation: int) -> None:
    with pytest.raises(ValueError, match="not all in"):
        Gaussian(np.array([[[mean]]], np.int32), np.array([[[deviation]]], np.int32), True)
    with pytest.raises(ValueError, match="not all in"):
        Bits(np.array([[[17]]], np.int32))
    own = Gaussian(np.zeros((1, 1, 1), np.int32), np.full((1, 1, 1), 256, np.int32), True)
    with pytest.raises(ValueError, match="not all in"):
        own.split(np.array([[LARGEST + 1]], np.int32))


def test_flow_tables_are_the_formulas_rounded() -> None:
    from decimal import localcontext

    tables: dict[str, Any] = {name: table.tolist() for name, table in flow_tables()._asdict().items()}
    formulas = {
        "tail": make_tables.tail,
        "log": make_tables.binary_log,
        "quantile": make_tables.quantile,
        "octaves": make_tables.octaves,
    }
    with localcontext(prec=make_tables.DIGITS):
        for name, formula in formulas.items():
            places = {*range(0, len(tables[name]), 13), len(tables[name]) - 1}
            assert {i: tables[name][i] for i in places} == {i: make_tables.nearest(formula(i)) for i in places}

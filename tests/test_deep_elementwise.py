"""What runs between matrix products of 16-bit models: the compiled loops give the integers of the torch functions."""

from typing import Any

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from numcodecs_bitswap.nets import deep_numba, deep_torch
from test_elementwise import integers, seeds, sizes


def assert_same(function: str, *arguments: Any) -> None:
    one, other = (getattr(ops, function)(*arguments) for ops in (deep_torch, deep_numba))
    for a, b in zip(*((each,) if isinstance(each, Tensor) else each for each in (one, other)), strict=True):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)


def grid(rng: np.random.Generator, size: Any) -> Tensor:
    """Flat, with one far value, or of all values."""
    low, high = sorted(rng.integers(0, 65536, 2).tolist())
    return integers(rng, *((0, 65535) if rng.random() < 0.3 else (low, min(high, low + 50))), size, np.int32)


@given(sizes, seeds)
def test_windows(size: tuple[int, int, int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    assert_same("inputs_a", grid(rng, size))
    assert_same("inputs_b", grid(rng, size), grid(rng, size))
    double = grid(rng, (size[0], 2 * size[1], 2 * size[2], size[3]))
    assert_same("inputs_b", double[:, ::2, ::2], double[:, 1::2, 1::2])


@given(sizes, st.integers(1, 4), st.integers(0, 1), st.integers(0, 1), seeds)
def test_parameters(size: tuple[int, int, int, int], k: int, rows: int, columns: int, seed: int) -> None:
    """Also where the last row or column of pixels does not exist."""
    rng = np.random.default_rng(seed)
    n, h, w, c = size
    y = integers(rng, -9000, 9000, (n, h, w, 3 * k * c + c * (c - 1) // 2 + 5), np.int32)
    added = integers(rng, -200, 200, (n, h, w, 3 * k + 2), np.int32)
    base, g = integers(rng, 0, 32 * 65535, size, np.int32), integers(rng, 2, 17, size, np.int32)
    pixels = grid(rng, size)[:, : h - rows, : w - columns]
    for ch in range(c):
        assert_same("mixtures", y, 5, None, base, g, pixels, ch, k)
        assert_same("mixtures", y, 5, added, base, g, pixels, ch, k)
        assert_same("with_deviations", integers(rng, -127, 127, (n, h, w, 8), np.int8), pixels, base, g, ch)


@given(st.lists(st.integers(0, 2**31 - 1), min_size=1))
def test_bit_length(values: list[int]) -> None:
    assert deep_torch.bit_length(torch.tensor(values)).tolist() == [value.bit_length() for value in values]


@given(st.integers(0, 65535), st.integers(0, 65535))
def test_inputs_fit_and_are_relative_to_the_noise(level: int, size: int) -> None:
    """The largest steps there are still have codes in int8; a scaled picture gives the same differences."""
    rng = np.random.default_rng(size)
    noise = rng.integers(-128, 128, (1, 8, 8, 1))
    c = torch.from_numpy((noise * size // 256 + level).clip(0, 65535).astype(np.int32))
    u, _, g = deep_torch.inputs_a(c)
    assert set(g.unique().tolist()) <= set(range(2, 18))
    assert torch.equal(u[..., 17], (8 * g[..., 0] - 72).to(torch.int8))
    one, two = (deep_torch.inputs_a(torch.from_numpy((4096 + noise * by).astype(np.int32)))[0] for by in (1, 8))
    assert torch.equal(one[..., :16], two[..., :16])

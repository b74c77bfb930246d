"""What runs between networks: the compiled loops give the integers of the torch functions."""

from typing import Any

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from numcodecs_bitswap.nets import numba_ops, torch_ops

sizes = st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 7), st.sampled_from([1, 3]))
seeds = st.integers(0, 2**32)


def both(function: str, *arguments: Any) -> list[Any]:
    """The results of the two, of numpy arrays and of tensors of the same strides."""
    given = [torch.from_numpy(each) if isinstance(each, np.ndarray) else each for each in arguments]
    return [getattr(numba_ops, function)(*arguments), getattr(torch_ops, function)(*given)]


def assert_same(function: str, *arguments: Any) -> None:
    one, other = (each if isinstance(each, tuple) else (each,) for each in both(function, *arguments))
    for a, b in zip(one, other, strict=True):
        assert a.dtype == b.numpy().dtype
        assert np.array_equal(a, b.numpy())


def integers(rng: np.random.Generator, low: int, high: int, shape: Any, dtype: Any) -> NDArray[Any]:
    """Mostly extreme values."""
    return rng.choice([low, high, *rng.integers(low, high + 1, 5)], shape).astype(dtype)


@given(sizes, seeds)
def test_windows(size: tuple[int, int, int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    c, d = (integers(rng, 0, 255, size, np.int16) for _ in range(2))
    assert_same("inputs_a", c)
    assert_same("inputs_b", c, d)
    double = rng.integers(0, 256, (size[0], 2 * size[1], 2 * size[2], size[3])).astype(np.int16)
    assert_same("inputs_b", double[:, ::2, ::2], double[:, 1::2, 1::2])


@given(sizes, st.integers(1, 4), st.integers(0, 1), st.integers(0, 1), seeds)
def test_parameters(size: tuple[int, int, int, int], k: int, rows: int, columns: int, seed: int) -> None:
    """Also where the last row or column of pixels does not exist."""
    rng = np.random.default_rng(seed)
    n, h, w, c = size
    outputs = 3 * k * c + c * (c - 1) // 2
    y = integers(rng, -9000, 9000, (n, h, w, outputs + 5), np.int32)
    added = integers(rng, -200, 200, (n, h, w, 3 * k + 2), np.int32)
    base = integers(rng, 0, 8 * 4 * 255, size, np.int16)
    pixels = integers(rng, 0, 255, size, np.int16)[:, : h - rows, : w - columns]
    for ch in range(c):
        assert_same("mixtures", y, 5, None, base, pixels, ch, k)
        assert_same("mixtures", y, 5, added, base, pixels, ch, k)
        assert_same("with_deviations", integers(rng, -127, 127, (n, h, w, 8), np.int8), pixels, base, ch)

"""Integer samples as numbers from zero."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from numcodecs_bitswap import samples
from strategies import assert_identical

DTYPES = ["|u1", "|i1", "<u2", ">u2", "<i2", ">i2"]
integers = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(np.dtype(dtype), hnp.array_shapes(max_dims=3, max_side=9))
)


@given(integers)
def test_restored(array: NDArray[Any]) -> None:
    x, scale, m = samples.reduce(array)
    assert (x.min(), x.max()) == (0, m)
    assert np.gcd.reduce(x, axis=None) in (0, 1)
    assert_identical(samples.restore(x, scale, array.dtype), np.ascontiguousarray(array))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("step", [1, 3])
def test_offsets_and_steps_are_found(dtype: str, step: int) -> None:
    least = int(np.iinfo(dtype).min)
    x = np.random.default_rng(0).integers(0, 60, 900)
    x[:2] = 0, 1
    got, scale, m = samples.reduce((x * step + least + 40).astype(dtype))
    assert scale == (40, step, None)
    assert m == x.max()
    assert np.array_equal(got, x)


def test_extremes_and_constants() -> None:
    for values in ([-32768, 32767], [5, 5], [-1, 1]):
        x, scale, _ = samples.reduce(np.array(values, ">i2"))
        assert samples.restore(x, scale, np.dtype(">i2")).tolist() == values
    assert samples.reduce(np.full(3, 7, "<u2"))[1:] == ((7, 1, None), 0)


def test_levels_that_an_instrument_does_not_have_are_left_out() -> None:
    """An 8-bit camera, stretched: 256 of 436 levels."""
    counts = np.random.default_rng(0).integers(0, 256, 50_000)
    array = np.round(counts * 1.7).astype("<u2")
    x, scale, m = samples.reduce(array)
    assert scale.levels is not None
    assert m == 255
    assert np.array_equal(x, counts)
    assert_identical(samples.restore(x, scale, array.dtype), array)


def test_levels_that_are_rare_are_not_missing() -> None:
    """Few samples, each of another level; and a far outlier."""
    rng = np.random.default_rng(0)
    for values in (rng.integers(0, 65536, 3000), np.append(rng.normal(3000, 40, 50_000).round(), 60_000)):
        assert samples.reduce(values.astype("<u2"))[1].levels is None


def test_which_dtypes() -> None:
    texts = ("<u2", ">i2", "|u1", "|i1", "<u4", "<f2", "<M8[s]", "|S2")
    assert [text for text in texts if samples.is_integer(np.dtype(text))] == ["<u2", ">i2", "|u1", "|i1"]

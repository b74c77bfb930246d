"""16-bit samples as numbers from zero."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from numcodecs_bitswap import samples
from strategies import assert_identical

DTYPES = ["<u2", ">u2", "<i2", ">i2"]
arrays_16 = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(np.dtype(dtype), hnp.array_shapes(max_dims=3, max_side=9))
)


@given(arrays_16)
def test_restored(array: NDArray[Any]) -> None:
    x, scale = samples.reduce(array)
    assert x.min() == 0
    assert np.gcd.reduce(x, axis=None) in (0, 1)
    assert_identical(samples.restore(x, scale, array.dtype), np.ascontiguousarray(array))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("step", [1, 16, 37])
def test_offsets_and_steps_are_found(dtype: str, step: int) -> None:
    least = -32768 if "i" in dtype else 0
    x = np.random.default_rng(0).integers(0, 1500, 9000)
    x[:2] = 0, 1
    array = (x * step + least + 40).astype(dtype)
    got, scale = samples.reduce(array)
    assert scale == (40, step)
    assert np.array_equal(got, x)


def test_extremes_and_constants() -> None:
    for values in ([-32768, 32767], [5, 5], [-1, 1]):
        x, scale = samples.reduce(np.array(values, ">i2"))
        assert samples.restore(x.copy(), scale, np.dtype(">i2")).tolist() == values
    assert samples.reduce(np.full(3, 7, "<u2"))[1] == (7, 1)


def test_which_dtypes() -> None:
    assert [
        text for text in ("<u2", ">i2", "|u1", "<u4", "<f2", "<M8[s]", "|S2") if samples.is_deep(np.dtype(text))
    ] == [
        "<u2",
        ">i2",
    ]

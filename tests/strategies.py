"""Hypothesis strategies and pictures shared by the tests: every array that numcodecs or Zarr can hand over."""

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

PLAIN = [
    "?",
    "u1",
    "<u2",
    ">u2",
    "<i4",
    ">i4",
    "<i8",
    ">u8",
    "<f2",
    ">f4",
    "<f8",
    "<c8",
    ">c16",
    "S1",
    "S5",
    "<U3",
    ">U2",
    "V7",
    "<M8[s]",
    ">M8[ns]",
    "<M8[25us]",
    "<m8[D]",
    "<m8",
    "g",
]
STRUCTURED: list[Any] = [
    [("a", "<i4"), ("b", ">f8")],
    [("s", "S3", (2, 2)), ("inner", [("x", "u1"), ("y", "<u2", 3)])],
    [(("title", "name"), "<f4"), ("é", "?")],
    np.dtype([("x", "u1"), ("y", "<f8")], align=True),
    np.dtype({"names": ["x", "y"], "formats": ["u1", "<u4"], "offsets": [2, 9], "itemsize": 20}),
]

dtypes: st.SearchStrategy[np.dtype[Any]] = st.one_of(
    st.sampled_from(PLAIN).map(np.dtype), st.sampled_from(STRUCTURED).map(np.dtype), hnp.scalar_dtypes()
)
shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)


@st.composite
def arrays(draw: st.DrawFn, dtype: st.SearchStrategy[np.dtype[Any]] = dtypes, shape: Any = shapes) -> NDArray[Any]:
    """Arrays of every dtype, shape, memory order and stride; constant, few-valued and random; some read-only."""
    of = draw(dtype)
    size = draw(shape)
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    levels = draw(st.sampled_from([1, 3, 256]))
    # Twice the size along every axis, so that the result can be a strided view of it.
    double = tuple(2 * n for n in size)
    data = rng.integers(0, levels, int(np.prod(double)) * of.itemsize, dtype=np.uint8)
    order = draw(st.sampled_from("CF"))
    full: NDArray[Any] = np.ndarray(double, of, data, order=order)
    steps = draw(st.sampled_from([None, 2, -2, -1]))
    if steps is None:
        array = np.array(full[tuple(slice(n) for n in size)], order=order)
    else:
        # The dots keep 0-d arrays arrays: without them an index takes the item out.
        array = full[(*(slice(None, None, steps) for _ in size), ...)][(*(slice(n) for n in size), ...)]
    if draw(st.booleans()):
        array.flags.writeable = False
    return array


def memory(array: NDArray[Any]) -> bytes:
    """The bytes of a contiguous array, in memory order."""
    return array.tobytes(order="A")


def assert_identical(decoded: NDArray[Any], array: NDArray[Any]) -> None:
    """Same bytes, dtype and shape; same memory order where the array has one."""
    assert decoded.dtype == array.dtype
    assert decoded.dtype.str == array.dtype.str
    assert decoded.shape == array.shape
    if array.nbytes:
        # As void, because numpy leaves out the bytes between fields when it copies a strided structured array.
        void = f"V{array.dtype.itemsize}"
        assert decoded.view(void).tobytes() == array.view(void).tobytes()
    if array.flags.forc:
        assert decoded.flags.c_contiguous == array.flags.c_contiguous
        assert decoded.flags.f_contiguous == array.flags.f_contiguous


def picture(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.uint8]:
    """A smooth uint8 image (h, w) or (h, w, c) with some noise: what the models are for."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    waves = sum(
        amplitude * np.sin(x * fx + y * fy + phase)
        for amplitude, fx, fy, phase in zip(
            rng.uniform(8, 30, 5), rng.normal(0, 0.1, 5), rng.normal(0, 0.1, 5), rng.uniform(0, 6, 5), strict=True
        )
    )
    image = 128 + waves if len(shape) == 2 else 128 + np.multiply.outer(waves, np.linspace(0.8, 1.1, shape[2]))
    return np.clip(image + rng.normal(0, 2, shape), 0, 255).astype(np.uint8)

"""Structured dtypes, field by field: every byte comes back, those between fields too."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from numcodecs_bitswap import BBANS, BitSwap, FormatError, LocalBitsBack
from numcodecs_bitswap.chunk.coding import Encoding, structured
from numcodecs_bitswap.chunk.fields import sized
from numcodecs_bitswap.chunk.frame import Header, Route, build, parse
from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.options import Options
from pictures import photograph
from reference import frames as reference_frames
from strategies import assert_identical

Array = NDArray[Any]
KINDS = {
    "numbers": np.dtype([("t", "<M8[s]"), ("x", "<f4"), ("y", ">f8"), ("q", "u1")]),
    "between": np.dtype([("u", "i1"), ("v", "<f4")], align=True),
    "nested": np.dtype([("a", [("b", "<i2"), ("c", [("d", "?"), ("e", "S3")])]), ("f", "<c8")]),
    "arrays": np.dtype([("m", "<f4", (2, 3)), ("rgb", "u1", (3,)), ("none", "S0")]),
}


def records(dtype: np.dtype[Any], *shape: int) -> Array:
    """Items whose bytes are walks, so that there is something to gain; those between fields, too."""
    rng = np.random.default_rng(0)
    steps = rng.integers(-2, 3, (int(np.prod(shape)), dtype.itemsize))
    walk = steps.cumsum(0).astype(np.uint8)
    return walk.view(dtype if dtype.itemsize else "V0").reshape(shape)


@pytest.mark.parametrize("layout", ["C", "F", "strided"])
@pytest.mark.parametrize("kind", KINDS)
def test_records_come_back(kind: str, layout: str) -> None:
    array = records(KINDS[kind], 70, 31)
    array = {"C": array, "F": np.asfortranarray(array), "strided": array[::2, ::-1]}[layout]
    frame = BitSwap().encode(array)
    assert_identical(BitSwap().decode(frame), array)
    assert_identical(reference_frames.decode(frame, lambda model: catalog.find(model).path), array)


def test_fields_are_worth_it() -> None:
    array = np.zeros(9000, KINDS["numbers"])
    rng = np.random.default_rng(1)
    array["t"] = 60 * np.arange(9000)
    array["x"] = np.round(rng.normal(0, 0.3, 9000).cumsum(), 2)
    array["y"] = rng.normal(0, 3, 9000).astype(int).cumsum()
    frame = BBANS().encode(array)
    assert frame[5] == Route.FIELDS
    alone = sum(len(BitSwap().encode(np.ascontiguousarray(array[name]))) for name in array.dtype.names or ())
    assert len(frame) < alone + 150 < array.nbytes / 4


def test_when_fields_are_tried() -> None:
    array = records(KINDS["numbers"], 1100)
    assert structured.is_tried(array, Options(), "bit_swap")
    assert structured.is_tried(array, Options(model="universal-v1"), "local_bits_back")
    assert not structured.is_tried(array, Options(), "local_bits_back")
    assert not structured.is_tried(array, Options(model="tiny-rgb8-v1"), "bit_swap")
    assert not structured.is_tried(array[:1000], Options(), "bit_swap")
    assert not structured.is_tried(np.zeros(1100), Options(), "bit_swap")
    assert LocalBitsBack().encode(array)[5] != Route.FIELDS


def test_damaged_payloads_raise() -> None:
    array = records(np.dtype([("a", "<i2"), ("b", "<i2")]), 1100)
    header = Header(Route.FIELDS, 0, "C", array.dtype, array.shape)

    def frame_of(part: Array) -> bytes:
        return Encoding(part, Options(), "bit_swap", "C").finish()

    a, b = (sized(frame_of(np.ascontiguousarray(array[name]))) for name in "ab")
    other = sized(frame_of(np.ascontiguousarray(array["a"][:1099])))
    float_ = sized(frame_of(np.ascontiguousarray(array["a"]).view("<f2")))
    for payload in (b"", a, a + b + b"\0", a + other, float_ + b, a + b[:-1], a + sized(b"no frame")):
        with pytest.raises(FormatError):
            BitSwap().decode(build(header, payload))
    plain = Header(Route.FIELDS, 0, "C", np.dtype("<i4"), array.shape)
    with pytest.raises(FormatError, match="no fields"):
        BitSwap().decode(build(plain, a + b))


def test_frames_of_models_are_no_fields() -> None:
    image = np.ascontiguousarray(photograph()[:40, :50, 1])
    frame = BitSwap(model="tiny-gray8-v1").encode(image)
    assert parse(memoryview(frame))[0].route == Route.MODEL
    header = Header(Route.FIELDS, 0, "C", np.dtype([("a", "u1", (50,))]), (40,))
    with pytest.raises(FormatError, match="model route"):
        BitSwap().decode(build(header, sized(frame)))

"""Arrays of 16-bit samples through the codecs: whatever they hold, they come back and are no larger than stored."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from numcodecs_bitswap import BBANS, BitSwap, FormatError, ModelError, chunk, stored
from numcodecs_bitswap.frame import ModelPayload, Route, build, build_model, parse, parse_model
from numcodecs_bitswap.patches import Axes
from numcodecs_bitswap.samples import Scale
from numcodecs_bitswap.zarr3 import BBANSCodec, BitSwapCodec
from random_models import random_hierarchy
from strategies import assert_identical, memory, picture

MODEL = "science-gray16-v1"
DTYPES = ["<u2", ">u2", "<i2", ">i2"]
STORED_HEADER = 60


@pytest.fixture(scope="session", params=[BitSwap, BBANS], ids=lambda each: each.__name__)
def codec_class(request: pytest.FixtureRequest) -> Any:
    """The codecs that have models of 16-bit samples."""
    return request.param


def route(frame: bytes) -> Route:
    return Route(frame[5])


def samples(kind: str, shape: tuple[int, ...], dtype: str, seed: int) -> NDArray[Any]:
    """Pictures of 16-bit samples of many kinds."""
    rng = np.random.default_rng(seed)
    low = -32768 if "i" in dtype else 0
    smooth = np.stack([picture(shape[-2:], 100 * seed + k) for k in range(math.prod(shape[:-2]))]).reshape(shape)
    smooth = smooth.astype(np.int64)
    x = {
        "smooth": lambda: smooth * 40 + rng.integers(-30, 30, shape),
        "steep": lambda: smooth * 257 - rng.integers(0, 9, shape),
        "sparse steps": lambda: smooth * 16 + 5,
        "signed": lambda: smooth - 120 - low,
        "constant": lambda: np.full(shape, rng.integers(65536)),
        "noise": lambda: rng.integers(0, 65536, shape),
        "extremes": lambda: rng.choice([0, 65535], shape),
        "smooth with extremes": lambda: np.where(rng.random(shape) < 0.05, rng.choice([0, 65535], shape), smooth + 300),
        "mostly zero": lambda: np.where(rng.random(shape) < 0.02, smooth * 100, 0),
        "at the top": lambda: np.minimum(65535, smooth * 100 + 50000),
    }[kind]()
    return (x.clip(0, 65535) + low).astype(dtype)


KINDS = ["smooth", "steep", "sparse steps", "signed", "constant", "noise", "extremes", "smooth with extremes"]
KINDS += ["mostly zero", "at the top"]
shapes = hnp.array_shapes(min_dims=2, max_dims=2, min_side=8, max_side=70) | st.just((2, 3, 23, 30))


@settings(max_examples=60)
@given(
    st.sampled_from(KINDS),
    shapes,
    st.sampled_from(DTYPES),
    st.sampled_from(["C", "F", "strided", "read-only"]),
    st.integers(0, 9),
)
def test_every_array_comes_back(
    codec_class: Any, kind: str, shape: tuple[int, ...], dtype: str, layout: str, seed: int
) -> None:
    array = samples(kind, shape, dtype, seed)
    if layout == "F":
        array = np.asfortranarray(array)
    if layout == "strided":
        array = np.repeat(array, 2, axis=0)[::-2]
    if layout == "read-only":
        array.flags.writeable = False
    frame = codec_class(model=MODEL).encode(array)
    assert_identical(codec_class().decode(frame), array)
    assert len(frame) <= len(stored.encode(np.frombuffer(memory(array), np.uint8), 2)[1]) + STORED_HEADER


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["smooth", "steep", "sparse steps", "signed"])
def test_the_model_is_used_by_default(kind: str, dtype: str) -> None:
    """Also for three channels, of which there is no model: each is an image."""
    for shape in ((96, 96), (64, 50, 3)):
        array = samples(kind, shape if len(shape) == 2 else (3, *shape[:2]), dtype, 1)
        if len(shape) == 3:
            array = np.moveaxis(array, 0, -1).copy()
        frame = BitSwap().encode(array)
        assert frame == BitSwap(model=MODEL, channel_axis=2 if len(shape) == 3 else None).encode(array)
        assert route(frame) == Route.MODEL
        assert_identical(BitSwap().decode(frame), array)


def test_offset_and_step_are_in_the_frame_and_cost_nothing() -> None:
    """The same picture, shifted, spread, signed or of the other byte order, has the same message."""
    x = samples("smooth", (96, 96), "<u2", 0).astype(np.int64) // 8
    sizes, messages = set(), set()
    for dtype, step, offset in [("<u2", 1, 0), (">u2", 16, 3), ("<i2", 4, -32768), (">i2", 1, -500), ("<u2", 1, 63000)]:
        array = ((x - x.min()) * step + offset).astype(dtype)
        frame = BitSwap(model=MODEL).encode(array)
        payload = parse_model(*parse(memoryview(frame)))
        assert payload.scale == Scale(offset + (32768 if "i" in dtype else 0), step)
        assert_identical(BitSwap().decode(frame), array)
        sizes.add(len(frame) // 8)
        messages.add(payload.tail.tobytes())
    assert len(messages) == 1


@pytest.mark.parametrize("numba", [True, False], ids=["numba", "torch"])
def test_the_same_bytes_without_numba(monkeypatch: pytest.MonkeyPatch, numba: bool) -> None:
    from numcodecs_bitswap.nets import elementwise
    from numcodecs_bitswap.rans import message

    array = samples("smooth", (61, 45), "<u2", 3)
    frame = BitSwap(model=MODEL).encode(array)
    assert route(frame) == Route.MODEL
    if not numba:
        for module in (elementwise, message):
            monkeypatch.setattr(module, "find_spec", lambda name: None)
        elementwise.operations.cache_clear()
        elementwise.deep_operations.cache_clear()
    try:
        assert BitSwap(model=MODEL).encode(array) == frame
        assert_identical(BitSwap().decode(frame), array)
    finally:
        elementwise.operations.cache_clear()
        elementwise.deep_operations.cache_clear()


@pytest.fixture(scope="module")
def random_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Path]]:
    """By number of channels."""
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUMCODECS_BITSWAP_MODELS", str(folder))
        yield {channels: random_hierarchy(folder, channels=channels, levels=65536) for channels in (1, 3)}


def test_a_model_of_8_bits_leaves_16_bit_arrays_stored() -> None:
    array = samples("smooth", (60, 60), "<u2", 0)
    for model in ("tiny-gray8-v1", "tiny-rgb8-v1"):
        frame = BitSwap(model=model).encode(array)
        assert route(frame) != Route.MODEL
        assert_identical(BitSwap().decode(frame), array)


def test_channels_of_a_16_bit_model(random_models: dict[int, Path]) -> None:
    array = samples("smooth", (60, 60), "<u2", 0)
    assert_identical(BitSwap().decode(BitSwap(model=random_models[1].stem).encode(array)), array)
    with pytest.raises(ModelError, match="3 channel"):
        BitSwap(model=random_models[3].stem).encode(array)


def test_8_bit_arrays_with_a_16_bit_model() -> None:
    array = picture((90, 80))
    frame = BitSwap(model=MODEL).encode(array)
    assert route(frame) == Route.MODEL
    assert_identical(BitSwap().decode(frame), array)


def test_a_frame_of_16_bit_samples_names_such_a_model() -> None:
    frame = BitSwap(model=MODEL).encode(samples("smooth", (60, 60), "<u2", 0))
    header, payload = parse(memoryview(frame))
    fields = vars(parse_model(header, payload))
    other = parse_model(*parse(memoryview(BitSwap(model="tiny-gray8-v1").encode(picture((60, 60)))))).model_id
    with pytest.raises(FormatError, match="16-bit samples in a frame of model tiny-gray8-v1"):
        BitSwap().decode(build(header, build_model(ModelPayload(**fields | {"model_id": other}))))
    for scale in ((1 << 16, 1), (0, 0), (0, 1 << 16)):
        with pytest.raises(FormatError, match="out of range"):
            BitSwap().decode(build(header, build_model(ModelPayload(**fields | {"scale": Scale(*scale)}))))


@pytest.mark.parametrize(
    ("array", "worth"),
    [
        (samples("smooth", (32, 32), "<u2", 0), True),
        (samples("noise", (64, 64), "<u2", 0), False),
        (samples("noise", (64, 64), "<u2", 0) // 100, False),  # noise, whatever its range
        (samples("smooth", (7, 500), ">i2", 0), False),
        (samples("constant", (64, 64), "<u2", 0), False),
    ],
)
def test_when_a_model_is_tried(array: NDArray[Any], worth: bool) -> None:
    size = len(stored.encode(np.frombuffer(memory(array), np.uint8), 2)[1])
    assert chunk.worth_a_model(array, Axes(0, 1, None), size) == worth


@pytest.mark.parametrize("dtype", DTYPES)
def test_zarr_arrays_of_both_formats(codec_class: Any, dtype: str) -> None:
    """Of every byte order and memory order, with chunks at the edge; and in shards."""
    data = samples("smooth", (3, 70, 50), dtype, 2)
    serializer = {BitSwap: BitSwapCodec, BBANS: BBANSCodec}[codec_class](model=MODEL)
    version_3 = {"serializer": serializer, "compressors": None}
    for options in (
        {"zarr_format": 2, "compressors": codec_class(model=MODEL)},
        {"zarr_format": 2, "compressors": codec_class(model=MODEL), "order": "F"},
        version_3,
        {**version_3, "shards": (4, 80, 64)},
    ):
        store: dict[str, Any] = {}
        array = zarr.create_array(store, data=data, chunks=(2, 40, 32), **options)
        assert np.array_equal(array[:], data)
        assert array[:].dtype == data.dtype
        assert sum(len(v.to_bytes()) for v in array.store._store_dict.values()) < 0.9 * data.nbytes + 2000

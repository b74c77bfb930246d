"""codec.py and chunk.py: the numcodecs contract, on the stored routes and on the model's, and bad bytes."""

import array as pyarray
import copy
import importlib.metadata
import json
import pickle
import struct
import subprocess
import sys
import tracemalloc
import zlib
from typing import Any

import entrypoints
import numcodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from numcodecs_bitswap import BBANS, BitSwap, BitswapError, FormatError, LocalBitsBack, MissingModel, ModelError
from numcodecs_bitswap.chunk import model_route, patches, plan, stored
from numcodecs_bitswap.chunk.frame import Header, Route, build, parse
from numcodecs_bitswap.chunk.patches import Axes
from pictures import from_jpeg
from strategies import arrays, assert_identical, memory, picture
from tiny import tiny

CODECS = (BitSwap, BBANS, LocalBitsBack)
"""Models by channels."""
STORED_HEADER = 64


def route(frame: bytes) -> Route:
    return Route(frame[5])


def python(code: str) -> str:
    """What a program prints in a fresh interpreter."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120).stdout


# Configuration and discovery


def test_importing_and_constructing_load_nothing_heavy() -> None:
    code = """if True:
        import sys, time
        start = time.perf_counter()
        import numcodecs_bitswap
        print(time.perf_counter() - start)
        codec = numcodecs_bitswap.BitSwap(model="tiny-rgb8-v1", channel_axis=-1, spatial_axes=[0, 1])
        from numcodecs_bitswap.zarr3 import BitSwapCodec
        BitSwapCodec(model="tiny-rgb8-v1").to_dict()
        numcodecs_bitswap.set_device("cpu")
        assert not {"torch", "numba", "safetensors"} & set(sys.modules), "heavy"
    """
    assert float(python(code)) < 0.25


def test_small_arrays_load_no_model() -> None:
    code = """if True:
        import sys, numpy as np
        from numcodecs_bitswap import BitSwap
        rng = np.random.default_rng(0)
        for array in (np.arange(1000), rng.normal(size=(30, 30)), np.arange(100, dtype="u1").reshape(10, 10),
                      b"bytes" * 999, np.zeros((64, 64, 3), "u1"), np.ones(9999, "u1"), np.array(5, "u1"),
                      rng.integers(0, 256, (40, 40, 3), dtype="u1"), rng.integers(0, 2, (50, 50)) > 0):
            assert np.array_equal(BitSwap().decode(BitSwap().encode(array)), np.asarray(memoryview(array)))
        assert "torch" not in sys.modules
    """
    python(code)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"model": "tiny-rgb8-v1"},
        {"model": "0123456789abcdef" * 4},
        {"channel_axis": None},
        {"channel_axis": np.int64(-1), "spatial_axes": (np.int8(0), 1)},
        {"spatial_axes": [1, 2]},
    ],
)
def test_configuration_survives_json(options: Any, codec_class: Any) -> None:
    codec = codec_class(**options)
    config = json.loads(json.dumps(codec.get_config()))
    assert config["id"] == codec.codec_id
    assert numcodecs.get_codec(config) == codec
    assert eval(repr(codec)) == codec
    assert repr(codec).startswith(codec_class.__name__)
    assert pickle.loads(pickle.dumps(codec)) == codec == copy.deepcopy(codec)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"level": 3}, TypeError),
        ({"model": 7}, TypeError),
        ({"model": "../secret.safetensors"}, ModelError),
        ({"model": ""}, ModelError),
        ({"channel_axis": "last"}, TypeError),
        ({"channel_axis": 1.0}, TypeError),
        ({"channel_axis": True}, TypeError),
        ({"spatial_axes": [1]}, TypeError),
        ({"spatial_axes": None}, TypeError),
        ({"spatial_axes": [0, "1"]}, TypeError),
    ],
)
def test_wrong_options(options: Any, error: type[Exception], codec_class: Any) -> None:
    with pytest.raises(error):
        codec_class(**options)


def test_options_are_named(codec_class: Any) -> None:
    with pytest.raises(TypeError):
        codec_class("tiny-rgb8-v1")  # type: ignore[misc]


def test_discovery(codec_class: Any) -> None:
    name = codec_class.codec_id
    (ours,) = importlib.metadata.entry_points(group="numcodecs.codecs", name=name)
    assert ours.load() is codec_class
    assert isinstance(numcodecs.get_codec({"id": name}), codec_class)
    assert entrypoints.get_single("numcodecs.codecs", name).load() is codec_class


def test_each_codec_decodes_the_frames_of_the_other() -> None:
    image = picture((64, 64, 3))
    frames = [kind(model=tiny(kind)).encode(image) for kind in CODECS]
    assert len(set(frames)) == len(CODECS)
    for kind in CODECS:
        for frame in frames:
            np.testing.assert_array_equal(kind().decode(frame), image)


# Every array numcodecs can hand over


@given(arrays())
def test_every_array_comes_back(codec_class: Any, array: NDArray[Any]) -> None:
    frame = codec_class().encode(array)
    assert isinstance(frame, bytes)
    assert_identical(codec_class().decode(frame), array)


@given(arrays(), st.sampled_from([bytes, bytearray, memoryview, np.frombuffer]), st.booleans())
def test_out_takes_the_bytes_in_memory_order(codec_class: Any, array: NDArray[Any], kind: Any, flat: bool) -> None:
    frame = codec_class().encode(array)
    decoded = codec_class().decode(frame)
    buffer = np.frombuffer(frame, "i1") if kind is np.frombuffer else kind(frame)
    out: Any = bytearray(array.nbytes) if flat else np.empty_like(decoded)
    codec_class().decode(buffer, out=out)
    assert (bytes(out) if flat else memory(out)) == memory(decoded)


@given(st.binary(max_size=300))
def test_every_buffer_comes_back(codec_class: Any, content: bytes) -> None:
    whole = content[: len(content) // 8 * 8]
    buffers = [content, bytearray(content), memoryview(content), memoryview(content)[::-2], memoryview(whole).cast("d")]
    buffers += [pyarray.array(code, whole) for code in "bBhHiIlLqQfd"]
    for buffer in buffers:
        expected = np.asarray(memoryview(buffer))
        assert_identical(codec_class().decode(codec_class().encode(buffer)), expected)


def test_a_matrix_and_other_subclasses_come_back_as_arrays(codec_class: Any) -> None:
    array = np.arange(6.0).reshape(2, 3)
    for subclass in (np.ma.masked_array(array), array.view(np.recarray), array[:0].view(np.memmap)):
        decoded = codec_class().decode(codec_class().encode(subclass))
        assert type(decoded) is np.ndarray
        np.testing.assert_array_equal(decoded, np.asarray(subclass))


@pytest.mark.parametrize("dtype", ["O", [("a", "O")], "T"])
def test_objects_are_refused(dtype: Any, codec_class: Any) -> None:
    with pytest.raises(TypeError):
        codec_class().encode(np.zeros(3, dtype))
    with pytest.raises(TypeError):
        codec_class().decode(codec_class().encode(np.zeros(3)), out=np.zeros(3, object))


@pytest.mark.parametrize("buffer", ["text", [1, 2], 5, None])
def test_what_is_not_a_buffer_is_refused(buffer: Any, codec_class: Any) -> None:
    with pytest.raises(TypeError):
        codec_class().encode(buffer)
    with pytest.raises(TypeError):
        codec_class().decode(buffer)


def test_out_of_another_size_is_refused(codec_class: Any) -> None:
    frame = codec_class().encode(np.arange(10))
    for out in (np.empty(9, int), bytearray(81)):
        with pytest.raises(ValueError, match="80"):
            codec_class().decode(frame, out=out)


# The model's route

image_shapes = st.sampled_from([None, 3]).flatmap(
    lambda channels: hnp.array_shapes(min_dims=2, max_dims=2, min_side=8, max_side=70).map(
        lambda sides: sides if channels is None else (*sides, channels)
    )
)


@given(image_shapes, st.sampled_from(["C", "F", "strided", "read-only"]), st.integers(0, 9))
def test_every_image_comes_back(codec_class: Any, shape: tuple[int, ...], layout: str, seed: int) -> None:
    image = picture(shape, seed)
    if layout == "F":
        image = np.asfortranarray(image)
    if layout == "strided":
        image = np.repeat(image, 2, axis=0)[::-2]
    if layout == "read-only":
        image.flags.writeable = False
    codec = codec_class(model=tiny(codec_class, 1 if image.ndim == 2 else 3))
    frame = codec.encode(image)
    assert_identical(codec.decode(frame), image)
    contiguous = np.frombuffer(memory(image), np.uint8)
    assert len(frame) <= len(stored.encode(contiguous, 1)[1]) + STORED_HEADER


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((300, 270), {}),
        ((3, 40, 50), {"channel_axis": 0}),
        ((40, 3, 50), {"channel_axis": 1, "spatial_axes": [2, 0]}),
        ((5, 40, 50), {}),
        ((2, 3, 40, 50, 3), {}),
        ((40, 50, 1), {"channel_axis": 2}),
        ((40, 50, 4), {"channel_axis": -1}),
        ((40, 2, 50), {"spatial_axes": [0, 2]}),
    ],
)
def test_axes(shape: tuple[int, ...], options: Any, codec_class: Any) -> None:
    """Whichever axes are the image's, the model's route is taken and the array comes back."""
    has_three = any(shape[axis] == 3 for axis in [options.get("channel_axis", -1)])
    codec = codec_class(model=tiny(codec_class, 3 if has_three else 1), **options)
    image = np.empty(shape, np.uint8)
    axes = patches.image_axes(shape, codec.channel_axis, codec.spatial_axes)
    assert axes is not None
    planes = np.moveaxis(image, (axes.y, axes.x), (-2, -1))
    for seed, index in enumerate(np.ndindex(planes.shape[:-2])):
        planes[index] = picture(planes.shape[-2:], seed)
    frame = codec.encode(image)
    assert route(frame) == Route.MODEL
    assert_identical(codec.decode(frame), image)


def test_a_frame_decodes_with_any_configuration(codec_class: Any) -> None:
    image = picture((64, 64, 3))
    frame = codec_class(model=tiny(codec_class, 3)).encode(image)
    assert route(frame) == Route.MODEL
    np.testing.assert_array_equal(codec_class(model="unknown", channel_axis=0).decode(frame), image)


def test_bytes_are_a_function_of_values_and_layout(codec_class: Any) -> None:
    image = picture((64, 80, 3))
    strided = np.repeat(image, 2, axis=1)[:, ::2]
    assert (
        codec_class(model=tiny(codec_class, 3)).encode(strided)
        == codec_class(model=tiny(codec_class, 3)).encode(image)
        == codec_class(model=tiny(codec_class, 3)).encode(image.copy())
    )


@given(st.sampled_from(["<u2", ">u2", "<i2", ">i2"]), image_shapes, st.integers(0, 9))
def test_16_bit_images_are_stored(codec_class: Any, dtype: str, shape: tuple[int, ...], seed: int) -> None:
    """Whichever model is named."""
    image = (picture(shape, seed).astype(np.int64) * 40 - 300).astype(dtype)
    for model in ("auto", tiny(codec_class)):
        frame = codec_class(model=model).encode(image)
        assert route(frame) != Route.MODEL
        assert_identical(codec_class().decode(frame), image)


def test_axes_that_the_array_does_not_have(codec_class: Any) -> None:
    with pytest.raises(ValueError, match="axis 3"):
        codec_class(channel_axis=3).encode(picture((30, 30)))
    array = np.arange(900).astype("S3").reshape(30, 30)  # not an image: its axes do not matter
    np.testing.assert_array_equal(codec_class().decode(codec_class(channel_axis=3).encode(array)), array)


def test_a_model_of_other_channels_and_a_missing_model(codec_class: Any) -> None:
    with pytest.raises(ModelError, match="channel_axis"):
        codec_class(model=tiny(codec_class, 3)).encode(picture((30, 30)))
    with pytest.raises(MissingModel, match="no-such-model"):
        codec_class(model="no-such-model").encode(picture((30, 30)))


@pytest.mark.parametrize(
    ("array", "worth"),
    [
        (picture((32, 32)), True),
        (picture((22, 23)), False),  # 506 samples
        (picture((23, 23)), True),
        (picture((7, 500)), False),
        (picture((8, 500)), True),
        (np.tile(picture((8, 8)), (8, 8)) // 128 * 255, False),  # Zstandard needs less than 96 bytes
        (np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8), False),
        (np.random.default_rng(0).integers(0, 160, (64, 64), dtype=np.uint8), True),
    ],
)
def test_when_a_model_is_tried(array: NDArray[np.uint8], worth: bool) -> None:
    size = len(stored.encode(array.reshape(-1), 1)[1])
    assert plan.worth_a_model(array, Axes(0, 1, None), size) == worth


def test_lanes() -> None:
    sizes = [1, 4095, 4096, 8191, 8192, 64 * 64 * 3, 256 * 256 * 3, 2**21, 2**21 * 3, 2**30]
    assert [model_route.lanes(n) for n in sizes] == [1, 1, 1, 1, 2, 2, 32, 512, 512, 512]
    assert [model_route.lanes(n, levels=2) for n in (28 * 28, 28 * 28 * 10000)] == [1, 32]


# Bad bytes


def forged(frame: bytes, at: int, byte: int) -> bytes:
    """A frame with one byte changed and a frame checksum that fits it."""
    body = bytearray(frame)
    body[at] = byte
    body[6:10] = struct.pack("<I", zlib.crc32(body[10:], zlib.crc32(body[:6])))
    return bytes(body)


def frames(codec_class: Any) -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    named = {
        "raw": rng.integers(0, 256, 60, dtype=np.uint8),
        "zstd": np.frombuffer(b"a text, repeated. " * 5, np.uint8),
        "shuffle_zstd": rng.geometric(0.3, 100).astype("<u8"),
        "constant": np.full((9, 9), 7, ">i4"),
        "model": picture((24, 24, 3)),
    }
    made = {name: codec_class(model=tiny(codec_class, 3)).encode(array) for name, array in named.items()}
    made["planes"] = codec_class(model="universal-v1").encode(picture((20, 20)))
    made["bits_zstd"] = codec_class().encode(rng.integers(0, 2**20, 40).astype("<u8"))
    made["jpeg"] = codec_class(model="jpeg-v1").encode(from_jpeg(picture((24, 32)), "gray", (1, 1), 50))
    records = np.zeros((33, 32), [("a", "<i2"), ("b", "u1")])
    records["a"], records["b"] = rng.normal(0, 90, (33, 32)).cumsum(1), 7
    made["fields"] = codec_class(model="universal-v1").encode(records)
    assert {name: route(frame).name.lower() for name, frame in made.items()} == {name: name for name in made}
    return made


def test_every_prefix_raises(codec_class: Any) -> None:
    for frame in frames(codec_class).values():
        for length in range(len(frame)):
            with pytest.raises(FormatError):
                codec_class().decode(frame[:length])


def test_every_one_byte_change_raises(codec_class: Any) -> None:
    rng = np.random.default_rng(0)
    for frame in frames(codec_class).values():
        for at in range(len(frame)):
            with pytest.raises(FormatError):
                codec_class().decode(frame[:at] + bytes([frame[at] ^ rng.integers(1, 256)]) + frame[at + 1 :])


def test_a_forged_checksum_helps_nobody(monkeypatch: pytest.MonkeyPatch, codec_class: Any) -> None:
    """Changes that the frame checksum hides raise a typed error, or change nothing (patch sizes beyond the array)."""
    monkeypatch.setenv("NUMCODECS_BITSWAP_MAX_BYTES", "100000")
    rng = np.random.default_rng(0)
    for frame in frames(codec_class).values():
        array = codec_class().decode(frame)
        for at in sorted({*range(3, min(80, len(frame))), *rng.integers(80, max(len(frame), 81), 40)} - {6, 7, 8, 9}):
            if at >= len(frame):
                continue
            try:
                decoded = codec_class().decode(forged(frame, at, frame[at] ^ int(rng.integers(1, 256))))
            except BitswapError:
                continue
            assert decoded.tobytes(order="A") == array.tobytes(order="A")


@pytest.mark.parametrize("shape", [(2**31,), (2**20, 2**20), (2**62,)])
@pytest.mark.parametrize("kind", list(Route))
def test_a_stated_size_takes_no_memory(shape: tuple[int, ...], kind: Route, codec_class: Any) -> None:
    """The process-wide limit, and payloads that do not hold what the header says."""
    payload = {
        route: parse(memoryview(frame))[1] for route, frame in zip(Route, frames(codec_class).values(), strict=True)
    }[kind]
    if kind == Route.CONSTANT and shape == (2**31,):
        payload = payload[:2]  # one item would be a valid frame of 2 GiB
    if kind in (Route.MODEL, Route.JPEG):
        shape = (*shape[:1], 24, 3)
    frame = build(Header(kind, 0, "C", np.dtype("u1"), shape), payload)
    tracemalloc.start()
    try:
        with pytest.raises(FormatError):
            codec_class().decode(frame)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_the_limit_of_the_process(monkeypatch: pytest.MonkeyPatch, codec_class: Any) -> None:
    array = np.zeros(1000, "f8")
    frame = codec_class().encode(array)
    monkeypatch.setenv("NUMCODECS_BITSWAP_MAX_BYTES", "7999")
    with pytest.raises(FormatError, match="NUMCODECS_BITSWAP_MAX_BYTES"):
        codec_class().decode(frame)
    with pytest.raises(FormatError, match="NUMCODECS_BITSWAP_MAX_BYTES"):
        codec_class().encode(array)
    monkeypatch.setenv("NUMCODECS_BITSWAP_MAX_BYTES", "8000")
    np.testing.assert_array_equal(codec_class().decode(frame), array)

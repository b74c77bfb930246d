"""frame.py, dtypes.py and stored.py: every frame comes back, and bytes that are not a frame raise FormatError."""

import struct
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numcodecs.zstd import Zstd

from numcodecs_bitswap import FormatError
from numcodecs_bitswap.chunk import stored
from numcodecs_bitswap.chunk.dtypes import dtype_text, parse_dtype
from numcodecs_bitswap.chunk.frame import Header, ModelPayload, Route, build, build_model, parse, parse_model
from strategies import dtypes

HEADER = Header(Route.RAW, 0x12345678, "F", np.dtype(">u2"), (300, 2))


def with_checksum(frame: bytes | bytearray) -> memoryview:
    """The same bytes with a frame checksum that fits them: what a careful forger writes."""
    body = bytes(frame)
    return memoryview(body[:6] + struct.pack("<I", zlib.crc32(body[10:], zlib.crc32(body[:6]))) + body[10:])


headers = st.builds(
    Header,
    st.sampled_from(Route),
    st.integers(0, 2**32 - 1),
    st.sampled_from("CF"),
    dtypes.filter(lambda dtype: dtype.itemsize > 0),
    st.lists(st.integers(1, 2**10), max_size=4).map(tuple),
)


@given(headers, st.binary(max_size=64))
def test_parse_is_the_inverse_of_build(header: Header, payload: bytes) -> None:
    parsed, rest = parse(memoryview(build(header, payload)))
    assert (parsed, bytes(rest)) == (header, payload)
    assert parsed.dtype.str == header.dtype.str


def test_frame_in_bytes() -> None:
    """The table of FORMAT.md 1, byte by byte."""
    frame = build(HEADER, b"payload")
    assert frame[:6] == bytes([0x89, 0x42, 0x53, 1, 1, 0])
    assert frame[6:10] == struct.pack("<I", zlib.crc32(frame[10:], zlib.crc32(frame[:6])))
    assert frame[10:] == struct.pack("<I", 0x12345678) + b"\x01" + b"\x03>u2" + b"\x02\xac\x02\x02" + b"payload"


def test_every_prefix_raises() -> None:
    frame = build(HEADER, b"payload")
    for length in range(len(frame)):
        with pytest.raises(FormatError):
            parse(memoryview(frame[:length]))
    with pytest.raises(FormatError, match="truncated"):
        parse(memoryview(b""))


def test_every_one_byte_change_raises() -> None:
    frame = build(HEADER, b"payload")
    for at in range(len(frame)):
        for change in range(1, 256):
            altered = bytearray(frame)
            altered[at] ^= change
            with pytest.raises(FormatError):
                parse(memoryview(altered))


def test_foreign_and_newer_bytes_say_so() -> None:
    frame = bytearray(build(HEADER, b""))
    with pytest.raises(FormatError, match="magic"):
        parse(memoryview(Zstd().encode(b"something else")))
    for at, what in ((3, "newer version"), (4, "newer version"), (5, "route")):
        forged = frame.copy()
        forged[at] = 200
        with pytest.raises(FormatError, match=what):
            parse(with_checksum(forged))


def fields(
    layout: int = 0, dtype: bytes = b"|u1", shape: bytes = b"\x01\x04", route: int = 0, payload: bytes = b""
) -> memoryview:
    rest = bytes(4) + bytes([layout, len(dtype)]) + dtype + shape + payload
    return with_checksum(b"\x89BS\x01\x01" + bytes([route]) + bytes(4) + rest)


@pytest.mark.parametrize(
    ("forged", "what"),
    [
        (fields(layout=2), "layout"),
        (fields(dtype=b"|O"), "dtype"),
        (fields(dtype=b"i4,f4"), "dtype"),
        (fields(dtype=b"<u1"), "dtype"),
        (fields(dtype=b"\xff\xfe"), "dtype"),
        (fields(dtype=b"[1, 2]"), "dtype"),
        (fields(dtype=b'[["a","|O"]]'), "dtype"),
        (fields(dtype=b'{"a": 1}'), "dtype"),
        (fields(dtype=b"|V99999999999999999999"), "dtype"),
        (fields(dtype=b"[" * 100), "dtype"),
        (fields(shape=b"\x41" + b"\x01" * 65), "ndim"),
        (fields(shape=b"\x02\x01"), "truncated"),
        (fields(shape=b"\x01\x84\x00"), "shortest"),
        (fields(shape=b"\x01" + b"\xff" * 9 + b"\x01"), "longer than 9 bytes"),
        (fields(shape=b"\x02" + b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f" * 2), "too large"),
        (fields(shape=b"\x03\x00" + b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f" * 2), "too large"),
        (fields(shape=b"\x01\x00", payload=b"x"), "empty array"),
        (fields(shape=b"\x01\x00", route=3), "empty array"),
    ],
)
def test_fields_out_of_range(forged: memoryview, what: str) -> None:
    with pytest.raises(FormatError, match=what):
        parse(forged)


@given(st.text(alphabet='<>|=biufcmMSUVO0123456789[]",:{}()na', max_size=24))
def test_a_dtype_text_is_a_dtype_or_an_error(text: str) -> None:
    try:
        dtype = parse_dtype(text.encode())
    except FormatError:
        return
    assert parse_dtype(dtype_text(dtype).encode()) == dtype


@given(dtypes)
def test_dtypes_come_back(dtype: np.dtype[Any]) -> None:
    assert parse_dtype(dtype_text(dtype).encode()) == dtype


@pytest.mark.parametrize(
    "dtype",
    ["O", [("a", "O")], np.dtype({"names": ["x", "y"], "formats": ["<u4", "<u2"], "offsets": [0, 2]})],
)
def test_dtypes_without_a_text(dtype: Any) -> None:
    with pytest.raises(TypeError):
        dtype_text(np.dtype(dtype))


MODEL_HEADER = Header(Route.MODEL, 0, "C", np.dtype("u1"), (5, 16, 3, 24))
MODEL_PAYLOAD = ModelPayload(
    bytes(range(16)),
    (1, 3, 2),
    8,
    2,
    ((300, 0), (1, 1)),
    np.array([2**24, 2**32 - 1], np.uint32),
    np.array([1, 2, 255], np.uint8),
)


def test_model_payload_in_bytes() -> None:
    """The table of FORMAT.md 1.2, byte by byte, and back."""
    data = build_model(MODEL_PAYLOAD)
    assert data[:20] == bytes(range(16)) + bytes([1, 3, 2, 8])
    assert data[20:26] == bytes([2, 2]) + b"\xd8\x04" + bytes([3, 3])
    assert data[26:] == struct.pack("<2I3B", 2**24, 2**32 - 1, 1, 2, 255)
    parsed = parse_model(MODEL_HEADER, memoryview(data))
    np.testing.assert_equal(vars(parsed), vars(MODEL_PAYLOAD))


def test_every_prefix_of_a_model_payload_raises() -> None:
    data = build_model(MODEL_PAYLOAD)
    for length in range(len(data)):
        with pytest.raises(FormatError):
            parse_model(MODEL_HEADER, memoryview(data[:length]))
    with pytest.raises(FormatError):
        parse_model(MODEL_HEADER, memoryview(data + b"\0"))


@pytest.mark.parametrize(
    ("at", "byte", "what"),
    [
        (16, 4, "axes"),
        (16, 3, "axes"),
        (18, 0, "channels"),
        (19, 2, "patch"),
        (19, 13, "patch"),
        (20, 0, "lanes"),
        (21, 0, "groups"),
        (21, 100, "groups"),
        (24, 1, "no patches"),
        (25, 4, "fill"),
        (29, 0, "head"),
    ],
)
def test_model_fields_out_of_range(at: int, byte: int, what: str) -> None:
    data = bytearray(build_model(MODEL_PAYLOAD))
    data[at] = byte
    with pytest.raises(FormatError, match=what):
        parse_model(MODEL_HEADER, memoryview(data))


def test_the_model_route_holds_bytes_only() -> None:
    header = Header(Route.MODEL, 0, "C", np.dtype("i1"), (5, 16, 3, 24))
    with pytest.raises(FormatError, match="uint8"):
        parse_model(header, memoryview(build_model(MODEL_PAYLOAD)))


def data_for(route: Route) -> tuple[Any, int]:
    rng = np.random.default_rng(1)
    if route == Route.RAW:
        return rng.integers(0, 256, 1000, dtype=np.uint8), 2
    if route == Route.ZSTD:
        return np.frombuffer(b"a text, repeated. " * 50, np.uint8), 1
    if route == Route.SHUFFLE_ZSTD:
        return rng.geometric(0.3, 1000).astype("<u8").view(np.uint8), 8
    if route == Route.BITS_ZSTD:
        return rng.integers(0, 2**20, 999).astype("<u8").view(np.uint8), 8
    return np.tile(np.frombuffer(b"item", np.uint8), 100), 4


@pytest.mark.parametrize("route", sorted(set(Route) - {Route.MODEL, Route.PLANES, Route.JPEG, Route.FIELDS}))
def test_stored_routes(route: Route) -> None:
    data, itemsize = data_for(route)
    chosen, payload = stored.encode(data, itemsize)
    assert chosen == route
    assert len(payload) <= data.size
    np.testing.assert_array_equal(stored.decode(route, memoryview(payload), data.size, itemsize), data)
    for stated in (data.size - itemsize, data.size + itemsize):
        if route != Route.CONSTANT:
            with pytest.raises(FormatError):
                stored.decode(route, memoryview(payload), stated, itemsize)
    for length in range(len(payload)):
        with pytest.raises(FormatError):
            stored.decode(route, memoryview(payload)[:length], data.size, itemsize)


@given(st.binary(max_size=200), st.sampled_from([1, 2, 3, 8]))
def test_stored_bytes_come_back(content: bytes, itemsize: int) -> None:
    data = np.frombuffer(content[: len(content) // itemsize * itemsize], np.uint8)
    route, payload = stored.encode(data, itemsize)
    assert len(payload) <= data.size
    np.testing.assert_array_equal(stored.decode(route, memoryview(payload), data.size, itemsize), data)


def test_zstandard_takes_no_more_memory_than_the_header_states() -> None:
    bomb = memoryview(Zstd().encode(np.zeros(2**28, np.uint8)))
    twice = memoryview(bytes(Zstd().encode(bytes(1000))) * 2)
    # A valid frame of 1000 zeros that does not state its size: window 1 KiB, one run-length block.
    nameless = memoryview(b"\x28\xb5\x2f\xfd\x00\x00" + ((1000 << 3 | 1 << 1 | 1).to_bytes(3, "little")) + b"\0")
    np.testing.assert_array_equal(np.frombuffer(Zstd().decode(nameless), np.uint8), np.zeros(1000))
    tracemalloc.start()
    try:
        for payload in (bomb, twice, nameless):
            with pytest.raises(FormatError):
                stored.decode(Route.ZSTD, payload, 1000, 1)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()

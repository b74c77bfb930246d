"""Frame bytes and what they say: the last arrow of encode and the first of decode, in the order of FORMAT.md section 1.

`build` and `parse` handle the header, `build_model` and `parse_model` the payload of the model route (section 1.2);
stored payloads are `stored.py`'s. Nothing here takes memory in proportion to a number that a frame states: every length
is compared with the bytes that are there. Imports nothing of this package but the errors and the dtype texts.
"""

import math
import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from .dtypes import dtype_text, parse_dtype
from .errors import FormatError
from .samples import is_integer

BytesLike = bytes | memoryview

MAGIC = b"\x89BS"
VERSION = 1
CODECS = {1: "bit_swap", 2: "bb_ans", 3: "local_bits_back"}
"""The codec byte: how core mode 0 is coded (FORMAT.md 6.2)."""
NO_CHANNEL = 255
MOST_REFERENCES = 3
SAMPLES_LOG2 = 19
"""Samples to a byte of a message are fewer than 2^this, as no interval is larger than 65535."""
LARGEST = 1 << 62


class Route(IntEnum):
    """How the payload holds the decoded bytes (FORMAT.md 1)."""

    RAW = 0
    ZSTD = 1
    SHUFFLE_ZSTD = 2
    CONSTANT = 3
    MODEL = 4
    PLANES = 5


@dataclass(frozen=True)
class Header:
    """What a frame says about its array.

    Attributes
    ----------
    route : Route
    checksum : int
        CRC-32 of the decoded bytes, in the memory order of `layout`.
    layout : str
        "C" or "F".
    dtype : numpy.dtype
    shape : tuple of int
    codec : str
        One of the names in CODECS.
    """

    route: Route
    checksum: int
    layout: str
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    codec: str = "bit_swap"

    @property
    def nbytes(self) -> int:
        """Decoded size in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class ModelPayload:
    """The payload of the model route (FORMAT.md 1.2).

    Attributes
    ----------
    model_id : bytes
        First 16 bytes of the SHA-256 of the model file.
    axes : (int, int, int or None)
        The y, x and channel axis; None: there is one channel and no axis for it.
    patch_log2 : int
        The largest side of a patch is 2^patch_log2.
    lanes : int
    schedule : tuple of (patches, core mode)
        One pair per group, in encoding order.
    heads : uint32 array, shape (lanes,)
    tail : uint8 array, shape (words,), bottom of the stack first
    """

    model_id: bytes
    axes: tuple[int, int, int | None]
    patch_log2: int
    lanes: int
    schedule: tuple[tuple[int, int], ...]
    heads: NDArray[np.uint32]
    tail: NDArray[np.uint8]


@dataclass(frozen=True)
class PlanesPayload:
    """The payload of the planes route (FORMAT.md 1.5).

    Attributes
    ----------
    model_id : bytes
        First 16 bytes of the SHA-256 of the model file.
    axes : (int, int)
        The y and x axis.
    ycbcr : int or None
        The axis along which the numbers are luma and chroma of RGB samples.
    references : tuple of (axis, distance)
    permuted : int or None
        The axis whose planes are coded in the order of `permutation`.
    permutation : tuple of int
    offset, step, m : int
        Samples are the dtype's least value + offset + step * level, levels 0 .. m.
    used : bytes or None
        Zstandard frame of one bit for each level, if not all are used.
    messages : tuple of (heads, tail)
        Of the tiles.
    """

    model_id: bytes
    axes: tuple[int, int]
    ycbcr: int | None
    references: tuple[tuple[int, int], ...]
    permuted: int | None
    permutation: tuple[int, ...]
    offset: int
    step: int
    m: int
    used: bytes | None
    messages: tuple[tuple[NDArray[np.uint32], NDArray[np.uint8]], ...]


def build(header: Header, payload: BytesLike) -> bytes:
    """Frame bytes of a header and a payload; inverse of `parse`.

    Raises
    ------
    TypeError
        The dtype cannot be written in a frame.
    """
    text = dtype_text(header.dtype).encode()
    codec = {name: number for number, name in CODECS.items()}[header.codec]
    start = MAGIC + bytes([VERSION, codec, header.route])
    fields = struct.pack("<IB", header.checksum, "CF".index(header.layout))
    rest = fields + _varints([len(text)]) + text + _varints([len(header.shape), *header.shape])
    checksum = zlib.crc32(payload, zlib.crc32(rest, zlib.crc32(start)))
    return b"".join([start, struct.pack("<I", checksum), rest, payload])


def parse(data: memoryview) -> tuple[Header, memoryview]:
    """Header and payload of frame bytes, every field checked; inverse of `build`.

    The caller compares `Header.nbytes` with what it expects or allows before it takes memory for the result.

    Raises
    ------
    FormatError
        Truncated, altered or foreign bytes, or a newer version.
    """
    reader = _Reader(data)
    if bytes(reader.take(3, "magic")) != MAGIC:
        raise FormatError("not a frame of numcodecs_bitswap: the magic bytes differ")
    if (version := reader.byte("version")) != VERSION:
        raise FormatError(
            f"the frame has format version {version}; this release reads {VERSION}: "
            "it was written by a newer version of numcodecs_bitswap, upgrade to read it"
        )
    if (codec := reader.byte("codec")) not in CODECS:
        raise FormatError(f"codec {codec} is unknown: the frame was written by a newer version, upgrade to read it")
    route = reader.byte("route")
    (checksum,) = struct.unpack("<I", reader.take(4, "frame checksum"))
    if zlib.crc32(data[10:], zlib.crc32(data[:6])) != checksum:
        raise FormatError("the frame checksum does not match: the bytes were truncated or altered")
    if route not in Route.__members__.values():
        raise FormatError(f"route {route} is out of range")
    (content,) = struct.unpack("<I", reader.take(4, "content checksum"))
    if (layout := reader.byte("layout")) > 1:
        raise FormatError(f"layout {layout} is out of range")
    dtype = parse_dtype(reader.take(reader.varint("dtype length"), "dtype"))
    if (ndim := reader.varint("ndim")) > 64:
        raise FormatError(f"ndim {ndim} is out of range")
    shape = tuple(reader.varint("shape") for _ in range(ndim))
    # Lengths of zero are left out: numpy, too, takes no array whose other lengths overflow.
    if math.prod(n for n in (dtype.itemsize, *shape) if n) > LARGEST:
        raise FormatError(f"an array of shape {shape} is too large")
    header = Header(Route(route), content, "CF"[layout], dtype, shape, CODECS[codec])
    if header.nbytes == 0 and (route != Route.RAW or reader.left):
        raise FormatError("an empty array has route raw and no payload")
    return header, reader.rest()


def build_model(payload: ModelPayload) -> bytes:
    """Payload bytes of the model route; inverse of `parse_model`."""
    y, x, channel = payload.axes
    axes = bytes([y, x, NO_CHANNEL if channel is None else channel, payload.patch_log2])
    schedule = [2 * patches + mode for patches, mode in payload.schedule]
    counts = _varints([payload.lanes, len(schedule), *schedule, len(payload.tail)])
    return payload.model_id + axes + counts + payload.heads.astype("<u4").tobytes() + payload.tail.tobytes()


def parse_model(header: Header, data: memoryview) -> ModelPayload:
    """The model route's payload, every field checked against the header; inverse of `build_model`.

    Raises
    ------
    FormatError
        A field out of range, or a payload that is too short or too long.
    """
    if header.dtype.str != "|u1":
        raise FormatError(f"the model route holds uint8, not {header.dtype}")
    reader = _Reader(data)
    model_id = bytes(reader.take(16, "model id"))
    y, x, channel, patch_log2 = reader.take(4, "axes and patch size")
    axes = (y, x, None if channel == NO_CHANNEL else channel)
    used = [axis for axis in axes if axis is not None]
    if max(used) >= len(header.shape) or len(set(used)) != len(used):
        raise FormatError(f"axes {used} do not fit {len(header.shape)} dimensions")
    if channel != NO_CHANNEL and header.shape[channel] not in (1, 3):
        raise FormatError(f"{header.shape[channel]} channels: only 1 or 3 are possible")
    if not 3 <= patch_log2 <= 12:
        raise FormatError(f"patch log2 {patch_log2} is out of range")
    if not 1 <= (lanes := reader.varint("lanes")) <= 1 << 16:
        raise FormatError(f"{lanes} lanes are out of range")
    if not 1 <= (groups := reader.varint("groups")) <= reader.left:
        raise FormatError(f"{groups} groups are out of range")
    schedule = tuple((code >> 1, code & 1) for code in (reader.varint("schedule") for _ in range(groups)))
    if any(patches == 0 for patches, _ in schedule):
        raise FormatError("a group has no patches")
    words = reader.varint("words")
    if reader.left != 4 * lanes + words:
        raise FormatError(f"{lanes} lanes and {words} words do not fill the {reader.left} bytes that are left")
    heads = np.frombuffer(reader.take(4 * lanes, "heads"), "<u4").astype(np.uint32)
    if int(heads.min()) < 1 << 24:
        raise FormatError("a head is out of range")
    tail = np.frombuffer(reader.rest(), np.uint8).copy()
    return ModelPayload(model_id, axes, patch_log2, lanes, schedule, heads, tail)


def build_planes(payload: PlanesPayload) -> bytes:
    """Payload bytes of the planes route; inverse of `parse_planes`."""
    colour = NO_CHANNEL if payload.ycbcr is None else payload.ycbcr
    permuted = NO_CHANNEL if payload.permuted is None else payload.permuted
    parts = [payload.model_id, bytes([*payload.axes, colour, len(payload.references)])]
    parts += [bytes([axis]) + _varints([distance]) for axis, distance in payload.references]
    parts += [bytes([permuted, *payload.permutation]), _varints([payload.offset, payload.step, payload.m])]
    used = payload.used or b""
    parts += [_varints([len(used)]), used]
    for heads, tail in payload.messages:
        parts += [_varints([len(tail)]), heads.astype("<u4").tobytes(), tail.tobytes()]
    return b"".join(parts)


def parse_planes(
    header: Header, data: memoryview, lanes_of_tiles: Callable[[int, int, int], list[int]]
) -> PlanesPayload:
    """The planes route's payload, every field checked against the header; inverse of `build_planes`.

    Parameters
    ----------
    header : Header
    data : memoryview
    lanes_of_tiles : callable
        Number of lanes of each tile's message, of the number of planes, height and width.

    Raises
    ------
    FormatError
        A field out of range, or a payload that is too short or too long.
    """
    shape, ndim = header.shape, len(header.shape)
    if not is_integer(header.dtype):
        raise FormatError(f"the planes route holds integers of 8 or 16 bits, not {header.dtype}")
    reader = _Reader(data)
    model_id = bytes(reader.take(16, "model id"))
    y, x, colour, count = reader.take(4, "axes")
    if max(y, x) >= ndim or y == x:
        raise FormatError(f"axes {y} and {x} do not fit {ndim} dimensions")
    leading = [axis for axis in range(ndim) if axis not in (y, x)]
    if colour != NO_CHANNEL and (colour not in leading or shape[colour] != 3 or header.dtype.str != "|u1"):
        raise FormatError(f"axis {colour} cannot hold luma and chroma")
    if count > MOST_REFERENCES:
        raise FormatError(f"{count} reference planes are out of range")
    references = tuple((reader.byte("reference axis"), reader.varint("distance")) for _ in range(count))
    if any(axis not in leading or not 1 <= distance < 1 << 32 for axis, distance in references):
        raise FormatError(f"reference planes {references} do not fit the axes")
    permuted = reader.byte("permuted axis")
    permutation: tuple[int, ...] = ()
    if permuted != NO_CHANNEL:
        if permuted not in leading or shape[permuted] > 256:
            raise FormatError(f"axis {permuted} cannot be permuted")
        permutation = tuple(reader.take(shape[permuted], "permutation"))
        if sorted(permutation) != list(range(shape[permuted])):
            raise FormatError(f"{permutation} is not a permutation")
    offset, step, m = (reader.varint(what) for what in ("offset", "step", "largest number"))
    if not (step >= 1 and m >= 1 and offset + step * m < 1 << 8 * header.dtype.itemsize):
        raise FormatError(f"offset {offset}, step {step} and {m} levels do not fit {header.dtype}")
    used = bytes(reader.take(reader.varint("length of the levels"), "levels")) or None
    if colour != NO_CHANNEL and (offset, step, m, used) != (0, 1, 255, None):
        raise FormatError("luma and chroma are 0 .. 255, without a table of levels")
    messages = []
    height, width = shape[y], shape[x]
    planes = math.prod(shape[axis] for axis in leading)
    if planes * height * width > reader.left << SAMPLES_LOG2:
        raise FormatError(f"{reader.left} bytes are too few for {planes} planes of {height} x {width}")
    for lanes in lanes_of_tiles(planes, height, width):
        length = reader.varint("length of a tail")
        heads = np.frombuffer(reader.take(4 * lanes, "heads"), "<u4").astype(np.uint32)
        if int(heads.min()) < 1 << 24:
            raise FormatError("a head is out of range")
        messages.append((heads, np.frombuffer(reader.take(length, "tail"), np.uint8)))
    if reader.left:
        raise FormatError(f"{reader.left} bytes behind the last tile")
    taken = None if permuted == NO_CHANNEL else permuted
    ycbcr = None if colour == NO_CHANNEL else colour
    return PlanesPayload(
        model_id, (y, x), ycbcr, references, taken, permutation, offset, step, m, used, tuple(messages)
    )


def _varints(values: Iterable[int]) -> bytes:
    """Unsigned LEB128, shortest form."""
    out = bytearray()
    for value in values:
        while value >= 0x80:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        out.append(value)
    return bytes(out)


class _Reader:
    """A position in bytes; every read checks that the bytes are there."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.at = 0

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def take(self, count: int, what: str) -> memoryview:
        if count > self.left:
            raise FormatError(f"frame is truncated: {what} takes {count} bytes, {self.left} are left")
        self.at += count
        return self.data[self.at - count : self.at]

    def rest(self) -> memoryview:
        return self.take(self.left, "rest")

    def byte(self, what: str) -> int:
        return self.take(1, what)[0]

    def varint(self, what: str) -> int:
        value = 0
        for shift in range(0, 63, 7):
            byte = self.byte(what)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if byte == 0 and shift:
                    raise FormatError(f"{what} is not in its shortest form")
                return value
        raise FormatError(f"{what} is longer than 9 bytes")

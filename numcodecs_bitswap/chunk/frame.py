"""The bytes of a frame <-> its header and payload, in the order of FORMAT.md section 1.

`build` and `parse` handle the header, `build_model` and `parse_model` the payload of the model route (section 1.2).
Stored payloads are in `stored.py`, those of planes in `plane_payload.py`. No memory is allocated in proportion to a
number that a frame states: every length is first compared with the bytes that are left.
"""

import math
import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError
from .dtypes import dtype_text, parse_dtype
from .fields import Reader, varints

BytesLike = bytes | memoryview

MAGIC = b"\x89BS"
VERSION = 1
CODECS = {1: "bit_swap", 2: "bb_ans", 3: "local_bits_back"}
"""The codec byte: how core mode 0 is coded (FORMAT.md 6.2)."""
NO_CHANNEL = 255
LARGEST = 1 << 62


class Route(IntEnum):
    """How the payload holds the decoded bytes (FORMAT.md 1)."""

    RAW = 0
    ZSTD = 1
    SHUFFLE_ZSTD = 2
    CONSTANT = 3
    MODEL = 4
    PLANES = 5
    BITS_ZSTD = 6
    JPEG = 7
    FIELDS = 8


@dataclass(frozen=True)
class Header:
    """The fields of a frame's header, about its array.

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
        The y, x and channel axis; None: one channel, without an axis.
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
    rest = fields + varints([len(text)]) + text + varints([len(header.shape), *header.shape])
    checksum = zlib.crc32(payload, zlib.crc32(rest, zlib.crc32(start)))
    return b"".join([start, struct.pack("<I", checksum), rest, payload])


def parse(data: memoryview) -> tuple[Header, memoryview]:
    """Header and payload of frame bytes, every field checked; inverse of `build`.

    The caller compares `Header.nbytes` with what it expects or allows before it allocates memory for the result.

    Raises
    ------
    FormatError
        Truncated, altered or foreign bytes, or a newer version.
    """
    reader = Reader(data)
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
    # Without lengths of zero: numpy, too, refuses an array whose other lengths overflow.
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
    counts = varints([payload.lanes, len(schedule), *schedule, len(payload.tail)])
    return payload.model_id + axes + counts + payload.heads.astype("<u4").tobytes() + payload.tail.tobytes()


def read_axes(reader: Reader, shape: tuple[int, ...]) -> tuple[int, int, int | None]:
    """The y, x and channel axis of images of 1 or 3 channels.

    Raises
    ------
    FormatError
        The axes do not fit the shape.
    """
    y, x, channel = reader.take(3, "axes")
    axes = (y, x, None if channel == NO_CHANNEL else channel)
    used = [axis for axis in axes if axis is not None]
    if max(used) >= len(shape) or len(set(used)) != len(used):
        raise FormatError(f"axes {used} do not fit {len(shape)} dimensions")
    if channel != NO_CHANNEL and shape[channel] not in (1, 3):
        raise FormatError(f"{shape[channel]} channels: only 1 or 3 are possible")
    return axes


def parse_model(header: Header, data: memoryview) -> ModelPayload:
    """The model route's payload, every field checked against the header; inverse of `build_model`.

    Raises
    ------
    FormatError
        A field out of range, or a payload that is too short or too long.
    """
    if header.dtype.str != "|u1":
        raise FormatError(f"the model route holds uint8, not {header.dtype}")
    reader = Reader(data)
    model_id = bytes(reader.take(16, "model id"))
    axes, patch_log2 = read_axes(reader, header.shape), reader.byte("patch size")
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

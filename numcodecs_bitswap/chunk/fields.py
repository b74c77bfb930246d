"""Fields of a frame <-> bytes: varints, lists of axes, packed side information. Imports only `errors`."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numcodecs.zstd import Zstd
from numpy.typing import NDArray

from ..errors import FormatError

_ZSTD = Zstd(level=5)


def varints(values: Iterable[int]) -> bytes:
    """Unsigned LEB128, shortest form."""
    out = bytearray()
    for value in values:
        while value >= 0x80:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        out.append(value)
    return bytes(out)


def sized(data: bytes) -> bytes:
    """Bytes preceded by their number, a varint."""
    return varints([len(data)]) + data


def packed(array: NDArray[Any]) -> bytes:
    """A packed list of numbers (FORMAT.md 1.4); inverse of `Reader.unpack`."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1)
    return sized(bytes(_ZSTD.encode(np.ascontiguousarray(little.view(np.uint8).reshape(len(little), -1).T))))


class Reader:
    """A position in bytes. Every read raises FormatError if the bytes are not there."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.at = 0

    @property
    def left(self) -> int:
        """Bytes that have not been read."""
        return len(self.data) - self.at

    def take(self, count: int, what: str) -> memoryview:
        """The next `count` bytes; `what` names them in the error.

        Raises
        ------
        FormatError
            Fewer bytes are left.
        """
        begin, self.at = self.at, self.at + count
        if self.at > len(self.data):
            raise FormatError(f"frame is truncated: {what} takes {count} bytes, {len(self.data) - begin} are left")
        return self.data[begin : self.at]

    def rest(self) -> memoryview:
        """All bytes that have not been read."""
        return self.take(self.left, "rest")

    def byte(self, what: str) -> int:
        """The next byte."""
        if self.at == len(self.data):
            self.take(1, what)  # raises
        self.at += 1
        return self.data[self.at - 1]

    def varint(self, what: str) -> int:
        """The next varint; inverse of `varints` for one number."""
        value = 0
        for shift in range(0, 63, 7):
            byte = self.byte(what)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if byte == 0 and shift:
                    raise FormatError(f"{what} is not in its shortest form")
                return value
        raise FormatError(f"{what} is longer than 9 bytes")

    def sized(self, what: str) -> memoryview:
        """Inverse of `sized`."""
        return self.take(self.varint(f"length of the {what}"), what)

    def word(self, dtype: np.dtype[Any], what: str) -> int:
        """A little-endian unsigned integer of the size of `dtype`."""
        return int.from_bytes(self.take(dtype.itemsize, what), "little")

    def unpack(self, dtype: np.dtype[Any], count: int, what: str) -> NDArray[Any]:
        """Inverse of `packed`: `count` numbers of a dtype."""
        data = unzip(self.sized(what), count * dtype.itemsize)
        planes = np.ascontiguousarray(data.reshape(dtype.itemsize, count).T)
        return planes.reshape(-1).view(dtype.newbyteorder("<")).astype(dtype)


def unzip(payload: memoryview, nbytes: int) -> NDArray[np.uint8]:
    """The decoded bytes of one Zstandard frame, uint8 (nbytes,). Its header must state that size.

    Raises
    ------
    FormatError
        It states another size, or is damaged.
    """
    if (stated := _content_size(payload)) != nbytes:
        raise FormatError(f"the Zstandard payload states {stated} bytes, the header {nbytes}")
    data = np.empty(nbytes, np.uint8)
    try:
        _ZSTD.decode(payload, data)
    except (RuntimeError, ValueError) as error:
        raise FormatError(f"the Zstandard payload is damaged: {error}") from error
    return data


def _content_size(payload: memoryview) -> int | None:
    """The decoded size in a Zstandard frame's own header (RFC 8878, section 3.1.1.1), or None if it states none."""
    if len(payload) < 5 or bytes(payload[:4]) != b"\x28\xb5\x2f\xfd":
        return None
    flags = payload[4]
    single_segment = flags >> 5 & 1
    width = (single_segment, 2, 4, 8)[flags >> 6]
    start = 5 + (1 - single_segment) + (0, 1, 2, 4)[flags & 3]
    if width == 0 or len(payload) < start + width:
        return None
    return int.from_bytes(payload[start : start + width], "little") + (256 if width == 2 else 0)

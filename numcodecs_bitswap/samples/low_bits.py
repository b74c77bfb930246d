"""The lowest bits of numbers, each with a count of its own <-> bytes (FORMAT.md 1.4): one plane of bits after the
other, packed, and Zstandard where that is smaller. numpy and numcodecs only.
"""

from typing import Any

import numpy as np
from numcodecs.zstd import Zstd
from numpy.typing import NDArray

from ..errors import FormatError
from ..fields import Reader, sized, unzip

_ZSTD = Zstd(level=5)
RAW, ZSTD = 0, 1


def pack(low: NDArray[Any], counts: NDArray[np.uint8]) -> bytes:
    """Bytes of the lowest counts[i] bits of low[i], both of one axis; inverse of `unpack`."""
    parts = []
    for k in range(int(counts.max(initial=0)) - 1, -1, -1):
        bits = np.packbits((low[counts > k] >> low.dtype.type(k)).astype(np.uint8) & np.uint8(1))
        smaller = bytes(_ZSTD.encode(bits))
        parts += [bytes([ZSTD]), sized(smaller)] if len(smaller) < len(bits) else [bytes([RAW]), bits.tobytes()]
    return b"".join(parts)


def unpack(data: memoryview, counts: NDArray[np.uint8], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Inverse of `pack`; dtype is that of `low`.

    Raises
    ------
    FormatError
        The bytes are not those of so many bits.
    """
    reader, low = Reader(data), np.zeros(len(counts), dtype)
    for k in range(int(counts.max(initial=0)) - 1, -1, -1):
        there = counts > k
        count = int(np.count_nonzero(there))
        how, size = reader.byte("kind of bits"), (count + 7) // 8
        if how > ZSTD:
            raise FormatError(f"bits of kind {how} are unknown")
        packed = (
            unzip(reader.sized("bits"), size) if how == ZSTD else np.frombuffer(reader.take(size, "bits"), np.uint8)
        )
        low[there] |= np.unpackbits(packed, count=count).astype(dtype) << dtype.type(k)
    if reader.left:
        raise FormatError(f"{reader.left} bytes behind the last bit")
    return low

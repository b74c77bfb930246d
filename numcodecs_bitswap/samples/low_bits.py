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
    least = int(counts.min(initial=64))
    for k in range(int(counts.max(initial=0)) - 1, -1, -1):
        if k >= least:
            there = low[counts > k]
            byte, at = (there >> there.dtype.type(k)).astype(np.uint8), 0
        else:  # all have this bit
            if k % 8 == 7 or k == least - 1:
                every = (low >> low.dtype.type(k - k % 8)).astype(np.uint8)
            byte, at = every, k % 8
        bits = np.packbits(byte & np.uint8(1 << at))
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
    least = int(counts.min(initial=64))
    every = np.zeros(len(counts), np.uint8)  # eight of the lowest bits that all have
    for k in range(int(counts.max(initial=0)) - 1, -1, -1):
        there = counts > k if k >= least else None
        count = len(counts) if there is None else int(np.count_nonzero(there))
        how, size = reader.byte("kind of bits"), (count + 7) // 8
        if how > ZSTD:
            raise FormatError(f"bits of kind {how} are unknown")
        packed = (
            unzip(reader.sized("bits"), size) if how == ZSTD else np.frombuffer(reader.take(size, "bits"), np.uint8)
        )
        bits = np.unpackbits(packed, count=count)
        if there is not None:
            low[there] |= bits.astype(dtype) << dtype.type(k)
            continue
        every <<= np.uint8(1)
        every |= bits
        if k % 8 == 0:
            low |= every.astype(dtype) << dtype.type(k)
            every[:] = 0
    if reader.left:
        raise FormatError(f"{reader.left} bytes behind the last bit")
    return low

"""The lowest bits of numbers, each with a count of its own <-> bytes (FORMAT.md 1.4): one plane of bits after the
other, packed, and Zstandard where that is smaller.
"""

from typing import Any

import numpy as np
from numcodecs.zstd import Zstd
from numpy.typing import NDArray

from ..chunk.fields import Reader, sized, unzip
from ..errors import FormatError

_ZSTD = Zstd(level=5)
RAW, ZSTD = 0, 1


def pack(low: NDArray[Any], counts: NDArray[np.uint8]) -> bytes:
    """Bytes of the lowest counts[i] bits of low[i], both of one axis; inverse of `unpack`."""
    from .kernel import gather_bits  # reads numba

    parts, wide = [], low.astype(np.uint64)
    for k in range(int(counts.max(initial=0)) - 1, -1, -1):
        bits = np.empty((np.count_nonzero(counts > k) + 15) // 8, np.uint8)
        gather_bits(wide, counts, k, bits)  # type: ignore[no-untyped-call]
        bits = bits[1:]
        smaller = bytes(_ZSTD.encode(bits))
        parts += [bytes([ZSTD]), sized(smaller)] if len(smaller) < len(bits) else [bytes([RAW]), bits.tobytes()]
    return b"".join(parts)


def unpack(data: memoryview, counts: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Inverse of `pack`.

    Raises
    ------
    FormatError
        The bytes are not those of so many bits.
    """
    from .kernel import spread_bits  # reads numba

    reader, low = Reader(data), np.zeros(len(counts), np.uint64)
    for k in range(int(counts.max(initial=0)) - 1, -1, -1):
        size, how = (int(np.count_nonzero(counts > k)) + 7) // 8, reader.byte("kind of bits")
        if how > ZSTD:
            raise FormatError(f"bits of kind {how} are unknown")
        bits = unzip(reader.sized("bits"), size) if how == ZSTD else reader.take(size, "bits")
        spread_bits(np.array(bits, np.uint8), counts, k, low)  # type: ignore[no-untyped-call]
    if reader.left:
        raise FormatError(f"{reader.left} bytes behind the last bit")
    return low

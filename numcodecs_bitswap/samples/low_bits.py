"""Low bits, a given count for each number <-> bytes (FORMAT.md 1.4): one bit plane after the other, packed, compressed
with Zstandard where that is smaller.
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
    """Bytes of the lowest counts[i] bits of low[i], both one-dimensional; inverse of `unpack`."""
    from .kernel import gather_bits  # may read numba

    parts, wide, number = [], low.astype(np.uint64), _longer(counts)
    rare, there = _rare(counts, number)
    part = wide[there], counts[there]
    for k in range(len(number) - 1, -1, -1):
        bits = np.empty((number[k] + 15) // 8, np.uint8)
        gather_bits(*(part if k >= rare else (wide, counts)), k, bits)  # type: ignore[no-untyped-call]
        bits = bits[1:]
        smaller = bytes(_ZSTD.encode(bits))
        parts += [bytes([ZSTD]), sized(smaller)] if len(smaller) < len(bits) else [bytes([RAW]), bits.tobytes()]
    return b"".join(parts)


def unpack(data: memoryview, counts: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Inverse of `pack`.

    Raises
    ------
    FormatError
        The bytes do not hold exactly these bits.
    """
    from .kernel import spread_bits  # may read numba

    reader, low, number = Reader(data), np.zeros(len(counts), np.uint64), _longer(counts)
    rare, there = _rare(counts, number)
    part = np.zeros(len(there), np.uint64), counts[there]
    for k in range(len(number) - 1, -1, -1):
        size, how = (number[k] + 7) // 8, reader.byte("kind of bits")
        if how > ZSTD:
            raise FormatError(f"kind of bits {how} is unknown")
        bits = unzip(reader.sized("bits"), size) if how == ZSTD else reader.take(size, "bits")
        if k + 1 == rare:
            low[there] = part[0]
        into, of = part if k >= rare else (low, counts)
        spread_bits(np.array(bits, np.uint8), of, k, into)  # type: ignore[no-untyped-call]
    if reader.left:
        raise FormatError(f"{reader.left} bytes follow the last bit")
    if rare == 0:
        low[there] = part[0]
    return low


def _longer(counts: NDArray[np.uint8]) -> list[int]:
    """The number of counts above k, for k = 0 .. the largest count - 1."""
    numbers: list[int] = np.bincount(counts)[::-1].cumsum()[::-1][1:].tolist()
    return numbers


def _rare(counts: NDArray[np.uint8], number: list[int]) -> tuple[int, NDArray[np.int64]]:
    """The first bit that at most an eighth of the numbers have, and their indices: loops over those are shorter."""
    rare = next((k for k, each in enumerate(number) if 8 * each <= len(counts)), len(number))
    return rare, np.flatnonzero(counts > rare)

"""Decoded bytes <-> the payload of a stored route (FORMAT.md 1.1): the general codecs that a model has to beat.

Zstandard and the byte shuffle are those of numcodecs. Decoding checks the size that the Zstandard frame states before
any memory is allocated, so a small payload cannot ask for more than the frame's header states.
"""

import numpy as np
from numcodecs.shuffle import Shuffle
from numcodecs.zstd import Zstd
from numpy.typing import NDArray

from ..errors import FormatError
from .fields import unzip
from .frame import BytesLike, Route

LEVEL = 5  # one level forever: the bytes of a chunk must not depend on a setting
GLANCE = 1 << 14
"""Items of the part that bit planes are tried on: making them takes longer than compressing them."""
_ZSTD = Zstd(level=LEVEL)


def encode(data: NDArray[np.uint8], itemsize: int) -> tuple[Route, BytesLike]:
    """The smallest stored payload; at equal size the simpler route.

    Parameters
    ----------
    data : uint8 array, shape (n,)
        The decoded bytes in memory order, contiguous.
    itemsize : int
        Bytes per item of the array they come from.

    Returns
    -------
    route, payload : Route, bytes-like
    """
    if data.size == 0:
        return Route.RAW, b""
    tried: list[tuple[Route, BytesLike]] = [(Route.RAW, data.data), (Route.ZSTD, _ZSTD.encode(data))]
    if itemsize > 1:
        tried.append((Route.SHUFFLE_ZSTD, _ZSTD.encode(Shuffle(itemsize).encode(data))))
    if itemsize in (2, 4, 8) and _bits_promise(data, itemsize):
        tried.append((Route.BITS_ZSTD, _ZSTD.encode(_bit_planes(data, itemsize))))
    if np.array_equal(data[itemsize:], data[:-itemsize]):
        tried.append((Route.CONSTANT, data[:itemsize].data))
    return min(tried, key=lambda each: len(each[1]))


def decode(route: Route, payload: memoryview, nbytes: int, itemsize: int) -> NDArray[np.uint8]:
    """The decoded bytes of a stored payload, shape (nbytes,); inverse of `encode`.

    Raises
    ------
    FormatError
        The payload does not hold exactly `nbytes` bytes.
    """
    if route in (Route.ZSTD, Route.SHUFFLE_ZSTD):
        data = unzip(payload, nbytes)
        return np.asarray(Shuffle(itemsize).decode(data)) if route == Route.SHUFFLE_ZSTD else data
    if route == Route.BITS_ZSTD:
        bits = np.unpackbits(unzip(payload, nbytes)).reshape(8 * itemsize, -1)
        return np.packbits(np.ascontiguousarray(bits.T))
    stated = itemsize if route == Route.CONSTANT else nbytes
    if len(payload) != stated:
        raise FormatError(f"the payload has {len(payload)} bytes instead of {stated}")
    item = np.frombuffer(payload, np.uint8)
    return np.tile(item, nbytes // itemsize) if route == Route.CONSTANT else item.copy()


def _bit_planes(data: NDArray[np.uint8], itemsize: int) -> NDArray[np.uint8]:
    """Bit k of every item for k = 0, 1, ..., packed; the first is the highest of the first byte."""
    bits = np.unpackbits(data.reshape(-1, itemsize), axis=1)
    return np.packbits(np.ascontiguousarray(bits.T))


def _bits_promise(data: NDArray[np.uint8], itemsize: int) -> bool:
    """Whether the first items are smaller in bit planes than in byte planes."""
    part = data[: GLANCE * itemsize]
    by_bytes = min(len(_ZSTD.encode(part)), len(_ZSTD.encode(Shuffle(itemsize).encode(part))))
    return len(_ZSTD.encode(_bit_planes(part, itemsize))) < by_bytes

"""Decoded bytes <-> the payload of a stored route (FORMAT.md 1.1): the general codecs that a model must beat.

Zstandard and the byte shuffle come from numcodecs. Before memory is allocated, decoding compares the size in the
Zstandard frame with the header, so a small payload cannot claim more memory than the header states.
"""

import numpy as np
from numcodecs.shuffle import Shuffle
from numcodecs.zstd import Zstd
from numpy.typing import NDArray

from ..errors import FormatError
from .fields import unzip
from .frame import BytesLike, Route

LEVEL = 5  # fixed for ever: the bytes of a chunk must not depend on a setting
PARTS, GLANCE = 4, 1 << 12
"""Number of parts of a large array, and items in each, on which the routes are tried first."""
NEAR = 1.02
"""Routes stay candidates if they code these parts in less than this many times the fewest bytes."""
FEW = 16
"""Items that are compared first."""
_ZSTD, _FAST = Zstd(level=LEVEL), Zstd(level=1)
HOPELESS, LITTLE = 0.75, 256
"""Level 5 is not tried where, to come within so many bytes of the other payload, it would need less than this fraction
of the bytes of level 1.
"""


def encode(data: NDArray[np.uint8], itemsize: int, least: int | None = None) -> tuple[Route, BytesLike]:
    """The smallest stored payload; in a tie that of the simpler route.

    Parameters
    ----------
    data : uint8 array, shape (n,)
        The decoded bytes in memory order, contiguous.
    itemsize : int
        Bytes per item of their array.
    least : int, optional
        Payload size of another route. Routes that are unlikely to be smaller are not tried.

    Returns
    -------
    route, payload : Route, bytes-like
    """
    if data.size == 0:
        return Route.RAW, b""
    tried: list[tuple[Route, BytesLike]] = []
    if is_constant(data, itemsize):
        tried = [(Route.ZSTD, _ZSTD.encode(data)), (Route.CONSTANT, data[:itemsize].data)]
    for route in _promising(data, itemsize) if not tried else []:
        arranged = _arranged(route, data, itemsize)
        if least is None or len(_FAST.encode(arranged)) * HOPELESS <= least + LITTLE:
            tried.append((route, _ZSTD.encode(arranged)))
    return min([(Route.RAW, data.data), *tried], key=lambda each: (len(each[1]), each[0]))


def is_constant(data: NDArray[np.uint8], itemsize: int) -> bool:
    """Whether all items are equal, byte for byte."""
    few = data[: FEW * itemsize]  # are usually enough
    return all(np.array_equal(each[itemsize:], each[:-itemsize]) for each in (few, data))


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


def _arranged(route: Route, data: NDArray[np.uint8], itemsize: int) -> BytesLike | NDArray[np.uint8]:
    """The bytes that a route passes to Zstandard."""
    if route == Route.SHUFFLE_ZSTD:
        return bytes(Shuffle(itemsize).encode(data))
    return _bit_planes(data, itemsize) if route == Route.BITS_ZSTD else data


def _promising(data: NDArray[np.uint8], itemsize: int) -> list[Route]:
    """The routes that use Zstandard; for a large array only those that are best on a few parts of it."""
    routes = [Route.ZSTD]
    if itemsize > 1:
        routes.append(Route.SHUFFLE_ZSTD)
    if itemsize in (2, 4, 8):
        routes.append(Route.BITS_ZSTD)
    if len(routes) == 1 or data.size <= 2 * PARTS * GLANCE * itemsize:
        return routes
    items = data.reshape(-1, itemsize)
    begins = [(len(items) - GLANCE) * k // (PARTS - 1) for k in range(PARTS)]
    parts = np.concatenate([items[begin : begin + GLANCE] for begin in begins]).reshape(-1)
    sizes = [len(_ZSTD.encode(_arranged(route, parts, itemsize))) for route in routes]
    return [route for route, size in zip(routes, sizes, strict=True) if size < NEAR * min(sizes)]


def _bit_planes(data: NDArray[np.uint8], itemsize: int) -> NDArray[np.uint8]:
    """Bit planes of the items, packed. The first plane holds the highest bit of each item's first byte."""
    if (items := data.size // itemsize) % 8:
        bits = np.unpackbits(data.reshape(-1, itemsize), axis=1)
        return np.packbits(np.ascontiguousarray(bits.T))
    # Each word holds byte k of eight items. Its 8 x 8 bits are transposed by swapping blocks of 4 x 4, 2 x 2, 1 x 1.
    x = np.ascontiguousarray(data.reshape(items // 8, 8, itemsize).transpose(2, 0, 1)).view(">u8").astype("=u8")
    for shift, mask in ((28, 0xF0F0F0F0), (14, 0xCCCC0000CCCC), (7, 0xAA00AA00AA00AA)):
        part = (x ^ x >> np.uint64(shift)) & np.uint64(mask)
        x ^= part ^ part << np.uint64(shift)
    found = x.astype(">u8").view(np.uint8).reshape(itemsize, items // 8, 8)
    return np.ascontiguousarray(found.transpose(0, 2, 1)).reshape(-1)

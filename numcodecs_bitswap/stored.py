"""Decoded bytes <-> the payload of a stored route (FORMAT.md 1.1): the general codecs that a model has to beat.

Zstandard and the byte shuffle are numcodecs' own. Decoding checks the size that the Zstandard frame itself states
before any memory is taken, so a small payload cannot ask for more than the frame's header said.
"""

import numpy as np
from numcodecs.shuffle import Shuffle
from numcodecs.zstd import Zstd
from numpy.typing import NDArray

from .errors import FormatError
from .fields import unzip
from .frame import BytesLike, Route

LEVEL = 5  # one level for ever: the bytes of a chunk must not depend on a setting
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
    stated = itemsize if route == Route.CONSTANT else nbytes
    if len(payload) != stated:
        raise FormatError(f"the payload has {len(payload)} bytes instead of {stated}")
    item = np.frombuffer(payload, np.uint8)
    return np.tile(item, nbytes // itemsize) if route == Route.CONSTANT else item.copy()

"""Decoded bytes <-> the payload of a stored route (FORMAT.md 1.1): the general codecs that a model has to beat.

Zstandard and the byte shuffle are numcodecs' own. Decoding checks the size that the Zstandard frame itself states
before any memory is taken, so a small payload cannot ask for more than the frame's header said.
"""

import numpy as np
from numcodecs.shuffle import Shuffle
from numcodecs.zstd import Zstd
from numpy.typing import NDArray

from .errors import FormatError
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
        data = unpack(payload, nbytes)
        return np.asarray(Shuffle(itemsize).decode(data)) if route == Route.SHUFFLE_ZSTD else data
    stated = itemsize if route == Route.CONSTANT else nbytes
    if len(payload) != stated:
        raise FormatError(f"the payload has {len(payload)} bytes instead of {stated}")
    item = np.frombuffer(payload, np.uint8)
    return np.tile(item, nbytes // itemsize) if route == Route.CONSTANT else item.copy()


def unpack(payload: memoryview, nbytes: int) -> NDArray[np.uint8]:
    """The bytes of one Zstandard frame, which has to state their number.

    Raises
    ------
    FormatError
        It states another one, or is damaged.
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

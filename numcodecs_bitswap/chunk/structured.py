"""Arrays of a structured dtype <-> a frame of each field (FORMAT.md 1.8). How an array becomes a frame is given, since
that leads here again: fields may be structured, too.
"""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError
from ..models import catalog
from ..options import Options
from .fields import Reader, sized
from .frame import Header

Array = NDArray[Any]
SMALLEST = 1024
"""Items of the smallest array that is coded by fields: each has a header of its own."""


def is_tried(array: Array, options: Options, codec: str) -> bool:
    """Whether an array is coded by fields: where the plane coder may be used."""
    if array.dtype.names is None or array.size < SMALLEST or array.dtype.itemsize == 0:
        return False
    if options.model == "auto":
        return codec != "local_bits_back"
    return catalog.kind_of(options.model) == "planes"


def fields_of(dtype: np.dtype[Any]) -> list[tuple[int, np.dtype[Any], tuple[int, ...]]]:
    """Offset, dtype and shape of each field, in the order in which they lie in an item; bytes between fields, too."""
    found, offset = [], 0
    for _, form, *shapes in dtype.descr:
        field = np.lib.format.descr_to_dtype(form) if isinstance(form, list) else np.dtype(form)
        shape = tuple(shapes[0]) if shapes else ()
        found.append((offset, field, shape))
        offset += field.itemsize * prod(shape)
    return [(offset, field, shape) for offset, field, shape in found if field.itemsize * prod(shape)]


def _order(header: Header) -> tuple[int, ...]:
    return header.shape if header.layout == "C" else header.shape[::-1]


def encode(header: Header, data: NDArray[np.uint8], frame_of: Callable[[Array], bytes]) -> bytes:
    """Payload of an array's bytes in memory order; inverse of `decode`."""
    items, parts = data.reshape(-1, header.dtype.itemsize), []
    for offset, field, shape in fields_of(header.dtype):
        part = np.ascontiguousarray(items[:, offset : offset + field.itemsize * prod(shape)])
        parts.append(sized(frame_of(part.reshape(-1).view(field).reshape(*_order(header), *shape))))
    return b"".join(parts)


def decode(
    header: Header, payload: memoryview, array_of: Callable[[memoryview, Callable[[Header], None]], Array]
) -> Array:
    """The array of a payload.

    Parameters
    ----------
    header : Header
    payload : memoryview
    array_of : callable
        Decodes a frame, and calls what it is given with the frame's header before it takes memory.

    Raises
    ------
    FormatError
        The frames are not those of the fields.
    """
    if header.dtype.names is None:
        raise FormatError(f"arrays of dtype {header.dtype} have no fields")
    reader, parts = Reader(payload), []
    for _, field, shape in fields_of(header.dtype):
        expected = (field, (*_order(header), *shape), "C")

        def check(found: Header, expected: Any = expected) -> None:
            if (found.dtype, found.shape, found.layout) != expected:
                raise FormatError(f"a field's frame holds {found.dtype} of shape {found.shape}, not {expected[0]}")

        part = array_of(reader.sized("field"), check)
        parts.append(part.reshape(-1).view(np.uint8).reshape(prod(header.shape), -1))
    if reader.left:
        raise FormatError(f"{reader.left} bytes behind the last field")
    items = np.concatenate(parts, axis=1)
    order: Any = header.layout
    return np.ndarray(header.shape, header.dtype, items.data, order=order)

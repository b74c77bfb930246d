"""One warning a process, when what may be an image has lost its shape on the way.

Small arrays are not looked at: coordinates, tests.
"""

import math
import warnings

from ..errors import ShapeWarning
from .frame import Header, Route

LARGE = 1 << 16
"""Samples from which on an array is worth a word."""
_given = False


def look(header: Header) -> None:
    """Look at the shape of an array that is to be coded."""
    global _given
    if _given or math.prod(header.shape) < LARGE or header.route == Route.CONSTANT:
        return
    text = _reason(header)
    if text:
        _given = True
        warnings.warn(text + " (This is said once.)", ShapeWarning, stacklevel=4)


def _reason(header: Header) -> str | None:
    shape, dtype = header.shape, header.dtype
    if len(shape) == 1 and dtype.kind in "iu" and dtype.itemsize <= 2:
        return (
            f"{shape[0]} {dtype} along one axis are coded as a series. If they are an image, a filter before the codec "
            "(Delta, Shuffle, ...) hides its shape: take it away."
        )
    return None

"""A warning, once in a process, if an array may be an image whose shape a filter hides.

Small arrays are not checked: they are coordinates, or tests.
"""

import math
import warnings

from ..errors import ShapeWarning
from .frame import Header, Route

LARGE = 1 << 16
"""Samples of the smallest array that is checked."""
_given = False


def look(header: Header) -> None:
    """Check the shape of an array that is to be coded; warns with `ShapeWarning`."""
    global _given
    if _given or math.prod(header.shape) < LARGE or header.route == Route.CONSTANT:
        return
    text = _reason(header)
    if text:
        _given = True
        warnings.warn(text + " (This warning is given once.)", ShapeWarning, stacklevel=4)


def _reason(header: Header) -> str | None:
    shape, dtype = header.shape, header.dtype
    if len(shape) == 1 and dtype.kind in "iu" and dtype.itemsize <= 2:
        return (
            f"{shape[0]} {dtype} along one axis are coded as a series. If they are an image, a filter before the codec "
            "(Delta, Shuffle, ...) hides its shape: remove the filter."
        )
    return None

"""One warning a process, when what looks like an image is stored by Zstandard and something can be done about it.

Noise and flat areas are stored too, and nothing is wrong then. Small arrays are not looked at: coordinates, tests.
"""

import warnings
from typing import Any

from numpy.typing import NDArray

from .errors import StoredWarning
from .frame import Route

LARGE = 1 << 16
"""Samples from which on an array is worth a word."""
SIDE = 32
"""The smaller side of what looks like an image."""
STORED = (Route.RAW, Route.ZSTD, Route.SHUFFLE_ZSTD)
ROUTE = 5
"""Offset of the route in a frame."""
_given = False


def look(array: NDArray[Any], frame: bytes) -> None:
    """Look at an array and its frame."""
    global _given
    if _given or array.size < LARGE or frame[ROUTE] not in STORED:
        return
    text = _reason(array)
    if text:
        _given = True
        warnings.warn(text + " (This is said once.)", StoredWarning, stacklevel=3)


def _reason(array: NDArray[Any]) -> str | None:
    from .samples import is_integer

    if array.ndim < 2:
        if array.dtype.kind not in "iu":
            return None
        return (
            f"an array of one axis, {array.size} numbers of {array.dtype}, is stored by Zstandard: models need two axes "
            "or more. If it is an image, a filter before the codec (Delta, Shuffle, ...) hides its shape: take it away."
        )
    if array.dtype.kind in "iuf" and not is_integer(array.dtype) and sorted(array.shape)[-2] >= SIDE:
        return (
            f"an array of {array.dtype} and shape {array.shape} is stored by Zstandard: no model fits this dtype. If the "
            "numbers are integers of 8 or 16 bits at heart, convert them before."
        )
    return None

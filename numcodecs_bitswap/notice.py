"""One warning a process, when what looks like an image is stored by Zstandard and something can be done about it.

That is where no model was tried. Noise is stored too, and nothing is wrong then. Small arrays are not looked at:
coordinates, tests.
"""

import math
import warnings

from .errors import StoredWarning
from .frame import Header, Route

LARGE = 1 << 16
"""Samples from which on an array is worth a word."""
SIDE = 32
"""The smaller side of what looks like an image."""
_given = False


def look(header: Header) -> None:
    """Look at an array that no model was tried on."""
    global _given
    if _given or math.prod(header.shape) < LARGE or header.route == Route.CONSTANT:
        return
    text = _reason(header)
    if text:
        _given = True
        warnings.warn(text + " (This is said once.)", StoredWarning, stacklevel=4)


def _reason(header: Header) -> str | None:
    shape, dtype = header.shape, header.dtype
    if len(shape) < 2:
        if dtype.kind not in "iu":
            return None
        return (
            f"{shape[0]} {dtype} along one axis are stored by Zstandard: models need two axes or more. If they are an "
            "image, a filter before the codec (Delta, Shuffle, ...) hides its shape: take it away."
        )
    # uint8 is what every model takes: it was not tried because it is noise
    if dtype.kind in "iuf" and dtype != "u1" and sorted(shape)[-2] >= SIDE:
        return (
            f"{dtype} of shape {shape} are stored by Zstandard: the model does not fit the dtype. If the numbers are "
            "integers of 8 or 16 bits at heart, convert them before."
        )
    return None

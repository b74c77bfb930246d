"""Search for the JPEG coefficients from which an array was decoded."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import decoding
from .grid import glance
from .picture import Picture
from .planes import find_planes
from .ycbcr import find_ycbcr

LEAST = 16
"""Arrays with fewer rows or columns are not searched."""


class Found(NamedTuple):
    """Result of the search.

    Attributes
    ----------
    picture : Picture
    pixels : uint8 (h, w) or (h, w, 3)
        The picture's decoded pixels.
    wrong : uint8 (h / 8, w / 8)
        The number of pixels in each 8 x 8 block that differ from the array.
    """

    picture: Picture
    pixels: NDArray[np.uint8]
    wrong: NDArray[np.uint8]


def find(array: NDArray[np.uint8]) -> Found | None:
    """Find the JPEG coefficients from which an array was decoded.

    Parameters
    ----------
    array : ndarray
        uint8 (H, W) or (H, W, 3), C-contiguous.

    Returns
    -------
    Found or None
        None unless the picture decodes to most blocks of the array exactly.
    """
    if min(array.shape[:2]) < LEAST:
        return None
    if array.ndim == 2:
        return _worth(array, find_planes(array[..., None]))
    for first in (0, 2):
        seen = glance(array, first)
        if seen.decoded:
            found = _worth(array, find_ycbcr(array, first, seen.coloured))
            if found is not None:
                return found
            break
    return _worth(array, find_planes(array))


def compared(array: NDArray[np.uint8], picture: Picture) -> Found:
    """A picture, decoded and compared with an array."""
    pixels = decoding.pixels(picture)
    return Found(picture, pixels, decoding.wrong_pixels(array, pixels, picture.offset))


def _worth(array: NDArray[np.uint8], picture: Picture | None) -> Found | None:
    """A picture, if most of its blocks are exact."""
    if picture is None:
        return None
    found = compared(array, picture)
    return None if 2 * np.count_nonzero(found.wrong) > found.wrong.size else found

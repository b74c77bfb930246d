"""RGB that was decoded from a JPEG file <-> the luma and chroma it was made of (FORMAT.md 1.6). numpy only;
imports nothing of this package.

A JPEG holds Y, Cb and Cr. What a decoder makes of them are integers again, and of all 2^24 colours only a quarter can
come of that (ITU-T T.871, section 7). A picture that has those alone is such a picture: its Y, Cb and Cr say the same
in fewer bits, since two of three channels are smooth and no bit is spent on colours that cannot be.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int32]

CR_TO_RED, CB_TO_GREEN, CR_TO_GREEN, CB_TO_BLUE = 91881, -22554, -46802, 116130
RED_TO_LUMA, GREEN_TO_LUMA, BLUE_TO_LUMA = 19595, 38470, 7471
RED_TO_CB, GREEN_TO_CB, BLUE_TO_CB = -11059, -21709, 32768
RED_TO_CR, GREEN_TO_CR, BLUE_TO_CR = 32768, -27439, -5329
"""Units of 2^-16: from chroma to colours, and what is next to their inverse."""
NEAR, FAR = 1, 12
"""How far from what the inverse transform says chroma is looked for: between black and white levels it is never more
than NEAR off; where a level was cut off at 0 or 255 many are right, and one of the nearest is taken.
"""
GLANCES = (64, 4096)
"""Pixels that are looked at before all are: of pictures that were no JPEG most do not have what a few show."""
FIRST = 8
"""Pixels that are looked at one by one before those: of pictures that were no JPEG one or two are enough."""


def to_rgb(ycbcr: NDArray[np.uint8], axis: int) -> NDArray[np.uint8]:
    """RGB of Y, Cb and Cr along `axis`; inverse of `to_ycbcr`. Modifies its argument in place and returns it."""
    y, cb, cr = np.moveaxis(ycbcr, axis, 0)
    levels = y.astype(np.int32)
    for channel, offset in zip((y, cb, cr), _offsets(cb.astype(np.int32), cr.astype(np.int32)), strict=True):
        channel[...] = (levels + offset).clip(0, 255)
    return ycbcr


def to_ycbcr(rgb: NDArray[np.uint8], axis: int) -> NDArray[np.uint8] | None:
    """Y, Cb and Cr along `axis` of which `to_rgb` makes these RGB, or None if there are none for some pixel."""
    pixels = np.moveaxis(rgb, axis, 0).reshape(3, -1)
    if not all(_may_be(*pixel) for pixel in pixels[:, :: max(pixels.shape[1] // FIRST, 1)].T.tolist()):
        return None
    for glance in GLANCES:
        if pixels.shape[1] > glance and _solve(pixels[:, :: pixels.shape[1] // glance]) is None:
            return None
    solved = _solve(pixels)
    if solved is None:
        return None
    shape = rgb.shape[axis], *rgb.shape[:axis], *rgb.shape[axis + 1 :]
    return np.moveaxis(solved.reshape(shape), 0, axis)


def nearest_ycbcr(rgb: NDArray[np.uint8], axis: int) -> NDArray[np.uint8]:
    """Luma and chroma by the inverse transform: RGB that are next to these ones, if not the same."""
    planes = _inverse(np.moveaxis(rgb, axis, 0).astype(np.int32))
    return np.moveaxis(planes.astype(np.uint8), 0, axis)


def _inverse(rgb: Integers) -> Integers:
    """Luma and chroma of RGB, both on the first axis, rounded."""
    red, green, blue = rgb
    luma = RED_TO_LUMA * red + GREEN_TO_LUMA * green + BLUE_TO_LUMA * blue + 32768 >> 16
    cb = (RED_TO_CB * red + GREEN_TO_CB * green + BLUE_TO_CB * blue + 32767 >> 16) + 128
    cr = (RED_TO_CR * red + GREEN_TO_CR * green + BLUE_TO_CR * blue + 32767 >> 16) + 128
    return np.stack([luma, cb, cr])


def _offsets(cb: Integers, cr: Integers) -> tuple[Integers, Integers, Integers]:
    """What chroma adds to luma in red, green and blue."""
    cb, cr = cb - 128, cr - 128
    green = CB_TO_GREEN * cb + CR_TO_GREEN * cr + 32768 >> 16
    return CR_TO_RED * cr + 32768 >> 16, green, CB_TO_BLUE * cb + 32768 >> 16


def _may_be(red: int, green: int, blue: int) -> bool:
    """Whether `_solve` may have something for a pixel: whether it has, unless a level was cut off."""
    if not 0 < min(red, green, blue) <= max(red, green, blue) < 255:
        return True
    cb = (RED_TO_CB * red + GREEN_TO_CB * green + BLUE_TO_CB * blue + 32767 >> 16) + 128
    cr = (RED_TO_CR * red + GREEN_TO_CR * green + BLUE_TO_CR * blue + 32767 >> 16) + 128
    for by_cb in range(max(cb - NEAR, 0) - 128, min(cb + NEAR, 255) - 127):
        luma = blue - (CB_TO_BLUE * by_cb + 32768 >> 16)
        if not 0 <= luma < 256:
            continue
        for by_cr in range(max(cr - NEAR, 0) - 128, min(cr + NEAR, 255) - 127):
            from_green = green - (CB_TO_GREEN * by_cb + CR_TO_GREEN * by_cr + 32768 >> 16)
            if luma == red - (CR_TO_RED * by_cr + 32768 >> 16) == from_green:
                return True
    return False


def _solve(rgb: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Y, Cb, Cr uint8 (3, n) of pixels uint8 (3, n)."""
    pixels = rgb.astype(np.int32)
    guesses = _inverse(pixels)
    # Most pixels have no level that was cut off, and the guessed chroma: they are found sooner without bounds.
    exact = pixels - np.stack(_offsets(*guesses[1:]))
    found = (exact[0] == exact[1]) & (exact[1] == exact[2]) & (exact[0] >= 0) & (exact[0] < 256)
    found &= ((rgb > 0) & (rgb < 255)).all(0)
    solved = np.concatenate([exact[:1], guesses[1:]]).astype(np.uint8)
    left, pixels, guesses = np.flatnonzero(~found), pixels[:, ~found], guesses[:, ~found]
    for distance in range(FAR + 1):
        if not len(left):
            break
        if distance > NEAR and ((pixels > 0) & (pixels < 255)).all(0).any():
            return None
        values, found = _nearest(pixels, guesses, distance)
        solved[:, left[found]] = values[:, found]
        left, pixels, guesses = left[~found], pixels[:, ~found], guesses[:, ~found]
    return None if len(left) else solved


def _nearest(pixels: Integers, guesses: Integers, distance: int) -> tuple[Integers, NDArray[np.bool_]]:
    """Y, Cb, Cr with chroma so far off the guesses, and where they are right."""
    by_cb, by_cr = _ring(distance)
    luma, cb, cr = guesses[:, :, None]
    cb, cr = cb + by_cb, cr + by_cr
    low, high = np.zeros_like(cb), np.full_like(cb, 255)
    for level, offset in zip(pixels[:, :, None], _offsets(cb, cr), strict=True):
        exact = level - offset
        np.maximum(low, exact, out=low, where=level > 0)
        np.minimum(high, exact, out=high, where=level < 255)
    right = (low <= high) & (cb >= 0) & (cb < 256) & (cr >= 0) & (cr < 256)
    first = np.arange(len(right)), right.argmax(1) if distance else 0
    return np.stack([luma.clip(low, high)[first], cb[first], cr[first]]), right[first]


@cache
def _ring(distance: int) -> tuple[Integers, Integers]:
    """The steps of chroma, (k,), of which the longer is so long, in the order in which they are tried."""
    reach = range(-distance, distance + 1)
    steps = [(i, j) for i in reach for j in reach if max(abs(i), abs(j)) == distance]
    by_cb, by_cr = np.array(sorted(steps, key=lambda s: (s[0] ** 2 + s[1] ** 2, s)), np.int32).T
    return by_cb, by_cr

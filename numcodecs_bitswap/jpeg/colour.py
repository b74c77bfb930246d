"""RGB that was decoded from a JPEG file <-> its luma and chroma (FORMAT.md 1.6). numpy only; imports nothing of this
package.

A JPEG stores Y, Cb and Cr. A decoder converts them to rounded RGB, and only a quarter of all 2^24 colours can result
(ITU-T T.871, section 7). An image with no other colours was decoded from a JPEG: its Y, Cb and Cr take fewer bits,
since two of three channels are smooth and no bits are spent on impossible colours.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int32]

CR_TO_RED, CB_TO_GREEN, CR_TO_GREEN, CB_TO_BLUE = 91881, -22554, -46802, 116130
RED_TO_LUMA, GREEN_TO_LUMA, BLUE_TO_LUMA = 19595, 38470, 7471
RED_TO_CB, GREEN_TO_CB, BLUE_TO_CB = -11059, -21709, 32768
RED_TO_CR, GREEN_TO_CR, BLUE_TO_CR = 32768, -27439, -5329
"""In units of 2^-16: from chroma to colours, and the approximate inverse."""
NEAR, FAR = 1, 12
"""How far from the result of the inverse transform chroma is searched. Without clipping it is at most NEAR off. Where a
level was clipped at 0 or 255, several solutions fit, and one of the nearest is taken.
"""
GLANCES = (64, 4096)
"""Sizes of the samples of pixels that are examined before all: few are enough to rule out most other images."""
FIRST = 8
"""Pixels that are examined one by one before those: one or two are enough to rule out most other images."""


def to_rgb(ycbcr: NDArray[np.uint8], axis: int) -> NDArray[np.uint8]:
    """RGB of Y, Cb and Cr along `axis`; inverse of `to_ycbcr`. Modifies its argument in place and returns it."""
    y, cb, cr = np.moveaxis(ycbcr, axis, 0)
    levels = y.astype(np.int32)
    for channel, offset in zip((y, cb, cr), _offsets(cb.astype(np.int32), cr.astype(np.int32)), strict=True):
        channel[...] = (levels + offset).clip(0, 255)
    return ycbcr


def to_ycbcr(rgb: NDArray[np.uint8], axis: int) -> NDArray[np.uint8] | None:
    """Y, Cb and Cr along `axis` that `to_rgb` converts to exactly these RGB, or None if some pixel has none."""
    pixels = np.moveaxis(rgb, axis, -1).reshape(-1, 3).T
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
    """Y, Cb and Cr along `axis` by the inverse transform: `to_rgb` converts them to these RGB or close ones."""
    planes = _inverse(np.moveaxis(rgb, axis, 0).astype(np.int32))
    return np.moveaxis(planes.astype(np.uint8), 0, axis)


def _inverse(rgb: Integers) -> Integers:
    """Rounded luma and chroma of RGB, along the first axis."""
    red, green, blue = rgb
    luma = RED_TO_LUMA * red + GREEN_TO_LUMA * green + BLUE_TO_LUMA * blue + 32768 >> 16
    cb = (RED_TO_CB * red + GREEN_TO_CB * green + BLUE_TO_CB * blue + 32767 >> 16) + 128
    cr = (RED_TO_CR * red + GREEN_TO_CR * green + BLUE_TO_CR * blue + 32767 >> 16) + 128
    return np.stack([luma, cb, cr])


def _offsets(cb: Integers, cr: Integers) -> tuple[Integers, Integers, Integers]:
    """The contributions of chroma to red, green and blue."""
    cb, cr = cb - 128, cr - 128
    green = CB_TO_GREEN * cb + CR_TO_GREEN * cr + 32768 >> 16
    return CR_TO_RED * cr + 32768 >> 16, green, CB_TO_BLUE * cb + 32768 >> 16


def _may_be(red: int, green: int, blue: int) -> bool:
    """Whether `_solve` finds luma and chroma of a pixel; always true if a level may have been clipped."""
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
    """Y, Cb, Cr uint8 (3, n) of pixels uint8 (3, n), or None if some pixel has none."""
    pixels = rgb.astype(np.int32)
    guesses = _inverse(pixels)
    # Most pixels were not clipped and have the estimated chroma. A search without bounds is faster for them.
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
    """Y, Cb, Cr with chroma at a distance from the guesses, and where they give the right colours."""
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
    """Offsets of Cb and Cr, (k,), whose larger magnitude is `distance`, in the order in which they are tried."""
    reach = range(-distance, distance + 1)
    steps = [(i, j) for i in reach for j in reach if max(abs(i), abs(j)) == distance]
    by_cb, by_cr = np.array(sorted(steps, key=lambda s: (s[0] ** 2 + s[1] ** 2, s)), np.int32).T
    return by_cb, by_cr

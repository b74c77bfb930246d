"""JPEG coefficients -> pixels, as libjpeg and libjpeg-turbo decode them by default: the "islow" inverse transform,
"fancy" upsampling, and the integer colour conversion of `colour`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import decoding_kernel
from .picture import Component, Picture, Ring, Samples

kernel: Any = decoding_kernel


def samples(component: Component) -> Samples:
    """Samples uint8 (8 rows, 8 columns) of a component."""
    rows, columns, _ = component.coefficients.shape
    plane = np.empty((8 * rows, 8 * columns), np.uint8)
    kernel.inverse_blocks(component.coefficients, component.steps, plane)
    return plane


def surrounded(plane: Samples, ring: Ring) -> Samples:
    """Samples (h + 2, w + 2): a plane and the ring around it."""
    bordered = np.empty((plane.shape[0] + 2, plane.shape[1] + 2), np.uint8)
    bordered[1:-1, 1:-1] = plane
    bordered[1:-1, 0] = plane[:, 0] if ring.left is None else ring.left
    bordered[1:-1, -1] = plane[:, -1] if ring.right is None else ring.right
    bordered[0] = bordered[1] if ring.top is None else ring.top
    bordered[-1] = bordered[-2] if ring.bottom is None else ring.bottom
    return bordered


def upsampled(plane: Samples, ring: Ring, sampling: tuple[int, int]) -> Samples:
    """Chroma upsampled to all pixels, uint8 (h sy, w sx)."""
    return plane if sampling == (1, 1) else triangle(surrounded(plane, ring), sampling)


def triangle(around: Samples, sampling: tuple[int, int]) -> Samples:
    """Chroma of all pixels from samples with their ring: 3/4 of the nearest and 1/4 of the next in each direction."""
    sy, sx = sampling
    sums = around.astype(np.uint16)
    full = np.empty((sy * (around.shape[0] - 2), sx * (around.shape[1] - 2)), np.uint8)
    if sy == 2:
        near = 3 * sums[1:-1]
        lines = [near + sums[:-2], near + sums[2:]]
    else:
        lines = [sums[1:-1]]
    for p, line in enumerate(lines):
        # Rounding alternates between up and down from line to line.
        if sx == 1:
            full[p::sy] = line[:, 1:-1] + np.uint16(1 + p) >> 2
        else:
            near = 3 * line[:, 1:-1]
            half, shift = (8, 4) if sy == 2 else (1, 2)
            full[p::sy, ::2] = near + line[:, :-2] + np.uint16(half) >> shift
            full[p::sy, 1::2] = near + line[:, 2:] + np.uint16(half - 1 if sy == 2 else 2) >> shift
    return full


def coloured(luma: Samples, cb: Samples, cr: Samples, reversed_channels: bool) -> NDArray[np.uint8]:
    """RGB, or BGR if `reversed_channels`, of the Y, Cb and Cr of all pixels."""
    array = np.empty((*luma.shape, 3), np.uint8)
    kernel.to_rgb(luma, cb, cr, 2 if reversed_channels else 0, array)
    return array


def pixels(picture: Picture) -> NDArray[np.uint8]:
    """Decode the pixels of a picture.

    Parameters
    ----------
    picture : Picture
        Of whole MCUs. Any coefficients and steps decode to the same pixels on every machine.

    Returns
    -------
    ndarray
        uint8 (H, W), or (H, W, 3) for three components.
    """
    planes = [samples(component) for component in picture.components]
    if picture.colour == "gray":
        return planes[0]
    if picture.colour == "rgb":
        return np.stack(planes, axis=-1)
    chroma = [upsampled(plane, ring, picture.sampling) for plane, ring in zip(planes[1:], picture.outer, strict=True)]
    return coloured(planes[0], chroma[0], chroma[1], picture.reversed)


def wrong_pixels(array: NDArray[np.uint8], decoded: NDArray[np.uint8], offset: tuple[int, int]) -> NDArray[np.uint8]:
    """The number of pixels in each decoded 8 x 8 block that differ from the array at an offset, (rows, columns)."""
    height, width = decoded.shape[:2]
    region = array[offset[0] : offset[0] + height, offset[1] : offset[1] + width]
    wrong = region != decoded
    if wrong.ndim == 3:
        wrong = wrong[..., 0] | wrong[..., 1] | wrong[..., 2]
    lines = wrong.view(np.uint8).reshape(height // 8, 8, width).sum(1, dtype=np.uint8)
    counts: NDArray[np.uint8] = lines.reshape(height // 8, width // 8, 8).sum(2, dtype=np.uint8)
    return counts

"""Loops of the decoder, in 64-bit integers, which products of int16 coefficients and uint16 steps cannot overflow.

The inverse transform is libjpeg's "islow" one: sums of integer products, rounded once for columns and once for rows.
Its factors are combined here into one factor for each input and output.
"""

import numpy as np

from ..runtime.jit import compiled, part
from .colour import CB_TO_BLUE, CB_TO_GREEN, CR_TO_GREEN, CR_TO_RED

EVEN_2, EVEN_6, LESS_2, LESS_6 = 10703, 4433, 4433, -10704
"""2^13 times the factors of frequencies 2 and 6 for the outputs 0, 7 and 1, 6; negated for 3, 4 and 2, 5."""
COLUMN_SHIFT, ROW_SHIFT = 11, 18
"""Two extra bits are kept between columns and rows. The transform of both scales by 8."""


@part
def inverse_8(a, b, c, d, e, f, g, h, half):
    """The eight outputs of frequencies 0 to 7, times 2^13, plus `half`."""
    sum_0, sum_1 = ((a + e) << 13) + half, ((a - e) << 13) + half
    more, less = EVEN_2 * c + EVEN_6 * g, LESS_2 * c + LESS_6 * g
    e0, e3, e1, e2 = sum_0 + more, sum_0 - more, sum_1 + less, sum_1 - less
    o0 = 11363 * b + 9633 * d + 6437 * f + 2260 * h
    o1 = 9633 * b - 2259 * d - 11362 * f - 6436 * h
    o2 = 6437 * b - 11362 * d + 2261 * f + 9633 * h
    o3 = 2260 * b - 6436 * d + 9633 * f - 11363 * h
    return e0 + o0, e1 + o1, e2 + o2, e3 + o3, e3 - o3, e2 - o2, e1 - o1, e0 - o0


@part
def inverse_block(c, w, lines, shift):
    """Inverse transform of dequantised coefficients, int64 (64,), in place, without level shift and clamping.

    Samples are in units of 2^(shift - 18), rounded down. `w` is overwritten. `lines` is 8: an argument, since with a
    constant the compiler would unroll the loop into sixteen copies.
    """
    source, target, bits, half = c, w, COLUMN_SHIFT, np.int64(1) << (COLUMN_SHIFT - 1)
    for _ in range(lines >> 2):
        # Columns are written as rows, so the second pass restores the orientation.
        for x in range(lines):
            r = inverse_8(
                source[x],
                source[8 + x],
                source[16 + x],
                source[24 + x],
                source[32 + x],
                source[40 + x],
                source[48 + x],
                source[56 + x],
                half,
            )
            at = 8 * x
            target[at], target[at + 1], target[at + 2] = r[0] >> bits, r[1] >> bits, r[2] >> bits
            target[at + 3], target[at + 4], target[at + 5] = r[3] >> bits, r[4] >> bits, r[5] >> bits
            target[at + 6], target[at + 7] = r[6] >> bits, r[7] >> bits
        source, target, bits, half = target, source, shift, np.int64(1) << (ROW_SHIFT - 1)


@part
def limited(x):
    """A level, clamped to 0 .. 255."""
    return min(max(x, 0), 255)


@part
def add_cb(cb):
    """The contribution of Cb to blue."""
    return (CB_TO_BLUE * (cb - 128) + 32768) >> 16


@part
def add_cr(cr):
    """The contribution of Cr to red."""
    return (CR_TO_RED * (cr - 128) + 32768) >> 16


@part
def add_both(cb, cr):
    """The contribution of Cb and Cr to green."""
    return (CB_TO_GREEN * (cb - 128) + CR_TO_GREEN * (cr - 128) + 32768) >> 16


def inverse_blocks(coefficients, steps, plane):
    """Samples uint8 (8 rows, 8 columns) of coefficients (rows, columns, 64)."""
    c, w = np.empty(64, np.int64), np.empty(64, np.int64)
    for i in range(coefficients.shape[0]):
        for j in range(coefficients.shape[1]):
            for k in range(64):
                c[k] = np.int64(coefficients[i, j, k]) * np.int64(steps[k])
            inverse_block(c, w, coefficients.shape[2] >> 3, np.int64(ROW_SHIFT))
            for y in range(8):
                for x in range(8):
                    plane[8 * i + y, 8 * j + x] = limited(c[8 * y + x] + 128)


def to_rgb(luma, cb, cr, first, pixels):
    """Convert three planes to colours; `first` is the channel of red, 0 or 2."""
    for y in range(luma.shape[0]):
        for x in range(luma.shape[1]):
            level, b, r = np.int64(luma[y, x]), np.int64(cb[y, x]), np.int64(cr[y, x])
            pixels[y, x, first] = limited(level + add_cr(r))
            pixels[y, x, 1] = limited(level + add_both(b, r))
            pixels[y, x, 2 - first] = limited(level + add_cb(b))


inverse_blocks = compiled(inverse_blocks)
to_rgb = compiled(to_rgb)

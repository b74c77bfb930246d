"""Loops of the decoder: integers of 64 bits, which no int16 times uint16 overflows.

The inverse transform is libjpeg's "islow" one: sums of products with integers, rounded once for columns and once for
rows. Its factors are put together here to those of each output.
"""

import numpy as np

from ..jit import compiled, part

EVEN_2, EVEN_6, LESS_2, LESS_6 = 10703, 4433, 4433, -10704
"""2^13 times what the frequencies 2 and 6 add to the outputs 0, 7 and to 1, 6; of 3, 4 and 2, 5 they are taken."""
COLUMN_SHIFT, ROW_SHIFT = 11, 18
"""Two bits more are kept between columns and rows; the transform of rows and columns is 8 times too large."""


@part
def inverse_8(a, b, c, d, e, f, g, h, half):
    """Eight outputs times 2^13 of frequencies 0 to 7, plus `half`."""
    sum_0, sum_1 = ((a + e) << 13) + half, ((a - e) << 13) + half
    more, less = EVEN_2 * c + EVEN_6 * g, LESS_2 * c + LESS_6 * g
    e0, e3, e1, e2 = sum_0 + more, sum_0 - more, sum_1 + less, sum_1 - less
    o0 = 11363 * b + 9633 * d + 6437 * f + 2260 * h
    o1 = 9633 * b - 2259 * d - 11362 * f - 6436 * h
    o2 = 6437 * b - 11362 * d + 2261 * f + 9633 * h
    o3 = 2260 * b - 6436 * d + 9633 * f - 11363 * h
    return e0 + o0, e1 + o1, e2 + o2, e3 + o3, e3 - o3, e2 - o2, e1 - o1, e0 - o0


@part
def inverse_block(c, w, shift):
    """Samples, neither moved nor limited, of dequantised coefficients, int64 (64,) in place; `w` is spoilt.

    In units of 2^(shift - 18): what is below is cut off.
    """
    half = np.int64(1) << (COLUMN_SHIFT - 1)
    for x in range(8):
        r = inverse_8(c[x], c[8 + x], c[16 + x], c[24 + x], c[32 + x], c[40 + x], c[48 + x], c[56 + x], half)
        w[x], w[8 + x] = r[0] >> COLUMN_SHIFT, r[1] >> COLUMN_SHIFT
        w[16 + x], w[24 + x] = r[2] >> COLUMN_SHIFT, r[3] >> COLUMN_SHIFT
        w[32 + x], w[40 + x] = r[4] >> COLUMN_SHIFT, r[5] >> COLUMN_SHIFT
        w[48 + x], w[56 + x] = r[6] >> COLUMN_SHIFT, r[7] >> COLUMN_SHIFT
    half = np.int64(1) << (ROW_SHIFT - 1)
    for y in range(0, 64, 8):
        r = inverse_8(w[y], w[y + 1], w[y + 2], w[y + 3], w[y + 4], w[y + 5], w[y + 6], w[y + 7], half)
        c[y], c[y + 1], c[y + 2], c[y + 3] = r[0] >> shift, r[1] >> shift, r[2] >> shift, r[3] >> shift
        c[y + 4], c[y + 5], c[y + 6], c[y + 7] = r[4] >> shift, r[5] >> shift, r[6] >> shift, r[7] >> shift


@part
def limited(x):
    """A level from 0 to 255."""
    return min(max(x, 0), 255)


def inverse_blocks(coefficients, steps, plane):
    """Samples uint8 (8 rows, 8 columns) of coefficients (rows, columns, 64)."""
    c, w = np.empty(64, np.int64), np.empty(64, np.int64)
    for i in range(coefficients.shape[0]):
        for j in range(coefficients.shape[1]):
            for k in range(64):
                c[k] = np.int64(coefficients[i, j, k]) * np.int64(steps[k])
            inverse_block(c, w, ROW_SHIFT)
            for y in range(8):
                for x in range(8):
                    plane[8 * i + y, 8 * j + x] = limited(c[8 * y + x] + 128)


def upsample(samples, sy, sx, plane):
    """Chroma of all pixels of samples with a ring around them: 3/4 of the nearest and 1/4 of the next, both ways."""
    height, width = plane.shape
    sums = np.empty(samples.shape[1], np.int64)
    for y in range(height):
        near, far = y // sy + 1, y // sy + 1
        if sy == 2:
            far += 2 * (y & 1) - 1
        for x in range(len(sums)):
            sums[x] = 3 * np.int64(samples[near, x]) + np.int64(samples[far, x])
        if sx == 1 and sy == 1:
            for x in range(width):
                plane[y, x] = samples[near, x + 1]
        elif sx == 1:
            # What is rounded up in one row is rounded down in the next, here and below.
            for x in range(width):
                plane[y, x] = (sums[x + 1] + 1 + (y & 1)) >> 2
        elif sy == 1:
            for x in range(width // 2):
                this = 3 * np.int64(samples[near, x + 1])
                plane[y, 2 * x] = (this + samples[near, x] + 1) >> 2
                plane[y, 2 * x + 1] = (this + samples[near, x + 2] + 2) >> 2
        else:
            for x in range(width // 2):
                this = 3 * sums[x + 1]
                plane[y, 2 * x] = (this + sums[x] + 8) >> 4
                plane[y, 2 * x + 1] = (this + sums[x + 2] + 7) >> 4


def to_rgb(luma, cb, cr, first, pixels):
    """The colours of the three planes; `first` is the channel of red, 0 or 2."""
    for y in range(luma.shape[0]):
        for x in range(luma.shape[1]):
            level, b, r = np.int64(luma[y, x]), np.int64(cb[y, x]) - 128, np.int64(cr[y, x]) - 128
            pixels[y, x, first] = limited(level + ((91881 * r + 32768) >> 16))
            pixels[y, x, 1] = limited(level + ((-22554 * b - 46802 * r + 32768) >> 16))
            pixels[y, x, 2 - first] = limited(level + ((116130 * b + 32768) >> 16))


inverse_blocks = compiled(inverse_blocks)
upsample = compiled(upsample)
to_rgb = compiled(to_rgb)

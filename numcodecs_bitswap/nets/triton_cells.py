"""Inputs of networks, and parameters from their outputs, as Triton kernels: see `triton_ops`, and `torch_ops` for the
arguments. Steps are strides; a program computes CELLS cells with SIZE values each, powers of two.
"""

import triton
import triton.language as tl

from . import units

_NUMBERS = [
    *(f"{grid}_{axis}" for grid in "cdp" for axis in "nyxc"),
    *("cells", "height", "width", "known_height", "known_width", "first", "y_row", "added_row"),
]
"""Not constants of the compiled code: they differ from grid to grid."""
SYMBOL, MEAN_LIMIT = tl.constexpr(units.SYMBOL), tl.constexpr(units.MEAN_LIMIT)


@triton.jit
def _at(image, line, column, height, width, step_y, step_x):
    """Pointers to the cells at lines and columns, each clamped to the grid."""
    line = tl.minimum(tl.maximum(line, 0), height - 1)
    return image + line * step_y + tl.minimum(tl.maximum(column, 0), width - 1) * step_x


@triton.jit
def _difference(values, reference):
    return tl.minimum(tl.maximum(values - reference, -127), 127)


@triton.jit(do_not_specialize=_NUMBERS)
def inputs_kernel(
    c, c_n, c_y, c_x, c_c, d, d_n, d_y, d_x, d_c, u, base, base2, cells, height, width,
    CHANNELS: tl.constexpr, BOTH: tl.constexpr, ROW: tl.constexpr, CELLS: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    """`inputs_a`, or `inputs_b` if BOTH: u int8 (cells, ROW), bases int16 (cells, CHANNELS)."""
    number = (tl.program_id(0) * CELLS + tl.arange(0, CELLS))[:, None]
    x, y, n = number % width, number // width % height, (number // width // height).to(tl.int64)
    cell = number.to(tl.int64)
    j = tl.program_id(1) * SIZE + tl.arange(0, SIZE)[None, :]
    place, ch = j // CHANNELS, j % CHANNELS
    here = (cell < cells) & (j < ROW)
    c += n * c_n + ch * c_c
    right = tl.load(_at(c, y, x + 1, height, width, c_y, c_x), here, other=0).to(tl.int32)
    below = tl.load(_at(c, y + 1, x, height, width, c_y, c_x), here, other=0).to(tl.int32)
    own = tl.load(_at(c, y, x, height, width, c_y, c_x), here, other=0).to(tl.int32)
    first = here & (j < CHANNELS)
    if BOTH:
        d += n * d_n + ch * d_c
        own += tl.load(_at(d, y, x, height, width, d_y, d_x), here, other=0).to(tl.int32)
        one = own + right + tl.load(_at(d, y - 1, x, height, width, d_y, d_x), here, other=0).to(tl.int32)
        other = own + below + tl.load(_at(d, y, x - 1, height, width, d_y, d_x), here, other=0).to(tl.int32)
        reference = (one + other + 4) >> 3
        tl.store(base + cell * CHANNELS + ch, (8 * one).to(tl.int16), first)
        tl.store(base2 + cell * CHANNELS + ch, (8 * other).to(tl.int16), first)
    else:
        diagonal = tl.load(_at(c, y + 1, x + 1, height, width, c_y, c_x), here, other=0).to(tl.int32)
        total = own + right + below + diagonal
        reference = (total + 2) >> 2
        tl.store(base + cell * CHANNELS + ch, (8 * total).to(tl.int16), first)
    dy, dx = place % 16 // 4, place % 4
    values = tl.load(_at(c, y + dy - 1, x + dx - 1, height, width, c_y, c_x), here & (place < 16), other=0)
    windows = 16
    if BOTH:
        windows = 32
        more = _at(d, y + dy - 2, x + dx - 2, height, width, d_y, d_x)
        values += tl.load(more, here & (place >= 16) & (place < 32), other=0)
    result = _difference(values.to(tl.int32), reference)
    result = tl.where(place < windows, result, tl.where(place == windows, _difference(reference, 128), 0))
    tl.store(u + cell * ROW + j, result.to(tl.int8), here)


@triton.jit(do_not_specialize=_NUMBERS)
def mixtures_kernel(
    y, y_row, first, added, added_row, base, pixels, p_n, p_y, p_x, p_c, logits, means, scales,
    cells, height, width, known_height, known_width,
    CHANNELS: tl.constexpr, CH: tl.constexpr, MORE: tl.constexpr, K: tl.constexpr,
    CELLS: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    """`mixtures`: logits, means and scales int32 (cells, K), of the cells of grids (known_height, known_width) which
    are the first lines and columns of grids (height, width).
    """
    number = (tl.program_id(0) * CELLS + tl.arange(0, CELLS))[:, None]
    x, line = number % known_width, number // known_width % known_height
    n, cell = (number // known_width // known_height).to(tl.int64), number.to(tl.int64)
    k, here = tl.arange(0, SIZE)[None, :], cell < cells
    at = (n * height + line) * width + x
    y += at * y_row + first
    base += at * CHANNELS
    pixels += n * p_n + line * p_y + x * p_x
    mean = tl.load(base + CH, here, other=0).to(tl.int32)
    for earlier in tl.static_range(CH):
        coefficient = tl.load(y + 3 * K * CHANNELS + CH * (CH - 1) // 2 + earlier, here, other=0)
        off = SYMBOL * tl.load(pixels + earlier * p_c, here, other=0).to(tl.int32)
        off -= tl.load(base + earlier, here, other=0).to(tl.int32)
        mean += (tl.minimum(tl.maximum(coefficient, -127), 127) * off) >> 6
    kept = here & (k < K)
    own = y + 3 * K * CH + k
    logit = tl.load(own, kept, other=0)
    offset = tl.load(own + K, kept, other=0)
    scale = tl.load(own + 2 * K, kept, other=0)
    if MORE:
        own = added + at * added_row + k
        logit += tl.load(own, kept, other=0)
        offset += tl.load(own + K, kept, other=0)
        scale += tl.load(own + 2 * K, kept, other=0)
    to = cell * K + k
    tl.store(logits + to, tl.minimum(tl.maximum(logit, -127), 127), kept)
    tl.store(means + to, mean + tl.minimum(tl.maximum(offset, -MEAN_LIMIT), MEAN_LIMIT), kept)
    tl.store(scales + to, tl.minimum(tl.maximum(scale, 0), 127), kept)

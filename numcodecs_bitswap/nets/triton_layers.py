"""Layers of FORMAT.md section 4 as Triton kernels: int8 products on tensor cores, fused with requantisation and
activations; see `triton_ops`.

A program computes CELLS cells, rows of int8 activations (cells, C), channels last. Weights are int8 (limbs, NP, taps
KP): outputs and the inputs of each tap are padded with zeros to NP and KP, multiples of the blocks N and K. There are
two limbs if the layer is WIDE, the high ones first. Biases and shifts are int32 (NP,). Blocks are powers of two, K at
least 32.
"""

import triton
import triton.language as tl

_NUMBERS = ["cells", "height", "width", "known_height", "known_width", "step_n", "step_y", "step_x", "step_c"]
"""Not constants of the compiled code: they differ from grid to grid."""


@triton.jit
def _add_products(high, low, x, here, weights, n, C: tl.constexpr, ROW: tl.constexpr, LIMB: tl.constexpr,
                  WIDE: tl.constexpr, K: tl.constexpr):  # fmt: skip
    """Add to the sums of both limbs the products of C activations at pointers x with weights (n, C), rows of ROW."""
    k = tl.arange(0, K)
    for first in range(0, C, K):
        a = tl.load(x[:, None] + (first + k)[None, :], here[:, None] & (first + k < C)[None, :], other=0)
        at = weights + n[None, :] * ROW + (first + k)[:, None]
        if WIDE:
            high = tl.dot(a, tl.load(at), high, out_dtype=tl.int32)
            low = tl.dot(a, tl.load(at + LIMB), low, out_dtype=tl.int32)
        else:
            low = tl.dot(a, tl.load(at), low, out_dtype=tl.int32)
    return high, low


@triton.jit
def _requantised(high, low, bias, shift, n, WIDE: tl.constexpr):
    """(sums + bias) >> shift."""
    if WIDE:
        low += 64 * high
    return (low + tl.load(bias + n)[None, :]) >> tl.load(shift + n)[None, :]


@triton.jit
def _clamped(values, low):
    return tl.minimum(tl.maximum(values, low), 127)


@triton.jit
def _layer(x, here, w, bias, shift, n, C: tl.constexpr, KP: tl.constexpr, NP: tl.constexpr, WIDE: tl.constexpr,
           CELLS: tl.constexpr, N: tl.constexpr, K: tl.constexpr):  # fmt: skip
    """A layer at the cells of the pointers x, requantised: int32 (CELLS, N)."""
    low = tl.zeros((CELLS, N), tl.int32)
    high = low
    high, low = _add_products(high, low, x, here, w, n, C, KP, NP * KP, WIDE, K)
    return _requantised(high, low, bias, shift, n, WIDE)


@triton.jit
def _inner(v, w, bias, shift, n, m, NP: tl.constexpr, NP2: tl.constexpr, WIDE: tl.constexpr, CELLS: tl.constexpr):
    """A layer of activations (CELLS, NP) that the program holds, requantised: int32 (CELLS, NP2)."""
    low = tl.zeros((CELLS, NP2), tl.int32)
    high = low
    at = w + m[None, :] * NP + n[:, None]
    if WIDE:
        high = tl.dot(v, tl.load(at), high, out_dtype=tl.int32)
        low = tl.dot(v, tl.load(at + NP2 * NP), low, out_dtype=tl.int32)
    else:
        low = tl.dot(v, tl.load(at), low, out_dtype=tl.int32)
    return _requantised(high, low, bias, shift, m, WIDE)


@triton.jit(do_not_specialize=_NUMBERS)
def dense_kernel(
    x, w, bias, shift, out, cells,
    C: tl.constexpr, KP: tl.constexpr, NP: tl.constexpr, WIDE: tl.constexpr, OUT: tl.constexpr,
    CELLS: tl.constexpr, N: tl.constexpr, K: tl.constexpr,
):  # fmt: skip
    """`torch_networks.dense`: out int8 (cells, OUT)."""
    cell, n = tl.program_id(0).to(tl.int64) * CELLS + tl.arange(0, CELLS), tl.program_id(1) * N + tl.arange(0, N)
    here = cell < cells
    y = _clamped(_layer(x + cell * C, here, w, bias, shift, n, C, KP, NP, WIDE, CELLS, N, K), 0)
    tl.store(out + cell[:, None] * OUT + n[None, :], y.to(tl.int8), here[:, None] & (n < OUT)[None, :])


@triton.jit(do_not_specialize=_NUMBERS)
def outputs_kernel(
    h, w, bias, shift, u, w2, bias2, shift2, out, cells,
    C: tl.constexpr, KP: tl.constexpr, WIDE: tl.constexpr, C2: tl.constexpr, KP2: tl.constexpr, WIDE2: tl.constexpr,
    NP: tl.constexpr, OUT: tl.constexpr, CELLS: tl.constexpr, N: tl.constexpr, K: tl.constexpr, K2: tl.constexpr,
):  # fmt: skip
    """`torch_networks.outputs`: out int32 (cells, OUT)."""
    cell, n = tl.program_id(0).to(tl.int64) * CELLS + tl.arange(0, CELLS), tl.program_id(1) * N + tl.arange(0, N)
    here = cell < cells
    y = _layer(h + cell * C, here, w, bias, shift, n, C, KP, NP, WIDE, CELLS, N, K)
    y += _layer(u + cell * C2, here, w2, bias2, shift2, n, C2, KP2, NP, WIDE2, CELLS, N, K2)
    tl.store(out + cell[:, None] * OUT + n[None, :], y, here[:, None] & (n < OUT)[None, :])


@triton.jit(do_not_specialize=_NUMBERS)
def block_kernel(
    h, w, bias, shift, w2, bias2, shift2, out, cells, height, width,
    C: tl.constexpr, KP: tl.constexpr, NP: tl.constexpr, WIDE: tl.constexpr, NP2: tl.constexpr, WIDE2: tl.constexpr,
    CELLS: tl.constexpr,
):  # fmt: skip
    """`torch_networks.block`: out int8 (cells, C), cells in the order of grids (height, width).

    One block holds all of a layer's outputs, so those of the 3 x 3 layer stay in the program.
    """
    place, n, k = tl.program_id(0) * CELLS + tl.arange(0, CELLS), tl.arange(0, NP), tl.arange(0, KP)
    column, line, cell = place % width, place // width % height, place.to(tl.int64)
    here = cell < cells
    low = tl.zeros((CELLS, NP), tl.int32)
    high = low
    for tap in range(9):
        dy, dx = tap // 3 - 1, tap % 3 - 1
        inside = here & (line + dy >= 0) & (line + dy < height) & (column + dx >= 0) & (column + dx < width)
        x = h + (cell + dy * width + dx) * C
        a = tl.load(x[:, None] + k[None, :], inside[:, None] & (k < C)[None, :], other=0)
        at = w + n[None, :] * (9 * KP) + tap * KP + k[:, None]
        if WIDE:
            high = tl.dot(a, tl.load(at), high, out_dtype=tl.int32)
            low = tl.dot(a, tl.load(at + NP * 9 * KP), low, out_dtype=tl.int32)
        else:
            low = tl.dot(a, tl.load(at), low, out_dtype=tl.int32)
    v = _clamped(_requantised(high, low, bias, shift, n, WIDE), 0).to(tl.int8)
    m = tl.arange(0, NP2)
    y = _inner(v, w2, bias2, shift2, n, m, NP, NP2, WIDE2, CELLS)
    kept = here[:, None] & (m < C)[None, :]
    y += tl.load(h + cell[:, None] * C + m[None, :], kept, other=0).to(tl.int32)
    tl.store(out + cell[:, None] * C + m[None, :], _clamped(y, -127).to(tl.int8), kept)


@triton.jit(do_not_specialize=_NUMBERS)
def correction_kernel(
    features, pixels, base, w, bias, shift, w2, bias2, shift2, out,
    cells, height, width, known_height, known_width, step_n, step_y, step_x, step_c,
    CHANNELS: tl.constexpr, EARLIER: tl.constexpr, C: tl.constexpr, KP: tl.constexpr, NP: tl.constexpr,
    WIDE: tl.constexpr, NP2: tl.constexpr, WIDE2: tl.constexpr, OUT: tl.constexpr,
    CELLS: tl.constexpr, K: tl.constexpr,
):  # fmt: skip
    """`torch_networks.correction`: out int32 (cells, OUT). `torch_networks.corrected`, if EARLIER is 0.

    The weights of the deviations stand behind those of the C features. Steps are the strides of the pixels.
    """
    place, n = tl.program_id(0) * CELLS + tl.arange(0, CELLS), tl.arange(0, NP)
    column, line, cell = place % width, place // width % height, place.to(tl.int64)
    here = cell < cells
    low = tl.zeros((CELLS, NP), tl.int32)
    high = low
    high, low = _add_products(high, low, features + cell * C, here, w, n, C, KP, NP * KP, WIDE, K)
    known = here & (line < known_height) & (column < known_width)
    at = pixels + (place // width // height).to(tl.int64) * step_n + line * step_y + column * step_x
    for ch in tl.static_range(EARLIER):
        level = (tl.load(base + cell * CHANNELS + ch, known, other=0).to(tl.int32) + 16) >> 5
        off = tl.load(at + ch * step_c, known, other=0).to(tl.int32) - level
        deviation = tl.where(known, _clamped(off, -127), 0)[:, None]
        weights = w + n * KP + C + ch
        if WIDE:
            high += deviation * tl.load(weights).to(tl.int32)[None, :]
            low += deviation * tl.load(weights + NP * KP).to(tl.int32)[None, :]
        else:
            low += deviation * tl.load(weights).to(tl.int32)[None, :]
    v = _clamped(_requantised(high, low, bias, shift, n, WIDE), 0).to(tl.int8)
    m = tl.arange(0, NP2)
    y = _inner(v, w2, bias2, shift2, n, m, NP, NP2, WIDE2, CELLS)
    tl.store(out + cell[:, None] * OUT + m[None, :], y, here[:, None] & (m < OUT)[None, :])

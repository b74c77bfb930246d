"""The functions of `torch_ops` on a CPU, each one compiled loop: one pass over memory where torch makes several.

The same integers. Beside an int8 matrix product these passes are most of a network's time. Compiled code holds no
interpreter lock and is kept on disk.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numba.extending import register_jitable
from torch import Tensor

from ..jit import compiled, inlined
from .torch_ops import MEAN_LIMIT, SYMBOL, WIDE, aligned

if TYPE_CHECKING:
    from .exact import Layer


def settle(sums: Tensor, layer: "Layer", out: Tensor | None = None, add: bool = False) -> Tensor:
    """See `torch_ops.settle`."""
    out = torch.empty(len(sums), len(layer.bias), dtype=torch.int32) if out is None else out
    _settle(sums.numpy(), layer.wide, *layer.arrays, add, out.numpy())
    return out


def rectify(sums: Tensor, layer: "Layer", out: Tensor | None = None) -> Tensor:
    """See `torch_ops.rectify`."""
    out = torch.empty(len(sums), len(layer.bias), dtype=torch.int8) if out is None else out
    _rectify(sums.numpy(), layer.wide, *layer.arrays, out.numpy())
    return out


def residual(sums: Tensor, layer: "Layer", h: Tensor, out: Tensor) -> Tensor:
    """See `torch_ops.residual`."""
    _residual(sums.numpy(), layer.wide, *layer.arrays, h.numpy(), out.numpy())
    return out


def neighbours(h: Tensor) -> Tensor:
    """See `torch_ops.neighbours`."""
    n, height, width, c = h.shape
    out = torch.empty(n * height * width, 9 * c, dtype=torch.int8)
    _neighbours(h.contiguous().numpy(), out.numpy())
    return out


def inputs_a(c: Tensor) -> tuple[Tensor, Tensor]:
    """See `torch_ops.inputs_a`."""
    u = torch.empty(*c.shape[:3], aligned(17 * c.shape[3]), dtype=torch.int8)
    base = torch.empty_like(c, memory_format=torch.contiguous_format)
    _inputs_a(c.numpy(), u.numpy(), base.numpy())
    return u, base


def inputs_b(c: Tensor, d: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """See `torch_ops.inputs_b`."""
    u = torch.empty(*c.shape[:3], aligned(33 * c.shape[3]), dtype=torch.int8)
    base01, base10 = (torch.empty_like(c, memory_format=torch.contiguous_format) for _ in range(2))
    _inputs_b(c.numpy(), d.numpy(), u.numpy(), base01.numpy(), base10.numpy())
    return u, base01, base10


def with_deviations(features: Tensor, pixels: Tensor, base: Tensor, earlier: int) -> Tensor:
    """See `torch_ops.with_deviations`."""
    rows = torch.empty(*features.shape[:3], features.shape[3] + aligned(earlier), dtype=torch.int8)
    _with_deviations(features.numpy(), pixels.numpy(), base.numpy(), earlier, rows.numpy())
    return rows.flatten(0, 2)


def mixtures(
    y: Tensor, first: int, added: Tensor | None, base: Tensor, pixels: Tensor, ch: int, k: int
) -> tuple[Tensor, Tensor, Tensor]:
    """See `torch_ops.mixtures`."""
    logits, means, scales = (torch.empty(*pixels.shape[:3], k, dtype=torch.int32) for _ in range(3))
    more = torch.empty(1, 1, 1, 1, dtype=torch.int32) if added is None else added
    inputs = (y.numpy(), first, added is not None, more.numpy(), base.numpy(), pixels.numpy(), ch)
    _mixtures(k)(*inputs, logits.numpy(), means.numpy(), scales.numpy())
    return logits, means, scales


def _compile(signature: str) -> Callable[[Callable[..., None]], Any]:
    """Compile for one signature, so that arrays of other layouts do not make another version."""
    return partial(compiled, signature=signature)


_LAYER = "int32[:,::1], b1, int32[::1], int32[::1]"


@register_jitable(forceinline=True)
def _settled(sums: Any, wide: Any, bias: Any, shift: Any, i: int, o: int) -> Any:
    """Output `o` of row `i`."""
    total = WIDE * sums[i, o] + sums[i, len(bias) + o] if wide else sums[i, o]
    return (total + bias[o]) >> shift[o]


@_compile(f"void({_LAYER}, b1, int32[:,::1])")
def _settle(sums, wide, bias, shift, add, out):  # type: ignore[no-untyped-def]
    for i in range(len(sums)):
        for o in range(len(bias)):
            value = _settled(sums, wide, bias, shift, i, o)
            out[i, o] = out[i, o] + value if add else value


@_compile(f"void({_LAYER}, int8[:,::1])")
def _rectify(sums, wide, bias, shift, out):  # type: ignore[no-untyped-def]
    for i in range(len(sums)):
        for o in range(len(bias)):
            out[i, o] = min(max(_settled(sums, wide, bias, shift, i, o), 0), 127)


@_compile(f"void({_LAYER}, int8[:,::1], int8[:,::1])")
def _residual(sums, wide, bias, shift, h, out):  # type: ignore[no-untyped-def]
    for i in range(len(sums)):
        for o in range(len(bias)):
            out[i, o] = min(max(h[i, o] + _settled(sums, wide, bias, shift, i, o), -127), 127)


@_compile("void(int8[:,:,:,::1], int8[:,::1])")
def _neighbours(h, out):  # type: ignore[no-untyped-def]
    n, height, width, c = h.shape
    i = 0
    for k in range(n):
        for y in range(height):
            for x in range(width):
                for row in range(3):
                    for column in range(3):
                        yy, xx, at = y + row - 1, x + column - 1, (3 * row + column) * c
                        if 0 <= yy < height and 0 <= xx < width:
                            for ch in range(c):
                                out[i, at + ch] = h[k, yy, xx, ch]
                        else:
                            for ch in range(c):
                                out[i, at + ch] = 0
                i += 1


@inlined
def _padded(grid, before):  # type: ignore[no-untyped-def]
    """A grid (h, w, c) with its edges repeated, `before` lines and columns before and three in all: (h + 3, ...)."""
    h, w, channels = grid.shape
    out = np.empty((h + 3, (w + 3) * channels), np.int16)
    for i in range(h + 3):
        y = min(max(i - before, 0), h - 1)
        for j in range(w + 3):
            x = min(max(j - before, 0), w - 1)
            for ch in range(channels):
                out[i, j * channels + ch] = grid[y, x, ch]
    return out


@inlined
def _differences(padded, i, j, reference, out):  # type: ignore[no-untyped-def]
    """The 4 x 4 neighbours of a cell less the reference, which is there four times, one for each of a row."""
    run = len(reference)
    channels = run // 4
    for m in range(4):
        row = padded[i + m, j * channels : j * channels + run]
        for t in range(run):
            out[m * run + t] = min(max(row[t] - reference[t], -127), 127)


@_compile("void(int16[:,:,:,:], int8[:,:,:,::1], int16[:,:,:,::1])")
def _inputs_a(c, u, base):  # type: ignore[no-untyped-def]
    n, h, w, channels = c.shape
    reference = np.empty(4 * channels, np.int16)
    for k in range(n):
        around = _padded(c[k], 1)
        for i in range(h):
            for j in range(w):
                for ch in range(channels):
                    at = (j + 1) * channels + ch
                    total = np.int64(around[i + 1, at]) + around[i + 1, at + channels]
                    total += np.int64(around[i + 2, at]) + around[i + 2, at + channels]
                    base[k, i, j, ch] = 8 * total
                    r = (total + 2) >> 2
                    u[k, i, j, 16 * channels + ch] = min(max(r - 128, -127), 127)
                    for o in range(4):
                        reference[o * channels + ch] = r
                _differences(around, i, j, reference, u[k, i, j])
                u[k, i, j, 17 * channels :] = 0


@_compile("void(int16[:,:,:,:], int16[:,:,:,:], int8[:,:,:,::1], int16[:,:,:,::1], int16[:,:,:,::1])")
def _inputs_b(c, d, u, base01, base10):  # type: ignore[no-untyped-def]
    n, h, w, channels = c.shape
    reference = np.empty(4 * channels, np.int16)
    for k in range(n):
        around, diagonal = _padded(c[k], 1), _padded(d[k], 2)
        for i in range(h):
            for j in range(w):
                for ch in range(channels):
                    at, to = (j + 1) * channels + ch, (j + 2) * channels + ch
                    both = np.int64(around[i + 1, at]) + diagonal[i + 2, to]
                    s01 = both + around[i + 1, at + channels] + diagonal[i + 1, to]
                    s10 = both + around[i + 2, at] + diagonal[i + 2, to - channels]
                    base01[k, i, j, ch], base10[k, i, j, ch] = 8 * s01, 8 * s10
                    r = (s01 + s10 + 4) >> 3
                    u[k, i, j, 32 * channels + ch] = min(max(r - 128, -127), 127)
                    for o in range(4):
                        reference[o * channels + ch] = r
                _differences(around, i, j, reference, u[k, i, j])
                _differences(diagonal, i, j, reference, u[k, i, j, 16 * channels :])
                u[k, i, j, 33 * channels :] = 0


@_compile("void(int8[:,:,:,::1], int16[:,:,:,:], int16[:,:,:,::1], int64, int8[:,:,:,::1])")
def _with_deviations(features, pixels, base, earlier, rows):  # type: ignore[no-untyped-def]
    n, h, w, width = features.shape
    for k in range(n):
        for i in range(h):
            for j in range(w):
                for o in range(width):
                    rows[k, i, j, o] = features[k, i, j, o]
                rows[k, i, j, width:] = 0
                if i < pixels.shape[1] and j < pixels.shape[2]:
                    for ch in range(earlier):
                        v = pixels[k, i, j, ch] - ((base[k, i, j, ch] + SYMBOL // 2) >> 5)
                        rows[k, i, j, width + ch] = min(max(v, -127), 127)


GRID = "int32[:,:,:,::1]"


@register_jitable(forceinline=True)
def chained(coefficients: Any, base: Any, pixels: Any, ch: int) -> Any:
    """Base of a channel's mean plus what the channels before it say."""
    mean = np.int32(base[ch])
    for earlier in range(ch):
        off = np.int32(SYMBOL) * np.int32(pixels[earlier]) - np.int32(base[earlier])
        coefficient = min(max(coefficients[earlier], np.int32(-127)), np.int32(127))
        mean += (coefficient * off) >> np.int32(6)
    return mean


@cache
def _mixtures(k: int) -> Any:
    """The loop for k components: twice as fast if their number is known."""

    def mixtures(y, first, more, added, base, pixels, ch, logits, means, scales):  # type: ignore[no-untyped-def]
        n, h, w, c = pixels.shape
        at, chain = first + 3 * k * ch, first + 3 * k * c + ch * (ch - 1) // 2
        for b in range(n):
            for i in range(h):
                for j in range(w):
                    outputs = y[b, i, j]
                    mean = chained(outputs[chain:], base[b, i, j], pixels[b, i, j], ch)
                    for o in range(k):
                        logit, offset, scale = outputs[at + o], outputs[at + k + o], outputs[at + 2 * k + o]
                        if more:
                            logit += added[b, i, j, o]
                            offset += added[b, i, j, k + o]
                            scale += added[b, i, j, 2 * k + o]
                        logits[b, i, j, o] = min(max(logit, np.int32(-127)), np.int32(127))
                        means[b, i, j, o] = mean + min(max(offset, np.int32(-MEAN_LIMIT)), np.int32(MEAN_LIMIT))
                        scales[b, i, j, o] = min(max(scale, np.int32(0)), np.int32(127))

    views = "int16[:,:,:,::1], int16[:,:,:,:]"
    return compiled(mixtures, f"void({GRID}, int64, b1, {GRID}, {views}, int64, {GRID}, {GRID}, {GRID})")

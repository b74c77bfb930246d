"""The functions of `torch_ops` on a CPU, each one compiled loop: one pass over memory where torch makes several.

The same integers. Beside an int8 matrix product these passes are most of a network's time. Compiled code holds no
interpreter lock and is kept on disk.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..jit import compiled
from .torch_ops import MEAN_LIMIT, SYMBOL, WIDE, aligned

if TYPE_CHECKING:
    from .exact import Layer


def settle(sums: Tensor, layer: "Layer", add: Tensor | None = None) -> Tensor:
    """See `torch_ops.settle`."""
    out = torch.zeros(len(sums), len(layer.bias), dtype=torch.int32) if add is None else add
    _settle(sums.numpy(), layer.wide, *layer.arrays, out.numpy())
    return out


def rectify(sums: Tensor, layer: "Layer") -> Tensor:
    """See `torch_ops.rectify`."""
    out = torch.zeros(len(sums), len(layer.bias), dtype=torch.int8)
    _clamped(sums.numpy(), layer.wide, *layer.arrays, 0, out.numpy())
    return out


def residual(sums: Tensor, layer: "Layer", h: Tensor) -> Tensor:
    """See `torch_ops.residual`."""
    _clamped(sums.numpy(), layer.wide, *layer.arrays, -127, h.numpy())
    return h


def neighbours(h: Tensor) -> Tensor:
    """See `torch_ops.neighbours`."""
    n, height, width, c = h.shape
    out = torch.empty(n * height * width, 9 * c, dtype=torch.int8)
    _neighbours(h.contiguous().numpy(), out.numpy())
    return out


def inputs_a(c: Tensor) -> tuple[Tensor, Tensor]:
    """See `torch_ops.inputs_a`."""
    u = torch.zeros(*c.shape[:3], aligned(17 * c.shape[3]), dtype=torch.int8)
    base = torch.empty_like(c, memory_format=torch.contiguous_format)
    _inputs_a(c.numpy(), u.numpy(), base.numpy())
    return u, base


def inputs_b(c: Tensor, d: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """See `torch_ops.inputs_b`."""
    u = torch.zeros(*c.shape[:3], aligned(33 * c.shape[3]), dtype=torch.int8)
    base01, base10 = (torch.empty_like(c, memory_format=torch.contiguous_format) for _ in range(2))
    _inputs_b(c.numpy(), d.numpy(), u.numpy(), base01.numpy(), base10.numpy())
    return u, base01, base10


def with_deviations(features: Tensor, pixels: Tensor, base: Tensor, earlier: int) -> Tensor:
    """See `torch_ops.with_deviations`."""
    rows = torch.zeros(*features.shape[:3], features.shape[3] + aligned(earlier), dtype=torch.int8)
    _with_deviations(features.numpy(), pixels.numpy(), base.numpy(), earlier, rows.numpy())
    return rows.flatten(0, 2)


def mixtures(
    y: Tensor, first: int, added: Tensor | None, base: Tensor, pixels: Tensor, ch: int, k: int
) -> tuple[Tensor, Tensor, Tensor]:
    """See `torch_ops.mixtures`."""
    logits, means, scales = (torch.empty(*pixels.shape[:3], k, dtype=torch.int32) for _ in range(3))
    more = torch.empty(1, 1, 1, 1, dtype=torch.int32) if added is None else added
    inputs = (y.numpy(), first, added is not None, more.numpy(), base.numpy(), pixels.numpy(), ch)
    _mixtures(*inputs, logits.numpy(), means.numpy(), scales.numpy())
    return logits, means, scales


def _compile(signature: str) -> Callable[[Callable[..., None]], Any]:
    """Compile for one signature, so that arrays of other layouts do not make another version."""
    return partial(compiled, signature=signature)


@_compile("void(int32[:,::1], b1, int32[::1], int32[::1], int32[:,::1])")
def _settle(sums, wide, bias, shift, out):  # type: ignore[no-untyped-def]
    columns = len(bias)
    for i in range(len(sums)):
        if wide:
            for o in range(columns):
                out[i, o] += (WIDE * sums[i, o] + sums[i, columns + o] + bias[o]) >> shift[o]
        else:
            for o in range(columns):
                out[i, o] += (sums[i, o] + bias[o]) >> shift[o]


@_compile("void(int32[:,::1], b1, int32[::1], int32[::1], int32, int8[:,::1])")
def _clamped(sums, wide, bias, shift, low, out):  # type: ignore[no-untyped-def]
    columns = len(bias)
    for i in range(len(sums)):
        if wide:
            for o in range(columns):
                v = out[i, o] + ((WIDE * sums[i, o] + sums[i, columns + o] + bias[o]) >> shift[o])
                out[i, o] = min(max(v, low), 127)
        else:
            for o in range(columns):
                v = out[i, o] + ((sums[i, o] + bias[o]) >> shift[o])
                out[i, o] = min(max(v, low), 127)


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


@_compile("void(int16[:,:,:,:], int8[:,:,:,::1], int16[:,:,:,::1])")
def _inputs_a(c, u, base):  # type: ignore[no-untyped-def]
    n, h, w, channels = c.shape
    for k in range(n):
        for i in range(h):
            below = min(i + 1, h - 1)
            for j in range(w):
                right = min(j + 1, w - 1)
                for ch in range(channels):
                    total = c[k, i, j, ch] + c[k, i, right, ch] + c[k, below, j, ch] + c[k, below, right, ch]
                    base[k, i, j, ch] = 8 * total
                    r = (total + 2) >> 2
                    u[k, i, j, 16 * channels + ch] = min(max(r - 128, -127), 127)
                    for m in range(4):
                        y = min(max(i + m - 1, 0), h - 1)
                        for o in range(4):
                            x = min(max(j + o - 1, 0), w - 1)
                            v = c[k, y, x, ch] - r
                            u[k, i, j, (4 * m + o) * channels + ch] = min(max(v, -127), 127)


@_compile("void(int16[:,:,:,:], int16[:,:,:,:], int8[:,:,:,::1], int16[:,:,:,::1], int16[:,:,:,::1])")
def _inputs_b(c, d, u, base01, base10):  # type: ignore[no-untyped-def]
    n, h, w, channels = c.shape
    for k in range(n):
        for i in range(h):
            above, below = max(i - 1, 0), min(i + 1, h - 1)
            for j in range(w):
                left, right = max(j - 1, 0), min(j + 1, w - 1)
                for ch in range(channels):
                    both = c[k, i, j, ch] + d[k, i, j, ch]
                    s01 = both + c[k, i, right, ch] + d[k, above, j, ch]
                    s10 = both + c[k, below, j, ch] + d[k, i, left, ch]
                    base01[k, i, j, ch], base10[k, i, j, ch] = 8 * s01, 8 * s10
                    r = (s01 + s10 + 4) >> 3
                    u[k, i, j, 32 * channels + ch] = min(max(r - 128, -127), 127)
                    for m in range(4):
                        y, z = min(max(i + m - 1, 0), h - 1), min(max(i + m - 2, 0), h - 1)
                        for o in range(4):
                            x, t = min(max(j + o - 1, 0), w - 1), min(max(j + o - 2, 0), w - 1)
                            at = (4 * m + o) * channels + ch
                            u[k, i, j, at] = min(max(c[k, y, x, ch] - r, -127), 127)
                            u[k, i, j, 16 * channels + at] = min(max(d[k, z, t, ch] - r, -127), 127)


@_compile("void(int8[:,:,:,::1], int16[:,:,:,:], int16[:,:,:,::1], int64, int8[:,:,:,::1])")
def _with_deviations(features, pixels, base, earlier, rows):  # type: ignore[no-untyped-def]
    n, h, w, width = features.shape
    for k in range(n):
        for i in range(h):
            for j in range(w):
                for o in range(width):
                    rows[k, i, j, o] = features[k, i, j, o]
                if i < pixels.shape[1] and j < pixels.shape[2]:
                    for ch in range(earlier):
                        v = pixels[k, i, j, ch] - ((base[k, i, j, ch] + SYMBOL // 2) >> 5)
                        rows[k, i, j, width + ch] = min(max(v, -127), 127)


_GRID = "int32[:,:,:,::1]"


@_compile(f"void({_GRID}, int64, b1, {_GRID}, int16[:,:,:,::1], int16[:,:,:,:], int64, {_GRID}, {_GRID}, {_GRID})")
def _mixtures(y, first, more, added, base, pixels, ch, logits, means, scales):  # type: ignore[no-untyped-def]
    n, h, w, c = pixels.shape
    k = logits.shape[3]
    at, chain = first + 3 * k * ch, first + 3 * k * c + ch * (ch - 1) // 2
    for b in range(n):
        for i in range(h):
            for j in range(w):
                mean = int(base[b, i, j, ch])
                for earlier in range(ch):
                    coefficient = min(max(y[b, i, j, chain + earlier], -127), 127)
                    mean += (coefficient * (SYMBOL * pixels[b, i, j, earlier] - base[b, i, j, earlier])) >> 6
                for o in range(k):
                    logit, offset, scale = y[b, i, j, at + o], y[b, i, j, at + k + o], y[b, i, j, at + 2 * k + o]
                    if more:
                        logit += added[b, i, j, o]
                        offset += added[b, i, j, k + o]
                        scale += added[b, i, j, 2 * k + o]
                    logits[b, i, j, o] = min(max(logit, -127), 127)
                    means[b, i, j, o] = mean + min(max(offset, -MEAN_LIMIT), MEAN_LIMIT)
                    scales[b, i, j, o] = min(max(scale, 0), 127)

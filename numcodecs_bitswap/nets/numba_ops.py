"""The operations between networks on a CPU, one compiled loop each: the functions of `torch_ops` for numpy arrays, with
the same integers.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
from numba.extending import register_jitable

from ..arrays import Array
from ..runtime.jit import compiled, inlined
from .units import MEAN_LIMIT, SYMBOL, aligned


def inputs_a(c: Array) -> tuple[Array, Array]:
    """See `torch_ops.inputs_a`."""
    u, base = np.empty((*c.shape[:3], aligned(17 * c.shape[3])), np.int8), np.empty(c.shape, np.int16)
    _inputs_a(c, u, base)
    return u, base


def inputs_b(c: Array, d: Array) -> tuple[Array, Array, Array]:
    """See `torch_ops.inputs_b`."""
    u = np.empty((*c.shape[:3], aligned(33 * c.shape[3])), np.int8)
    base01, base10 = np.empty(c.shape, np.int16), np.empty(c.shape, np.int16)
    _inputs_b(c, d, u, base01, base10)
    return u, base01, base10


def with_deviations(features: Array, pixels: Array, base: Array, earlier: int) -> Array:
    """See `torch_ops.with_deviations`."""
    width = features.shape[3] + aligned(earlier)
    rows = np.empty((*features.shape[:3], width), np.int8)
    _with_deviations(features, pixels, base, earlier, rows)
    return rows.reshape(-1, width)


def mixtures(
    y: Array, first: int, added: Array | None, base: Array, pixels: Array, ch: int, k: int
) -> tuple[Array, Array, Array]:
    """See `torch_ops.mixtures`."""
    logits, means, scales = np.empty((3, *pixels.shape[:3], k), np.int32)
    more = np.empty((1, 1, 1, 1), np.int32) if added is None else added
    _mixtures(k)(y, first, added is not None, more, base, pixels, ch, logits, means, scales)
    return logits, means, scales


def _compile(signature: str) -> Callable[[Callable[..., None]], Any]:
    """Compile for one signature, so that other memory layouts do not cause another compilation."""
    return partial(compiled, signature=signature)


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
    """The 4 x 4 neighbours of a cell minus the reference, which is repeated four times, once for each of a row."""
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
    """Base of a channel's mean plus the chain terms of the channels before it."""
    mean = np.int32(base[ch])
    for earlier in range(ch):
        off = np.int32(SYMBOL) * np.int32(pixels[earlier]) - np.int32(base[earlier])
        coefficient = min(max(coefficients[earlier], np.int32(-127)), np.int32(127))
        mean += (coefficient * off) >> np.int32(6)
    return mean


@cache
def _mixtures(k: int) -> Any:
    """The loop for k components: twice as fast with their number as a constant."""

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

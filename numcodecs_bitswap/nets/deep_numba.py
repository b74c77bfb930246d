"""The functions of `deep_torch` on a CPU, each one compiled loop; the same integers (see `numba_ops`)."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from ..jit import compiled
from .deep_torch import LARGEST_SCALE, LEAST_SCALE, LEAST_STEP, MEANS, SCALE_LIMIT, UNIT_STEP
from .numba_ops import GRID, chained
from .torch_ops import MEAN_LIMIT, SYMBOL, aligned


def inputs_a(c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """See `deep_torch.inputs_a`."""
    u = torch.zeros(*c.shape[:3], aligned(21 * c.shape[3]), dtype=torch.int8)
    base, g = (torch.empty_like(c, memory_format=torch.contiguous_format) for _ in range(2))
    total = torch.empty_like(base)
    _inputs_a(c.numpy(), u.numpy(), base.numpy(), g.numpy(), total.numpy())
    _codes(c.numpy(), u.numpy(), base.numpy(), g.numpy(), total.numpy(), 16)
    return u, base, g


def inputs_b(c: Tensor, d: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """See `deep_torch.inputs_b`."""
    u = torch.zeros(*c.shape[:3], aligned(37 * c.shape[3]), dtype=torch.int8)
    base01, base10, reference, g, total = (torch.empty_like(c, memory_format=torch.contiguous_format) for _ in range(5))
    made = (each.numpy() for each in (u, base01, base10, reference, g, total))
    _inputs_b(c.numpy(), d.numpy(), *made)
    _codes(c.numpy(), u.numpy(), reference.numpy(), g.numpy(), total.numpy(), 32)
    return u, base01, base10, g


def with_deviations(features: Tensor, pixels: Tensor, base: Tensor, g: Tensor, earlier: int) -> Tensor:
    """See `deep_torch.with_deviations`."""
    rows = torch.zeros(*features.shape[:3], features.shape[3] + aligned(earlier), dtype=torch.int8)
    _with_deviations(features.numpy(), pixels.numpy(), base.numpy(), g.numpy(), earlier, rows.numpy())
    return rows.flatten(0, 2)


def mixtures(
    y: Tensor, first: int, added: Tensor | None, base: Tensor, g: Tensor, pixels: Tensor, ch: int, k: int
) -> tuple[Tensor, Tensor, Tensor]:
    """See `deep_torch.mixtures`."""
    logits, means, scales = (torch.empty(*pixels.shape[:3], k, dtype=torch.int32) for _ in range(3))
    more = torch.empty(1, 1, 1, 1, dtype=torch.int32) if added is None else added
    inputs = (y.numpy(), first, added is not None, more.numpy(), base.numpy(), g.numpy(), pixels.numpy(), ch)
    _mixtures(k)(*inputs, logits.numpy(), means.numpy(), scales.numpy())
    return logits, means, scales


def _compile(signature: str) -> Callable[[Callable[..., None]], Any]:
    return partial(compiled, signature=signature)


_VIEW, _BYTES = "int32[:,:,:,:]", "int8[:,:,:,::1]"


@_compile("int64(int64)")
def _bit_length(value):  # type: ignore[no-untyped-def]
    length = 0
    while value >> length > 0:
        length += 1
    return length


@_compile("int64(int64)")
def _code(value):  # type: ignore[no-untyped-def]
    length = _bit_length(value)
    return 8 * length + ((16 * value) >> length) - 8


@_compile(f"void({_VIEW}, {_BYTES}, {GRID}, {GRID}, {GRID}, int64)")
def _codes(c, u, reference, step, total, count):  # type: ignore[no-untyped-def]
    n, h, w, channels = c.shape
    unit = _bit_length(count) + 3
    for k in range(n):
        for ch in range(channels):
            level, spread = 0, 0
            for i in range(h):
                for j in range(w):
                    level += c[k, i, j, ch]
                    spread += total[k, i, j, ch]
            level, everywhere = (level + h * w // 2) // (h * w), _code(spread // (h * w))
            for i in range(h):
                for j in range(w):
                    g = step[k, i, j, ch]
                    place = 8 * (g + unit)
                    off = (SYMBOL * level - reference[k, i, j, ch]) >> g
                    here = 4 * (_code(total[k, i, j, ch]) - place)
                    u[k, i, j, count * channels + ch] = min(max(off, -127), 127)
                    u[k, i, j, (count + 1) * channels + ch] = 8 * g - 72
                    u[k, i, j, (count + 2) * channels + ch] = _code((reference[k, i, j, ch] + SYMBOL // 2) >> 5) - 64
                    u[k, i, j, (count + 3) * channels + ch] = min(max(here, -127), 127)
                    u[k, i, j, (count + 4) * channels + ch] = min(max(2 * (everywhere - place), -127), 127)


@_compile(f"void({_VIEW}, {_BYTES}, {GRID}, {GRID}, {GRID})")
def _inputs_a(c, u, base, step, totals):  # type: ignore[no-untyped-def]
    n, h, w, channels = c.shape
    for k in range(n):
        for i in range(h):
            below = min(i + 1, h - 1)
            for j in range(w):
                right = min(j + 1, w - 1)
                for ch in range(channels):
                    b = 8 * (c[k, i, j, ch] + c[k, i, right, ch] + c[k, below, j, ch] + c[k, below, right, ch])
                    total = 0
                    for m in range(4):
                        y = min(max(i + m - 1, 0), h - 1)
                        for o in range(4):
                            total += abs(SYMBOL * c[k, y, min(max(j + o - 1, 0), w - 1), ch] - b)
                    g = max(_bit_length(total) - 8, LEAST_STEP)
                    for m in range(4):
                        y = min(max(i + m - 1, 0), h - 1)
                        for o in range(4):
                            v = (SYMBOL * c[k, y, min(max(j + o - 1, 0), w - 1), ch] - b) >> g
                            u[k, i, j, (4 * m + o) * channels + ch] = min(max(v, -127), 127)
                    base[k, i, j, ch], step[k, i, j, ch], totals[k, i, j, ch] = b, g, total


@_compile(f"void({_VIEW}, {_VIEW}, {_BYTES}, {GRID}, {GRID}, {GRID}, {GRID}, {GRID})")
def _inputs_b(c, d, u, base01, base10, references, step, totals):  # type: ignore[no-untyped-def]
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
                    reference = 4 * (s01 + s10)
                    total = 0
                    for m in range(4):
                        y, z = min(max(i + m - 1, 0), h - 1), min(max(i + m - 2, 0), h - 1)
                        for o in range(4):
                            x, t = min(max(j + o - 1, 0), w - 1), min(max(j + o - 2, 0), w - 1)
                            total += abs(SYMBOL * c[k, y, x, ch] - reference)
                            total += abs(SYMBOL * d[k, z, t, ch] - reference)
                    g = max(_bit_length(total) - 9, LEAST_STEP)
                    for m in range(4):
                        y, z = min(max(i + m - 1, 0), h - 1), min(max(i + m - 2, 0), h - 1)
                        for o in range(4):
                            x, t = min(max(j + o - 1, 0), w - 1), min(max(j + o - 2, 0), w - 1)
                            at = (4 * m + o) * channels + ch
                            v = (SYMBOL * c[k, y, x, ch] - reference) >> g
                            u[k, i, j, at] = min(max(v, -127), 127)
                            v = (SYMBOL * d[k, z, t, ch] - reference) >> g
                            u[k, i, j, 16 * channels + at] = min(max(v, -127), 127)
                    base01[k, i, j, ch], base10[k, i, j, ch] = 8 * s01, 8 * s10
                    references[k, i, j, ch], step[k, i, j, ch], totals[k, i, j, ch] = reference, g, total


@_compile(f"void({_BYTES}, {_VIEW}, {GRID}, {GRID}, int64, {_BYTES})")
def _with_deviations(features, pixels, base, step, earlier, rows):  # type: ignore[no-untyped-def]
    n, h, w, width = features.shape
    for k in range(n):
        for i in range(h):
            for j in range(w):
                for o in range(width):
                    rows[k, i, j, o] = features[k, i, j, o]
                if i < pixels.shape[1] and j < pixels.shape[2]:
                    for ch in range(earlier):
                        v = (SYMBOL * pixels[k, i, j, ch] - base[k, i, j, ch]) >> step[k, i, j, ch]
                        rows[k, i, j, width + ch] = min(max(v, -127), 127)


@cache
def _mixtures(k: int) -> Any:
    """The loop for k components: see `numba_ops`. What a component is made of is written out in both: as a function of
    its own it makes the loop several times as slow.
    """

    def mixtures(y, first, more, added, base, step, pixels, ch, logits, means, scales):  # type: ignore[no-untyped-def]
        n, h, w, c = pixels.shape
        at, chain = first + 3 * k * ch, first + 3 * k * c + ch * (ch - 1) // 2
        for b in range(n):
            for i in range(h):
                for j in range(w):
                    g, outputs = step[b, i, j, ch], y[b, i, j]
                    mean = int(chained(outputs[chain:], base[b, i, j], pixels[b, i, j], ch))
                    for o in range(k):
                        logit, offset, scale = outputs[at + o], outputs[at + k + o], outputs[at + 2 * k + o]
                        if more:
                            logit += added[b, i, j, o]
                            offset += added[b, i, j, k + o]
                            scale += added[b, i, j, 2 * k + o]
                        logits[b, i, j, o] = min(max(logit, -127), 127)
                        m = mean + ((int(min(max(offset, -MEAN_LIMIT), MEAN_LIMIT)) << g) >> UNIT_STEP)
                        means[b, i, j, o] = min(max(m, 0), MEANS)
                        index = min(max(scale, 0), SCALE_LIMIT) + 12 * (g - UNIT_STEP)
                        scales[b, i, j, o] = min(max(index, LEAST_SCALE), LARGEST_SCALE)

    inputs = f"{GRID}, int64, b1, {GRID}, {GRID}, {GRID}, {_VIEW}, int64"
    return compiled(mixtures, f"void({inputs}, {GRID}, {GRID}, {GRID})")

"""Training of the network's last layer on the pixels that are known (FORMAT.md 9.6)."""

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..runtime.jit import address_of, merged, part
from ..runtime.vectors import ADDRESS, EIGHT_FLOATS, EIGHT_INTEGERS, I8, I64, WIDE, call, load, spread, store
from .pairs import correlate_nine, correlate_three, note_pairs, note_row, pair_words, square_sums
from .tables import (
    CONTEXT_FIRST,
    CONTEXT_INPUT,
    CONTEXTS,
    GRADIENT,
    HEAD_KEEP,
    HEAD_LIMIT,
    HEAD_PRIOR,
    HEAD_RATES,
)

F0, F1 = np.float32(0), np.float32(1)
KEEP = np.float32(HEAD_KEEP)
MEAN_RATE, RATE = np.float32(HEAD_RATES[0]), np.float32(HEAD_RATES[1])
MOST = np.float32(GRADIENT)


@part
def begin_head(net, blob, at, width, head, words, moments, rates, K):
    """Reset the last layer to the model's weights, head[j, k] in float32 and words[j, k // 4] of int8, and clear its
    moments. net[at] is the layer's position in the blob.
    """
    inner = width // 4
    head[:] = F0
    words[:] = 0
    moments[:] = F0
    for j in range(3 * K):
        for k in range(inner):
            word = blob[net[at] + j * inner + k]
            words[j, k] = word
            for b in range(4):
                head[j, 4 * k + b] = np.float32(((word >> 8 * b & 255) ^ 128) - 128)
        rates[j] = (MEAN_RATE if j < K else RATE) * np.float32(np.int64(1) << np.int64(blob[net[at + 2] + j]))


@merged
def set_contexts(q, n8, words, first):
    """Set the inputs of the last layer for the classes of local scales, in words from `first` on."""
    for i in range(n8):
        c = min(max((q[i] - CONTEXT_FIRST) >> 2, 0), CONTEXTS - 1)
        for k in range(CONTEXTS // 4):
            words[first + k, i] = 0
        words[first + (c >> 2), i] = CONTEXT_INPUT << 8 * (c & 3)


@intrinsic
def _steps(typing: Any, head: Any, words: Any, sums: Any, shares: Any, moment: Any, rate: Any, count: Any) -> Any:
    """Weights head[k] of an output a step on, k = 0 .. 8 count - 1, and as int8 in words. All lie at addresses."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        head, words, sums, shares, moment, rate, count = arguments

        def all_lanes(value: float) -> Any:
            return ir.Constant(EIGHT_FLOATS, [value] * 8)

        v, rates = spread(builder, moment, 8), spread(builder, rate, 8)
        limit, lowest = all_lanes(float(HEAD_LIMIT)), all_lanes(-float(HEAD_LIMIT))
        with cgutils.for_range(builder, count) as step:
            at = builder.mul(step.index, I64(32))
            old = load(builder, builder.add(head, at), EIGHT_FLOATS)
            g = builder.sitofp(load(builder, builder.add(sums, at), EIGHT_INTEGERS), EIGHT_FLOATS)
            size = builder.fmul(v, load(builder, builder.add(shares, at), EIGHT_FLOATS))
            size = builder.fadd(size, all_lanes(HEAD_PRIOR))
            new = builder.fsub(old, builder.fdiv(builder.fmul(g, rates), size))
            new = builder.select(builder.fcmp_ordered(">", new, lowest), new, lowest)
            new = builder.select(builder.fcmp_ordered("<", new, limit), new, limit)
            store(builder, new, builder.add(head, at))
            rounded = call(builder, "llvm.floor.v8f32", EIGHT_FLOATS, builder.fadd(new, all_lanes(0.5)))
            octets = builder.trunc(builder.fptosi(rounded, EIGHT_INTEGERS), ir.VectorType(I8, 8))
            store(builder, octets, builder.add(words, builder.shl(step.index, I64(3))))
        return context.get_dummy_value()

    return types.void(*[ADDRESS] * 4, types.float32, types.float32, ADDRESS), generate


@merged
def learn_head(
    hidden, K, lo, hi, first, vectors, gradients, mask, pairs, sums, squares, head, words, moments, rates
):  # fmt: skip
    """Make a step of the last layer with the gradients of pixels lo .. hi - 1, which lie in vectors of eight from
    `first` on.

    hidden : the layer's inputs, four in a word. gradients[output, pixel]. pairs[pixel // 2] : inputs and gradients of
    two pixels. sums[output, input], squares : of products. moments : of inputs, of outputs, the number of pixels.
    """
    outputs, inputs = head.shape
    pitch, count, full = pairs.strides[0], 4 * vectors, 3 * K // 8 * 8
    for i in range(8 * vectors):
        mask[i] = F1 if lo <= first + i and first + i < hi else F0
    for i in range(0, 8 * vectors, 8):
        to, known = address_of(pairs, i // 2, 0), address_of(mask, 0, i)
        pair_words(to, pitch, address_of(hidden, 0, first + i), hidden.strides[0], known, inputs // 8)
        to += 4 * inputs
        for j in range(0, full, 8):
            note_pairs(to + 4 * j, pitch, address_of(gradients, j, first + i), gradients.strides[0], known, MOST)
        for j in range(full, 3 * K):  # what follows them stays 0
            note_row(to + 4 * j, pitch, address_of(gradients, j, first + i), known)
    left, row = address_of(pairs, 0, inputs), sums.strides[0]
    for k in range(0, inputs, WIDE):  # sums have room for the last vector
        right = address_of(pairs, 0, k)
        for j in range(0, 3 * K // 9 * 9, 9):
            correlate_nine(address_of(sums, j, k), row, left + 4 * j, right, pitch, count)
        for j in range(3 * K // 9 * 9, 3 * K, 3):
            correlate_three(address_of(sums, j, k), row, left + 4 * j, right, pitch, count)
    square_sums(address_of(squares, 0, 0), address_of(pairs, 0, 0), pitch, vectors, (inputs + outputs) // 8)
    last = inputs + outputs
    moments[last] = moments[last] * KEEP + np.float32(hi - lo)
    for k in range(last):
        moments[k] = moments[k] * KEEP + np.float32(squares[k])
    shares = mask  # the mean square of each input
    for k in range(inputs):
        shares[k] = moments[k] / moments[last]
    for j in range(3 * K):
        _steps(
            address_of(head, j, 0), address_of(words, j, 0), address_of(sums, j, 0), address_of(shares, 0, 0),
            moments[inputs + j], rates[j], inputs // 8,
        )  # fmt: skip

"""The network of JPEG coefficients in a CPU's registers, for one number at a time (numba only; FORMAT.md 11.4).

Weights lie as int16 [pair of inputs, output, 2], so that one instruction multiplies a pair of inputs for eight outputs.
"""

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..jit import COMPILES, address_of, part
from ..planes.vectors import ADDRESS, AVX2, EIGHT_INTEGERS, I16, I32, I64, call, load, register, spread, store

EIGHT = 8
"""Outputs that are computed at a time."""


@intrinsic
def add_products(typing: Any, sums: Any, x: Any, w: Any, pairs: Any, groups: Any) -> Any:
    """sums += the products of pairs of inputs and their weights, for groups of eight outputs. All lie at addresses:
    sums int32, x int16, w int16 [pair, output, 2].
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums, x, w, pairs, groups = arguments
        pitch = builder.mul(groups, I64(32))
        both = ir.VectorType(I16, 16)
        with cgutils.for_range(builder, groups) as group:
            at = builder.mul(group.index, I64(32))
            total = register(builder, EIGHT_INTEGERS)
            builder.store(load(builder, builder.add(sums, at), EIGHT_INTEGERS), total)
            first = builder.add(w, at)
            with cgutils.for_range(builder, pairs) as pair:
                k = pair.index
                a = load(builder, builder.add(first, builder.mul(k, pitch)), both)
                b = spread(builder, load(builder, builder.add(x, builder.mul(k, I64(4))), I32), 8)
                product = _pair_products(builder, a, builder.bitcast(b, both))
                builder.store(builder.add(builder.load(total), product), total)
            store(builder, builder.load(total), builder.add(sums, at))
        return context.get_dummy_value()

    return types.void(*[ADDRESS] * 3, types.int64, types.int64), generate


def _pair_products(builder: Any, a: Any, b: Any) -> Any:
    """In each of 8 lanes the sum of the products of two int16."""
    if AVX2:
        return call(builder, "llvm.x86.avx2.pmadd.wd", EIGHT_INTEGERS, a, b)
    nothing = ir.Constant(a.type, ir.Undefined)
    products = []
    for k in range(2):
        lanes = ir.Constant(EIGHT_INTEGERS, list(range(k, 16, 2)))
        halves = [builder.sext(builder.shuffle_vector(each, nothing, lanes), EIGHT_INTEGERS) for each in (a, b)]
        products.append(builder.mul(*halves))
    return builder.add(*products)


@part
def evaluate(x, row, net):
    """The outputs of the network, int32 at the begin of the last array of `net`, of inputs x, int16, and a row of the
    embedding.
    """
    first, embedding, biases, layers, shifts, head, head_biases, head_shifts, h, positive, inner, sums = net
    width, outputs = len(h), len(head_biases)
    groups, pairs = width // EIGHT, width // 2
    to, half_x = address_of(sums, 0, 0), address_of(positive, 0, 0)
    for j in range(width):
        sums[j] = biases[0, j]
    add_products(to, address_of(x, 0, 0), address_of(first, 0, 0), len(first), groups)
    for j in range(width):
        h[j] = min(max((sums[j] >> shifts[0, j]) + embedding[row, j], -127), 127)
        positive[j] = max(h[j], 0)
    for b in range(len(layers) // 2):
        for j in range(width):
            sums[j] = biases[1 + 2 * b, j]
        add_products(to, half_x, address_of(layers, 2 * b, 0), pairs, groups)
        for j in range(width):
            inner[j] = min(max(sums[j] >> shifts[1 + 2 * b, j], 0), 127)
            sums[j] = biases[2 + 2 * b, j]
        add_products(to, address_of(inner, 0, 0), address_of(layers, 2 * b + 1, 0), pairs, groups)
        for j in range(width):
            h[j] = min(max(h[j] + (sums[j] >> shifts[2 + 2 * b, j]), -127), 127)
            positive[j] = max(h[j], 0)
    for o in range(outputs):
        sums[o] = head_biases[o]
    add_products(to, half_x, address_of(head, 0, 0), pairs, outputs // EIGHT)
    for o in range(outputs):
        sums[o] >>= head_shifts[o]


def evaluate_plainly(x, row, net):
    """The same, where nothing is compiled."""
    first, embedding, biases, layers, shifts, head, head_biases, head_shifts, h, positive, inner, sums = net

    def layer(inputs, weights, bias, shift):
        return (np.einsum("ki,koi->o", inputs.reshape(-1, 2).astype(np.int64), weights) + bias) >> shift

    h[:] = np.clip(layer(x, first, biases[0], shifts[0]) + embedding[row], -127, 127)
    for b in range(len(layers) // 2):
        inner[:] = np.clip(layer(np.maximum(h, 0), layers[2 * b], biases[1 + 2 * b], shifts[1 + 2 * b]), 0, 127)
        h[:] = np.clip(h + layer(inner, layers[2 * b + 1], biases[2 + 2 * b], shifts[2 + 2 * b]), -127, 127)
    sums[: len(head_biases)] = layer(np.maximum(h, 0), head, head_biases, head_shifts)


if not COMPILES:
    evaluate = evaluate_plainly

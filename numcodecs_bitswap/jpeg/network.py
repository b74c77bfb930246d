"""The network of JPEG coefficients in a CPU's registers, for one number at a time (numba only; FORMAT.md 11.4).

Weights lie as int16 [pair of inputs, output, 2], so that one instruction multiplies a pair of inputs for eight outputs.
"""

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..planes.vectors import (
    ADDRESS,
    AVX2,
    EIGHT_INTEGERS,
    I16,
    I32,
    I64,
    call,
    constant,
    load,
    register,
    spread,
    store,
)
from ..runtime.jit import COMPILES, address_of, part

EIGHT = 8
"""Outputs of a group."""
TOGETHER = 4, 2, 1
"""Groups for which a pair of inputs is read once: as many as fit."""
LARGEST = 1 << 30


@intrinsic
def layer(
    typing: Any, x: Any, w: Any, pairs: Any, bias: Any, shift: Any, more: Any, least: Any, most: Any, out: Any,
    positive: Any, groups: Any,
) -> Any:  # fmt: skip
    """out = clamp((w x + bias >> shift) + more, least, most) for groups of eight outputs, and its positive part.

    All but numbers lie at addresses: x, positive int16, w int16 [pair, output, 2], the others int32.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, w, pairs, bias, shift, more, least, most, out, positive, groups = arguments
        pitch, both = builder.mul(groups, I64(32)), ir.VectorType(I16, 16)
        bounds = [spread(builder, builder.trunc(each, I32), 8) for each in (least, most)]
        done: Any = I64(0)
        for count in TOGETHER:
            times = builder.sdiv(builder.sub(groups, done), I64(count))
            with cgutils.for_range(builder, times) as step:
                group = builder.add(done, builder.mul(step.index, I64(count)))
                first = [builder.mul(builder.add(group, I64(k)), I64(32)) for k in range(count)]
                totals = [register(builder, EIGHT_INTEGERS) for _ in first]
                for at, total in zip(first, totals, strict=True):
                    builder.store(load(builder, builder.add(bias, at), EIGHT_INTEGERS), total)
                with cgutils.for_range(builder, pairs) as pair:
                    row = builder.add(w, builder.mul(pair.index, pitch))
                    b = spread(builder, load(builder, builder.add(x, builder.mul(pair.index, I64(4))), I32), 8)
                    for at, total in zip(first, totals, strict=True):
                        a = load(builder, builder.add(row, at), both)
                        product = _pair_products(builder, a, builder.bitcast(b, both))
                        builder.store(builder.add(builder.load(total), product), total)
                for at, total in zip(first, totals, strict=True):
                    by, added = (load(builder, builder.add(each, at), EIGHT_INTEGERS) for each in (shift, more))
                    value = _clamped(builder, builder.add(builder.ashr(builder.load(total), by), added), *bounds)
                    store(builder, value, builder.add(out, at))
                    above = _clamped(builder, value, constant(8, I32, 0), bounds[1])
                    half = builder.add(positive, builder.lshr(at, I64(1)))
                    store(builder, builder.trunc(above, ir.VectorType(I16, 8)), half)
            done = builder.add(done, builder.mul(times, I64(count)))
        return context.get_dummy_value()

    whole = types.int64
    return types.void(*[ADDRESS] * 2, whole, *[ADDRESS] * 3, whole, whole, *[ADDRESS] * 2, whole), generate


def _clamped(builder: Any, value: Any, least: Any, most: Any) -> Any:
    value = builder.select(builder.icmp_signed(">", value, least), value, least)
    return builder.select(builder.icmp_signed("<", value, most), value, most)


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
    first, embedding, biases, layers, shifts, head, head_biases, head_shifts, none, h, positive, inner, sums = net
    pairs, groups = len(h) // 2, len(h) // EIGHT
    at_h, at_positive, at_inner = address_of(h, 0, 0), address_of(positive, 0, 0), address_of(inner, 0, 0)
    at_sums, at_none = address_of(sums, 0, 0), address_of(none, 0, 0)
    layer(
        address_of(x, 0, 0), address_of(first, 0, 0), len(first), address_of(biases, 0, 0), address_of(shifts, 0, 0),
        address_of(embedding, row, 0), -127, 127, at_h, at_positive, groups,
    )  # fmt: skip
    for k in range(0, len(layers), 2):
        layer(
            at_positive, address_of(layers, k, 0), pairs, address_of(biases, 1 + k, 0), address_of(shifts, 1 + k, 0),
            at_none, 0, 127, at_sums, at_inner, groups,
        )  # fmt: skip
        layer(
            at_inner, address_of(layers, k + 1, 0), pairs, address_of(biases, 2 + k, 0), address_of(shifts, 2 + k, 0),
            at_h, -127, 127, at_h, at_positive, groups,
        )  # fmt: skip
    layer(
        at_positive, address_of(head, 0, 0), pairs, address_of(head_biases, 0, 0), address_of(head_shifts, 0, 0),
        at_none, -LARGEST, LARGEST, at_sums, at_inner, len(head_biases) // EIGHT,
    )  # fmt: skip


def evaluate_plainly(x, row, net):
    """The same, where nothing is compiled."""
    first, embedding, biases, layers, shifts, head, head_biases, head_shifts, _, h, positive, inner, sums = net

    def sums_of(inputs, weights, bias, shift):
        return (np.einsum("ki,koi->o", inputs.reshape(-1, 2).astype(np.int64), weights) + bias) >> shift

    h[:] = np.clip(sums_of(x, first, biases[0], shifts[0]) + embedding[row], -127, 127)
    for k in range(0, len(layers), 2):
        positive[:] = np.maximum(h, 0)
        inner[: len(h)] = np.clip(sums_of(positive, layers[k], biases[1 + k], shifts[1 + k]), 0, 127)
        h[:] = np.clip(h + sums_of(inner[: len(h)], layers[k + 1], biases[2 + k], shifts[2 + k]), -127, 127)
    sums[: len(head_biases)] = sums_of(np.maximum(h, 0), head, head_biases, head_shifts)


if not COMPILES:
    evaluate = evaluate_plainly

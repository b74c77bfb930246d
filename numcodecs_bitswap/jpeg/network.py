"""The network of JPEG coefficients, evaluated in CPU registers for one number at a time (numba only; FORMAT.md 11.4).

Weights are int16 [pair of inputs, output, 2], so that one instruction multiplies a pair of inputs for eight outputs.
"""

from functools import reduce
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..planes.vectors import (
    ADDRESS,
    AVX2,
    AVX512,
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
"""Outputs in a group."""
WIDE = 16 if AVX512 else EIGHT
"""Outputs in a vector, where enough groups are computed at once."""
CHAINS = 4
"""Partial sums of each output, so that no product waits for the previous one. The number of a layer's pairs of inputs
is a multiple of it.
"""
TOGETHER = 4, 2, 1
"""Numbers of groups that share a read of a pair of inputs, the largest that fits first."""
LARGEST = 1 << 30


@intrinsic
def layer(
    typing: Any, x: Any, w: Any, pairs: Any, bias: Any, shift: Any, more: Any, least: Any, most: Any, out: Any,
    positive: Any, groups: Any,
) -> Any:  # fmt: skip
    """out = clamp((w x + bias >> shift) + more, least, most) for groups of eight outputs, and its positive part.

    All arguments except numbers are addresses: x, positive int16, w int16 [pair, output, 2], the others int32.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, w, pairs, bias, shift, more, least, most, out, positive, groups = arguments
        pitch, done = builder.mul(groups, I64(4 * EIGHT)), I64(0)
        for count in TOGETHER:
            lanes = WIDE if EIGHT * count % WIDE == 0 else EIGHT
            whole, both = ir.VectorType(I32, lanes), ir.VectorType(I16, 2 * lanes)
            bounds = [spread(builder, builder.trunc(each, I32), lanes) for each in (least, most)]
            times = builder.sdiv(builder.sub(groups, done), I64(count))
            with cgutils.for_range(builder, times) as step:
                begin = builder.mul(builder.add(done, builder.mul(step.index, I64(count))), I64(4 * EIGHT))
                first = [builder.add(begin, I64(4 * at)) for at in range(0, EIGHT * count, lanes)]
                totals = [[register(builder, whole) for _ in first] for _ in range(CHAINS)]
                for at, total in zip(first, totals[0], strict=True):
                    builder.store(load(builder, builder.add(bias, at), whole), total)
                for chain in totals[1:]:
                    for total in chain:
                        builder.store(constant(lanes, I32, 0), total)
                with cgutils.for_range(builder, builder.sdiv(pairs, I64(CHAINS))) as some:
                    for k in range(CHAINS):
                        pair = builder.add(builder.mul(some.index, I64(CHAINS)), I64(k))
                        row = builder.add(w, builder.mul(pair, pitch))
                        b = spread(builder, load(builder, builder.add(x, builder.mul(pair, I64(4))), I32), lanes)
                        for at, total in zip(first, totals[k], strict=True):
                            a = load(builder, builder.add(row, at), both)
                            product = _pair_products(builder, a, builder.bitcast(b, both), whole)
                            builder.store(builder.add(builder.load(total), product), total)
                for at, *parts in zip(first, *totals, strict=True):
                    by, added = (load(builder, builder.add(each, at), whole) for each in (shift, more))
                    total = reduce(builder.add, [builder.load(part) for part in parts])
                    value = _clamped(builder, builder.add(builder.ashr(total, by), added), *bounds)
                    store(builder, value, builder.add(out, at))
                    above = _clamped(builder, value, constant(lanes, I32, 0), bounds[1])
                    half = builder.add(positive, builder.lshr(at, I64(1)))
                    store(builder, builder.trunc(above, ir.VectorType(I16, lanes)), half)
            done = builder.add(done, builder.mul(times, I64(count)))
        return context.get_dummy_value()

    number = types.int64
    return types.void(*[ADDRESS] * 2, number, *[ADDRESS] * 3, number, number, *[ADDRESS] * 2, number), generate


def _clamped(builder: Any, value: Any, least: Any, most: Any) -> Any:
    value = builder.select(builder.icmp_signed(">", value, least), value, least)
    return builder.select(builder.icmp_signed("<", value, most), value, most)


def _pair_products(builder: Any, a: Any, b: Any, kind: Any) -> Any:
    """The sum of the products of two int16 in each of 8 or 16 lanes, as int32 of a kind."""
    if kind.count > EIGHT:
        return call(builder, "llvm.x86.avx512.pmaddw.d.512", kind, a, b)
    if AVX2:
        return call(builder, "llvm.x86.avx2.pmadd.wd", kind, a, b)
    nothing = ir.Constant(a.type, ir.Undefined)
    products = []
    for k in range(2):
        lanes = ir.Constant(EIGHT_INTEGERS, list(range(k, 16, 2)))
        halves = [builder.sext(builder.shuffle_vector(each, nothing, lanes), kind) for each in (a, b)]
        products.append(builder.mul(*halves))
    return builder.add(*products)


@part
def places(net):
    """Addresses and sizes of the network's arrays for `evaluate`. Unlike arrays they need no reference counting."""
    first, embedding, biases, layers, shifts, head, head_biases, head_shifts, none, h, positive, inner, sums = net
    return (
        len(first), len(h), len(layers), len(head_biases), address_of(first, 0, 0), address_of(embedding, 0, 0),
        address_of(biases, 0, 0), address_of(layers, 0, 0), address_of(shifts, 0, 0), address_of(head, 0, 0),
        address_of(head_biases, 0, 0), address_of(head_shifts, 0, 0), address_of(none, 0, 0), address_of(h, 0, 0),
        address_of(positive, 0, 0), address_of(inner, 0, 0), address_of(sums, 0, 0),
    )  # fmt: skip


@part
def evaluate(x, row, net):
    """Evaluate the network for inputs x, int16, and a row of the embedding. Outputs, int32, go to the start of the last
    of its arrays. `net` is the result of `places`.
    """
    pairs, width, count, outputs, first, embedding, biases, layers, shifts = net[:9]
    head, head_biases, head_shifts, none, h, positive, inner, sums = net[9:]
    groups, line, matrix = width // EIGHT, 4 * width, 2 * width * width
    layer(
        address_of(x, 0, 0), first, pairs, biases, shifts, embedding + row * line, -127, 127, h, positive, groups,
    )  # fmt: skip
    for k in range(0, count, 2):
        a, b = layers + k * matrix, layers + (k + 1) * matrix
        at = (1 + k) * line
        layer(positive, a, width // 2, biases + at, shifts + at, none, 0, 127, sums, inner, groups)
        at += line
        layer(inner, b, width // 2, biases + at, shifts + at, h, -127, 127, h, positive, groups)
    layer(
        positive, head, width // 2, head_biases, head_shifts, none, -LARGEST, LARGEST, sums, inner, outputs // EIGHT,
    )  # fmt: skip


def evaluate_plainly(x, row, net):
    """The same without compiled code."""
    first, embedding, biases, layers, shifts, head, head_biases, head_shifts, _, h, positive, inner, sums = net

    def sums_of(inputs, weights, bias, shift):
        return (np.einsum("ki,koi->o", inputs.reshape(-1, 2).astype(np.int64), weights) + bias) >> shift

    h[:] = np.clip(sums_of(x, first, biases[0], shifts[0]) + embedding[row], -127, 127)
    for k in range(0, len(layers), 2):
        positive[:] = np.maximum(h, 0)
        inner[: len(h)] = np.clip(sums_of(positive, layers[k], biases[1 + k], shifts[1 + k]), 0, 127)
        h[:] = np.clip(h + sums_of(inner[: len(h)], layers[k + 1], biases[2 + k], shifts[2 + k]), -127, 127)
    sums[: len(head_biases)] = sums_of(np.maximum(h, 0), head, head_biases, head_shifts)


def places_plainly(net):
    """The network's arrays themselves."""
    return net


if not COMPILES:
    evaluate, places = evaluate_plainly, places_plainly

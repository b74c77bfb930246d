"""Sums of products of least squares and of the learning layer in CPU registers, as intrinsics for compiled loops (numba
only). What is summed is int16, two pixels in a word: an instruction multiplies and adds pairs.
"""

from functools import reduce
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..runtime.vectors import (
    ADDRESS,
    AVX2,
    EIGHT_DOUBLES,
    EIGHT_FLOATS,
    EIGHT_INTEGERS,
    F64,
    I8,
    I16,
    I32,
    I64,
    VNNI,
    WIDE,
    call,
    constant,
    load,
    narrowed,
    register,
    spread,
    store,
    sums_of_pairs,
)
from .tables import WEIGHT_BITS


def _pairs(builder: Any, sums: Any, a: Any, b: Any) -> Any:
    """Sums plus, in each lane, the products of 2 int16 by 2 int16."""
    lanes = sums.type.count
    if VNNI:
        return call(builder, f"llvm.x86.avx512.vpdpwssd.{32 * lanes}", sums.type, sums, a, b)
    if AVX2:
        halves = (builder.bitcast(each, ir.VectorType(I16, 2 * lanes)) for each in (a, b))
        return builder.add(sums, sums_of_pairs(builder, sums.type, *halves))
    up = constant(lanes, I32, 16)
    low = builder.mul(builder.ashr(builder.shl(a, up), up), builder.ashr(builder.shl(b, up), up))
    return builder.add(builder.add(sums, low), builder.mul(builder.ashr(a, up), builder.ashr(b, up)))


def _correlate(rows: int, columns: int) -> Any:
    """An intrinsic: out[i, j] = sum over pairs p of left[p, i] * right[p, j], i = 0 .. rows - 1 and j = 0 .. columns -
    1: int32 words of two int16 each.

    All lie at addresses; `pitch` is the bytes from one pair's words to the next, for both.
    """

    @intrinsic
    def correlate(typing: Any, out: Any, out_pitch: Any, left: Any, right: Any, pitch: Any, count: Any) -> Any:
        own: Any = cgutils.alloca_once

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            out, out_pitch, left, right, pitch, count = arguments
            kind = ir.VectorType(I32, columns)
            totals = [own(builder, kind) for _ in range(rows)]
            for total in totals:
                builder.store(constant(columns, I32, 0), total)
            with cgutils.for_range(builder, count) as step:
                at = builder.mul(step.index, pitch)
                b = load(builder, builder.add(right, at), kind)
                here = builder.add(left, at)
                for i, total in enumerate(totals):
                    a = spread(builder, load(builder, builder.add(here, I64(4 * i)), I32), columns)
                    builder.store(_pairs(builder, builder.load(total), a, b), total)
            for i, total in enumerate(totals):
                store(builder, builder.load(total), builder.add(out, builder.mul(out_pitch, I64(i))))
            return context.get_dummy_value()

        return types.void(*[ADDRESS] * 6), generate

    return correlate


correlate, correlate_wide = _correlate(8, 8), _correlate(8, WIDE)
correlate_nine, correlate_three = _correlate(9, WIDE), _correlate(3, WIDE)


@intrinsic
def square_sums(typing: Any, out: Any, rows: Any, pitch: Any, count: Any, vectors: Any) -> Any:
    """out[j] = sum over 4 count pairs p of squares of both of rows[p, j], j = 0 .. 8 vectors - 1; as `correlate`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, rows, pitch, count, vectors = arguments
        totals = [register(builder, EIGHT_INTEGERS) for _ in range(4)]  # none of which waits for another
        with cgutils.for_range(builder, vectors) as vector:
            at = builder.mul(vector.index, I64(32))
            for total in totals:
                builder.store(constant(8, I32, 0), total)
            with cgutils.for_range(builder, count) as step:
                first = builder.add(builder.add(rows, at), builder.mul(builder.shl(step.index, I64(2)), pitch))
                for k, total in enumerate(totals):
                    both = load(builder, builder.add(first, builder.mul(pitch, I64(k))), EIGHT_INTEGERS)
                    builder.store(_pairs(builder, builder.load(total), both, both), total)
            store(builder, reduce(builder.add, [builder.load(total) for total in totals]), builder.add(out, at))
        return context.get_dummy_value()

    return types.void(*[ADDRESS] * 5), generate


def _shuffled(builder: Any, a: Any, b: Any, order: list[int]) -> Any:
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, len(order)), order))


@intrinsic
def pair_words(typing: Any, out: Any, out_pitch: Any, words: Any, words_pitch: Any, mask: Any, count: Any) -> Any:
    """For 8 pixels i and 2 count words k of four uint8: out[i // 2, 4 k + b] = byte b of words[k, i]. A word of `out`
    holds two pixels, the first in the lower half; 0 where mask[i] is 0.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, out_pitch, words, words_pitch, mask, count = arguments
        none = constant(8, I32, 0)
        there = builder.icmp_signed("!=", load(builder, mask, EIGHT_INTEGERS), none)
        octets, eights = ir.VectorType(I8, 32), ir.VectorType(I64, 4)
        order = [8 * pair + 4 * pixel + b for pair in range(4) for b in range(4) for pixel in range(2)]
        with cgutils.for_range(builder, count) as step:
            first = builder.add(words, builder.mul(builder.shl(step.index, I64(1)), words_pitch))
            both = []  # words, each as the bytes of one pair after the other
            for place in (first, builder.add(first, words_pitch)):
                word = builder.bitcast(builder.select(there, load(builder, place, EIGHT_INTEGERS), none), octets)
                both.append(builder.bitcast(_shuffled(builder, word, word, order), eights))
            to = builder.add(out, builder.shl(step.index, I64(5)))
            for odd in range(2):
                mixed = _shuffled(builder, both[0], both[1], [odd, 4 + odd, 2 + odd, 6 + odd])
                mixed = builder.bitcast(mixed, octets)
                for half in range(2):
                    part = _shuffled(builder, mixed, mixed, list(range(16 * half, 16 * half + 16)))
                    at = builder.add(to, builder.mul(out_pitch, I64(2 * half + odd)))
                    store(builder, builder.zext(part, ir.VectorType(I16, 16)), at)
        return context.get_dummy_value()

    return types.void(*[ADDRESS] * 6), generate


@intrinsic
def note_row(typing: Any, out: Any, out_pitch: Any, row: Any, mask: Any) -> Any:
    """For 8 pixels i, out[i // 2] = row[i] of two of them, the first in the lower half; 0 where mask[i] is 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, out_pitch, row, mask = arguments
        none = constant(8, I32, 0)
        there = builder.icmp_signed("!=", load(builder, mask, EIGHT_INTEGERS), none)
        values = builder.select(there, load(builder, row, EIGHT_INTEGERS), none)
        words = builder.bitcast(builder.trunc(values, ir.VectorType(I16, 8)), ir.VectorType(I32, 4))
        for pair in range(4):
            word = builder.extract_element(words, I32(pair))
            store(builder, word, builder.add(out, builder.mul(out_pitch, I64(pair))))
        return context.get_dummy_value()

    return types.void(*[ADDRESS] * 4), generate


@intrinsic
def note_pairs(typing: Any, out: Any, out_pitch: Any, x: Any, x_pitch: Any, factors: Any, limit: Any) -> Any:
    """For 8 pixels i and 8 regressors j, out[i // 2, j] = x[j, i] * factors[i] in float32, rounded towards zero and
    clamped to +-limit. A word holds two pixels, the first in the lower half.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, out_pitch, x, x_pitch, factors, limit = arguments
        scale, most = load(builder, factors, EIGHT_FLOATS), spread(builder, limit, 8)
        least = spread(builder, builder.fptosi(builder.fneg(limit), I16), 16)
        rows = []
        for j in range(8):
            value = load(builder, builder.add(x, builder.mul(x_pitch, I64(j))), EIGHT_INTEGERS)
            value = builder.fmul(builder.sitofp(value, EIGHT_FLOATS), scale)
            value = builder.select(builder.fcmp_ordered("<", value, most), value, most)
            rows.append(builder.fptosi(value, EIGHT_INTEGERS))
        words = []  # of regressors j and j + 1: pixels 01 23 01 23 45 67 45 67
        for j in range(0, 8, 2):
            both = narrowed(builder, rows[j], rows[j + 1])
            both = builder.select(builder.icmp_signed(">", both, least), both, least)
            words.append(builder.bitcast(both, EIGHT_INTEGERS))

        def mixed(a: Any, b: Any, *order: int) -> Any:
            return builder.shuffle_vector(a, b, ir.Constant(EIGHT_INTEGERS, list(order)))

        for p in range(2):
            four = [mixed(words[k], words[k + 1], *(8 * (c // 2 % 2) + 2 * (c % 2) + c // 4 * 4 + p for c in range(8)))
                    for k in (0, 2)]  # fmt: skip
            for q in range(2):
                column = mixed(*four, *(4 * q + c % 4 + 8 * (c // 4) for c in range(8)))
                store(builder, column, builder.add(out, builder.mul(out_pitch, I64(p + 2 * q))))
        return context.get_dummy_value()

    return types.void(*[ADDRESS] * 5, types.float32), generate


@intrinsic
def decay_and_add(typing: Any, out: Any, row: Any, factor: Any, count: Any) -> Any:
    """out[i] = out[i] * factor + row[i], float32 and int32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, row, factor, count = arguments
        factors = spread(builder, factor, 8)
        with cgutils.for_range(builder, count) as step:
            at = builder.mul(step.index, I64(32))
            to = builder.add(out, at)
            values = builder.sitofp(load(builder, builder.add(row, at), ir.VectorType(I32, 8)), EIGHT_FLOATS)
            store(builder, builder.fadd(builder.fmul(load(builder, to, EIGHT_FLOATS), factors), values), to)
        return context.get_dummy_value()

    return types.void(ADDRESS, ADDRESS, types.float32, ADDRESS), generate


def _doubles(value: float) -> Any:
    return ir.Constant(EIGHT_DOUBLES, [value] * 8)


@intrinsic
def weigh(typing: Any, out: Any, x: Any, pitch: Any, weights: Any, count: Any, base: Any, top: Any) -> Any:
    """Predictions of 8 pixels: out[i] = floor(sum over j of weights[j] * x[j, i] / 2^(WEIGHT_BITS - 4) + 1/2) + 16
    base[i], clamped to 0 .. top. int32 but for the weights, float64, at addresses.

    Sums are of integers below 2^53, so their order does not matter: every second term goes to a sum of its own.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, x, pitch, weights, count, base, top = arguments
        totals = [register(builder, EIGHT_DOUBLES) for _ in range(2)]
        for total in totals:
            builder.store(_doubles(0.0), total)

        def add(j: Any, total: Any) -> None:
            w = spread(builder, load(builder, builder.add(weights, builder.shl(j, I64(3))), F64), 8)
            values = load(builder, builder.add(x, builder.mul(j, pitch)), EIGHT_INTEGERS)
            product = builder.fmul(w, builder.sitofp(values, EIGHT_DOUBLES))
            builder.store(builder.fadd(builder.load(total), product), total)

        with cgutils.for_range(builder, builder.ashr(count, I64(1))) as step:
            for k, total in enumerate(totals):
                add(builder.add(builder.shl(step.index, I64(1)), I64(k)), total)
        with builder.if_then(builder.trunc(count, ir.IntType(1))):
            add(builder.sub(count, I64(1)), totals[0])
        total = builder.fadd(*(builder.load(total) for total in totals))
        total = builder.fadd(builder.fmul(total, _doubles(16.0 / (1 << WEIGHT_BITS))), _doubles(0.5))
        total = call(builder, "llvm.floor.v8f64", EIGHT_DOUBLES, total)
        bases = builder.sitofp(load(builder, base, EIGHT_INTEGERS), EIGHT_DOUBLES)
        total = builder.fadd(total, builder.fmul(bases, _doubles(16.0)))
        highest = spread(builder, top, 8)
        total = builder.select(builder.fcmp_ordered(">", total, _doubles(0.0)), total, _doubles(0.0))
        total = builder.select(builder.fcmp_ordered("<", total, highest), total, highest)
        store(builder, builder.fptosi(total, EIGHT_INTEGERS), out)
        return context.get_dummy_value()

    return types.void(*[ADDRESS] * 6, types.float64), generate

"""Products of small integers in CPU registers, as intrinsics for compiled loops (numba only).

Layers: sums over 4 k inputs of uint8 activations times int8 weights, for LANES pixels and OUTPUTS outputs at a time.
Activations are int32 words [k, pixel] of 4 inputs, so that a vector holds LANES pixels, which share the 4 weights of an
output. A product takes one instruction on CPUs with VNNI, three with AVX2.
`correlate`: sums of products of int16 pairs, for the statistics of least squares.

Weights are in [-63, 63]: a pair of products of AVX2, 2 * 255 * 63, fits 16 bits, so every path gives the same integers.
"""

from functools import reduce
from typing import Any, NamedTuple

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .tables import OUTPUTS, WEIGHT_BITS
from .vectors import (
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
    call,
    constant,
    load,
    register,
    spread,
    store,
)

LANES = 16 if VNNI == "avx512vnni" else 8


def dot(builder: Any, sums: Any, x: list[Any], w: list[Any]) -> Any:
    """Sums plus, in each lane, the products of 4 uint8 by 4 int8, of each x and w."""
    lanes = sums.type.count
    if VNNI:
        for a, b in zip(x, w, strict=True):
            sums = call(builder, f"llvm.x86.avx512.vpdpbusd.{32 * lanes}", sums.type, sums, a, b)
        return sums
    if AVX2:
        octets, pairs = ir.VectorType(I8, 4 * lanes), ir.VectorType(I16, 2 * lanes)
        both = [
            call(builder, "llvm.x86.avx2.pmadd.ub.sw", pairs, builder.bitcast(a, octets), builder.bitcast(b, octets))
            for a, b in zip(x, w, strict=True)
        ]
        product = reduce(builder.add, both)  # four products of at most 127 * 63 fit 16 bits
        return builder.add(
            sums, call(builder, "llvm.x86.avx2.pmadd.wd", sums.type, product, constant(2 * lanes, I16, 1))
        )
    for a, b in zip(x, w, strict=True):
        for k in range(4):
            left = builder.and_(builder.lshr(a, constant(lanes, I32, 8 * k)), constant(lanes, I32, 255))
            right = builder.ashr(builder.shl(b, constant(lanes, I32, 24 - 8 * k)), constant(lanes, I32, 24))
            sums = builder.add(sums, builder.mul(left, right))
    return sums


def _doubles(value: float) -> Any:
    return ir.Constant(EIGHT_DOUBLES, [value] * 8)


def _bounded(builder: Any, values: Any, low: int, high: int) -> Any:
    lanes = values.type.count
    least, most = constant(lanes, I32, low), constant(lanes, I32, high)
    values = builder.select(builder.icmp_signed(">", values, least), values, least)
    return builder.select(builder.icmp_signed("<", values, most), values, most)


def _layer(ending: Any, lanes: int, small: bool = False) -> Any:
    """An intrinsic: sums of a layer's OUTPUTS outputs for some pixels, plus bias, shifted, to what `ending` makes of
    them. Inputs of `small` ones are at most 127, and their steps are even.

    x : words [step, pixel]; w : words [output, step]; bias, shift : int32; out, state : where results go. All lie at
    addresses; pitches are bytes from one row to the next.

    ending : (builder, shifted sums of the outputs, out, out_pitch, state)
    """

    @intrinsic
    def layer(
        typing: Any, x: Any, x_pitch: Any, w: Any, steps: Any, bias: Any, shift: Any, out: Any, state: Any
    ) -> Any:
        own: Any = cgutils.alloca_once

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            x, x_pitch, w, steps, bias, shift, out, state = arguments
            kind = ir.VectorType(I32, lanes)
            totals = [own(builder, kind) for _ in range(OUTPUTS)]
            for o, total in enumerate(totals):
                at = builder.add(bias, I64(4 * o))
                builder.store(spread(builder, load(builder, at, I32), lanes), total)
            w_pitch = builder.mul(steps, I64(4))
            rows = [builder.add(w, builder.mul(w_pitch, I64(o))) for o in range(OUTPUTS)]
            together = 2 if small else 1
            with cgutils.for_range(builder, builder.sdiv(steps, I64(together))) as step:
                first = builder.mul(step.index, I64(together))
                steps_now = [builder.add(first, I64(k)) for k in range(together)]
                a = [load(builder, builder.add(x, builder.mul(each, x_pitch)), kind) for each in steps_now]
                for total, row in zip(totals, rows, strict=True):
                    at = [builder.add(row, builder.mul(each, I64(4))) for each in steps_now]
                    b = [spread(builder, load(builder, each, I32), lanes) for each in at]
                    builder.store(dot(builder, builder.load(total), a, b), total)
            values = []
            for o, total in enumerate(totals):
                by = spread(builder, load(builder, builder.add(shift, I64(4 * o)), I32), lanes)
                values.append(builder.ashr(builder.load(total), by))
            ending(builder, values, out, x_pitch, state)
            return context.get_dummy_value()

        return types.void(*[ADDRESS] * 8), generate

    return layer


def _store_words(builder: Any, values: list[Any], out: Any, pitch: Any) -> None:
    """ReLU of each four outputs in a word."""
    for k in range(0, len(values), 4):
        word = _bounded(builder, values[k], 0, 127)
        for m in range(1, 4):
            up = constant(word.type.count, I32, 8 * m)
            word = builder.or_(word, builder.shl(_bounded(builder, values[k + m], 0, 127), up))
        store(builder, word, builder.add(out, builder.mul(pitch, I64(k // 4))))


def _begin(builder: Any, values: list[Any], out: Any, pitch: Any, state: Any) -> None:
    values = [_bounded(builder, value, -127, 127) for value in values]
    for o, value in enumerate(values):
        store(builder, value, builder.add(state, builder.mul(pitch, I64(o))))
    _store_words(builder, values, out, pitch)


def _grow(builder: Any, values: list[Any], out: Any, pitch: Any, state: Any) -> None:
    kind = values[0].type
    old = [load(builder, builder.add(state, builder.mul(pitch, I64(o))), kind) for o in range(len(values))]
    _begin(builder, [builder.add(v, o) for v, o in zip(values, old, strict=True)], out, pitch, state)


def _relu(builder: Any, values: list[Any], out: Any, pitch: Any, state: Any) -> None:
    _store_words(builder, values, out, pitch)


def _set(builder: Any, values: list[Any], out: Any, pitch: Any, state: Any) -> None:
    for o, value in enumerate(values):
        store(builder, value, builder.add(out, builder.mul(pitch, I64(o))))


def _add(builder: Any, values: list[Any], out: Any, pitch: Any, state: Any) -> None:
    for o, value in enumerate(values):
        place = builder.add(out, builder.mul(pitch, I64(o)))
        store(builder, builder.add(value, load(builder, place, value.type)), place)


class Layers(NamedTuple):
    """Intrinsics for layers, by the use of their sums, for a number of pixels at a time."""

    lanes: int
    begin: Any
    """Sets the state, clamped to +-127, and stores its ReLU in words."""
    grow: Any
    """Adds to the state, clamped to +-127, and stores its ReLU in words."""
    relu: Any
    """Stores the ReLU in words."""
    set: Any
    """Stores the sums."""
    add: Any
    """Adds the sums to the output."""


def layers(lanes: int) -> Layers:
    """Intrinsics for layers, for `lanes` pixels at a time."""
    grow, relu, as_they_are = (_layer(ending, lanes, small=True) for ending in (_grow, _relu, _set))
    return Layers(lanes, _layer(_begin, lanes), grow, relu, as_they_are, _layer(_add, lanes))


def _pairs(builder: Any, sums: Any, a: Any, b: Any) -> Any:
    """Sums plus, in each lane, the products of 2 int16 by 2 int16."""
    lanes = sums.type.count
    if VNNI:
        return call(builder, f"llvm.x86.avx512.vpdpwssd.{32 * lanes}", sums.type, sums, a, b)
    if AVX2:
        halves = ir.VectorType(I16, 2 * lanes)
        product = call(
            builder, "llvm.x86.avx2.pmadd.wd", sums.type, builder.bitcast(a, halves), builder.bitcast(b, halves)
        )
        return builder.add(sums, product)
    up = constant(lanes, I32, 16)
    low = builder.mul(builder.ashr(builder.shl(a, up), up), builder.ashr(builder.shl(b, up), up))
    return builder.add(builder.add(sums, low), builder.mul(builder.ashr(a, up), builder.ashr(b, up)))


def _correlate(rows: int) -> Any:
    """An intrinsic: out[i, j] = sum over pairs p of left[p, i] * right[p, j], i = 0 .. rows - 1 and j = 0 .. 7: int32
    words of two int16 each.

    All lie at addresses; `pitch` is the bytes from one pair's words to the next, for both.
    """

    @intrinsic
    def correlate(typing: Any, out: Any, out_pitch: Any, left: Any, right: Any, pitch: Any, count: Any) -> Any:
        own: Any = cgutils.alloca_once

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            out, out_pitch, left, right, pitch, count = arguments
            kind = ir.VectorType(I32, 8)
            totals = [own(builder, kind) for _ in range(rows)]
            for total in totals:
                builder.store(constant(8, I32, 0), total)
            with cgutils.for_range(builder, count) as step:
                at = builder.mul(step.index, pitch)
                b = load(builder, builder.add(right, at), kind)
                here = builder.add(left, at)
                for i, total in enumerate(totals):
                    a = spread(builder, load(builder, builder.add(here, I64(4 * i)), I32), 8)
                    builder.store(_pairs(builder, builder.load(total), a, b), total)
            for i, total in enumerate(totals):
                store(builder, builder.load(total), builder.add(out, builder.mul(out_pitch, I64(i))))
            return context.get_dummy_value()

        return types.void(*[ADDRESS] * 6), generate

    return correlate


correlate, correlate_nine, correlate_three = _correlate(8), _correlate(9), _correlate(3)


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


def _narrowed(builder: Any, a: Any, b: Any) -> Any:
    """Two vectors of 8 int32 as one of int16, clamped: a 0 .. 3, b 0 .. 3, a 4 .. 7, b 4 .. 7."""
    if AVX2:
        return call(builder, "llvm.x86.avx2.packssdw", ir.VectorType(I16, 16), a, b)
    limits = constant(8, I32, -(1 << 15)), constant(8, I32, (1 << 15) - 1)
    halves = []
    for each in (a, b):
        each = builder.select(builder.icmp_signed(">", each, limits[0]), each, limits[0])
        each = builder.select(builder.icmp_signed("<", each, limits[1]), each, limits[1])
        halves.append(builder.trunc(each, ir.VectorType(I16, 8)))
    order = [0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15]
    return builder.shuffle_vector(*halves, ir.Constant(ir.VectorType(I32, 16), order))


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
            both = _narrowed(builder, rows[j], rows[j + 1])
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


def _rows(form: Any, *kinds: Any) -> Any:
    """An intrinsic (out, row, other, factor, count): out[i] = form(out[i], row[i], other[i], factor) for 8 count
    numbers of int32, or of `other` float32, at addresses.

    form : (builder, old, row, other, factor) -> vector of int32
    """
    other_kind, factor_type = kinds

    @intrinsic
    def rows(typing: Any, out: Any, row: Any, other: Any, factor: Any, count: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            out, row, other, factor, count = arguments
            integers = ir.VectorType(I32, 8)
            factors = spread(builder, factor, 8)
            with cgutils.for_range(builder, count) as step:
                at = builder.mul(step.index, I64(32))
                to = builder.add(out, at)
                values = load(builder, builder.add(row, at), integers)
                others = load(builder, builder.add(other, at), other_kind)
                store(builder, form(builder, to, values, others, factors), to)
            return context.get_dummy_value()

        return types.void(ADDRESS, ADDRESS, ADDRESS, factor_type, ADDRESS), generate

    return rows


def _log8(builder: Any, v: Any) -> Any:
    """8 times the binary logarithm of f32(v), v >= 1, evenly spaced in each octave, rounded down (FORMAT.md 9.4)."""
    bits = builder.bitcast(builder.sitofp(v, EIGHT_FLOATS), v.type)
    return builder.sub(builder.ashr(bits, constant(8, I32, 20)), constant(8, I32, 1016))


def _unit(builder: Any, q: Any) -> Any:
    """256 INVERSE[q]. SCALE[q] is the float32 whose exponent and first three bits of the fraction are q."""
    bits = builder.shl(builder.add(q, constant(8, I32, 1016)), constant(8, I32, 20))
    return builder.fdiv(ir.Constant(EIGHT_FLOATS, [256.0] * 8), builder.bitcast(bits, EIGHT_FLOATS))


def _eighth_log(builder: Any, _: Any, row: Any, __: Any, ___: Any) -> Any:
    return _log8(builder, builder.ashr(row, constant(8, I32, 3)))


def _relative(builder: Any, _: Any, row: Any, q: Any, times: Any) -> Any:
    value = _log8(builder, builder.ashr(row, constant(8, I32, 3)))
    value = _bounded(builder, builder.mul(times, builder.sub(value, q)), -127, 127)
    return builder.add(value, constant(8, I32, 128))


def _units(builder: Any, _: Any, row: Any, __: Any, quarters: Any) -> Any:
    return _unit(builder, builder.ashr(builder.mul(row, quarters), constant(8, I32, 2)))


def _weighed(builder: Any, _: Any, row: Any, __: Any, least: Any) -> Any:
    # 13 * row >> 6 without more than 32 bits
    six, low = constant(8, I32, 6), builder.and_(row, constant(8, I32, 63))
    thirteen = constant(8, I32, 13)
    whole = builder.mul(thirteen, builder.ashr(row, six))
    value = builder.add(builder.add(whole, builder.ashr(builder.mul(thirteen, low), six)), least)
    return builder.shl(value, constant(8, I32, 3))


@intrinsic
def squash_rows(typing: Any, out: Any, rows: Any, factors: Any, count: Any) -> Any:
    """Four inputs of the network, as words of bytes: each 128 + the squashed product of a row and its factors
    (FORMAT.md 9.4), for 8 count pixels. rows, factors : tuples of four addresses.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, rows, factors, count = arguments
        pairs = [cgutils.unpack_tuple(builder, each, 4) for each in (rows, factors)]  # type: ignore[no-untyped-call]
        with cgutils.for_range(builder, count) as step:
            at = builder.shl(step.index, I64(5))
            words = []
            for k, (row, factor) in enumerate(zip(*pairs, strict=True)):
                value = load(builder, builder.add(row, at), EIGHT_INTEGERS)
                value = _squashed(builder, value, load(builder, builder.add(factor, at), EIGHT_FLOATS))
                words.append(builder.shl(value, constant(8, I32, 8 * k)))
            store(builder, reduce(builder.or_, words), builder.add(out, at))
        return context.get_dummy_value()

    four: Any = types.UniTuple(ADDRESS, 4)  # type: ignore[no-untyped-call]
    return types.void(ADDRESS, four, four, types.int64), generate


def _squashed(builder: Any, row: Any, factors: Any) -> Any:
    x = builder.fmul(builder.sitofp(row, EIGHT_FLOATS), factors)
    bits = builder.bitcast(x, EIGHT_INTEGERS)
    size = builder.bitcast(builder.and_(bits, constant(8, I32, 0x7FFFFFFF)), EIGHT_FLOATS)
    slow = builder.fadd(
        ir.Constant(EIGHT_FLOATS, [24.0] * 8), builder.fmul(ir.Constant(EIGHT_FLOATS, [0.25] * 8), size)
    )
    size = builder.select(builder.fcmp_ordered("<", slow, size), slow, size)
    most = ir.Constant(EIGHT_FLOATS, [127.0] * 8)
    size = builder.select(builder.fcmp_ordered("<", most, size), most, size)
    sign = builder.and_(bits, constant(8, I32, -(1 << 31)))
    signed = builder.bitcast(builder.or_(builder.bitcast(size, EIGHT_INTEGERS), sign), EIGHT_FLOATS)
    return builder.add(builder.fptosi(signed, EIGHT_INTEGERS), constant(8, I32, 128))


def _inserted(builder: Any, to: Any, row: Any, _: Any, shifts: Any) -> Any:
    others = builder.not_(builder.shl(constant(8, I32, 255), shifts))
    return builder.or_(builder.and_(load(builder, to, row.type), others), builder.shl(row, shifts))


def _sum(builder: Any, _: Any, row: Any, other: Any, __: Any) -> Any:
    return builder.add(row, other)


def _difference(builder: Any, _: Any, row: Any, other: Any, __: Any) -> Any:
    return builder.sub(row, other)


def _doubled(builder: Any, _: Any, row: Any, base: Any, __: Any) -> Any:
    return builder.sub(builder.shl(row, constant(8, I32, 1)), base)


add_rows = _rows(_sum, EIGHT_INTEGERS, types.int32)
"""A row plus another."""
subtract_rows = _rows(_difference, EIGHT_INTEGERS, types.int32)
"""A row less another."""
insert_row = _rows(_inserted, EIGHT_INTEGERS, types.int32)
"""Words with another byte, a row, at a shift."""
double_less = _rows(_doubled, EIGHT_INTEGERS, types.int32)
"""Twice a row less another."""
log_row = _rows(_eighth_log, EIGHT_INTEGERS, types.int32)
"""log8 of an eighth of a row."""
relative_row = _rows(_relative, EIGHT_INTEGERS, types.int32)
"""An input of the network: 128 + how far log8 of an eighth of a row is from another row, times a number, clamped."""
unit_row = _rows(_units, EIGHT_INTEGERS, types.int32)
"""256 INVERSE[q quarters >> 2] of a row q, in float32."""
weighed_row = _rows(_weighed, EIGHT_INTEGERS, types.int32)
"""8 times (13 row >> 6, plus a number)."""


@intrinsic
def sum_sizes(typing: Any, out: Any, middle: Any, moves: Any, twice: Any, once: Any, begin: Any, count: Any) -> Any:
    """out[i] = begin + the sum of the absolute values of rows, for 8 count int32. The rows are moves[k] bytes from
    `middle`. The first `twice` of them count twice, the next `once` once.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, middle, moves, twice, once, begin, count = arguments
        total, start = register(builder, EIGHT_INTEGERS), spread(builder, begin, 8)
        moves_once = builder.add(moves, builder.shl(twice, I64(3)))
        with cgutils.for_range(builder, count) as step:
            at = builder.shl(step.index, I64(5))
            here = builder.add(middle, at)

            def add(table: Any, rows: Any, here: Any = here) -> None:
                with cgutils.for_range(builder, rows) as row:
                    move = load(builder, builder.add(table, builder.shl(row.index, I64(3))), I64)
                    value = load(builder, builder.add(here, move), EIGHT_INTEGERS)
                    builder.store(builder.add(builder.load(total), _absolute_row(builder, value)), total)

            builder.store(constant(8, I32, 0), total)
            add(moves, twice)
            builder.store(builder.add(start, builder.shl(builder.load(total), constant(8, I32, 1))), total)
            add(moves_once, once)
            store(builder, builder.load(total), builder.add(out, at))
        return context.get_dummy_value()

    whole = types.int64
    return types.void(*[ADDRESS] * 3, whole, whole, types.int32, whole), generate


def _absolute_row(builder: Any, row: Any) -> Any:
    zero = constant(8, I32, 0)
    return builder.select(builder.icmp_signed("<", row, zero), builder.sub(zero, row), row)


@intrinsic
def error_row(typing: Any, out: Any, values: Any, predicted: Any, low: Any, high: Any, count: Any) -> Any:
    """out[i] = 32 values[i] - predicted[i] for i = low .. high - 1 of 8 count int32 at addresses. Others stay."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, values, predicted, low, high, count = arguments
        first, end = (spread(builder, builder.trunc(each, I32), 8) for each in (low, high))
        with cgutils.for_range(builder, count) as step:
            at = builder.mul(step.index, I64(32))
            here, number = builder.add(out, at), spread(builder, builder.trunc(step.index, I32), 8)
            number = builder.add(builder.shl(number, constant(8, I32, 3)), ir.Constant(EIGHT_INTEGERS, list(range(8))))
            inside = builder.and_(builder.icmp_signed(">=", number, first), builder.icmp_signed("<", number, end))
            value = builder.shl(load(builder, builder.add(values, at), EIGHT_INTEGERS), constant(8, I32, 5))
            value = builder.sub(value, load(builder, builder.add(predicted, at), EIGHT_INTEGERS))
            store(builder, builder.select(inside, value, load(builder, here, EIGHT_INTEGERS)), here)
        return context.get_dummy_value()

    return types.void(*[ADDRESS] * 3, *[types.int64] * 3), generate

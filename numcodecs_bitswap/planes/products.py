"""Products of small integers in a CPU's registers, as parts of compiled loops (numba only).

Layers: sums over 4 k inputs of uint8 activations times int8 weights, for LANES pixels and OUTPUTS outputs at a time.
Pixels lie side by side: activations are int32 words [k, pixel] of 4 inputs, so that a vector holds LANES pixels and the
4 weights of an output are the same for all. One instruction a product on CPUs with VNNI, three with AVX2.
`correlate`: sums of products of int16 pairs, for the statistics of least squares.

Weights are in [-63, 63]: a pair of products of AVX2, 2 * 255 * 63, fits 16 bits, so every path gives the same integers.
"""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..jit import FEATURES
from .tables import OUTPUTS

VNNI = next((name for name in ("avx512vnni", "avxvnni") if f"+{name}" in FEATURES), None)
AVX2 = "+avx2" in FEATURES
LANES = 16 if VNNI == "avx512vnni" else 8

_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_ADDRESS = types.int64


def _load(builder: Any, address: Any, kind: Any) -> Any:
    value = builder.load(builder.inttoptr(address, kind.as_pointer()))
    value.align = 1
    return value


def _store(builder: Any, value: Any, address: Any) -> None:
    builder.store(value, builder.inttoptr(address, value.type.as_pointer())).align = 1


def _constant(lanes: int, kind: Any, value: int) -> Any:
    return ir.Constant(ir.VectorType(kind, lanes), [value] * lanes)


def _spread(builder: Any, value: Any, lanes: int) -> Any:
    kind = ir.VectorType(value.type, lanes)
    nothing = ir.Constant(kind, ir.Undefined)
    zeros = ir.Constant(ir.VectorType(_I32, lanes), [0] * lanes)
    return builder.shuffle_vector(builder.insert_element(nothing, value, _I32(0)), nothing, zeros)


def _call(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    kind = ir.FunctionType(result, [each.type for each in arguments])
    function = cgutils.get_or_insert_function(builder.module, kind, name)  # type: ignore[no-untyped-call]
    return builder.call(function, arguments)


def _dot(builder: Any, sums: Any, x: Any, w: Any) -> Any:
    """Sums plus, in each lane, the products of 4 uint8 by 4 int8."""
    lanes = sums.type.count
    if VNNI:
        return _call(builder, f"llvm.x86.avx512.vpdpbusd.{32 * lanes}", sums.type, sums, x, w)
    if AVX2:
        octets, pairs = ir.VectorType(_I8, 4 * lanes), ir.VectorType(_I16, 2 * lanes)
        a, b = builder.bitcast(x, octets), builder.bitcast(w, octets)
        both = _call(builder, "llvm.x86.avx2.pmadd.ub.sw", pairs, a, b)
        return builder.add(
            sums, _call(builder, "llvm.x86.avx2.pmadd.wd", sums.type, both, _constant(2 * lanes, _I16, 1))
        )
    for k in range(4):
        a = builder.and_(builder.lshr(x, _constant(lanes, _I32, 8 * k)), _constant(lanes, _I32, 255))
        b = builder.ashr(builder.shl(w, _constant(lanes, _I32, 24 - 8 * k)), _constant(lanes, _I32, 24))
        sums = builder.add(sums, builder.mul(a, b))
    return sums


def _bounded(builder: Any, values: Any, low: int, high: int) -> Any:
    lanes = values.type.count
    least, most = _constant(lanes, _I32, low), _constant(lanes, _I32, high)
    values = builder.select(builder.icmp_signed(">", values, least), values, least)
    return builder.select(builder.icmp_signed("<", values, most), values, most)


def _layer(ending: Any) -> Any:
    """An intrinsic: sums of a layer's OUTPUTS outputs for LANES pixels, plus bias, shifted, to what `ending` makes of
    them.

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
            kind = ir.VectorType(_I32, LANES)
            totals = [own(builder, kind) for _ in range(OUTPUTS)]
            for o, total in enumerate(totals):
                at = builder.add(bias, _I64(4 * o))
                builder.store(_spread(builder, _load(builder, at, _I32), LANES), total)
            w_pitch = builder.mul(steps, _I64(4))
            rows = [builder.add(w, builder.mul(w_pitch, _I64(o))) for o in range(OUTPUTS)]
            with cgutils.for_range(builder, steps) as step:
                a = _load(builder, builder.add(x, builder.mul(step.index, x_pitch)), kind)
                at = builder.mul(step.index, _I64(4))
                for total, row in zip(totals, rows, strict=True):
                    b = _spread(builder, _load(builder, builder.add(row, at), _I32), LANES)
                    builder.store(_dot(builder, builder.load(total), a, b), total)
            values = []
            for o, total in enumerate(totals):
                by = _spread(builder, _load(builder, builder.add(shift, _I64(4 * o)), _I32), LANES)
                values.append(builder.ashr(builder.load(total), by))
            ending(builder, values, out, x_pitch, state)
            return context.get_dummy_value()

        return types.void(*[_ADDRESS] * 8), generate

    return layer


def _store_words(builder: Any, values: list[Any], out: Any, pitch: Any) -> None:
    """ReLU of each four outputs in a word."""
    for k in range(0, len(values), 4):
        word = _bounded(builder, values[k], 0, 127)
        for m in range(1, 4):
            up = _constant(LANES, _I32, 8 * m)
            word = builder.or_(word, builder.shl(_bounded(builder, values[k + m], 0, 127), up))
        _store(builder, word, builder.add(out, builder.mul(pitch, _I64(k // 4))))


def _begin(builder: Any, values: list[Any], out: Any, pitch: Any, state: Any) -> None:
    values = [_bounded(builder, value, -127, 127) for value in values]
    for o, value in enumerate(values):
        _store(builder, value, builder.add(state, builder.mul(pitch, _I64(o))))
    _store_words(builder, values, out, pitch)


def _grow(builder: Any, values: list[Any], out: Any, pitch: Any, state: Any) -> None:
    kind = values[0].type
    old = [_load(builder, builder.add(state, builder.mul(pitch, _I64(o))), kind) for o in range(len(values))]
    _begin(builder, [builder.add(v, o) for v, o in zip(values, old, strict=True)], out, pitch, state)


def _rectify(builder: Any, values: list[Any], out: Any, pitch: Any, state: Any) -> None:
    _store_words(builder, values, out, pitch)


def _set(builder: Any, values: list[Any], out: Any, pitch: Any, state: Any) -> None:
    for o, value in enumerate(values):
        _store(builder, value, builder.add(out, builder.mul(pitch, _I64(o))))


def _add(builder: Any, values: list[Any], out: Any, pitch: Any, state: Any) -> None:
    for o, value in enumerate(values):
        place = builder.add(out, builder.mul(pitch, _I64(o)))
        _store(builder, builder.add(value, _load(builder, place, value.type)), place)


layer_begin = _layer(_begin)
"""The state, clamped to +-127, and its ReLU in words."""
layer_grow = _layer(_grow)
"""Added to the state, clamped, and its ReLU in words."""
layer_rectify = _layer(_rectify)
"""ReLU in words."""
layer_set = _layer(_set)
"""As they are."""
layer_add = _layer(_add)
"""Added to what is there."""


def _pairs(builder: Any, sums: Any, a: Any, b: Any) -> Any:
    """Sums plus, in each lane, the products of 2 int16 by 2 int16."""
    lanes = sums.type.count
    if AVX2:
        halves = ir.VectorType(_I16, 2 * lanes)
        product = _call(
            builder, "llvm.x86.avx2.pmadd.wd", sums.type, builder.bitcast(a, halves), builder.bitcast(b, halves)
        )
        return builder.add(sums, product)
    up = _constant(lanes, _I32, 16)
    low = builder.mul(builder.ashr(builder.shl(a, up), up), builder.ashr(builder.shl(b, up), up))
    return builder.add(builder.add(sums, low), builder.mul(builder.ashr(a, up), builder.ashr(b, up)))


@intrinsic
def correlate(typing: Any, out: Any, out_pitch: Any, left: Any, right: Any, pitch: Any, count: Any) -> Any:
    """out[i, j] = sum over pairs p of left[p, i] * right[p, j], i and j = 0 .. 7: int32 words of two int16 each.

    All lie at addresses; `pitch` is the bytes from one pair's words to the next, for both.
    """
    own: Any = cgutils.alloca_once

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, out_pitch, left, right, pitch, count = arguments
        kind = ir.VectorType(_I32, 8)
        totals = [own(builder, kind) for _ in range(8)]
        for total in totals:
            builder.store(_constant(8, _I32, 0), total)
        with cgutils.for_range(builder, count) as step:
            at = builder.mul(step.index, pitch)
            b = _load(builder, builder.add(right, at), kind)
            here = builder.add(left, at)
            for i, total in enumerate(totals):
                a = _spread(builder, _load(builder, builder.add(here, _I64(4 * i)), _I32), 8)
                builder.store(_pairs(builder, builder.load(total), a, b), total)
        for i, total in enumerate(totals):
            _store(builder, builder.load(total), builder.add(out, builder.mul(out_pitch, _I64(i))))
        return context.get_dummy_value()

    return types.void(*[_ADDRESS] * 6), generate


def _scalar(name: str, function: Any, count: int) -> Any:
    """An operation on int32 that stays int32: numba's own widen to 64 bits, which halves what a vector holds."""

    def typed(typing, *arguments):  # type: ignore[no-untyped-def]
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return function(builder, *arguments)

        return types.int32(*[types.int32] * count), generate

    names = ", ".join("abcdefgh"[:count])
    scope: dict[str, Any] = {"typed": typed}
    exec(f"def {name}(typing, {names}):\n    return typed(typing, {names})", scope)
    return intrinsic(scope[name])


def _absolute(builder: Any, v: Any) -> Any:
    return builder.select(builder.icmp_signed("<", v, _I32(0)), builder.sub(_I32(0), v), v)


def _word(builder: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    low = builder.or_(a, builder.shl(b, _I32(8)))
    return builder.or_(low, builder.or_(builder.shl(c, _I32(16)), builder.shl(d, _I32(24))))


absolute32 = _scalar("absolute32", _absolute, 1)
add32 = _scalar("add32", lambda builder, a, b: builder.add(a, b), 2)
times32 = _scalar("times32", lambda builder, a, b: builder.mul(a, b), 2)
word32 = _scalar("word32", _word, 4)
"""Four bytes in a word."""

_F32, _F64 = ir.FloatType(), ir.DoubleType()
_EIGHT, _FOUR = ir.VectorType(_F32, 8), ir.VectorType(_F64, 4)


@intrinsic
def add_scaled(typing: Any, out: Any, row: Any, factor: Any, count: Any) -> Any:
    """out[i] += factor * row[i] for 8 count float32 at addresses: product and sum rounded once each."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, row, factor, count = arguments
        factors = _spread(builder, factor, 8)
        with cgutils.for_range(builder, count) as step:
            at = builder.mul(step.index, _I64(32))
            to = builder.add(out, at)
            product = builder.fmul(factors, _load(builder, builder.add(row, at), _EIGHT))
            _store(builder, builder.fadd(_load(builder, to, _EIGHT), product), to)
        return context.get_dummy_value()

    return types.void(_ADDRESS, _ADDRESS, types.float32, _ADDRESS), generate


@intrinsic
def add_two_scaled(typing: Any, out: Any, row: Any, factor: Any, row2: Any, factor2: Any, count: Any) -> Any:
    """As `add_scaled` of one row and then of another."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, row, factor, row2, factor2, count = arguments
        first, second = _spread(builder, factor, 8), _spread(builder, factor2, 8)
        with cgutils.for_range(builder, count) as step:
            at = builder.mul(step.index, _I64(32))
            to = builder.add(out, at)
            product = builder.fmul(first, _load(builder, builder.add(row, at), _EIGHT))
            total = builder.fadd(_load(builder, to, _EIGHT), product)
            product = builder.fmul(second, _load(builder, builder.add(row2, at), _EIGHT))
            _store(builder, builder.fadd(total, product), to)
        return context.get_dummy_value()

    return types.void(_ADDRESS, _ADDRESS, types.float32, _ADDRESS, types.float32, _ADDRESS), generate


@intrinsic
def decay_and_add(typing: Any, out: Any, row: Any, factor: Any, count: Any) -> Any:
    """out[i] = out[i] * factor + row[i], float32 and int32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, row, factor, count = arguments
        factors = _spread(builder, factor, 8)
        with cgutils.for_range(builder, count) as step:
            at = builder.mul(step.index, _I64(32))
            to = builder.add(out, at)
            values = builder.sitofp(_load(builder, builder.add(row, at), ir.VectorType(_I32, 8)), _EIGHT)
            _store(builder, builder.fadd(builder.fmul(_load(builder, to, _EIGHT), factors), values), to)
        return context.get_dummy_value()

    return types.void(_ADDRESS, _ADDRESS, types.float32, _ADDRESS), generate


@intrinsic
def weigh(typing: Any, out: Any, x: Any, pitch: Any, weights: Any, count: Any) -> Any:
    """out[i] = sum over j of weights[j] * x[j, i] for 8 pixels: float64, int32, float64 at addresses.

    Integers below 2^53 all of them, so the order does not matter.
    """
    own: Any = cgutils.alloca_once

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, x, pitch, weights, count = arguments
        totals = [own(builder, _FOUR) for _ in range(2)]
        for total in totals:
            builder.store(ir.Constant(_FOUR, [0.0] * 4), total)
        with cgutils.for_range(builder, count) as step:
            w = _spread(builder, _load(builder, builder.add(weights, builder.mul(step.index, _I64(8))), _F64), 4)
            at = builder.add(x, builder.mul(step.index, pitch))
            for k, total in enumerate(totals):
                values = builder.sitofp(_load(builder, builder.add(at, _I64(16 * k)), ir.VectorType(_I32, 4)), _FOUR)
                builder.store(builder.fadd(builder.load(total), builder.fmul(w, values)), total)
        for k, total in enumerate(totals):
            _store(builder, builder.load(total), builder.add(out, _I64(32 * k)))
        return context.get_dummy_value()

    return types.void(*[_ADDRESS] * 5), generate


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """8 vectors of 8 lanes, lane and row exchanged: three rounds of a perfect shuffle."""
    low = ir.Constant(ir.VectorType(_I32, 8), [0, 8, 1, 9, 2, 10, 3, 11])
    high = ir.Constant(ir.VectorType(_I32, 8), [4, 12, 5, 13, 6, 14, 7, 15])
    for _ in range(3):
        pairs = [(rows[k], rows[k + 4]) for k in range(4)]
        rows = [builder.shuffle_vector(a, b, mask) for a, b in pairs for mask in (low, high)]
    return rows


@intrinsic
def note_pairs(typing: Any, out: Any, out_pitch: Any, x: Any, x_pitch: Any, factors: Any, limit: Any, odd: Any) -> Any:
    """out[i, j] = x[j, i] * factors[i] in float32, clamped to +-limit, towards zero, for 8 pixels i and 8 regressors j:
    the lower half of a word, with the upper half 0, or if `odd` the upper half of the word that is there.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, out_pitch, x, x_pitch, factors, limit, odd = arguments
        integers = ir.VectorType(_I32, 8)
        scale, most = _load(builder, factors, _EIGHT), _spread(builder, limit, 8)
        least = builder.fneg(most)
        rows = []
        for j in range(8):
            value = _load(builder, builder.add(x, builder.mul(x_pitch, _I64(j))), integers)
            value = builder.fmul(builder.sitofp(value, _EIGHT), scale)
            value = builder.select(builder.fcmp_ordered(">", value, least), value, least)
            value = builder.select(builder.fcmp_ordered("<", value, most), value, most)
            rows.append(builder.fptosi(value, integers))
        places = [builder.add(out, builder.mul(out_pitch, _I64(i))) for i in range(8)]
        columns = _transposed(builder, rows)
        with builder.if_else(odd) as (then, otherwise):
            with then:
                for place, column in zip(places, columns, strict=True):
                    upper = builder.shl(column, _constant(8, _I32, 16))
                    _store(builder, builder.or_(_load(builder, place, integers), upper), place)
            with otherwise:
                for place, column in zip(places, columns, strict=True):
                    _store(builder, builder.and_(column, _constant(8, _I32, 65535)), place)
        return context.get_dummy_value()

    return types.void(*[_ADDRESS] * 5, types.float32, types.boolean), generate


def _gathered(builder: Any, table: Any, index: Any) -> Any:
    """table[index] of int32, in each of 8 lanes."""
    if AVX2:
        kind, byte = index.type, _I8.as_pointer()
        all_of_them = _constant(8, _I32, -1)
        return _call(
            builder, "llvm.x86.avx2.gather.d.d.256", kind, _constant(8, _I32, 0), builder.inttoptr(table, byte), index,
            all_of_them, _I8(4),
        )  # fmt: skip
    values = ir.Constant(index.type, ir.Undefined)
    for k in range(8):
        at = builder.sext(builder.extract_element(index, _I32(k)), _I64)
        value = _load(builder, builder.add(table, builder.mul(at, _I64(4))), _I32)
        values = builder.insert_element(values, value, _I32(k))
    return values


@intrinsic
def eight_edges(typing: Any, out: Any, edges: Any, sigmoid: Any, s: Any, stride: Any, centre: Any, m: Any, rate: Any,
                count: Any, weight: Any, mean: Any, slope: Any, pitch: Any) -> Any:  # fmt: skip
    """out[k] = cum of bucket s + k stride, k = 0 .. 7, of one pixel's mixture (FORMAT.md 9.5).

    edges, sigmoid : tables of int32; weight, mean : int32 and slope : float32 of `count` components, `pitch` bytes
    apart. All lie at addresses.
    """
    own: Any = cgutils.alloca_once

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, edges, sigmoid, s, stride, centre, m, rate, count, weight, mean, slope, pitch = arguments
        integers, wide = ir.VectorType(_I32, 8), ir.VectorType(_I64, 8)

        def low(value: Any) -> Any:
            return _spread(builder, builder.trunc(value, _I32), 8)

        steps = builder.mul(low(stride), ir.Constant(integers, list(range(8))))
        index = builder.add(low(s), steps)
        x = builder.add(low(centre), _gathered(builder, edges, index))
        place = builder.sub(builder.shl(x, _constant(8, _I32, 5)), _constant(8, _I32, 16))
        mass = own(builder, integers)
        builder.store(_constant(8, _I32, 0), mass)
        least, most = (ir.Constant(_EIGHT, [v] * 8) for v in (-4096.0, 4095.0))
        with cgutils.for_range(builder, count) as component:
            at = builder.mul(component.index, pitch)
            here = [
                _load(builder, builder.add(each, at), kind)
                for each, kind in ((weight, _I32), (mean, _I32), (slope, _F32))
            ]
            w, mu, by = (_spread(builder, value, 8) for value in here)
            t = builder.fmul(builder.sitofp(builder.sub(place, mu), _EIGHT), by)
            t = builder.select(builder.fcmp_ordered(">", t, least), t, least)
            t = builder.select(builder.fcmp_ordered("<", t, most), t, most)
            t = _call(builder, "llvm.floor.v8f32", _EIGHT, t)
            where = builder.add(builder.fptosi(t, integers), _constant(8, _I32, 4096))
            part = builder.mul(w, _gathered(builder, sigmoid, where))
            builder.store(builder.add(builder.load(mass), part), mass)
        product = builder.mul(builder.zext(builder.load(mass), wide), _spread(builder, rate, 8))
        cum = builder.add(index, builder.trunc(builder.lshr(product, _constant(8, _I64, 44)), integers))
        cum = builder.select(builder.icmp_signed(">", x, low(m)), _constant(8, _I32, 65536), cum)
        cum = builder.select(builder.icmp_signed("<=", x, _constant(8, _I32, 0)), _constant(8, _I32, 0), cum)
        _store(builder, cum, out)
        return context.get_dummy_value()

    return types.void(*[_ADDRESS] * 13), generate


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
            integers = ir.VectorType(_I32, 8)
            spread = _spread(builder, factor, 8)
            with cgutils.for_range(builder, count) as step:
                at = builder.mul(step.index, _I64(32))
                to = builder.add(out, at)
                values = _load(builder, builder.add(row, at), integers)
                others = _load(builder, builder.add(other, at), other_kind)
                _store(builder, form(builder, to, values, others, spread), to)
            return context.get_dummy_value()

        return types.void(_ADDRESS, _ADDRESS, _ADDRESS, factor_type, _ADDRESS), generate

    return rows


def _squashed(builder: Any, _: Any, row: Any, factors: Any, times: Any) -> Any:
    x = builder.fmul(builder.sitofp(row, _EIGHT), builder.fmul(factors, times))
    size = _call(builder, "llvm.fabs.v8f32", _EIGHT, x)
    slow = builder.fadd(ir.Constant(_EIGHT, [24.0] * 8), builder.fmul(ir.Constant(_EIGHT, [0.25] * 8), size))
    size = builder.select(builder.fcmp_ordered("<", slow, size), slow, size)
    most = ir.Constant(_EIGHT, [127.0] * 8)
    size = builder.select(builder.fcmp_ordered("<", most, size), most, size)
    whole = builder.fptosi(size, row.type)
    negative = builder.fcmp_ordered("<", x, ir.Constant(_EIGHT, [0.0] * 8))
    offset = _constant(8, _I32, 128)
    return builder.select(negative, builder.sub(offset, whole), builder.add(offset, whole))


def _doubled(builder: Any, _: Any, row: Any, base: Any, __: Any) -> Any:
    return builder.sub(builder.shl(row, _constant(8, _I32, 1)), base)


def _grown(builder: Any, to: Any, row: Any, _: Any, times: Any) -> Any:
    zero = _constant(8, _I32, 0)
    size = builder.select(builder.icmp_signed("<", row, zero), builder.sub(zero, row), row)
    return builder.add(_load(builder, to, row.type), builder.mul(size, times))


_INTEGERS = ir.VectorType(_I32, 8)
squash_row = _rows(_squashed, _EIGHT, types.float32)
"""An input of the network: 128 + the squashed product of a row, its factors and one number for all (FORMAT.md 9.4)."""
double_less = _rows(_doubled, _INTEGERS, types.int32)
"""Twice a row less another."""
add_sizes = _rows(_grown, _INTEGERS, types.int32)
"""Plus the absolute values of a row times a number."""

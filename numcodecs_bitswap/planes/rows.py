"""Rows of numbers, one for each pixel of a wavefront, as intrinsics for compiled loops (numba only): sums, differences,
logarithms, and the bytes that the network sees. A count is one of eights; rows have room for the widest vector's.
"""

from functools import reduce
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..runtime.vectors import (
    ADDRESS,
    FLOATS,
    I32,
    I64,
    INTEGERS,
    WIDE,
    bounded,
    floats,
    integers,
    load,
    over_rows,
    register,
    spread,
    store,
)


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
            factors = spread(builder, factor, WIDE)
            with over_rows(builder, count) as at:
                to = builder.add(out, at)
                values = load(builder, builder.add(row, at), INTEGERS)
                others = load(builder, builder.add(other, at), other_kind)
                store(builder, form(builder, to, values, others, factors), to)
            return context.get_dummy_value()

        return types.void(ADDRESS, ADDRESS, ADDRESS, factor_type, ADDRESS), generate

    return rows


def _log8(builder: Any, v: Any) -> Any:
    """8 times the binary logarithm of f32(v), v >= 1, evenly spaced in each octave, rounded down (FORMAT.md 9.4)."""
    bits = builder.bitcast(builder.sitofp(v, FLOATS), v.type)
    return builder.sub(builder.ashr(bits, integers(20)), integers(1016))


def _unit(builder: Any, q: Any) -> Any:
    """256 INVERSE[q]. SCALE[q] is the float32 whose exponent and first three bits of the fraction are q."""
    bits = builder.shl(builder.add(q, integers(1016)), integers(20))
    return builder.fdiv(floats(256.0), builder.bitcast(bits, FLOATS))


def _eighth_log(builder: Any, _: Any, row: Any, __: Any, ___: Any) -> Any:
    return _log8(builder, builder.ashr(row, integers(3)))


def _relative(builder: Any, _: Any, row: Any, q: Any, times: Any) -> Any:
    value = _log8(builder, builder.ashr(row, integers(3)))
    value = bounded(builder, builder.mul(times, builder.sub(value, q)), -127, 127)
    return builder.add(value, integers(128))


def _units(builder: Any, _: Any, row: Any, __: Any, quarters: Any) -> Any:
    return _unit(builder, builder.ashr(builder.mul(row, quarters), integers(2)))


def _weighed(builder: Any, _: Any, row: Any, __: Any, least: Any) -> Any:
    # 13 * row >> 6 without more than 32 bits
    six, low = integers(6), builder.and_(row, integers(63))
    thirteen = integers(13)
    whole = builder.mul(thirteen, builder.ashr(row, six))
    value = builder.add(builder.add(whole, builder.ashr(builder.mul(thirteen, low), six)), least)
    return builder.shl(value, integers(3))


@intrinsic
def squash_rows(typing: Any, out: Any, rows: Any, factors: Any, count: Any) -> Any:
    """Four inputs of the network, as words of bytes: each 128 + the squashed product of a row and its factors
    (FORMAT.md 9.4), for 8 count pixels. rows, factors : tuples of four addresses.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, rows, factors, count = arguments
        pairs = [cgutils.unpack_tuple(builder, each, 4) for each in (rows, factors)]  # type: ignore[no-untyped-call]
        with over_rows(builder, count) as at:
            words = []
            for k, (row, factor) in enumerate(zip(*pairs, strict=True)):
                value = load(builder, builder.add(row, at), INTEGERS)
                value = _squashed(builder, value, load(builder, builder.add(factor, at), FLOATS))
                words.append(builder.shl(value, integers(8 * k)))
            store(builder, reduce(builder.or_, words), builder.add(out, at))
        return context.get_dummy_value()

    four: Any = types.UniTuple(ADDRESS, 4)  # type: ignore[no-untyped-call]
    return types.void(ADDRESS, four, four, types.int64), generate


def _squashed(builder: Any, row: Any, factors: Any) -> Any:
    x = builder.fmul(builder.sitofp(row, FLOATS), factors)
    bits = builder.bitcast(x, INTEGERS)
    size = builder.bitcast(builder.and_(bits, integers(0x7FFFFFFF)), FLOATS)
    slow = builder.fadd(floats(24.0), builder.fmul(floats(0.25), size))
    size = builder.select(builder.fcmp_ordered("<", slow, size), slow, size)
    most = floats(127.0)
    size = builder.select(builder.fcmp_ordered("<", most, size), most, size)
    sign = builder.and_(bits, integers(-(1 << 31)))
    signed = builder.bitcast(builder.or_(builder.bitcast(size, INTEGERS), sign), FLOATS)
    return builder.add(builder.fptosi(signed, INTEGERS), integers(128))


def _inserted(builder: Any, to: Any, row: Any, _: Any, shifts: Any) -> Any:
    others = builder.not_(builder.shl(integers(255), shifts))
    return builder.or_(builder.and_(load(builder, to, row.type), others), builder.shl(row, shifts))


def _sum(builder: Any, _: Any, row: Any, other: Any, __: Any) -> Any:
    return builder.add(row, other)


def _difference(builder: Any, _: Any, row: Any, other: Any, __: Any) -> Any:
    return builder.sub(row, other)


def _doubled(builder: Any, _: Any, row: Any, base: Any, __: Any) -> Any:
    return builder.sub(builder.shl(row, integers(1)), base)


add_rows = _rows(_sum, INTEGERS, types.int32)
"""A row plus another."""
subtract_rows = _rows(_difference, INTEGERS, types.int32)
"""A row less another."""
insert_row = _rows(_inserted, INTEGERS, types.int32)
"""Words with another byte, a row, at a shift."""
double_less = _rows(_doubled, INTEGERS, types.int32)
"""Twice a row less another."""
log_row = _rows(_eighth_log, INTEGERS, types.int32)
"""log8 of an eighth of a row."""
relative_row = _rows(_relative, INTEGERS, types.int32)
"""An input of the network: 128 + how far log8 of an eighth of a row is from another row, times a number, clamped."""
unit_row = _rows(_units, INTEGERS, types.int32)
"""256 INVERSE[q quarters >> 2] of a row q, in float32."""
weighed_row = _rows(_weighed, INTEGERS, types.int32)
"""8 times (13 row >> 6, plus a number)."""


@intrinsic
def sum_sizes(typing: Any, out: Any, middle: Any, moves: Any, twice: Any, once: Any, begin: Any, count: Any) -> Any:
    """out[i] = begin + the sum of the absolute values of rows, for 8 count int32. The rows are moves[k] bytes from
    `middle`. The first `twice` of them count twice, the next `once` once.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, middle, moves, twice, once, begin, count = arguments
        total, start = register(builder, INTEGERS), spread(builder, begin, WIDE)
        moves_once = builder.add(moves, builder.shl(twice, I64(3)))
        with over_rows(builder, count) as at:
            here = builder.add(middle, at)

            def add(table: Any, rows: Any, here: Any = here) -> None:
                with cgutils.for_range(builder, rows) as row:
                    move = load(builder, builder.add(table, builder.shl(row.index, I64(3))), I64)
                    value = load(builder, builder.add(here, move), INTEGERS)
                    builder.store(builder.add(builder.load(total), _absolute_row(builder, value)), total)

            builder.store(integers(0), total)
            add(moves, twice)
            builder.store(builder.add(start, builder.shl(builder.load(total), integers(1))), total)
            add(moves_once, once)
            store(builder, builder.load(total), builder.add(out, at))
        return context.get_dummy_value()

    whole = types.int64
    return types.void(*[ADDRESS] * 3, whole, whole, types.int32, whole), generate


def _absolute_row(builder: Any, row: Any) -> Any:
    zero = integers(0)
    return builder.select(builder.icmp_signed("<", row, zero), builder.sub(zero, row), row)


@intrinsic
def error_row(typing: Any, out: Any, values: Any, predicted: Any, low: Any, high: Any, count: Any) -> Any:
    """out[i] = 32 values[i] - predicted[i] for i = low .. high - 1 of 8 count int32 at addresses. Others stay."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, values, predicted, low, high, count = arguments
        first, end = (spread(builder, builder.trunc(each, I32), WIDE) for each in (low, high))
        with over_rows(builder, count) as at:
            here = builder.add(out, at)
            number = spread(builder, builder.trunc(builder.ashr(at, I64(2)), I32), WIDE)
            number = builder.add(number, ir.Constant(INTEGERS, list(range(WIDE))))
            inside = builder.and_(builder.icmp_signed(">=", number, first), builder.icmp_signed("<", number, end))
            value = builder.shl(load(builder, builder.add(values, at), INTEGERS), integers(5))
            value = builder.sub(value, load(builder, builder.add(predicted, at), INTEGERS))
            store(builder, builder.select(inside, value, load(builder, here, INTEGERS)), here)
        return context.get_dummy_value()

    return types.void(*[ADDRESS] * 3, *[types.int64] * 3), generate

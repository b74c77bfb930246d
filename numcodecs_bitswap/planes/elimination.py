"""Least squares of eight adjacent blocks in CPU registers, as intrinsics for compiled loops (FORMAT.md 9.3).

A vector holds one float32 number of each of eight blocks. Every operation is rounded once, in the order written. All
arguments are addresses, except counts and numbers.
"""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..runtime.vectors import (
    ADDRESS,
    EIGHT_DOUBLES,
    EIGHT_FLOATS,
    EIGHT_INTEGERS,
    F32,
    F64,
    I64,
    call,
    load,
    register,
    spread,
    store,
    transposed,
)


def _vector(builder: Any, address: Any) -> Any:
    return load(builder, address, EIGHT_FLOATS)


def _at_least(builder: Any, value: Any, least: Any) -> Any:
    """The larger one; the value if it is not a number."""
    return builder.select(builder.fcmp_ordered("<", value, least), least, value)


@intrinsic
def window_sums(typing: Any, out: Any, sums: Any, pitch: Any, powers: Any, reach: Any) -> Any:
    """out[k][lane] = sum over d = -reach .. reach of powers[|d|] * sums[lane + d][k], k = 0 .. 7.

    sums : numbers k of the first block; those of the next blocks follow `pitch` bytes apart.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, sums, pitch, powers, reach = arguments
        totals = [register(builder, EIGHT_FLOATS) for _ in range(8)]
        for total in totals:
            builder.store(ir.Constant(EIGHT_FLOATS, [0.0] * 8), total)
        count = builder.add(builder.shl(reach, I64(1)), I64(1))
        with cgutils.for_range(builder, count) as step:
            d = builder.sub(step.index, reach)
            size = builder.select(builder.icmp_signed("<", d, I64(0)), builder.neg(d), d)
            power = load(builder, builder.add(powers, builder.shl(size, I64(2))), F32)
            power = spread(builder, power, 8)
            at = builder.add(sums, builder.mul(d, pitch))
            for lane, total in enumerate(totals):
                block = _vector(builder, builder.add(at, builder.mul(pitch, I64(lane))))
                builder.store(builder.fadd(builder.load(total), builder.fmul(power, block)), total)
        rows = [builder.bitcast(builder.load(total), EIGHT_INTEGERS) for total in totals]
        for k, row in enumerate(transposed(builder, rows)):
            store(builder, row, builder.add(out, I64(32 * k)))
        return context.get_dummy_value()

    return types.void(*[ADDRESS] * 5), generate


@intrinsic
def invert(typing: Any, out: Any, row: Any, ridge: Any) -> Any:
    """out = 1 / max(row, ridge)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, row, ridge = arguments
        value = _at_least(builder, _vector(builder, row), spread(builder, ridge, 8))
        store(builder, builder.fdiv(ir.Constant(EIGHT_FLOATS, [1.0] * 8), value), out)
        return context.get_dummy_value()

    return types.void(ADDRESS, ADDRESS, types.float32), generate


@intrinsic
def divide(typing: Any, out: Any, row: Any, by: Any, ridge: Any) -> Any:
    """out = row / max(by, ridge)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, row, by, ridge = arguments
        value = _at_least(builder, _vector(builder, by), spread(builder, ridge, 8))
        store(builder, builder.fdiv(_vector(builder, row), value), out)
        return context.get_dummy_value()

    return types.void(*[ADDRESS] * 3, types.float32), generate


@intrinsic
def less_product(typing: Any, out: Any, a: Any, b: Any) -> Any:
    """out = -(a * b)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, a, b = arguments
        store(builder, builder.fneg(builder.fmul(_vector(builder, a), _vector(builder, b))), out)
        return context.get_dummy_value()

    return types.void(*[ADDRESS] * 3), generate


@intrinsic
def less_products(typing: Any, out: Any, rows: Any, pitch: Any, inverses: Any, count: Any) -> Any:
    """out[j, i] = -(rows[j, i] * inverses[j]), i = 0, 1, for `count` rows that are `pitch` bytes apart."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, rows, pitch, inverses, count = arguments
        with cgutils.for_range(builder, count) as step:
            j = step.index
            inverse = _vector(builder, builder.add(inverses, builder.shl(j, I64(5))))
            row, to = builder.add(rows, builder.mul(j, pitch)), builder.add(out, builder.shl(j, I64(6)))
            for at in (I64(0), I64(32)):
                product = builder.fmul(_vector(builder, builder.add(row, at)), inverse)
                store(builder, builder.fneg(product), builder.add(to, at))
        return context.get_dummy_value()

    return types.void(*[ADDRESS] * 5), generate


@intrinsic
def add_products(typing: Any, out: Any, out2: Any, rows: Any, pitch: Any, factors: Any, count: Any) -> Any:
    """out[k] += sum over j of factors[j, 0] * rows[j, k], k = 0 .. 3, term by term, for `count` rows that are `pitch`
    bytes apart; out2 with factors[j, 1].
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, out2, rows, pitch, factors, count = arguments
        places = [builder.add(row, I64(32 * k)) for row in (out, out2) for k in range(4)]
        totals = [register(builder, EIGHT_FLOATS) for _ in places]
        for kept, at in zip(totals, places, strict=True):
            builder.store(_vector(builder, at), kept)
        with cgutils.for_range(builder, count) as step:
            row = builder.add(rows, builder.mul(step.index, pitch))
            factor = builder.add(factors, builder.shl(step.index, I64(6)))
            both = [_vector(builder, builder.add(factor, I64(32 * i))) for i in range(2)]
            for k in range(4):
                other = _vector(builder, builder.add(row, I64(32 * k)))
                for i in range(2):
                    total = totals[4 * i + k]
                    builder.store(builder.fadd(builder.load(total), builder.fmul(both[i], other)), total)
        for kept, at in zip(totals, places, strict=True):
            store(builder, builder.load(kept), at)
        return context.get_dummy_value()

    return types.void(*[ADDRESS] * 6), generate


@intrinsic
def add_product(typing: Any, out: Any, row: Any, factor: Any, count: Any) -> Any:
    """out[k] += factor * row[k] for `count` vectors."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, row, factor, count = arguments
        factors = _vector(builder, factor)
        with cgutils.for_range(builder, count) as step:
            at = builder.shl(step.index, I64(5))
            to = builder.add(out, at)
            product = builder.fmul(factors, _vector(builder, builder.add(row, at)))
            store(builder, builder.fadd(_vector(builder, to), product), to)
        return context.get_dummy_value()

    return types.void(*[ADDRESS] * 4), generate


@intrinsic
def subtract_products(typing: Any, out: Any, column: Any, pitch: Any, factor: Any, count: Any) -> Any:
    """out[j] -= column[j] * factor for `count` rows that are `pitch` bytes apart."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, column, pitch, factor, count = arguments
        factors = _vector(builder, factor)
        with cgutils.for_range(builder, count) as step:
            at = builder.mul(step.index, pitch)
            to = builder.add(out, at)
            product = builder.fmul(_vector(builder, builder.add(column, at)), factors)
            store(builder, builder.fsub(_vector(builder, to), product), to)
        return context.get_dummy_value()

    return types.void(*[ADDRESS] * 5), generate


@intrinsic
def round_weights(typing: Any, out: Any, pitch: Any, values: Any, scale: Any, most: Any, count: Any) -> Any:
    """out = floor(values * scale + 1/2), float64, clamped to +-most; -most for NaN. For `count` rows of eight numbers,
    `pitch` bytes apart.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, pitch, values, scale, most, count = arguments
        highest = spread(builder, most, 8)
        lowest = builder.fneg(highest)
        value = builder.fmul(builder.fpext(_vector(builder, values), EIGHT_DOUBLES), spread(builder, scale, 8))
        value = builder.fadd(value, ir.Constant(EIGHT_DOUBLES, [0.5] * 8))
        value = call(builder, "llvm.floor.v8f64", EIGHT_DOUBLES, value)
        value = builder.select(builder.fcmp_ordered(">", value, lowest), value, lowest)
        value = builder.select(builder.fcmp_ordered("<", value, highest), value, highest)
        own = register(builder, EIGHT_DOUBLES)
        builder.store(value, own)
        numbers = builder.ptrtoint(own, I64)
        with cgutils.for_range(builder, count) as step:
            one = load(builder, builder.add(numbers, builder.shl(step.index, I64(3))), F64)
            store(builder, one, builder.add(out, builder.mul(step.index, pitch)))
        return context.get_dummy_value()

    return types.void(*[ADDRESS] * 3, types.float64, types.float64, types.int64), generate

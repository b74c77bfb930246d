"""Least squares of eight blocks side by side, in a CPU's registers, as parts of compiled loops (FORMAT.md 9.3).

A vector holds one number of each of eight blocks, float32. Every operation is rounded once, in the order that is
written; all arguments are addresses but for counts and numbers.
"""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .vectors import ADDRESS, EIGHT_FLOATS, EIGHT_INTEGERS, F32, I64, load, register, spread, store, transposed


def _vector(builder: Any, address: Any) -> Any:
    return load(builder, address, EIGHT_FLOATS)


def _at_least(builder: Any, value: Any, least: Any) -> Any:
    """The larger one; the value if it is not a number."""
    return builder.select(builder.fcmp_ordered("<", value, least), least, value)


@intrinsic
def window_sums(typing: Any, out: Any, sums: Any, pitch: Any, powers: Any, reach: Any) -> Any:
    """out[k][lane] = sum over d = -reach .. reach of powers[|d|] * sums[lane + d][k], k = 0 .. 7.

    sums : numbers k of the first block, others `pitch` bytes apart.
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
def subtract_product(typing: Any, out: Any, a: Any, b: Any) -> Any:
    """out -= a * b."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, a, b = arguments
        product = builder.fmul(_vector(builder, a), _vector(builder, b))
        store(builder, builder.fsub(_vector(builder, out), product), out)
        return context.get_dummy_value()

    return types.void(*[ADDRESS] * 3), generate


@intrinsic
def add_products(typing: Any, out: Any, row: Any, factor: Any, count: Any) -> Any:
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
def add_two_products(typing: Any, out: Any, row: Any, factor: Any, row2: Any, factor2: Any, count: Any) -> Any:
    """As `add_products` of one row and then of another."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, row, factor, row2, factor2, count = arguments
        first, second = _vector(builder, factor), _vector(builder, factor2)
        with cgutils.for_range(builder, count) as step:
            at = builder.shl(step.index, I64(5))
            to = builder.add(out, at)
            product = builder.fmul(first, _vector(builder, builder.add(row, at)))
            total = builder.fadd(_vector(builder, to), product)
            product = builder.fmul(second, _vector(builder, builder.add(row2, at)))
            store(builder, builder.fadd(total, product), to)
        return context.get_dummy_value()

    return types.void(*[ADDRESS] * 6), generate

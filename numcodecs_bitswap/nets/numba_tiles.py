"""Int8 products of CELLS cells at a time in a CPU's registers, requantisation and activations, as parts of compiled
loops.

A product is 4 activations by 4 weights, added to int32: one instruction on CPUs with VNNI (`vpdpbusd`), three on those
with AVX2. Both take unsigned activations. Hence activations are uint8 here, with an offset, and the bias subtracts what
the offset adds to a sum. Intermediate sums may overflow int32; they are taken modulo 2^32, and the final sum fits, so
it is exact. Weights are in [-63, 63], so AVX2's sums of two products, 2 * 255 * 63 at most, fit int16.

The weights of a layer are stored tile by tile: a tile has up to MOST_VECTORS vectors of LANES outputs, or in a wide
layer one vector each of high and low limbs, and for every 4 inputs the 4 weights of each output.

Memory is passed by its address, an int64: passing arrays to compiled loops is slow.
"""

from collections.abc import Callable, Iterable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..runtime.jit import FEATURES
from .units import WIDE

OFFSET = 128
"""Of activations: they are stored as uint8, value + OFFSET."""
VNNI = next((name for name in ("avx512vnni", "avxvnni") if f"+{name}" in FEATURES), None)
"""The variant of VNNI that numba compiles for; None: several other instructions instead."""
AVX2 = "+avx2" in FEATURES
LANES, CELLS, MOST_VECTORS = (16, 8, 3) if VNNI == "avx512vnni" else (8, 4, 3)
"""Outputs of a vector, cells, vectors of a tile: as many sums as the registers hold."""

_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_SUMS = ir.VectorType(_I32, LANES)
_ZEROS = _I64(int.from_bytes(bytes([OFFSET] * 8), "little", signed=True))
"""8 activations of value 0."""


def _vector(numbers: Iterable[int]) -> Any:
    """A constant vector of int32."""
    values = list(numbers)
    return ir.Constant(ir.VectorType(_I32, len(values)), values)


def _at(builder: Any, address: Any, offset: int, kind: Any) -> Any:
    return builder.inttoptr(builder.add(address, _I64(offset)), kind.as_pointer())


def _load(builder: Any, address: Any, offset: int, kind: Any) -> Any:
    value = builder.load(_at(builder, address, offset, kind))
    value.align = 1
    return value


def _store(builder: Any, value: Any, address: Any, offset: int) -> None:
    builder.store(value, _at(builder, address, offset, value.type)).align = 1


def _call(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    kind = ir.FunctionType(result, [each.type for each in arguments])
    function = cgutils.get_or_insert_function(builder.module, kind, name)  # type: ignore[no-untyped-call]
    return builder.call(function, arguments)


def _dot(builder: Any, sums: Any, activations: Any, weights: Any) -> Any:
    """Sums plus, in each lane, the products of 4 uint8 by 4 int8."""
    if VNNI:
        # avxvnni has no intrinsic of its own.
        return _call(builder, f"llvm.x86.avx512.vpdpbusd.{32 * LANES}", _SUMS, sums, activations, weights)
    if AVX2:
        octets, pairs = ir.VectorType(_I8, 4 * LANES), ir.VectorType(_I16, 2 * LANES)
        both = _call(
            builder,
            "llvm.x86.avx2.pmadd.ub.sw",
            pairs,
            *(builder.bitcast(each, octets) for each in (activations, weights)),
        )
        ones = ir.Constant(pairs, [1] * (2 * LANES))
        return builder.add(sums, _call(builder, "llvm.x86.avx2.pmadd.wd", _SUMS, both, ones))
    for k in range(4):
        shift, up = (_vector([by] * LANES) for by in (8 * k, 24 - 8 * k))
        a = builder.and_(builder.lshr(activations, shift), _vector([255] * LANES))
        w = builder.ashr(builder.shl(weights, up), _vector([24] * LANES))
        sums = builder.add(sums, builder.mul(a, w))
    return sums


def _spread(builder: Any, value: Any) -> Any:
    """The same int32 in every lane."""
    nothing = ir.Constant(_SUMS, ir.Undefined)
    return builder.shuffle_vector(builder.insert_element(nothing, value, _I32(0)), nothing, _vector([0] * LANES))


_ADDRESS = types.int64


def _part(function: Callable[..., Any]) -> Any:
    """A part of compiled loops that generates its own LLVM code."""
    return intrinsic(function)


@_part
def add_up(typing: Any, vectors: Any, sums: Any, x: Any, cell: Any, runs: Any, steps: Any, jump: Any, weights: Any,
           biases: Any) -> Any:  # fmt: skip
    """Sums int32 (CELLS, vectors * LANES) = biases + products of activations x and a tile's weights.

    Cell r has its activations in `runs` runs of 4 * `steps` from x + r * cell on, each `jump` after the one before.
    """
    if not isinstance(vectors, types.IntegerLiteral):
        return None
    tile, size = range(vectors.literal_value), 4 * LANES
    own: Any = cgutils.alloca_once  # LLVM keeps it in registers

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, sums, x, cell, runs, steps, jump, weights, biases = arguments
        totals = [[own(builder, _SUMS) for _ in tile] for _ in range(CELLS)]
        for v in tile:
            begin = _load(builder, biases, size * v, _SUMS)
            for total in totals:
                builder.store(begin, total[v])
        place = own(builder, _I64)
        builder.store(weights, place)
        with cgutils.for_range(builder, runs) as run:
            first = builder.add(x, builder.mul(run.index, jump))
            cells = [builder.add(first, builder.mul(cell, _I64(r))) for r in range(CELLS)]
            with cgutils.for_range(builder, steps) as step:
                here, inputs = builder.load(place), builder.mul(step.index, _I64(4))
                w = [_load(builder, here, size * v, _SUMS) for v in tile]
                for total, begin in zip(totals, cells, strict=True):
                    a = _spread(builder, _load(builder, builder.add(begin, inputs), 0, _I32))
                    for v in tile:
                        builder.store(_dot(builder, builder.load(total[v]), a, w[v]), total[v])
                builder.store(builder.add(here, _I64(size * len(tile))), place)
        for r, total in enumerate(totals):
            for v in tile:
                _store(builder, builder.load(total[v]), sums, size * (r * len(tile) + v))
        return context.get_dummy_value()

    return types.void(vectors, *[_ADDRESS] * 8), generate


def _ending(form: Callable[[Any, Any, Any], Any]) -> Any:
    """The ending of a layer: an intrinsic (sums, shifts, whole, old, out) that applies `form` to a vector of shifted
    sums, or to half of it if not `whole`, and stores the result.

    form : (builder, shifted sums, address old) -> what is stored at `out`
    """

    @_part
    def ending(typing: Any, sums: Any, shifts: Any, whole: Any, old: Any, out: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            sums, shifts, whole, old, out = arguments
            shifted = builder.ashr(_load(builder, sums, 0, _SUMS), _load(builder, shifts, 0, _SUMS))
            with builder.if_else(whole) as branches:
                for branch, lanes in zip(branches, (LANES, LANES // 2), strict=True):
                    with branch:
                        part = builder.shuffle_vector(shifted, shifted, _vector(range(lanes)))
                        _store(builder, form(builder, part, old), out, 0)
            return context.get_dummy_value()

        return types.void(_ADDRESS, _ADDRESS, types.boolean, _ADDRESS, _ADDRESS), generate

    return ending


def _clamped(builder: Any, values: Any, low: int, high: int) -> Any:
    """As uint8."""
    lows, highs = (_vector([limit] * values.type.count) for limit in (low, high))
    values = builder.select(builder.icmp_signed(">", values, lows), values, lows)
    values = builder.select(builder.icmp_signed("<", values, highs), values, highs)
    return builder.trunc(values, ir.VectorType(_I8, values.type.count))


def _positive(builder: Any, shifted: Any, old: Any) -> Any:
    offsets = _vector([OFFSET] * shifted.type.count)
    return _clamped(builder, builder.add(shifted, offsets), OFFSET, OFFSET + 127)


def _residual(builder: Any, shifted: Any, old: Any) -> Any:
    before = builder.zext(_load(builder, old, 0, ir.VectorType(_I8, shifted.type.count)), shifted.type)
    return _clamped(builder, builder.add(shifted, before), OFFSET - 127, OFFSET + 127)


def _added(builder: Any, shifted: Any, old: Any) -> Any:
    return builder.add(shifted, _load(builder, old, 0, shifted.type))


relu = _ending(_positive)
"""Requantised sums clamped to [0, 127], as activations."""
residual = _ending(_residual)
"""Old activations plus requantised sums, clamped to [-127, 127]."""
requantise = _ending(lambda builder, shifted, old: shifted)
"""Requantised sums, int32."""
add = _ending(_added)
"""Requantised sums added to old values, int32."""


@_part
def join(typing: Any, sums: Any) -> Any:
    """Combine a vector of high limbs and the one of low limbs after it; the result replaces the first."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        high, low = (_load(builder, arguments[0], place, _SUMS) for place in (0, 4 * LANES))
        _store(builder, builder.add(builder.mul(high, _vector([WIDE] * LANES)), low), arguments[0], 0)
        return context.get_dummy_value()

    return types.void(_ADDRESS), generate


@_part
def lift(typing: Any, old: Any, out: Any, count: Any) -> Any:
    """Add the offset to `count` activations (a multiple of 8), or remove it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        old, out, count = arguments
        with cgutils.for_range(builder, builder.lshr(count, _I64(3))) as each:
            place = builder.shl(each.index, _I64(3))
            eight = _load(builder, builder.add(old, place), 0, _I64)
            _store(builder, builder.xor(eight, _ZEROS), builder.add(out, place), 0)
        return context.get_dummy_value()

    return types.void(*[_ADDRESS] * 3), generate


@_part
def fill(typing: Any, out: Any, count: Any) -> Any:
    """Set `count` activations (a multiple of 8) to zero."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, count = arguments
        with cgutils.for_range(builder, builder.lshr(count, _I64(3))) as each:
            _store(builder, _ZEROS, builder.add(out, builder.shl(each.index, _I64(3))), 0)
        return context.get_dummy_value()

    return types.void(*[_ADDRESS] * 2), generate


@_part
def word(typing: Any, address: Any, index: Any) -> Any:
    """Number `index` of the int64 at an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, index = arguments
        return _load(builder, builder.add(address, builder.mul(index, _I64(8))), 0, _I64)

    return types.int64(_ADDRESS, types.int64), generate

"""Int8 products of CELLS cells at a time in a CPU's registers, requantisation and activations, as parts of compiled
loops.

A product is 4 activations by 4 weights, added to int32 (`vectors.dot`). Activations are uint8 with an offset, and the
bias subtracts what the offset adds to a sum. Intermediate sums may overflow int32; they are taken modulo 2^32, and the
final sum fits, so it is exact.

The weights of a layer are stored tile by tile: a tile has up to MOST_VECTORS vectors of LANES outputs, or in a wide
layer one vector each of high and low limbs, and for every 4 inputs the 4 weights of each output.

Memory is passed by its address, an int64: passing arrays to compiled loops is slow.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..runtime.vectors import ADDRESS, I8, I32, I64, VNNI, bounded, constant, dot, load, spread, store
from .units import WIDE

OFFSET = 128
"""Of activations: they are stored as uint8, value + OFFSET."""
LANES, CELLS, MOST_VECTORS = (16, 8, 3) if VNNI == "avx512vnni" else (8, 4, 3)
"""Outputs of a vector, cells, vectors of a tile: as many sums as the registers hold."""

SUMS = ir.VectorType(I32, LANES)
_ZEROS = I64(int.from_bytes(bytes([OFFSET] * 8), "little", signed=True))
"""8 activations of value 0."""


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
        totals = [[own(builder, SUMS) for _ in tile] for _ in range(CELLS)]
        for v in tile:
            begin = load(builder, builder.add(biases, I64(size * v)), SUMS)
            for total in totals:
                builder.store(begin, total[v])
        place = own(builder, I64)
        builder.store(weights, place)
        with cgutils.for_range(builder, runs) as run:
            first = builder.add(x, builder.mul(run.index, jump))
            cells = [builder.add(first, builder.mul(cell, I64(r))) for r in range(CELLS)]
            with cgutils.for_range(builder, steps) as step:
                here, inputs = builder.load(place), builder.mul(step.index, I64(4))
                w = [load(builder, builder.add(here, I64(size * v)), SUMS) for v in tile]
                for total, begin in zip(totals, cells, strict=True):
                    a = spread(builder, load(builder, builder.add(begin, inputs), I32), LANES)
                    for v in tile:
                        builder.store(dot(builder, builder.load(total[v]), [a], [w[v]]), total[v])
                builder.store(builder.add(here, I64(size * len(tile))), place)
        for r, total in enumerate(totals):
            for v in tile:
                store(builder, builder.load(total[v]), builder.add(sums, I64(size * (r * len(tile) + v))))
        return context.get_dummy_value()

    return types.void(vectors, *[ADDRESS] * 8), generate


def _ending(form: Callable[[Any, Any, Any], Any]) -> Any:
    """The ending of a layer: an intrinsic (sums, shifts, whole, old, out) that applies `form` to a vector of shifted
    sums, or to half of it if not `whole`, and stores the result.

    form : (builder, shifted sums, address old) -> what is stored at `out`
    """

    @_part
    def ending(typing: Any, sums: Any, shifts: Any, whole: Any, old: Any, out: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            sums, shifts, whole, old, out = arguments
            shifted = builder.ashr(load(builder, sums, SUMS), load(builder, shifts, SUMS))
            with builder.if_else(whole) as branches:
                for branch, lanes in zip(branches, (LANES, LANES // 2), strict=True):
                    with branch:
                        places = ir.Constant(ir.VectorType(I32, lanes), list(range(lanes)))
                        part = builder.shuffle_vector(shifted, shifted, places)
                        store(builder, form(builder, part, old), out)
            return context.get_dummy_value()

        return types.void(ADDRESS, ADDRESS, types.boolean, ADDRESS, ADDRESS), generate

    return ending


def _clamped(builder: Any, values: Any, low: int, high: int) -> Any:
    """As uint8."""
    return builder.trunc(bounded(builder, values, low, high), ir.VectorType(I8, values.type.count))


def _positive(builder: Any, shifted: Any, old: Any) -> Any:
    offsets = constant(shifted.type.count, I32, OFFSET)
    return _clamped(builder, builder.add(shifted, offsets), OFFSET, OFFSET + 127)


def _residual(builder: Any, shifted: Any, old: Any) -> Any:
    before = builder.zext(load(builder, old, ir.VectorType(I8, shifted.type.count)), shifted.type)
    return _clamped(builder, builder.add(shifted, before), OFFSET - 127, OFFSET + 127)


def _added(builder: Any, shifted: Any, old: Any) -> Any:
    return builder.add(shifted, load(builder, old, shifted.type))


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
        high, low = (load(builder, builder.add(arguments[0], I64(place)), SUMS) for place in (0, 4 * LANES))
        store(builder, builder.add(builder.mul(high, constant(LANES, I32, WIDE)), low), arguments[0])
        return context.get_dummy_value()

    return types.void(ADDRESS), generate


@_part
def lift(typing: Any, old: Any, out: Any, count: Any) -> Any:
    """Add the offset to `count` activations (a multiple of 8), or remove it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        old, out, count = arguments
        with cgutils.for_range(builder, builder.lshr(count, I64(3))) as each:
            place = builder.shl(each.index, I64(3))
            eight = load(builder, builder.add(old, place), I64)
            store(builder, builder.xor(eight, _ZEROS), builder.add(out, place))
        return context.get_dummy_value()

    return types.void(*[ADDRESS] * 3), generate


@_part
def fill(typing: Any, out: Any, count: Any) -> Any:
    """Set `count` activations (a multiple of 8) to zero."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, count = arguments
        with cgutils.for_range(builder, builder.lshr(count, I64(3))) as each:
            store(builder, _ZEROS, builder.add(out, builder.shl(each.index, I64(3))))
        return context.get_dummy_value()

    return types.void(*[ADDRESS] * 2), generate


@_part
def word(typing: Any, address: Any, index: Any) -> Any:
    """Number `index` of the int64 at an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, index = arguments
        return load(builder, builder.add(address, builder.mul(index, I64(8))), I64)

    return types.int64(ADDRESS, types.int64), generate

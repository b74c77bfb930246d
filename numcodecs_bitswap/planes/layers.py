"""Layers of the network in CPU registers, as intrinsics for compiled loops (numba only).

Sums over 4 k inputs of uint8 activations times int8 weights, for WIDE pixels and OUTPUTS outputs at a time.
Activations are int32 words [k, pixel] of 4 inputs, so that a vector holds WIDE pixels, which share the 4 weights of an
output.
"""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..runtime.vectors import (
    ADDRESS,
    I16,
    I32,
    I64,
    WIDE,
    bounded,
    call,
    constant,
    dot,
    load,
    narrowed,
    narrowed_bytes,
    shifted,
    spread,
    store,
)
from .tables import OUTPUTS


def _layer(ending: Any, small: bool = False) -> Any:
    """An intrinsic: sums of a layer's OUTPUTS outputs for WIDE pixels, plus bias, shifted, to what `ending` makes of
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
            kind = ir.VectorType(I32, WIDE)
            totals = [own(builder, kind) for _ in range(OUTPUTS)]
            for o, total in enumerate(totals):
                at = builder.add(bias, I64(4 * o))
                builder.store(spread(builder, load(builder, at, I32), WIDE), total)
            w_pitch = builder.mul(steps, I64(4))
            rows = [builder.add(w, builder.mul(w_pitch, I64(o))) for o in range(OUTPUTS)]
            together = 2 if small else 1
            with cgutils.for_range(builder, builder.sdiv(steps, I64(together))) as step:
                first = builder.mul(step.index, I64(together))
                steps_now = [builder.add(first, I64(k)) for k in range(together)]
                a = [load(builder, builder.add(x, builder.mul(each, x_pitch)), kind) for each in steps_now]
                for total, row in zip(totals, rows, strict=True):
                    at = [builder.add(row, builder.mul(each, I64(4))) for each in steps_now]
                    b = [spread(builder, load(builder, each, I32), WIDE) for each in at]
                    builder.store(dot(builder, builder.load(total), a, b), total)
            values = []
            for o, total in enumerate(totals):
                by = spread(builder, load(builder, builder.add(shift, I64(4 * o)), I32), WIDE)
                values.append(shifted(builder, builder.load(total), by))
            ending(builder, values, out, x_pitch, state)
            return context.get_dummy_value()

        return types.void(*[ADDRESS] * 8), generate

    return layer


def _store_words(builder: Any, pairs: list[Any], out: Any, pitch: Any) -> None:
    """The ReLU of each four outputs in a word. A pair is two outputs of at most 127 as `narrowed` makes them."""
    for k in range(0, len(pairs), 2):
        octets = narrowed_bytes(builder, pairs[k], pairs[k + 1])
        # Of every four pixels there are four bytes of each output.
        order = [16 * (b // 16) + b // 4 % 4 + 4 * (b % 4) for b in range(octets.type.count)]
        octets = builder.shuffle_vector(octets, octets, ir.Constant(ir.VectorType(I32, len(order)), order))
        store(builder, octets, builder.add(out, builder.mul(pitch, I64(k // 2))))


def _pairs(builder: Any, values: list[Any]) -> list[Any]:
    return [narrowed(builder, *values[k : k + 2]) for k in range(0, len(values), 2)]


def _begin(builder: Any, values: list[Any], out: Any, pitch: Any, state: Any) -> None:
    _keep(builder, _pairs(builder, values), out, pitch, state)


def _keep(builder: Any, pairs: list[Any], out: Any, pitch: Any, state: Any) -> None:
    pairs = [bounded(builder, pair, -127, 127) for pair in pairs]
    for k, pair in enumerate(pairs):
        store(builder, pair, builder.add(state, builder.mul(pitch, I64(k))))
    _store_words(builder, pairs, out, pitch)


def _grow(builder: Any, values: list[Any], out: Any, pitch: Any, state: Any) -> None:
    pairs = []
    for k, pair in enumerate(_pairs(builder, values)):
        old = load(builder, builder.add(state, builder.mul(pitch, I64(k))), pair.type)
        pairs.append(call(builder, f"llvm.sadd.sat.v{pair.type.count}i16", pair.type, pair, old))
    _keep(builder, pairs, out, pitch, state)


def _relu(builder: Any, values: list[Any], out: Any, pitch: Any, state: Any) -> None:
    pairs = _pairs(builder, values)
    most = constant(pairs[0].type.count, I16, 127)
    pairs = [builder.select(builder.icmp_signed("<", pair, most), pair, most) for pair in pairs]
    _store_words(builder, pairs, out, pitch)


def _set(builder: Any, values: list[Any], out: Any, pitch: Any, state: Any) -> None:
    for o, value in enumerate(values):
        store(builder, value, builder.add(out, builder.mul(pitch, I64(o))))


def _add(builder: Any, values: list[Any], out: Any, pitch: Any, state: Any) -> None:
    for o, value in enumerate(values):
        place = builder.add(out, builder.mul(pitch, I64(o)))
        store(builder, builder.add(value, load(builder, place, value.type)), place)


layer_begin = _layer(_begin)
"""Sets the state, clamped to +-127, and stores its ReLU in words. The state is int16 in an order of its own."""
layer_grow = _layer(_grow, small=True)
"""Adds to the state, clamped to +-127, and stores its ReLU in words."""
layer_relu = _layer(_relu, small=True)
"""Stores the ReLU in words."""
layer_set = _layer(_set, small=True)
"""Stores the sums."""
layer_add = _layer(_add)
"""Adds the sums to the output."""

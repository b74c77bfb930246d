"""The network of JPEG coefficients, evaluated in CPU registers for one number at a time (numba only; FORMAT.md 11.4).

Activations are uint8 of at most 127, weights int8 [quad of inputs, output, 4], so that a few instructions multiply a
quad of inputs for eight outputs. Signed inputs are two: their positive part, and their negative part with negated
weights. What is the same for many numbers is added up once.
"""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..runtime.jit import COMPILES, address_of, merged, part
from ..runtime.vectors import (
    ADDRESS,
    EIGHT_DOUBLES,
    I8,
    I32,
    I64,
    VNNI,
    WIDE,
    bounded,
    constant,
    dot,
    load,
    register,
    spread,
    store,
)
from .coefficient_tables import BLOCK_INPUTS, EARLY, LATE, NUMBER_INPUTS, PLACE_INPUTS

EIGHT = 8
"""Outputs in a group."""
VECTORS = ((WIDE, 32 // WIDE), (WIDE, 1), (EIGHT, 1)) if WIDE > EIGHT else ((EIGHT, 4), (EIGHT, 2), (EIGHT, 1))
"""Lanes of vectors, and how many of them share a read of inputs: the largest that fit first."""
LARGEST = 1 << 30


def _layer(starts: int) -> Any:
    """An intrinsic: out = clamp((w x + starts >> shift) + more, least, most) for groups of eight outputs, and its
    positive part.

    All arguments except numbers are addresses: x and positive uint8, w int8 [quad, output, 4], the others int32, of
    which the `starts` begin the sums. The number of quads is even.
    """

    @intrinsic
    def layer(
        typing: Any, x: Any, w: Any, quads: Any, begin: Any, shift: Any, more: Any, least: Any, most: Any, out: Any,
        positive: Any, groups: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            x, w, quads, begin, shift, more, least, most, out, positive, groups = arguments
            begins = cgutils.unpack_tuple(builder, begin, starts)  # type: ignore[no-untyped-call]
            bounds = [builder.trunc(each, I32) for each in (least, most)]
            pitch, done = builder.mul(groups, I64(4 * EIGHT)), I64(0)
            for lanes, count in VECTORS:
                kind, size = ir.VectorType(I32, lanes), lanes * count // EIGHT
                times = builder.sdiv(builder.sub(groups, done), I64(size))
                with cgutils.for_range(builder, times) as step:
                    first = builder.mul(builder.add(done, builder.mul(step.index, I64(size))), I64(4 * EIGHT))
                    places = [builder.add(first, I64(4 * lanes * k)) for k in range(count)]
                    totals = [(register(builder, kind), register(builder, kind)) for _ in places]
                    for at, total in zip(places, totals, strict=True):
                        values = [load(builder, builder.add(each, at), kind) for each in begins]
                        builder.store(values[0] if starts == 1 else builder.add(*values), total[0])
                        builder.store(constant(lanes, I32, 0), total[1])
                    with cgutils.for_range(builder, builder.ashr(quads, I64(1))) as some:
                        a, rows = [], []
                        for k in range(2):
                            quad = builder.add(builder.shl(some.index, I64(1)), I64(k))
                            word = load(builder, builder.add(x, builder.shl(quad, I64(2))), I32)
                            a.append(spread(builder, word, lanes))
                            rows.append(builder.add(w, builder.mul(quad, pitch)))
                        for at, total in zip(places, totals, strict=True):
                            b = [load(builder, builder.add(row, at), kind) for row in rows]
                            if VNNI:  # two sums, of which none waits for the other
                                for k in range(2):
                                    builder.store(dot(builder, builder.load(total[k]), a[k:][:1], b[k:][:1]), total[k])
                            else:
                                builder.store(dot(builder, builder.load(total[0]), a, b), total[0])
                    for at, total in zip(places, totals, strict=True):
                        by, added = (load(builder, builder.add(each, at), kind) for each in (shift, more))
                        value = builder.add(*(builder.load(each) for each in total))
                        value = builder.add(builder.ashr(value, by), added)
                        value = _clamped(builder, value, *(spread(builder, each, lanes) for each in bounds))
                        store(builder, value, builder.add(out, at))
                        above = bounded(builder, value, 0, 127)
                        quarter = builder.add(positive, builder.lshr(at, I64(2)))
                        store(builder, builder.trunc(above, ir.VectorType(I8, lanes)), quarter)
                done = builder.add(done, builder.mul(times, I64(size)))
            return context.get_dummy_value()

        number, both = types.int64, types.UniTuple(ADDRESS, starts)  # type: ignore[no-untyped-call]
        signature = types.void(
            ADDRESS, ADDRESS, number, both, ADDRESS, ADDRESS, number, number, ADDRESS, ADDRESS, number
        )
        return signature, generate

    return layer


layer, layer_of_two = _layer(1), _layer(2)


@intrinsic
def _products_of_eights(typing: Any, w: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """The sum of the products of four times eight float64 at addresses by 32 at w. All sums are of integers below 2^53,
    so their order does not matter.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        w, *values = arguments
        products = []
        for k, each in enumerate(values):
            weights = load(builder, builder.add(w, I64(64 * k)), EIGHT_DOUBLES)
            products.append(builder.fmul(weights, load(builder, each, EIGHT_DOUBLES)))
        total = builder.fadd(builder.fadd(*products[:2]), builder.fadd(*products[2:]))
        for lanes in (4, 2, 1):
            halves = [
                builder.shuffle_vector(
                    total, total, ir.Constant(ir.VectorType(I32, lanes), list(range(first, first + lanes)))
                )
                for first in (0, lanes)
            ]
            total = builder.fadd(*halves)
        return builder.fptosi(builder.extract_element(total, I32(0)), I64)

    return types.int64(*[ADDRESS] * 5), generate


@part
def prediction_places(weights, values):
    """Addresses for `predict`."""
    return address_of(weights, 0, 0), address_of(values, 0, 0)


@part
def predict(table, i, west, north, own, places):
    """The prediction of frequency i from the block on the left, the one above, and the lower frequencies, in units of
    2^-WEIGHT_BITS. Blocks are rows of float64 (n, 128), weights are float64 (2, 64, 32).
    """
    weights, values = places
    u, v = 64 * (i & 7) + 512, 64 * (i >> 3)
    own = values + 1024 * own
    return _products_of_eights(
        weights + 256 * (64 * table + i), values + 1024 * west + v, values + 1024 * north + u, own + v, own + u
    )


def _clamped(builder: Any, value: Any, least: Any, most: Any) -> Any:
    value = builder.select(builder.icmp_signed(">", value, least), value, least)
    return builder.select(builder.icmp_signed("<", value, most), value, most)


class Net(NamedTuple):
    """The network's arrays, or their addresses, and memory for values.

    Attributes
    ----------
    inputs, layers, early, late
        Weights: of the first layer, the blocks' layers, the EARLY first outputs, and the others.
    embedding
    biases, shifts
        Of the first layer and of the blocks' layers.
    ends, end_shifts
        Biases and shifts of the outputs.
    none
        Zeros.
    fixed, shared
        Sums of the first layer: for each number of a block what all blocks share, and what numbers of a block share.
    h, positive, inner
        The layers' values, and what is positive of them.
    y
        Outputs.
    """

    inputs: Any
    layers: Any
    early: Any
    late: Any
    embedding: Any
    biases: Any
    shifts: Any
    ends: Any
    end_shifts: Any
    none: Any
    fixed: Any
    shared: Any
    h: Any
    positive: Any
    inner: Any
    y: Any


@part
def places(net):
    """Addresses of the network's arrays, which unlike arrays need no reference counting, and its width and layers."""
    addresses = Net(
        address_of(net.inputs, 0, 0), address_of(net.layers, 0, 0), address_of(net.early, 0, 0),
        address_of(net.late, 0, 0), address_of(net.embedding, 0, 0), address_of(net.biases, 0, 0),
        address_of(net.shifts, 0, 0), address_of(net.ends, 0, 0), address_of(net.end_shifts, 0, 0),
        address_of(net.none, 0, 0), address_of(net.fixed, 0, 0), address_of(net.shared, 0, 0),
        address_of(net.h, 0, 0), address_of(net.positive, 0, 0), address_of(net.inner, 0, 0), address_of(net.y, 0, 0),
    )  # fmt: skip
    return addresses, len(net.h), len(net.layers)


@merged
def fix_place(x, i, net):
    """Add up the inputs that the number i has in all blocks of a component."""
    a, width, _ = net
    begin = NUMBER_INPUTS + BLOCK_INPUTS
    layer(
        address_of(x, 0, 0) + begin, a.inputs + begin * width, PLACE_INPUTS // 4, (a.biases,), a.none, a.none,
        -LARGEST, LARGEST, a.fixed + 4 * width * i, a.inner, width // EIGHT,
    )  # fmt: skip


@merged
def share(x, net):
    """Add up the inputs that numbers of a block share."""
    a, width, _ = net
    begin = NUMBER_INPUTS
    layer(
        address_of(x, 0, 0) + begin, a.inputs + begin * width, BLOCK_INPUTS // 4, (a.none,), a.none, a.none,
        -LARGEST, LARGEST, a.shared, a.inner, width // EIGHT,
    )  # fmt: skip


@merged
def evaluate(x, i, row, net):
    """Evaluate the network for inputs x, uint8, of the number i, and a row of the embedding: the EARLY first outputs.
    `fix_place` and `share` come before.
    """
    a, width, count = net
    groups, line, matrix, quads = width // EIGHT, 4 * width, width * width, width // 4
    layer_of_two(
        address_of(x, 0, 0), a.inputs, NUMBER_INPUTS // 4, (a.fixed + line * i, a.shared), a.shifts,
        a.embedding + row * line, -127, 127, a.h, a.positive, groups,
    )  # fmt: skip
    for k in range(0, count, 2):
        first, second, at = a.layers + k * matrix, a.layers + (k + 1) * matrix, (1 + k) * line
        layer(a.positive, first, quads, (a.biases + at,), a.shifts + at, a.none, 0, 127, a.y, a.inner, groups)
        at += line
        layer(a.inner, second, quads, (a.biases + at,), a.shifts + at, a.h, -127, 127, a.h, a.positive, groups)
    layer(
        a.positive, a.early, quads, (a.ends,), a.end_shifts, a.none, -LARGEST, LARGEST, a.y, a.inner, EARLY // EIGHT,
    )  # fmt: skip


@merged
def evaluate_late(net):
    """Evaluate the outputs after the EARLY first ones, which few numbers need."""
    a, width, _ = net
    at = 4 * EARLY
    layer(
        a.positive, a.late, width // 4, (a.ends + at,), a.end_shifts + at, a.none, -LARGEST, LARGEST, a.y + at,
        a.inner, LATE // EIGHT,
    )  # fmt: skip


def prediction_places_plainly(weights, values):
    """The arrays themselves."""
    return weights, values


def predict_plainly(table, i, west, north, own, places):
    """See `predict`."""
    weights, values = places
    u, v = 64 + 8 * (i & 7), 8 * (i >> 3)
    parts = values[west, v : v + 8], values[north, u : u + 8], values[own, v : v + 8], values[own, u : u + 8]
    return int(weights[table, i] @ np.concatenate(parts))


def _sums(inputs, weights):
    """Products of weights [quad, output, 4] by inputs."""
    return np.einsum("ki,koi->o", inputs.reshape(-1, 4).astype(np.int64), weights)


def places_plainly(net):
    """The network's arrays themselves: this and what follows do the same without compiled code."""
    return net


def fix_place_plainly(x, i, net):
    """See `fix_place`."""
    begin = NUMBER_INPUTS + BLOCK_INPUTS
    net.fixed[i] = net.biases[0] + _sums(x[begin:], net.inputs[begin // 4 :])


def share_plainly(x, net):
    """See `share`."""
    begin, end = NUMBER_INPUTS, NUMBER_INPUTS + BLOCK_INPUTS
    net.shared[:] = _sums(x[begin:end], net.inputs[begin // 4 : end // 4])


def evaluate_plainly(x, i, row, net):
    """See `evaluate`."""
    sums = net.fixed[i] + net.shared + _sums(x[:NUMBER_INPUTS], net.inputs[: NUMBER_INPUTS // 4])
    h = np.clip((sums >> net.shifts[0]) + net.embedding[row], -127, 127)
    for k in range(0, len(net.layers), 2):
        sums = _sums(np.maximum(h, 0), net.layers[k]) + net.biases[1 + k]
        inner = np.clip(sums >> net.shifts[1 + k], 0, 127)
        h = np.clip(h + (_sums(inner, net.layers[k + 1]) + net.biases[2 + k] >> net.shifts[2 + k]), -127, 127)
    net.positive[:] = np.maximum(h, 0)
    net.y[:EARLY] = _sums(net.positive, net.early) + net.ends[:EARLY] >> net.end_shifts[:EARLY]


def evaluate_late_plainly(net):
    """See `evaluate_late`."""
    net.y[EARLY:] = _sums(net.positive, net.late) + net.ends[EARLY:] >> net.end_shifts[EARLY:]


if not COMPILES:
    places, fix_place, share = places_plainly, fix_place_plainly, share_plainly
    prediction_places, predict = prediction_places_plainly, predict_plainly
    evaluate, evaluate_late = evaluate_plainly, evaluate_late_plainly

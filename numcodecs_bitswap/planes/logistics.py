"""Mixtures of logistics in CPU registers, as intrinsics for compiled loops (numba only; FORMAT.md 9.5).

Parameters lie in rows of pixels, one row for each component. Encoding needs two edges of each pixel, so it handles as
many pixels at a time as the widest vector holds. Decoding searches a pixel's bucket among eight edges.
"""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..runtime.vectors import (
    ADDRESS,
    EIGHT_FLOATS,
    EIGHT_INTEGERS,
    F32,
    F64,
    FLOATS,
    I8,
    I32,
    I64,
    INTEGERS,
    WIDE,
    call,
    constant,
    floats,
    gathered,
    integers,
    like,
    load,
    over_rows,
    register,
    spread,
    store,
    to_floats,
    to_integers,
    transposed,
)
from .tables import GRADIENT, LOGISTIC_SCALES, WEIGHTS


def _integers(value: int) -> Any:
    return constant(8, I32, value)


def _least(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_signed("<", a, b), a, b)


def _most(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_signed(">", a, b), a, b)


def _between(builder: Any, value: Any, low: float, high: float) -> Any:
    """A float32 clamped."""
    least, most = like(value, low), like(value, high)
    value = builder.select(builder.fcmp_ordered(">", value, least), value, least)
    return builder.select(builder.fcmp_ordered("<", value, most), value, most)


def _below(builder: Any, place: Any, mean: Any, slope: Any, sigmoid: Any) -> tuple[Any, Any]:
    """How far, in steps of SIGMOID, a place in 1/32 level is from a logistic's mean, and what that has below it."""
    t = _between(builder, builder.fmul(to_floats(builder, builder.sub(place, mean)), slope), -4096.0, 4095.0)
    t = to_integers(builder, call(builder, f"llvm.floor.v{t.type.count}f32", t.type, t))
    return t, gathered(builder, sigmoid, builder.add(t, like(t, 4096)), 2)


def _mass(builder: Any, place: Any, weight: Any, mean: Any, slope: Any, sigmoid: Any) -> Any:
    """What one component has below a place, in 1/32 level."""
    return builder.mul(weight, _below(builder, place, mean, slope, sigmoid)[1])


def _sum_masses(
    builder: Any, masses: list[Any], places: list[Any], rows: list[Any], components: Any, pitch: Any, sigmoid: Any
) -> None:
    """What mixtures of eight pixels have below each of some places, to registers.

    rows : addresses of weights, means and slopes of the first component, others `pitch` bytes apart.
    """
    masses = masses[: len(places)]
    for mass in masses:
        builder.store(_integers(0), mass)
    with cgutils.for_range(builder, components) as component:
        at = builder.mul(component.index, pitch)
        kinds = EIGHT_INTEGERS, EIGHT_INTEGERS, EIGHT_FLOATS
        w, mu, by = (load(builder, builder.add(row, at), kind) for row, kind in zip(rows, kinds, strict=True))
        for mass, place in zip(masses, places, strict=True):
            more = _mass(builder, place, w, mu, by, sigmoid)
            builder.store(builder.add(builder.load(mass), more), mass)


def _place(builder: Any, x: Any) -> Any:
    """The lower edge of a sample, in 1/32 level."""
    return builder.sub(builder.shl(x, like(x, 5)), like(x, 16))


def _cumulative(builder: Any, s: Any, x: Any, mass: Any, rate: Any, m: Any) -> Any:
    """cum of buckets s that begin at samples x."""
    wide = ir.VectorType(I64, x.type.count)
    product = builder.mul(builder.zext(mass, wide), builder.zext(rate, wide))
    cum = builder.add(s, builder.trunc(builder.lshr(product, like(product, 44)), x.type))
    cum = builder.select(builder.icmp_signed(">", x, m), like(x, 65536), cum)
    return builder.select(builder.icmp_signed("<=", x, like(x, 0)), like(x, 0), cum)


@intrinsic
def eight_edges(typing: Any, out: Any, r: Any, edges: Any, sigmoid: Any, s: Any, stride: Any, centre: Any, m: Any,
                rate: Any, count: Any, weight: Any, mean: Any, slope: Any, pitch: Any) -> Any:  # fmt: skip
    """out[k] = cum of bucket s + k stride, k = 0 .. 7, of one pixel's mixture. Returns how many of them are at most r.

    edges, sigmoid : tables of int32 and uint16; weight, mean : int32 and slope : float32 of `count` components,
    `pitch` bytes apart. All lie at addresses.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, r, edges, sigmoid, s, stride, centre, m, rate, count, weight, mean, slope, pitch = arguments

        def all_lanes(value: Any) -> Any:
            return spread(builder, builder.trunc(value, I32), 8)

        steps = builder.mul(all_lanes(stride), ir.Constant(EIGHT_INTEGERS, list(range(8))))
        index = builder.add(all_lanes(s), steps)
        edge = register(builder, EIGHT_INTEGERS)
        with builder.if_else(builder.icmp_signed("==", stride, I64(1))) as (adjacent, apart):
            with adjacent:
                at = builder.add(edges, builder.shl(s, I64(2)))
                builder.store(load(builder, at, EIGHT_INTEGERS), edge)
            with apart:
                builder.store(gathered(builder, edges, index), edge)
        x = builder.add(spread(builder, centre, 8), builder.load(edge))
        place = _place(builder, x)
        mass = register(builder, EIGHT_INTEGERS)
        builder.store(_integers(0), mass)
        with cgutils.for_range(builder, count) as component:
            at = builder.mul(component.index, pitch)
            w, mu, by = (
                spread(builder, load(builder, builder.add(each, at), kind), 8)
                for each, kind in ((weight, I32), (mean, I32), (slope, F32))
            )
            builder.store(builder.add(builder.load(mass), _mass(builder, place, w, mu, by, sigmoid)), mass)
        cum = _cumulative(builder, index, x, builder.load(mass), spread(builder, rate, 8), all_lanes(m))
        store(builder, cum, out)
        return _count(builder, cum, r)

    whole = types.int64
    taken = ADDRESS, whole, ADDRESS, ADDRESS, whole, whole, types.int32, whole, types.int32, *[ADDRESS] * 5
    return whole(*taken), generate


def _class_of(builder: Any, v: Any) -> Any:
    """The class of a distance v >= 0 (FORMAT.md 9.5). v is below 2^24, so that float32 holds it."""
    exponent = builder.lshr(builder.bitcast(to_floats(builder, v), v.type), like(v, 23))
    bits = _most(builder, builder.sub(exponent, like(v, 130)), like(v, 0))
    return builder.add(builder.shl(bits, like(v, 3)), builder.ashr(v, bits))


def _bits_of(builder: Any, i: Any) -> Any:
    """Low bits of class i."""
    return _most(builder, builder.sub(builder.ashr(i, like(i, 3)), like(i, 1)), like(i, 0))


def _edge_of(builder: Any, i: Any) -> Any:
    """Where class i begins."""
    bits = _bits_of(builder, i)
    return builder.shl(builder.sub(i, builder.shl(bits, like(i, 3))), bits)


def _cums(
    builder: Any, masses: list[Any], symbols: list[Any], xs: list[Any], largest: Any, rate: Any, rows: list[Any],
    components: Any, pitch: Any, sigmoid: Any,
) -> list[Any]:  # fmt: skip
    """cum of some symbols of each of eight pixels, which begin at samples x."""
    _sum_masses(builder, masses, [_place(builder, x) for x in xs], rows, components, pitch, sigmoid)
    found = zip(symbols, xs, masses, strict=False)
    return [_cumulative(builder, symbol, x, builder.load(mass), rate, largest) for symbol, x, mass in found]


def _window(builder: Any, width: Any, middle: Any, centre: Any) -> tuple[list[Any], list[Any]]:
    """The symbols of a window, in ascending order, and where they begin."""
    steps = [builder.mul(width, _integers(k)) for k in range(5)]
    edges = [_edge_of(builder, step) for step in steps]
    symbols, xs = (
        [builder.sub(begin, each[k]) for k in (3, 2, 1)] + [builder.add(begin, each[k]) for k in range(5)]
        for begin, each in ((middle, steps), (centre, edges))
    )
    return symbols, xs


@intrinsic
def search_rows(typing: Any, found: Any, r: Any, stride: Any, centre: Any, half: Any, m: Any, rate: Any,
                components: Any, weight: Any, mean: Any, slope: Any, pitch: Any, sigmoid: Any) -> Any:  # fmt: skip
    """For eight pixels: buckets low and high that enclose the one with cum <= r < next cum, and the cum of both.

    Evaluates the windows of `window_rows` and, if several pixels need it, four edges around the likely bucket. Rows of
    int32, of float32 for the slope, at addresses; the rows of `found` are 32 bytes apart.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        found, r, stride, centre, half, m, rate, components, weight, mean, slope, pitch, sigmoid = arguments
        middle, largest = (spread(builder, builder.trunc(each, I32), 8) for each in (half, m))
        width, middles, rates, r = (load(builder, each, EIGHT_INTEGERS) for each in (stride, centre, rate, r))
        masses, kept = ([register(builder, EIGHT_INTEGERS) for _ in range(count)] for count in (8, 4))
        for begin, value in zip(kept, (0, None, 0, 65536), strict=True):
            builder.store(builder.shl(middle, _integers(1)) if value is None else _integers(value), begin)

        def look(symbols: list[Any], xs: list[Any]) -> tuple[Any, Any]:
            """Keep what edges, in ascending order, tell; cum of the edges before and behind."""
            rows = [weight, mean, slope]
            cums = _cums(builder, masses, symbols, xs, largest, rates, rows, components, pitch, sigmoid)
            low, high, start, end = (builder.load(each) for each in kept)
            before, behind = start, end
            for symbol, cum in zip(symbols, cums, strict=True):
                below = builder.icmp_signed("<=", cum, r)
                before = builder.select(below, start, before)
                low, start = _most(builder, builder.select(below, symbol, low), low), builder.select(below, cum, start)
            for symbol, cum in zip(symbols[::-1], cums[::-1], strict=True):
                above = builder.and_(builder.icmp_signed(">", cum, r), builder.icmp_signed("<", symbol, high))
                behind = builder.select(above, end, behind)
                high, end = builder.select(above, symbol, high), builder.select(above, cum, end)
            for value, each in zip((low, high, start, end), kept, strict=True):
                builder.store(value, each)
            return before, behind

        before, behind = look(*_window(builder, width, middle, middles))
        low, high, start, end = (builder.load(each) for each in kept)
        between, part, whole = (builder.sub(*each) for each in ((high, low), (r, start), (end, start)))
        open_ = builder.icmp_signed(">", between, _integers(1))
        inside = builder.and_(open_, builder.icmp_signed("<=", between, width))
        count = builder.ctpop(builder.bitcast(inside, I8))
        with builder.if_then(builder.icmp_unsigned(">", count, I8(2))):
            # A parabola through cum of four edges, as far as it stays between these two.
            bend = builder.sub(builder.sub(behind, end), builder.sub(start, before))
            part, between, whole, bend = (builder.sitofp(each, EIGHT_FLOATS) for each in (part, between, whole, bend))
            bend = _between(builder, builder.fdiv(bend, builder.fmul(whole, like(whole, 4.0))), -0.5, 0.5)
            part = builder.fdiv(part, whole)
            more = builder.fmul(bend, builder.fmul(part, builder.fsub(like(part, 1.0), part)))
            guess = builder.fptosi(builder.fmul(builder.fadd(part, more), between), EIGHT_INTEGERS)
            first = _least(builder, builder.add(low, builder.sub(guess, _integers(1))), builder.sub(high, _integers(4)))
            first = _most(builder, first, builder.add(low, _integers(1)))
            symbols, xs = [builder.add(first, _integers(k)) for k in range(4)], []
            for symbol in symbols:
                i = builder.sub(symbol, middle)
                below = builder.icmp_signed("<", i, _integers(0))
                edge = _edge_of(builder, builder.select(below, builder.neg(i), i))
                xs.append(builder.add(middles, builder.select(below, builder.neg(edge), edge)))
            look(symbols, xs)
        for k, each in enumerate(kept):
            store(builder, builder.load(each), builder.add(found, I64(32 * k)))
        return context.get_dummy_value()

    whole = types.int64
    return types.void(*[ADDRESS] * 4, whole, whole, ADDRESS, whole, *[ADDRESS] * 3, whole, ADDRESS), generate


@intrinsic
def window_rows(typing: Any, out: Any, stride: Any, centre: Any, half: Any, m: Any, rate: Any, components: Any,
                weight: Any, mean: Any, slope: Any, pitch: Any, sigmoid: Any, count: Any) -> Any:  # fmt: skip
    """out[i, k] = cum of bucket half + (k - 3) stride[i], k = 0 .. 7, of 8 count pixels i.

    Buckets may be outside of the alphabet: cum is 0 below it and 65536 above. Rows at addresses; out[i] are 32 bytes.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, stride, centre, half, m, rate, components, weight, mean, slope, pitch, sigmoid, count = arguments
        middle, largest = (spread(builder, builder.trunc(each, I32), 8) for each in (half, m))
        masses, rows = [register(builder, EIGHT_INTEGERS) for _ in range(8)], (weight, mean, slope)
        with cgutils.for_range(builder, count) as step:
            at = builder.mul(step.index, I64(32))

            def row(address: Any) -> Any:
                return load(builder, builder.add(address, at), EIGHT_INTEGERS)

            symbols, xs = _window(builder, row(stride), middle, row(centre))
            places = [builder.add(each, at) for each in rows]
            columns = _cums(builder, masses, symbols, xs, largest, row(rate), places, components, pitch, sigmoid)
            to = builder.add(out, builder.shl(at, I64(3)))
            for k, pixel in enumerate(transposed(builder, columns)):
                store(builder, pixel, builder.add(to, I64(32 * k)))
        return context.get_dummy_value()

    whole = types.int64
    return types.void(*[ADDRESS] * 3, whole, whole, ADDRESS, whole, *[ADDRESS] * 3, whole, ADDRESS, whole), generate


@intrinsic
def at_most(typing: Any, row: Any, r: Any) -> Any:
    """How many of the eight int32 at an address are at most r."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        row, r = arguments
        return _count(builder, load(builder, row, EIGHT_INTEGERS), r)

    return types.int64(ADDRESS, types.int64), generate


def _count(builder: Any, cum: Any, r: Any) -> Any:
    bits = builder.icmp_signed("<=", cum, spread(builder, builder.trunc(r, I32), 8))
    return builder.zext(builder.ctpop(builder.bitcast(bits, I8)), I64)


@intrinsic
def mixture_rows(typing: Any, y: Any, y_pitch: Any, components: Any, q: Any, blend: Any, top: Any, total: Any,
                 weight: Any, mean: Any, slope: Any, pitch: Any, centre: Any, rate: Any, stride: Any, light: Any,
                 slopes: Any, strides: Any, count: Any) -> Any:  # fmt: skip
    """Parameters of the mixtures of 8 count pixels from the network's outputs y, and the `stride` of `window_rows`.

    Rows of int32, of float32 for the slope, at addresses; light, slopes, strides : tables. total : 65536 less the
    alphabet.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (y, y_pitch, components, q, blend, top, total, weight, mean, slope, pitch, centre, rate, stride, light, slopes,
         strides, count) = arguments  # fmt: skip
        zero = integers(0)
        own = [register(builder, INTEGERS) for _ in range(5)]
        largest, sum_w, peak, middle, which = own
        highest = spread(builder, builder.trunc(top, I32), WIDE)
        scaled = builder.fmul(builder.sitofp(total, F64), F64(2.0**28))
        doubles = ir.VectorType(F64, WIDE)
        logits = builder.add(y, builder.mul(y_pitch, builder.shl(components, I64(1))))
        scales = builder.add(y, builder.mul(y_pitch, components))
        with over_rows(builder, count) as at:

            def row(address: Any, k: Any = None, by: Any = None) -> Any:
                address = builder.add(address, at)
                if k is not None:
                    address = builder.add(address, builder.mul(k, by))
                return load(builder, address, INTEGERS)

            builder.store(integers(-(1 << 31)), largest)
            with cgutils.for_range(builder, components) as component:
                builder.store(_most(builder, builder.load(largest), row(logits, component.index, y_pitch)), largest)
            builder.store(zero, sum_w)
            builder.store(integers(-(1 << 30)), peak)
            builder.store(zero, middle)
            builder.store(zero, which)
            scale, blended = row(q), row(blend)
            # SCALE[q] is the float32 whose exponent and first three bits of the fraction are q.
            unit = builder.bitcast(builder.shl(builder.add(scale, integers(1016)), integers(20)), FLOATS)
            with cgutils.for_range(builder, components) as component:
                k = component.index
                logit = row(logits, k, y_pitch)
                d = _least(builder, builder.sub(builder.load(largest), logit), integers(WEIGHTS - 1))
                w = gathered(builder, light, d)
                builder.store(builder.add(builder.load(sum_w), w), sum_w)
                j = builder.add(builder.shl(scale, integers(1)), row(scales, k, y_pitch))
                j = _least(builder, _most(builder, j, zero), integers(LOGISTIC_SCALES - 1))
                off = _most(builder, _least(builder, row(y, k, y_pitch), integers(8192)), integers(-8192))
                product = builder.fmul(builder.sitofp(off, FLOATS), unit)
                product = builder.fmul(product, floats(0.015625))
                product = _between(builder, product, -(2.0**22), 2.0**22)
                mu = builder.add(blended, builder.fptosi(product, INTEGERS))
                to = builder.add(at, builder.mul(k, pitch))
                for value, rows in ((w, weight), (mu, mean), (gathered(builder, slopes, j), slope)):
                    store(builder, value, builder.add(rows, to))
                height = builder.sub(logit, j)
                higher = builder.icmp_signed(">", height, builder.load(peak))
                for value, kept in ((height, peak), (mu, middle), (j, which)):
                    builder.store(builder.select(higher, value, builder.load(kept)), kept)
            nearest = builder.ashr(builder.add(builder.load(middle), integers(16)), integers(5))
            nearest = _least(builder, _most(builder, nearest, zero), builder.ashr(highest, integers(5)))
            store(builder, nearest, builder.add(centre, at))
            store(builder, gathered(builder, strides, builder.load(which)), builder.add(stride, at))
            # An integer below 2^32: with 2^52 added it is the lower half of the number's bits.
            quotient = builder.fdiv(spread(builder, scaled, WIDE), builder.sitofp(builder.load(sum_w), doubles))
            quotient = call(builder, f"llvm.floor.v{WIDE}f64", doubles, quotient)
            bits = builder.bitcast(builder.fadd(quotient, like(quotient, 2.0**52)), ir.VectorType(I64, WIDE))
            store(builder, builder.trunc(bits, INTEGERS), builder.add(rate, at))
        return context.get_dummy_value()

    whole = types.int64
    return types.void(ADDRESS, ADDRESS, whole, ADDRESS, ADDRESS, whole, whole, *[ADDRESS] * 10, whole), generate


class _Bucket(NamedTuple):
    """The buckets that samples of several pixels are in."""

    symbol: Any
    start: Any
    """The least sample, as is the next bucket's."""
    end: Any
    low: Any
    """The number of the sample within it, and how many bits that has."""
    bits: Any


def _bucket(builder: Any, values: Any, middles: Any, middle: Any) -> _Bucket:
    """The bucket of a sample; symbol `middle` begins at the centre."""
    zero, one = integers(0), integers(1)
    d = builder.sub(values, middles)
    below = builder.icmp_signed("<", d, zero)
    i = _class_of(builder, builder.select(below, builder.xor(d, integers(-1)), d))
    # Below the centre class i ends where class i above it begins, on the other side.
    first, last = _edge_of(builder, i), _edge_of(builder, builder.add(i, one))
    start = builder.select(below, builder.sub(zero, last), first)
    end = builder.select(below, builder.sub(zero, first), last)
    s = builder.select(below, builder.sub(middle, builder.add(i, one)), builder.add(middle, i))
    low = builder.sub(d, start)
    return _Bucket(s, builder.add(middles, start), builder.add(middles, end), low, _bits_of(builder, i))


class _Pixels(NamedTuple):
    """Where rows of pixels begin: int32, float32 for the slope."""

    components: Any
    pitch: Any
    """Bytes from one component's row to the next, of gradients too."""
    q: Any
    weight: Any
    mean: Any
    slope: Any
    gradients: Any


def _gradients(builder: Any, own: list[Any], pixels: _Pixels, bucket: _Bucket, largest: Any, sigmoid: Any) -> list[Any]:
    """Gradients of FORMAT.md 9.6 of several pixels, written to 3 K rows; what the mixtures have below both edges of
    the buckets, or any number where an edge is outside of the alphabet.

    own : registers for the sums of weights and of masses below the two edges.
    """
    zero, whole = integers(0), integers(65536)
    starts, ends = (_place(builder, x) for x in (bucket.start, bucket.end))
    cut = builder.icmp_signed("<=", bucket.start, zero)
    over = builder.icmp_signed(">", bucket.end, largest)

    def row(address: Any, k: Any, kind: Any = INTEGERS) -> Any:
        return load(builder, builder.add(address, builder.mul(k, pixels.pitch)), kind)

    def result(part: int, k: Any) -> Any:
        k = builder.add(builder.mul(pixels.components, I64(part)), k)
        return builder.add(pixels.gradients, builder.mul(k, pixels.pitch))

    def density(part: Any) -> Any:
        return builder.lshr(builder.mul(part, builder.sub(whole, part)), integers(16))

    def gradient(value: Any) -> Any:
        return builder.fptosi(_between(builder, value, -float(GRADIENT), float(GRADIENT)), INTEGERS)

    for each in own:
        builder.store(zero, each)
    with cgutils.for_range(builder, pixels.components) as component:
        k = component.index
        w, mu, by = row(pixels.weight, k), row(pixels.mean, k), row(pixels.slope, k, FLOATS)
        t, a = _below(builder, starts, mu, by, sigmoid)
        s, b = _below(builder, ends, mu, by, sigmoid)
        a, b = builder.select(cut, zero, a), builder.select(over, whole, b)
        da, db = density(a), density(b)
        for register_, more in zip(own, (w, builder.mul(w, a), builder.mul(w, b)), strict=True):
            builder.store(builder.add(builder.load(register_), more), register_)
        store(builder, builder.sub(db, da), result(0, k))
        store(builder, builder.sub(builder.mul(db, s), builder.mul(da, t)), result(1, k))
        store(builder, builder.sub(b, a), result(2, k))
    weights, *masses = (builder.load(each) for each in own)
    mixed = builder.add(builder.sub(masses[1], masses[0]), builder.shl(weights, integers(2)))
    unit = builder.fdiv(floats(256.0), builder.sitofp(mixed, FLOATS))
    share = builder.fdiv(floats(256.0), builder.sitofp(weights, FLOATS))
    scale = builder.bitcast(builder.shl(builder.add(row(pixels.q, I64(0)), integers(1016)), integers(20)), FLOATS)
    step_of = floats(float(np.float32(1 / 384)))
    with cgutils.for_range(builder, pixels.components) as component:
        k = component.index
        w = builder.sitofp(row(pixels.weight, k), FLOATS)
        o = builder.fmul(w, unit)
        by = builder.fmul(builder.fmul(scale, row(pixels.slope, k, FLOATS)), step_of)
        by = builder.select(builder.fcmp_ordered("<", by, floats(16.0)), by, floats(16.0))
        places = [result(part, k) for part in range(3)]
        mean_by, scale_by, inside = (
            builder.fmul(o, builder.sitofp(load(builder, place, INTEGERS), FLOATS)) for place in places
        )
        store(builder, gradient(builder.fmul(mean_by, by)), places[0])
        store(builder, gradient(builder.fmul(scale_by, step_of)), places[1])
        store(builder, gradient(builder.fsub(builder.fmul(w, share), inside)), places[2])
    return masses


@intrinsic
def gradient_rows(typing: Any, gradients: Any, values: Any, centre: Any, q: Any, m: Any, components: Any, weight: Any,
                  mean: Any, slope: Any, pitch: Any, sigmoid: Any, count: Any) -> Any:  # fmt: skip
    """gradients[3 components, i]: the gradients of FORMAT.md 9.6 for 8 count pixels. Rows of int32, of float32 for the
    slope, at addresses, `pitch` bytes apart.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        gradients, values, centre, q, m, components, weight, mean, slope, pitch, sigmoid, count = arguments
        largest = spread(builder, builder.trunc(m, I32), WIDE)
        own = [register(builder, INTEGERS) for _ in range(3)]
        with over_rows(builder, count) as at:
            rows = [builder.add(each, at) for each in (q, weight, mean, slope, gradients)]
            number, middles = (load(builder, builder.add(each, at), INTEGERS) for each in (values, centre))
            bucket = _bucket(builder, number, middles, integers(0))
            _gradients(builder, own, _Pixels(components, pitch, *rows), bucket, largest, sigmoid)
        return context.get_dummy_value()

    whole = types.int64
    return types.void(*[ADDRESS] * 4, whole, whole, *[ADDRESS] * 3, whole, ADDRESS, whole), generate


@intrinsic
def interval_rows(typing: Any, noted: Any, lows: Any, gradients: Any, values: Any, centre: Any, q: Any, half: Any,
                  m: Any, rate: Any, components: Any, weight: Any, mean: Any, slope: Any, pitch: Any, sigmoid: Any,
                  count: Any) -> Any:  # fmt: skip
    """The results of `gradient_rows`, and for each pixel noted = start | (freq - 1) << 16 of its bucket, and lows = the
    number within the bucket << 5 | its number of bits.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (noted, lows, gradients, values, centre, q, half, m, rate, components, weight, mean, slope, pitch, sigmoid,
         count) = arguments  # fmt: skip
        middle, largest = (spread(builder, builder.trunc(each, I32), WIDE) for each in (half, m))
        one, own = integers(1), [register(builder, INTEGERS) for _ in range(3)]
        with over_rows(builder, count) as at:
            rows = [builder.add(each, at) for each in (q, weight, mean, slope, gradients)]
            number, middles = (load(builder, builder.add(each, at), INTEGERS) for each in (values, centre))
            bucket = _bucket(builder, number, middles, middle)
            masses = _gradients(builder, own, _Pixels(components, pitch, *rows), bucket, largest, sigmoid)
            rates = load(builder, builder.add(rate, at), INTEGERS)
            symbols, xs = (bucket.symbol, builder.add(bucket.symbol, one)), (bucket.start, bucket.end)
            begin, stop = (
                _cumulative(builder, symbol, x, mass, rates, largest)
                for symbol, x, mass in zip(symbols, xs, masses, strict=True)
            )
            freq = builder.sub(builder.sub(stop, begin), one)
            store(builder, builder.or_(begin, builder.shl(freq, integers(16))), builder.add(noted, at))
            low = builder.or_(builder.shl(bucket.low, integers(5)), bucket.bits)
            store(builder, low, builder.add(lows, at))
        return context.get_dummy_value()

    whole = types.int64
    taken = *[ADDRESS] * 6, whole, whole, ADDRESS, whole, *[ADDRESS] * 3, whole, ADDRESS, whole
    return types.void(*taken), generate

"""Vectors in LLVM's language, from which intrinsics of compiled loops are built. Imports numba and `jit` alone.

What needs an instruction that only some CPUs have is here, with what other CPUs do instead: `dot`, `sums_of_pairs`,
`narrowed`, `gathered`, `shifted`. All give the same integers.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .jit import CPU, FEATURES

VNNI = next((name for name in ("avx512vnni", "avxvnni") if f"+{name}" in FEATURES), None)
AVX2 = "+avx2" in FEATURES
AVX512 = "+avx512bw" in FEATURES
NEON = "usdot" if "+i8mm" in FEATURES else "udot" if "+dotprod" in FEATURES or CPU.startswith("apple-m") else None
"""Products of 4 bytes on ARM: of unsigned and signed ones, or of unsigned ones alone."""
I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
ADDRESS = types.int64
F32, F64 = ir.FloatType(), ir.DoubleType()
EIGHT_FLOATS = ir.VectorType(F32, 8)
EIGHT_INTEGERS, EIGHT_DOUBLES = ir.VectorType(I32, 8), ir.VectorType(F64, 8)
WIDE = 16 if AVX512 else 8
"""Numbers of 32 bits in the widest vector."""
FLOATS, INTEGERS = ir.VectorType(F32, WIDE), ir.VectorType(I32, WIDE)
register: Any = cgutils.alloca_once
"""Local memory for one value, which LLVM keeps in a register."""


def load(builder: Any, address: Any, kind: Any) -> Any:
    """The value of a kind at an address, aligned or not."""
    value = builder.load(builder.inttoptr(address, kind.as_pointer()))
    value.align = 1
    return value


def store(builder: Any, value: Any, address: Any) -> None:
    """Write a value to an address, aligned or not."""
    builder.store(value, builder.inttoptr(address, value.type.as_pointer())).align = 1


def constant(lanes: int, kind: Any, value: int) -> Any:
    """A vector whose lanes are all the same number."""
    return ir.Constant(ir.VectorType(kind, lanes), [value] * lanes)


def integers(value: int) -> Any:
    """A widest vector of one int32."""
    return constant(WIDE, I32, value)


def floats(value: float) -> Any:
    """A widest vector of one float32."""
    return ir.Constant(FLOATS, [value] * WIDE)


def like(vector: Any, value: float) -> Any:
    """A vector of the type of another, whose lanes are all the same number."""
    return ir.Constant(vector.type, [value] * vector.type.count)


def to_floats(builder: Any, values: Any) -> Any:
    """Int32 as float32 of the same values."""
    return builder.sitofp(values, ir.VectorType(F32, values.type.count))


def to_integers(builder: Any, values: Any) -> Any:
    """Float32, rounded towards zero, as int32."""
    return builder.fptosi(values, ir.VectorType(I32, values.type.count))


@contextmanager
def over_rows(builder: Any, count: Any) -> Iterator[Any]:
    """A loop over widest vectors of 8 count numbers; the value is their distance in bytes from the first. Rows have
    room for what the last vector has too many.
    """
    vectors = count if WIDE == 8 else builder.ashr(builder.add(count, I64(1)), I64(1))
    with cgutils.for_range(builder, vectors) as step:
        yield builder.mul(step.index, I64(4 * WIDE))


def spread(builder: Any, value: Any, lanes: int) -> Any:
    """A vector whose lanes are all one value."""
    kind = ir.VectorType(value.type, lanes)
    nothing = ir.Constant(kind, ir.Undefined)
    zeros = ir.Constant(ir.VectorType(I32, lanes), [0] * lanes)
    return builder.shuffle_vector(builder.insert_element(nothing, value, I32(0)), nothing, zeros)


def bounded(builder: Any, values: Any, low: int, high: int) -> Any:
    """Signed integers, each clamped to low .. high."""
    least, most = (constant(values.type.count, values.type.element, limit) for limit in (low, high))
    values = builder.select(builder.icmp_signed(">", values, least), values, least)
    return builder.select(builder.icmp_signed("<", values, most), values, most)


def call(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    """The result of one of LLVM's intrinsics."""
    kind = ir.FunctionType(result, [each.type for each in arguments])
    function = cgutils.get_or_insert_function(builder.module, kind, name)  # type: ignore[no-untyped-call]
    return builder.call(function, arguments)


def shifted(builder: Any, values: Any, by: Any) -> Any:
    """Int32, each shifted to the right by the number in its lane, 0 .. 31."""
    if AVX2 and values.type.count == 8:
        return call(builder, "llvm.x86.avx2.psrav.d.256", values.type, values, by)
    if AVX512 and values.type.count == 16:
        return call(builder, "llvm.x86.avx512.psrav.d.512", values.type, values, by)
    return builder.ashr(values, by)


def dot(builder: Any, sums: Any, x: list[Any], w: list[Any]) -> Any:
    """Sums plus, in each lane, the products of 4 uint8 by 4 int8, of each x and w.

    Weights are in [-63, 63]: a pair of products of AVX2, 2 * 255 * 63, fits 16 bits. Where there are two or more x and
    w, these x are at most 127: then four products fit, too. Sums are taken modulo 2^32.
    """
    lanes = sums.type.count
    octets = ir.VectorType(I8, 4 * lanes)
    if VNNI:  # avxvnni has no intrinsic of its own
        for a, b in zip(x, w, strict=True):
            sums = call(builder, f"llvm.x86.avx512.vpdpbusd.{32 * lanes}", sums.type, sums, a, b)
        return sums
    if AVX2:
        pairs = ir.VectorType(I16, 2 * lanes)
        name = "llvm.x86.avx512.pmaddubs.w.512" if lanes == 16 else "llvm.x86.avx2.pmadd.ub.sw"
        both = [
            call(builder, name, pairs, builder.bitcast(a, octets), builder.bitcast(b, octets))
            for a, b in zip(x, w, strict=True)
        ]
        product = reduce(builder.add, both)
        return builder.add(sums, sums_of_pairs(builder, sums.type, product, constant(2 * lanes, I16, 1)))
    for a, b in zip(x, w, strict=True):
        if NEON == "usdot":
            sums = _dot_neon(builder, sums, a, b)
        elif NEON:
            # Weights as unsigned ones, w + 64, and less what that adds, which outputs of the same x share.
            lifted = builder.bitcast(builder.add(builder.bitcast(b, octets), constant(4 * lanes, I8, 64)), b.type)
            more = constant(lanes, I32, int.from_bytes(bytes([64] * 4)))
            added = _dot_neon(builder, constant(lanes, I32, 0), a, more)
            sums = builder.sub(_dot_neon(builder, sums, a, lifted), added)
        else:
            for k in range(4):
                left = builder.and_(builder.lshr(a, constant(lanes, I32, 8 * k)), constant(lanes, I32, 255))
                right = builder.ashr(builder.shl(b, constant(lanes, I32, 24 - 8 * k)), constant(lanes, I32, 24))
                sums = builder.add(sums, builder.mul(left, right))
    return sums


def _dot_neon(builder: Any, sums: Any, x: Any, w: Any) -> Any:
    """`dot` of 8 lanes, in two registers of 4."""
    four, halves = ir.VectorType(I32, 4), []
    for k in (0, 4):
        places = ir.Constant(four, list(range(k, k + 4)))
        own, *both = (builder.shuffle_vector(each, each, places) for each in (sums, x, w))
        both = [builder.bitcast(each, ir.VectorType(I8, 16)) for each in both]
        halves.append(call(builder, f"llvm.aarch64.neon.{NEON}.v4i32.v16i8", four, own, *both))
    return builder.shuffle_vector(*halves, ir.Constant(sums.type, list(range(8))))


def sums_of_pairs(builder: Any, kind: Any, a: Any, b: Any) -> Any:
    """Products of int16, two neighbours added in a lane of `kind`; with AVX2."""
    name = "llvm.x86.avx512.pmaddw.d.512" if kind.count == 16 else "llvm.x86.avx2.pmadd.wd"
    return call(builder, name, kind, a, b)


def narrowed(builder: Any, a: Any, b: Any) -> Any:
    """Two vectors of int32 as one of int16, clamped: a 0 .. 3, b 0 .. 3, a 4 .. 7, b 4 .. 7 and so on."""
    return _narrowed(builder, a, b, I16, -(1 << 15), (1 << 15) - 1, "packssdw")


def narrowed_bytes(builder: Any, a: Any, b: Any) -> Any:
    """Two vectors of int16 as one of uint8, clamped: a 0 .. 7, b 0 .. 7, a 8 .. 15, b 8 .. 15 and so on."""
    return _narrowed(builder, a, b, I8, 0, 255, "packuswb")


def _narrowed(builder: Any, a: Any, b: Any, kind: Any, low: int, high: int, instruction: str) -> Any:
    lanes = a.type.count
    both, bits = ir.VectorType(kind, 2 * lanes), lanes * a.type.element.width
    if AVX2 and bits == 256:
        return call(builder, f"llvm.x86.avx2.{instruction}", both, a, b)
    if AVX512 and bits == 512:
        return call(builder, f"llvm.x86.avx512.{instruction}.512", both, a, b)
    a, b = (builder.trunc(bounded(builder, each, low, high), ir.VectorType(kind, lanes)) for each in (a, b))
    own = 128 // (2 * kind.width)  # numbers of 128 bits
    order = [k + lanes * other + n for k in range(0, lanes, own) for other in (0, 1) for n in range(own)]
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, len(order)), order))


def gathered(builder: Any, table: Any, index: Any, size: int = 4) -> Any:
    """table[index] of int32 in each lane; with `size` 2 of uint16, which reads up to one number past the last."""
    if (lanes := index.type.count) > 8:
        parts = [list(range(k, k + 8)) for k in range(0, lanes, 8)]
        parts = [builder.shuffle_vector(index, index, ir.Constant(ir.VectorType(I32, 8), part)) for part in parts]
        low, high = (gathered(builder, table, part, size) for part in parts)
        return builder.shuffle_vector(low, high, ir.Constant(index.type, list(range(lanes))))
    if AVX2:
        kind, byte = index.type, I8.as_pointer()
        all_of_them = constant(8, I32, -1)
        values = call(
            builder, "llvm.x86.avx2.gather.d.d.256", kind, constant(8, I32, 0), builder.inttoptr(table, byte), index,
            all_of_them, I8(size),
        )  # fmt: skip
        return values if size == 4 else builder.and_(values, constant(8, I32, 65535))
    values = ir.Constant(index.type, ir.Undefined)
    for k in range(8):
        at = builder.sext(builder.extract_element(index, I32(k)), I64)
        value = load(builder, builder.add(table, builder.mul(at, I64(size))), ir.IntType(8 * size))
        values = builder.insert_element(values, value if size == 4 else builder.zext(value, I32), I32(k))
    return values


def transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """8 vectors of 8 lanes, lane and row exchanged: three rounds of a perfect shuffle."""
    low = ir.Constant(ir.VectorType(I32, 8), [0, 8, 1, 9, 2, 10, 3, 11])
    high = ir.Constant(ir.VectorType(I32, 8), [4, 12, 5, 13, 6, 14, 7, 15])
    for _ in range(3):
        pairs = [(rows[k], rows[k + 4]) for k in range(4)]
        rows = [builder.shuffle_vector(a, b, mask) for a, b in pairs for mask in (low, high)]
    return rows


@intrinsic
def int32_at(typing: Any, address: Any) -> Any:
    """The int32 at an address. Functions that take addresses instead of arrays count no references."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return load(builder, arguments[0], I32)

    return types.int32(ADDRESS), generate


@intrinsic
def copy_steps(typing: Any, out: Any, out_step: Any, row: Any, row_step: Any, count: Any) -> Any:
    """Copy `count` int32 at addresses that are `row_step` bytes apart to addresses `out_step` bytes apart."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, out_step, row, row_step, count = arguments
        with cgutils.for_range(builder, count) as step:
            value = load(builder, builder.add(row, builder.mul(step.index, row_step)), I32)
            store(builder, value, builder.add(out, builder.mul(step.index, out_step)))
        return context.get_dummy_value()

    return types.void(*[ADDRESS] * 5), generate

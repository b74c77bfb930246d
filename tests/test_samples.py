"""Arrays of every numeric dtype as numbers from zero, and back."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from numcodecs_bitswap import BitSwap, FormatError, samples
from numcodecs_bitswap.chunk import stored
from numcodecs_bitswap.chunk.coding import memory
from numcodecs_bitswap.chunk.fields import Reader
from numcodecs_bitswap.chunk.frame import Route
from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.samples import Samples, chain, choice, fixed, gaps, lattice, lattice_search, ordered, words
from numcodecs_bitswap.samples.lattice import Line
from reference import frames as reference_frames
from strategies import assert_identical

Array = NDArray[Any]
INTEGERS = ["|u1", "|i1", "<u2", ">u2", "<i2", ">i2", "<u4", ">i4", "<i8", ">u8"]
FLOATS = ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"]
OTHERS = ["|b1", "<M8[s]", ">m8[ns]", "<c8", ">c16"]


def back(prepared: samples.Prepared) -> Array:
    """The array of what a frame says and the numbers."""
    found = prepared.samples
    reader = Reader(memoryview(found.write()))
    read = Samples.read(reader, found.dtype, found.shape)
    assert reader.left == 0
    assert read.order == prepared.numbers.shape
    return read.array(prepared.numbers)


def check(array: Array, axes: tuple[int, int] | None = None) -> samples.Prepared:
    """Numbers of an array, which come back."""
    last = len(samples.shape_of(array.dtype, array.shape)) - 1
    prepared = samples.prepare(array, axes or (last - 1, last), None)
    assert max(int(prepared.numbers.max()), 1) == prepared.m < 1 << 22
    assert_identical(back(prepared), np.ascontiguousarray(array))
    assert_identical(back(samples.labelled(array, axes or (last - 1, last))), np.ascontiguousarray(array))
    return prepared


@st.composite
def arrays(draw: st.DrawFn) -> Array:
    """Any bits; few values; walks; special floats between."""
    dtype = np.dtype(draw(st.sampled_from(INTEGERS + FLOATS + OTHERS)))
    shape = tuple(draw(st.lists(st.integers(1, 9), min_size=1, max_size=4)))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    count = int(np.prod(shape))
    kind = draw(st.sampled_from(["bits", "few", "walk", "near"]))
    if kind == "walk" and dtype.kind in "iufc":
        walk = np.cumsum(rng.normal(0, 3, count))
        values = (walk - walk.min()).astype(dtype)
    elif kind == "few":
        values = rng.choice(np.frombuffer(rng.bytes(3 * dtype.itemsize), dtype), count)
    else:
        values = np.frombuffer(rng.bytes(count * dtype.itemsize), dtype).copy()
        if kind == "near" and dtype.kind == "f":
            values = values.view(f"u{dtype.itemsize}")
            values[:] = values % 1000
            values = values.view(dtype)
    if dtype.kind == "b":
        values = values.view(np.uint8).astype(bool)
    values = np.array(values).reshape(shape)
    if dtype.kind == "f":
        special = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 1e20 if dtype.itemsize > 2 else 1e4], dtype)
        chosen = rng.random(shape) < draw(st.sampled_from([0, 0.2]))
        values[chosen] = rng.choice(special, int(chosen.sum()))
    return np.asfortranarray(values) if draw(st.booleans()) else values


@settings(max_examples=400, deadline=None)
@given(arrays())
def test_every_array_comes_back(array: Array) -> None:
    check(array)


@pytest.mark.parametrize("order", "<>")
def test_every_float16(order: str) -> None:
    every = np.arange(65536, dtype=np.uint16).view(np.float16).astype(f"{order}f2")
    for part in (every, every.view(f"{order}u2")[::-1].copy().view(f"{order}f2")):
        check(part.reshape(256, 256))
    finite = every[np.isfinite(every)]
    check(finite[: len(finite) // 128 * 128].reshape(-1, 128))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_cells_of_every_width(dtype: str) -> None:
    rng = np.random.default_rng(0)
    number = np.dtype(dtype)
    for exponent in (-6, -3, 0, 4):
        values = (rng.normal(1, 2, 500) * 10.0**exponent).astype(dtype)
        given = values.view(f"u{number.itemsize}")
        scale = fixed.find(given, number)
        for _ in range(12):
            numbers, low, counts = scale.split(given)
            assert np.array_equal(scale.low_counts(numbers), counts)
            kept = low & ((np.uint64(1) << counts.astype(np.uint64)) - np.uint64(1))
            assert np.array_equal(kept, low)
            assert np.array_equal(scale.words(numbers, low), given)
            scale = scale.coarser(3).onto(given)


def test_denormals_have_cells() -> None:
    for number in (np.dtype(np.float32), np.dtype(np.float64)):
        given = np.arange(1, 400, dtype=f"u{number.itemsize}")
        given[::2] |= given.dtype.type(1 << 8 * number.itemsize - 1)
        scale = fixed.find(given, number).coarser(3).onto(given)
        assert np.array_equal(scale.words(*scale.split(given)[:2]), given)


# Integers


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("step", [1, 3])
def test_offsets_and_steps_are_found(dtype: str, step: int) -> None:
    least = int(np.iinfo(dtype).min)
    x = np.random.default_rng(0).integers(0, 30, (30, 30))
    x[0, :2] = 0, 1
    prepared = check((x * step + least + 40).astype(dtype))
    scale = prepared.samples.scale
    assert isinstance(scale, ordered.Ordered)
    assert (scale.offset, scale.step, scale.table) == (40, step, ())
    assert np.array_equal(prepared.numbers, x)


def test_extremes() -> None:
    for dtype in INTEGERS:
        check(np.array([[np.iinfo(dtype).min, np.iinfo(dtype).max]], dtype))


def test_levels_that_an_instrument_does_not_have_are_left_out() -> None:
    """An 8-bit camera, stretched: 256 of 436 levels."""
    counts = np.random.default_rng(0).integers(0, 256, (200, 250))
    for dtype in ("<u2", ">i4", "<f4"):
        array = (np.round(counts * 1.7) if dtype != "<f4" else np.sqrt(counts)).astype(dtype)
        prepared = check(array)
        assert prepared.m == 255
        assert np.array_equal(prepared.numbers, counts)


def test_levels_that_are_rare_are_not_missing() -> None:
    """Few samples, each of another level; and a far outlier."""
    rng = np.random.default_rng(0)
    for values in (rng.integers(0, 65536, (30, 100)), np.append(rng.normal(3000, 40, 49_999).round(), 60_000)):
        scale = check(values.reshape(-1, 50).astype("<u2")).samples.scale
        assert isinstance(scale, ordered.Ordered)
        assert scale.table == ()


def test_which_dtypes() -> None:
    known = [*INTEGERS, *FLOATS, *OTHERS]
    assert [text for text in (*known, "|S2", "<U3", "|V4", "g") if samples.is_numeric(np.dtype(text))] == known


# Gaps


def smooth(*shape: int) -> NDArray[np.float64]:
    """A field that is the same everywhere on every machine, without two equal values."""
    place = np.indices(shape).astype(np.float64)
    return sum((k + 1.3) * axis + axis * axis / (7 + k) for k, axis in enumerate(place)) / 97 + 280


@pytest.mark.parametrize("fill", [np.nan, np.inf, 1e20, -9999.0, 9.96921e36, 0.0])
def test_fill_values_are_gaps(fill: float) -> None:
    array = smooth(3, 40, 50).astype("<f4")
    array[:, 5:9, 10:30] = fill
    array[0] = fill
    prepared = check(array)
    assert prepared.samples.gaps is not None
    assert len(prepared.samples.gaps.words) == 1
    assert np.array_equal(prepared.samples.gaps.mask > 0, np.isnan(array) | (array == np.float32(fill)))


def test_every_nan_comes_back() -> None:
    array = smooth(30, 40).astype("<f4")
    bits = array.view(np.uint32)
    bits[3, :5] = 0x7FC00000, 0xFFC00001, 0x7F800001, 0xFF800000, 0x7FABCDEF
    assert check(array).samples.gaps is not None
    bits[4, :40] = 0x7F800001 + np.arange(40)  # too many kinds to name
    assert check(array).samples.gaps is None


def test_a_fill_value_of_integers() -> None:
    array = (smooth(40, 50) * 10).astype("<i2")
    array[10:20, 5:30] = -32768
    prepared = check(array)
    assert prepared.samples.gaps is not None
    assert prepared.m < 3000


def test_copies_are_left_out() -> None:
    """A field resampled to a finer grid, with holes."""
    rng = np.random.default_rng(1)
    coarse = rng.normal(0, 1, (20, 30)).astype("<f4")
    array = np.repeat(np.repeat(coarse, 2, 0), 3, 1)
    array[4:9, 20:60] = np.nan
    prepared = check(array)
    assert prepared.samples.gaps is not None
    assert prepared.samples.gaps.closed
    assert prepared.numbers.size < array.size / 2
    check(np.stack([array, array * 2]).transpose(1, 2, 0), (0, 1))


# Lattices

K = np.random.default_rng(2).integers(-1000, 20_000, (60, 70)).astype(np.int16)
WIDE = np.random.default_rng(3).integers(0, 65536, (120, 130))
F4 = np.float32
LATTICES: dict[str, Array] = {
    "counts in float64": K.astype("<f8"),
    "counts / 10000, float32": K.astype(F4) / F4(10000),
    "counts / 100, float64": K / 100,
    "counts * 0.01, float64": K * 0.01,
    "xarray, float32": K.astype(F4) * F4(0.01),
    "xarray with an offset, float32": K.astype(F4) * F4(0.01) + F4(273.15),
    "NetCDF, float64": K * 0.01 + 273.15,
    "NetCDF, any scale and offset": K * 0.012345678901 + 271.87654321,
    "Landsat collection 2": (K.astype(F4) + F4(1000)) * F4(2.75e-5) + F4(-0.2),
    "GRIB": (50983.0390625 + WIDE * 2.0**-5).astype(F4),
    "GRIB with a decimal scale": ((27000.5 + WIDE * 2.0**-3) / 100).astype(F4),
    "decimals, float32": np.round(np.random.default_rng(4).normal(200, 30, (60, 70)), 2).astype(F4),
    "decimals, float64": np.round(np.random.default_rng(5).normal(0, 3, (60, 70)), 3),
    "8 bits / 255": (K % 256 / 255).astype(">f4"),
    "whole numbers beyond the largest": K.astype("<f8") * 2.0**20 + 1,
}


@pytest.mark.parametrize("kind", LATTICES)
def test_integers_in_disguise(kind: str) -> None:
    array = LATTICES[kind]
    scale = check(array).samples.scale
    assert isinstance(scale, lattice.Lattice)
    if kind != "whole numbers beyond the largest":
        assert check(array).m <= 65535
    wide = array.astype("<f8")
    assert isinstance(check(wide).samples.scale, lattice.Lattice)
    broken = array.copy()
    broken[3, 4:7] = np.nan, -0.0, 1e-3
    check(broken)


def test_each_plane_has_a_lattice_of_its_own() -> None:
    """As of GRIB: reference value and step of each field."""
    steps, least = 2.0 ** np.arange(-6, 0).reshape(2, 3, 1, 1), np.linspace(200, 90_000, 6).reshape(2, 3, 1, 1)
    array = (np.float32(least).astype(np.float64) + steps * WIDE[:40, :50]).astype(F4)
    scale = check(array).samples.scale
    assert isinstance(scale, lattice.Lattice)
    assert scale.groups == (0, 1)
    assert scale.off is None


def test_planes_whose_arithmetic_differs() -> None:
    """One plane in binary32, one in binary64, one divided."""
    k = WIDE[:100, :120] % 30_000
    single = k.astype(F4) * F4(0.01) + F4(273.15)
    array = np.stack([single, (50983.0390625 + k * 2.0**-5).astype(F4), (k / 1000).astype(F4)])
    scale = check(array).samples.scale
    assert isinstance(scale, lattice.Lattice)
    assert [line.single for line in scale.lines] == [True, False, False]


def test_no_lattice_in_noise() -> None:
    rng = np.random.default_rng(0)
    for dtype in ("<f4", "<f8"):
        for values in (rng.normal(0, 1, 9000), rng.random(9000), np.exp(rng.normal(0, 5, 9000))):
            assert lattice_search.search(values.astype(dtype)) is None


def test_lines_are_defined() -> None:
    """Each operation is rounded once, in the order k * s + a, / d."""
    k = np.array([-7, 3, 16_777_217])
    assert Line(1.0, 0.0, 10.0).values(k, np.dtype(np.float64)).tolist() == [-0.7, 0.3, 1677721.7]
    assert Line(0.1, 0.5, 1.0).values(k[:2], np.dtype(np.float64)).tolist() == [-7 * 0.1 + 0.5, 3 * 0.1 + 0.5]
    single = Line(1.0, 0.0, 1.0, True).values(k, np.dtype(np.float32))
    assert single.tolist() == [-7.0, 3.0, 16_777_216.0]


# Floats


def test_float64_that_are_float32() -> None:
    array = smooth(40, 50).astype(np.float32).astype(np.float64)
    array[3, 4] = np.nan
    assert check(array).samples.narrow
    array.view(np.uint64)[3, 4] |= np.uint64(1)
    assert not check(array).samples.narrow
    for bits in (0x7F800001, 0xFFC12345, 0x80000000, 1, 0x7F7FFFFF):
        single = np.array([[bits, bits]], np.uint32)
        wide = chain.widened(single)
        assert np.array_equal(chain.narrowed(wide), single)


def test_trailing_zeros_are_taken_out() -> None:
    """Floats rounded to ten bits of the mantissa, of both signs."""
    array = np.random.default_rng(0).normal(0, 1, (50, 60)).astype(F4)
    array.view(np.uint32)[:] &= np.uint32(0xFFFFE000)
    prepared = check(array)
    assert len(prepared.samples.low) < 2 * array.size
    number, given = np.dtype(F4), words.of_array(array)
    assert words.trailing_zeros(given, number) == 13
    levels = words.ordered(given, number, 13)
    assert np.array_equal(words.unordered(levels, number, 13), given)


def test_noise_is_not_coded() -> None:
    array = (smooth(60, 70) + np.random.default_rng(0).normal(0, 1e-3, (60, 70))).astype(np.float64)
    prepared = check(array)
    assert prepared.m < 1 << 20
    assert len(prepared.samples.low) > 3 * array.size


# Frames


def fields(array: Array) -> tuple[Samples, bytes]:
    last = len(samples.shape_of(array.dtype, array.shape)) - 1
    found = samples.prepare(array, (last - 1, last), None).samples
    return found, found.write()


ARRAYS = {
    "ordered": (K % 50).astype("<u2"),
    "table": np.round(K[:40, :50] % 64 * 1.7).astype("<u2"),
    "fixed": smooth(40, 50).astype("<f4"),
    "lattice": np.where(K > 0, K, 1) / 100,
    "lattice with errors": (K * 0.012345678901 + 271.87654321),
    "gaps": np.where(K % 7, smooth(60, 70), np.nan),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_damaged_fields_raise(kind: str) -> None:
    """Cut or altered: an error of the format, or other samples of the same shape."""
    found, data = fields(ARRAYS[kind])
    for end in range(len(data)):
        with pytest.raises(FormatError):
            Samples.read(Reader(memoryview(data[:end])), found.dtype, found.shape)
    rng = np.random.default_rng(0)
    numbers = samples.prepare(ARRAYS[kind], (0, 1), None).numbers
    for at in [*range(min(len(data), 60)), *rng.integers(0, len(data), 60)]:
        altered = bytearray(data)
        altered[at] ^= int(rng.integers(1, 256))
        try:
            read = Samples.read(Reader(memoryview(bytes(altered))), found.dtype, found.shape)
            if read.order == numbers.shape:
                assert read.array(numbers).shape == found.shape
        except FormatError:
            pass


def test_gaps_without_a_number_are_refused() -> None:
    mask = np.ones((4, 5), np.uint8)
    data = gaps.Gaps((7,), mask, (0, 1)).write(np.dtype("u4"))
    with pytest.raises(FormatError, match="no numbers"):
        gaps.Gaps.read(Reader(memoryview(data)), np.dtype("u4"), (4, 5), (0, 1))


def test_copies_from_outside_are_refused() -> None:
    for at, k in (((0, 0), 0), ((0, 3), 1), ((2, 0), 2), ((1, 4), 3)):
        mask = np.zeros((4, 5), np.uint8)
        mask[at] = 1 + k
        with pytest.raises(FormatError, match="outside"):
            gaps.Gaps((), mask, (0, 1), True).open(np.zeros((4, 5), np.uint32))


def test_labels_look_like_labels() -> None:
    array = np.repeat(np.repeat(np.arange(60).reshape(6, 10) ** 5, 8, 0), 9, 1).astype("<i8")
    prepared = samples.labelled(array, (0, 1))
    assert prepared is not None
    assert prepared.m == 59
    assert_identical(back(prepared), array)
    assert not samples.look_like_labels(K, (0, 1))
    assert choice.LABELS < 1


@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS, *OTHERS])
def test_every_dtype_gains(dtype: str) -> None:
    """A field with noise, in the units that the dtype can hold: smaller than stored, and by which route."""
    rng = np.random.default_rng(2)
    t, y, x = np.indices((3, 60, 70)) / 20
    field = np.sin(y + x / 2 + t / 9) + np.cos(x - y) + rng.normal(0, 0.02, t.shape)
    kind = np.dtype(dtype)
    if kind.kind == "b":
        array = field > 0
    elif kind.kind == "c":
        array = (field + 1j * (np.sin(x) + rng.normal(0, 0.02, t.shape))).astype(dtype)
    elif kind.kind == "f":
        array = field.astype(dtype)
    else:
        unit = {1: 30, 2: 900, 4: 10**6, 8: 10**6}[kind.itemsize]
        signed = (field * unit + (0 if kind.kind in "im" else 3 * unit)).astype(np.int64)
        array = signed.astype(f"{dtype[0]}i{kind.itemsize}").astype(dtype)
    frame = BitSwap().encode(array)
    assert_identical(BitSwap().decode(frame), array)
    stored_bytes = len(stored.encode(memory(array), array.itemsize)[1])
    assert frame[5] == Route.PLANES
    assert len(frame) < (0.99 if words.plain(kind) == np.float64 else 0.9) * stored_bytes


@pytest.mark.parametrize("dtype", ["<i8", ">i4", "<M8[ns]", "<u2"])
def test_series_of_few_steps(dtype: str) -> None:
    """Of which the plane coder would need 6 bits each."""
    steps = np.random.default_rng(0).choice([1, 1, 1, 2, 1, 60], 5000)
    array = steps.cumsum().astype(f"{dtype[0]}i8").astype(dtype)
    frame = BitSwap().encode(array)
    assert_identical(BitSwap().decode(frame), array)
    assert_identical(reference_frames.decode(frame, lambda model: catalog.find(model).path), array)
    counts = np.unique(steps, return_counts=True)[1] / len(steps)
    assert len(frame) < -(counts * np.log2(counts)).sum() * len(steps) / 8 + 200


@pytest.mark.parametrize("shape", [(6000,), (2000, 3), (60, 100), (3, 40, 50)])
def test_bools_of_any_byte(shape: tuple[int, ...]) -> None:
    """Words keep all bits, also of bytes that are neither 0 nor 1."""
    array = np.repeat(np.arange(300) * 7 % 5, 20).astype(np.uint8).view(bool).reshape(shape)
    of_words = words.to_array(words.of_array(array), array.dtype, array.shape)
    assert of_words.tobytes() == array.tobytes()
    assert BitSwap().decode(BitSwap().encode(array)).tobytes() == array.tobytes()

"""The planes route: every array of 8 or 16 bits comes back, whatever its axes, levels, tiles, references, threads."""

import os
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from golden_cases import CASES
from numcodecs_bitswap import BBANS, BitSwap
from numcodecs_bitswap.chunk import frame, plane_route
from numcodecs_bitswap.chunk.frame import Header, Route
from numcodecs_bitswap.chunk.patches import Axes, image_axes
from numcodecs_bitswap.errors import FormatError, MessageExhausted
from numcodecs_bitswap.jpeg import colour
from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.planes import coder, mixtures, tile
from numcodecs_bitswap.planes.tables import LARGEST
from numcodecs_bitswap.runtime import vectors
from pictures import photograph
from strategies import assert_identical

PROGRAMS = Path(__file__).parent / "programs"
DTYPES = ["|u1", "|i1", "<u2", ">u2", "<i2", ">i2"]


def frame_of(array: NDArray[Any], models: list[str], axes: Axes | None = None) -> bytes:
    """A frame of the planes route, even where another is smaller."""
    axes = axes or image_axes(array.shape, "auto", "auto")
    assert axes is not None
    payload = plane_route.encode(array, axes, models)
    assert payload is not None
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    checksum = zlib.crc32(array.tobytes(order))
    return frame.build(Header(Route.PLANES, checksum, order, array.dtype, array.shape), payload)


def check(array: NDArray[Any], model: str = "universal-v1", axes: Axes | None = None) -> bytes:
    encoded = frame_of(array, [model], axes)
    assert_identical(BitSwap().decode(encoded), np.asarray(array, order="A"))
    return encoded


@st.composite
def pictures(draw: st.DrawFn) -> NDArray[Any]:
    """Arrays of two to four axes and any content: smooth, noisy, few levels, gaps, both ends of the range."""
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    shape = (*draw(st.lists(st.integers(1, 3), max_size=2)), draw(st.integers(1, 40)), draw(st.integers(1, 40)))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    span = int(np.iinfo(dtype).max) - int(np.iinfo(dtype).min)
    smooth = np.cumsum(np.cumsum(rng.normal(0, 1, shape), -1), -2)
    smooth = (smooth - smooth.min()) / max(float(np.ptp(smooth)), 1e-9)
    kind = draw(st.sampled_from(["smooth", "noise", "few", "gaps", "ends"]))
    if kind == "noise":
        values = rng.integers(0, span + 1, shape)
    elif kind == "few":
        values = rng.integers(0, 3, shape) * (span // 2)
    else:
        scale = span if kind == "ends" else draw(st.sampled_from([3, 40, span // 3]))
        values = np.round(smooth * scale + rng.normal(0, draw(st.sampled_from([0, 1, 30])), shape)).astype(np.int64)
        values = values * 2 if kind == "gaps" else values
        values = np.clip(values * 2 - span // 2 if kind == "ends" else values, 0, span)
    values.flat[0] ^= 1  # never constant
    array = (values + int(np.iinfo(dtype).min)).astype(dtype)
    return np.asfortranarray(array) if draw(st.booleans()) else array


@settings(max_examples=150, deadline=None)
@given(pictures(), st.sampled_from(["photo-v1", "universal-v1"]))
def test_every_array_comes_back(array: NDArray[Any], model: str) -> None:
    if array.min() == array.max():
        assert plane_route.encode(array, Axes(array.ndim - 2, array.ndim - 1, None), [model]) is None
    else:
        check(array, model)


@settings(max_examples=60, deadline=None)
@given(pictures())
def test_the_codec_gives_it_back_and_is_never_worse(array: NDArray[Any]) -> None:
    for codec in (BitSwap(), BBANS()):
        encoded = codec.encode(array)
        assert_identical(codec.decode(encoded), np.asarray(array, order="A"))
        assert len(encoded) <= array.nbytes + 60


@pytest.mark.parametrize("shape", [(1, 300), (300, 1), (257, 255), (2, 260, 258), (520, 33)])
def test_tiles(shape: tuple[int, ...]) -> None:
    y, x = np.mgrid[: shape[-2], : shape[-1]]
    array = (y * y // 9 + 5 * x + np.random.default_rng(0).integers(0, 9, shape)).astype("<u2")
    check(array)


@pytest.mark.parametrize("depth", [8, 12, 16, 19, 22])
@pytest.mark.parametrize("shape", [(3, 16, 40), (1, 128, 200), (1, 256, 256)])  # 1, 3 and 8 lanes
def test_jumps(depth: int, shape: tuple[int, int, int]) -> None:
    """Blocks far above a smooth ground: errors are as large as the range, and buckets wide."""
    rng, largest = np.random.default_rng(depth), min((1 << depth) - 1, LARGEST)
    count, h, w = shape
    y, x = np.mgrid[:h, :w]
    ground = (np.sin(y / 20) + np.cos(x / 30) + 2) / 4 * largest * 0.3
    for share, noise in ((0.05, 1), (0.3, largest * 1e-3), (0.5, 0)):
        blocks = (rng.random((h // 8 + 1, w // 8 + 1)) < share).repeat(8, 0).repeat(8, 1)[:h, :w]
        planes = ground + 0.7 * largest * blocks + rng.normal(0, noise, shape) + np.arange(count)[:, None, None]
        numbers = np.clip(np.round(planes), 0, largest).astype(np.uint32)
        references = np.full((count, 3), -1)
        references[1:, 0] = np.arange(count - 1)
        net = catalog.load("universal-v1", "cpu").net
        messages = coder.encode(net, numbers, references, largest)
        assert np.array_equal(coder.decode(net, messages, shape, references, largest), numbers)


@pytest.mark.parametrize("m", [(1 << 20) - 1, 1 << 20, LARGEST - 1, LARGEST])
@pytest.mark.parametrize("kind", ["noise", "ends", "rare", "steps"])
def test_the_largest_numbers(kind: str, m: int) -> None:
    """Scales as wide as they come, and surprises that take as many bits as there can be."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, m + 1, (2, 70, 90))
    planes = {
        "noise": noise,
        "ends": noise % 2 * m,
        "rare": np.where(rng.random(noise.shape) < 1 / 16, noise, m // 2),
        "steps": np.repeat(np.repeat(noise[:, :18, :23], 4, 1), 4, 2)[:, :70, :90],
    }[kind].astype(np.uint32)
    model = catalog.load("universal-v1", "cpu").net
    for references in (np.full((2, 3), -1), np.array([[-1, -1, -1], [0, -1, -1]])):
        messages = coder.encode(model, planes, references, m)
        assert np.array_equal(coder.decode(model, messages, planes.shape, references, m), planes)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 4), st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**16))
def test_what_memory_held_does_not_matter(count: int, h: int, w: int, seed: int) -> None:
    """Cells of no pixel and regressors of another tile are not cleared: nothing may depend on them."""
    rng = np.random.default_rng(seed)
    model = plane_route._net(catalog.load("universal-v1", "cpu"))
    planes = np.cumsum(rng.integers(-3, 4, (count, h, w)), -1, dtype=np.int32) + 300
    references = np.array([[max(k - d, -1) for d in (1, 2, 3)] for k in range(count)])
    found = []
    for _ in range(3):
        memory = coder._own.of(model, h, w, min(count - 1, 3))
        cells, pairs = memory.G, memory.XP
        cells[:] = rng.integers(-LARGEST, LARGEST + 1, cells.shape)
        pairs[:] = rng.integers(-(2**31), 2**31, pairs.shape)
        (message,) = coder.encode(model, planes, references, 1023)
        found.append((message.heads.tobytes(), message.tail.tobytes()))
    assert len(set(found)) == 1


def test_memory_is_named_as_the_arguments_of_the_kernel() -> None:
    names = tile.code_tile.py_func.__code__.co_varnames
    first = names.index(coder.Memory._fields[0])
    assert names[first : first + len(coder.Memory._fields)] == coder.Memory._fields


def test_no_sample_takes_more_bytes_than_there_is_memory_for() -> None:
    """The dearest there is, a bucket of freq 1 and 2 + 16 bits, on the largest head."""
    heads, tail = np.array([(1 << 32) - 1], np.uint64), np.zeros(16, np.uint8)
    length = 0
    for bits in (16, 2, 16):
        length = mixtures.push(heads, 0, tail, length, (1 << 16) - (1 << 16 - bits), 1 << 16 - bits)
        heads[0] = (1 << 32) - 1
    assert length == coder.empty_tail(1).size - 2


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_axes(channel: int) -> None:
    image = np.ascontiguousarray(np.moveaxis(photograph()[:50, :60], 2, channel))
    y, x = (axis for axis in range(3) if axis != channel)
    check(image, "photo-v1", Axes(y, x, channel))
    codec = BitSwap(channel_axis=channel)
    encoded = codec.encode(image)
    assert encoded[5] == Route.PLANES
    assert_identical(codec.decode(encoded), image)
    check(image, "photo-v1", Axes(x, y, channel))


def test_planes_in_line_help_each_other() -> None:
    """A stack of nearly equal planes is much smaller than its planes alone, along whichever axis."""
    plane = photograph()[:128, :128, 1].astype(np.int64)
    rng = np.random.default_rng(0)
    stack = np.stack([plane * (10 + k) // 10 + rng.integers(0, 2, plane.shape) for k in range(8)]).astype("<u2")
    alone = sum(len(BitSwap().encode(each)) for each in stack)
    for array, spatial in ((stack, (1, 2)), (stack.transpose(1, 2, 0).copy(), (0, 1)), (stack[:, None], (2, 3))):
        codec = BitSwap(spatial_axes=spatial, channel_axis=None)
        encoded = codec.encode(array)
        assert_identical(codec.decode(encoded), np.asarray(array, order="A"))
        assert len(encoded) < 0.75 * alone


@pytest.mark.parametrize("kind", ["<u2", "u1", "<f4"])
def test_the_two_longest_axes_are_spatial_where_that_is_smaller(kind: str) -> None:
    """A volume (y, x, z), and RGBA, are as small as (z, y, x); small images one after the other stay images."""
    plane = photograph()[:128, :128].astype(np.int64)
    volume = np.stack([plane[..., k % 3] * (10 + k) // 16 for k in range(10)]).astype(kind)
    for array in (volume, volume[:4], volume[:1]):
        expected = len(BitSwap().encode(array))
        for moved in (np.moveaxis(array, 0, 2), np.moveaxis(array, 0, 1)):
            encoded = BitSwap().encode(np.ascontiguousarray(moved))
            assert_identical(BitSwap().decode(encoded), np.ascontiguousarray(moved))
            assert len(encoded) <= expected + 3
    image = photograph()[:256, :256, 1].reshape(16, 16, 16, 16).swapaxes(1, 2).reshape(256, 16, 16).astype(kind)
    twice = np.concatenate([image[::2], image[1::2]])[:, :, :8].copy()
    assert len(BitSwap().encode(twice)) == len(BitSwap(spatial_axes=(1, 2)).encode(twice))


def test_references_that_do_not_help_are_left_out() -> None:
    """Unrelated planes cost no more together than alone."""
    image = photograph()
    stack = np.stack([image[40 * k : 40 * k + 128, 90 * k : 90 * k + 128, k % 3][:: 1 - 2 * (k & 1)] for k in range(8)])
    encoded = BitSwap(channel_axis=None).encode(np.ascontiguousarray(stack))
    assert len(encoded) < 1.01 * sum(len(BitSwap().encode(np.ascontiguousarray(each))) for each in stack)


def test_offset_step_and_levels_cost_next_to_nothing() -> None:
    image = photograph()[:128, :128, 0]
    base = len(BitSwap(channel_axis=None).encode(image))
    for array in (image.astype("<u2") * 256, (image.astype("<i2") - 900) * 3, np.round(image * 1.7).astype(">u2")):
        encoded = BitSwap(channel_axis=None).encode(array)
        assert encoded[5] == Route.PLANES
        assert len(encoded) < base * 1.02 + 60
        assert_identical(BitSwap().decode(encoded), array)


def test_what_was_a_jpeg_is_coded_as_luma_and_chroma() -> None:
    image = np.ascontiguousarray(photograph()[:96, :96])
    once = colour.to_rgb(colour.nearest_ycbcr(image, 2), 2)
    other = once.copy()
    other[5, 5, 2] ^= 1
    first, second = (BitSwap().encode(each) for each in (once, other))
    assert len(first) < 0.9 * len(second)
    for encoded, array in ((first, once), (second, other)):
        assert_identical(BitSwap().decode(encoded), array)


def test_bytes_depend_on_nothing_but_the_array() -> None:
    """Alone, among others in many threads, and with the memory of another size left over."""
    image = photograph()
    arrays = [
        np.ascontiguousarray(image[y : y + h, 10 : 10 + w]) for y, h, w in ((0, 64, 64), (9, 40, 90), (50, 64, 64))
    ]
    arrays += [image[:300, :300, 0].copy(), image[:20, :20].astype("<u2") * 300]
    alone = [BitSwap().encode(each) for each in arrays]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(BitSwap().encode, arrays * 6)) == alone * 6
        for decoded, array in zip(pool.map(BitSwap().decode, alone * 6), arrays * 6, strict=True):
            assert_identical(decoded, array)


def test_excess_over_the_model() -> None:
    """Total bytes against -log2 p of the integer mixtures, header, lanes and floors included."""
    image = np.ascontiguousarray(photograph()[:256, :256])
    for size, most in ((256, 0.005), (64, 0.02)):
        part = np.ascontiguousarray(image[:size, :size])
        encoded = frame_of(part, ["photo-v1"])
        assert 8 * len(encoded) < bits_of(part) * (1 + most)


def bits_of(array: NDArray[np.uint8]) -> float:
    """-log2 p of the planes as the kernel notes their intervals."""
    model = catalog.load("photo-v1", "cpu").net
    order = coder.Order(0, 1, ((2, 1), (2, 2)), 2, (1, 0, 2))
    total = 0.0
    for rows, columns in coder.tiles(*array.shape[:2]):
        tile = np.ascontiguousarray(order.planes(array.astype(np.uint16))[:, rows, columns])
        total += sum(coder.costs(model, tile, order.refer(array.shape), 255)) / 256
    return total


def test_damage_raises() -> None:
    array = np.ascontiguousarray(photograph()[:20, :24])
    encoded = frame_of(array, ["photo-v1"])
    for end in range(0, len(encoded), 7):
        with pytest.raises((FormatError, MessageExhausted)):
            BitSwap().decode(encoded[:end])
        flipped = bytearray(encoded)
        flipped[end] ^= 1 << end % 8
        with pytest.raises((FormatError, MessageExhausted)):
            BitSwap().decode(bytes(flipped))


def test_no_torch_is_imported() -> None:
    program = """
import sys
import numpy as np
from numcodecs_bitswap import BitSwap
y, x = np.mgrid[:40, :50]
array = (y * y + 3 * x + np.random.default_rng(0).integers(0, 9, (2, 40, 50))).astype("<u2")
frame = BitSwap().encode(array)
assert frame[5] == 5
assert np.array_equal(BitSwap().decode(frame), array)
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("cpu", ["generic", *(["haswell"] if vectors.AVX512 or vectors.VNNI else [])])
def test_the_same_frames_without_wide_vectors(cpu: str, tmp_path: Path) -> None:
    """Compiled for any x86-64 or ARM, and with AVX2 alone where there is more: golden frames decode and are written
    again.
    """
    names = [name for name, case in CASES.items() if case.route == Route.PLANES]
    features = {"generic": "", "haswell": "+avx2,+fma"}[cpu]
    as_cpu = {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, str(PROGRAMS / "golden.py"), "package", *names]
    run = subprocess.run(command, env=os.environ | as_cpu, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    assert f"{len(names)} decoded" in run.stdout

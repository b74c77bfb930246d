"""The JPEG route against the decoder written from FORMAT.md alone, on models with random weights."""

import hashlib
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from numcodecs_bitswap import BitSwap, FormatError, ModelError
from numcodecs_bitswap.chunk import frame, jpeg_route
from numcodecs_bitswap.chunk.fields import packed, sized, varints
from numcodecs_bitswap.chunk.frame import Header, Route
from numcodecs_bitswap.chunk.patches import Axes
from numcodecs_bitswap.jpeg import decoding, tables
from numcodecs_bitswap.jpeg.coefficients import Coding, Grid
from numcodecs_bitswap.jpeg.finding import compared
from numcodecs_bitswap.jpeg.model import CoefficientModel
from numcodecs_bitswap.jpeg.picture import SAMPLINGS, Component, Picture, Ring
from numcodecs_bitswap.models import catalog
from random_models import model_id, random_jpeg, random_planes
from reference import frames as reference_frames
from reference import jpeg as reference_jpeg
from reference.jpeg import JpegModel, decode_coefficients, samples_of, surround, upsample
from reference.networks import FrameError
from strategies import assert_identical

Array = NDArray[Any]
KINDS = [("gray", (1, 1)), ("rgb", (1, 1)), *(("ycbcr", sampling) for sampling in SAMPLINGS)]


def both(path: Path) -> tuple[CoefficientModel, JpegModel]:
    return cast(CoefficientModel, catalog.load(model_id(path), "cpu").net), JpegModel(path, model_id(path))


# ---- Coefficients


def sizes_of(colour: str, sampling: tuple[int, int], rows: int, columns: int) -> list[tuple[int, int]]:
    """Of rows x columns MCUs."""
    luma = rows * sampling[0], columns * sampling[1]
    return [luma] if colour == "gray" else [luma, (rows, columns), (rows, columns)]


def falling(rng: np.random.Generator, shape: tuple[int, ...], most: float) -> Array:
    """As of a photograph: the farther from the lowest one, the smaller."""
    k = np.arange(8)
    spread = most / (1 + k[:, None] + k).reshape(64) ** 2
    return (rng.laplace(0, 1, shape) * spread).round()


VALUES = {
    "as of a photograph": lambda rng, shape: falling(rng, shape, 40),
    "small and sparse": lambda rng, shape: rng.integers(-2, 3, shape) * (rng.random(shape) < 0.1),
    "large and sparse": lambda rng, shape: rng.choice([-2047, 2047, 1024, -900], shape) * (rng.random(shape) < 0.1),
    "dense": lambda rng, shape: rng.integers(-40, 41, shape),
    "none is 0": lambda rng, shape: rng.choice([-2047, -1, 1, 2, 2047], shape),
    "all zero": lambda rng, shape: np.zeros(shape),
    "the last one": lambda rng, shape: np.broadcast_to(np.arange(64) == 63, shape),
}
STEPS = {
    "small": lambda rng: rng.integers(1, 4, 64),
    "of a quality": lambda rng: tables.standard()[rng.integers(2), rng.integers(100)],
    "any": lambda rng: rng.integers(1, 65536, 64),
}


def check(path: Path, colour: str, grids: list[Grid], steps: list[Array], values: list[Array]) -> None:
    """Both decoders give the values."""
    net, reference = both(path)
    coding = Coding(net, colour, grids, steps)
    data = coding.encode(values)
    decoded = coding.decode(memoryview(data))
    number = jpeg_route.COLOURS.index(cast(Any, colour))
    sizes = [grid[:2] for grid in grids]
    also = decode_coefficients(reference, data, number, sizes, [each.tolist() for each in steps])
    for value, one, other in zip(values, decoded, also, strict=True):
        assert np.array_equal(value, one)
        assert np.array_equal(value, other)


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize(("colour", "sampling"), KINDS)
def test_coefficients(folder: Path, colour: str, sampling: tuple[int, int], kind: str) -> None:
    rng = np.random.default_rng([*kind.encode(), *sampling])
    most = (2, 3) if sampling == (1, 1) else (2, 2)
    for (rows, columns), name in zip([(1, 1), most], rng.permutation(list(STEPS))[:2], strict=True):
        sizes = sizes_of(colour, sampling, rows, columns)
        values = [VALUES[kind](rng, (*size, 64)).astype(np.int16) for size in sizes]
        if colour != "gray" and kind == "as of a photograph":  # as the component before, more or less
            values[2] = values[1] - values[2] // 4
        own = [np.asarray(STEPS[name](rng), np.uint16) for _ in sizes]
        first = sizes[0]
        grids = [Grid(*size, first[0] // size[0], first[1] // size[1]) for size in sizes]
        check(random_jpeg(folder), colour, grids, own, values)


@pytest.mark.parametrize(
    "sizes", [{"width": 8, "blocks": 0}, {"width": 128, "blocks": 8}, {"reach": 32767}, {"reach": 0}, {"seed": 1}]
)
def test_models(folder: Path, sizes: dict[str, int]) -> None:
    rng = np.random.default_rng(0)
    for kind, steps in zip(("dense", "as of a photograph", "none is 0"), STEPS.values(), strict=True):
        values = [VALUES[kind](rng, (2, 1, 64)).astype(np.int16) for _ in range(3)]
        own = [np.asarray(steps(rng), np.uint16) for _ in range(3)]
        check(random_jpeg(folder, **sizes), "rgb", [Grid(2, 1, 1, 1)] * 3, own, values)


def test_sums_of_squares_that_are_halved(folder: Path) -> None:
    """With no other predictions, and of components that are alike."""
    rng = np.random.default_rng(0)
    values = [rng.choice([-2047, 2047], (3, 4, 64)).astype(np.int16)]
    values += [np.where(rng.random((3, 4, 64)) < 0.3, -values[0], values[0]) for _ in range(2)]
    check(random_jpeg(folder, reach=0), "rgb", [Grid(3, 4, 1, 1)] * 3, [np.full(64, 16, np.uint16)] * 3, values)


def test_data_that_end_early_or_late(folder: Path) -> None:
    net, reference = both(random_jpeg(folder))
    steps, grids = [np.full(64, 3, np.uint16)], [Grid(2, 2, 1, 1)]
    values = falling(np.random.default_rng(0), (2, 2, 64), 40).astype(np.int16)
    coding = Coding(net, "gray", grids, steps)
    data = coding.encode([values])
    for altered in (*(data[:end] for end in range(0, len(data), 17)), data[:-1], data + b"\0", data + b"abcd"):
        with pytest.raises(FormatError):
            coding.decode(memoryview(altered))
        with pytest.raises(FrameError):
            decode_coefficients(reference, altered, 0, [(2, 2)], [steps[0].tolist()])


# ---- Pixels


@pytest.mark.parametrize("most", [1, 20, 65535])
def test_inverse_transform(most: int) -> None:
    rng = np.random.default_rng(most)
    for scale in (3, 200, 2047):
        steps = rng.integers(1, most + 1, 64).astype(np.uint16)
        values = rng.integers(-scale, scale + 1, (3, 5, 64)).astype(np.int16)
        assert np.array_equal(decoding.samples(Component(steps, values)), samples_of(values, steps.tolist()))


def random_ring(rng: np.random.Generator, h: int, w: int, given: int) -> Ring:
    sides = [rng.integers(0, 256, n).astype(np.uint8) for n in (w + 2, w + 2, h, h)]
    return Ring(*(side if given >> k & 1 else None for k, side in enumerate(sides)))


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("given", range(16))
def test_upsampling(sampling: tuple[int, int], given: int) -> None:
    rng = np.random.default_rng(given)
    plane = rng.integers(0, 256, (16, 8)).astype(np.uint8)
    ring = random_ring(rng, 16, 8, given)
    sides = [ring.top, ring.bottom, ring.left, ring.right]
    wide = [None if side is None else side.astype(np.int64) for side in sides]
    assert np.array_equal(decoding.surrounded(plane, ring), surround(plane.astype(np.int64), wide))
    expected = upsample(plane.astype(np.int64), sampling, wide)
    assert np.array_equal(decoding.upsampled(plane, ring, sampling), expected)


def test_tables_of_steps() -> None:
    for chroma in (False, True):
        found = [reference_jpeg.table_of_quality(Q, chroma) for Q in range(1, 101)]
        assert tables.standard()[int(chroma)].tolist() == found


# ---- Frames


def component(rng: np.random.Generator, size: tuple[int, int], steps: Array) -> Component:
    values = falling(rng, (*size, 64), 90)
    values[..., 0] += rng.integers(-300, 300, size)
    return Component(steps, (values / steps).round().astype(np.int16))


def picture(
    colour: str,
    sampling: tuple[int, int],
    offset: tuple[int, int],
    *,
    free: bool = False,
    given: tuple[int, int] = (0, 0),
    flipped: bool = False,
    mcus: tuple[int, int] = (2, 2),
    seed: int = 0,
) -> Picture:
    """So many MCUs; of two by two may the ring be given."""
    rng = np.random.default_rng(seed)
    sizes = sizes_of(colour, sampling, *mcus)
    steps = [tables.standard()[int(k > 0), 70 + k // 2] for k in range(len(sizes))]
    if free:
        steps = [rng.integers(1, 300, 64).astype(np.uint16) for _ in sizes]
        steps[-1] = steps[-2] if len(sizes) > 1 else steps[-1]
    components = tuple(component(rng, size, each) for size, each in zip(sizes, steps, strict=True))
    rings = (Ring(), Ring())
    if sampling != (1, 1):
        rings = tuple(random_ring(rng, 16, 16, each) for each in given)
    return Picture(cast(Any, colour), sampling, offset, components, rings, flipped)


def image_of(held: Picture, *, right: int = 0, below: int = 0, altered: int = 0, noise: int = 256) -> Array:
    """Its pixels, of which some blocks are altered, with random ones of `noise` levels around."""
    pixels, (top, left) = decoding.pixels(held), held.offset
    rng = np.random.default_rng(1)
    shape = top + pixels.shape[0] + below, left + pixels.shape[1] + right, *pixels.shape[2:]
    image = rng.integers(0, noise, shape).astype(np.uint8)
    image[held.region()] = pixels
    for _ in range(altered):
        image[top + rng.integers(pixels.shape[0]), left + rng.integers(pixels.shape[1])] += np.uint8(7)
    return image


def payload_of(path: Path, axes: Axes, images: list[Array], pictures: list[Picture], planes: str) -> bytes:
    """`planes`: the model of arrays of pixels."""
    net = both(path)[0]
    found = [compared(*each) for each in zip(images, pictures, strict=True)]
    records = [jpeg_route._image(*each, net, [planes]) for each in zip(images, found, strict=True)]
    channel = 255 if axes.channel is None else axes.channel
    return bytes([axes.y, axes.x, channel]) + model_id(path) + b"".join(records)


def frame_of(array: Array, payload: bytes, layout: Any = "C") -> bytes:
    header = Header(Route.JPEG, zlib.crc32(array.tobytes(layout)), layout, array.dtype, array.shape)
    return frame.build(header, payload)


def find_in(*paths: Path) -> Any:
    return {model_id(path): path for path in paths}.__getitem__


FRAMES: dict[str, tuple[Picture, dict[str, int]]] = {
    "gray": (picture("gray", (1, 1), (0, 0)), {}),
    "gray with strips": (picture("gray", (1, 1), (3, 1), free=True), {"right": 2, "below": 5, "altered": 2}),
    "channels": (picture("rgb", (1, 1), (0, 0), free=True), {"altered": 3}),
    "channels with strips": (picture("rgb", (1, 1), (0, 7)), {"below": 1}),
    "4:4:4": (picture("ycbcr", (1, 1), (2, 0)), {"altered": 1}),
    "4:4:4, reversed": (picture("ycbcr", (1, 1), (0, 0), flipped=True), {"altered": 20}),
    "4:2:0": (picture("ycbcr", (2, 2), (0, 0)), {}),
    "4:2:0 with strips": (picture("ycbcr", (2, 2), (4, 5), given=(15, 15)), {"right": 9, "below": 3, "altered": 3}),
    "4:2:0, free steps": (picture("ycbcr", (2, 2), (0, 0), free=True, given=(5, 10)), {"right": 1}),
    "4:2:0, reversed": (picture("ycbcr", (2, 2), (1, 0), given=(9, 0), flipped=True), {"altered": 1}),
    "4:2:0 in two bands": (picture("ycbcr", (2, 2), (0, 0), mcus=(33, 1)), {}),
    "gray in three bands": (picture("gray", (1, 1), (1, 0), mcus=(129, 1)), {"altered": 1}),
    "4:2:2": (picture("ycbcr", (1, 2), (0, 0), given=(12, 6)), {"altered": 1}),
    "4:4:0": (picture("ycbcr", (2, 1), (0, 9), given=(3, 8), free=True), {"altered": 1}),
}


@pytest.mark.parametrize("name", FRAMES)
def test_frames(folder: Path, name: str) -> None:
    path, planes = random_jpeg(folder), random_planes(folder)
    held, around = FRAMES[name]
    image = image_of(held, **around)
    axes = Axes(0, 1, None if image.ndim == 2 else 2)
    data = frame_of(image, payload_of(path, axes, [image], [held], model_id(planes).hex()))
    assert_identical(BitSwap().decode(data), image)
    assert_identical(reference_frames.decode(data, find_in(path, planes)), image)


def test_several_images(folder: Path) -> None:
    """Each of its own kind; channels in front, two leading axes, another layout."""
    path, planes = random_jpeg(folder, seed=1), random_planes(folder)
    kinds = [("ycbcr", (2, 2)), ("rgb", (1, 1)), ("ycbcr", (1, 2)), ("ycbcr", (2, 1))]
    pictures = [picture(*kind, (0, 0), seed=k, given=(k, 15 - k)) for k, kind in enumerate(kinds)]
    images = []
    for held in pictures:
        h, w = held.size
        images.append(image_of(held, right=33 - w, below=32 - h))
    array = np.array(images).reshape(2, 2, 32, 33, 3).transpose(4, 0, 2, 1, 3)  # channel, i, y, j, x
    payload = payload_of(path, Axes(2, 4, 0), images, pictures, model_id(planes).hex())
    for layout in ("C", "F"):
        data = frame_of(array, payload, layout)
        assert_identical(BitSwap().decode(data), np.asarray(array, order=cast(Any, layout)))
        assert_identical(
            reference_frames.decode(data, find_in(path, planes)), np.asarray(array, order=cast(Any, layout))
        )


def test_an_axis_of_one_channel(folder: Path) -> None:
    path, planes = random_jpeg(folder), random_planes(folder)
    held = picture("gray", (1, 1), (0, 4))
    image = image_of(held, altered=1)
    array = np.ascontiguousarray(image.T[None])  # channel, x, y
    data = frame_of(array, payload_of(path, Axes(2, 1, 0), [image], [held], model_id(planes).hex()))
    assert_identical(BitSwap().decode(data), array)
    assert_identical(reference_frames.decode(data, find_in(path, planes)), array)


def test_strips_by_the_plane_coder(folder: Path) -> None:
    """With the model that comes with the package."""
    path, planes = random_jpeg(folder), catalog.find("photo-v1").path
    for held in (picture("gray", (1, 1), (12, 0)), picture("ycbcr", (2, 2), (0, 13), given=(15, 7))):
        image = image_of(held, noise=3, right=8, altered=60)
        for strips in jpeg_route._strips(image, held.offset, held.size):
            assert jpeg_route._pixels(np.concatenate(strips), ["photo-v1"])[0] == jpeg_route.PLANES
        axes = Axes(0, 1, None if image.ndim == 2 else 2)
        data = frame_of(image, payload_of(path, axes, [image], [held], "photo-v1"))
        assert_identical(BitSwap().decode(data), image)
        assert_identical(reference_frames.decode(data, find_in(path, planes)), image)


# ---- Broken frames


def refused(path: Path, shape: tuple[int, ...], payload: bytes) -> None:
    """By both decoders, before they look at the content."""
    data = frame.build(Header(Route.JPEG, 0, "C", np.dtype("|u1"), shape), payload)
    with pytest.raises(FormatError) as one:
        BitSwap().decode(data)
    assert "checksum" not in str(one.value)
    with pytest.raises(FrameError) as other:
        reference_frames.decode(data, find_in(path))
    assert "checksum" not in str(other.value)


SHAPE = (20, 40, 3)


def record(path: Path) -> dict[str, bytes]:
    """The fields of an image, 2 x 4 blocks of luma with chroma of half the columns."""
    net = both(path)[0]
    grids, steps = [Grid(2, 4, 1, 1), Grid(2, 2, 1, 2), Grid(2, 2, 1, 2)], [tables.standard()[0, 49]] * 3
    values = [np.zeros((*grid[:2], 64), np.int16) for grid in grids]
    return {
        "axes": bytes([0, 1, 2]),
        "model": model_id(path),
        "kind": bytes([1 + 8 * 2]),
        "top": bytes([1]),
        "left": bytes([3]),
        "rows": bytes([2]),
        "columns": bytes([4]),
        "steps": bytes([50, 0, 50]),
        "coefficients": sized(Coding(net, "ycbcr", grids, steps).encode(values)),
        "ring of Cb": bytes([1]) + packed(np.zeros(18, np.uint8)),
        "ring of Cr": bytes([0]),
        "differences": bytes([1]) + packed(np.array([16], np.uint8)) + stored(8, 8, 3),
        "above and below": stored(4, 40, 3),
        "beside": stored(8, 16, 3),
        "end": b"",
    }


def stored(*shape: int) -> bytes:
    return bytes([0]) + packed(np.full(shape, 128, np.uint8))


def free_steps(*steps: int) -> bytes:
    return bytes([255]) + packed(np.array([*steps], "<u2").view(np.uint8))


BROKEN: list[tuple[str, bytes]] = [
    ("axes", bytes([0, 3, 2])),
    ("axes", bytes([0, 0, 2])),
    ("axes", bytes([0, 1, 0])),
    ("axes", bytes([0, 2, 1])),  # 40 channels
    ("axes", bytes([0, 1, 255])),  # three images of one channel
    ("kind", bytes([0])),
    ("kind", bytes([2 + 8 * 2])),
    ("kind", bytes([2 + 4])),
    ("kind", bytes([3])),
    ("kind", bytes([1 + 8 * 4])),
    ("kind", bytes([1 + 8 * 2 + 128])),
    ("top", bytes([5])),
    ("top", varints([2**62])),
    ("left", bytes([9])),
    ("rows", bytes([0])),
    ("rows", bytes([3])),
    ("rows", varints([2**61])),
    ("columns", bytes([0])),
    ("columns", bytes([3])),
    ("columns", bytes([6])),
    ("columns", bytes([0x84, 0])),
    ("steps", bytes([0, 50, 50])),
    ("steps", bytes([50, 201, 50])),
    ("steps", bytes([50, 254, 50])),
    ("steps", free_steps(*range(64)) + bytes([0, 0])),
    ("steps", free_steps(*range(1, 64)) + bytes([0, 0])),
    ("steps", free_steps(*range(1, 66)) + bytes([0, 0])),
    ("coefficients", bytes([0])),
    ("coefficients", sized(bytes(5))),
    ("coefficients", sized(b"\xff" * 900)),
    ("ring of Cb", bytes([16])),
    ("ring of Cb", bytes([255])),
    ("ring of Cb", bytes([1]) + packed(np.zeros(17, np.uint8))),
    ("ring of Cb", bytes([3]) + packed(np.zeros(18, np.uint8))),
    ("ring of Cr", bytes([15])),
    ("differences", bytes([2])),
    ("differences", bytes([1]) + packed(np.array([0], np.uint8)) + stored(8, 8, 3)),
    ("differences", bytes([1]) + packed(np.array([0, 1], np.uint8)) + stored(8, 8, 3)),
    ("differences", bytes([1]) + packed(np.array([3], np.uint8)) + stored(8, 8, 3)),
    ("above and below", stored(4, 40, 1)),
    ("above and below", stored(1, 40, 3) + stored(3, 40, 3)),
    ("above and below", bytes([2]) + stored(4, 40, 3)[1:]),
    ("above and below", bytes([1]) + stored(4, 40, 3)[1:]),
    ("beside", b""),
    ("beside", stored(8, 20, 3)),
    ("end", b"\0"),
]


def test_a_record_by_hand(folder: Path) -> None:
    path = random_jpeg(folder)
    payload = b"".join(record(path).values())
    array = np.full(SHAPE, 128, np.uint8)
    assert_identical(reference_frames.decode(frame_of(array, payload), find_in(path)), array)
    assert_identical(BitSwap().decode(frame_of(array, payload)), array)


@pytest.mark.parametrize("k", range(len(BROKEN)), ids=[f"{field} {value[:6].hex()}" for field, value in BROKEN])
def test_fields_that_are_refused(folder: Path, k: int) -> None:
    path, (field, value) = random_jpeg(folder), BROKEN[k]
    refused(path, SHAPE, b"".join((record(path) | {field: value}).values()))


def test_payloads_that_end_early(folder: Path) -> None:
    path = random_jpeg(folder)
    payload = b"".join(record(path).values())
    for end in (*range(3), *range(19, len(payload), 11), len(payload) - 1):
        refused(path, SHAPE, payload[:end])


def altered(payload: bytes, count: int) -> Iterator[bytes]:
    """But for the axes and the model id."""
    rng = np.random.default_rng(0)
    for at in rng.integers(19, len(payload), count):
        yield payload[:at] + bytes([payload[at] ^ int(rng.integers(1, 256))]) + payload[at + 1 :]


@pytest.mark.parametrize("name", ["gray with strips", "4:2:0 with strips"])
def test_damage_is_seen_alike(folder: Path, name: str) -> None:
    """Both decoders refuse it, or both make the same of it."""
    path, planes = random_jpeg(folder), random_planes(folder)
    held, around = FRAMES[name]
    image = image_of(held, **around)
    payload = payload_of(path, Axes(0, 1, None if image.ndim == 2 else 2), [image], [held], model_id(planes).hex())
    header = Header(Route.JPEG, 0, "C", image.dtype, image.shape)
    for damaged in altered(payload, 20):
        try:
            expected = jpeg_route.Decoding(header, memoryview(damaged)).array()
        except FormatError:
            with pytest.raises(FrameError):
                reference_frames.jpeg_payload(reference_frames.Reader(damaged), image.shape, find_in(path, planes))
        else:
            reader = reference_frames.Reader(damaged)
            assert np.array_equal(reference_frames.jpeg_payload(reader, image.shape, find_in(path, planes)), expected)


def test_other_dtypes_and_models(folder: Path) -> None:
    path, planes = random_jpeg(folder), random_planes(folder)
    payload = b"".join(record(path).values())
    with pytest.raises(FormatError):
        BitSwap().decode(frame.build(Header(Route.JPEG, 0, "C", np.dtype("|i1"), SHAPE), payload))
    with pytest.raises(FrameError):
        reference_frames.decode(frame.build(Header(Route.JPEG, 0, "C", np.dtype("|i1"), SHAPE), payload), find_in(path))
    other = b"".join((record(path) | {"model": model_id(planes)}).values())
    data = frame.build(Header(Route.JPEG, 0, "C", np.dtype("|u1"), SHAPE), other)
    with pytest.raises(FormatError):
        BitSwap().decode(data)
    with pytest.raises(FrameError):
        reference_frames.decode(data, find_in(planes))


# ---- Model files

ARCH = {"format": 1, "kind": "jpeg", "width": 16, "blocks": 2}


def refused_model(path: Path, arch: dict[str, Any], tensors: dict[str, Array]) -> None:
    with pytest.raises(ModelError):
        CoefficientModel(arch, tensors)
    file = path.with_suffix(".altered")
    save_file(tensors, file, {"arch": json.dumps(arch)})
    with pytest.raises((FrameError, KeyError, TypeError, ValueError)):
        JpegModel(file, hashlib.sha256(file.read_bytes()).digest()[:16])


@pytest.mark.parametrize(
    "changes",
    [{"format": 2}, *({"width": w} for w in (0, 8, 18, 136)), *({"blocks": n} for n in (-1, 3, 9)), {"width": "16"}],
)
def test_architectures_that_are_refused(folder: Path, changes: dict[str, Any]) -> None:
    path = random_jpeg(folder)
    tensors = dict(load_file(path))
    CoefficientModel(ARCH, tensors)
    refused_model(path, ARCH | changes, tensors)


def test_tensors_that_are_refused(folder: Path) -> None:
    path = random_jpeg(folder)
    tensors = dict(load_file(path))
    w, b, f, embedding, prediction = (tensors[k] for k in ("1.a.w", "1.a.b", "1.a.f", "embedding", "prediction"))
    for name in tensors:
        refused_model(path, ARCH, {other: tensor for other, tensor in tensors.items() if other != name})
    for name, tensor in [
        ("1.a.w", np.where(w == w.max(), 64, w).astype(np.int8)),
        ("1.a.w", np.where(w == w.max(), -64, w).astype(np.int8)),
        ("1.a.w", w.astype(np.int16)),
        ("1.a.w", w[:, 1:].copy()),
        ("1.a.b", b.astype(np.int64)),
        ("1.a.b", np.full_like(b, 1 << 29)),
        ("1.a.b", np.full_like(b, -(1 << 31))),
        ("1.a.f", f + np.uint8(17)),
        ("1.a.f", f.astype(np.int8)),
        ("embedding", embedding[1:].copy()),
        ("embedding", embedding.astype(np.int32)),
        ("prediction", prediction.reshape(128, 30)),
        ("prediction", prediction.astype(np.int8)),
    ]:
        refused_model(path, ARCH, tensors | {name: tensor})

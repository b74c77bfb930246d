"""Images that were decoded from JPEG files come back from what the files held, in fewer bytes than their pixels."""

import io
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from numcodecs_bitswap import BBANS, BitSwap, FormatError
from numcodecs_bitswap.chunk import frame
from numcodecs_bitswap.chunk.frame import Route
from numcodecs_bitswap.zarr3 import BitSwapCodec
from strategies import assert_identical

Pixels = NDArray[np.uint8]


def picture(height: int, width: int, seed: int = 0) -> Pixels:
    """Smooth colours with some texture and edges, and bright and dark parts that are cut off."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / rng.uniform(5, 30) + k) * np.cos(y / rng.uniform(5, 30)) for k in range(4)]
    base = 140 * waves[0] + 60 * waves[1] + 20 * ((x // 37 + y // 23) % 2) + rng.normal(0, 3, (height, width))
    return np.stack([np.clip(128 + base + 30 * waves[2 + k % 2] * k, 0, 255) for k in range(3)], 2).astype(np.uint8)


def through_jpeg(image: Pixels, quality: int, sampling: int = 0, **options: Any) -> Pixels:
    """What a file of a quality decodes to. Sampling as Pillow has it: 0 4:4:4, 1 4:2:2, 2 4:2:0."""
    file = io.BytesIO()
    if image.ndim == 3:
        options |= {"subsampling": sampling}
    Image.fromarray(image).save(file, "JPEG", quality=quality, **options)
    return np.asarray(Image.open(file))


def route(data: bytes) -> Route:
    return frame.parse(memoryview(data))[0].route


def pixels_alone(array: Pixels) -> int:
    """Bytes of the frame of the plane coder."""
    return min(len(BitSwap(model=name).encode(array)) for name in ("photo-v1", "universal-v1"))


KINDS: dict[str, Pixels] = {
    "4:4:4": through_jpeg(picture(96, 128), 80),
    "4:2:0": through_jpeg(picture(96, 128), 85, 2),
    "4:2:2": through_jpeg(picture(96, 128), 75, 1),
    "blue first": through_jpeg(picture(96, 128), 80)[..., ::-1],
    "red, green and blue": through_jpeg(picture(96, 128), 50, keep_rgb=True),
    "gray": through_jpeg(picture(96, 128)[..., 0], 90),
    "off the grid": through_jpeg(picture(128, 160), 80, 2)[13:120, 7:150],
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_file_held_is_smaller(kind: str) -> None:
    array = np.ascontiguousarray(KINDS[kind])
    data = BitSwap().encode(array)
    assert route(data) == Route.JPEG
    assert len(data) < 0.8 * pixels_alone(array)
    assert_identical(BitSwap().decode(data), array)


@settings(max_examples=12)
@given(
    quality=st.integers(1, 100),
    sampling=st.sampled_from([0, 1, 2, None]),
    size=st.tuples(st.integers(16, 70), st.integers(16, 70)),
    start=st.tuples(st.integers(0, 15), st.integers(0, 15)),
    seed=st.integers(0, 9),
    edited=st.booleans(),
    twice=st.booleans(),
)
def test_every_quality_comes_back(
    quality: int,
    sampling: int | None,
    size: tuple[int, int],
    start: tuple[int, int],
    seed: int,
    edited: bool,
    twice: bool,
) -> None:
    image = picture(start[0] + size[0], start[1] + size[1], seed)
    if sampling is None:
        image = image[..., 0]
    for q in (quality // 2 + 1, quality) if twice else (quality,):
        image = through_jpeg(image, q, sampling or 0)
    array = image[start[0] :, start[1] :].copy()
    if edited:
        array[3:9, 5:11] ^= 85
    data = BitSwap().encode(array)
    assert_identical(BitSwap().decode(data), array)


def test_where_channels_and_images_lie() -> None:
    """Any axes; several images in a chunk, each with what its own file held."""
    images = [through_jpeg(picture(48, 64, seed), quality) for seed, quality in enumerate((60, 85))]
    stack = np.stack(images)
    for array, axis in ((stack, 3), (np.moveaxis(stack, 3, 1), 1), (np.moveaxis(stack, 3, 0)[:, :, None], 0)):
        codec = BitSwap(channel_axis=axis)
        for given_array in (np.ascontiguousarray(array), np.asfortranarray(array)):
            data = codec.encode(given_array)
            assert route(data) == Route.JPEG
            assert_identical(codec.decode(data), given_array)


def test_an_image_that_was_none_takes_pixels() -> None:
    array = picture(96, 96)
    assert route(BitSwap().encode(array)) == Route.PLANES
    mixed = np.stack([through_jpeg(array, 75), array])
    data = BitSwap().encode(mixed)
    assert route(data) == Route.PLANES
    assert_identical(BitSwap().decode(data), mixed)


def test_models_by_name() -> None:
    array = KINDS["4:4:4"]
    assert BitSwap(model="jpeg-v1").encode(array)[:5] == BitSwap().encode(array)[:5]
    assert route(BitSwap(model="jpeg-v1").encode(array)) == Route.JPEG
    assert route(BitSwap(model="photo-v1").encode(array)) == Route.PLANES
    stored = BitSwap(model="jpeg-v1").encode(picture(40, 40))
    assert route(stored) in (Route.RAW, Route.ZSTD)
    assert route(BBANS().encode(array)) == Route.JPEG


def test_without_compiled_code() -> None:
    """The same frame, slowly."""
    program = """
import hashlib, sys
import numpy as np
from numcodecs_bitswap import BitSwap
from pictures import from_jpeg
array = from_jpeg((np.add.outer(np.arange(32) ** 2, 9 * np.arange(24)) // 7 % 256).astype(np.uint8), "gray", (1, 1), 75)
data = BitSwap(model="jpeg-v1").encode(array)
assert np.array_equal(BitSwap().decode(data), array)
print(data[5], hashlib.sha256(data).hexdigest())
"""
    lines = [
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | more,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for more in ({}, {"NUMBA_DISABLE_JIT": "1"})
    ]
    assert lines[0] == lines[1]
    assert lines[0].startswith("7 ")


def test_zarr() -> None:
    image = through_jpeg(picture(200, 220), 80, 2)
    array = zarr.create_array(
        zarr.storage.MemoryStore(), data=image, chunks=(64, 64, 3), serializer=BitSwapCodec(), compressors=None
    )
    assert np.array_equal(array[:], image)
    assert np.array_equal(array[50:70, 60:130], image[50:70, 60:130])


@pytest.mark.parametrize("kind", ["4:2:0", "off the grid", "gray"])
def test_truncated_and_altered_payloads(kind: str) -> None:
    """With right checksums too: a typed error or, where only bytes of pixels were altered, another array's checksum."""
    array = np.ascontiguousarray(KINDS[kind])
    data = BitSwap().encode(array)
    header, payload = frame.parse(memoryview(data))
    rng = np.random.default_rng(0)
    for length in (*range(0, 60, 3), *rng.integers(60, len(payload), 12)):
        with pytest.raises(FormatError):
            BitSwap().decode(frame.build(header, bytes(payload[: int(length)])))
    for _ in range(40):
        altered = bytearray(payload)
        at = int(rng.integers(0, 40)) if rng.random() < 0.5 else int(rng.integers(0, len(payload)))
        altered[at] ^= int(rng.integers(1, 256))
        with pytest.raises((FormatError, LookupError)):  # a model that is not there is a MissingModel
            BitSwap().decode(frame.build(header, bytes(altered)))

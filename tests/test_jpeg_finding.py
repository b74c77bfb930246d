"""What JPEG files held is found of the pixels that Pillow makes of them."""

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from jpeg_files import decode
from numcodecs_bitswap.jpeg.decoding import pixels
from numcodecs_bitswap.jpeg.finding import find

Array = NDArray[np.uint8]


def scene(seed: int, height: int = 160, width: int = 176, spread: float = 1.0) -> Array:
    """RGB with slopes, edges, and texture."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    planes = []
    for _ in range(3):
        a, b, c = rng.uniform(0.01, 0.08, 3)
        plane = 128 + 50 * np.sin(a * x + rng.uniform(0, 6)) + 40 * np.cos(b * y + c * x)
        plane += 30 * ((x + 2 * y) % int(rng.integers(30, 60)) > 20) + rng.normal(0, 6, (height, width))
        planes.append(128 + spread * (plane - 128))
    mixed = np.stack(planes, -1) @ np.array([[0.6, 0.3, 0.2], [0.3, 0.5, 0.3], [0.1, 0.2, 0.5]])
    return mixed.round().clip(0, 255).astype(np.uint8)


def through_jpeg(array: Array, **options: Any) -> Array:
    """What is left of an array that was a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(array).save(file, "JPEG", **options)
    return decode(file.getvalue())


def exact_part(array: Array, expected: float) -> None:
    """So many blocks of what is found are exact."""
    found = find(array)
    assert found is not None
    picture, (height, width) = found.picture, found.picture.size
    assert np.array_equal(found.pixels, pixels(picture))
    blocks = (found.pixels != array[picture.region()]).reshape(height // 8, 8, width // 8, -1).any((1, 3))
    assert np.array_equal(found.wrong > 0, blocks)
    assert 1 - blocks.mean() >= expected
    assert all(picture.size[k] > array.shape[k] - 8 * picture.sampling[k] - picture.offset[k] for k in range(2))


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("quality", [20, 50, 75, 90])
def test_crops_of_colour_pictures(quality: int, subsampling: int) -> None:
    array = through_jpeg(scene(quality), quality=quality, subsampling=subsampling)
    exact_part(array, 0.95)
    exact_part(array[5:, 10:].copy(), 0.95)


@pytest.mark.parametrize("quality", [10, 50, 90, 96])
def test_gray(quality: int) -> None:
    array = through_jpeg(scene(quality)[..., 1], quality=quality)
    exact_part(array[3:, 7:].copy(), 0.97)


@pytest.mark.parametrize("quality", [30, 80])
def test_channels_as_they_are(quality: int) -> None:
    array = through_jpeg(scene(quality), quality=quality, keep_rgb=True)
    exact_part(array[2:, 1:].copy(), 0.99)
    exact_part(array[..., ::-1].copy(), 0.99)


def test_gray_as_colours() -> None:
    gray = through_jpeg(scene(2)[..., 1], quality=80)
    exact_part(np.repeat(gray[3:, 6:, None], 3, 2), 0.95)
    assert find(np.repeat(scene(2)[..., 1:2], 3, 2)) is None


def test_channels_that_are_mostly_white() -> None:
    """One of them says nothing of the steps."""
    array = 255 - scene(11, 64, 64) // 8
    array[..., 1] = 255
    exact_part(through_jpeg(array, quality=50, keep_rgb=True), 0.9)


def test_reversed_channels() -> None:
    array = through_jpeg(scene(1), quality=80, subsampling=2)[..., ::-1].copy()
    exact_part(array, 0.97)
    found = find(array)
    assert found is not None
    assert found.picture.reversed


def test_any_table() -> None:
    rng = np.random.default_rng(3)
    steps = np.add.outer(np.arange(8), np.arange(8)).ravel() * 2 + rng.integers(3, 8, 64)
    exact_part(through_jpeg(scene(3), qtables=[steps.tolist()] * 2, subsampling=0), 0.8)


@pytest.mark.parametrize("white", [0.0, 0.7])
def test_table_of_a_camera(white: float) -> None:
    """Steps that grow slowly, those of chroma one more here and there; a sky that was cut off says little of them."""
    rng = np.random.default_rng(12)
    steps = 5 + (np.add.outer(np.arange(8), np.arange(8)) ** 2 // 12).ravel()
    array = scene(12, 256, 256)
    sky = 252 + rng.normal(0, 1, (256, 256, 1)) + np.linspace(4, -6, 256)[:, None, None]
    array = np.where(np.arange(256)[:, None, None] < 256 * white, sky, array).round().clip(0, 255).astype(np.uint8)
    tables = [steps.tolist(), (steps + (rng.random(64) < 0.3)).tolist()]
    exact_part(through_jpeg(array, qtables=tables, subsampling=2), 0.97)


def test_levels_that_were_cut_off() -> None:
    array = through_jpeg(scene(4, spread=1.7), quality=75, subsampling=0)
    assert (array == 255).mean() > 0.005
    exact_part(array, 0.5)
    gray = through_jpeg(array[..., 0], quality=75)
    assert (gray == 255).mean() > 0.01
    exact_part(gray, 0.9)


def test_compressed_twice() -> None:
    once = through_jpeg(scene(5), quality=60, subsampling=2)
    exact_part(through_jpeg(once[3:, 5:].copy(), quality=85, subsampling=2), 0.97)


def test_tiles_that_meet_inside() -> None:
    """Files whose chroma is halved, beside each other. It is not interpolated from one to the next."""
    array = scene(8, 192, 192)
    tiles = [through_jpeg(array[y : y + 96, x : x + 96], quality=75, subsampling=2) for y in (0, 96) for x in (0, 96)]
    exact_part(np.concatenate([np.concatenate(tiles[:2], 1), np.concatenate(tiles[2:], 1)]), 0.75)


def test_edited_in_one_place() -> None:
    array = through_jpeg(scene(6), quality=80, subsampling=2)
    array[40:50, 60:70] = [12, 200, 31]
    exact_part(array, 0.9)


@pytest.mark.parametrize("array", [scene(7), scene(7)[..., 0].copy()])
def test_what_was_no_jpeg_is_refused(array: Array) -> None:
    assert find(array) is None


def test_resized_pictures_are_refused() -> None:
    array = through_jpeg(scene(8), quality=80)
    smaller = np.array(Image.fromarray(array).resize((150, 130), Image.Resampling.BILINEAR))
    assert find(smaller) is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (15, 16), (16, 16), (17, 40), (33, 19)])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_any_size(shape: tuple[int, int], subsampling: int) -> None:
    """Nothing fails, and what is found decodes to its region."""
    array = through_jpeg(scene(9, *shape), quality=70, subsampling=subsampling)
    for each in array, array[..., 0].copy():
        found = find(each)
        if found is not None:
            assert pixels(found.picture).shape == each[found.picture.region()].shape


@pytest.mark.parametrize("quality", [1, 3, 99, 100])
def test_extreme_qualities(quality: int) -> None:
    array = through_jpeg(scene(10), quality=quality)
    found = find(array)
    assert found is None or 2 * np.count_nonzero(found.wrong) <= found.wrong.size

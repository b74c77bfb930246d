"""Luma and chroma of RGB that was decoded from a JPEG (FORMAT.md section 9)."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image

from numcodecs_bitswap import BBANS, BitSwap, catalog, colour
from numcodecs_bitswap.frame import Route, parse, parse_model
from pictures import photograph
from strategies import assert_identical


@st.composite
def planes(draw: st.DrawFn) -> tuple[NDArray[np.uint8], int]:
    """Any luma and chroma, also such that levels are cut off at 0 and 255; and their axis."""
    shape = list(draw(hnp.array_shapes(max_dims=3, max_side=6)))
    axis = draw(st.integers(0, len(shape)))
    shape.insert(axis, 3)
    return draw(hnp.arrays(np.uint8, tuple(shape))), axis


@given(planes())
def test_every_decoded_picture_has_luma_and_chroma(drawn: tuple[NDArray[np.uint8], int]) -> None:
    ycbcr, axis = drawn
    rgb = colour.to_rgb(ycbcr.copy(), axis)
    found = colour.to_ycbcr(rgb, axis)
    assert found is not None
    assert found.shape == rgb.shape
    assert_identical(colour.to_rgb(np.ascontiguousarray(found), axis), rgb)


@given(hnp.arrays(np.uint8, st.tuples(st.just(3), st.integers(1, 40))))
def test_what_is_found_is_right(rgb: NDArray[np.uint8]) -> None:
    found = colour.to_ycbcr(rgb, 0)
    if found is not None:
        assert_identical(colour.to_rgb(found.copy(), 0), rgb)


def test_colours_between_black_and_white_have_one_solution_near_the_inverse_transform() -> None:
    cb, cr = (each.reshape(-1).astype(np.uint8) for each in np.meshgrid(np.arange(256), np.arange(256)))
    colours = 0
    for luma in range(256):
        ycbcr = np.stack([np.full_like(cb, luma), cb, cr])
        rgb = colour.to_rgb(ycbcr.copy(), 0)
        whole = ((rgb > 0) & (rgb < 255)).all(0)
        if whole.any():
            assert np.array_equal(colour.to_ycbcr(rgb[:, whole], 0), ycbcr[:, whole])
        colours += int(whole.sum())
    assert 0.2 < colours / 2**24 < 0.25


@pytest.mark.parametrize("quality", [50, 75, 95])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_what_a_decoder_makes_of_a_photograph(quality: int, subsampling: int) -> None:
    file = io.BytesIO()
    Image.fromarray(photograph()).save(file, "JPEG", quality=quality, subsampling=subsampling)
    rgb = np.asarray(Image.open(file).convert("RGB"))
    found = colour.to_ycbcr(rgb, 2)
    assert found is not None
    assert np.array_equal(colour.to_rgb(found.copy(), 2), rgb)
    with Image.open(file) as image:
        image.draft("YCbCr", None)
        stored = np.asarray(image)
    whole = ((rgb > 0) & (rgb < 255)).all(2)
    assert np.array_equal(found[whole], stored[whole])


def test_other_pictures_have_none() -> None:
    assert colour.to_ycbcr(photograph(), 2) is None
    one_wrong = colour.to_rgb(np.full((64, 80, 3), 100, np.uint8), 2)
    assert colour.to_ycbcr(one_wrong, 2) is not None
    one_wrong[17, 5, 1] ^= 1
    assert colour.to_ycbcr(one_wrong, 2) is None


def model_of(frame: bytes) -> str | None:
    """The name of the model that a frame is of, None of a stored one."""
    header, payload = parse(memoryview(frame))
    if header.route != Route.MODEL:
        return None
    return catalog.find(parse_model(header, payload).model_id).name


def was_jpeg(height: int, width: int) -> NDArray[np.uint8]:
    """A part of the photograph after a JPEG encoder and decoder."""
    file = io.BytesIO()
    Image.fromarray(photograph()[:height, :width]).save(file, "JPEG", quality=90)
    return np.asarray(Image.open(file).convert("RGB"))


@pytest.mark.parametrize("codec_class", [BitSwap, BBANS])
def test_each_chunk_is_asked_whether_it_was_a_jpeg(codec_class: type[BitSwap]) -> None:
    rgb = was_jpeg(96, 112)
    frame = codec_class().encode(rgb)
    assert model_of(frame) == "photo-ycbcr8-v1"
    assert len(frame) < 0.95 * len(codec_class(model="photo-rgb8-v2").encode(rgb))
    assert_identical(codec_class().decode(frame), rgb)
    other = np.ascontiguousarray(photograph()[:96, :112])
    assert model_of(codec_class().encode(other)) == "photo-rgb8-v2"


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
@pytest.mark.parametrize("order", ["C", "F"])
def test_wherever_the_channels_are(axis: int, order: str) -> None:
    stack = np.stack([was_jpeg(40, 48), was_jpeg(80, 96)[40:, 48:]])
    array = np.asarray(np.moveaxis(stack, -1, axis), order=order)
    codec = BitSwap(channel_axis=axis)
    frame = codec.encode(array)
    assert model_of(frame) == "photo-ycbcr8-v1"
    assert_identical(codec.decode(frame), array)


def test_what_was_no_jpeg_is_stored_by_a_model_of_luma_and_chroma() -> None:
    codec, array = BitSwap(model="photo-ycbcr8-v1"), np.ascontiguousarray(photograph()[:64, :64])
    frame = codec.encode(array)
    assert model_of(frame) is None
    assert_identical(codec.decode(frame), array)


def test_gray_in_three_channels() -> None:
    """Gray is luma without chroma, which costs next to nothing."""
    gray = np.ascontiguousarray(photograph()[:128, :128, 1])
    frame = BitSwap().encode(np.stack([gray] * 3, -1))
    assert model_of(frame) == "photo-ycbcr8-v1"
    assert len(frame) < 1.05 * len(BitSwap().encode(gray))

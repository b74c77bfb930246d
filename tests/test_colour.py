"""Luma and chroma of RGB that was decoded from a JPEG (FORMAT.md 1.6)."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image

from numcodecs_bitswap.jpeg import colour
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


@given(hnp.arrays(np.uint8, (3, 1)), st.integers(0, 40))
def test_the_look_at_one_pixel_says_the_same(pixel: NDArray[np.uint8], spread: int) -> None:
    """Of grayish colours, which luma and chroma often make, too; a level that was cut off says nothing."""
    near = (pixel[:1].astype(int) + pixel % (spread + 1) - spread // 2).clip(0, 255).astype(np.uint8)
    for rgb in (pixel, near, colour.to_rgb(pixel.copy(), 0)):
        cut = rgb.min() == 0 or rgb.max() == 255
        assert colour._may_be(*rgb[:, 0].tolist()) == (cut or colour._solve(rgb) is not None)


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

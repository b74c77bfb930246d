"""What JPEG files held decodes to what Pillow makes of the files."""

import numpy as np
import pytest

from jpeg_files import decode, write
from numcodecs_bitswap.jpeg.decoding import pixels
from numcodecs_bitswap.jpeg.picture import SAMPLINGS, Component, Picture, Ring


def random_component(rng: np.random.Generator, rows: int, columns: int, most: int, spread: float) -> Component:
    """Steps up to `most`, and coefficients of which a part is not 0."""
    steps = rng.integers(1, most + 1, 64).astype(np.uint16)
    falling = spread / (1 + np.add.outer(np.arange(8), np.arange(8)).ravel())
    values = rng.laplace(0, 1, (rows, columns, 64)) * falling * 64 / steps
    values[..., 0] = rng.normal(0, 300, (rows, columns)) / steps[0]
    values[rng.random(values.shape) < 0.3] = 0
    return Component(steps, values.round().clip(-1000, 1000).astype(np.int16))


def random_picture(seed: int, colour: str, sampling: tuple[int, int], most: int = 40, spread: float = 1.0) -> Picture:
    """3 x 4 MCUs."""
    rng = np.random.default_rng(seed)
    luma = random_component(rng, 3 * sampling[0], 4 * sampling[1], most, spread)
    others = [random_component(rng, 3, 4, most, spread) for _ in range(0 if colour == "gray" else 2)]
    return Picture(colour, sampling, (0, 0), (luma, *others))  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("colour", "sampling"), [("gray", (1, 1)), ("rgb", (1, 1)), *(("ycbcr", sampling) for sampling in SAMPLINGS)]
)
@pytest.mark.parametrize(("most", "spread"), [(2, 0.5), (40, 1.0), (255, 2.0)])
def test_pixels_are_those_of_pillow(
    seed: int, colour: str, sampling: tuple[int, int], most: int, spread: float
) -> None:
    picture = random_picture(seed, colour, sampling, most, spread)
    expected = decode(write(picture, *picture.size))
    assert np.array_equal(pixels(picture), expected)


@pytest.mark.parametrize("sampling", SAMPLINGS[1:])
def test_samples_around_the_picture(sampling: tuple[int, int]) -> None:
    """Whole MCUs inside of a larger picture decode to the same pixels, once what is around them is known."""
    whole = random_picture(5, "ycbcr", sampling)
    sy, sx = sampling
    samples = [pixels(Picture("gray", (1, 1), (0, 0), (each,))) for each in whole.components]
    rings = [Ring(s[7, 7:25], s[16, 7:25], s[8:16, 7], s[8:16, 24]) for s in samples[1:]]
    luma = Component(whole.components[0].steps, whole.components[0].coefficients[sy : 2 * sy, sx : 3 * sx].copy())
    chroma = [Component(each.steps, each.coefficients[1:2, 1:3].copy()) for each in whole.components[1:]]
    inner = Picture("ycbcr", sampling, (8 * sy, 8 * sx), (luma, *chroma), (rings[0], rings[1]))
    assert np.array_equal(pixels(inner), pixels(whole)[inner.region()])


def test_any_coefficients_decode() -> None:
    """Nothing overflows."""
    rng = np.random.default_rng(0)
    steps = np.full(64, 65535, np.uint16)
    coefficients = rng.choice(np.array([-32768, 32767], np.int16), (2, 2, 64))
    array = pixels(Picture("gray", (1, 1), (0, 0), (Component(steps, coefficients),)))
    wide = coefficients.astype(object) * 65535
    k = np.arange(8)
    basis = np.cos((2 * k + 1) * k[:, None] * np.pi / 16) / 2
    basis[0] /= 2**0.5
    exact = np.einsum("ijvu,vy,ux->iyjx", wide.astype(float).reshape(2, 2, 8, 8), basis, basis).reshape(16, 16)
    assert np.array_equal(array, exact.clip(0, 255))


def test_reversed_channels() -> None:
    picture = random_picture(1, "ycbcr", (2, 2))
    other = Picture(picture.colour, picture.sampling, (0, 0), picture.components, reversed=True)
    assert np.array_equal(pixels(other), pixels(picture)[..., ::-1])

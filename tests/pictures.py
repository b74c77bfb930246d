"""The photograph that ships with the project, for tests that need a real image; images as JPEG decoders make them."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numcodecs_bitswap.jpeg.picture import Colour, Component, Picture

PHOTOGRAPH = Path(__file__).parents[1] / "examples" / "photograph.png"
COSINES = np.cos((2 * np.arange(8) + 1) * np.arange(8)[:, None] * np.pi / 16)
COSINES *= np.where(np.arange(8), 0.5, 8**-0.5)[:, None]


@cache
def photograph() -> NDArray[np.uint8]:
    """(height, width, 3), read-only."""
    import imagecodecs  # which emulated machines do without

    image: NDArray[Any] = imagecodecs.imread(PHOTOGRAPH)[..., :3]
    image.flags.writeable = False
    return image


def from_jpeg(image: NDArray[np.uint8], colour: Colour, sampling: tuple[int, int], quality: int) -> NDArray[np.uint8]:
    """What a JPEG file of an image, of whole MCUs, decodes to: made by the package's own decoder."""
    from numcodecs_bitswap.jpeg import decoding, tables  # reads numba

    planes = [image] if image.ndim == 2 else list(np.moveaxis(image, 2, 0))
    if colour == "ycbcr":
        red, green, blue = (plane.astype(np.float64) for plane in planes)
        y = 0.299 * red + 0.587 * green + 0.114 * blue
        planes = [y, 128 + (blue - y) / 1.772, 128 + (red - y) / 1.402]
    components = []
    for k, plane in enumerate(planes):
        sy, sx = sampling if k else (1, 1)
        h, w = plane.shape[0] // sy // 8, plane.shape[1] // sx // 8
        small = plane.reshape(8 * h, sy, 8 * w, sx).mean((1, 3)).round() - 128
        blocks = small.reshape(h, 8, w, 8).swapaxes(1, 2)
        steps = tables.standard()[int(colour == "ycbcr" and k > 0), quality - 1]
        numbers = np.round((COSINES @ blocks @ COSINES.T).reshape(h, w, 64) / steps).astype(np.int16)
        components.append(Component(steps, numbers))
    return decoding.pixels(Picture(colour, sampling, (0, 0), tuple(components)))

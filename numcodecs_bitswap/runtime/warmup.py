"""Compiles everything that a CPU needs ahead of the first chunk, for example while a container image is built."""

from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bitsback import groups
from ..chunk import patches
from ..chunk.patches import Axes
from ..codec import BitSwap
from ..jpeg import decoding, tables
from ..jpeg.picture import Component, Picture
from ..models import catalog

LANES = 1, 8
"""There are separate loops for few lanes and for many."""


def warm_up() -> float:
    """Encode and decode a small array with every shipped model, so that the compiled code is cached on disk.

    Returns
    -------
    float
        Seconds that it took.

    Raises
    ------
    DeviceError
        numba is not installed, or is told not to compile.
    """
    start = monotonic()
    y, x = np.mgrid[:64, :64]
    gray = (y * x // 16 + y * 7 % 3).astype(np.uint8)
    for name in filter(catalog.is_shipped, catalog.names()):
        if catalog.kind_of(name) in ("planes", "jpeg"):  # all models of a kind share the loops
            continue
        net: Any = catalog.load(name, "cpu").net
        if net.channels == 1:
            _code_patches(net, gray, Axes(0, 1, None))
        else:
            _code_patches(net, np.stack([gray, gray + 1, gray // 2], 2), Axes(0, 1, 2))
    codec = BitSwap()
    wave = np.sin(gray)
    for array in (gray, _from_jpeg(), np.stack([gray // 99] * 2), wave.astype(np.float32), np.cumsum(wave)):
        codec.decode(codec.encode(array))
    return monotonic() - start


def _from_jpeg() -> NDArray[np.uint8]:
    """An image decoded from a JPEG file with subsampled chroma, so that the whole JPEG route is compiled."""
    components = []
    for k, size in enumerate((12, 6, 6)):
        rng = np.random.default_rng(k)
        numbers = np.zeros((size, size, 64), np.int16)
        numbers[..., 0] = rng.integers(-20, 20, (size, size))
        numbers[..., [1, 8, 9, 16, 3]] = rng.integers(-4, 5, (size, size, 5))
        components.append(Component(tables.standard()[int(k > 0), 84], numbers))
    return decoding.pixels(Picture("ycbcr", (2, 2), (0, 0), tuple(components)))


def _code_patches(net: Any, array: NDArray[np.uint8], axes: Axes) -> None:
    size = 1 << net.patch_log2
    classes = [np.minimum(each[None], net.levels - 1) for each in patches.split(array, axes, size)]
    geometry = patches.geometry(array.shape, axes, size)
    for codec in net.cores:
        for lanes in LANES:
            groups.decode(net, groups.encode(net, classes, lanes, codec), geometry, codec)

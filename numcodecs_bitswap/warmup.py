"""Compiles ahead all that a CPU needs: for the images of containers, and so that no first chunk takes long."""

from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import catalog, patches
from .bitsback import groups
from .codec import BitSwap
from .patches import Axes

LANES = 1, 8
"""There are loops for few lanes and for many."""


def warm_up() -> float:
    """Encode and decode a small array with every model that is shipped, so that what is compiled for it is kept on
    disk. Returns the seconds that it took.

    Raises
    ------
    DeviceError
        There is no numba, or it is told not to compile.
    """
    start = monotonic()
    y, x = np.mgrid[:64, :64]
    gray = (y * x // 16 + y * 7 % 3).astype(np.uint8)
    for name in filter(catalog.is_shipped, catalog.names()):
        if catalog.kind_of(name) in ("planes", "jpeg"):  # of all of them the loops are the same
            continue
        net: Any = catalog.load(name, "cpu").net
        if net.channels == 1:
            _code_patches(net, gray, Axes(0, 1, None))
        else:
            _code_patches(net, np.stack([gray, gray + 1, gray // 2], 2), Axes(0, 1, 2))
    codec = BitSwap()
    for array in (gray, np.stack([gray // 99] * 2), np.sin(gray).astype(np.float32), np.cumsum(np.sin(gray))):
        codec.decode(codec.encode(array))
    return monotonic() - start


def _code_patches(net: Any, array: NDArray[np.uint8], axes: Axes) -> None:
    size = 1 << net.patch_log2
    classes = [np.minimum(each[None], net.levels - 1) for each in patches.split(array, axes, size)]
    geometry = patches.geometry(array.shape, axes, size)
    for codec in net.cores:
        for lanes in LANES:
            groups.decode(net, groups.encode(net, classes, lanes, codec), geometry, codec)

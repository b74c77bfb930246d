"""Compiles ahead all that a CPU needs: for the images of containers, and so that no first chunk takes long."""

from time import monotonic

import numpy as np

from . import catalog
from .codec import BBANS, BitSwap, LocalBitsBack


def warm_up() -> float:
    """Encode and decode a small array with every kind of model that is shipped, so that what is compiled for it is kept
    on disk. Returns the seconds that it took.

    Raises
    ------
    DeviceError
        There is no numba, or it is told not to compile.
    """
    start = monotonic()
    across = np.arange(64)
    gray = ((across[:, None] * across) // 16 + np.arange(64 * 64).reshape(64, 64) % 3).astype(np.uint8)
    for name in catalog.names():
        if catalog.is_shipped(name):
            _code(name, gray)
    return monotonic() - start


def _code(name: str, gray: np.ndarray) -> None:  # type: ignore[type-arg]
    net = catalog.load(name, "cpu").net
    if catalog.is_planes(name):
        codecs, arrays = [BitSwap], [gray, gray.astype(np.uint16) * 257]
    else:
        codecs = [LocalBitsBack] if "local_bits_back" in net.cores else [BitSwap, BBANS]
        gray = gray * np.uint8(net.levels - 1) // 255 if net.levels < 256 else gray
        arrays = [gray if net.channels == 1 else np.stack([gray, gray + 1, gray // 2], -1)]
    for codec in codecs:
        for array in arrays:
            one = codec(model=name)
            one.decode(one.encode(array))

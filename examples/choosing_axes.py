"""Which axes are the picture: what "auto" takes, and how to say otherwise."""

from pathlib import Path

import numpy as np
from PIL import Image

from numcodecs_bitswap import BitSwap

whole = np.asarray(Image.open(Path(__file__).with_name("photograph.png")))
photograph = whole[:192, :192]  # (y, x, 3)
gray = photograph[..., 1]


def show(what: str, array: np.ndarray, codec: BitSwap) -> int:
    """Encode, decode, compare, print; returns the size."""
    encoded = codec.encode(array)
    assert np.array_equal(codec.decode(encoded), array)
    print(f"{what:45} {array.shape!s:18} {array.nbytes:8,} -> {len(encoded):7,} bytes")
    return len(encoded)


# "auto": the last axis is the channel if its size is 3 and there are three axes or more; the two before it are y and x.
auto = show("colours last: auto is right", photograph, BitSwap())
show("one channel: auto is right", gray, BitSwap())
show("gray images in a stack: auto is right", np.stack([gray, whole[192:384, :192, 1]]), BitSwap())

# Colours first, as torch and many microscopes have them: auto takes three separate gray images.
planes = np.ascontiguousarray(photograph.transpose(2, 0, 1))
alone = show("colours first: auto takes three gray images", planes, BitSwap())
together = show("colours first, said so", planes, BitSwap(channel_axis=0))
assert together < alone

# No model has four channels: once y and x are named, the last axis is a leading one. Colours apart are better.
rgba = np.dstack([photograph, np.full(photograph.shape[:2], 255, np.uint8)])
show("four channels last: each a gray image", rgba, BitSwap(channel_axis=None, spatial_axes=(0, 1)))

# A memory order is not an axis order: both layouts of one array hold the same picture.
fortran = show("the photograph in Fortran order", np.asfortranarray(photograph), BitSwap())
assert fortran == auto

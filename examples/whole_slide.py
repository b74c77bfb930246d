"""A whole slide: JPEG tiles of a TIFF file, decoded into OME-Zarr, take no more bytes than the tiles did.

    python examples/whole_slide.py [SLIDE.svs]

Without a slide the photograph of this folder is made one. Chunks are tiles, so that blocks of 8 x 8 pixels stay whole.
Needs: pip install '.[zarr,images]'.
"""

import sys
from pathlib import Path

import numpy as np
import tifffile
import zarr
from PIL import Image

from numcodecs_bitswap.zarr3 import BitSwapCodec

SIDE = 240


def make_slide(path: str) -> None:
    """A tiled TIFF file whose tiles are JPEG files of red, green and blue, as scanners write them."""
    photograph = np.asarray(Image.open(Path(__file__).with_name("photograph.png")).convert("RGB"))
    height, width = (n // SIDE * SIDE for n in photograph.shape[:2])
    options = {"compression": "jpeg", "compressionargs": {"level": 80}, "tile": (SIDE, SIDE)}
    tifffile.imwrite(path, photograph[:height, :width], photometric="rgb", **options)


def main() -> None:
    """Copy the first level of a slide, tile by tile, and compare sizes."""
    if len(sys.argv) > 1:
        path = sys.argv[1]
    else:
        path = "slide.tif"
        make_slide(path)
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        group = zarr.open_group("slide.ome.zarr", mode="w", zarr_format=3)
        axes = [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}, {"name": "c", "type": "channel"}]
        scale = [{"type": "scale", "scale": [1.0, 1.0, 1.0]}]
        levels = [{"path": "0", "coordinateTransformations": scale}]
        group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": levels}]}
        array = group.create_array(
            "0", shape=page.shape, chunks=(page.tilelength, page.tilewidth, 3), dtype="u1",
            dimension_names=["y", "x", "c"], serializer=BitSwapCodec(channel_axis=2), compressors=None,
        )  # fmt: skip
        for tile, place, _ in page.segments():
            y, x = place[-3], place[-2]
            array[y : y + page.tilelength, x : x + page.tilewidth] = tile[0]
        jpeg = sum(page.databytecounts)
        assert np.array_equal(array[:], page.asarray())
    print(f"{array.nbytes:,} bytes of pixels, {jpeg:,} of JPEG tiles, {array.nbytes_stored():,} in Zarr")


if __name__ == "__main__":
    main()

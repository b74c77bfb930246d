"""A Zarr format 3 array of photographs in shards: one file per shard, yet a small region reads few chunks."""

import tempfile
from pathlib import Path

import numpy as np
import zarr
from PIL import Image

from numcodecs_bitswap.zarr3 import BitSwapCodec

photograph = np.asarray(Image.open(Path(__file__).with_name("photograph.png")))

with tempfile.TemporaryDirectory() as folder:
    array = zarr.create_array(
        folder,
        data=photograph,
        shards=(512, 384, 3),
        chunks=(128, 128, 3),
        serializer=BitSwapCodec(),
        compressors=None,
    )
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file() and path.name != "zarr.json")
    total = sum(path.stat().st_size for path in files)
    print(f"{photograph.nbytes:,} bytes in {array.nchunks} chunks -> {total:,} bytes in {len(files)} shards")
    print(f"serializer in zarr.json: {array.metadata.to_dict()['codecs'][0]['configuration']['codecs'][0]}")

    opened = zarr.open_array(folder, mode="r+")
    assert np.array_equal(opened[:], photograph)
    assert np.array_equal(opened[100:140, 250:260], photograph[100:140, 250:260])

    # Writing a part decodes and encodes again the chunks that it touches.
    changed = photograph.copy()
    changed[:10, :10] = 255 - changed[:10, :10]
    opened[:10, :10] = changed[:10, :10]
    assert np.array_equal(zarr.open_array(folder, mode="r")[:], changed)
    print("read whole, in part, and after a partial write: identical")

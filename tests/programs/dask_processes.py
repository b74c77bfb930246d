"""dask writes and reads Zarr arrays of both formats with a pool of processes; argument: an empty folder."""

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor

import dask
import dask.array as da
import numpy as np

from numcodecs_bitswap import BitSwap
from strategies import picture

if __name__ == "__main__":
    image = picture((128, 128, 3))
    chunks = da.from_array(image, chunks=(64, 64, 3))
    serializer = {"name": "numcodecs_bitswap.bitswap", "configuration": {"model": "tiny-rgb8-v1"}}
    with (
        ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool,
        dask.config.set(scheduler="processes", pool=pool),
    ):
        for name, options in (
            ("v2", {"zarr_format": 2, "compressors": BitSwap(model="tiny-rgb8-v1")}),
            ("v3", {"serializer": serializer, "compressors": None}),
        ):
            path = f"{sys.argv[1]}/{name}.zarr"
            chunks.to_zarr(path, **options)
            assert np.array_equal(da.from_zarr(path).compute(), image)

"""dask writes a Zarr array while one of its workers is killed: it is all there. Argument: an empty folder."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import dask.array as da
import numpy as np
import zarr
from distributed import Client, LocalCluster

from numcodecs_bitswap.zarr3 import BitSwapCodec
from strategies import picture

SIDE, COUNT = 128, 8

if __name__ == "__main__":
    image = picture((SIDE * COUNT, SIDE * COUNT))
    place = Path(sys.argv[1]) / "array.zarr"
    target = zarr.create_array(
        place, shape=image.shape, dtype="u1", chunks=(SIDE, SIDE), serializer=BitSwapCodec(), compressors=None
    )
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        pids = client.run(os.getpid)
        written = da.from_array(image, chunks=(SIDE, SIDE)).store(target, lock=False, compute=False)
        future = client.compute(written, retries=3)

        def kill() -> None:
            while len(list(place.rglob("c/*/*"))) < 5:
                time.sleep(0.01)
            os.kill(next(iter(pids.values())), signal.SIGKILL)

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        future.result(timeout=240)
        killer.join(1)
        assert not killer.is_alive()
    assert not list(place.rglob("*.partial"))
    assert np.array_equal(zarr.open_array(place, mode="r")[:], image)

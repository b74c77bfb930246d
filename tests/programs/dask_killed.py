"""dask writes a Zarr array while one of its workers is killed, and reads it again: it is all there.

    python tests/programs/dask_killed.py FOLDER [--megabytes 16] [--side 64]

FOLDER is empty. Chunks are uint32 of 16 planes: cells, noise, or one number.
"""

import argparse
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import zarr
from distributed import Client, LocalCluster
from numpy.typing import NDArray

from numcodecs_bitswap.zarr3 import BitSwapCodec

PLANES = 16


def block(side: int, number: int) -> NDArray[np.uint32]:
    """A chunk, by its number."""
    rng = np.random.default_rng(number)
    if number % 16 == 1:
        edges = np.sort(rng.integers(0, side, (2, 6)))
        y, x = (np.searchsorted(each, np.arange(side)) for each in edges)
        cells = np.add.outer(7 * y, x) % 5
        return (cells * rng.integers(1, 1 << 30, (PLANES, 1, 1))).astype("u4")
    if number % 4 == 2:
        return rng.integers(0, 1 << 32, (PLANES, side, side), "u4")
    return np.full((PLANES, side, side), number, "u4")


def made(side: int, block_info: Any) -> NDArray[np.uint32]:
    """A chunk, where dask wants it."""
    return block(side, block_info[None]["chunk-location"][0])


def differs(chunk: NDArray[np.uint32], side: int, block_info: Any) -> NDArray[np.bool_]:
    """Whether a chunk that was read is not the one that was written."""
    return np.array([[[not np.array_equal(chunk, block(side, block_info[0]["chunk-location"][0]))]]])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--megabytes", type=float, default=16)
    parser.add_argument("--side", type=int, default=64)
    given = parser.parse_args()
    side, place = given.side, given.folder / "array.zarr"
    count = max(int(given.megabytes * 1e6 / (4 * PLANES * side * side)), 12)
    shape, chunks = (count * PLANES, side, side), (PLANES, side, side)
    target: Any = zarr.create_array(
        place, shape=shape, dtype="u4", chunks=chunks, serializer=BitSwapCodec(), compressors=None
    )
    since = time.monotonic()
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster) as client:
        pids = client.run(os.getpid)
        source = da.map_blocks(made, side, chunks=((PLANES,) * count, (side,), (side,)), dtype="u4")
        future = client.compute(source.store(target, lock=False, compute=False), retries=3)

        def kill() -> None:
            while sum(len(files) for _, _, files in os.walk(place / "c")) < count // 3:
                time.sleep(0.01)
            os.kill(next(iter(pids.values())), signal.SIGKILL)

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        future.result(timeout=240 + given.megabytes)
        killer.join(1)
        assert not killer.is_alive()
        written = time.monotonic() - since
        wrong = da.from_zarr(place).map_blocks(differs, side, chunks=((1,) * count, (1,), (1,)), dtype=bool)
        assert not wrong.any().compute()
    assert not list(place.rglob("*.partial"))
    read = time.monotonic() - since - written
    print(
        f"{count} chunks of {4 * PLANES * side * side} bytes: {written:.0f} s written, {read:.0f} s read and compared"
    )

"""The codec in other processes: after a fork, and in dask's process pool. Each case is a program of its own."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import forging
from numcodecs_bitswap import BitSwap
from numcodecs_bitswap.zarr3 import BitSwapCodec
from strategies import assert_identical, picture

TESTS = Path(__file__).parent


def run(program: str, *arguments: str) -> None:
    paths = [str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, str(TESTS / "programs" / program), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
@pytest.mark.parametrize("device", ["cpu", "torch"])
def test_after_a_fork(device: str) -> None:
    run("after_fork.py", device)


@pytest.mark.slow
def test_dask_processes(tmp_path: Path) -> None:
    run("dask_processes.py", str(tmp_path))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals there are others")
def test_dask_with_a_worker_that_is_killed(tmp_path: Path) -> None:
    run("dask_killed.py", str(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_eight_processes_on_one_store(tmp_path: Path, zarr_format: Any) -> None:
    """Each writes rows of chunks of its own, and reads them."""
    options: dict[str, Any] = {"compressors": BitSwap()}
    if zarr_format == 3:
        options = {"serializer": BitSwapCodec(), "compressors": None}
    shape, chunks = (512, 64), (32, 64)
    zarr.create_array(tmp_path / "a.zarr", shape=shape, dtype="u1", chunks=chunks, zarr_format=zarr_format, **options)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda k: run("one_store.py", str(tmp_path / "a.zarr"), str(k), "8"), range(8)))
    assert np.array_equal(zarr.open_array(tmp_path / "a.zarr", mode="r")[:], picture(shape))


def test_sixty_four_threads() -> None:
    """Chunks of all kinds at once: the bytes of each are those that it has alone."""
    arrays = [forging.an_array(seed) for seed in range(96)]
    alone = [forging.a_codec(seed, array).encode(array) for seed, array in enumerate(arrays)]
    with ThreadPoolExecutor(64) as pool:
        together = list(pool.map(lambda seed: forging.a_codec(seed, arrays[seed]).encode(arrays[seed]), range(96)))
        decoded = list(pool.map(BitSwap().decode, together))
    assert together == alone
    for back, array in zip(decoded, arrays, strict=True):
        assert_identical(back, array)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="nothing says what memory a process has")
def test_memory_stays_flat(tmp_path: Path) -> None:
    """Chunks of 7,000 shapes and kinds: what is kept for later does not grow with them."""
    log = tmp_path / "log"
    run("scale.py", "4000", str(log))
    assert len(log.read_text().splitlines()) == 4
    run("scale.py", "7000", str(log))  # goes on
    memory = [int(line.split()[-2]) for line in log.read_text().splitlines()]
    assert len(memory) == 7
    assert max(memory[1:4]) - memory[1] < 64 << 20

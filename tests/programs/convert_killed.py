"""`convert` of large hierarchies, killed at random moments and resumed, until the target is there and equal.

    python tests/programs/convert_killed.py FOLDER [--megabytes 5000] [--kills 10]

FOLDER gets two groups of labels, fields and photographs, a Zarr v3 one with shards, converted by threads, and a v2 one,
converted by processes. After every kill no process may be left, and what opens as an array has to be the whole one.
Prints a line for each run: where it was killed, how long it took, and the most memory of all its processes.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import zarr
from numpy.typing import NDArray

from numcodecs_bitswap.convert.copying import same
from numcodecs_bitswap.readers.arrays import UNFINISHED
from pictures import photograph

SIDE = 256
"""Side of the chunks of labels and fields."""
WORKERS = {3: "threads", 2: "processes"}
"""By the format of the group."""


class Run(NamedTuple):
    """A run: how it ended, seconds, most bytes of memory."""

    ended: str
    seconds: float
    memory: int


def labels(rng: np.random.Generator) -> NDArray[Any]:
    """A plane of cells with straight borders, the background of which is 0."""
    edges = np.sort(rng.integers(0, SIDE, (2, 6)))
    y, x = (np.searchsorted(each, np.arange(SIDE)) for each in edges)
    cells: NDArray[Any] = (np.add.outer(7 * y, x) % 5 * rng.integers(1, 1 << 30)).astype("u4")
    return cells


def field(rng: np.random.Generator) -> NDArray[Any]:
    """A smooth field in steps of 0.01, with gaps, as weather services pack them."""
    waves = np.sin(np.arange(SIDE) / rng.uniform(20, 60, (2, 1)))
    values = (np.round(np.add.outer(*waves) * rng.uniform(100, 900)) * 0.01).astype("f4")
    values[: rng.integers(0, SIDE // 4)] = np.nan
    return values


def picture(rng: np.random.Generator) -> NDArray[Any]:
    """A part of a photograph."""
    image = photograph()
    y, x = (int(rng.integers(0, n - SIDE)) for n in image.shape[:2])
    return image[y : y + SIDE, x : x + SIDE]


ARRAYS = {"labels": (labels, 0.75, 0), "fields/t": (field, 0.21, np.nan), "image": (picture, 0.04, 0)}
"""What makes a plane, the part of all bytes, and the fill value."""


def make(place: Path, zarr_format: int, nbytes: int) -> None:
    """Write a group, coded by Zstandard. Every plane is another one, and every tenth is empty."""
    group: Any = zarr.create_group(place, zarr_format=zarr_format, attributes={"of": "a test"})
    for number, (name, (plane, part, fill)) in enumerate(ARRAYS.items()):
        first = plane(np.random.default_rng(0))
        count = max(int(nbytes * part / first.nbytes), 12)
        shards: Any = {"shards": (4, *first.shape)} if zarr_format == 3 and name == "labels" else {}
        array = group.create_array(
            name,
            shape=(count, *first.shape),
            chunks=(2, *first.shape),
            dtype=first.dtype,
            fill_value=fill,
            attributes={"of": name},
            **shards,
        )
        rng = np.random.default_rng(number)
        for n in range(0, count, 4):
            if n // 4 % 10 != 5:
                array[n : n + 4] = np.stack([plane(rng) for _ in range(min(4, count - n))])


def members(place: Path) -> dict[str, Any]:
    """The arrays of a group."""
    return {name: each for name, each in zarr.open_group(place, mode="r").members(None) if hasattr(each, "chunks")}


def compare(source: Any, target: Any) -> None:
    """Two arrays hold the same bits."""
    assert (source.shape, source.dtype, source.attrs.asdict()) == (target.shape, target.dtype, target.attrs.asdict())
    for n in range(0, source.shape[0], 16):
        assert same(np.asarray(source[n : n + 16]), np.asarray(target[n : n + 16])), (target, n)


def check_what_opens(source: Path, target: Path) -> bool:
    """What opens in a target is whole: arrays, and the group, which opens last; whether that does."""
    for name, array in members(source).items():
        try:
            opened = zarr.open_array(target / name, mode="r")
        except (FileNotFoundError, ValueError):
            continue
        compare(array, opened)
    try:
        zarr.open_group(target, mode="r")
    except (FileNotFoundError, ValueError):
        return False
    compare_groups(source, target)
    return True


def compare_groups(source: Path, target: Path) -> None:
    """Two groups have the same arrays."""
    ours, theirs = members(source), members(target)
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        compare(array, theirs[name])


def files(place: Path) -> int:
    """Number of files of chunks."""
    return sum(len(names) for _, _, names in os.walk(place))


def memory_of(session: int) -> int:
    """Resident bytes of all processes of a session; 0 where the system does not tell."""
    total = 0
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):  # it has just ended
            if int((place / "stat").read_text().rpartition(")")[2].split()[3]) == session:
                total += int((place / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return total


def left(group: int) -> bool:
    """Whether a process of a group still runs after a while."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.1)
    os.killpg(group, signal.SIGKILL)
    return True


def run(source: Path, target: Path, workers: str, kill_at: int, wait: float) -> Run:
    """Convert, and kill the main process `wait` seconds after there are `kill_at` files (-1: never)."""
    program = [sys.executable, "-m", "numcodecs_bitswap", "convert", str(source), str(target), "--dask", workers]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    start, memory, due = time.monotonic(), 0, float("inf")
    log = target.with_suffix(".log")  # not a pipe, which processes that are left would keep open
    with (
        log.open("w") as said,
        subprocess.Popen(program, env=environment, stdout=said, stderr=said, start_new_session=True) as process,
    ):
        while process.poll() is None and time.monotonic() < due:
            memory = max(memory, memory_of(process.pid))
            if due == float("inf") and kill_at >= 0 and files(target) >= kill_at:
                due = time.monotonic() + wait
            time.sleep(min(0.1, max(due - time.monotonic(), 0)))
        process.kill()
    assert process.returncode in (0, -signal.SIGKILL), log.read_text()
    assert not left(process.pid), "processes are left"
    ended = "whole" if process.returncode == 0 else "killed"
    return Run(ended, time.monotonic() - start, memory)


def main() -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--megabytes", type=float, default=5000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    killed = 0
    print("| format | workers | MB | files | ended | s | memory, MB |\n|---|---|--:|--:|---|--:|--:|")
    for zarr_format, workers in WORKERS.items():
        source, target = given.folder / f"v{zarr_format}.zarr", given.folder / f"v{zarr_format}-converted.zarr"
        make(source, zarr_format, int(given.megabytes * 5e5))
        nbytes = sum(array.nbytes for array in members(source).values())
        number = files(source)
        # One in each part of the way.
        parts = np.linspace(0, 0.9 * number, given.kills // 2, endpoint=False)
        places = (parts + rng.uniform(0, 0.9 * number / max(len(parts), 1), len(parts))).astype(int).tolist()
        for kill_at in [*places, -1]:
            each = run(source, target, workers, kill_at, float(rng.uniform(0, 0.5)))
            row = zarr_format, workers, f"{nbytes / 1e6:.0f}", f"{files(target)} of {number}", each.ended
            print("|", " | ".join(map(str, (*row, f"{each.seconds:.1f}", each.memory // 1_000_000))), "|", flush=True)
            if each.ended != "killed":
                break
            killed += 1
            if check_what_opens(source, target) and not (target / UNFINISHED).exists():
                break  # killed after all was done
        compare_groups(source, target)
        assert zarr.open_group(target, mode="r").attrs.asdict() == {"of": "a test"}
        assert not (target / UNFINISHED).exists()
        assert not list(target.rglob("*.partial"))
        shutil.rmtree(target)
    print(f"killed {killed} times")
    return int(killed == 0)


if __name__ == "__main__":
    sys.exit(main())

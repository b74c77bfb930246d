"""`make bench-zarr DATA=folder`: what a user waits for: Zarr arrays written and read, by codec.

    python -m benchmarks.through_zarr FOLDER [--repeats N] [--cases NAME ...]

Each case is one array in memory. It is written whole and read whole, with as many chunks at a time as Zarr codes by
default; a repetition does so with every codec in turn, and times are minima. What is read is compared. Prints a
Markdown table; bench-out/ gets through_zarr.json, what was measured, and through_zarr.png, rate against speed.

A line of bench-out/history.jsonl for each run keeps sizes and speeds of ours by version and commit; what differs from
the last run on the same machine is printed.
"""

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zarr
from matplotlib.figure import Figure
from numpy.typing import NDArray
from zarr.abc.codec import ArrayBytesCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer
from zarr.storage import MemoryStore

from benchmarks import stacks
from benchmarks.images import chunks_of
from numcodecs_bitswap import __version__
from numcodecs_bitswap.measure.classical import classical
from numcodecs_bitswap.measure.harness import Peer
from numcodecs_bitswap.train.data import list_images, split_validation
from numcodecs_bitswap.zarr3 import BitSwapCodec

OUT = Path("bench-out")
OURS = "Bit-Swap"
PEERS = [
    *(f"JPEG XL effort {effort}" for effort in (1, 3, 7)),
    "JPEG-LS",
    "pcodec 12",
    "Blosc bitshuffle Zstd 9",
    "Zstd",
]

Array = NDArray[Any]


class Case(NamedTuple):
    """An array, read from a folder of data, or None if the folder does not have it; its chunks, cut to sides that are
    shorter.
    """

    read: Callable[[Path], Array | None]
    chunk: tuple[int, ...]


def photographs(side: int, limit: int) -> Callable[[Path], Array | None]:
    """A column of squares of photographs that models are not trained on."""

    def read(folder: Path) -> Array | None:
        place = folder / "natural" / "photos_d4plus"
        files = split_validation(list_images(place))[1] if place.is_dir() else []
        squares = chunks_of(files, side, 3, limit)
        return np.concatenate(squares) if squares else None

    return read


def stack(name: str, shape: tuple[int, ...], among: dict[str, stacks.Stack] = stacks.STACKS) -> Case:
    """Chunks of an array of `benchmarks.stacks`, as many as fit."""

    def read(folder: Path) -> Array | None:
        array = stacks.read(folder, among[name])
        if array is None:
            return None
        sides = [min(side, n) for side, n in zip(shape, array.shape, strict=True)]
        whole = [min(n // side, 4) * side for n, side in zip(array.shape, sides, strict=True)]
        return np.ascontiguousarray(array[tuple(map(slice, whole))])

    return Case(read, shape)


CASES = {
    "photographs": Case(photographs(256, 24), (256, 256, 3)),
    "photographs, small chunks": Case(photographs(64, 200), (64, 64, 3)),
    "CT": stack("CT, body (z)", (8, 256, 256)),
    "brain": stack("two-photon, brain (z)", (1, 8, 256, 256)),
    "FIB-SEM": stack("FIB-SEM, fly (z)", (8, 256, 256)),
    "Landsat 7": stack("Landsat 7, reflectance (band)", (8, 256, 256), stacks.NUMBERS),
    "cylinder flow": stack("cylinder flow (t)", (1, 8, 256, 128), stacks.NUMBERS),
    "NEMO": stack("NEMO, currents (u v, depth)", (1, 8, 201, 151), stacks.NUMBERS),
}


@dataclass(frozen=True)
class PeerCodec(ArrayBytesCodec):
    """Any codec of the harness as a serializer of Zarr; chunks are coded in threads."""

    peer: Peer
    is_fixed_size = False

    def to_dict(self) -> dict[str, Any]:
        """For the metadata of an array that nothing reads again."""
        return {"name": "peer", "configuration": {}}

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Not known before encoding."""
        raise NotImplementedError

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        encoded = await asyncio.to_thread(self.peer.encode, np.ascontiguousarray(chunk_data.as_numpy_array()))
        return chunk_spec.prototype.buffer.from_bytes(bytes(encoded))

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        decoded = await asyncio.to_thread(self.peer.decode, chunk_data.to_bytes())
        dtype = chunk_spec.dtype.to_native_dtype()
        array = decoded if isinstance(decoded, np.ndarray) else np.frombuffer(decoded, dtype)
        return chunk_spec.prototype.nd_buffer.from_numpy_array(array.reshape(chunk_spec.shape))


@dataclass(frozen=True)
class Timed:
    """Results of one codec on one array: total bytes of all chunks, and shortest seconds."""

    name: str
    total: int
    encode_s: float
    decode_s: float


def once(name: str, codec: ArrayBytesCodec, array: Array, chunk: tuple[int, ...]) -> Timed:
    """Write and read an array once.

    Raises
    ------
    AssertionError
        What is read is not what was written.
    """
    store = MemoryStore()
    target = zarr.create_array(
        store, shape=array.shape, chunks=chunk, dtype=array.dtype, serializer=codec, compressors=None
    )
    began = time.perf_counter()
    target[:] = array
    written = time.perf_counter()
    decoded = target[:]
    read = time.perf_counter()
    assert np.array_equal(decoded, array, equal_nan=array.dtype.kind == "f"), f"{name} returns another array"
    return Timed(name, target.nbytes_stored(), written - began, read - written)


def measure(array: Array, chunk: tuple[int, ...], repeats: int) -> list[Timed]:
    """All codecs, ours first, in turn; the first round, in which code is compiled, does not count."""
    first = array[tuple(slice(side) for side in chunk)]
    codecs: dict[str, ArrayBytesCodec] = {OURS: BitSwapCodec()}
    codecs |= {peer.name: PeerCodec(peer) for peer in classical(first, PEERS)}
    for name, codec in codecs.items():
        once(name, codec, first, chunk)
    best: dict[str, Timed] = {}
    for _ in range(repeats):
        for name, codec in codecs.items():
            timed = once(name, codec, array, chunk)
            had = best.get(name, timed)
            seconds = min(had.encode_s, timed.encode_s), min(had.decode_s, timed.decode_s)
            best[name] = replace(timed, encode_s=seconds[0], decode_s=seconds[1])
    return list(best.values())


def table(title: str, array: Array, chunk: tuple[int, ...], rows: Sequence[Timed]) -> str:
    """A line for each codec: size, relative to ours too, and speeds."""
    lines = []
    for row in rows:
        cells = [
            f"{title}: {' x '.join(map(str, chunk))}, {array.dtype}",
            row.name,
            f"{row.total * 8 / array.size:.3f}",
            f"{row.total / rows[0].total:.3f}",
            f"{array.nbytes / row.encode_s / 1e6:.1f}",
            f"{array.nbytes / row.decode_s / 1e6:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(result: dict[str, Any], path: Path) -> None:
    """A picture for each array: bits/sample against speed of writing (filled) and reading (hollow), ours as stars."""
    columns = min(len(result), 4)
    rows = -(-len(result) // columns)
    figure = Figure(figsize=(4.4 * columns, 3.6 * rows), layout="constrained")
    for axes, (title, each) in zip(figure.subplots(rows, columns, squeeze=False).flat, result.items(), strict=False):
        for row in each["codecs"]:
            bits = 8 * row["total"] / each["samples"]
            color = f"C{[OURS, *PEERS].index(row['name'])}"  # the same for a codec in all
            style = {"marker": "*" if row["name"] == OURS else "o", "color": color, "linestyle": ""}
            axes.plot(each["nbytes"] / row["encode_s"] / 1e6, bits, label=row["name"], **style)
            axes.plot(each["nbytes"] / row["decode_s"] / 1e6, bits, markerfacecolor="none", **style)
        axes.set(title=title, xscale="log", xlabel="MB/s, written (filled) and read", ylabel="bits/sample")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=6)
    for axes in figure.axes[len(result) :]:
        axes.remove()
    figure.savefig(path, dpi=100)


def machine() -> str:
    """What speeds depend on."""
    return f"{platform.node()}, {platform.machine()}, {os.cpu_count()} cores"


def commit() -> str:
    """The checked-out commit; empty outside of a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:  # no git
        return ""


def remember(result: dict[str, Any], path: Path) -> str:
    """Add a line for this run, and compare ours with the last run on this machine, array by array."""
    ours = {
        title: {
            "bytes": each["codecs"][0]["total"],
            "encode_mb_s": each["nbytes"] / each["codecs"][0]["encode_s"] / 1e6,
            "decode_mb_s": each["nbytes"] / each["codecs"][0]["decode_s"] / 1e6,
        }
        for title, each in result.items()
    }
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    last = next((line for line in reversed(lines) if line["machine"] == machine()), None)
    when = datetime.now(UTC).isoformat(timespec="seconds")
    line = {"when": when, "version": __version__, "commit": commit(), "machine": machine(), "arrays": ours}
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")
    if last is None:
        return "the first run on this machine"
    said = [f"against {last['when']}, {last['version']}, {last['commit']}:"]
    for title, now in ours.items():
        if before := last["arrays"].get(title):
            said.append(f"  {title}: " + ", ".join(f"{what} {now[what] / before[what] - 1:+.1%}" for what in now))
    return "\n".join(said)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write bench-out/; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.through_zarr", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="with natural/, nd/*.npz and science/*.npz")
    parser.add_argument("--repeats", type=int, default=3, help="rounds over all codecs; the shortest times count")
    parser.add_argument("--cases", nargs="+", default=[""], metavar="NAME", help="only cases with one of these in it")
    options = parser.parse_args(arguments)
    result: dict[str, Any] = {}
    for title, case in CASES.items():
        if not any(name in title for name in options.cases):
            continue
        array = case.read(options.folder)
        if array is None:
            print(f"{title}: {options.folder} does not have it", file=sys.stderr)
            continue
        if not result:
            print(
                "| array | codec | bits/sample | bytes / ours | encode MB/s | decode MB/s |\n|---|---|--:|--:|--:|--:|"
            )
        chunk = tuple(map(min, case.chunk, array.shape))
        rows = measure(array, chunk, options.repeats)
        print(table(title, array, chunk, rows), flush=True)
        result[title] = {
            "dtype": str(array.dtype),
            "shape": array.shape,
            "chunk": chunk,
            "nbytes": array.nbytes,
            "samples": array.size,
            "codecs": [asdict(row) for row in rows],
        }
    if not result:
        print(f"error: {options.folder} has none of these arrays", file=sys.stderr)
        return 2
    OUT.mkdir(exist_ok=True)
    written = OUT / "through_zarr.json"
    written.write_text(json.dumps(result, indent=1))
    draw(result, written.with_suffix(".png"))
    print(f"\n{remember(result, OUT / 'history.jsonl')}\n{written}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

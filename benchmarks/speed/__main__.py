"""`make bench-speed`: how fast every model codes its natural chunks, on every device, and where the time goes.

    python -m benchmarks.speed [--device cuda] [--data FOLDER] [--models NAME ...] [--quick]

MB/s are 10^6 bytes of array a second, through Zarr and through the codec alone; other codecs take turns with ours, so
that what else the machine does hits all alike. Sizes are total bytes; those through Zarr are with the array's metadata.
On CUDA frames are compared with the CPU's first. Prints Markdown; bench-out/ gets it as JSON, and sizes against speeds
as a picture.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.bench import OUT, draw
from benchmarks.images import STAGES, Chunk
from benchmarks.speed import rans, rans_peer
from benchmarks.speed.cases import Pictures, Subject, subjects
from benchmarks.speed.parts import rooflines, splits
from benchmarks.speed.paths import differences, gathered
from benchmarks.speed.rates import Row, table, timed
from numcodecs_bitswap import set_device
from numcodecs_bitswap.errors import BitswapError
from numcodecs_bitswap.measure.harness import Measured
from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.options import AUTO_FLOW
from numcodecs_bitswap.runtime import scheduler

SIZES = (64, 256, 1024)
CONCURRENT = (1, 8, 64)
FEW = (STAGES[3], STAGES[1], "mnist-bitswap2-v2", AUTO_FLOW[3])
"""Models, a kind each, that are timed on CUDA alone: a few minutes."""
QUICK = 16
"""How much less a quick run takes: bytes of chunks, symbols of messages."""


def exactness(every: Sequence[Subject], pictures: Pictures) -> list[str]:
    """Differences between CUDA and the CPU, printed: there must be none."""
    print("\n## CUDA against the CPU, frames both ways\n", flush=True)
    found = []
    for subject in tqdm(every, desc="exactness", leave=False):
        chunks = [pictures.chunks(subject.net, size, 1)[0] for size in (64, 256)]
        odd = [chunk[:-3] for chunk in chunks] if subject.net.stages else []
        found += differences(subject.name, subject.codec, [*chunks, *odd], "cuda")
    print("\n".join(found) or f"{len(every)} codecs and models: every frame is the same, byte for byte", flush=True)
    print("\n".join(f"Not by kernels: {each}" for each in replaced()) or "All by kernels of their own", flush=True)
    return found


def replaced() -> list[str]:
    """Kinds of Triton kernels that torch functions replace, since they did not compile or are not exact."""
    if not find_spec("triton"):
        return ["anything, since Triton is not installed"]
    from numcodecs_bitswap.nets import triton_ops
    from numcodecs_bitswap.rans import triton_backend

    networks = [kind for kind, agrees in triton_ops._agrees.items() if not agrees]
    return [str(kind) for kind in [*networks, *(kind for kind, n in triton_backend._agreed.items() if n < 0)]]


def gathering(subject: Subject, chunks: Sequence[Chunk]) -> dict[str, Any]:
    """Chunks that a model pass has in each way of calling, printed."""
    print(f"\n## {len(chunks)} chunks of {chunks[0].shape} of an array, {subject.name}: chunks that a model pass has\n")
    print("| called by | encode | decode |\n|---|--:|--:|")
    found = gathered(subject, chunks)
    for name, each in found.items():
        print(f"| {name} | {each['encode']:.1f} | {each['decode']:.1f} |", flush=True)
    return found


@contextmanager
def only_threads(count: int) -> Iterator[None]:
    """Let torch have so many threads meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def message(device: str, smaller: int) -> list[dict[str, Any]]:
    """The message alone: push and pop, torch_ans beside it, printed in 10^9 symbols a second."""
    print("\n## The message alone, Gsym/s (on a CPU one thread)\n")
    print("| backend | K | messages | push | pop | exact |\n|---|--:|--:|--:|--:|---|")
    with only_threads(1):
        own = [asdict(each) for each in rans.rates(device, smaller)]
        found = [*own, *rans_peer.rates(device, smaller)]
    for each in found:
        name = f"{each['backend']}, {each['lanes']} lanes" if "lanes" in each else each["backend"]
        speeds = f"{each['push'] / 1e3:.4f} | {each['pop'] / 1e3:.4f} | {each.get('exact', '')}"
        print(f"| {name} | {each.get('components', '')} | {each['messages']} | {speeds} |", flush=True)
    if len(own) == len(found):
        print("\ntorch_ans is not installed, so it is not compared: pip install torch_ans")
    return found


def picture(tables: dict[str, list[Row]], path: Path) -> None:
    """Bits per sample against MB/s: every codec on the same chunks, ours through the codec alone."""
    drawn, ours = {}, set()
    for title, rows in tables.items():
        count = next(row.chunks for row in rows if row.through == "threads")
        alike = [row for row in rows if row.chunks == count and row.through != "Zarr"]
        ours |= {row.codec for row in alike if row.through == "codec"}
        drawn[f"{count} chunks of {title}"] = [
            Measured(row.codec, row.total, row.bits_per_sample, row.encode_mb_s, row.decode_mb_s) for row in alike
        ]
    draw(drawn, path, ours)


def on_device(
    device: str,
    every: Sequence[Subject],
    pictures: Pictures,
    rounds: int,
    quick: bool,
    save: Callable[[dict[str, Any]], None],
) -> dict[str, list[Row]]:
    """Everything that is measured on a device, given to `save` after each part; returns the rates by the title of their
    chunks.
    """
    set_device(device)
    result: dict[str, Any] = {}
    if device == "cuda":
        result["differences"] = exactness(every, pictures)
        save(result)
        set_device(device)
    sizes, concurrent, smaller = (SIZES[:-1], CONCURRENT[:-1], QUICK) if quick else (SIZES, CONCURRENT, 1)
    tables = {}
    for title, rows in timed(every, pictures, device, sizes, concurrent, rounds, smaller):
        tables[title] = rows
        print(f"\n## {device}, chunks of {title}\n\n{table(rows)}", flush=True)
        result["rates"] = {title: [asdict(row) for row in rows] for title, rows in tables.items()}
        save(result)
    result["message"] = message(device, smaller)
    save(result)
    result["split"] = splits(every, pictures, 3 if quick else 7)
    save(result)
    result["roofline"] = rooflines(every, pictures, device, result["split"], tables)
    save(result)
    default = next((each for each in every if each.name.endswith(STAGES[3])), every[0])
    result["gathering"] = gathering(default, pictures.chunks(default.net, 64, 32))
    save(result)
    return {f"{title}, {device}": rows for title, rows in tables.items()}


def run(options: argparse.Namespace) -> int:
    """Every device in turn, the CPU first, since a process that has used CUDA makes one pass at a time.

    Returns 1 if CUDA is not exact, else 0.
    """
    devices = [options.device] if options.device else ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    if options.device:
        set_device(options.device)
        scheduler.device()  # says so if it is absent
    set_device("cpu")
    pictures = Pictures(options.data)
    every = subjects(options.models or (FEW if devices == ["cuda"] else catalog.names()), pictures)
    machine = (
        f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, {torch.get_num_threads()} threads"
    )
    if "cuda" in devices:
        machine += f", {torch.cuda.get_device_name()}"
    print(
        f"# Speed\n\n{machine}; medians of {options.rounds} rounds, fewer of what is slow. "
        "Other work on the machine slows all of it."
    )
    result: dict[str, Any] = {"machine": machine, "devices": {}}
    tables: dict[str, list[Row]] = {}
    OUT.mkdir(exist_ok=True)

    def save(device: str, part: dict[str, Any]) -> None:
        result["devices"][device] = part
        (OUT / "speed.json").write_text(json.dumps(result, indent=1))

    for device in devices:
        tables |= on_device(device, every, pictures, options.rounds, options.quick, partial(save, device))
    picture(tables, OUT / "speed.png")
    print(f"\n{OUT / 'speed.json'}, {OUT / 'speed.png'}")
    return 1 if any(each.get("differences") for each in result["devices"].values()) else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write bench-out/; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], help="default: all that there are")
    parser.add_argument("--data", type=Path, help="folder of images; default: the photograph of the examples")
    parser.add_argument("--models", nargs="+", help="names; default: all, with --device cuda one of each kind")
    parser.add_argument(
        "--rounds", type=int, help="speeds are medians of so many rounds, fewer of what is slow (3; quick: 1)"
    )
    parser.add_argument("--quick", action="store_true", help="under a minute: no large chunks, small blocks")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (1 if options.quick else 3)
    try:
        return run(options)
    except BitswapError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

"""`make bench`: sizes and speeds of codecs on chunks of your images; memory and start-up of this one.

    python -m benchmarks.bench FOLDER ... [--validation TRAINING_FOLDER ...] [--slow]

Chunks of 64 x 64 and of 256 x 256, in RGB and in luminance, each coded on its own; total bytes, headers and lane states
included. Prints Markdown tables; bench-out/ gets them as JSON and as a picture.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Container, Sequence
from dataclasses import asdict
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks import anatomy, process
from benchmarks.images import STAGES, chunks_of, image_sets
from numcodecs_bitswap import BitSwap
from numcodecs_bitswap.errors import BitswapError
from numcodecs_bitswap.measure.classical import PHOTOGRAPHS, SLOW, classical
from numcodecs_bitswap.measure.harness import THREADS, Measured, bitswap, measure, table

OUT = Path("bench-out")
REFERENCE = "JPEG XL effort 7"


def rates(sets: dict[str, list[Path]], limit: int, repeats: int, slow: bool) -> dict[str, list[Measured]]:
    """A table per set of images, number of channels and size of chunk."""
    tables = {}
    for channels in STAGES:
        for name, files in sets.items():
            for size in (64, 256):
                chunks = chunks_of(files, size, channels, limit)
                title = f"{name}: {len(chunks)} chunks of {size} x {size}" + (" x 3" if channels == 3 else ", gray")
                print(f"\n## {title}\n", flush=True)
                if not chunks:
                    print("(no image is that large)")
                    continue
                peers = [bitswap(), *classical(chunks[0], [*PHOTOGRAPHS, *(SLOW if slow else ())])]
                tables[title] = [measure(peer, chunks, repeats) for peer in peers]
                print(table(tables[title], REFERENCE), flush=True)
    return tables


def bounds(sets: dict[str, list[Path]], limit: int) -> dict[str, dict[str, float]]:
    """Total bytes against -log2 p of the integer model, printed; a row per set, channels and size."""
    print("\n## Total bits against the integer model's -log2 p\n")
    print("| chunks | frames, bytes | of it headers | bound, bytes | excess |\n|---|---|---|---|---|")
    rows = {}
    models = [(channels, model) for channels, stages in STAGES.items() for model in ("photo-v1", stages)]
    for channels, model in models:
        for name, files in sets.items():
            for size in (64, 256):
                if row := anatomy.overhead(model, chunks_of(files, size, channels, limit)):
                    title = f"{name}, {model}, {size} x {size}" + (" x 3" if channels == 3 else "")
                    rows[title] = row
                    numbers = f"{row['frames']:.0f} | {row['headers']:.0f} | {row['bound']:.0f} | {row['excess']:+.2%}"
                    print(f"| {row['chunks']:.0f} of {title} | {numbers} |", flush=True)
    return rows


def shares(sets: dict[str, list[Path]]) -> dict[str, dict[str, float]]:
    """Where the time of one 256 x 256 x 3 chunk goes, printed."""
    chunks = [chunk for files in sets.values() for chunk in chunks_of(files, 256, 3, 1)]
    if not chunks:
        return {}
    print("\n## Time of one 256 x 256 x 3 chunk, alone\n")
    split = anatomy.split(BitSwap(), chunks[0])
    for way, parts in split.items():
        *named, (_, speed) = parts.items()
        print(f"- {way}: {', '.join(f'{name} {share:.0%}' for name, share in named)}; {speed:.1f} MB/s")
    return split


def costs(side: int) -> dict[str, dict[str, float]]:
    """Peak memory in bytes, of a chunk of side x side x 3, and start-up times in seconds, printed."""
    print("\n## Peak memory of a process, MB (10^6 bytes)\n")
    memory = process.memory(side)
    for name, peak in memory.items():
        what = "import numpy" if name == "numpy" else f"{name} one chunk of {side} x {side} x 3"
        print(f"- {what}: {peak / 1e6:.0f}")
    print("\n## Start-up of a process, milliseconds\n")
    startup = process.startup()
    for name, seconds in startup.items():
        print(f"- {name}: {1000 * seconds:.1f}")
    return {"peak_memory_bytes": dict(memory), "startup_seconds": startup}


def draw(tables: dict[str, list[Measured]], path: Path, ours: Container[str] = ("Bit-Swap",)) -> None:
    """Size against speed, a row per table: left encode, right decode; lower and further right is better.

    `ours` are drawn as stars.
    """
    figure = Figure(figsize=(12, 3.6 * len(tables)), layout="constrained")
    for row, (title, measured) in zip(figure.subplots(len(tables), 2, squeeze=False), tables.items(), strict=True):
        for each in measured:
            marker, size = ("*", 14) if each.name in ours else ("o", 7)
            for axes, speed in zip(row, (each.encode_mb_s, each.decode_mb_s), strict=True):
                axes.plot(speed, each.bits_per_sample, marker, markersize=size, label=each.name)
        for axes, way in zip(row, ("encode", "decode"), strict=True):
            axes.set(xscale="log", xlabel=f"{way} MB/s", ylabel="bits/sample", title=title)
            axes.grid(alpha=0.3)
        row[1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=100)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write bench-out/; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench", description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="*", help="folders of images")
    parser.add_argument(
        "--validation", type=Path, nargs="*", default=[], help="training folders: their validation tenth"
    )
    parser.add_argument("--limit", type=int, default=1024, help="at most so many chunks a table: every k-th")
    parser.add_argument("--bound-chunks", type=int, default=24, help="chunks a row of the table of bounds")
    parser.add_argument("--repeats", type=int, default=3, help="speeds are medians of so many runs over a whole set")
    parser.add_argument(
        "--large", type=int, default=process.LARGE, help="side of the chunk whose peak memory is measured"
    )
    parser.add_argument("--slow", action="store_true", help="also JPEG XL effort 9 and WebP quality 100")
    options = parser.parse_args(arguments)
    try:
        sets = image_sets(options.folders, options.validation)
    except BitswapError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not sets:
        parser.error("name at least one folder of images")
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(
        f"# Bit-Swap and other lossless codecs\n\n{machine}; {THREADS} threads encode or decode; every chunk compared."
    )
    tables = rates(sets, options.limit, options.repeats, options.slow)
    result = {
        "machine": machine,
        "tables": {title: [asdict(m) for m in rows] for title, rows in tables.items()},
        "bounds": bounds(sets, options.bound_chunks),
        "shares": shares(sets),
        **costs(options.large),
    }
    OUT.mkdir(exist_ok=True)
    (OUT / "bench.json").write_text(json.dumps(result, indent=1))
    draw(tables, OUT / "bench.png")
    print(f"\n{OUT / 'bench.json'}, {OUT / 'bench.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

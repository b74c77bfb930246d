"""`make bench-rate DATA=folder`: bits/dim of models and other codecs against the operations that a model takes.

    python -m benchmarks.rate FOLDER ... [--gray] [--models NAME ...] [--limit N]

Chunks of 64, 128 and 256 squared, each coded on its own, total bytes. Prints Markdown; bench-out/rate.json and rate.png
get the curve.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.images import Chunk, chunks_of
from benchmarks.roofline import counted
from numcodecs_bitswap import BitSwap
from numcodecs_bitswap.classical import classical
from numcodecs_bitswap.errors import BitswapError
from numcodecs_bitswap.peers import Measured, bitswap, measure
from numcodecs_bitswap.train.data import list_images

OUT = Path("bench-out")
SIZES = 64, 128, 256
MODELS = {
    3: ["tiny-rgb8-v1", "photo-rgb8-v2"],
    1: ["tiny-gray8-v1", "photo-gray8-v2"],
}
PEERS = ["PNG", "WebP method 6", "JPEG XL effort 7", "JPEG XL effort 9"]
REFERENCE = "JPEG XL effort 7"


def operations(model: str, chunk: Chunk) -> float:
    """Multiplications, each with its addition, of the networks for one sample of a chunk."""
    with counted() as work:
        BitSwap(model=model).encode(chunk)
    return work.operations / 2 / chunk.size


def rates(chunks: Sequence[Chunk], models: Sequence[str]) -> list[Measured]:
    """Models, then the other codecs, on the same chunks."""
    return [measure(each, chunks) for each in [*(bitswap(m, m) for m in models), *classical(chunks[0], PEERS)]]


def table(cost: dict[str, float], found: dict[int, list[Measured]]) -> str:
    """Markdown: bytes relative to the reference for each size of chunk, and speeds at the largest."""
    sizes = " | ".join(f"{size} x {size}" for size in found)
    lines = [f"| | MAC/sample | {sizes} | bits/dim | encode, decode MB/s |", "|---|" + "--:|" * (len(found) + 3)]
    base = {size: next(row.total for row in rows if row.name == REFERENCE) for size, rows in found.items()}
    for rows in zip(*found.values(), strict=True):
        last = rows[-1]
        relative = " | ".join(f"{row.total / base[size]:.3f}" for size, row in zip(found, rows, strict=True))
        speeds = f"{last.encode_mb_s:.1f}, {last.decode_mb_s:.1f}"
        macs = f"{cost[last.name]:,.0f}" if last.name in cost else ""
        lines.append(f"| {last.name} | {macs} | {relative} | {last.bits_per_dim:.3f} | {speeds} |")
    return "\n".join(lines)


def draw(cost: dict[str, float], found: dict[int, list[Measured]], path: Path) -> None:
    """A picture for each size of chunk: models by their operations, other codecs as lines across."""
    figure = Figure(figsize=(4.6 * len(found), 4.2), layout="constrained")
    for axes, (size, rows) in zip(figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True):
        models = [row for row in rows if row.name in cost]
        axes.plot([cost[row.name] for row in models], [row.bits_per_dim for row in models], "*-", markersize=13)
        for row in models:
            axes.annotate(
                row.name, (cost[row.name], row.bits_per_dim), fontsize=7, xytext=(4, 5), textcoords="offset points"
            )
        for row in rows[len(models) :]:
            axes.axhline(row.bits_per_dim, color="gray", linestyle="--", linewidth=0.8)
            place = min(cost.values()), row.bits_per_dim
            axes.annotate(row.name, place, fontsize=7, color="gray", xytext=(0, 2), textcoords="offset points")
        axes.set(xscale="log", xlabel="multiplications per sample", ylabel="bits/dim", title=f"{size} x {size}")
        axes.set_xticks([1e3, 2e3, 5e3, 1e4, 2e4, 5e4], ["1k", "2k", "5k", "10k", "20k", "50k"], minor=False)
        axes.set_xticks([], minor=True)
        axes.set_xlim(min(cost.values()) * 0.8, max(cost.values()) * 2)
        best = [row.bits_per_dim for row in rows if row.name != "PNG"]
        axes.set_ylim(min(best) * 0.97, max(best) * 1.03)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=100)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write bench-out/; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rate", description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+", help="folders of images")
    parser.add_argument("--gray", action="store_true", help="luminance, and models of one channel")
    parser.add_argument("--models", nargs="+", help="names of models, with the fewest operations first")
    parser.add_argument("--limit", type=int, default=64, help="at most so many chunks of a size: every k-th")
    options = parser.parse_args(arguments)
    channels = 1 if options.gray else 3
    models = options.models or MODELS[channels]
    try:
        files = [file for folder in options.folders for file in list_images(folder)]
        found = {}
        for size in SIZES:
            if chunks := chunks_of(files, size, channels, options.limit):
                found[size] = rates(chunks, models)
        if not found:
            raise BitswapError(f"no image is at least {SIZES[0]} pixels on both sides")
        whole = chunks_of(files, max(found), channels, 1)[0]
        cost = {model: operations(model, np.ascontiguousarray(whole)) for model in models}
    except BitswapError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"Bytes relative to {REFERENCE}; bits/dim and speeds on chunks of {max(found)} x {max(found)}.\n")
    print(table(cost, found))
    OUT.mkdir(exist_ok=True)
    rows = {size: [asdict(row) for row in measured] for size, measured in found.items()}
    (OUT / "rate.json").write_text(json.dumps({"operations": cost, "rates": rows}, indent=1))
    draw(cost, found, OUT / "rate.png")
    print(f"\n{OUT / 'rate.json'}, {OUT / 'rate.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`make bench-rate DATA=folder`: bits/sample of models and other codecs against the operations that a model takes.

    python -m benchmarks.rate FOLDER ... [--gray | --pixels] [--models NAME ...] [--limit N]

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
from benchmarks.speed.roofline import counted
from numcodecs_bitswap import BitSwap
from numcodecs_bitswap.chunk import plane_route
from numcodecs_bitswap.chunk.coding import Decoding
from numcodecs_bitswap.errors import BitswapError
from numcodecs_bitswap.jpeg.colour import to_ycbcr
from numcodecs_bitswap.measure.classical import classical
from numcodecs_bitswap.measure.harness import Measured, bitswap, measure
from numcodecs_bitswap.planes.model import PlaneModel, input_size
from numcodecs_bitswap.train.data import list_images

OUT = Path("bench-out")
SIZES = 64, 128, 256
MODELS = {
    3: ["photo-rgb8-v2", "photo-v1", "auto"],
    1: ["photo-gray8-v2", "photo-v1"],
}
PEERS = ["PNG", "WebP method 6", "JPEG XL effort 7", "JPEG XL effort 9"]
REFERENCE = "JPEG XL effort 7"


def no_jpeg(chunk: Chunk) -> Chunk:
    """RGB with one more level of blue in the first pixel that this makes a colour of no decoded JPEG."""
    altered = chunk.copy()
    for pixel in altered.reshape(-1, 3):
        if pixel[2] < 255:
            pixel[2] += 1
            if to_ycbcr(pixel[None], 1) is None:
                return altered
            pixel[2] -= 1
    return chunk


def operations(model: str, chunk: Chunk) -> float:
    """Multiplications, each with its addition, of the networks for one sample of a chunk; 0 if no model codes it."""
    with counted() as work:
        frame = BitSwap(model=model).encode(chunk)
    planes = Decoding(memoryview(frame)).route
    if not isinstance(planes, plane_route.Decoding) or planes.model is None:
        return work.operations / 2 / chunk.size
    net = planes.model.net
    assert isinstance(net, PlaneModel)
    references = (planes.order.refer(chunk.shape) >= 0).sum(1)
    return float(np.mean([plane_operations(net, count) for count in references]))


def plane_operations(net: PlaneModel, references: int) -> int:
    """Multiplications of the plane coder's network for one sample of a plane with so many references."""
    inputs, width, mixtures = input_size(len(net.arch["supports"]), references), net.width, net.mixtures
    return int(inputs * (width + 2 * mixtures) + width * (2 * net.blocks * width + 3 * mixtures))


def rates(chunks: Sequence[Chunk], models: Sequence[str]) -> list[Measured]:
    """Models, then the other codecs, on the same chunks."""
    return [measure(each, chunks) for each in [*(bitswap(m, m) for m in models), *classical(chunks[0], PEERS)]]


def table(cost: dict[str, float], found: dict[int, list[Measured]]) -> str:
    """Markdown: bytes relative to the reference for each size of chunk, and speeds at the largest."""
    sizes = " | ".join(f"{size} x {size}" for size in found)
    lines = [f"| | MAC/sample | {sizes} | bits/sample | encode, decode MB/s |", "|---|" + "--:|" * (len(found) + 3)]
    base = {size: next(row.total for row in rows if row.name == REFERENCE) for size, rows in found.items()}
    for rows in zip(*found.values(), strict=True):
        last = rows[-1]
        relative = " | ".join(f"{row.total / base[size]:.3f}" for size, row in zip(found, rows, strict=True))
        speeds = f"{last.encode_mb_s:.1f}, {last.decode_mb_s:.1f}"
        macs = f"{cost[last.name]:,.0f}" if last.name in cost else ""
        lines.append(f"| {last.name} | {macs} | {relative} | {last.bits_per_sample:.3f} | {speeds} |")
    return "\n".join(lines)


def draw(cost: dict[str, float], found: dict[int, list[Measured]], path: Path) -> None:
    """A picture for each size of chunk: models by their operations, other codecs as lines across."""
    figure = Figure(figsize=(4.6 * len(found), 4.2), layout="constrained")
    for axes, (size, rows) in zip(figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True):
        models = [row for row in rows if row.name in cost]
        axes.plot([cost[row.name] for row in models], [row.bits_per_sample for row in models], "*", markersize=13)
        for row in models:
            axes.annotate(
                row.name, (cost[row.name], row.bits_per_sample), fontsize=7, xytext=(4, 5), textcoords="offset points"
            )
        for row in (row for row in rows if row.name not in cost):
            axes.axhline(row.bits_per_sample, color="gray", linestyle="--", linewidth=0.8)
            place = min(cost.values()), row.bits_per_sample
            axes.annotate(row.name, place, fontsize=7, color="gray", xytext=(0, 2), textcoords="offset points")
        axes.set(xscale="log", xlabel="multiplications per sample", ylabel="bits/sample", title=f"{size} x {size}")
        axes.set_xticks([1e3, 2e3, 5e3, 1e4, 2e4, 5e4], ["1k", "2k", "5k", "10k", "20k", "50k"], minor=False)
        axes.set_xticks([], minor=True)
        axes.set_xlim(min(cost.values()) * 0.8, max(cost.values()) * 2)
        best = [row.bits_per_sample for row in rows if row.name != "PNG"]
        axes.set_ylim(min(best) * 0.97, max(best) * 1.03)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=100)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write bench-out/; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rate", description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+", help="folders of images")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--gray", action="store_true", help="luminance, and models of one channel")
    kind.add_argument(
        "--pixels",
        action="store_true",
        help="plain RGB, also of decoded JPEGs: in each chunk, for all codecs, one pixel gets one more level of blue, "
        "so that no luma and chroma are found",
    )
    parser.add_argument("--models", nargs="+", help="names of models")
    parser.add_argument("--limit", type=int, default=64, help="at most so many chunks of a size: every k-th")
    options = parser.parse_args(arguments)
    channels = 1 if options.gray else 3
    models = options.models or MODELS[channels]
    try:
        files = [file for folder in options.folders for file in list_images(folder)]
        sets = {size: chunks for size in SIZES if (chunks := chunks_of(files, size, channels, options.limit))}
        if not sets:
            raise BitswapError(f"no image is at least {SIZES[0]} pixels on both sides")
        if options.pixels:
            sets = {size: [no_jpeg(chunk) for chunk in chunks] for size, chunks in sets.items()}
        found = {size: rates(chunks, models) for size, chunks in sets.items()}
        cost = {model: each for model in models if (each := operations(model, sets[max(sets)][0]))}
    except BitswapError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    largest = max(found)
    print(f"Bytes relative to {REFERENCE}; bits/sample and speeds on chunks of {largest} x {largest}.")
    print("MAC/sample are those of the networks, without the least squares of the plane coder.\n")
    print(table(cost, found))
    OUT.mkdir(exist_ok=True)
    rows = {size: [asdict(row) for row in measured] for size, measured in found.items()}
    (OUT / "rate.json").write_text(json.dumps({"operations": cost, "rates": rows}, indent=1))
    if cost:  # the network of coefficients has no operations a sample
        draw(cost, found, OUT / "rate.png")
    print(f"\n{OUT / 'rate.json'}" + (f", {OUT / 'rate.png'}" if cost else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Unscaled photographs as in the Bit-Swap paper: each cropped to multiples of 32, and coded on its own."""

from pathlib import Path

import numpy as np

from benchmarks.papers.chains import measure_chains
from benchmarks.papers.peers import (
    DEFAULT,
    GENERAL,
    IMAGE,
    OURS,
    PIXELS,
    Papers,
    general,
    image,
    learned,
    sizes,
    theirs,
    timed,
)
from benchmarks.papers.report import Beside, Cell, Report, Table, published
from numcodecs_bitswap.chunk import patches
from numcodecs_bitswap.chunk.patches import Axes
from numcodecs_bitswap.measure.harness import Chunk, measure
from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.train.data import list_images, read_image

PATCH = 32
PATCH_MODELS = tuple(f"patch32-rgb8-l{layers}-v1" for layers in (1, 2, 4))
STAGED_MODELS = ("photo-rgb8-v2",)
"""With three stages under the same core."""
PAPERS: Papers = {"Bit-Swap paper": ("bit_swap", "unscaled")}
RATIOS = {"bb_ans": "BB-ANS", "png": "PNG", "webp": "WebP"}


def photographs(report: Report, folder: Path, limit: int) -> None:
    """Add the table of rates, and that of the ratios which the paper is about.

    Raises
    ------
    DataError
        The photographs are not there.
    """
    files = list_images(folder / "natural" / "validation_imagenet_unscaled")[:limit]
    images = [_cropped(read_image(path)) for path in files]
    table = Table(
        f"Unscaled photographs: {len(images)} images cropped to multiples of {PATCH}",
        [
            "Each image on its own, headers counted; bits/dim over all. Paid start, as in the paper: for each image a "
            "chain of its patches, initial bits and final head counted. The paper's figures are of 100 other "
            "photographs and of four layers.",
        ],
    )
    ratios = Table("Unscaled photographs: size of Bit-Swap relative to others", ["In brackets the paper's."])
    dims = sum(each.size for each in images)
    table.rows.append(sizes("raw", 8 * dims, dims, theirs(PAPERS, "raw")))
    rates: dict[str, float] = {}
    for key in (*GENERAL, *IMAGE):
        peer = general(key) if key in GENERAL else image(key, 3)
        result = measure(peer, images)
        rates[key] = result.bits_per_sample
        table.rows.append(timed(result, peer.name, theirs(PAPERS, key)))
    for model in (*PATCH_MODELS, *STAGED_MODELS):
        if (loaded := report.model(model)) is None:
            continue
        if not loaded.net.stages:
            for core, (name, _) in OURS.items():
                bits = paid_bits(loaded, core, images)
                rates[core] = bits / dims
                table.rows.append(sizes(f"{name}, {model}, paid start", bits, dims, theirs(PAPERS, core)))
            ratios.rows.append(_ratios(f"{model}, paid start", rates))
        for core in OURS:
            peer = learned(core, model)
            result = measure(peer, images)
            rates[core] = result.bits_per_sample
            table.rows.append(timed(result, f"{peer.name}, frames", theirs(PAPERS, core)))
        ratios.rows.append(_ratios(f"{model}, frames", rates))
    for peer in (PIXELS, DEFAULT):
        result = measure(peer, images)
        table.rows.append(timed(result, f"{peer.name}, frames", dict.fromkeys(PAPERS)))
        rates["bit_swap"] = result.bits_per_sample
        ratios.rows.append(_ratios(peer.name, rates))
    report.add(table)
    report.add(ratios)


def paid_bits(loaded: catalog.Loaded, core: str, images: list[Chunk]) -> float:
    """Bits of one chain for each image, patch after patch; images with as many patches are coded side by side."""
    chains: dict[int, list[Chunk]] = {}
    for each in images:
        (tiles,) = patches.split(each, Axes(0, 1, 2), PATCH)
        chains.setdefault(len(tiles), []).append(tiles)
    measured = [measure_chains(loaded.net, core, np.stack(alike)) for alike in chains.values()]
    return float(sum(each.total[:, -1].sum() for each in measured))


def _cropped(pixels: Chunk) -> Chunk:
    height, width = (n // PATCH * PATCH for n in pixels.shape[:2])
    return np.ascontiguousarray(pixels[:height, :width])


def _ratios(name: str, rates: dict[str, float]) -> dict[str, Cell]:
    row: dict[str, Cell] = {"model": name}
    for key, label in RATIOS.items():
        ratio = rates["bit_swap"] / rates[key]
        row[f"Bit-Swap / {label}"] = Beside(ratio, published("bit_swap", "unscaled", "ratios", key))
    return row

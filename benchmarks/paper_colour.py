"""Colour: unscaled photographs as in the Bit-Swap paper, and the part of CIFAR-10 that is at hand."""

from pathlib import Path

import numpy as np

from benchmarks.paper_chains import measure_chains
from benchmarks.paper_peers import (
    GENERAL,
    IMAGE,
    OURS,
    Papers,
    classical_rows,
    general,
    image,
    learned,
    sizes,
    theirs,
    timed,
)
from benchmarks.paper_report import Beside, Report, Table, published
from benchmarks.paper_starts import bound, start_table
from benchmarks.peers import Chunk, measure
from numcodecs_bitswap import catalog, patches
from numcodecs_bitswap.errors import MissingModel
from numcodecs_bitswap.patches import Axes
from numcodecs_bitswap.train.arrays import read_items
from numcodecs_bitswap.train.data import list_images, read_image, split_held_back

PATCH = 32
PATCH_MODELS = tuple(f"patch32-rgb8-l{layers}-v1" for layers in (1, 2, 4))
CIFAR_MODEL = "cifar-part-v1"
PAPER: Papers = {"Bit-Swap paper": ("bit_swap", "unscaled")}


def photographs(report: Report, folder: Path, limit: int) -> None:
    """The table of unscaled photographs, and the ratios that the paper is about.

    Raises
    ------
    DataError
        They are not there.
    """
    files = list_images(folder / "natural" / "validation_imagenet_unscaled")[:limit]
    images = [_cropped(read_image(path)) for path in files]
    dims = sum(each.size for each in images)
    table = Table(
        f"Unscaled photographs: {len(images)} images cropped to multiples of {PATCH}",
        [
            "Each image on its own, headers counted; bits/dim over all. Paid start, as in the paper: for each image a "
            "chain of its patches, initial bits and final head counted. The paper's figures are of 100 other "
            "photographs and of four layers.",
        ],
    )
    table.rows.append(sizes("raw", 8 * dims, dims, {"Bit-Swap paper": None}))
    found: dict[str, float] = {}
    for key in (*GENERAL, *IMAGE):
        peer = general(key) if key in GENERAL else image(key, 3)
        result = measure(peer, images)
        found[key] = result.bits_per_dim
        table.rows.append(timed(result, peer.name, theirs(PAPER, key)))
    ratios = Table("Unscaled photographs: size of Bit-Swap relative to others", ["In brackets the paper's."])
    for model in (*PATCH_MODELS, _newest("photo-rgb8")):
        if (loaded := report.model(model)) is None:
            continue
        if not loaded.net.stages:
            paid = {core: paid_bits(loaded, core, images) for core in OURS}
            for core, bits in paid.items():
                row = sizes(f"{OURS[core][0]}, {model}, paid start", bits, dims, theirs(PAPER, core))
                table.rows.append(row)
            ratios.rows.append(_ratios(f"{model}, paid start", {k: v / dims for k, v in paid.items()} | found))
        rates = {}
        for core in OURS:
            peer = learned(core, model)
            result = measure(peer, images)
            rates[core] = result.bits_per_dim
            table.rows.append(timed(result, f"{peer.name}, frames", theirs(PAPER, core)))
        ratios.rows.append(_ratios(f"{model}, frames", rates | found))
    report.add(table)
    report.add(ratios)


def paid_bits(loaded: catalog.Loaded, core: str, images: list[Chunk]) -> float:
    """Bits of one chain for each image, patches one after the other, initial bits paid; images with as many patches
    side by side.
    """
    chains: dict[int, list[Chunk]] = {}
    for each in images:
        (tiles,) = patches.split(each, Axes(0, 1, 2), PATCH)
        chains.setdefault(len(tiles), []).append(tiles)
    measured = [measure_chains(loaded.net, core, np.stack(alike)) for alike in chains.values()]
    return float(sum(chain.total[:, -1].sum() for chain in measured))


def _cropped(pixels: Chunk) -> Chunk:
    height, width = (n // PATCH * PATCH for n in pixels.shape[:2])
    return np.ascontiguousarray(pixels[:height, :width])


def _ratios(name: str, rates: dict[str, float]) -> dict[str, str | Beside]:
    pairs = {"bb_ans": "BB-ANS", "png": "PNG", "webp": "WebP"}
    ours = {label: (key, rates["bit_swap"] / rates[key]) for key, label in pairs.items()}
    beside = {
        f"Bit-Swap / {label}": Beside(ratio, published("bit_swap", "unscaled", "ratios", key))
        for label, (key, ratio) in ours.items()
    }
    return {"model": name, **beside}


def _newest(name: str) -> str:
    """Version 2 of a model where it is installed, else version 1."""
    try:
        return catalog.find(f"{name}-v2").name
    except MissingModel:
        return f"{name}-v1"


def cifar(report: Report, folder: Path, limit: int) -> None:
    """The tables of the images of CIFAR-10's part that training holds back.

    Raises
    ------
    DataError
        It is not there.
    """
    every = list(read_items(folder / "cifar10_part" / "train_3000.npz", 3))
    images = np.stack(split_held_back(every)[1])[:limit]
    papers: Papers = {"Bit-Swap paper": ("bit_swap", "cifar")}
    title = f"Part of CIFAR-10: {len(images)} of {len(every):,} images, none of them seen in training"
    table = Table(
        title,
        [
            "The paper's figures are of CIFAR-10's own test set and of models trained on all its training images: they "
            "are not comparable with a model of some thousand images. All images are one array, unless said otherwise.",
        ],
    )
    table.rows.append(sizes("raw", 8 * images.size, images.size, {"Bit-Swap paper": None}))
    if loaded := report.model(CIFAR_MODEL):
        elbo = bound(loaded.net, images)
        table.rows.append(sizes(f"ELBO, {CIFAR_MODEL}", elbo, images.size, {"Bit-Swap paper": None}))
        for core in OURS:
            peer = learned(core, CIFAR_MODEL)
            layers = str(loaded.net.latent_layers)
            net = {"Bit-Swap paper": published("bit_swap", "cifar", layers, core, "net")}
            table.rows.append(timed(measure(peer, [images]), f"{peer.name}, one frame", net))
    table.rows += classical_rows(images, papers)
    report.add(table)
    start_table(report, f"What a start costs: {title}", [CIFAR_MODEL], images, ("bit_swap", "cifar"))

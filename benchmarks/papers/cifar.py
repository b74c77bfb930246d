"""The part of CIFAR-10 that is available: its validation images."""

from pathlib import Path

import numpy as np

from benchmarks.papers.peers import DEFAULT, OURS, Papers, classical_rows, learned, sizes, theirs, timed
from benchmarks.papers.report import Report, Table, published
from benchmarks.papers.starts import bound, start_table
from numcodecs_bitswap.measure.harness import measure
from numcodecs_bitswap.train.arrays import read_items
from numcodecs_bitswap.train.data import split_validation

MODEL = "cifar-part-v1"
TRAINING = 2500
"""The first so many are the training file, of which a tenth is for validation (see the model's recipe)."""
PAPERS: Papers = {"Bit-Swap paper": ("bit_swap", "cifar")}


def cifar(report: Report, folder: Path, limit: int) -> None:
    """Add the table of rates and that of starts.

    Raises
    ------
    DataError
        The images are not there.
    """
    every = list(read_items(folder / "cifar10_part" / "train_3000.npz", 3))
    images = np.stack(split_validation(every[:TRAINING])[1] + every[TRAINING:])[:limit]
    title = f"Part of CIFAR-10: {len(images)} of {len(every):,} images, none of them seen in training"
    table = Table(
        title,
        [
            "The paper's figures are of CIFAR-10's own test set and of models trained on all its training images: they "
            "are not comparable with a model of some thousand images. All images are one array, unless said otherwise.",
        ],
    )
    table.rows.append(sizes("raw", 8 * images.size, images.size, theirs(PAPERS, "raw")))
    if loaded := report.model(MODEL):
        layers, elbo = str(loaded.net.latent_layers), bound(loaded.net, images)
        table.rows.append(sizes(f"ELBO, {MODEL}", elbo, images.size, theirs(PAPERS, "elbo")))
        for core in OURS:
            peer = learned(core, MODEL)
            net = {"Bit-Swap paper": published("bit_swap", "cifar", layers, core, "net")}
            table.rows.append(timed(measure(peer, [images]), f"{peer.name}, one frame", net))
    table.rows.append(timed(measure(DEFAULT, [images]), f"{DEFAULT.name}, one frame", dict.fromkeys(PAPERS)))
    table.rows += classical_rows(images, PAPERS)
    report.add(table)
    start_table(report, f"What a start costs: {title}", [MODEL], images, ("bit_swap", "cifar"))

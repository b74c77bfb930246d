"""MNIST: the tables of the BB-ANS paper, and the cost of a start as in the Bit-Swap paper."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.papers.chains import measure_chains, runs_of
from benchmarks.papers.peers import DEFAULT, OURS, Papers, classical_rows, learned, sizes, theirs, timed
from benchmarks.papers.report import Report, Table, published
from benchmarks.papers.starts import Curves, bound, start_table
from numcodecs_bitswap.measure.harness import Chunk, measure
from numcodecs_bitswap.train.arrays import binarised, read_items

LAYERS = (1, 2, 4, 8)
BINARY, FULL = "mnist-binary-v1", "mnist-v1"
SEED = 0
"""Of the binarised test set."""


class Rates(NamedTuple):
    """Bits/dim that each image added to a chain, (n,), and the bound."""

    rates: NDArray[np.float64]
    elbo: float


def test_set(folder: Path, limit: int) -> Chunk:
    """The first images of the test set, (n, 28, 28).

    Raises
    ------
    DataError
        It is not there.
    """
    return read_items(folder / "mnist" / "t10k-images-idx3-ubyte.gz", 1)[:limit, ..., 0]


def binary_set(folder: Path, limit: int) -> Chunk:
    """The same, stochastically binarised: values 0 and 1."""
    return binarised(test_set(folder, limit), np.random.default_rng(SEED))


def bb_ans(report: Report, folder: Path, limit: int) -> dict[str, Rates]:
    """The tables of binarised and of full MNIST; returns the rates along the chains by title."""
    paper: Papers = {"BB-ANS paper": ("bb_ans", "binarised")}
    papers: Papers = {"BB-ANS paper": ("bb_ans", "mnist"), "Bit-Swap paper": ("bit_swap", "mnist")}
    return _table(report, "Binarised MNIST", binary_set(folder, limit), BINARY, paper) | _table(
        report, "MNIST", test_set(folder, limit), FULL, papers
    )


def _table(report: Report, title: str, images: Chunk, model: str, papers: Papers) -> dict[str, Rates]:
    binary = model == BINARY
    table = Table(
        f"{title}: test set, {len(images):,} images of 28 x 28",
        [
            "All images are one array, unless said otherwise; totals, headers included. Image by image: each coded on "
            "its own, on several threads. Bits/dim are per pixel of 28 x 28. PNG: whole files; the authors of Bit-Swap "
            "counted the compressed pixels in them only.",
        ],
    )
    raw = images.size * (1 if binary else 8)
    table.rows.append(sizes("raw", raw, images.size, theirs(papers, "raw")))
    rates: dict[str, Rates] = {}
    if loaded := report.model(model):
        elbo, runs = bound(loaded.net, images), runs_of(images)
        table.rows.append(sizes(f"ELBO, {model}", elbo, images.size, theirs(papers, "elbo")))
        peer = learned("bb_ans", model)
        table.rows.append(timed(measure(peer, [images]), f"{peer.name}, one frame", theirs(papers, "bb_ans")))
        chains = measure_chains(loaded.net, "bb_ans", runs)
        name = f"BB-ANS, {model}, paid start, one chain of {runs.shape[0] * runs.shape[1]:,}"
        total = float(chains.end_to_end[-1])
        table.rows.append(sizes(name, total, images[0].size * runs.shape[0] * runs.shape[1], theirs(papers, "bb_ans")))
        rates[title] = Rates(chains.net.ravel() / images[0].size, elbo / images.size)
    if not binary:
        for layers in LAYERS:
            _bit_swap_row(report, table, f"mnist-bitswap{layers}-v2", layers, images)
        table.notes.append("The Bit-Swap paper's figures of its own models are net rates of its chains.")
    table.rows.append(timed(measure(DEFAULT, [images]), f"{DEFAULT.name}, one frame", dict.fromkeys(papers)))
    table.rows += classical_rows(images, papers, binary)
    report.add(table)
    return rates


def _bit_swap_row(report: Report, table: Table, model: str, layers: int, images: Chunk) -> None:
    if report.model(model):
        for core, (name, _) in OURS.items():
            net = {"BB-ANS paper": None, "Bit-Swap paper": published("bit_swap", "mnist", str(layers), core, "net")}
            result = measure(learned(core, model), [images])
            table.rows.append(timed(result, f"{name}, {model}, one frame", net))


def bit_swap(report: Report, folder: Path, limit: int) -> dict[int, Curves]:
    """The table of starts; returns total rates against the number of images, by layers."""
    images = test_set(folder, limit)
    title = f"What a start costs: MNIST, {len(images):,} images"
    return start_table(report, title, [f"mnist-bitswap{n}-v2" for n in LAYERS], images, ("bit_swap", "mnist"))

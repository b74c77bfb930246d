"""What the start of a chain costs: the papers' initial bits against this package's growing batches."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.papers.chains import Chains, measure_chains, runs_of
from benchmarks.papers.peers import OURS
from benchmarks.papers.report import Beside, Cell, Report, Table, published
from benchmarks.research.bound import bound_bits
from numcodecs_bitswap import BitSwap
from numcodecs_bitswap.bitsback.groups import Model
from numcodecs_bitswap.chunk import model_route, patches
from numcodecs_bitswap.measure.harness import Chunk

COUNTS = (1, 2, 5, 10, 20, 50, 100)
TABLED = (1, 10, 100)
LANES = 16


class Curve(NamedTuple):
    """Total bits/dim after n images."""

    n: NDArray[np.int64]
    rate: NDArray[np.float64]


Curves = dict[str, Curve]


def bound(model: Model, images: Chunk, core: str = "bit_swap") -> float:
    """-log2 p in bits of an array, by the integer model: the negative ELBO at the latents popped.

    On few lanes, since the latents of the first images come from lanes that hold few bits yet, and are biased.
    """
    axes = patches.image_axes(images.shape, "auto", "auto")
    assert axes is not None
    classes = [part[None] for part in patches.split(images, axes, 1 << model.patch_log2)]
    return float(bound_bits(model, classes, min(LANES, model_route.lanes(images.size, model.levels)), core)[0])


def start_table(
    report: Report, title: str, models: list[str], images: Chunk, paper: tuple[str, ...]
) -> dict[int, Curves]:
    """Add a table with three rows for each model without stages: BB-ANS and Bit-Swap as in the papers, and this
    package's frames. Returns the curves by number of layers.
    """
    runs, dims = runs_of(images), images[0].size
    images = runs.reshape(-1, *images.shape[1:])
    notes = [
        f"Total bits/dim of the first n images, in an order drawn once; means over {runs.shape[0]} runs of "
        f"{runs.shape[1]} images; after {len(images):,}: all runs end to end, or one frame. In brackets the paper's, "
        "where it has that depth.",
        "Paid start, as in the papers: images are pushed one after the other; the initial bits (the deepest that the "
        "chain ever ate into its start) and the final head are counted. This library: a frame of the first n images, "
        "header counted, stored where that is smaller; nothing is paid in advance. ELBO and net rate are without start "
        "and header.",
    ]
    table, curves = Table(title, notes), {}
    for name in models:
        if (loaded := report.model(name)) is None:
            continue
        if loaded.net.stages:
            report.skip(f"chains of model {name}: it has context stages, so its frames need no initial bits")
            continue
        layers = loaded.net.latent_layers
        elbo = bound(loaded.net, images) / images.size
        curves[layers] = {}
        for core in OURS:
            chains, label = measure_chains(loaded.net, core, runs), f"{OURS[core][0]}, paid start"
            curves[layers][label] = _curve(chains, dims)
            values = {"net": float(chains.net.mean()) / dims, "initial": float(chains.initial[:, -1].mean())}
            table.rows.append(
                _row(label, layers, {"elbo": elbo, **values}, curves[layers][label], (*paper, str(layers), core))
            )
        label = "Bit-Swap, this library"
        curves[layers][label] = _frames(name, images, runs)
        table.rows.append(_row(label, layers, {"elbo": elbo}, curves[layers][label], None))
    report.add(table)
    return curves


def _row(
    label: str, layers: int, values: dict[str, float], curve: Curve, paper: tuple[str, ...] | None
) -> dict[str, Cell]:
    """A row; `paper` is the place of its figures in published.toml."""

    def beside(key: str, ours: float | None) -> Cell:
        return ours if paper is None else Beside(ours, published(*paper, key))

    rates = dict(zip(curve.n.tolist(), curve.rate.tolist(), strict=True))
    initial = values.get("initial")
    return {
        "layers": str(layers),
        "start": label,
        "ELBO": beside("elbo", values["elbo"]),
        "net": beside("net", values.get("net")),
        "initial bits": beside("initial", None if initial is None else round(initial)),
        **{f"after {n}": beside(f"after{n}", rates.get(n)) for n in TABLED},
        f"after {curve.n[-1]:,}": rates[curve.n[-1].item()],
    }


def _curve(chains: Chains, dims: int) -> Curve:
    """Means over runs; beyond their length, all runs end to end."""
    mean, whole = chains.total.mean(axis=0), chains.end_to_end
    n = np.arange(1, len(whole))
    total = np.concatenate([mean[1:], whole[len(mean) :]])
    return Curve(n, total / (n * dims))


def _frames(model: str, images: Chunk, runs: NDArray[np.uint8]) -> Curve:
    """Frames of the first n images of each run, and of all images."""
    codec, dims = BitSwap(model=model), images[0].size
    arrays = runs.reshape(*runs.shape[:2], *images.shape[1:])
    counts = [n for n in COUNTS if n <= runs.shape[1]]
    bar = tqdm(counts, desc=f"frames of few images, {model}", leave=False)
    sizes = [np.mean([8 * len(codec.encode(run[:n])) for run in arrays]) for n in bar]
    n = np.array([*counts, len(images)])
    return Curve(n, np.array([*sizes, 8 * len(codec.encode(images))]) / (n * dims))

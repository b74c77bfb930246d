"""The papers' figures, redrawn from our own runs."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.papers.mnist import Rates
from benchmarks.papers.starts import Curves
from numcodecs_bitswap.distributions.gaussian_buckets import GaussianBuckets
from numcodecs_bitswap.distributions.tables import vae_tables
from numcodecs_bitswap.measure.harness import Chunk

DPI = 130
EDGE_UNITS = 4096
"""Latents and their means are in units of 2^-12."""
STYLES: dict[str, dict[str, str]] = {
    "BB-ANS, paid start": {"color": "tab:red"},
    "Bit-Swap, paid start": {"color": "tab:blue", "linestyle": "--"},
    "Bit-Swap, this library": {"color": "tab:green", "marker": "o"},
}


def moving_average(chains: dict[str, Rates], path: Path) -> None:
    """Rate along the chain (figure 3 of the BB-ANS paper): a panel for each data set."""
    figure = Figure(figsize=(6.4 * len(chains), 4.2), layout="constrained")
    for axes, (title, (rates, elbo)) in zip(
        figure.subplots(1, len(chains), squeeze=False)[0], chains.items(), strict=True
    ):
        window = max(1, len(rates) // 5)
        average = np.convolve(rates, np.full(window, 1 / window), "valid")
        axes.plot(np.arange(window, len(rates) + 1), average, label=f"BB-ANS, mean of the last {window:,} images")
        axes.axhline(rates.mean(), linestyle=":", color="tab:blue", label=f"BB-ANS, mean of all: {rates.mean():.4f}")
        axes.axhline(elbo, linestyle="--", color="black", label=f"bound (negative ELBO): {elbo:.4f}")
        axes.set(title=f"{title}: rate along one chain", xlabel="images coded so far", ylabel="bits per pixel, net")
        axes.legend()
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=DPI)


def compressed_bits(images: Chunk, encoded: bytes, path: Path) -> None:
    """A square number of binary images, and the bits of their frame drawn at the same scale (figure 1 of the BB-ANS
    paper).
    """
    across, side = round(len(images) ** 0.5), images.shape[1]
    mosaic = images.reshape(across, across, side, side).swapaxes(1, 2).reshape(across * side, across * side)
    bits = np.unpackbits(np.frombuffer(encoded, np.uint8)).astype(np.float64)
    picture = np.full((max(len(mosaic), -(-bits.size // len(mosaic))), len(mosaic)), np.nan)
    picture.flat[: bits.size] = bits
    figure = Figure(figsize=(10, 5.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.imshow(mosaic, cmap="gray_r", interpolation="nearest")
    left.set_title(f"{len(images)} binarised digits: {mosaic.size:,} bits")
    right.imshow(picture, cmap="gray_r", interpolation="nearest")
    right.set_title(f"all bits of their BB-ANS frame: {bits.size:,}")
    for axes in (left, right):
        axes.set(xticks=[], yticks=[], xlabel="one dot is one bit: black 1, white 0")
    rate = bits.size / mosaic.size
    figure.suptitle(f"The same digits before and after: {rate:.3f} bits per pixel; what is left looks like noise")
    figure.savefig(path, dpi=DPI)


def buckets(path: Path, bits: int = 4, mean: float = 0.6, octave: float = -1.5) -> None:
    """A latent's buckets of equal prior mass and a posterior over them (figure 4 of the BB-ANS paper), as coded."""
    sigma, ends = 2.0**octave, 3.2
    inner = vae_tables().edge[:: 1 << (10 - bits)][1:] / EDGE_UNITS
    edges = np.concatenate([[-ends], inner, [ends]])
    like = np.ones((1, len(edges), 1), np.int32)
    posterior = GaussianBuckets(like * round(mean * EDGE_UNITS), like * round(12 * (octave + 8)), bits)
    cum = posterior.cum(posterior.prepare(0, len(edges)), np.arange(len(edges))[None])[0]
    mass, z = np.diff(cum) / cum[-1], np.linspace(-ends, ends, 801)
    figure = Figure(figsize=(8, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for density, label, colour in (
        (_normal(z, 0, 1), "prior N(0, 1)", "tab:gray"),
        (_normal(z, mean, sigma), f"posterior N({mean}, {sigma:.2f}²) of one image", "tab:red"),
    ):
        above.plot(z, density, color=colour, label=label)
        above.fill_between(z, density, color=colour, alpha=0.2)
    above.vlines(inner, 0, _normal(inner, 0, 1), color="black", linewidth=0.8, label="edges of the buckets")
    above.set(ylabel="density", title=f"A latent is coded as one of {1 << bits} buckets of equal prior mass")
    label = "posterior, as the integers of the coder have it"
    below.bar(
        edges[:-1], mass, np.diff(edges), align="edge", color="tab:red", alpha=0.5, edgecolor="black", label=label
    )
    below.axhline(2.0**-bits, color="tab:gray", linestyle="--", label=f"prior: every bucket 1/{1 << bits}, {bits} bits")
    below.set(xlabel="latent z", ylabel="probability of a bucket")
    for axes in (above, below):
        axes.legend()
    figure.savefig(path, dpi=DPI)


def _normal(z: NDArray[np.float64], mean: float, sigma: float) -> NDArray[np.float64]:
    density: NDArray[np.float64] = np.exp(-0.5 * ((z - mean) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    return density


def starts(curves: dict[int, Curves], path: Path) -> None:
    """Total rate against the number of images, a panel for each number of layers."""
    figure = Figure(figsize=(5.2 * len(curves), 4.4), layout="constrained")
    panels = figure.subplots(1, len(curves), squeeze=False, sharey=True)[0]
    for axes, (layers, lines) in zip(panels, curves.items(), strict=True):
        for label, (n, rate) in lines.items():
            axes.plot(n, rate, label=label, **STYLES[label])
        axes.set(
            xscale="log",
            yscale="log",
            xlabel="images in the message",
            title=f"MNIST, {layers} latent layer{'s' * (layers > 1)}",
        )
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
        axes.grid(alpha=0.3, which="both")
    panels[0].set_ylabel("bits per pixel in all, start included")
    panels[0].legend()
    figure.savefig(path, dpi=DPI)

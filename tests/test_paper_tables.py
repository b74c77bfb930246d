"""The papers' tables: what chains count obeys the papers' arithmetic, and all of it runs on a few images."""

import gzip
import json
import re
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from benchmarks.papers import __main__
from benchmarks.papers.chains import HEAD_BITS, Chains, measure_chains, runs_of
from benchmarks.papers.peers import WEBP_SIDE, sheets
from benchmarks.papers.report import Published, Report, published
from benchmarks.papers.starts import bound, start_table
from numcodecs_bitswap.backends import for_device
from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.nets.bit_swap import BitSwapModel
from numcodecs_bitswap.options import AUTO_JPEG, AUTO_PLANES
from numcodecs_bitswap.train.export import architecture, integer_tensors, write_model
from numcodecs_bitswap.train.networks import Architecture
from numcodecs_bitswap.train.vae import VaeArchitecture
from pictures import photograph
from tiny import NARROW

DEPTHS = (1, 2, 4)
CORES = ("bb_ans", "bit_swap")


def hierarchy(layers: int, channels: int = 1) -> Architecture:
    """Small networks, no stages."""
    return Architecture(
        channels=channels, stages=0, mixtures=1, **NARROW, latent_layers=layers, latent_channels=2, patch_log2=5
    )


@cache
def model(layers: int) -> BitSwapModel:
    torch.manual_seed(layers)
    net = hierarchy(layers).network()
    return BitSwapModel(architecture(net), integer_tensors(net), for_device("cpu"))


def digits(n: int, seed: int = 0) -> NDArray[np.uint8]:
    """n images of 28 x 28: a few strokes on black."""
    rng = np.random.default_rng(seed)
    images = np.zeros((n, 28, 28), np.uint8)
    for image in images:
        for _ in range(3):
            y, x = rng.integers(4, 20, 2)
            image[y : y + rng.integers(2, 8), x : x + rng.integers(2, 5)] = rng.integers(100, 256)
    return images


@cache
def chains(layers: int, core: str) -> Chains:
    return measure_chains(model(layers), core, runs_of(digits(24), 6))


@given(st.sampled_from(DEPTHS), st.sampled_from(CORES), st.integers(0, 2**16), st.integers(1, 3), st.integers(1, 3))
@settings(max_examples=20)
def test_every_chain_gives_its_images_and_its_words_back(layers: int, core: str, seed: int, runs: int, n: int) -> None:
    """`measure_chains` decodes and compares; here with any values in the pixels."""
    images = np.random.default_rng(seed).integers(0, 256, (runs, n, 6, 4, 1), dtype=np.uint8)
    measured = measure_chains(model(layers), core, images)
    assert measured.total.shape == (runs, n + 1)


def test_a_chain_that_decodes_to_other_images_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.papers.chains.pop_chains", lambda *_: np.zeros((1, 2, 28, 28, 1), np.uint8))
    with pytest.raises(AssertionError, match="same images"):
        measure_chains(model(1), "bit_swap", runs_of(digits(2)))


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("layers", DEPTHS)
def test_net_is_less_than_total(layers: int, core: str) -> None:
    measured = chains(layers, core)
    net = np.cumsum(measured.net, axis=1)
    assert (net < measured.total[:, 1:]).all()
    # All that lies between is the start: what a chain adds to its initial bits is its net rate.
    assert np.abs(net + measured.initial[:, 1:] - measured.total[:, 1:]).max() <= HEAD_BITS
    assert (np.diff(measured.initial, axis=1) >= 0).all()
    assert net.mean() > 0


def test_initial_bits_of_bb_ans_grow_with_depth_and_those_of_bit_swap_do_not() -> None:
    initial = {core: [chains(layers, core).initial[:, -1].mean() for layers in DEPTHS] for core in CORES}
    one = initial["bit_swap"][0]
    assert initial["bb_ans"][0] == one
    assert initial["bb_ans"][1] > 1.6 * one
    assert initial["bb_ans"][2] > 3 * one
    assert max(initial["bit_swap"]) < 1.3 * one


def test_runs_end_to_end_are_one_chain() -> None:
    """The total of runs laid end to end is that of the one chain, but for the bits that its pops happen to find."""
    images = digits(24)
    ends = chains(4, "bb_ans").end_to_end
    (whole,) = measure_chains(model(4), "bb_ans", images[None, ..., None]).total
    assert len(ends) == len(whole) == 25
    assert ends[-1] == pytest.approx(whole[-1], rel=0.05)
    assert np.array_equal(ends[:7], chains(4, "bb_ans").total[0])


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with random models of some of the names that the tables ask for: only these, and those of the default
    codec, are to be found.
    """
    folder = tmp_path / "models"
    folder.mkdir()
    torch.manual_seed(0)
    vae: Any = {
        "channels": 1,
        "height": 28,
        "width": 28,
        "latent_channels": 4,
        "latent_bits": 4,
        "mixtures": 1,
        "hidden": 8,
    }
    vae |= {"direct_width": 8, "direct_blocks": 1, "channel_width": 8}
    nets = {
        "mnist-binary-v1": VaeArchitecture(**vae, likelihood="bernoulli", levels=2),
        "mnist-v1": VaeArchitecture(**vae, likelihood="beta_binomial", levels=256),
        "mnist-bitswap1-v2": hierarchy(1),
        "mnist-bitswap2-v2": hierarchy(2),
        "patch32-rgb8-l2-v1": hierarchy(2, 3),
        "cifar-part-v1": hierarchy(2, 3),
    }
    for name, arch in nets.items():
        write_model(arch.network(), folder / f"{name}.safetensors", name, "none", "random")
    monkeypatch.setattr(catalog, "_registered", [folder])
    monkeypatch.setattr(catalog, "_found", {})
    default = {name: line for name, line in catalog._shipped().items() if name in (*AUTO_PLANES[1], AUTO_JPEG)}
    monkeypatch.setattr(catalog, "_shipped", lambda: default)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.mark.slow
def test_the_start_of_this_library_costs_less_than_initial_bits(models: Path) -> None:
    """Frames of few images are smaller than chains that pay for their start; and nothing is below the bound."""
    images = digits(12)
    report = Report("test")
    curves = start_table(report, "digits", ["mnist-bitswap2-v2"], images, ("bit_swap", "mnist"))
    elbo = bound(catalog.load("mnist-bitswap2-v2", "cpu").net, images) / images.size
    rates = {label: dict(zip(curve.n.tolist(), curve.rate.tolist(), strict=True)) for label, curve in curves[2].items()}
    assert list(rates) == ["BB-ANS, paid start", "Bit-Swap, paid start", "Bit-Swap, this library"]
    for n in (1, 2):
        assert rates["BB-ANS, paid start"][n] > rates["Bit-Swap, paid start"][n] > rates["Bit-Swap, this library"][n]
    assert min(rates["BB-ANS, paid start"].values()) > elbo * 0.9
    assert len(report.tables[0].rows) == 3


def test_published_figures() -> None:
    assert published("bit_swap", "mnist", "8", "bb_ans", "after1") == Published(Decimal("21.93"), False)
    assert published("bb_ans", "mnist", "bz2") == Published(Decimal("1.42"), True)
    assert published("bit_swap", "mnist", "1", "bb_ans", "after1") is None
    # The ratios are those of the rates.
    for key in ("bb_ans", "png", "webp"):
        ours, other = (published("bit_swap", "unscaled", name) for name in ("bit_swap", key))
        ratio = published("bit_swap", "unscaled", "ratios", key)
        assert ours is not None
        assert other is not None
        assert ratio == Published(round(ours.value / other.value, 3), False)


@given(st.integers(1, 50), st.integers(1, 9), st.sampled_from([(5, 4), (4000, 2, 3)]), st.sampled_from(["webp", "png"]))
def test_sheets_show_every_image_once(n: int, columns: int, shape: tuple[int, ...], key: str) -> None:
    """Row by row, on sheets that the codec can hold."""
    images = np.broadcast_to(np.arange(n, dtype=np.uint8).reshape(n, *[1] * len(shape)), (n, *shape))
    found = []
    for each in sheets(images, key, min(columns, n)):
        assert each.shape[0] <= WEBP_SIDE or key == "png"
        assert each.shape[2:] == shape[2:]
        rows = np.split(each, each.shape[0] // shape[0])
        found += [part for row in rows for part in np.split(row, each.shape[1] // shape[1], 1)]
    assert [np.unique(part).tolist() for part in found] == [[k] for k in range(n)]


def data(folder: Path) -> Path:
    """A folder as `make paper-tables` takes it, of synthetic images."""
    for name in ("mnist", "cifar10_part", "natural/validation_imagenet_unscaled"):
        (folder / name).mkdir(parents=True)
    header = bytes([0, 0, 8, 3]) + np.array([12, 28, 28], ">u4").tobytes()
    (folder / "mnist" / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + digits(12).tobytes()))
    tiles = [photograph()[32 * i : 32 * i + 32, :32] for i in range(15)]
    np.savez(folder / "cifar10_part" / "train_3000.npz", images=np.stack(tiles + tiles))
    path = folder / "natural" / "validation_imagenet_unscaled" / "one.png"
    Image.fromarray(photograph()[:70, :100]).save(path)
    return folder


@pytest.mark.slow
def test_tables_of_a_few_images(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main([str(data(tmp_path / "data")), "--limit", "12"]) == 0
    text = capsys.readouterr().out
    assert "skipped: model patch32-rgb8-l4-v1 is not installed" in text
    assert "1.41†" in text
    assert "16,192" not in text, "no model of eight layers"
    assert (tmp_path / "bench-out" / "paper_tables.md").read_text().count("\n## ") == 7
    result = json.loads((tmp_path / "bench-out" / "paper_tables.json").read_text())
    tables = result["tables"]
    assert result["models"].keys() == {path.stem for path in models.iterdir()}
    by_title = {table["title"].split(":")[0]: table["rows"] for table in tables}
    binary = {row["codec"]: row for row in by_title["Binarised MNIST"]}
    assert binary["raw"]["bytes"] == 12 * 28 * 28 // 8
    assert binary["Bit-Swap codec, default model, one frame"]["bytes"] < binary["gzip 9, packed bits"]["bytes"]
    assert binary["gzip 9, packed bits"]["BB-ANS paper"] == {"value": 0.33, "second_hand": True}
    (cifar,) = [table["title"] for table in tables if table["title"].startswith("Part of CIFAR-10")]
    assert re.search(r"\b3 of 30 images", cifar)
    photographs = by_title["Unscaled photographs"]
    assert photographs[0].keys() >= {"model", "Bit-Swap / PNG"}
    assert {path.name for path in (tmp_path / "bench-out").glob("*.png")} == {
        f"paper_{name}.png" for name in ("moving_average", "compressed_bits", "starts", "buckets")
    }


def test_missing_data_are_said_and_skipped(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main([str(tmp_path), "--limit", "2"]) == 0
    text = capsys.readouterr().out
    assert "t10k-images-idx3-ubyte.gz" in text
    assert "validation_imagenet_unscaled is not a folder" in text
    assert "train_3000.npz" in text

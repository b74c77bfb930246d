"""`numcodecs-bitswap train` on one's own arrays, the default: a plane model is fitted, compared, written, and codes."""

import os
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
import zarr
from PIL import Image

from numcodecs_bitswap import BitSwap, options
from numcodecs_bitswap.chunk import frame
from numcodecs_bitswap.chunk.patches import image_axes
from numcodecs_bitswap.cli import main
from numcodecs_bitswap.jpeg import colour
from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.planes.model import DEFAULT, random_tensors
from numcodecs_bitswap.planes.observe import Rows, joined
from numcodecs_bitswap.planes.tables import CONTEXTS
from numcodecs_bitswap.samples import KINDS
from numcodecs_bitswap.train import plane_data, plane_trainer
from numcodecs_bitswap.train.export import write_tensors
from numcodecs_bitswap.train.own_arrays import open_pictures
from numcodecs_bitswap.train.plane_trainer import PlaneTrainer, Start
from numcodecs_bitswap.train.planes import Fitting, evaluate, integer_tensors, new_nets, rates, take_tensors
from pictures import photograph

pytestmark = pytest.mark.slow

ARCH: dict[str, Any] = DEFAULT | {"kind": "planes", "format": 1, "width": 16, "blocks": 1}


def stack(n: int = 12, height: int = 48, width: int = 40) -> Any:
    """uint16 (n, height, width): smooth, with noise that is stronger where it is bright, on an odd offset."""
    rng = np.random.default_rng(0)
    z, y, x = np.indices((n, height, width))
    smooth = 400 + 300 * np.sin(x / 9 + z / 3) * np.cos(y / 7)
    return (1001 + 4 * rng.poisson(smooth)).astype(np.uint16)


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are written here; the model that they begin with is a small one of random weights."""
    monkeypatch.chdir(tmp_path)
    for name in ("_registered", "_found", "_loaded", "_given", "_kinds"):
        monkeypatch.setattr(catalog, name, type(getattr(catalog, name))())
    (tmp_path / "models").mkdir()
    write_tensors(ARCH, random_tensors(ARCH), tmp_path / "models" / "start.safetensors", "start", "none", "random")
    monkeypatch.setenv("NUMCODECS_BITSWAP_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(options, "AUTO_UNIVERSAL", "start")
    monkeypatch.setattr(plane_data, "ROWS", 20_000)
    monkeypatch.setattr(plane_trainer, "RATE_FROM_START", plane_trainer.RATE)


def model_of(run: str) -> bytes:
    (path,) = Path(run).glob("*.safetensors")
    return path.read_bytes()


def validation(printed: str) -> tuple[float, float]:
    """Rates of the start and of the fitted model."""
    found = re.search(r"validation, a sample of pixels: ([\d.]+) bits/sample with .*, ([\d.]+) with", printed)
    assert found
    return float(found[1]), float(found[2])


@pytest.mark.parametrize("kind", ["rgb", "stack"])
def test_an_array_becomes_a_model_that_codes_it(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All files are there, bits go down, and the lines printed are those that use the model."""
    if kind == "rgb":
        data, chunks = np.ascontiguousarray(photograph()[:192, :128]), (48, 64, 3)
    else:
        data, chunks = stack(), (4, 48, 40)
    array = zarr.create_array("cells.zarr", data=data, chunks=chunks)
    assert main(["train", "cells.zarr", "--minutes", "5", "--steps", "80"]) == 0
    printed = capsys.readouterr()
    folder = tmp_path / "runs" / "cells"
    files = {path.name for path in folder.iterdir()}
    assert files == {"CARD.md", "cells.safetensors", "checkpoint.pt", "log.txt", "plot.png"}
    before, after = validation(printed.out)
    assert after < 0.98 * before
    card = (folder / "CARD.md").read_text()
    totals = {}
    for name in ("Zstd", "JPEG XL effort 7", "BitSwap, start", "BitSwap, cells"):
        assert name in printed.out
        (row,) = re.findall(rf"^\| {name} \| ([\d,]+) \|", card, re.M)
        totals[name] = int(row.replace(",", ""))
    assert totals["BitSwap, cells"] == min(totals.values())
    (models,) = re.findall(r"export NUMCODECS_BITSWAP_MODELS=(.+)", printed.out)
    monkeypatch.setattr(catalog, "_given", [])
    monkeypatch.setattr(catalog, "_found", {})
    monkeypatch.setenv("NUMCODECS_BITSWAP_MODELS", models)
    assert 'BitSwap(model="cells")' in printed.out
    codec = BitSwap(model="cells")
    chunk = array[tuple(slice(n) for n in chunks)]
    encoded = codec.encode(chunk)
    assert frame.parse(memoryview(encoded))[0].route == frame.Route.PLANES
    assert np.array_equal(codec.decode(encoded), chunk)


def test_files_of_any_dtype_and_no_start(capsys: pytest.CaptureFixture[str]) -> None:
    """Signed, big-endian, .npy without chunks, a region, an output of one's own choice, from nothing."""
    np.save("a.npy", (stack() - 1200).astype(">i2"))
    command = ["train", "a.npy", "--region", "0:11", "--steps", "60", "--start", "", "--name", "own"]
    assert main([*command, "--out", "there/m.safetensors"]) == 0
    before, after = validation(capsys.readouterr().out)
    assert after < before
    catalog.register_folder("there")
    assert catalog.architecture_of(catalog.find("m"))["width"] == DEFAULT["width"]
    assert "--start '' --steps 60" in Path("runs/own/CARD.md").read_text()


def test_folders_of_images(capsys: pytest.CaptureFixture[str]) -> None:
    """Those of most files are taken, whole files are for validation."""
    Path("images").mkdir()
    for k in range(11):
        Image.fromarray(np.ascontiguousarray(photograph()[8 * k : 8 * k + 40, : 40 + k])).save(f"images/{k:02}.png")
    Image.fromarray(stack(1)[0]).save("images/other.tif")
    pictures = open_pictures(["images"], kinds=KINDS)
    train, kept = plane_data.split(pictures)
    assert {region.array for region in kept} == {4}
    assert {region.array for region in train} == {*range(11)} - {4}
    assert main(["train", "images", "--steps", "20"]) == 0
    assert "1 file(s) of another dtype or number of channels left out" in capsys.readouterr().err


def test_what_a_chunk_is() -> None:
    """The array's own, else and of large ones parts; regions are no smaller where there are enough of them."""
    for shape, chunks, channel, size in (
        ((40, 512, 512), (5, 128, 100), None, (5, 128, 100)),
        ((40, 5, 512, 300), None, None, (3, 5, 256, 256)),
        ((40, 512, 512), (40, 512, 512), None, (16, 256, 256)),
        ((512, 300, 3), None, 2, (256, 256, 3)),
        ((3, 9, 512, 512), None, 0, (3, 9, 256, 256)),
    ):
        if chunks:
            array: Any = zarr.create_array({}, shape=shape, chunks=chunks, dtype="u2")
        else:
            array = np.zeros(shape, np.uint16)
        opened = plane_data.Opened("a", array, (1,) * len(shape), (0,) * len(shape), shape)
        axes = image_axes(shape, channel, "auto")
        assert axes is not None
        assert plane_data.chunk_size(opened, axes) == size


def test_rows_are_what_the_encoder_sees() -> None:
    """The share of pixels, the references it chooses, luma and chroma of a JPEG, and numbers that begin at zero."""
    start = Start("start").loaded
    rng = np.random.default_rng(0)

    def rows(chunk: Any, channel: int | None, share: float) -> list[Rows]:
        axes = image_axes(chunk.shape, channel, "auto")
        assert axes is not None
        (found,) = plane_data.observe_chunk(chunk, axes, start, share, rng)
        return found

    chunk = stack(4)
    found = rows(chunk, None, 1.0)
    assert [len(each.x) for each in found] == [48 * 40] * 4
    numbers = (chunk - chunk.min()) // 4
    assert np.array_equal(np.bincount(np.concatenate([each.x for each in found])), np.bincount(numbers.reshape(-1)))
    assert {int(m) for each in found for m in each.m} == {int(numbers.max())}
    some = rows(chunk, None, 0.1)
    assert 0.08 < sum(len(each.x) for each in some) / chunk.size < 0.12
    rgb = colour.to_rgb(rng.integers(100, 150, (40, 40, 3)).astype(np.uint8), 2)
    ycbcr = colour.to_ycbcr(rgb, 2)
    assert ycbcr is not None
    found = rows(rgb, 2, 1.0)
    assert [int(each.x.sum()) for each in found] == [*(int(ycbcr[..., k].sum()) for k in range(3)), 0]
    axes = image_axes((9, 9), None, "auto")
    assert axes is not None
    assert plane_data.observe_chunk(np.full((9, 9), 7, np.uint8), axes, start, 1.0, rng) == []


def test_the_last_layer_learns_in_what_networks_are_fitted_to() -> None:
    """With what it knows at the end of a tile, pixels cost less than with the model's weights."""
    start = Start("universal-v1")
    axes = image_axes((4, 96, 96), None, "auto")
    assert axes is not None
    parts = plane_data.observe_chunk(stack(4, 96, 96), axes, start.loaded, 1.0, np.random.default_rng(0))
    for net, rows in zip(start.nets, map(joined, zip(*parts, strict=True)), strict=True):
        assert rows.learnt.shape == (1, 3 * net.K, DEFAULT["width"] + CONTEXTS)
        index = np.arange(len(rows.x))
        before, after = (evaluate(net, rows, index, share=share).mean().item() for share in (0.0, 1.0))
        assert after < before


def test_joined_rows_know_their_tiles() -> None:
    start = Start("start").loaded
    axes = image_axes((48, 40), None, "auto")
    assert axes is not None
    parts = [plane_data.observe_chunk(chunk, axes, start, 0.5, np.random.default_rng(0))[0][0] for chunk in stack(3)]
    rows = joined(parts)
    assert np.array_equal(np.bincount(rows.tile), [len(each.x) for each in parts])
    for number, each in enumerate(parts):
        assert np.array_equal(rows.learnt[number], each.learnt[0])


def test_rows_are_bounded_and_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    data = stack(40)
    zarr.create_array("a.zarr", data=data, chunks=(1, 48, 40))
    monkeypatch.setattr(plane_data, "SAMPLES", 8 * 48 * 40)
    monkeypatch.setattr(plane_data, "ROWS", 4000)
    pictures = open_pictures(["a.zarr"], kinds=KINDS)
    train, kept = plane_data.split(pictures)
    assert {region.place[0] % 10 for region in kept} == {4}
    seen = [region.place[0] for region in plane_data._spread(train, plane_data.SAMPLES)]
    assert len(seen) == 8
    assert max(np.diff([0, *seen, 40])) <= 6
    data_of = plane_data.open_planes(pictures, Start("start").loaded, "a")
    assert 3000 < sum(len(each.x) for each in data_of.rows) < 5000
    held = {data[k].tobytes() for k in (4, 14, 24, 34)}
    assert {chunk.tobytes() for chunk in data_of.chunks} == held


def test_weights_of_a_model_file_are_taken_as_they_are() -> None:
    """Also where the largest weight is the largest that there is; fitting changes them."""
    torch.manual_seed(1)
    nets = new_nets(ARCH, 1)
    tensors = integer_tensors(nets)
    assert {int(np.abs(tensors[f"net{R}.in.w"]).max()) for R in range(4)} <= {*range(32, 64)}
    tensors["net0.in.w"][:, 0] = 63
    tensors["net1.head.b"][:] = [-(1 << 20), 1 << 20, *range(7)]
    others = new_nets(ARCH, 2)
    take_tensors(others, tensors)
    again = integer_tensors(others)
    assert all(np.array_equal(tensors[name], again[name]) for name in tensors)


def test_networks_without_rows_stay_as_they_are() -> None:
    start = Start("start")
    axes = image_axes((48, 40), None, "auto")
    assert axes is not None
    (rows,) = plane_data.observe_chunk(stack(1)[0], axes, start.loaded, 1.0, np.random.default_rng(0))
    before = rates(start.nets, rows)
    fitting = Fitting(start.nets, rows, batch=512)
    names = integer_tensors(start.nets)
    for step in range(30):
        fitting.train(step / 30, True)
    after = integer_tensors(fitting.averages)
    assert {name[:4] for name in names if not np.array_equal(names[name], after[name])} == {"net0"}
    assert rates(fitting.averages, rows)[0] < before[0]


def test_steps_in_the_place_of_a_time_give_the_same_model() -> None:
    np.save("a.npy", stack())
    for run in ("one", "two"):
        assert main(["train", "a.npy", "--steps", "25", "--folder", run]) == 0
    assert model_of("one") == model_of("two")


def test_ctrl_c_writes_what_there_is_and_the_run_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was stopped gives the model of one that was not, bit for bit."""
    np.save("a.npy", stack())
    command = ["train", "a.npy", "--steps", "60"]
    assert main([*command, "--folder", "whole"]) == 0
    step = PlaneTrainer._step

    def interrupted(self: PlaneTrainer, progress: float) -> float:
        if self.fitting.step == 43:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, progress)

    with monkeypatch.context() as patch:
        patch.setattr(PlaneTrainer, "_step", interrupted)
        assert main([*command, "--folder", "parts"]) == 0
    assert "stopped at step 44; the same command resumes" in capsys.readouterr().err
    first = model_of("parts")
    assert main([*command, "--folder", "parts"]) == 0
    assert first in [path.read_bytes() for path in Path("parts").glob("a-*.safetensors")]
    assert Path("parts/a.safetensors").read_bytes() == model_of("whole") != first


def test_a_run_begins_with_another_run(capsys: pytest.CaptureFixture[str]) -> None:
    np.save("a.npy", stack())
    assert main(["train", "a.npy", "--steps", "40"]) == 0
    _, reached = validation(capsys.readouterr().out)
    assert main(["train", "a.npy", "--steps", "5", "--start", "runs/a", "--name", "b"]) == 0
    before, _ = validation(capsys.readouterr().out)
    assert before < reached + 0.02
    small = safetensors.numpy.load(Path("runs/b/b.safetensors").read_bytes())
    assert small["net0.in.w"].shape[0] == 16


def test_no_model_is_written_that_is_not_better(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the rates of validation rows, and by the bytes of validation chunks."""
    np.save("a.npy", stack())
    command = ["train", "a.npy", "--steps", "3"]
    with monkeypatch.context() as patch:
        patch.setattr(plane_trainer, "RATE_FROM_START", 0.0)
        assert main([*command, "--folder", "one"]) == 0
    assert "is not smaller than start on validation data; no model is written" in capsys.readouterr().out

    def spoilt(self: PlaneTrainer) -> None:
        """Rates that are wrong."""
        for net in self.best:
            for each in net.parameters():
                torch.nn.init.normal_(each)
        self.best_rates = [0.0] * 4

    with monkeypatch.context() as patch:
        patch.setattr(PlaneTrainer, "report", spoilt)
        assert main([*command, "--folder", "two"]) == 0
    assert "a is not smaller than start on these chunks; no model is written" in capsys.readouterr().out
    assert not [*Path("one").glob("*.safetensors"), *Path("two").glob("*.safetensors")]
    assert main([*command, "--steps", "40", "--folder", "one"]) == 0
    assert model_of("one")


def test_bad_input_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save("floats.npy", np.zeros((40, 40), np.float32))
    np.save("wide.npy", np.zeros((40, 40), np.int32))
    np.save("flat.npy", np.full((64, 64), 9, np.uint8))
    np.save("small.npy", stack(1, 15, 15)[0])
    np.save("good.npy", stack())
    np.save("other.npy", stack())
    Path("wide").mkdir()
    np.save("wide/a.npy", np.zeros((9, 9)))
    Path("damaged").mkdir()
    Path("damaged/checkpoint.pt").write_bytes(b"half of it")
    Path("file").write_text("no folder")
    assert main(["train", "good.npy", "--steps", "2", "--folder", "run"]) == 0
    before = set(tmp_path.rglob("*.safetensors"))
    capsys.readouterr()
    for arguments, what in (
        (["missing.npy"], "not a Zarr array"),
        (["floats.npy"], "holds float32; models are trained on integers of 8 or 16 bits"),
        (["wide.npy"], "holds int32"),
        (["wide"], "no file in wide can be used"),
        (["flat.npy"], "nothing to learn"),
        (["small.npy"], "too little data"),
        (["good.npy", "--start", "no-such-model"], "no-such-model"),
        (["good.npy", "--start", "photo-rgb8-flow"], "not a model of the plane coder"),
        (["good.npy", "--start", "no/such/run"], "no run to start from"),
        (["good.npy", "--folder", "damaged"], "damaged"),
        (["good.npy", "--folder", "file"], "cannot be created"),
        (["other.npy", "--folder", "run"], "a run on good.npy"),
        (["good.npy", "--start", "", "--folder", "run"], "another [model]"),
        (["good.npy", "--minutes", "0"], "above 0"),
        (["good.npy", "--steps", "0"], "1 or more"),
        (["good.npy", "--bf16"], "go with --recipe"),
        (["good.npy", "--device", "cuda"], "go with --recipe"),
        (["good.npy", "--data", "x"], "belongs to a recipe"),
        (["good.npy", "--name", "photo-rgb8-v2"], "choose another with --name"),
    ):
        assert main(["train", *arguments]) == 2, arguments
        assert what in capsys.readouterr().err, arguments
    assert set(tmp_path.rglob("*.safetensors")) == before
    assert not list(tmp_path.rglob("*.tmp"))

"""`numcodecs-bitswap train` on one's own arrays: what is opened, kept for validation, written, said."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from numcodecs_bitswap import BitSwap
from numcodecs_bitswap.cli import main
from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.readers.arrays import SourceError, open_array
from numcodecs_bitswap.train import loop, own_arrays, validation
from numcodecs_bitswap.train.data import Augmentation, DataError
from numcodecs_bitswap.train.export import layers, take_tensors
from numcodecs_bitswap.train.own_arrays import RegionSource, open_pictures, planes, split
from numcodecs_bitswap.train.recipe import default_recipe, read_recipe, recipe_text
from numcodecs_bitswap.train.sources import open_regions
from strategies import picture

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
TINY = """
name = "tiny-own"
licence = "none"
[model]
channels = 1
stages = 1
mixtures = 2
width = 8
blocks = 1
channel_width = 4
direct_width = 8
direct_blocks = 1
core_width = 8
core_blocks = 1
latent_layers = 1
latent_channels = 2
[training]
steps = 8
batch = 2
patch = 16
learning_rate = 2e-3
[augmentation]
flip = true
"""


def stack(n: int = 12, height: int = 40, width: int = 50) -> Any:
    """uint8 planes (n, height, width) of pictures with noise."""
    rng = np.random.default_rng(0)
    pictures = np.stack([picture((height, width, 1), k)[..., 0] for k in range(n)])
    return pictures // 2 + rng.integers(0, 40, (n, height, width), np.uint8)


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are written here, and models of other tests are not known."""
    monkeypatch.chdir(tmp_path)
    for name in ("_registered", "_found", "_loaded"):
        monkeypatch.setattr(catalog, name, type(getattr(catalog, name))())
    (tmp_path / "tiny.toml").write_text(TINY)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_zarr_array_becomes_a_model_that_codes_it(
    tmp_path: Path, zarr_format: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a recipe, the default one: all files are there, and the lines printed are those that use the model."""
    array = zarr.create_array("cells.zarr", data=stack(), chunks=(1, 40, 50), zarr_format=zarr_format)
    assert main(["train", "cells.zarr", "--recipe", "default", "--minutes", "0.01"]) == 0
    printed = capsys.readouterr()
    folder = tmp_path / "runs" / "cells"
    assert {path.name for path in folder.iterdir()} == {
        *("CARD.md", "cells.safetensors", "checkpoint.pt", "log.txt", "plot.png", "recipe.toml"),
    }
    for name in ("Zstd", "JPEG XL effort 7", "BitSwap, default model", "BitSwap, cells"):
        assert name in printed.out
        assert name in (folder / "CARD.md").read_text()
    assert "best of 8 other codecs" in printed.err
    with Image.open(folder / "plot.png") as image:
        assert image.width > 500
    (models,) = re.findall(r"export NUMCODECS_BITSWAP_MODELS=(.+)", printed.out)
    monkeypatch.setattr(catalog, "_registered", [])
    monkeypatch.setattr(catalog, "_found", {})
    monkeypatch.setenv("NUMCODECS_BITSWAP_MODELS", models)
    assert 'BitSwap(model="cells")' in printed.out
    codec = BitSwap(model="cells")
    assert np.array_equal(codec.decode(codec.encode(array[0:1])), array[0:1])


def test_a_region_by_url(tmp_path: Path) -> None:
    zarr.create_array("a.zarr", data=stack(12), chunks=(1, 20, 50))
    opened = open_array(f"file://{tmp_path}/a.zarr", "2:8, :,10:40")
    assert opened.shape == (6, 40, 30)
    assert np.array_equal(opened.read((1, 20, 0), (2, 100, 10)), stack(12)[3:5, 20:40, 10:20])
    assert open_array("a.zarr", "3").shape == (1, 40, 50)
    for region in ("1:2:3", "a:b", ":,:,:,:", "12:13", "5:5", "-1:"):
        with pytest.raises(SourceError, match="--region"):
            open_array("a.zarr", region)


def test_files_that_are_arrays(tmp_path: Path) -> None:
    data = stack(3)
    np.save("a.npy", data)
    np.savez("b.npz", a=data)
    pages = [Image.fromarray(plane) for plane in data]
    pages[0].save("c.tif", save_all=True, append_images=pages[1:])
    for name in ("a.npy", "b.npz", "c.tif"):
        opened = open_array(name)
        assert (opened.shape, opened.dtype) == (data.shape, data.dtype)
        assert np.array_equal(opened.read((1, 0, 0), (1, 99, 99)), data[1:2])
    for mode, shape in (("1", (8, 9)), ("LA", (8, 9)), ("P", (8, 9, 3)), ("RGBA", (8, 9, 3))):
        Image.new(mode, (9, 8)).save("d.png")
        opened = open_array("d.png", colours=True)
        assert opened.shape == shape == opened.read((0,) * len(shape), shape).shape


def test_a_folder_of_files_of_one_kind(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for k in range(11):
        Image.fromarray(picture((40 if k else 8, 50 + k, 3), k)).save(folder / f"{k:02}.png")
    Image.fromarray(stack(1)[0].astype(np.uint16)).save(folder / "other.tif")
    pictures = open_pictures([str(folder)])
    assert (len(pictures.arrays), pictures.channels, pictures.side) == (11, 3, 40)
    assert (pictures.left_out, pictures.sides) == (1, [8, *[40] * 10])
    about = open_regions(pictures, default_recipe(3, 40, "mine", "none")).about
    assert "1 file(s) of another dtype or number of channels left out; 1 smaller than 32 x 32 left out" in about
    train, kept = split(pictures, 16)
    assert {region.array for region in kept} == {4}
    assert {region.array for region in train} == {*range(1, 11)} - {4}


@settings(max_examples=40)
@given(
    shape=st.tuples(st.integers(1, 24), st.integers(16, 150), st.integers(16, 150)),
    chunks=st.tuples(st.integers(1, 5), st.integers(3, 300), st.integers(3, 300)),
    leading=st.booleans(),
)
def test_no_validation_data_is_trained_on(shape: tuple[int, ...], chunks: tuple[int, ...], leading: bool) -> None:
    """Pieces lie in the array, large enough for a patch, and none overlaps another."""
    shape, chunks = (shape, chunks) if leading else (shape[1:], chunks[1:])
    array = zarr.create_array({}, shape=shape, chunks=tuple(map(min, shape, chunks)), dtype="u1")
    opened = own_arrays.Opened("a", array, array.chunks, (0,) * len(shape), shape)
    axes = own_arrays.image_axes(shape, None, "auto")
    assert axes is not None
    try:
        train, kept = split(own_arrays.Pictures([opened], [axes], 1), 16)
    except DataError:
        assert np.prod([n // 16 for n in shape[-2:]]) * (shape[0] if leading else 1) <= 8
        return
    seen = np.zeros(shape, np.uint8)
    for region in [*train, *kept]:
        assert min(region.size[-2:]) >= 16
        block = seen[tuple(slice(p, p + n) for p, n in zip(region.place, region.size, strict=True))]
        assert block.shape == region.size
        block += 1
    assert seen.max() == 1
    share = sum(np.prod(region.size) for region in kept) / seen.sum()
    assert share <= 0.5


def test_codecs_are_compared_on_whole_chunks_and_rates_on_large_crops() -> None:
    data = stack(20, 96, 96)
    zarr.create_array("a.zarr", data=data, chunks=(2, 64, 64))
    pictures = open_pictures(["a.zarr"])
    recipe = default_recipe(1, 96, "mine", "none")
    kept = split(pictures, recipe.training.patch)[1]
    of = validation.validation(pictures, kept, recipe)
    assert {chunk.shape for chunk in of.chunks} == {(2, 64, 64)}
    assert {crop.shape for crop in of.crops} == {(64, 64)}
    assert of.patches.shape == (len(of.crops), 1, 64, 64)
    planes = {region.place[0] for region in kept}
    held = {
        data[k, y : y + 64, x : x + 64].tobytes() for p in planes for k in (p, p + 1) for y in (0, 32) for x in (0, 32)
    }
    assert {crop.tobytes() for crop in of.crops} <= held
    assert all(np.array_equal(crop, patch[0]) for crop, patch in zip(of.crops, of.patches, strict=True))


def test_memory_is_bounded_and_depends_on_the_step_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    data = stack(40, 32, 32)
    zarr.create_array("a.zarr", data=data, chunks=(1, 32, 32))
    monkeypatch.setattr(own_arrays, "MEMORY", 6 * 32 * 32)
    monkeypatch.setattr(own_arrays, "PERIOD", 10)
    pictures = open_pictures(["a.zarr"])
    train, kept = split(pictures, 16)
    assert {region.place[0] % 10 for region in kept} == {4}

    def batches(steps: Any) -> dict[int, Any]:
        source = RegionSource(pictures, train, 16, Augmentation(flip=True), 0)
        every = {step: source.sample(4, np.random.default_rng((0, step)), step) for step in steps}
        assert len(source._kept) <= 6
        return every

    whole, later = batches(range(60)), batches(range(30, 60))
    assert all(np.array_equal(whole[step], later[step]) for step in later)
    reads = []
    monkeypatch.setattr(own_arrays, "planes", lambda p, region: reads.append(region) or planes(p, region))
    batches(range(60))
    assert len(set(reads)) > 12
    assert len(reads) < 60


def test_a_petabyte_is_no_trouble() -> None:
    """It holds nothing, so nothing is read; a tenth of the planes is for validation."""
    zarr.create_array("a.zarr", shape=(10**6, 2**15, 2**15), chunks=(1, 256, 256), dtype="u1", fill_value=7)
    pictures = open_pictures(["a.zarr"])
    start = time.monotonic()
    train, kept = split(pictures, 64)
    assert time.monotonic() - start < 10
    assert 0.05 < len(kept) / len(train) < 0.2
    assert {region.place[0] % 10 for region in kept} == {4}
    source = RegionSource(pictures, train, 64, Augmentation(), 0)
    assert source.sample(4, np.random.default_rng(0)).shape == (4, 1, 64, 64)


def test_empty_planes_are_left_out() -> None:
    data = stack(20, 32, 32)
    data[::2] = 7
    zarr.create_array("a.zarr", data=data, chunks=(1, 32, 32))
    pictures = open_pictures(["a.zarr"])
    source = RegionSource(pictures, split(pictures, 16)[0], 16, Augmentation(), 0)
    patches = source.sample(100, np.random.default_rng(0))
    assert np.mean([patch.min() == patch.max() for patch in patches]) < 0.05


@pytest.mark.parametrize(("channels", "side", "patch"), [(3, 300, 64), (1, 300, 64), (1, 50, 32), (3, 16, 16)])
def test_the_default_recipe(channels: int, side: int, patch: int, tmp_path: Path) -> None:
    recipe = default_recipe(channels, side, "mine", "none")
    assert (recipe.model.channels, recipe.training.patch) == (channels, patch)
    (tmp_path / "recipe.toml").write_text(recipe_text(recipe))
    assert read_recipe(tmp_path / "recipe.toml") == recipe
    net = recipe.model.network()
    taken = take_tensors(net, safetensors.numpy.load(catalog.read(catalog.find(recipe.start))))
    assert taken == len(list(layers(net))), "the model that it begins with has the same architecture"


def model_bytes(run: str) -> bytes:
    (path,) = Path(run).glob("*.safetensors")
    return path.read_bytes()


def test_training_is_reproducible_from_its_recipe() -> None:
    """And from the recipe that it writes, which says how many steps were done."""
    zarr.create_array("a.zarr", data=stack(), chunks=(1, 40, 50))
    for run, recipe in (("one", "tiny.toml"), ("two", "tiny.toml"), ("three", "one/recipe.toml")):
        assert main(["train", "a.zarr", "--recipe", recipe, "--run", run]) == 0
    assert model_bytes("one") == model_bytes("two") == model_bytes("three")


def test_a_run_that_was_killed_goes_on_and_is_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGKILL between two saves: the same command gives the model of a run that was not stopped, bit for bit."""
    zarr.create_array("a.zarr", data=stack(), chunks=(1, 40, 50))
    Path("tiny.toml").write_text(TINY.replace("steps = 8", "steps = 40"))
    assert main(["train", "a.zarr", "--recipe", "tiny.toml", "--run", "whole"]) == 0
    program = (
        "import sys; from numcodecs_bitswap.train import loop; loop.REPORT_EVERY_S = (0.0, 0.0)\n"
        "from numcodecs_bitswap.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = ["train", "a.zarr", "--recipe", "tiny.toml", "--run", "parts"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", program, *command], stderr=subprocess.DEVNULL, env=environment)
    for _ in range(600):
        if Path("parts/checkpoint.pt").exists():
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list(Path("parts").glob("*.safetensors")), "the run was over too soon"
    step = int(Path("parts/log.txt").read_text().splitlines()[-1].split()[1])
    assert 0 < step < 40
    assert main(command) == 0
    assert model_bytes("parts") == model_bytes("whole")


def test_ctrl_c_writes_what_there_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    zarr.create_array("a.zarr", data=stack(), chunks=(1, 40, 50))
    step = loop.Trainer._train_step

    def interrupted(self: loop.Trainer, progress: float) -> dict[str, float]:
        if self.step == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, progress)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Trainer, "_train_step", interrupted)
        assert main(["train", "a.zarr", "--recipe", "tiny.toml", "--run", "parts"]) == 0
    assert "stopped at step 4; the same command resumes" in capsys.readouterr().err
    first = model_bytes("parts")
    assert main(["train", "a.zarr", "--recipe", "tiny.toml", "--run", "parts"]) == 0
    assert first in [path.read_bytes() for path in Path("parts").glob("tiny-own-*.safetensors")]
    assert (Path("parts") / "tiny-own.safetensors").read_bytes() != first


def test_training_ends_where_nothing_is_gained(monkeypatch: pytest.MonkeyPatch) -> None:
    zarr.create_array("a.zarr", data=stack(), chunks=(1, 40, 50))
    monkeypatch.setattr(loop, "REPORT_EVERY_S", (0.0, 0.0))
    monkeypatch.setattr(loop, "PLATEAU_GAIN", 1.0)
    monkeypatch.setattr(loop, "PLATEAU_REPORTS", 4)
    start = time.monotonic()
    assert main(["train", "a.zarr", "--recipe", "default", "--minutes", "9", "--name", "flat"]) == 0
    assert time.monotonic() - start < 240


def test_a_full_disk_is_said_and_leaves_what_there_was(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    zarr.create_array("a.zarr", data=stack(), chunks=(1, 40, 50))
    command = ["train", "a.zarr", "--recipe", "tiny.toml", "--run", "run"]
    assert main(command) == 0
    before = {path: path.read_bytes() for path in Path("run").iterdir()}
    Path("tiny.toml").write_text(TINY.replace("steps = 8", "steps = 12"))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert main(command) == 2
    assert "No space left on device" in capsys.readouterr().err
    after = {path: path.read_bytes() for path in Path("run").iterdir()}
    assert {path: data for path, data in after.items() if path.name != "log.txt"} == {
        path: data for path, data in before.items() if path.name != "log.txt"
    }
    assert main(command) == 0


def test_bad_input_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zarr.create_array("floats.zarr", data=np.zeros((40, 40), np.float32))
    zarr.create_array("numbers.zarr", data=stack().astype(np.uint16))
    zarr.create_array("small.zarr", data=stack(1, 17, 17)[0])
    zarr.create_array("thin.zarr", data=stack(1, 9, 100)[0])
    zarr.create_array("line.zarr", data=np.arange(100, dtype="u1"))
    zarr.create_array("colour.zarr", data=picture((40, 40, 3), 0))
    zarr.create_array("good.zarr", data=stack(), chunks=(1, 40, 50))
    zarr.create_group("group.zarr").create_array("inside", shape=(20, 20), dtype="u1")
    (tmp_path / "wild.toml").write_text(TINY.replace("2e-3", "1e30"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "wide").mkdir()
    np.save(tmp_path / "wide" / "a.npy", stack().astype(np.int16))
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "checkpoint.pt").write_bytes(b"half of it")
    (tmp_path / "text.png").write_text("no image")
    stages = ["--recipe", "default"]
    for arguments, what in (
        (["missing.zarr"], "not a Zarr array"),
        (["empty"], "no Zarr array, no .npy"),
        (["text.png"], "not a Zarr array"),
        (["floats.zarr"], "holds float32; models are trained on integers of 8 or 16 bits"),
        (["floats.zarr", *stages], "float32"),
        (["numbers.zarr", *stages], "holds uint16; with --recipe, models are trained on uint8"),
        (["wide", *stages], "no file in wide can be used: with --recipe, models are trained on uint8"),
        (["small.zarr", *stages], "too little data"),
        (["thin.zarr", *stages], "too small"),
        (["line.zarr"], "two axes or more"),
        (["group.zarr"], "inside"),
        (["good.zarr", "--region", "99:"], "--region"),
        (["good.zarr", "--channel-axis", "7"], "axis 7 does not exist"),
        (["good.zarr", "--name", "photo-rgb8-v2"], "choose another with --name"),
        (["good.zarr", "--name", "../x"], "letters"),
        (["good.zarr", "--data", "x"], "belongs to a recipe"),
        (["good.zarr", "--recipe", "missing.toml"], "missing.toml"),
        (["good.zarr", *stages, "--run", "damaged"], "damaged"),
        (["good.zarr", *stages, "--run", "text.png"], "cannot be created"),
        (["colour.zarr", "--recipe", "tiny.toml"], "3 channel"),
        (["good.zarr", "--recipe", "wild.toml", "--run", "wild"], "lower learning_rate"),
        (["good.zarr", "--minutes", "0"], "above 0"),
        (["good.zarr", *stages, "--steps", "9"], "--steps"),
        (["good.zarr", "--recipe", "tiny.toml", "--start", "patch32-rgb8-flow"], "no weights in common"),
        (["tiny.toml"], "takes --data"),
    ):
        assert main(["train", *arguments]) == 2, arguments
        assert what in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.safetensors"))
    assert not (tmp_path / "wild" / "checkpoint.pt").exists()
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_run_is_not_gone_on_with_on_other_data(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.zarr", "b.zarr"):
        zarr.create_array(name, data=stack(), chunks=(1, 40, 50))
    assert main(["train", "a.zarr", "--recipe", "tiny.toml", "--run", "run"]) == 0
    assert main(["train", "b.zarr", "--recipe", "tiny.toml", "--run", "run"]) == 2
    assert "a run on a.zarr" in capsys.readouterr().err

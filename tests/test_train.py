"""Training: recipes are checked, a stopped run goes on as if it had not been, the integers are the network trained."""

import gzip
import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.research.bound import CountingMessage, bound_bits
from numcodecs_bitswap import BitSwap
from numcodecs_bitswap.backends import for_device
from numcodecs_bitswap.bitsback import bit_swap
from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.nets.bit_swap import BitSwapModel
from numcodecs_bitswap.nets.vae import VaeModel
from numcodecs_bitswap.rans.message import Message
from numcodecs_bitswap.train import data, loop, sources
from numcodecs_bitswap.train.arrays import ArraySource, binarised, read_items
from numcodecs_bitswap.train.data import DataError, list_images, split_validation
from numcodecs_bitswap.train.export import architecture, integer_tensors, write_model
from numcodecs_bitswap.train.loop import Trainer, evaluate
from numcodecs_bitswap.train.networks import Architecture
from numcodecs_bitswap.train.recipe import Recipe, RecipeError, read_recipe
from numcodecs_bitswap.train.sources import open_data
from numcodecs_bitswap.train.vae import VaeArchitecture
from pictures import photograph
from random_models import LIKELIHOODS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
RECIPE = """
name = "mine"
licence = "none"
[model]
channels = 3
stages = 1
mixtures = 2
width = 8
blocks = 1
channel_width = 8
direct_width = 8
direct_blocks = 1
core_width = 8
core_blocks = 1
latent_layers = 2
latent_channels = 2
[training]
steps = 6
batch = 4
patch = 16
large_patch = 32
learning_rate = 2e-3
"""
VAE_RECIPE = """
name = "mine"
licence = "none"
[model]
kind = "vae"
channels = 1
height = 10
width = 10
latent_channels = 3
latent_bits = 5
likelihood = "bernoulli"
levels = 2
mixtures = 1
hidden = 8
direct_width = 4
direct_blocks = 0
channel_width = 1
[training]
steps = 20
batch = 4
patch = 10
learning_rate = 5e-2
[augmentation]
binarise = true
"""
WITHOUT_STAGES = RECIPE.replace("stages = 1", "stages = 0").replace("patch = 16", "patch = 10")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve small photographs."""
    path = tmp_path_factory.mktemp("images")
    for i in range(12):
        Image.fromarray(photograph()[20 * i : 20 * i + 40, 30 * i : 30 * i + 48]).save(path / f"{i:02}.png")
    return path


def recipe(tmp_path: Path, text: str = RECIPE) -> Recipe:
    (tmp_path / "recipe.toml").write_text(text)
    return read_recipe(tmp_path / "recipe.toml")


def trainer(tmp_path: Path, folder: Path, steps: int, run: str) -> Trainer:
    return on(recipe(tmp_path, RECIPE.replace("steps = 6", f"steps = {steps}")), folder, tmp_path / run)


def on(recipe: Recipe, data: Path, run: Path) -> Trainer:
    return Trainer(recipe, open_data([data], recipe), run, "cpu", False)


@pytest.mark.parametrize("path", sorted(ROOT.glob("models/*/recipe.toml")), ids=lambda path: path.parent.name)
def test_every_recipe_is_valid_and_named_like_its_folder(path: Path) -> None:
    assert read_recipe(path).name == path.parent.name


@pytest.mark.parametrize("name", catalog.names())
def test_every_shipped_model_has_a_card_with_its_checksum(name: str) -> None:
    card = (ROOT / "models" / name / "CARD.md").read_text(encoding="utf-8")
    assert catalog.names()[name] in card


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("width = 8\nblocks", "blocks", "width"),
        ("mixtures", "mixture", "unknown entry mixture"),
        ("channels = 3", "channels = 4", "channels must be 1 or 3"),
        ("patch = 16", "patch = 20", "power of two"),
        ("large_patch = 32", "large_patch = 48", "power of two"),
        ("patch = 16", "patch = 2", "power of two"),
        ("[training]", "[training", "recipe.toml"),
        ("channels = 3", 'kind = "fog"\nchannels = 3', "kind is 'fog'"),
        ("channels = 3", "channels = 3\npatch_log2 = 2", "patch_log2 must be 3 .. 12"),
    ],
)
def test_a_wrong_recipe_says_what_is_wrong(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe(tmp_path, RECIPE.replace(old, new, 1))


@pytest.mark.parametrize(
    ("text", "old", "new", "message"),
    [
        (WITHOUT_STAGES, "patch = 10", "patch = 9", "even"),
        (VAE_RECIPE, "patch = 10", "patch = 12", "height and width"),
        (VAE_RECIPE, '"bernoulli"', '"gaussian"', "likelihood must be one of"),
        (VAE_RECIPE, "levels = 2", "levels = 256", "levels must be 2 .. 2"),
        (VAE_RECIPE, "latent_bits = 5", "latent_bits = 10", "latent_bits must be 1 .. 9"),
        (VAE_RECIPE, "hidden", "stages", "unknown entry stages"),
    ],
)
def test_a_wrong_recipe_of_another_kind_says_what_is_wrong(
    tmp_path: Path, text: str, old: str, new: str, message: str
) -> None:
    recipe(tmp_path, text)
    with pytest.raises(RecipeError, match=message):
        recipe(tmp_path, text.replace(old, new, 1))


ITEMS = np.random.default_rng(0).integers(0, 256, (20, 10, 10), np.uint8)


def write(path: Path, items: np.ndarray) -> Path:
    """An array file of the format that its suffix names."""
    if path.suffix == ".npz":
        np.savez_compressed(path, images=items)
    elif path.suffix == ".npy":
        np.save(path, items)
    else:
        raw = bytes([0, 0, 8, items.ndim]) + np.array(items.shape, ">u4").tobytes() + items.tobytes()
        path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a-idx3-ubyte", "a-idx3-ubyte.gz"])
def test_array_files(tmp_path: Path, name: str) -> None:
    assert np.array_equal(read_items(write(tmp_path / name, ITEMS), 1)[..., 0], ITEMS)
    colour = np.stack([ITEMS] * 3, 3)
    assert np.array_equal(read_items(write(tmp_path / name, colour), 3), colour)
    with pytest.raises(DataError, match=r"not uint8 \(n, h, w\) or \(n, h, w, 1\)"):
        read_items(tmp_path / name, 1)


def test_array_files_that_cannot_be_trained_on(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(DataError, match="float64"):
        read_items(write(tmp_path / "a.npy", np.zeros((2, 4, 4))), 1)
    (tmp_path / "b.npy").write_bytes(b"what")
    with pytest.raises(DataError, match="cannot be read"):
        read_items(tmp_path / "b.npy", 1)
    with pytest.raises(DataError, match="smaller ones than patches of 12"):
        ArraySource([list(ITEMS[..., None])], 12, data.Augmentation())
    with pytest.raises(DataError, match="array files"):
        open_data([folder], recipe(tmp_path, VAE_RECIPE))


def test_items_are_whole_patches_or_cropped_and_flipped_only_if_asked() -> None:
    items, rng = list(ITEMS[..., None]), np.random.default_rng(0)
    known = {item.tobytes() for item in items}
    whole = ArraySource([items], 10, data.Augmentation()).sample(50, rng)
    assert whole.shape == (50, 1, 10, 10)
    assert {patch.tobytes() for patch in whole} <= known
    assert len({patch.tobytes() for patch in whole}) > 10
    flipped = ArraySource([items], 10, data.Augmentation(flip=True)).sample(50, rng)
    assert not {patch.tobytes() for patch in flipped} <= known
    crops = ArraySource([items], 4, data.Augmentation()).sample(50, rng)[:, 0]
    windows = np.lib.stride_tricks.sliding_window_view(ITEMS, (4, 4), axis=(1, 2)).reshape(-1, 4, 4)
    assert all((crop == windows).all((1, 2)).any() for crop in crops)


def test_binarised_items_are_drawn_anew_with_the_mean_of_the_item() -> None:
    x, rng = np.repeat(np.arange(256, dtype=np.uint8), 2000).reshape(256, 1, 2000), np.random.default_rng(0)
    drawn = binarised(x, rng)
    assert drawn.max() == 1
    assert not drawn[0].any()
    assert drawn[255].all()
    assert np.abs(drawn.mean((1, 2)) - np.arange(256) / 255).max() < 0.05
    assert not np.array_equal(drawn, binarised(x, rng))


@pytest.fixture(scope="module", params=[*LIKELIHOODS, "bit_swap"])
def architecture_without_stages(request: pytest.FixtureRequest) -> Architecture | VaeArchitecture:
    """Of patches of 6 x 6, for every kind of core."""
    if request.param == "bit_swap":
        return Architecture(
            channels=3,
            stages=0,
            mixtures=2,
            width=4,
            blocks=0,
            channel_width=4,
            direct_width=4,
            direct_blocks=0,
            core_width=6,
            core_blocks=1,
            latent_layers=2,
            latent_channels=2,
            patch_log2=5,
        )
    return VaeArchitecture(
        channels=3,
        height=6,
        width=6,
        latent_channels=5,
        latent_bits=4,
        likelihood=request.param,
        levels=LIKELIHOODS[request.param],
        mixtures=2,
        hidden=12,
        direct_width=4,
        direct_blocks=0,
        channel_width=4,
    )


@torch.no_grad()
def test_the_twin_of_a_core_reports_what_the_coder_pays(
    architecture_without_stages: Architecture | VaeArchitecture,
) -> None:
    """The same bits, to the sampling of the latents, for networks that make use of all of their parts."""
    torch.manual_seed(0)
    net = architecture_without_stages.network().eval()
    for parameter in net.parameters():
        parameter += 0.1 * torch.randn_like(parameter)
    kind = VaeModel if isinstance(architecture_without_stages, VaeArchitecture) else BitSwapModel
    model = kind(architecture(net), integer_tensors(net), for_device("cpu"))
    levels = getattr(architecture_without_stages, "levels", 256)
    rng = np.random.default_rng(0)
    x = rng.integers(0, levels, (400, 6, 6, 3), np.uint8)
    words = np.full(1, 1 << 24, np.uint32), rng.integers(0, 1 << 8, 200_000, dtype=np.uint8)
    message = CountingMessage(Message.unflatten([words], model.backend.stack)._stack)
    message.bits = np.zeros(1)
    bit_swap.push(message, model, x.astype(np.int16))
    rates = net.bits(torch.from_numpy(x).permute(0, 3, 1, 2).float())
    assert rates["core"].item() * len(x) == pytest.approx(message.bits.item(), rel=0.01)
    assert 0 < rates["popped"] < rates["core"]


@pytest.mark.parametrize("text", [VAE_RECIPE, WITHOUT_STAGES], ids=["vae", "bit_swap"])
def test_a_model_without_stages_is_trained_on_an_array_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """The loop does not know which net it trains."""
    monkeypatch.setattr(sources, "VALIDATION_ITEMS", 50)
    path = write(tmp_path / "a.npy", np.repeat(ITEMS // 16 * 16, 3, 0))
    for old, new in (("channels = 3", "channels = 1"), ("large_patch = 32\n", ""), ("2e-3", "5e-2")):
        text = text.replace(old, new)
    run = on(recipe(tmp_path, text.replace("steps = 6", "steps = 20")), path, tmp_path / "run")
    before = evaluate(run.average, run.validation)["total"]
    run.run(minutes=10)
    assert evaluate(run.average, run.validation)["total"] < before - 0.01
    assert architecture(run.average)["kind"] == run.recipe.model.kind


def test_folders_that_cannot_be_trained_on(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(DataError, match="not a folder"):
        list_images(tmp_path / "missing")
    with pytest.raises(DataError, match="no image"):
        list_images(tmp_path)
    with pytest.raises(DataError, match="at least 256 pixels"):
        data.PatchSource([list_images(folder)], 256, 3, data.Augmentation(), 0)


def test_a_tenth_is_for_validation(folder: Path) -> None:
    train, validation = split_validation(list_images(folder))
    assert len(validation) == 1
    assert not set(train) & set(validation)


def test_a_stopped_run_goes_on_as_if_it_had_not_been(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trainer(tmp_path, folder, 6, "whole")
    whole.run(minutes=10)
    first = trainer(tmp_path, folder, 6, "parts")
    step = loop.Trainer._train_step

    def interrupted(self: Trainer, progress: float) -> dict[str, float]:
        if self.step == 3:
            raise KeyboardInterrupt
        return step(self, progress)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Trainer, "_train_step", interrupted)
        first.run(minutes=10)
    second = trainer(tmp_path, folder, 6, "parts")
    assert second.step == 3
    second.run(minutes=10)
    assert second.step == 6
    for a, b in zip(whole.average.parameters(), second.average.parameters(), strict=True):
        assert torch.equal(a, b)
    assert len((tmp_path / "parts/log.txt").read_text().splitlines()) == 2


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path, folder: Path) -> None:
    trainer(tmp_path, folder, 6, "run").save()
    other = recipe(tmp_path, RECIPE.replace("mixtures = 2", "mixtures = 1"))
    with pytest.raises(RecipeError, match="another"):
        on(other, folder, tmp_path / "run")


def test_a_run_begins_with_the_weights_of_another(tmp_path: Path, folder: Path) -> None:
    first = trainer(tmp_path, folder, 2, "first")
    first.run(minutes=10)
    second = trainer(tmp_path, folder, 2, "second")
    second.start_from(str(tmp_path / "first"))
    for a, b in zip(first.average.parameters(), second.net.parameters(), strict=True):
        assert torch.equal(a, b)
    assert second.step == 0
    with pytest.raises(RecipeError, match="no run"):
        second.start_from(str(tmp_path / "missing"))


def test_a_run_begins_with_the_weights_of_a_model(tmp_path: Path, folder: Path) -> None:
    """Its integers come back as they are, but for shifts that are larger than need be."""
    first = trainer(tmp_path, folder, 2, "first")
    first.run(minutes=10)
    write_model(first.average, tmp_path / "origin.safetensors", "origin", "none", "")
    catalog.register_folder(tmp_path)
    second = trainer(tmp_path, folder, 2, "second")
    before = evaluate(second.average, second.validation)["total"]
    second.start_from("origin")
    torch.manual_seed(0)
    expected = evaluate(first.average, first.validation)["total"]
    torch.manual_seed(0)
    assert evaluate(second.average, second.validation)["total"] == pytest.approx(expected, rel=1e-6)
    assert expected != before
    theirs, ours = (integer_tensors(net.average) for net in (first, second))
    for name in theirs:
        if name.endswith(".w"):
            shifts = [tensors[name[:-1] + "f"].astype(np.float64)[:, None] for tensors in (theirs, ours)]
            assert np.array_equal(theirs[name] / 2 ** shifts[0], ours[name] / 2 ** shifts[1])
    with pytest.raises(RecipeError, match="no weights in common"):
        second.start_from("mnist-v1")


def test_a_run_of_another_network_gives_what_fits(tmp_path: Path, folder: Path) -> None:
    """Here the stages' channel networks differ in width, and all else is the same."""
    first = trainer(tmp_path, folder, 2, "first")
    first.save()
    other = recipe(tmp_path, RECIPE.replace("channel_width = 8", "channel_width = 4"))
    second = on(other, folder, tmp_path / "second")
    before = second.net.state_dict()["stages.0.phases.0.0.first.weight"].clone()
    second.start_from(str(tmp_path / "first"))
    after, given = second.net.state_dict(), first.net.state_dict()
    assert torch.equal(after["stages.0.phases.0.0.first.weight"], before)
    assert torch.equal(after["core.q.0.first.weight"], given["core.q.0.first.weight"])


def test_the_integers_are_the_network_that_was_trained(tmp_path: Path, folder: Path) -> None:
    """The rate that training reports is the rate that the integer coder pays, to the sampling of the latents."""
    run = trainer(tmp_path, folder, 6, "run")
    run.run(minutes=10)
    model = BitSwapModel(architecture(run.average), integer_tensors(run.average), for_device("cpu"))
    patches = run.validation
    chunks = np.ascontiguousarray(patches.numpy().transpose(0, 2, 3, 1))[:, None]
    paid = bound_bits(model, [chunks], 1).sum() / chunks.size
    assert paid == pytest.approx(evaluate(run.average, patches)["total"], rel=0.01)


def test_the_command_trains_and_writes_a_model_that_codes(tmp_path: Path, folder: Path) -> None:
    recipe(tmp_path)
    command = [sys.executable, "-m", "numcodecs_bitswap.train", "recipe.toml", "--data", str(folder), "--run", "run"]
    process = subprocess.run(
        [*command, "--bf16"], cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False
    )
    assert process.returncode == 0, process.stderr
    model = tmp_path / "run/mine.safetensors"
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    assert digest in process.stdout
    catalog.register_folder(model.parent)
    image = photograph()[:32, :32]
    codec = BitSwap(model="mine")
    assert np.array_equal(codec.decode(codec.encode(image)), image)
    bad = subprocess.run(
        [*command[:-3], "missing"], cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False
    )
    assert bad.returncode == 2
    assert "not a folder" in bad.stderr

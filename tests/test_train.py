"""Training: recipes are checked, a stopped run goes on as if it had not been, the integers are the network trained."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from numcodecs_bitswap import BitSwap, catalog
from numcodecs_bitswap.bitsback.bound import bound_bits
from numcodecs_bitswap.nets.hierarchy import BitSwapModel
from numcodecs_bitswap.train import data, loop
from numcodecs_bitswap.train.data import DataError, list_images, split_held_back
from numcodecs_bitswap.train.export import architecture, integer_tensors
from numcodecs_bitswap.train.loop import Trainer, evaluate
from numcodecs_bitswap.train.recipe import Recipe, RecipeError, read_recipe
from pictures import photograph

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
    return Trainer(
        recipe(tmp_path, RECIPE.replace("steps = 6", f"steps = {steps}")), [folder], tmp_path / run, "cpu", False
    )


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
    ],
)
def test_a_wrong_recipe_says_what_is_wrong(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe(tmp_path, RECIPE.replace(old, new, 1))


def test_folders_that_cannot_be_trained_on(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(DataError, match="not a folder"):
        list_images(tmp_path / "missing")
    with pytest.raises(DataError, match="no image"):
        list_images(tmp_path)
    with pytest.raises(DataError, match="at least 256 pixels"):
        data.PatchSource([list_images(folder)], 256, 3, data.Augmentation(), 0)


def test_a_tenth_is_held_back(folder: Path) -> None:
    train, held_back = split_held_back(list_images(folder))
    assert len(held_back) == 1
    assert not set(train) & set(held_back)


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
        Trainer(other, [folder], tmp_path / "run", "cpu", False)


def test_a_run_begins_with_the_weights_of_another(tmp_path: Path, folder: Path) -> None:
    first = trainer(tmp_path, folder, 2, "first")
    first.run(minutes=10)
    second = trainer(tmp_path, folder, 2, "second")
    second.start_from(tmp_path / "first")
    for a, b in zip(first.average.parameters(), second.net.parameters(), strict=True):
        assert torch.equal(a, b)
    assert second.step == 0
    with pytest.raises(RecipeError, match="no run"):
        second.start_from(tmp_path / "missing")


def test_a_run_of_another_network_gives_what_fits(tmp_path: Path, folder: Path) -> None:
    """Here the stages' channel networks differ in width, and all else is the same."""
    first = trainer(tmp_path, folder, 2, "first")
    first.save()
    other = recipe(tmp_path, RECIPE.replace("channel_width = 8", "channel_width = 4"))
    second = Trainer(other, [folder], tmp_path / "second", "cpu", False)
    before = second.net.state_dict()["stages.0.phases.0.0.first.weight"].clone()
    second.start_from(tmp_path / "first")
    after, given = second.net.state_dict(), first.net.state_dict()
    assert torch.equal(after["stages.0.phases.0.0.first.weight"], before)
    assert torch.equal(after["core.q.0.first.weight"], given["core.q.0.first.weight"])


def test_the_integers_are_the_network_that_was_trained(tmp_path: Path, folder: Path) -> None:
    """The rate that training reports is the rate that the integer coder pays, to the sampling of the latents."""
    run = trainer(tmp_path, folder, 6, "run")
    run.run(minutes=10)
    model = BitSwapModel(architecture(run.average), integer_tensors(run.average), "cpu")
    patches = run.held_back
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

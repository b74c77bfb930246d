"""`numcodecs-bitswap train`: arguments -> a model file, its card, its recipe, a plot and a table."""

import argparse
import re
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BitswapError

if TYPE_CHECKING:
    from .distributed import Processes
    from .recipe import Recipe
    from .sources import Data

HELP = """Fits a model of the plane coder to your own data, integers of 8 or 16 bits. A tenth of the data is for
validation; on it the model is compared with other codecs. Ctrl-C stops, and the same command resumes. With --recipe
another kind of model is trained, on uint8. A recipe in place of the data (models/NAME/recipe.toml) trains a model of
this package, on --data.
"""

DEFAULT = "default"
"""Value of --recipe: the default recipe for the number of channels."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.description = HELP
    add = parser.add_argument
    add("source", nargs="+", help="Zarr array (path or URL), folder of images or arrays, .npy, .npz, image; or recipe")
    add("--region", help="a part of the array, such as 0:10,:,512:1024")
    add("--channel-axis", type=int, help="axis of the channels, as in BitSwap(channel_axis=...)")
    add(
        "--minutes",
        type=float,
        help="minutes of training, over all resumptions (default 10; with --recipe 15; of a recipe 60)",
    )
    add("--name", help="the model's name (default: the source's)")
    add("--steps", type=int, help="number of steps, instead of a time: the result is reproducible")
    add("--recipe", help="a recipe file, or 'default' (by the channels): a model with stages instead of a plane model")
    # --folder, because torchrun takes --run as an option of its own.
    add("--folder", "--run", type=Path, help="output folder (default: runs/NAME)")
    add("--out", type=Path, help="model file to write (default: NAME.safetensors in that folder)")
    add(
        "--data",
        type=Path,
        action="append",
        default=[],
        help="for a recipe: folder of images, or array file; may be repeated",
    )
    add("--start", help="start from a model, by name, or a run, by folder; '' for none (default: universal-v1)")
    add("--device", help="with a recipe: cpu or cuda (default: cuda if there is one)")
    add("--bf16", action="store_true", help="with a recipe: convolutions in bfloat16, faster where processors have it")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Train; returns the exit status, 2 after bad input."""
    import torch

    from .distributed import Processes

    for stop in (signal.SIGINT, signal.SIGTERM):  # jobs in the background start with SIGINT ignored
        signal.signal(stop, signal.default_int_handler)
    processes = Processes(given.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    try:
        if given.minutes is not None and not given.minutes > 0:
            raise BitswapError(f"--minutes is {given.minutes}; it must be above 0")
        if given.source[0].endswith(".toml") or given.recipe is not None:
            _train(given, processes)
        else:
            _fit(given, processes)
    except BitswapError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ImportError as error:
        print(f"error: training needs the extra [train]: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    finally:
        processes.end()
    return 0


def _fit(given: argparse.Namespace, processes: "Processes") -> None:
    """Fit a plane model to the user's data."""
    import torch

    from ..options import AUTO_UNIVERSAL
    from ..samples import KINDS
    from .own_arrays import open_pictures
    from .plane_data import open_planes
    from .plane_report import write_all
    from .plane_trainer import PlaneTrainer, Start

    _refuse_data(given)
    if given.device not in (None, "cpu") or given.bf16:
        raise BitswapError("--device and --bf16 go with --recipe: models of the plane coder are fitted on the CPU")
    if processes.world > 1:
        raise BitswapError("models of the plane coder are fitted in one process: start the command without torchrun")
    if given.steps is not None and given.steps < 1:
        raise BitswapError(f"--steps is {given.steps}; it must be 1 or more")
    name = _checked(given.name or _name(given.source[0]))
    pictures = open_pictures(given.source, given.region, given.channel_axis, KINDS)
    start = Start(AUTO_UNIVERSAL if given.start is None else given.start)
    data = open_planes(pictures, start.loaded, _named(given))
    folder = given.folder or Path("runs") / name
    print(f"{data.name}: {data.about}", file=sys.stderr)
    minutes = given.minutes or (10.0 if given.steps is None else float("inf"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # layers are so small that several threads are slower
    try:
        trainer = PlaneTrainer(name, data, start, folder)
        trainer.run(minutes, given.steps)
    finally:
        torch.set_num_threads(threads)
    options = [] if given.channel_axis is None else [f"--channel-axis {given.channel_axis}"]
    options += [] if given.start is None else [f"--start '{given.start}'"]
    options += [f"--minutes {minutes:g}"] if given.steps is None else [f"--steps {given.steps}"]
    command = " ".join(["numcodecs-bitswap train", data.name, *options])
    write_all(trainer, given.out or folder / f"{name}.safetensors", given.channel_axis, command)


def _named(given: argparse.Namespace) -> str:
    """The data, as in the command."""
    return " ".join([*given.source, *([f"--region {given.region}"] if given.region else [])])


def _refuse_data(given: argparse.Namespace) -> None:
    if given.data:
        raise BitswapError("--data belongs to a recipe; name your own data without it")


def _train(given: argparse.Namespace, processes: "Processes") -> None:
    import torch

    from . import compare
    from .loop import Trainer
    from .report import write_all

    if given.device not in (None, "cpu") and not (given.device == "cuda" and torch.cuda.is_available()):
        raise BitswapError(f"--device {given.device}: there is none; leave the option out, or choose cpu")
    if given.steps is not None:
        raise BitswapError("--steps is for plane models; a recipe states its own number of steps")
    recipe, data, minutes = _shipped(given) if given.source[0].endswith(".toml") else _own(given)
    if given.start is not None:
        recipe = replace(recipe, start=given.start)
    folder = given.folder or Path("runs") / recipe.name
    trainer = Trainer(recipe, data, folder, processes.device, given.bf16, processes)
    if recipe.start and not trainer.step:
        trainer.start_from(recipe.start)
    if data.crops and processes.first and trainer.target is None:
        print(f"{data.name}: {data.about}", file=sys.stderr)
        rows = compare.classical_rows(data.crops)
        best = min(rows, key=lambda row: row.total)
        print(f"best of {len(rows)} other codecs: {best.name}, {best.bits_per_sample:.3f} bits/sample", file=sys.stderr)
        trainer.target = best.name, best.bits_per_sample
    trainer.run(minutes, until_plateau=bool(data.crops) and given.recipe == DEFAULT)
    if processes.first:
        write_all(trainer, given.out or folder / f"{recipe.name}.safetensors", given.channel_axis, _options(given))
    processes.wait()


def _own(given: argparse.Namespace) -> "tuple[Recipe, Data, float]":
    """The default recipe for the user's data, or the user's own, and the data as regions."""
    from .own_arrays import open_pictures
    from .recipe import default_recipe, read_recipe
    from .sources import open_regions

    _refuse_data(given)
    pictures = open_pictures(given.source, given.region, given.channel_axis)
    if given.recipe != DEFAULT:
        recipe = read_recipe(Path(given.recipe))
        recipe = replace(recipe, name=_checked(given.name or recipe.name))
    else:
        name = _checked(given.name or _name(given.source[0]))
        recipe = default_recipe(pictures.channels, pictures.side, name, "that of the data")
    return recipe, open_regions(pictures, recipe, _named(given)), 15.0 if given.minutes is None else given.minutes


def _shipped(given: argparse.Namespace) -> "tuple[Recipe, Data, float]":
    """A recipe and the data that it was written for."""
    from .recipe import read_recipe
    from .sources import open_data

    if len(given.source) > 1 or not given.data:
        raise BitswapError("a recipe in place of the data takes --data FOLDER or FILE, which may be repeated")
    recipe = read_recipe(Path(given.source[0]))
    return recipe, open_data(given.data, recipe), 60.0 if given.minutes is None else given.minutes


def _options(given: argparse.Namespace) -> str:
    """Options that the weights depend on, other than data and recipe."""
    options = [] if given.channel_axis is None else [f"--channel-axis {given.channel_axis}"]
    return " ".join([*options, *(["--bf16"] if given.bf16 else [])])


def _name(source: str) -> str:
    """A model name: the last part of a path or URL, with the parts before it if it is a number."""
    parts = [part for part in re.split(r"[/\\:]+", source) if part not in ("", ".", "..")]
    stems = [re.sub(r"\.(zarr|zip|np[yz]|tiff?|png|jpe?g)$", "", part) for part in parts] or ["model"]
    while len(stems) > 1 and stems[-1].isdigit():
        stems[-2:] = [f"{stems[-2]}-{stems[-1]}"]
    return re.sub(r"[^\w.+-]+", "-", stems[-1]).strip("-.+") or "model"


def _checked(name: str) -> str:
    """The name; raises if a model file cannot have it."""
    from ..models.catalog import is_shipped

    if not re.fullmatch(r"\w[\w.+-]*", name):
        raise BitswapError(f"--name {name!r}: only letters, digits, _ . + and - are allowed")
    if is_shipped(name):
        raise BitswapError(f"{name} is the name of a model of this package: choose another with --name")
    return name

"""Command line of training: `python -m numcodecs_bitswap.train --help`."""

import argparse
import signal
import sys
from pathlib import Path

import torch

from ..errors import BitswapError
from .export import write_model
from .loop import Trainer, evaluate
from .recipe import read_recipe


def main(command: list[str] | None = None) -> int:
    """Train by a recipe and write the model file; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m numcodecs_bitswap.train", description=__doc__)
    parser.add_argument("recipe", type=Path, help="models/<name>/recipe.toml")
    parser.add_argument(
        "--data",
        type=Path,
        action="append",
        required=True,
        help="folder of images, or array file (.npy, .npz, idx); may be repeated",
    )
    parser.add_argument("--run", type=Path, help="folder of the checkpoint and the log (default: runs/<name>)")
    parser.add_argument("--start", type=Path, help="folder of another run: begin with those of its weights that fit")
    parser.add_argument("--out", type=Path, help="model file to write (default: <run>/<name>.safetensors)")
    parser.add_argument("--minutes", type=float, default=60.0, help="time limit of the whole run, resumptions included")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--bf16", action="store_true", help="convolutions in bfloat16")
    arguments = parser.parse_args(command)
    for stop in (signal.SIGINT, signal.SIGTERM):  # a job in the background starts with SIGINT ignored
        signal.signal(stop, signal.default_int_handler)
    try:
        recipe = read_recipe(arguments.recipe)
        run = arguments.run or Path("runs") / recipe.name
        trainer = Trainer(recipe, arguments.data, run, arguments.device, arguments.bf16)
        if arguments.start and not trainer.step:
            trainer.start_from(arguments.start)
        trainer.run(arguments.minutes)
        out = arguments.out or run / f"{recipe.name}.safetensors"
        provenance = (
            f"recipe {recipe.name}, {trainer.step} steps, {trainer.seconds / 60:.0f} minutes on {arguments.device}"
        )
        digest = write_model(trainer.average, out, recipe.name, recipe.licence, provenance)
        exact = evaluate(trainer.average, trainer.held_back)["total"]
        real = evaluate(trainer.average, trainer.held_back, quantised=False)["total"]
    except BitswapError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{out}\nsha256 {digest}\nheld back: integer network {exact:.4f} bits/dim, without quantisation {real:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

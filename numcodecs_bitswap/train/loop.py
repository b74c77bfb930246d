"""The training loop: resumable, bounded in steps and time, with a progress bar. Ctrl-C saves and stops; the same
command goes on.
"""

import math
import os
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from .recipe import AnyArchitecture, Net, Recipe, RecipeError
from .sources import open_data

SAVE_EVERY_S = 120.0
EMA = 0.999
EVALUATE_PIXELS = 1 << 16
"""Pixels that are evaluated at once."""


def per_element(bits: dict[str, Tensor], elements: int) -> dict[str, float]:
    """Bits per patch to bits per element, with the total of the main route as `total`."""
    rates = {name: value.item() / elements for name, value in bits.items()}
    rates["total"] = sum(rate for name, rate in rates.items() if name not in ("popped", "direct"))
    return rates


@torch.no_grad()
def evaluate(net: Net, patches: Tensor, quantised: bool = True) -> dict[str, float]:
    """Rates in bits per element on patches (n, c, h, w), in float32."""
    net.eval()
    batches = torch.split(patches, max(1, EVALUATE_PIXELS // patches[0, 0].numel()))
    parts = [(len(batch) / len(patches), net.bits(batch.float(), quantised)) for batch in batches]
    net.train()
    mean = {name: sum((share * part[name] for share, part in parts), torch.zeros(())) for name in parts[0][1]}
    return per_element(mean, patches[0].numel())


def _description(model: AnyArchitecture) -> dict[str, object]:
    """Entries of [model] but those left at their defaults: a new one does not make old checkpoints another model's."""
    return {f.name: getattr(model, f.name) for f in fields(model) if getattr(model, f.name) != f.default}


class Trainer:
    """State of one run: network, its moving average, optimiser, step and seconds; `run` goes on until the recipe or the
    time ends.

    Parameters
    ----------
    recipe : Recipe
    data : sequence of Path
        Folders of images or array files; a tenth of each is held back.
    run_folder : Path
        Where the checkpoint and the log of rates are kept.
    device : str
    bf16 : bool
        Convolutions in bfloat16; the heads and the loss stay in float32.
    """

    def __init__(self, recipe: Recipe, data: Sequence[Path], run_folder: Path, device: str, bf16: bool):
        self.recipe, self.device = recipe, torch.device(device)
        self.dtype = torch.bfloat16 if bf16 else torch.float32
        self.run_folder = run_folder
        run_folder.mkdir(parents=True, exist_ok=True)
        schedule = recipe.training
        torch.manual_seed(schedule.seed)
        self.batches, held_back = open_data(data, recipe)
        self.held_back = torch.from_numpy(held_back).to(self.device)
        self.net, self.average = (recipe.model.network().to(self.device) for _ in range(2))
        self.average.load_state_dict(self.net.state_dict())
        self.optimiser = torch.optim.AdamW(
            self.net.parameters(), lr=schedule.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4
        )
        self.step, self.seconds = 0, 0.0
        if self.checkpoint.exists():
            self._load()

    @property
    def checkpoint(self) -> Path:
        """Where the state of the run is kept."""
        return self.run_folder / "checkpoint.pt"

    def _read(self, checkpoint: Path) -> dict[str, Any]:
        try:
            state: dict[str, Any] = torch.load(checkpoint, map_location=self.device, weights_only=True)
        except OSError as error:
            raise RecipeError(f"no run to begin with: {error}") from None
        return state

    def start_from(self, folder: Path) -> None:
        """Take the averaged weights of another run: all of the same name and shape. Steps, time and optimiser begin
        anew.

        Raises
        ------
        RecipeError
            There is no such run, or it has nothing in common with this network.
        """
        own, theirs = self.net.state_dict(), self._read(folder / "checkpoint.pt")["average"]
        shared = {name: value for name, value in theirs.items() if name in own and value.shape == own[name].shape}
        if not shared:
            raise RecipeError(f"the run in {folder} has nothing in common with this network")
        self.net.load_state_dict(own | shared)
        self.average.load_state_dict(own | shared)

    def _load(self) -> None:
        state = self._read(self.checkpoint)
        if state["model"] != _description(self.recipe.model):
            raise RecipeError(f"{self.checkpoint} belongs to another [model]; choose another folder")
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]

    def save(self) -> None:
        """Write the checkpoint; a killed run leaves the old one whole."""
        state = {
            "model": _description(self.recipe.model),
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        temporary = self.checkpoint.with_suffix(".tmp")
        torch.save(state, temporary)
        os.replace(temporary, self.checkpoint)

    def run(self, minutes: float) -> None:
        """Train until the recipe's steps are done or the run has lasted `minutes` in all, over every resumption."""
        schedule = self.recipe.training
        limit, last_save = minutes * 60, time.monotonic()
        bar = tqdm(total=schedule.steps, initial=self.step, desc=self.recipe.name, unit="step", smoothing=0.05)
        try:
            while self.step < schedule.steps and self.seconds < limit:
                started = time.monotonic()
                progress = max(self.step / schedule.steps, self.seconds / limit)
                rates = self._train_step(progress)
                self.seconds += time.monotonic() - started
                bar.update()
                if self.step % 20 == 0:
                    bar.set_postfix_str(
                        f"{rates['total']:.3f} bits/dim, core {rates['core']:.3f}, {self.seconds / 60:.1f} min"
                    )
                if time.monotonic() - last_save > SAVE_EVERY_S:
                    self.report(bar)
                    self.save()
                    last_save = time.monotonic()
        except KeyboardInterrupt:
            bar.write(f"stopped at step {self.step}; the same command goes on from here")
        finally:
            self.report(bar)
            self.save()
            bar.close()

    def report(self, bar: "tqdm[None]") -> None:
        """Append the held-back rates of the averaged weights to the log and show them."""
        rates = evaluate(self.average, self.held_back)
        line = f"step {self.step} minutes {self.seconds / 60:.1f} " + " ".join(f"{k} {v:.4f}" for k, v in rates.items())
        bar.write("held back: " + line)
        with (self.run_folder / "log.txt").open("a", encoding="utf-8") as log:
            log.write(line + "\n")

    def _train_step(self, progress: float) -> dict[str, float]:
        schedule = self.recipe.training
        warm = min(1.0, (self.step + 1) / 200)
        rate = schedule.learning_rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        # Patches and latents depend on the step alone, so a resumed run goes on as if it had not been stopped.
        rng = np.random.default_rng((schedule.seed, self.step))
        torch.manual_seed(int(rng.integers(1 << 62)))
        source, number = self.batches[self.step % len(self.batches)]
        x = torch.from_numpy(source.sample(number, rng)).to(self.device).float()
        bits = self.net.bits(x, True, self.dtype)
        elements = x[0].numel()
        loss = sum(value for name, value in bits.items() if name != "popped") / elements
        assert isinstance(loss, Tensor)
        self.optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        decay = min(EMA, self.step / (self.step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.net.parameters()), 1 - decay)
        return per_element(bits, elements)

"""The training loop: resumable, bounded in steps and time, with a progress bar. Ctrl-C saves and stops; the same
command resumes. With several processes each has patches of its own (distributed.py).
"""

import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from . import checkpoint
from .distributed import Processes
from .files import append_line, make_folder
from .recipe import Net, Recipe, RecipeError
from .sources import Data

REPORTS, REPORT_EVERY_S = 30, (5.0, 120.0)
"""Number of reports (validation and checkpoint) of a run, and the shortest and longest time between them."""
PLATEAU_REPORTS, PLATEAU_GAIN, PLATEAU_PART = 10, 0.001, 0.8
"""A run is flat if its rate fell by less than PLATEAU_GAIN (relative) in PLATEAU_REPORTS reports. Its time is then cut
so that PLATEAU_PART of it has passed; the rest has small steps.
"""
EMA = 0.999
EVALUATE_PIXELS = 1 << 16
"""Pixels evaluated at once."""


def per_element(bits: dict[str, Tensor], elements: int) -> dict[str, float]:
    """Bits per element from bits per patch, with the total of the main route as `total`."""
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


@contextmanager
def stopping(stop: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C calls `stop`; a second one ends the run at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}

    def on_signal(number: int, frame: object) -> None:
        stop()
        signal.signal(number, handlers[signal.Signals(number)])

    for each in handlers:
        signal.signal(each, on_signal)
    try:
        yield
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)


class Trainer:
    """The state of a run: network, moving average of its weights, optimiser, step and seconds. `run` trains until the
    steps of the recipe or the time end.

    Parameters
    ----------
    recipe : Recipe
    data : Data
    run_folder : Path
        Folder of the checkpoint and the log of rates.
    device : str
    bf16 : bool
        Convolutions in bfloat16; the heads and the loss stay in float32.
    processes : Processes, optional
        The processes of the run.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: Data,
        run_folder: Path,
        device: str,
        bf16: bool,
        processes: Processes | None = None,
    ) -> None:
        self.processes = processes or Processes(device)
        self.recipe, self.data, self.device = recipe, data, torch.device(self.processes.device)
        self.dtype = torch.bfloat16 if bf16 else torch.float32
        self.run_folder = run_folder
        make_folder(run_folder)
        schedule = recipe.training
        torch.manual_seed(schedule.seed)
        self.validation = torch.from_numpy(data.validation).to(self.device)
        self.net, self.average = (recipe.model.network().to(self.device) for _ in range(2))
        self.average.load_state_dict(self.net.state_dict())
        self.optimiser = torch.optim.AdamW(
            self.net.parameters(), lr=schedule.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4
        )
        self.step, self.seconds, self.ends, self.stop = 0, 0.0, math.inf, False
        self.history: list[tuple[float, float]] = []
        """Seconds and validation rate of every report."""
        self.target: tuple[str, float] | None = None
        """A codec and its bits/sample on the validation patches, to show."""
        if self.checkpoint.exists():
            self._load()
        self.processes.share([*self.net.parameters(), *self.average.parameters()])

    @property
    def checkpoint(self) -> Path:
        """The file of the checkpoint."""
        return self.run_folder / checkpoint.FILE

    def start_from(self, origin: str) -> None:
        """Copy weights of the same name and shape: the averaged ones of another run, by its folder, or those of a
        model, by its name. Steps, time and optimiser start from zero.

        Raises
        ------
        RecipeError
            There is no such run or model, or it has no weights in common with this network.
        """
        checkpoint.begin(self.net, origin, self.device)
        self.average.load_state_dict(self.net.state_dict())

    def _load(self) -> None:
        state = checkpoint.read(self.checkpoint, self.device)
        checkpoint.check(self.checkpoint, state, self._owner())
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.ends, self.history = state.get("ends", math.inf), state.get("history", [])
        self.target = state.get("target")

    def save(self) -> None:
        """Write the checkpoint; a killed run leaves the previous one intact.

        Raises
        ------
        WriteError
            It cannot be written.
        """
        state = {
            **self._owner(),
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "ends": self.ends,
            "history": self.history,
            "target": self.target,
        }
        checkpoint.write(self.checkpoint, state)

    def _owner(self) -> dict[str, Any]:
        return {"model": checkpoint.description(self.recipe.model), "data": self.data.name}

    def run(self, minutes: float, until_plateau: bool = False) -> None:
        """Train until the recipe's steps are done or the run has taken `minutes`, over all resumptions.

        Parameters
        ----------
        minutes : float
        until_plateau : bool
            End earlier if the validation rate hardly falls.
        """
        first, steps, begun = self.processes.first, self.recipe.training.steps, self.step
        self.limit, self.stop = min(minutes * 60, self.ends), False
        every = min(max(self.limit / REPORTS, REPORT_EVERY_S[0]), REPORT_EVERY_S[1])
        self._clock = time.monotonic() - self.seconds
        reported, rates = self.seconds, {"total": math.nan}
        form = "{desc} {percentage:3.0f}%|{bar:20}| {elapsed}<{remaining}{postfix}"
        slow = 0.1 if sys.stderr.isatty() else 10.0
        bar = tqdm(total=1.0, desc=self.recipe.name, disable=not first, bar_format=form, mininterval=slow)
        try:
            with stopping(self._end):
                while self.step < steps and self.seconds < self.limit and not self.stop:
                    progress = max(self.step / steps, self.seconds / self.limit)
                    bar.update(progress - bar.n)
                    rates = self._train_step(progress)
                    if not math.isfinite(rates["total"]):
                        raise RecipeError(f"the rate is {rates['total']} at step {self.step}: lower learning_rate")
                    if self.step % 20 == 0:
                        bar.set_postfix_str(self._status(rates["total"]), refresh=False)
                    if first and time.monotonic() - self._clock - reported > every:
                        self.report()
                        if until_plateau and self._is_flat():
                            self.ends = self.limit = min(self.limit, self.seconds / PLATEAU_PART)
                        self.save()
                        reported = time.monotonic() - self._clock
        except KeyboardInterrupt:
            self.stop = True
        finally:
            if first and self.step > begun and math.isfinite(rates["total"]):
                self.report()
                self.save()
            bar.close()
        if self.stop and first:
            print(f"stopped at step {self.step}; the same command resumes from here", file=sys.stderr)
        self.processes.wait()

    def _end(self) -> None:
        self.stop = True

    def _status(self, rate: float) -> str:
        text = f"step {self.step}, {rate:.3f} bits/sample"
        if self.history:
            text += f", validation {self.history[-1][1]:.3f}"
        if self.history and self.target:
            gain = 1 - self.history[-1][1] / self.target[1]
            text += f", {abs(gain):.1%} {'below' if gain > 0 else 'above'} {self.target[0]}"
        return text

    def _is_flat(self) -> bool:
        rates = [rate for _, rate in self.history]
        if self.ends < math.inf or len(rates) < 2 * PLATEAU_REPORTS:
            return False
        return min(rates[-PLATEAU_REPORTS:]) > min(rates[:-PLATEAU_REPORTS]) * (1 - PLATEAU_GAIN)

    def report(self) -> None:
        """Append the validation rates of the averaged weights to the log."""
        rates = evaluate(self.average, self.validation)
        self.history.append((self.seconds, rates["total"]))
        line = f"step {self.step} minutes {self.seconds / 60:.1f} " + " ".join(f"{k} {v:.4f}" for k, v in rates.items())
        append_line(self.run_folder / "log.txt", line)

    def _train_step(self, progress: float) -> dict[str, float]:
        schedule = self.recipe.training
        warm = min(1.0, (self.step + 1) / 200)
        rate = schedule.learning_rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        # Patches and latents depend only on the step (and the process), so a resumed run continues as if not stopped.
        rng = np.random.default_rng((schedule.seed, self.step, self.processes.rank))
        torch.manual_seed(int(rng.integers(1 << 62)))
        source, number = self.data.batches[self.step % len(self.data.batches)]
        x = torch.from_numpy(source.sample(number, rng, self.step)).to(self.device).float()
        bits = self.net.bits(x, True, self.dtype)
        elements = x[0].numel()
        loss = sum(value for name, value in bits.items() if name != "popped") / elements
        assert isinstance(loss, Tensor)
        self.optimiser.zero_grad()
        torch.autograd.backward(loss)
        self._agree()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        decay = min(EMA, self.step / (self.step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.net.parameters()), 1 - decay)
        return per_element(bits, elements)

    def _agree(self) -> None:
        """Make gradients, time and end the same in all processes: by the clock of the first, and if any has to stop."""
        seconds = time.monotonic() - self._clock
        if self.processes.world == 1:
            self.seconds = seconds
            return
        for parameter in self.net.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [each.grad for each in self.net.parameters() if each.grad is not None]
        share = self.processes.world if self.processes.first else 0
        self.seconds, self.limit, stop = self.processes.mean(
            gradients, seconds * share, self.limit * share, float(self.stop)
        )
        self.stop = stop > 0

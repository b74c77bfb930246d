"""A run that fits a plane model: its start, checkpoint and time. Ctrl-C saves and stops; the same command resumes."""

import copy
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load
from tqdm import tqdm

from ..models import catalog
from ..planes.model import DEFAULT, PlaneModel
from ..planes.tables import REFERENCES
from . import checkpoint
from .files import append_line, make_folder
from .loop import stopping
from .plane_data import PlaneData
from .planes import Fitting, Net, integer_tensors, new_nets, rates, take_tensors
from .recipe import RecipeError

REPORTS, REPORT_EVERY_S = 20, 5.0
"""Number of reports (validation and checkpoint) of a run, and the shortest time between them if time bounds the run."""
RATE, RATE_FROM_START = 3e-3, 2e-3
"""Learning rates of untrained networks, and of networks from a model."""
UNQUANTISED = 0.15
"""Part of the schedule in which untrained networks are not quantised."""


class Start:
    """The model that a run starts from.

    Attributes
    ----------
    name : str
        '' for none.
    loaded : Loaded
        The model with which chunks are observed.
    nets : list of Net
    targets : dict of ndarray
        Ridge targets, which are not trained.
    """

    def __init__(self, origin: str) -> None:
        """Load a model by its name or id, or a run by its folder; '' makes untrained networks.

        Raises
        ------
        MissingModel, ModelError, RecipeError
            There is none, or it is not one of the plane coder.
        """
        self.name, tensors = origin, {}
        if not origin:
            arch = DEFAULT | {"format": 1, "kind": "planes"}
            self.nets = new_nets(arch)
        elif checkpoint.is_run(origin):
            state = checkpoint.read(Path(origin) / checkpoint.FILE, torch.device("cpu"))
            arch = state["model"].get("arch", {})
            _require_planes(origin, arch)
            self.nets = new_nets(arch)
            for net, values in zip(self.nets, state["average"], strict=True):
                net.load_state_dict(values)
            tensors = {name: each.numpy() for name, each in state["targets"].items()}
        else:
            entry = catalog.find(origin)
            arch = catalog.architecture_of(entry)
            _require_planes(origin, arch)
            tensors = load(catalog.read(entry))
            PlaneModel(arch, tensors)  # checks them
            self.nets = new_nets(arch)
            take_tensors(self.nets, tensors)
        self.arch = arch
        self.targets: dict[str, NDArray[Any]] = {k: v for k, v in tensors.items() if k.startswith("target")}
        model: Any = PlaneModel(arch, self.tensors(self.nets))
        self.loaded = catalog.Loaded(b"", origin, model, "cpu")

    def tensors(self, nets: list[Net]) -> dict[str, NDArray[Any]]:
        """Tensors of a model file with these networks."""
        return integer_tensors(nets) | self.targets


def _require_planes(origin: str, arch: dict[str, Any]) -> None:
    if arch.get("kind") != "planes":
        raise RecipeError(
            f"--start {origin} is not a model of the plane coder: name one that is, or use a recipe with --recipe"
        )


class PlaneTrainer:
    """The state of a run; `run` trains until the steps or the time end.

    Parameters
    ----------
    name : str
        Name of the model.
    data : PlaneData
    start : Start
    folder : Path
        Folder of the checkpoint and the log of rates.
    """

    def __init__(self, name: str, data: PlaneData, start: Start, folder: Path) -> None:
        self.name, self.data, self.start, self.folder = name, data, start, folder
        make_folder(folder)
        self.fitting = Fitting(copy.deepcopy(start.nets), data.rows, rate=RATE_FROM_START if start.name else RATE)
        if not self.fitting.busy:
            raise RecipeError(f"{data.name}: too few samples to learn from; take more of the array")
        self.seconds, self.stop = 0.0, False
        self.counts = [len(each.x) for each in data.validation_rows]
        self.first = rates(start.nets, data.validation_rows)
        """Bits of validation samples with the networks of the start."""
        self.best, self.best_rates = copy.deepcopy(start.nets), list(self.first)
        """For each network the weights with the smallest rate so far."""
        self.history = [(0.0, self._mean(self.first))]
        """Seconds and validation rate of every report."""
        if self.checkpoint.exists():
            self._load()

    @property
    def checkpoint(self) -> Path:
        """The file of the checkpoint."""
        return self.folder / checkpoint.FILE

    @property
    def better(self) -> bool:
        """Whether any network is better than at the start."""
        return any(best < first for best, first in zip(self.best_rates, self.first, strict=True))

    @property
    def rates(self) -> tuple[float, float]:
        """Bits per validation sample of the start and of the best networks."""
        return self._mean(self.first), self._mean(self.best_rates)

    def _mean(self, of: list[float]) -> float:
        found = [(rate, n) for rate, n in zip(of, self.counts, strict=True) if n]
        return sum(rate * n for rate, n in found) / sum(n for _, n in found)

    def _owner(self) -> dict[str, Any]:
        return {"model": {"arch": self.start.arch, "start": self.start.name}, "data": self.data.name}

    def _load(self) -> None:
        state = checkpoint.read(self.checkpoint, torch.device("cpu"))
        checkpoint.check(self.checkpoint, state, self._owner())
        self.fitting.load(state)
        self.seconds, self.history = state["seconds"], state["history"]
        for net, values in zip(self.best, state["best"], strict=True):
            net.load_state_dict(values)
        self.best_rates = rates(self.best, self.data.validation_rows)

    def save(self) -> None:
        """Write the checkpoint; a killed run leaves the previous one intact.

        Raises
        ------
        WriteError
            It cannot be written.
        """
        state = {
            **self._owner(),
            **self.fitting.state(),
            "targets": {name: torch.from_numpy(each) for name, each in self.start.targets.items()},
            "best": [net.state_dict() for net in self.best],
            "seconds": self.seconds,
            "history": self.history,
        }
        checkpoint.write(self.checkpoint, state)

    def run(self, minutes: float, steps: int | None = None) -> None:
        """Train until the run has taken `minutes` or has done `steps`, over all resumptions."""
        limit, last, self.stop = minutes * 60, math.inf if steps is None else steps, False
        reports = REPORTS if steps else max(1, min(REPORTS, int(limit / REPORT_EVERY_S)))
        clock, losses, begun = time.monotonic() - self.seconds, [math.nan], self.fitting.step
        form = "{desc} {percentage:3.0f}%|{bar:20}| {elapsed}<{remaining}{postfix}"
        slow = 0.1 if sys.stderr.isatty() else 10.0
        bar = tqdm(total=1.0, desc=self.name, bar_format=form, mininterval=slow)

        def progress() -> float:
            return max(self.fitting.step / last, self.seconds / limit)

        reported = int(progress() * reports)
        try:
            with stopping(self._end):
                while progress() < 1 and not self.stop:
                    now = progress()
                    bar.update(now - bar.n)
                    losses.append(self._step(now))
                    self.seconds = time.monotonic() - clock
                    if not math.isfinite(losses[-1]):
                        raise RecipeError(
                            f"the rate is {losses[-1]} at step {self.fitting.step}: choose another --start"
                        )
                    if self.fitting.step % 10 == 0:
                        text = f"step {self.fitting.step}, {np.nanmean(losses[-100:]):.3f} bits/sample"
                        bar.set_postfix_str(f"{text}, validation {self.history[-1][1]:.3f}", refresh=False)
                    if int(progress() * reports) > reported and progress() < 1:
                        reported = int(progress() * reports)
                        self.report()
                        self.save()
                        clock = time.monotonic() - self.seconds  # validation does not count as time of the run
        except KeyboardInterrupt:
            self.stop = True
        finally:
            if self.fitting.step > begun and math.isfinite(losses[-1]):
                if self.stop:
                    self.save()  # before validation, so that a resumed run continues as if not stopped
                self.report()
                if not self.stop:
                    self.save()
            bar.close()
        if self.stop:
            print(f"stopped at step {self.fitting.step}; the same command resumes from here", file=sys.stderr)

    def _end(self) -> None:
        self.stop = True

    def _step(self, progress: float) -> float:
        return self.fitting.train(progress, bool(self.start.name) or progress > UNQUANTISED)

    def report(self) -> None:
        """Measure the averaged weights, keep those that are the best so far, and append to the log."""
        found = rates(self.fitting.averages, self.data.validation_rows)
        for R in range(REFERENCES + 1):
            if found[R] < self.best_rates[R]:
                self.best[R].load_state_dict(self.fitting.averages[R].state_dict())
                self.best_rates[R] = found[R]
        self.history.append((self.seconds, self._mean(found)))
        parts = " ".join(f"net{R} {rate:.4f}" for R, rate in enumerate(found))
        minutes = f"{self.seconds / 60:.1f}"
        append_line(
            self.folder / "log.txt",
            f"step {self.fitting.step} minutes {minutes} total {self.history[-1][1]:.4f} {parts}",
        )

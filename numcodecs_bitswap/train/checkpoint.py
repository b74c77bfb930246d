"""The checkpoint of a run: a file that is written atomically and checked when it is read."""

import io
import os
import pickle
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from safetensors.numpy import load

from ..models import catalog
from .export import take_tensors
from .files import write_whole
from .recipe import AnyArchitecture, Net, RecipeError

FILE = "checkpoint.pt"


def description(model: AnyArchitecture) -> dict[str, object]:
    """Entries of [model] except those with default values, so that a new entry does not invalidate old checkpoints."""
    return {f.name: getattr(model, f.name) for f in fields(model) if getattr(model, f.name) != f.default}


def write(path: Path, state: dict[str, Any]) -> None:
    """Write the state of a run.

    Raises
    ------
    WriteError
        It cannot be written; the previous file is unchanged.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_whole(path, buffer.getvalue())


def read(path: Path, device: torch.device) -> dict[str, Any]:
    """The state of a run.

    Raises
    ------
    RecipeError
        It is missing or damaged.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except OSError as error:
        raise RecipeError(f"there is no run to start from: {error}") from None
    except (RuntimeError, EOFError, LookupError, ValueError, pickle.UnpicklingError) as error:
        raise RecipeError(f"{path} is damaged ({error}): remove it to start the run again") from None
    return state


def check(path: Path, state: dict[str, Any], owner: dict[str, Any]) -> None:
    """Raise RecipeError if the state is of another model, or of a run on other data."""
    if state["model"] != owner["model"]:
        raise RecipeError(f"{path} belongs to another [model]: choose another folder")
    if (of := state.get("data", "")) != owner["data"]:
        raise RecipeError(f"{path} belongs to a run on {of or 'other data'}: choose another folder")


def is_run(origin: str) -> bool:
    """Whether `origin` is the folder of a run, and not the name of a model."""
    return (Path(origin) / FILE).exists() or (catalog.ID.fullmatch(origin) is None and os.sep in origin)


def begin(net: Net, origin: str, device: torch.device) -> None:
    """Copy weights of the same name and shape from a run, by its folder, or from a model, by its name or id.

    Raises
    ------
    RecipeError
        There is no such run or model, or no such weight.
    """
    if is_run(origin):
        own, theirs = net.state_dict(), read(Path(origin) / FILE, device)["average"]
        if not isinstance(theirs, dict):
            raise RecipeError(f"{origin} is a run of the plane coder and has no weights in common with this network")
        shared = {name: value for name, value in theirs.items() if name in own and value.shape == own[name].shape}
        net.load_state_dict(own | shared)
        found = len(shared)
    else:
        found = take_tensors(net, load(catalog.read(catalog.find(origin))))
    if not found:
        raise RecipeError(f"{origin} has no weights in common with this network")

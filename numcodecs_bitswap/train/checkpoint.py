"""The state of a run in a file: written whole or not at all, and checked when it is read."""

import io
import pickle
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .files import write_whole
from .recipe import AnyArchitecture, RecipeError


def description(model: AnyArchitecture) -> dict[str, object]:
    """Entries of [model] but those left at their defaults: a new one does not make old checkpoints another model's."""
    return {f.name: getattr(model, f.name) for f in fields(model) if getattr(model, f.name) != f.default}


def write(path: Path, state: dict[str, Any]) -> None:
    """Write the state of a run.

    Raises
    ------
    WriteError
        It cannot be written; the old one is still there.
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
        raise RecipeError(f"no run to begin with: {error}") from None
    except (RuntimeError, EOFError, LookupError, ValueError, pickle.UnpicklingError) as error:
        raise RecipeError(f"{path} is damaged ({error}); remove it to begin anew") from None
    return state


def check(path: Path, state: dict[str, Any], owner: dict[str, Any]) -> None:
    """Refuse the state of a run of another model or on other data."""
    if state["model"] != owner["model"]:
        raise RecipeError(f"{path} belongs to another [model]; choose another folder")
    if (of := state.get("data", "")) != owner["data"]:
        raise RecipeError(f"{path} belongs to a run on {of or 'other data'}; choose another folder")


def shared(net: nn.Module, theirs: dict[str, Tensor], where: object) -> dict[str, Tensor]:
    """The weights of a network, those of the same name and shape taken from others.

    Raises
    ------
    RecipeError
        There are none.
    """
    own = net.state_dict()
    found = {name: value for name, value in theirs.items() if name in own and value.shape == own[name].shape}
    if not found:
        raise RecipeError(f"the run in {where} has nothing in common with this network")
    return own | found

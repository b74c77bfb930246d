"""A model's recipe: models/<name>/recipe.toml -> checked dataclasses. It has everything that determines the weights,
except the data and the hardware.
"""

import json
import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from ..errors import BitswapError
from .data import Augmentation
from .flow import FlowArchitecture, FlowNet
from .networks import Architecture, BitSwapNet
from .vae import VaeArchitecture, VaeNet

Net = BitSwapNet | VaeNet | FlowNet
AnyArchitecture = Architecture | VaeArchitecture | FlowArchitecture
KINDS: dict[str, type[AnyArchitecture]] = {a.kind: a for a in (Architecture, VaeArchitecture, FlowArchitecture)}


class RecipeError(BitswapError, ValueError):
    """A recipe with a missing, unknown or impossible entry."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The table [training] of a recipe.

    Attributes
    ----------
    steps : int
        Largest number of batches. The learning rate follows a cosine from `learning_rate` to a hundredth of it, over
        the steps or the time, whichever ends first.
    batch : int
        Patches of a batch.
    patch : int
        Side of the patches.
    large_patch : int
        If not 0, side of the patches of every other batch, which has the same number of pixels. Small patches show more
        images, large ones fewer edges of patches.
    """

    steps: int
    batch: int
    patch: int
    learning_rate: float
    large_patch: int = 0
    seed: int = 0

    @property
    def batches(self) -> list[tuple[int, int]]:
        """(side, number) of the patches of batches, which are used in turn."""
        sides = [self.patch, *([self.large_patch] if self.large_patch else [])]
        return [(side, max(1, self.batch * self.patch**2 // side**2)) for side in sides]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One recipe.toml: tables [model], [training], [augmentation]; at the top name, licence and `start`, a model or the
    folder of a run from whose weights training starts. `kind` in [model] is "vae", "flow" or, by default, "bit_swap"
    (FORMAT.md section 7).
    """

    name: str
    licence: str
    model: AnyArchitecture
    training: Schedule
    augmentation: Augmentation
    start: str = ""


def _table(cls: type, values: dict[str, Any], where: str) -> Any:
    known = {f.name for f in fields(cls)}
    if unknown := set(values) - known:
        raise RecipeError(f"{where}: unknown entry {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}")
    try:
        return cls(**values)
    except TypeError as error:
        raise RecipeError(f"{where}: {error}") from None


def default_recipe(channels: int, side: int, name: str, licence: str) -> Recipe:
    """The default recipe for data, by their number of channels, with patches of 16 to 64 pixels.

    Parameters
    ----------
    side : int
        The least height or width of the pictures.

    Raises
    ------
    RecipeError
        The pictures are smaller than 16 x 16.
    """
    if side < 16:
        raise RecipeError(f"images with a side of {side} are too small: the default recipes need 16 x 16")
    kind = "colour" if channels == 3 else "gray"
    recipe = read_recipe(Path(__file__).with_name("recipes") / f"{kind}.toml")
    training = replace(recipe.training, patch=min(recipe.training.patch, 1 << side.bit_length() - 1))
    return replace(recipe, name=name, licence=licence, training=training)


def recipe_text(recipe: Recipe) -> str:
    """A recipe as TOML; inverse of `read_recipe`."""
    lines = [f"{key} = {json.dumps(getattr(recipe, key), ensure_ascii=False)}" for key in ("name", "licence", "start")]
    for table in ("model", "training", "augmentation"):
        values = getattr(recipe, table)
        lines += ["", f"[{table}]", *([f'kind = "{values.kind}"'] if table == "model" else [])]
        lines += [f"{f.name} = {json.dumps(getattr(values, f.name))}" for f in fields(values)]
    return "\n".join(lines) + "\n"


def read_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises
    ------
    RecipeError
        Unreadable file, a missing or unknown entry, or sizes that do not fit each other.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"{path}: {error}") from error
    kind = values.get("model", {}).pop("kind", "bit_swap")
    if kind not in KINDS:
        raise RecipeError(f"{path} [model]: kind is {kind!r}, not one of {', '.join(KINDS)}")
    tables: dict[str, type] = {"model": KINDS[kind], "training": Schedule, "augmentation": Augmentation}
    for key, cls in tables.items():
        values[key] = _table(cls, values.get(key, {}), f"{path} [{key}]")
    recipe: Recipe = _table(Recipe, values, str(path))
    if recipe.model.channels not in (1, 3):
        raise RecipeError(f"{path}: channels must be 1 or 3")
    for side, _ in recipe.training.batches:
        if problem := recipe.model.misfit(side):
            raise RecipeError(f"{path}: {problem}")
    return recipe

"""Results of a run: the model file and, for the user's own data, a card, a recipe, a plot and usage."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..measure import estimate, harness
from ..measure.harness import Measured
from ..models import catalog
from . import compare
from .export import write_model
from .files import make_folder, write_whole
from .loop import Trainer, evaluate
from .recipe import recipe_text


def write_all(trainer: Trainer, out: Path, channel_axis: int | None, options: str) -> None:
    """Write the model file; for the user's own data also compare it with other codecs and write the results.

    Parameters
    ----------
    trainer : Trainer
    out : Path
        The model file.
    channel_axis : int or None
        Option of the codec.
    options : str
        Options of the command, for the card.

    Raises
    ------
    WriteError
        A file cannot be written. The previous one is unchanged.
    """
    recipe, data = trainer.recipe, trainer.data
    provenance = f"recipe {recipe.name}, {trainer.step} steps on {trainer.device.type}"
    make_folder(out.parent)
    digest = write_model(trainer.average, out, recipe.name, recipe.licence, provenance)
    exact = evaluate(trainer.average, trainer.validation)["total"]
    real = evaluate(trainer.average, trainer.validation, quantised=False)["total"]
    rates = f"integer network {exact:.4f} bits/sample, without quantisation {real:.4f}"
    print(f"{out}\nsha256 {digest}\nvalidation: {rates}")
    if not data.chunks:
        return
    catalog.register_folder(out.parent)
    rows = compare.all_rows(data.chunks, digest, recipe.name, channel_axis)
    folder = trainer.run_folder
    if not trainer.stop:  # else the run may be resumed from it
        done = replace(recipe, training=replace(recipe.training, steps=trainer.step))
        write_whole(folder / "recipe.toml", recipe_text(done).encode())
    write_whole(folder / "CARD.md", _card(trainer, out, digest, rates, rows, options).encode())
    plot(recipe.name, trainer.history, trainer.target, rows, folder / "plot.png")
    print(f"\n{describe(data.chunks)} of validation data, each on its own:\n")
    print(estimate.table(rows, data.chunks, data.nbytes))
    print(f"\n{compared(rows, recipe.name)}")
    print(f"{folder}: CARD.md, plot.png, recipe.toml. To use the model, and to read what it wrote:\n")
    print(how_to_use(out, recipe.name, channel_axis))


def how_to_use(out: Path, name: str, channel_axis: int | None) -> str:
    """Two lines that use the model."""
    axis = "" if channel_axis is None else f", channel_axis={channel_axis}"
    return (
        f"  export NUMCODECS_BITSWAP_MODELS={out.parent.resolve()}\n"
        f'  BitSwap(model="{name}"{axis})   # Zarr format 3: BitSwapCodec(model="{name}"{axis})'
    )


def describe(chunks: list[NDArray[Any]]) -> str:
    """Number, shape and dtype of chunks."""
    return f"{len(chunks)} chunks of {chunks[0].shape}, {chunks[0].dtype}"


def compared(rows: list[Measured], name: str) -> str:
    """A sentence that compares the last row with the best of the other codecs."""
    best = best_other(rows)
    own = rows[-1].total / best.total - 1
    return f"{name} is {abs(own):.1%} {'smaller' if own < 0 else 'larger'} than {best.name}, the best of the others."


def best_other(rows: list[Measured]) -> Measured:
    """The row of the smallest other codec."""
    return min((row for row in rows if not row.name.startswith("BitSwap")), key=lambda row: row.total)


def _card(trainer: Trainer, out: Path, digest: str, rates: str, rows: list[Measured], options: str) -> str:
    recipe, model = trainer.recipe, trainer.recipe.model
    parameters = sum(each.numel() for each in trainer.net.parameters())
    kind = f"{model.kind}, {model.channels} channel(s), {model.levels} levels, {parameters:,} parameters"
    command = " ".join(["numcodecs-bitswap train", trainer.data.name, "--recipe recipe.toml --minutes 9999", options])
    several = f", {trainer.processes.world} processes" if trainer.processes.world > 1 else ""
    return f"""# {recipe.name}

| | |
|---|---|
| file | {out.name}, {out.stat().st_size:,} bytes |
| sha256 | `{digest}` |
| architecture | {kind} |
| data | {trainer.data.name}; a tenth for validation |
| licence | {recipe.licence} |
| command | `{command.strip()}` |
| time | {trainer.step} steps, {trainer.seconds / 60:.1f} minutes on {trainer.device.type}{several} |
| validation rate | {rates} |

{describe(trainer.data.chunks)} of validation data, total bytes, each on its own:

{harness.table(rows, best_other(rows).name, "bits/sample")}

Arrays written with this model cannot be read without its file: keep it with them.
"""


def plot(
    name: str,
    history: list[tuple[float, float]],
    target: tuple[str, float] | None,
    rows: list[Measured],
    path: Path,
) -> None:
    """Plot the validation rate over time, and the sizes of all codecs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    curve, bars = figure.subplots(1, 2)
    minutes, rates = [seconds / 60 for seconds, _ in history], [rate for _, rate in history]
    curve.plot(minutes, rates, "o-", markersize=3, label=name)
    if target:
        curve.axhline(target[1], color="gray", linestyle="--", label=target[0])
    curve.set(xlabel="minutes", ylabel="bits/sample", title="Training")
    curve.legend()
    curve.grid(alpha=0.3)
    ordered = sorted(rows, key=lambda row: -row.total)
    colours = ["tab:blue" if row.name.startswith("BitSwap") else "lightgray" for row in ordered]
    drawn = bars.barh([row.name for row in ordered], [row.total / 1e3 for row in ordered], color=colours)
    bars.bar_label(drawn, [f"{row.bits_per_sample:.3f}" for row in ordered], padding=3)
    bars.set(xlabel="kB (and bits/sample)", title="Validation chunks")
    bars.margins(x=0.15)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    write_whole(path, picture.getvalue())

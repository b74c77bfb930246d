"""Results of a run that fits a plane model: the model file, if it is better, its card, a plot and a table."""

import hashlib
from pathlib import Path

from ..measure import estimate, harness
from ..measure.harness import Measured
from ..models import catalog
from . import compare
from .export import tensor_bytes, write_bytes
from .files import make_folder, write_whole
from .plane_trainer import PlaneTrainer
from .report import best_other, compared, describe, how_to_use, plot

LICENCE = "that of the data"


def write_all(trainer: PlaneTrainer, out: Path, channel_axis: int | None, command: str) -> None:
    """Compare codecs on validation chunks, and write the model if it is better than the one the run started from.

    Parameters
    ----------
    trainer : PlaneTrainer
    out : Path
        The model file.
    channel_axis : int or None
        Option of the codec.
    command : str
        The command, for the card.

    Raises
    ------
    WriteError
        A file cannot be written. The previous one is unchanged.
    """
    name, start, chunks, folder = trainer.name, trainer.start.name, trainer.data.chunks, trainer.folder
    before, after = trainer.rates
    begun = f"{before:.4f} bits/sample with {start or 'untrained networks'}"
    said = f"validation, a sample of pixels: {begun}, {after:.4f} with {name}"
    print(said)
    if not trainer.better:
        print(f"{name} is not smaller than {start or 'untrained networks'} on validation data; no model is written.")
        return
    provenance = f"fitted to own data from {start or 'nothing'}, {trainer.fitting.step} steps"
    data = tensor_bytes(trainer.start.arch, trainer.start.tensors(trainer.best), name, LICENCE, provenance)
    digest = hashlib.sha256(data).hexdigest()
    catalog.register_data(data, digest, str(out))
    base = start if start and not Path(start).is_dir() else ""
    rows = compare.plane_rows(chunks, base, digest, name, channel_axis)
    print(f"\n{describe(chunks)} of validation data, each on its own:\n")
    print(estimate.table(rows, chunks, trainer.data.nbytes))
    print(f"\n{compared(rows, name)}")
    plot(name, trainer.history, None, rows, folder / "plot.png")
    if base and rows[-1].total > rows[-2].total:
        print(f"{name} is not smaller than {start} on these chunks; no model is written.")
        return
    make_folder(out.parent)
    write_bytes(data, out)
    write_whole(folder / "CARD.md", _card(trainer, out, digest, said, rows, command).encode())
    print(f"\n{out}\nsha256 {digest}\n{folder}: CARD.md, plot.png. To use the model, and to read what it wrote:\n")
    print(how_to_use(out, name, channel_axis))


def _card(trainer: PlaneTrainer, out: Path, digest: str, said: str, rows: list[Measured], command: str) -> str:
    arch = trainer.start.arch
    parameters = sum(each.numel() for net in trainer.best for each in net.parameters())
    kind = f"planes, {len(arch['supports'])} predictors, width {arch['width']}, {arch['blocks']} blocks"
    return f"""# {trainer.name}

| | |
|---|---|
| file | {out.name}, {out.stat().st_size:,} bytes |
| sha256 | `{digest}` |
| architecture | {kind}, {parameters:,} parameters |
| started from | {trainer.start.name or "untrained networks"} |
| data | {trainer.data.name}; a tenth for validation |
| licence | {LICENCE} |
| command | `{command}` |
| time | {trainer.fitting.step} steps, {trainer.seconds / 60:.1f} minutes |
| rates | {said} |

{describe(trainer.data.chunks)} of validation data, total bytes, each on its own:

{harness.table(rows, best_other(rows).name, "bits/sample")}

Arrays written with this model cannot be read without its file: keep it with them.
"""

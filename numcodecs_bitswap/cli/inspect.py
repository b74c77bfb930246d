"""`numcodecs-bitswap inspect`: routes, models and sizes of stored chunks."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..measure.contents import Contents


def add(commands: Any) -> None:
    """Add the command's arguments."""
    text = "Chunks by route and model, reference planes, bits/sample and sizes of Zarr arrays, or of a .bsw file."
    parser = commands.add_parser("inspect", help="show routes, models and sizes of chunks", description=text)
    parser.add_argument("path", help="Zarr array or group (path or URL), or .bsw file")
    parser.add_argument(
        "--picture", help="image file to write: a map of bits/sample and the sizes of chunks, of one array"
    )
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Inspect; returns the exit status, 1 if a model is missing or a chunk is damaged."""
    from importlib.util import find_spec

    from ..errors import SourceError
    from ..measure.contents import DAMAGED

    if given.picture and not find_spec("matplotlib"):
        raise SourceError("--picture needs matplotlib: pip install matplotlib")
    arrays = _contents(given.path)
    if given.picture and len(arrays) != 1:
        names = ", ".join(each.name for each in arrays)
        raise SourceError(f"--picture draws one array: name one of {names}")
    missing: set[bytes] = set()
    damaged = 0
    for each in arrays:
        missing |= _show(each)
        damaged += sum(chunk.described.route == DAMAGED for chunk in each.stored)
    if given.picture:
        _draw(arrays[0], Path(given.picture))
    if missing:
        print(
            f"{len(missing)} model(s) missing: put the .safetensors files with these ids into a folder, and name the "
            "folder in NUMCODECS_BITSWAP_MODELS"
        )
    if damaged:
        print(f"{damaged} chunk(s) damaged: `numcodecs-bitswap verify` says what is wrong")
    return 1 if missing or damaged else 0


def _contents(path: str) -> "list[Contents]":
    from ..convert.copying import use_models_of
    from ..convert.plan import zarr_arrays
    from ..errors import SourceError
    from ..measure import contents
    from ..readers.arrays import FRAME

    if path.endswith(FRAME):
        try:
            return [contents.of_file(path, Path(path).read_bytes())]
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error}") from error
    use_models_of(path)
    found = [contents.of_array(f"{path}/{name}".rstrip("/"), array) for name, array in zarr_arrays(path).items()]
    if not found:
        raise SourceError(f"{path} has no arrays")
    return found


def _show(each: "Contents") -> set[bytes]:
    """Print an array; returns the ids of models that are missing."""
    from ..measure.contents import model_name
    from ..measure.estimate import size

    total, samples = each.total, max(sum(c.described.samples for c in each.stored if c.nbytes), 1)
    ratio = f"ratio {each.nbytes / total:.2f}, {8 * total / samples:.3f} bits/sample" if total else "nothing stored"
    print(f"{each.name}: {each.dtype} {each.shape}, {len(each.stored)} chunk(s) of {each.chunks}, {each.codec}")
    print(f"  {size(each.nbytes)} -> {size(total)}, {ratio}")
    print(f"  {'route':16} {'model':32} {'chunks':>8} {'bytes':>14} {'bits/sample':>11}")
    missing = set()
    for route, model, chunks in each.groups():
        name = "" if model is None else model_name(model)
        if model is not None and name.startswith("missing"):
            missing.add(model)
        nbytes, held = sum(c.nbytes for c in chunks), max(sum(c.described.samples for c in chunks), 1)
        print(f"  {route:16} {name:32} {len(chunks):8,} {nbytes:14,} {8 * nbytes / held:11.3f}")
    for references, count in each.references():
        text = " and ".join(f"{distance} back along axis {axis}" for axis, distance in references) or "none"
        print(f"  reference planes: {text}: {count:,} chunk(s)")
    return missing


def _draw(each: "Contents", path: Path) -> None:
    """Draw bits/sample over the grid of chunks (mean over all axes but the last two that have more than one chunk) and
    a histogram of the sizes of chunks.
    """
    import matplotlib as mpl
    import numpy as np

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    from ..errors import SourceError

    bits = each.map().reshape(each.grid or (1,))
    wide = ([axis for axis, n in enumerate(bits.shape) if n > 1] or [0])[-2:]
    names = [f"chunk along axis {axis}" for axis in wide]
    while len(wide) < 2:
        bits, wide, names = bits[None], [0, *(axis + 1 for axis in wide)], ["", *names]
    others = tuple(axis for axis in range(bits.ndim) if axis not in wide)
    known = np.isfinite(bits)
    number = known.sum(others)
    mean = np.divide(np.where(known, bits, 0).sum(others), number, where=number > 0, out=np.full(number.shape, np.nan))
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    shown = left.imshow(
        mean, interpolation="nearest", aspect="equal" if max(mean.shape) < 8 * min(mean.shape) else "auto"
    )
    figure.colorbar(shown, ax=left, label="bits/sample")
    left.set(title=each.name[-60:], xlabel=names[1], ylabel=names[0])
    for axis in (left.xaxis, left.yaxis):
        axis.get_major_locator().set_params(integer=True)
    right.hist([c.nbytes / 1000 for c in each.stored if c.nbytes], bins=40)
    right.set(title="sizes of chunks", xlabel="kB", ylabel="chunks")
    right.yaxis.get_major_locator().set_params(integer=True)
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:  # a missing folder, or an unknown image format
        raise SourceError(f"{path} cannot be written: {error}") from error
    finally:
        plt.close(figure)

"""`numcodecs-bitswap convert`: arrays, hierarchies and files to another codec."""

import argparse
import signal
import sys
from typing import TYPE_CHECKING, Any

from ..convert import CODECS, OURS

if TYPE_CHECKING:
    from ..convert.plan import Wanted

HELP = """Converts a Zarr array or group (either format; attributes, names and chunks are kept), an image, a .npy, .npz
or .bsw file to a Zarr array or group with this package's codec, or back. A target that ends in .bsw (a frame in a
file), .npy, .png or .tif is one file. The same command resumes a conversion that was stopped. Arrays of one
axis, and text, get Zstandard.
"""


def add(commands: Any) -> None:
    """Add the command's arguments."""
    parser = commands.add_parser(
        "convert", help="convert arrays from any codec to this one, and back", description=HELP
    )
    take = parser.add_argument
    take("source", help="Zarr array or group (path or URL), image, .npy, .npz or .bsw file")
    take("target", help="path or URL of the new Zarr array or group, or name of a file")
    take("--codec", choices=CODECS, default="bitswap", help="codec of the target (default: bitswap)")
    take("--model", default="auto", help="a model's name, for this package's codecs (default: auto)")
    take("--embed-model", action="store_true", help="store the model with the arrays, for their readers")
    take(
        "--chunks",
        type=int,
        nargs="+",
        help="chunk shape, for arrays with that many axes (default: the source's; of files 256 x 256 pixels)",
    )
    take("--shards", type=int, nargs="+", help="shard shape (default: the source's)")
    take("--format", type=int, choices=(2, 3), help="Zarr format (default: the source's; 3 for files)")
    take("--channel-axis", type=int, help="axis of the channels, as in BitSwap(channel_axis=...)")
    take("--verify", action="store_true", help="read every block back and compare")
    take("--dry-run", action="store_true", help="write nothing; print what would be done and an estimate of the size")
    take("--threads", type=int, help="blocks at a time (default: the number of cores)")
    take("--dask", default="threads", help="threads (default), processes, or the address of a dask scheduler")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Convert; returns the exit status."""
    from ..convert import files
    from ..convert.plan import Wanted
    from ..errors import SourceError
    from ..models import catalog

    if given.model != "auto":
        if given.codec not in OURS:
            raise SourceError(f"--model goes with the codecs of this package: {', '.join(OURS)}")
        catalog.find(given.model)  # before anything runs
    if given.source.rstrip("/") == given.target.rstrip("/"):
        raise SourceError("source and target are the same: name another target")
    if given.threads is not None and given.threads < 1:
        raise SourceError(f"--threads is {given.threads}; it must be 1 or more")
    wanted = Wanted(
        codec=given.codec,
        model=given.model,
        channel_axis=given.channel_axis,
        chunks=tuple(given.chunks) if given.chunks else None,
        shards=tuple(given.shards) if given.shards else None,
        zarr_format=given.format,
    )
    if given.dry_run:
        return _preview(given.source, wanted)
    if files.is_file(given.target):
        from ..measure.estimate import size

        array, length = files.convert_file(given.source, given.target, wanted)
        ratio = f"{size(array.nbytes)} -> {size(length)}, ratio {array.nbytes / max(length, 1):.2f}"
        print(f"{given.target}: {array.dtype} {array.shape}, {ratio}")
        return 0
    return _hierarchy(given, wanted)


def _hierarchy(given: argparse.Namespace, wanted: "Wanted") -> int:
    from ..convert import plan
    from ..convert.copying import convert, use_models_of
    from .progress import Progress

    use_models_of(given.source)
    planned = plan.make(given.source, wanted)
    _not_copied(given.source)
    progress = Progress(sum(plan.count(a) for a in planned.arrays), sum(a.nbytes for a in planned.arrays))
    # Batch systems stop jobs by SIGTERM, and jobs in the background start with SIGINT ignored.
    before = [(each, signal.signal(each, signal.default_int_handler)) for each in (signal.SIGINT, signal.SIGTERM)]
    try:
        convert(
            given.source,
            given.target,
            wanted,
            workers=given.dask,
            threads=given.threads,
            verify=given.verify,
            embed=given.embed_model,
            report=progress,
        )
    except KeyboardInterrupt:
        progress.end()
        print(f"{progress.text()}\nstopped; the same command resumes", file=sys.stderr)
        return 130
    finally:
        progress.end()
        for each, handler in before:
            signal.signal(each, handler)
    earlier = f"; {progress.skipped} of {progress.total} blocks were already done" if progress.skipped else ""
    print(f"{given.target}: {len(planned.arrays)} array(s), {progress.summary()}{earlier}")
    return 0


def _preview(source: str, wanted: "Wanted") -> int:
    import os

    from ..convert.preview import preview
    from ..measure.estimate import duration, size

    rows = preview(source, wanted)
    print(f"{'array':24} {'dtype':10} {'shape':20} {'chunks':18} {'codec':14} {'now':>9} {'estimate':>9}  ratio")
    for row in rows:
        a = row.planned
        shape, unit = "x".join(map(str, a.shape)), "x".join(map(str, a.unit))
        ratio = row.sampled / row.stored if row.stored else 0.0
        print(
            f"{a.path or '.':24} {a.dtype:10} {shape:20} {unit:18} {a.codec:14} {size(a.nbytes):>9} "
            f"{size(row.total):>9}  {ratio:.2f}"
        )
    cores = os.cpu_count() or 1
    total, seconds = sum(row.total for row in rows), sum(row.time for row in rows) / cores
    print(f"about {size(total)} in {duration(seconds)} on {cores} core(s); nothing was written")
    return 0


def _not_copied(source: str) -> None:
    """Print which files of a local hierarchy are not copied, as Zarr does not know them."""
    from pathlib import Path

    import zarr

    from ..readers.arrays import open_zarr

    if not Path(source).is_dir():
        return
    root = open_zarr(source)
    if not isinstance(root, zarr.Group):
        return
    known = {"zarr.json", ".zgroup", ".zattrs", ".zmetadata", ".zarray"}
    for path, group in [("", root), *((p, n) for p, n in root.members(None) if isinstance(n, zarr.Group))]:
        members = {name for name, _ in group.members()}
        strange = sorted(each.name for each in (Path(source) / path).iterdir() if each.name not in known | members)
        if strange:
            print(f"not copied, since Zarr does not know them: {path or source}: {', '.join(strange)}", file=sys.stderr)

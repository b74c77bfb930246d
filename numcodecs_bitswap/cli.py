"""`numcodecs-bitswap`: what an array would gain, the models that are there, and training."""

import argparse
import sys
from typing import Any

from . import catalog
from .errors import BitswapError
from .train.command import add_arguments as add_train_arguments


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 1 after a failed verification, 2 after bad input."""
    parser = argparse.ArgumentParser(prog="numcodecs-bitswap", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    _add_estimate(commands)
    _add_models(commands)
    commands.add_parser("warmup", help="compile ahead all that a CPU needs").set_defaults(run=_warmup)
    add_train_arguments(commands.add_parser("train", help="train a model on your own data"))
    given = parser.parse_args(arguments)
    try:
        return int(given.run(given))
    except BitswapError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _add_estimate(commands: Any) -> None:
    text = "Codes a sample of the chunks of an array with the models that fit and with classical codecs."
    parser = commands.add_parser("estimate", help="what would I save?", description=text)
    parser.add_argument("array", help="Zarr array (path or URL), .npy or .npz file, or image")
    parser.add_argument("--region", help="a part of the array, such as 0:10,:,512:1024")
    parser.add_argument(
        "--chunks", type=int, nargs="+", help="chunk shape (default: the array's; else 256 x 256 pixels)"
    )
    parser.add_argument("--count", type=int, default=12, help="chunks to sample")
    parser.add_argument("--model", action="append", help="try these models only; may be repeated")
    parser.add_argument("--channel-axis", type=int, help="axis of the channels, as in BitSwap(channel_axis=...)")
    parser.set_defaults(run=_estimate)


def _estimate(given: argparse.Namespace) -> int:
    from . import estimate, opening, peers
    from .classical import classical
    from .patches import image_axes

    array = opening.open_array(given.array, given.region)
    chunks = array.chunks
    if given.chunks:
        if len(given.chunks) != len(array.shape) or min(given.chunks) < 1:
            raise opening.SourceError(f"--chunks needs {len(array.shape)} positive numbers for shape {array.shape}")
        chunks = tuple(given.chunks)
    options = {} if given.channel_axis is None else {"channel_axis": given.channel_axis}
    sample = opening.sample(array, chunks, max(given.count, 1))
    models = given.model or estimate.fitting_models(sample[0], options)[:2]
    axes = image_axes(sample[0].shape, options.get("channel_axis", "auto"), "auto")
    codecs = classical(sample[0], axes=axes)
    codecs += [peers.bitswap(model, f"BitSwap, {model}", **options) for model in models or ["auto"]]
    rows = [peers.measure(codec, sample) for codec in codecs]
    print(f"{given.array}: {array.dtype} {array.shape}, {len(sample)} chunks of {chunks} sampled")
    print(estimate.table(rows, sample, array.nbytes))
    if not models:
        print("No model fits this dtype or shape: such chunks are stored by Zstandard behind a byte shuffle.")
    return 0


def _add_models(commands: Any) -> None:
    parser = commands.add_parser("models", help="the models that are there", description="Models on the search path.")
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="names, ids, places").set_defaults(run=_list)
    for name, run, text in (("show", _show, "what a model is"), ("verify", _verify, "check files against their ids")):
        action = actions.add_parser(name, help=text)
        action.add_argument("model", nargs="*" if name == "verify" else 1, help="names or ids (verify: default all)")
        action.set_defaults(run=run)


def _list(given: argparse.Namespace) -> int:
    for name in sorted(catalog.names()):
        entry = catalog.find(name)
        print(f"{name:24} {entry.sha256[:32]}  {entry.path.stat().st_size:>10,} bytes  {entry.path}")
    return 0


def _show(given: argparse.Namespace) -> int:
    entry = catalog.find(given.model[0])
    print(f"{entry.name}\nid {entry.sha256}\n{entry.path}")
    for key, value in catalog.metadata_of(entry).items():
        print(f"{key}: {value}")
    return 0


def _verify(given: argparse.Namespace) -> int:
    failed = 0
    for name in given.model or sorted(catalog.names()):
        try:
            catalog.load(name, "cpu")
        except BitswapError as error:
            failed = 1
            print(f"{name}: {error}")
        else:
            print(f"{name}: ok")
    return failed


def _warmup(given: argparse.Namespace) -> int:
    from .warmup import warm_up

    print(f"everything is compiled: {warm_up():.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`numcodecs-bitswap estimate`: how small would an array become?"""

import argparse
import json
from typing import Any


def add(commands: Any) -> None:
    """Add the command's arguments."""
    text = "Codes a sample of the chunks of an array with the models that fit and with classical codecs."
    parser = commands.add_parser("estimate", help="how small would an array become?", description=text)
    parser.add_argument("array", help="Zarr array (path or URL), .npy, .npz or .bsw file, or image")
    parser.add_argument("--region", help="a part of the array, such as 0:10,:,512:1024")
    parser.add_argument(
        "--chunks", type=int, nargs="+", help="chunk shape (default: the array's; else 256 x 256 pixels)"
    )
    parser.add_argument("--count", type=int, default=12, help="chunks to sample (default: 12)")
    parser.add_argument("--model", action="append", help="try only this model; may be repeated")
    parser.add_argument("--channel-axis", type=int, help="axis of the channels, as in BitSwap(channel_axis=...)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Measure and print; returns the exit status."""
    from ..chunk.patches import image_axes
    from ..convert.axes import axes_options, axis_names
    from ..measure import estimate, harness
    from ..measure.classical import classical
    from ..models import catalog
    from ..readers import arrays

    for model in given.model or []:
        catalog.find(model)  # before anything takes time
    array = arrays.open_array(given.array, given.region)
    chunks = arrays.chunk_shape(array, given.chunks, given.channel_axis)
    try:
        image_axes(array.shape, "auto" if given.channel_axis is None else given.channel_axis, "auto")
        options = axes_options(chunks, axis_names("", array.array, array.array), given.channel_axis)
    except ValueError as error:
        raise arrays.SourceError(f"--channel-axis {given.channel_axis}: {error}") from error
    sample = arrays.sample(array, chunks, max(given.count, 1))
    axes = image_axes(sample[0].shape, options.get("channel_axis", "auto"), options.get("spatial_axes", "auto"))
    models = given.model or estimate.fitting_models(sample[0], options)[:1]
    codecs = classical(sample[0], axes=axes)
    if not given.model:
        codecs.append(harness.bitswap("auto", "BitSwap", **options))
    codecs += [harness.bitswap(model, f"BitSwap, {model}", **options) for model in models]
    rows = [harness.measure(codec, sample) for codec in codecs]
    if given.json:
        print(json.dumps(estimate.summary(rows, sample, array, chunks), indent=2))
        return 0
    print(f"{given.array}: {array.dtype} {array.shape}, {len(sample)} chunks of {chunks} sampled")
    print(estimate.table(rows, sample, array.nbytes))
    if not models:
        print("No model fits this dtype or shape: such chunks are stored by Zstandard.")
    return 0

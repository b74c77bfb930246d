"""How small would an array become? Codes a sample of its chunks with the models that fit and with classical codecs.

Measured on the array itself, chunk by chunk as Zarr would code it; sizes are total bytes of frames.
"""

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from numpy.typing import NDArray

from ..chunk import frame
from ..codec import BitSwap
from ..errors import ModelError
from ..models import catalog
from ..readers.arrays import Opened
from .harness import Measured, progress

CODED = (frame.Route.MODEL, frame.Route.PLANES, frame.Route.JPEG)
"""The routes on which a model codes."""


def fitting_models(chunk: NDArray[Any], options: dict[str, Any]) -> list[str]:
    """Names of the models that code a chunk, smallest frame first; without those for test suites."""
    sizes = {}
    names = [name for name in catalog.names() if not name.startswith("tiny-")]
    with progress(len(names), "models that fit") as bar:
        for name in names:
            with suppress(ModelError):  # for another number of channels, or a flow
                encoded = BitSwap(model=name, **options).encode(chunk)
                if frame.parse(memoryview(encoded))[0].route in CODED:
                    sizes[name] = len(encoded)
            bar.update()
    return sorted(sizes, key=lambda name: sizes[name])


def table(rows: Sequence[Measured], chunks: Sequence[NDArray[Any]], nbytes: int) -> str:
    """A text table, largest first: bytes of the sample, ratio, bits/sample, speeds, size and encoding time of the whole
    array.
    """
    raw, samples = sum(chunk.nbytes for chunk in chunks), sum(chunk.size for chunk in chunks)
    lines = [
        f"{'codec':28} {'bytes':>12} {'ratio':>7} {'bits/sample':>11} {'enc MB/s':>8} {'dec MB/s':>8}  whole array"
    ]
    for row in sorted(rows, key=lambda row: -row.total):
        whole = f"{size(nbytes * row.total / raw):>9}, {duration(nbytes / 1e6 / row.encode_mb_s)}"
        lines.append(
            f"{row.name:28} {row.total:12,} {raw / row.total:7.3f} {8 * row.total / samples:11.3f} "
            f"{row.encode_mb_s:8.1f} {row.decode_mb_s:8.1f}  {whole}"
        )
    return "\n".join(lines)


def summary(
    rows: Sequence[Measured], chunks: Sequence[NDArray[Any]], array: Opened, shape: tuple[int, ...]
) -> dict[str, Any]:
    """The same as JSON values, for programs; smallest first."""
    raw, samples = sum(chunk.nbytes for chunk in chunks), sum(chunk.size for chunk in chunks)
    return {
        "array": array.name,
        "dtype": str(array.dtype),
        "shape": list(array.shape),
        "chunks": list(shape),
        "nbytes": array.nbytes,
        "sampled": len(chunks),
        "sampled_nbytes": raw,
        "codecs": [
            {
                "name": row.name,
                "bytes": row.total,
                "ratio": raw / row.total,
                "bits_per_sample": 8 * row.total / samples,
                "encode_mb_s": row.encode_mb_s,
                "decode_mb_s": row.decode_mb_s,
            }
            for row in sorted(rows, key=lambda row: row.total)
        ],
    }


def size(count: float) -> str:
    """A number of bytes as text."""
    exponent = min(int(math.log10(max(count, 1)) // 3), 5)
    return f"{count / 1000**exponent:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB', 'PB')[exponent]}"


def duration(seconds: float) -> str:
    """A time as text."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"

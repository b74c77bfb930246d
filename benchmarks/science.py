"""`make bench-science DATA=folder`: scientific arrays, sizes and speeds of their models and of other codecs.

    python -m benchmarks.science FOLDER [--limit N] [--repeats N]

Chunks of 256 x 256 of planes that no model was trained on, each coded on its own; total bytes, headers included. Prints
Markdown tables; bench-out/science.json gets them too.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numcodecs import Blosc, Zstd
from numpy.typing import NDArray

from benchmarks.peers import Measured, Peer, bitswap, measure
from benchmarks.science_data import SOURCES, chunks, read
from numcodecs_bitswap import catalog

OUT = Path("bench-out")
MODELS = {
    "fluorescence": "fluorescence-gray16-v1",
    "satellite": "satellite-gray16-v1",
    "electron microscopy": "em-gray8-v1",
    "MRI": "mri-gray16-v1",
    "CCD": "ccd-gray16-v1",
}
"""The model trained on each source; found if its folder is in NUMCODECS_BITSWAP_MODELS."""
Array = NDArray[Any]


def peers(dtype: np.dtype[Any]) -> list[Peer]:
    """Lossless image codecs, and compressors of numbers; image codecs that know unsigned samples only get them so."""

    def unsigned(encode: Callable[[Array], bytes]) -> Callable[[Array], bytes]:
        return lambda chunk: encode(chunk.view(f"u{chunk.dtype.itemsize}"))

    jpegxl, jpegls, jpeg2000 = imagecodecs.jpegxl_encode, imagecodecs.jpegls_encode, imagecodecs.jpeg2k_encode
    shape, blosc, zstd = (256, 256), Blosc("zstd", 9, Blosc.BITSHUFFLE), Zstd(19)
    found = [
        Peer(
            "JPEG XL effort 7",
            unsigned(lambda c: jpegxl(c, lossless=True, effort=7, usecontainer=False, numthreads=1)),
            lambda b: imagecodecs.jpegxl_decode(b, numthreads=1),
        ),
        Peer("JPEG-LS", unsigned(lambda c: jpegls(c)), imagecodecs.jpegls_decode),
        Peer(
            "JPEG 2000",
            unsigned(lambda c: jpeg2000(c, level=0, codecformat="j2k", reversible=True, numthreads=1)),
            lambda b: imagecodecs.jpeg2k_decode(b, numthreads=1),
        ),
        Peer("delta + Zstd 19", lambda c: zstd.encode(_delta(c)), lambda b: _sum(zstd.decode(b), dtype)),
        Peer("Blosc bitshuffle Zstd 9", blosc.encode, blosc.decode),
    ]
    if dtype.itemsize > 1:
        number = imagecodecs.pcodec_encode
        found.append(
            Peer(
                "pcodec 12",
                lambda c: number(c, level=12),
                lambda b: imagecodecs.pcodec_decode(b, shape=shape, dtype=dtype),
            )
        )
    else:
        webp = imagecodecs.webp_encode
        found.append(
            Peer(
                "WebP method 6",
                lambda c: webp(np.repeat(c[..., None], 3, 2), None, lossless=True, method=6, numthreads=1),
                lambda b: imagecodecs.webp_decode(b)[..., 0],
            )
        )
    return found


def _delta(chunk: Array) -> Array:
    return np.diff(chunk.reshape(-1), prepend=chunk.dtype.type(0))


def _sum(data: Any, dtype: np.dtype[Any]) -> Array:
    return np.cumsum(np.frombuffer(data, dtype), dtype=dtype)


def ours(name: str) -> list[Peer]:
    """The default model, and the one trained on this source if it is installed."""
    own = [MODELS[name]] if MODELS[name] in catalog.names() else []
    return [bitswap(model)._replace(name=f"Bit-Swap, {model}") for model in ("auto", *own)]


def table(rows: list[Measured], best: Measured) -> str:
    """Markdown, smallest last; the last column is the size relative to the smallest of the other codecs."""
    lines = [
        f"| codec | bytes | bits/sample | encode MB/s | decode MB/s | size / {best.name} |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for row in sorted(rows, key=lambda row: -row.total):
        speed = f"{row.encode_mb_s:.1f} | {row.decode_mb_s:.1f}"
        lines.append(
            f"| {row.name} | {row.total:,} | {row.bits_per_dim:.3f} | {speed} | {row.total / best.total:.3f} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Measure and print; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.science", description=__doc__)
    parser.add_argument("folder", type=Path, help="the .npz files of benchmarks.science_data")
    parser.add_argument("--limit", type=int, default=64, help="at most so many chunks of each source")
    parser.add_argument("--repeats", type=int, default=1, help="speeds are medians of so many runs")
    options = parser.parse_args()
    tables: dict[str, list[dict[str, Any]]] = {}
    for name in SOURCES:
        part = read(options.folder, name)
        if part is None:
            continue
        some = list(chunks(part))[: options.limit]
        print(f"\n## {name}: {len(some)} chunks of 256 x 256, {some[0].dtype}\n", flush=True)
        others = [measure(peer, some, options.repeats) for peer in peers(some[0].dtype)]
        rows = [measure(peer, some, options.repeats) for peer in ours(name)] + others
        print(table(rows, min(others, key=lambda row: row.total)), flush=True)
        tables[name] = [asdict(row) for row in rows]
    if not tables:
        print(
            f"error: {options.folder} has none of {', '.join(pattern for pattern, _ in SOURCES.values())}",
            file=sys.stderr,
        )
        return 2
    OUT.mkdir(exist_ok=True)
    (OUT / "science.json").write_text(json.dumps(tables, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`make bench-science DATA=folder`: scientific arrays, sizes and speeds of their models and of other codecs.

    python -m benchmarks.science FOLDER [--limit N] [--repeats N]

Chunks of 256 x 256 of planes that no model was trained on, each coded on its own; total bytes, headers included. Prints
Markdown tables; bench-out/science.json gets them too.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.science_data import SOURCES, chunks, read
from numcodecs_bitswap import catalog
from numcodecs_bitswap.classical import ARRAYS, classical
from numcodecs_bitswap.peers import Peer, bitswap, measure, table

OUT = Path("bench-out")
MODELS = {
    "fluorescence": "fluorescence-gray16-v1",
    "satellite": "satellite-gray16-v1",
    "electron microscopy": "em-gray8-v1",
    "MRI": "mri-gray16-v1",
    "CCD": "ccd-gray16-v1",
}
"""The model trained on each source; found if its folder is in NUMCODECS_BITSWAP_MODELS."""
OTHERS = [name for name in ARRAYS if name not in ("Zstd", "PNG")]


def ours(name: str) -> list[Peer]:
    """The default model, and the one trained on this source if it is installed."""
    own = [MODELS[name]] if MODELS[name] in catalog.names() else []
    return [bitswap(model, f"Bit-Swap, {model}") for model in ("auto", *own)]


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
        others = [measure(peer, some, options.repeats) for peer in classical(some[0], OTHERS)]
        rows = [measure(peer, some, options.repeats) for peer in ours(name)] + others
        print(table(rows, min(others, key=lambda row: row.total).name, "bits/sample"), flush=True)
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

"""`make paper-tables`: the tables and figures of the BB-ANS and Bit-Swap papers with our models, theirs beside ours.

    python -m benchmarks.papers DATA [--limit N]

BB-ANS: Townsend, Bird, Barber 2019, arXiv:1901.04866. Bit-Swap: Kingma, Abbeel, Ho 2019, arXiv:1905.06845. DATA is a
folder with `mnist/` (the four idx.gz files), `cifar10_part/train_3000.npz` (3,000 images of CIFAR-10) and
`natural/validation_imagenet_unscaled/` (photographs at native size). Models are those of the catalogue and those that
training left in `runs/`. What is missing is said and skipped. Writes bench-out/paper_*.
"""

import argparse
import math
import os
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.papers import figures
from benchmarks.papers.cifar import cifar
from benchmarks.papers.mnist import BINARY, bb_ans, binary_set, bit_swap
from benchmarks.papers.photographs import photographs
from benchmarks.papers.report import NOTE, Report
from numcodecs_bitswap import BBANS
from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.runtime import scheduler
from numcodecs_bitswap.train.data import DataError

OUT = Path("bench-out")
RUNS = Path("runs")
PICTURED = 10
"""Rows and columns of digits in the picture of compressed bits."""


def compressed_bits(report: Report, folder: Path, limit: int) -> None:
    """Draw a frame of binarised digits."""
    images = binary_set(folder, min(math.isqrt(limit), PICTURED) ** 2)
    if report.model(BINARY):
        encoded = BBANS(model=BINARY).encode(images)
        figures.compressed_bits(images, encoded, OUT / "paper_compressed_bits.png")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write bench-out/; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.papers", description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with mnist/, cifar10_part/ and natural/")
    parser.add_argument("--limit", type=int, default=10_000, help="only the first images of each set: a quick try")
    options = parser.parse_args(arguments)
    if not options.data.is_dir():
        parser.error(f"{options.data} is not a folder")
    if options.limit < 1:
        parser.error("--limit must be at least 1")
    for folder in sorted(path for path in RUNS.glob("*") if path.is_dir()):
        catalog.register_folder(folder)
    OUT.mkdir(exist_ok=True)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {scheduler.device()}, Python {platform.python_version()}"
    report = Report(f"The papers' tables ({machine})")

    def tried(section: Callable[[Report, Path, int], Any]) -> Any:
        try:
            return section(report, options.data, options.limit)
        except DataError as error:
            report.skip(str(error))
            return None

    if chains := tried(bb_ans):
        figures.moving_average(chains, OUT / "paper_moving_average.png")
    tried(compressed_bits)
    if curves := tried(bit_swap):
        figures.starts(curves, OUT / "paper_starts.png")
    tried(photographs)
    tried(cifar)
    figures.buckets(OUT / "paper_buckets.png")
    report.write(OUT / "paper_tables")
    print(f"{NOTE}\n\n{', '.join(str(path) for path in sorted(OUT.glob('paper_*')))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

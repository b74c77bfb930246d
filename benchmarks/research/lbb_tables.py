"""The tables of the paper on local bits-back coding with our flows, theirs beside ours.

    python -m benchmarks.research.lbb_tables PHOTOGRAPHS [--patches 500]

Ho, Lohn, Abbeel 2019, arXiv:1905.08500. PHOTOGRAPHS is a folder of images of at least 256 x 256. The paper's figures
are of CIFAR-10 and of larger flows on a GPU; ratios can be compared, rates cannot. Writes bench-out/lbb_tables.*.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.papers.report import Beside, Report, Table, published
from benchmarks.research.bound import flow_bits
from benchmarks.research.lbb_cores import cores
from benchmarks.research.lbb_message import full_message, model_file, words_of
from benchmarks.research.lbb_starts import PATCH_MODEL, initial_bits, starts
from benchmarks.research.lbb_variants import VARIANTS
from benchmarks.research.smooth_flow import SmoothFlow
from numcodecs_bitswap.backends import for_device
from numcodecs_bitswap.bitsback import local_bits_back
from numcodecs_bitswap.nets.flow import FlowModel
from numcodecs_bitswap.train.data import list_images, random_crop, read_image

SIDE = 32
SWEEP = [(k, k + more, n) for k in (8, 10, 12) for more in (3, 4) for n in (3, 4, 5, 6) if k + more <= 17]
SWEPT = 100
"""Patches of the sweep: gaps need fewer than rates."""
WAYS = ("encode", "decode")
BOX_SIDES = (8, 16)
"""Sides of the patches that the black box codes: its time grows with the cube of the dimension."""


def tiles(folder: Path, n: int, side: int) -> NDArray[np.int16]:
    """n patches (n, side, side, 3) of the photographs, in turn, at places drawn once."""
    rng, images = np.random.default_rng(0), [read_image(path) for path in list_images(folder)]
    crops = [random_crop(images[k % len(images)], side, rng) for k in range(n)]
    return np.stack(crops).astype(np.int16)


def rates(model: FlowModel, grid: NDArray[np.int16]) -> tuple[float, float]:
    """Bits/sample by the flow's own bound, and coded: both net, on the same noise."""
    bound, coded, dims = 0.0, 0.0, grid.size
    for part in np.array_split(grid, -(-len(grid) // 100)):
        message = full_message(4 * part.size)
        before, start = message.copy(), words_of(message)
        noise = local_bits_back.pop_noise(before, model, part)
        popped = 8 * (start - words_of(before))
        bound += flow_bits(model, part, noise).sum() + model.steps.value_bits * part.size - popped
        local_bits_back.push(message, model, part)
        coded += 8 * (words_of(message) - start)
    return bound / dims, coded / dims


def rate_table(report: Report, grid: NDArray[np.int16]) -> None:
    """(i): what local bits-back coding loses beside the bound; and the sweep that chose the steps."""
    arch, tensors = model_file(PATCH_MODEL)
    columns = ("value_bits", "latent_bits", "noise_bits")
    chosen = tuple(arch[key] for key in columns)
    table = Table(f"Coded bits/sample against the flow's bound, {PATCH_MODEL}, {len(grid)} patches")
    sweep = Table("Steps of values and noise against the gap")
    sweep.notes.append(f"Steps that do not ship: of the first {SWEPT} patches.")
    sweep.notes.append("Initial bits: the deepest that the first patches ever eat into the message, all at once.")
    for steps in tqdm(dict.fromkeys([chosen, *SWEEP]), desc="steps", leave=False):
        model = FlowModel(arch | dict(zip(columns, steps, strict=True)), tensors, for_device("cpu"))
        bound, coded = rates(model, grid if steps == chosen else grid[:SWEPT])
        if steps == chosen:
            row = {"bound": Beside(bound, published("lbb", "cifar", "bound"))}
            table.rows.append(row | {"coded": Beside(coded, published("lbb", "cifar", "coded"))})
            table.notes.append(f"The gap is {coded - bound:.4f} bits/sample; the paper's 0.002.")
        model_initial = initial_bits(model, grid[:64])
        cells = dict(zip(("level 2^-", "latent 2^-", "noise 2^"), (str(each) for each in steps), strict=True))
        gap = f"{coded - bound:.4f}{' (shipped)' * (steps == chosen)}"
        sweep.rows.append({**cells, "bound": bound, "coded": coded, "gap": gap, "initial bits/sample": model_initial})
    report.add(table)
    report.add(sweep)


def seconds(call: Callable[[], Any], repeats: int) -> float:
    """The shortest of some runs."""
    best = math.inf
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def functions_alone(model: FlowModel, grid: NDArray[np.int16], transforms: bool) -> None:
    """All networks of a flow; and with `transforms` f, its derivative and its inverse for every value too."""
    v = grid.astype(np.int32) << model.steps.value_bits
    if model.bucket_bits:
        model.noise_posterior(grid)
    for layer in model.layers:
        if layer.role == "coupling":
            function = layer.function(v)
            if transforms:
                x = v[..., layer.changed]
                y, _ = function.forward(x.reshape(-1))
                function.inverse(y)
                v = local_bits_back.with_channels(v, layer.changed, y.reshape(x.shape))
        elif layer.role == "split":
            v = v[..., layer.kept]
        else:
            v = layer.forward(v)


def time_table(report: Report, folder: Path) -> None:
    """(ii): milliseconds for each patch, on one thread, as a pass of the codecs has."""
    arch, tensors = model_file(PATCH_MODEL)
    smooth = SmoothFlow(arch | {"value_bits": 14, "latent_bits": 17, "noise_bits": 4}, tensors)
    table = Table("Milliseconds for each patch on one thread, this machine, this run")
    table.notes.append("Networks: the trunks alone. Flow: networks, f, f' and f^-1 of every value, nothing coded.")
    model = FlowModel(arch, tensors, for_device("cpu"))
    sizes = [(SIDE, 1), (SIDE, 64), *((side, 1) for side in BOX_SIDES)]
    for side, batch in tqdm(sizes, desc="times", leave=False):
        grid = tiles(folder, batch, side)
        for name in ["compositional", *(["autoregressive", "black_box"] if side < SIDE else [])]:
            what: Any = smooth if name == "black_box" else model
            encode, decode = coder_seconds(name, what, grid, 1 if name == "black_box" else 5)
            table.rows.append(_times(name, side, batch, encode / batch, decode / batch))
        for name, transforms in (("networks", False), ("flow", True)):
            taken = seconds(partial(functions_alone, model, grid, transforms), 5) / batch
            table.rows.append(_times(name, side, batch, taken, taken))
    report.add(table)


def coder_seconds(name: str, model: Any, grid: NDArray[np.int16], repeats: int) -> tuple[float, float]:
    """Seconds of push and pop."""
    n, height, width, _ = grid.shape
    push, pop = VARIANTS[name]
    words = full_message(8 * grid.size + 4096)
    message = words.copy()
    push(message, model, grid)
    encode = seconds(lambda: push(words.copy(), model, grid), repeats)
    return encode, seconds(lambda: pop(message.copy(), model, n, (height, width)), repeats)


def _times(name: str, side: int, batch: int, encode: float, decode: float) -> dict[str, Any]:
    key = name if name == "black_box" else f"{'networks' if name == 'flow' else name}{batch}"
    theirs = {
        way: published("lbb", "milliseconds", way, key) if side == SIDE or name == "black_box" else None for way in WAYS
    }
    return {
        "what": name,
        "patch": f"{side} x {side} x 3",
        "batch": str(batch),
        "encode": Beside(1000 * encode, theirs["encode"]),
        "decode": Beside(1000 * decode, theirs["decode"]),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write bench-out/; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.research.lbb_tables", description=__doc__.splitlines()[0]
    )
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--patches", type=int, default=500)
    options = parser.parse_args(arguments)
    report = Report("Local bits-back coding")
    rate_table(report, tiles(options.photographs, options.patches, SIDE))
    time_table(report, options.photographs)
    cores(report, options.photographs)
    starts(report, options.photographs)
    Path("bench-out").mkdir(exist_ok=True)
    report.write(Path("bench-out/lbb_tables"))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Flow against Bit-Swap as a core: what codes the grid of every fourth pixel, on the same chunks, beside the operations
that it takes.
"""

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.papers.report import Report, Table
from benchmarks.research.lbb_message import full_message, model_file, words_of
from numcodecs_bitswap.bitsback import direct, stages
from numcodecs_bitswap.bitsback.groups import CORES
from numcodecs_bitswap.train.data import list_images, read_image, to_gray

CHUNK, COARSE = 256, 2
"""Side of the chunks; stages that all models here have in common, at least."""
MODELS = {
    3: ("photo-rgb8-flow", "photo-rgb8-v2"),
    1: ("photo-gray8-flow", "photo-gray8-v2"),
}


def multiplications(name: str) -> float:
    """Multiplications of int8 for each sample of the grid behind COARSE stages, when it is coded once."""
    arch, tensors = model_file(name)
    total, cells = 0.0, {}
    depth, squeezed = arch["stages"] - COARSE, 0
    for stage in range(1, depth + 1):
        cells[f"stage{COARSE + stage}"] = 4.0**-stage
    for number, line in enumerate(arch.get("layers", []), 1):
        squeezed += line[0] == "squeeze"
        cells[f"flow{number}"] = 4.0**-squeezed
    cells["dequantise"] = 1 / 4
    for layer in range(arch.get("latent_layers", 0) + 1):
        cells[f"q{layer}"] = cells[f"p{layer}"] = 4.0 ** -(depth + 1)
    for key, tensor in tensors.items():
        if key.endswith(".w") and (part := key.split(".")[0]) in cells:
            limbs = 2 if tensor.dtype == np.int16 else 1  # of a wide layer
            total += cells[part] * prod(tensor.shape) * limbs
    return total / arch["channels"]


def bits(net: Any, core: str, grids: list[np.ndarray], mode: str) -> float:
    """Net bits of the grids behind COARSE stages, by the stages that are left and the core, or the direct stage."""
    total = 0.0
    for grid in grids:
        message = full_message(8 * grid.size + 4096)
        before, x = words_of(message), grid
        for stage in net.stages[COARSE:]:
            x = stages.push(message, stage, x)
        if mode == "direct":
            direct.push(message, net.direct, x)
        else:
            CORES[core].push(message, net, x)
        total += 8 * (words_of(message) - before)
    return total


def cores(report: Report, folder: Path) -> None:
    """The table."""
    images = [image for image in map(read_image, list_images(folder)) if min(image.shape[:2]) >= CHUNK]
    table = Table(f"What codes every fourth pixel of chunks of {CHUNK} x {CHUNK}, {len(images)} photographs")
    table.notes.append(
        "Net, without a start, by the core and what stages it has beyond two. Multiplications of int8 for each of these"
        " samples, in thousands; their share of all samples is a sixteenth."
    )
    for channels, names in MODELS.items():
        crops = [image[:CHUNK, :CHUNK] for image in images]
        if channels == 1:
            crops = [to_gray(crop).transpose(1, 2, 0) for crop in crops]
        step = 1 << COARSE
        grids = [crop[::step, ::step].astype(np.int16)[None] for crop in crops]
        samples = sum(grid.size for grid in grids)
        for name in tqdm(names, desc="cores", leave=False):
            if (model := report.model(name)) is None:
                continue
            core = model.net.cores[0]
            row: dict[str, Any] = {"model": name, "core": core}
            row["bits/sample"] = (spent := bits(model.net, core, grids, "bits-back")) / samples
            row["bits/sample of the chunk"] = spent / samples / step**2
            row["direct"] = bits(model.net, core, grids, "direct") / samples
            table.rows.append(row | {"multiplications": f"{multiplications(name) / 1000:.1f} k"})
    report.add(table)

"""What the start of local bits-back coding costs: paid initial bits, growing batches, context stages."""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.papers.chains import PaidMessage, measure_chains, start
from benchmarks.papers.report import Beside, Cell, Report, Table, published
from benchmarks.research.bound import bound_bits
from numcodecs_bitswap import LocalBitsBack
from numcodecs_bitswap.bitsback import local_bits_back
from numcodecs_bitswap.chunk import model_route
from numcodecs_bitswap.nets.flow import FlowModel
from numcodecs_bitswap.rans.message import Message
from numcodecs_bitswap.train.data import list_images, read_image

PATCH_MODEL, PHOTO_MODEL = "patch32-rgb8-flow", "photo-rgb8-flow"
COUNTS = (1, 10, 100)
SIDE, CHUNK = 32, 256


def initial_bits(model: FlowModel, grid: np.ndarray) -> float:
    """The deepest that pushing patches one after the other eats into a message, in bits/sample of one patch."""
    message = PaidMessage(Message.unflatten(start(1), model.backend.stack)._stack)
    size = message.size[0]
    for each in grid[:4]:
        local_bits_back.push(message, model, each[None])
    return float(8 * (size - message.low[0]) / grid[0].size)


def starts(report: Report, folder: Path) -> None:
    """(iii): total bits/sample of one chunk of the first n patches of a photograph; and of chunks of 256 x 256."""
    images = [read_image(path) for path in list_images(folder)]
    table = Table(f"Total bits/sample of one chunk of n patches of {SIDE} x {SIDE}, {PATCH_MODEL}")
    table.notes.append("Patches of one photograph side by side; means over the photographs. Headers counted in frames.")
    if (patch := report.model(PATCH_MODEL)) is not None:
        runs = np.stack([_side_by_side(image, COUNTS[-1]) for image in images if _holds(image, COUNTS[-1])])
        chains = measure_chains(patch.net, "local_bits_back", runs)
        dims = runs[0, 0].size
        paid: dict[str, Cell] = {"start": "paid, patch after patch"}
        grown: dict[str, Cell] = {"start": "growing batches (frames)"}
        first = float(chains.initial[:, 1].mean()) / dims
        paid["initial bits/sample"] = Beside(first, published("lbb", "initial", "bits_per_dim"))
        grown["initial bits/sample"] = 0.0
        codec = LocalBitsBack(model=PATCH_MODEL)
        for n in COUNTS:
            paid[f"n = {n}"] = float(chains.total[:, n].mean()) / (n * dims)
            frames = [codec.encode(run[:n]) for run in tqdm(runs, desc=f"frames of {n}", leave=False)]
            grown[f"n = {n}"] = float(np.mean([8 * len(frame) for frame in frames])) / (n * dims)
        table.rows += [paid, grown]
        report.add(table)
    if (photo := report.model(PHOTO_MODEL)) is not None:
        staged = Table(f"Chunks of {CHUNK} x {CHUNK} x 3 with stages, {PHOTO_MODEL}")
        codec = LocalBitsBack(model=PHOTO_MODEL)
        crops = [np.ascontiguousarray(image[:CHUNK, :CHUNK]) for image in images if min(image.shape[:2]) >= CHUNK]
        total = sum(8 * len(codec.encode(crop)) for crop in tqdm(crops, desc="chunks", leave=False))
        bound = sum(_bound(photo.net, crop) for crop in tqdm(crops, desc="bounds", leave=False))
        dims = sum(crop.size for crop in crops)
        row: dict[str, Cell] = {"chunks": len(crops), "bound": bound / dims, "total": total / dims}
        staged.rows.append(row | {"excess": f"{100 * (total / bound - 1):.2f} %"})
        report.add(staged)


def _bound(net: FlowModel, crop: np.ndarray) -> float:
    lanes = model_route.lanes(crop.size, net.levels)
    return float(bound_bits(net, [crop[None, None]], lanes, "local_bits_back")[0])


def _holds(image: np.ndarray, n: int) -> bool:
    return (image.shape[0] // SIDE) * (image.shape[1] // SIDE) >= n


def _side_by_side(image: np.ndarray, n: int) -> np.ndarray:
    """The first n tiles of an image in row order: (n, SIDE, SIDE, 3)."""
    h, w = (side // SIDE for side in image.shape[:2])
    grid = image[: h * SIDE, : w * SIDE].reshape(h, SIDE, w, SIDE, 3).transpose(0, 2, 1, 3, 4)
    return grid.reshape(-1, SIDE, SIDE, 3)[:n]

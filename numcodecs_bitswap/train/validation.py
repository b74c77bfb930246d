"""Validation data of a user's arrays: chunks for the comparison of codecs, patches for the rates of a run."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..chunk.patches import Axes
from ..readers.arrays import SIDE
from .data import Pixels
from .own_arrays import Pictures, Region, images
from .recipe import Recipe

BYTES, SAMPLES = 1 << 22, 1 << 19
"""Bytes on which codecs are compared, and samples on which rates are measured during training."""


def _spatial(axes: Axes) -> tuple[int, int]:
    return axes.y, axes.x


class Validation(NamedTuple):
    """Validation data: whole chunks as Zarr would code them, square crops of their planes, and these as patches for
    networks, (n, c, side, side).
    """

    chunks: list[NDArray[Any]]
    crops: list[NDArray[Any]]
    patches: Pixels


def validation(pictures: Pictures, regions: Sequence[Region], recipe: Recipe) -> Validation:
    """Read a random part of the regions for validation. Crops are as large as the model and a quarter of the regions
    allow; smaller regions have none.
    """
    sides = [min(region.size[axis] for axis in _spatial(pictures.axes[region.array])) for region in regions]
    side = min(1 << sorted(sides, reverse=True)[(len(sides) - 1) // 4].bit_length() - 1, SIDE)
    if side < recipe.training.patch or recipe.model.misfit(side):
        side = recipe.training.patch
    chunks: list[NDArray[Any]] = []
    edges: list[NDArray[Any]] = []
    crops: list[NDArray[Any]] = []
    for number in np.random.default_rng(0).permutation(len(regions)):
        region = regions[number]
        array, axes = pictures.arrays[region.array], pictures.axes[region.array]
        block = array.read(region.place, region.size)
        whole = _whole_chunks(block, array.chunks)
        chunks += whole
        edges += [] if whole else [block]
        for plane in images(block, axes) if sides[number] >= side else []:
            if sum(crop.size for crop in crops) < SAMPLES:
                crops.append(np.ascontiguousarray(plane[:side, :side]))
        if crops and sum(chunk.nbytes for chunk in chunks) >= BYTES:
            break
    chunks = chunks or edges
    shape = Counter(chunk.shape for chunk in chunks).most_common(1)[0][0]
    patches = np.stack([crop.transpose(2, 0, 1) for crop in crops])
    flat = crops if pictures.channels > 1 else [crop[..., 0] for crop in crops]
    return Validation([chunk for chunk in chunks if chunk.shape == shape], flat, patches)


def _whole_chunks(block: NDArray[Any], size: tuple[int, ...]) -> list[NDArray[Any]]:
    grid = [n // s for n, s in zip(block.shape, size, strict=True)]
    cells = ([slice(i * s, (i + 1) * s) for i, s in zip(at, size, strict=True)] for at in np.ndindex(*grid))
    return [np.ascontiguousarray(block[tuple(cell)]) for cell in cells]

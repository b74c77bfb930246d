"""What is held back of somebody's arrays: chunks for codecs, and patches for the rates of a run."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..opening import SIDE
from ..patches import Axes
from ..samples import is_deep, reduce
from .data import Pixels
from .pieces import Pictures, Piece, images
from .recipe import Recipe

BYTES, SAMPLES = 1 << 22, 1 << 19
"""What codecs are compared on, and what rates are measured on while training."""


def _spatial(axes: Axes) -> tuple[int, int]:
    return axes.y, axes.x


class HeldBack(NamedTuple):
    """What is never trained on: whole chunks as Zarr would code them, square crops of their planes as they are, and
    those as networks see them, (n, c, side, side).
    """

    chunks: list[NDArray[Any]]
    crops: list[NDArray[Any]]
    patches: Pixels


def held_back(pictures: Pictures, pieces: Sequence[Piece], recipe: Recipe) -> HeldBack:
    """Read a random part of the pieces that are held back; crops are as large as the model allows."""
    chunks: list[NDArray[Any]] = []
    crops: list[NDArray[Any]] = []
    patches: list[Pixels] = []
    least = min(piece.size[axis] for piece in pieces for axis in _spatial(pictures.axes[piece.array]))
    side, samples = min(1 << least.bit_length() - 1, SIDE), 0
    if side < recipe.training.patch or recipe.model.misfit(side):
        side = recipe.training.patch
    for number in np.random.default_rng(0).permutation(len(pieces)):
        piece = pieces[number]
        array, axes = pictures.arrays[piece.array], pictures.axes[piece.array]
        block = array.read(piece.place, piece.size)
        chunks += _whole_chunks(block, array.chunks)
        for plane in images(block, axes):
            if samples < SAMPLES:
                crop = np.ascontiguousarray(plane[:side, :side])
                samples += crop.size
                crops.append(crop if pictures.channels > 1 else crop[..., 0])
                patches.append((reduce(crop)[0] if is_deep(crop.dtype) else crop).transpose(2, 0, 1))
        if sum(chunk.nbytes for chunk in chunks) >= BYTES:
            break
    shape = Counter(chunk.shape for chunk in chunks).most_common(1)[0][0]
    return HeldBack([chunk for chunk in chunks if chunk.shape == shape], crops, np.stack(patches))


def _whole_chunks(block: NDArray[Any], size: tuple[int, ...]) -> list[NDArray[Any]]:
    """The whole chunks of a block, or the block if there are none."""
    grid = [n // s for n, s in zip(block.shape, size, strict=True)]
    if not math.prod(grid):
        return [block]
    cells = ([slice(i * s, (i + 1) * s) for i, s in zip(at, size, strict=True)] for at in np.ndindex(*grid))
    return [np.ascontiguousarray(block[tuple(cell)]) for cell in cells]

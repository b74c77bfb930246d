"""Training data for the networks of the plane coder: the encoder's own inputs for sampled pixels. numpy only."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .coder import code, learnt
from .message import Planes
from .model import PlaneModel
from .tables import CONTEXTS, REFERENCES

MOST_INPUTS = 140


class Rows(NamedTuple):
    """Sampled pixels of some tiles.

    Attributes
    ----------
    inputs : int8 array, shape (n, inputs)
    blend, q, x, m, tile : int32 arrays, shape (n,)
    learnt : float16 array, shape (tiles, outputs, width + CONTEXTS)
        What the last layer has learnt at the end of each tile, in units of its outputs.
    """

    inputs: NDArray[np.int8]
    blend: NDArray[np.int32]
    q: NDArray[np.int32]
    x: NDArray[np.int32]
    m: NDArray[np.int32]
    tile: NDArray[np.int32]
    learnt: NDArray[np.float16]


def joined(rows: Sequence[Rows]) -> Rows:
    """The rows of all tiles."""
    if not rows:
        none = np.zeros(0, np.int32)
        return Rows(np.zeros((0, 1), np.int8), none, none, none, none, none, np.zeros((0, 0, 0), np.float16))
    begins = np.cumsum([0, *(len(each.learnt) for each in rows[:-1])], dtype=np.int32)
    rows = [each._replace(tile=each.tile + begin) for each, begin in zip(rows, begins, strict=True)]
    return Rows(*(np.concatenate(each) for each in zip(*rows, strict=True)))


def observe(
    model: PlaneModel,
    planes: Planes,
    references: NDArray[np.int64],
    m: int,
    share: float,
    rng: Any,
    average: NDArray[np.float64] | None = None,
) -> list[Rows]:
    """Sampled rows of a tile's planes, for each number of references."""
    chosen = np.where(rng.random(planes.shape) < share, 0, -1).astype(np.int32)
    count = int((chosen == 0).sum())
    chosen[chosen == 0] = np.arange(count)
    seen, told = np.zeros((count, MOST_INPUTS), np.int8), np.zeros((count, 4), np.int32)
    if average is None:
        average = np.zeros((REFERENCES + 1, len(model.targets[0]) + 1))
    heads, tail = np.full(1, 1 << 24, np.uint64), np.zeros(1, np.uint8)
    tile = np.ascontiguousarray(planes, np.int32)
    code(False, model, tile, references, m, heads, tail, 0, (seen, told, chosen, average))
    found = []
    for R in range(REFERENCES + 1):
        there = told[:, 0] == R
        blend, q, x = told[there, 1:].T.copy()
        tiles = np.full(len(x), m, np.int32), np.zeros(len(x), np.int32)
        found.append(Rows(seen[there], blend, q, x, *tiles, _learnt(model, tile, references, m, R)))
    return found


def _learnt(model: PlaneModel, tile: Planes, references: NDArray[np.int64], m: int, R: int) -> NDArray[np.float16]:
    """What the last layer has learnt at the end of the last plane of R references, (1, outputs, inputs); zeros if there
    is none.
    """
    there = np.flatnonzero((references >= 0).sum(1) == R)
    if not len(there):
        return np.zeros((1, 3 * model.mixtures, model.width + CONTEXTS), np.float16)
    end = int(there[-1]) + 1
    return learnt(model, tile[:end], references[:end], m)[None].astype(np.float16)

"""Training data for the networks of the plane coder: the encoder's own inputs for sampled pixels. numpy only."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .coder import code
from .message import Planes
from .model import PlaneModel
from .tables import REFERENCES

MOST_INPUTS = 140


class Rows(NamedTuple):
    """Sampled pixels: inputs int8 (n, inputs), blend, q, x, m int32 (n,)."""

    inputs: NDArray[np.int8]
    blend: NDArray[np.int32]
    q: NDArray[np.int32]
    x: NDArray[np.int32]
    m: NDArray[np.int32]


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
        found.append(Rows(seen[there], blend, q, x, np.full(len(x), m, np.int32)))
    return found

"""Planes of labels <-> bytes (FORMAT.md 10): the kernel's memory and arguments."""

from functools import cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError
from ..planes.tables import SIGMOID

CELLS = 6, 1 << 16
LABELS_LOG2 = 15
"""A byte holds fewer than 2^LABELS_LOG2 labels, as no probability is above 65520 / 65536."""
ROWS = 66
"""Sets of mixing weights: one for each of 64 kinds of decisions, one for new numbers, one for bits."""


@cache
def _stretch() -> NDArray[np.int64]:
    """Inverse of SIGMOID: the argument at which it reaches 16 u + 8, for u = 0 .. 4095."""
    return np.clip(np.searchsorted(SIGMOID, 16 * np.arange(4096) + 8) - 4096, -4095, 4095).astype(np.int64)


def _run(decode: bool, planes: NDArray[np.uint32], references: NDArray[np.int64], m: int, data: Any) -> int:
    from .kernel import MODELS, OTHER, OWN, POINTS, code_labels  # may read numba

    probabilities = np.full((MODELS, CELLS[1]), 1 << 15, np.uint16)
    counts = np.zeros((MODELS, CELLS[1]), np.uint8)
    weights = np.full((ROWS, MODELS), (1 << 16) * 2 // MODELS, np.int64)
    weights[64:] = 1 << 15
    tables = OWN, OTHER, POINTS, _stretch(), SIGMOID
    bits = max(m.bit_length(), 1)
    return int(
        code_labels(  # type: ignore[no-untyped-call]
            decode, planes, references, *tables, probabilities, counts, weights, bits, data
        )
    )


def encode(planes: NDArray[Any], references: NDArray[np.int64], m: int) -> bytes:
    """Encode planes (P, h, w) of 0 .. m; inverse of `decode`.

    Parameters
    ----------
    planes : unsigned integers
    references : int64 array (P,)
        The index of the reference plane of each plane, or -1.
    m : int
        Below 2^32.
    """
    copy = np.array(planes, np.uint32, order="C")
    data = np.empty(copy.size * (m.bit_length() + 8) * 3 // 2 + 64, np.uint8)  # a decision takes 12 bits at most
    length = _run(False, copy, references, m, data)
    return data[:length].tobytes()


def decode(data: memoryview, shape: tuple[int, int, int], references: NDArray[np.int64], m: int) -> NDArray[np.uint32]:
    """Decode planes; inverse of `encode`.

    Raises
    ------
    FormatError
        There are too few bytes or too many, or a number is above m.
    """
    if prod(shape) > (len(data) + 4) << LABELS_LOG2:
        raise FormatError(f"{len(data)} bytes are too few for {prod(shape)} labels")
    planes = np.zeros(shape, np.uint32)
    if _run(True, planes, references, m, np.array(data, np.uint8)) != len(data):
        raise FormatError("the labels are truncated or altered")
    if planes.size and int(planes.max()) > m:
        raise FormatError("a label exceeds the largest: the frame was altered")
    return planes

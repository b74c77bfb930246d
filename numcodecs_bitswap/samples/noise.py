"""Estimate of the bits that numbers take, from the residuals of a linear prediction from neighbours.

Encoder only. Sums and elimination use plain double arithmetic and no linear algebra library, so that every machine
makes the same choices.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLES = 4096
"""Numbers in the sample."""
OWN = ((-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0))
OTHER = ((0, 0), (-1, 0))
"""Neighbours (dy, dx) in the plane and in a reference plane, except (0, -1), which is subtracted from all of them."""
MOST_AXES = 3
VALUES = 256
"""A histogram is made of numbers below this."""
BEYOND = 2.2
"""Bits of a number in addition to the logarithm of its residual."""


def bits(
    numbers: NDArray[Any],
    axes: tuple[int, int],
    there: NDArray[np.bool_] | None = None,
    references: Sequence[tuple[int, int]] | None = None,
    of: Callable[[NDArray[Any]], NDArray[Any]] | None = None,
) -> float:
    """Estimated mean bits of a number.

    Parameters
    ----------
    numbers : unsigned integers
    axes : (int, int)
        The y and x axes.
    there : bool array of the numbers' shape, optional
        Which numbers count; default: all.
    references : sequence of (axis, distance), optional
        The reference planes. Default: the preceding planes along the last leading axes.
    of : callable, optional
        Maps the values in `numbers` to numbers.
    """
    leading = [axis for axis in range(numbers.ndim) if axis not in axes]
    if references is None:
        references = [(axis, 1) for axis in leading[-MOST_AXES:]]
    moved = numbers.transpose([*leading, *axes])
    *lead, h, w = moved.shape
    flat = moved.reshape(-1)
    count = flat.size if there is None else np.count_nonzero(there)
    # An odd stride, so that the sample covers all columns.
    stride = max(count // SAMPLES, 1) | 1
    if there is None:
        places = np.arange(0, flat.size, stride)
    else:
        places = np.flatnonzero(there.transpose([*leading, *axes]))[::stride]
    p, y, x = np.unravel_index(places, (prod(lead), h, w))

    def at(plane: NDArray[Any], offsets: Sequence[tuple[int, int]]) -> NDArray[np.float64]:
        dy, dx = np.array(offsets).T[:, :, None]
        found = flat.take((plane * h + (y + dy).clip(0, h - 1)) * w + (x + dx).clip(0, w - 1))
        return (of(found) if of is not None else found).astype(np.float64)

    residual, west, *own = at(p, [(0, 0), (0, -1), *OWN])
    residual -= west
    columns = [each - west for each in own]
    for axis, distance in references:
        k = leading.index(axis)
        step = prod(lead[k + 1 :])
        known = p // step % lead[k] >= distance
        base, *other = at(np.where(known, p - distance * step, p), [(0, -1), *OTHER])
        columns += [np.where(known, each - base, 0.0) for each in other]
    weights = _solve(np.array([*columns, residual])[:, ::2])
    for column, weight in zip(columns, weights, strict=True):
        residual = residual - weight * column
    mantissa, exponent = np.frexp(np.abs(residual) + 0.5)
    return float((exponent - 2 + 2 * mantissa).sum()) / max(len(residual), 1) + BEYOND


def histogram_bytes(numbers: NDArray[Any]) -> float:
    """Estimated bytes of numbers, from the entropy of their histogram; infinite if a number is VALUES or more."""
    flat = numbers.reshape(-1)
    if int(flat.max()) >= VALUES:
        return float("inf")
    counts = np.bincount(flat)
    mantissa, exponent = np.frexp(counts[counts > 0] / flat.size)
    return float(-(counts[counts > 0] * (exponent - 2 + 2 * mantissa)).sum()) / 8


def _solve(columns: NDArray[np.float64]) -> list[float]:
    """Least-squares weights of columns for the last of them, by elimination."""
    n = len(columns) - 1
    rows = [[0.0] * (n + 1) for _ in range(n)]
    for i in range(n):
        sums = (columns[i] * columns[i:]).sum(1).tolist()
        for j, found in enumerate(sums, i):
            rows[i][j] = found
            if j < n:
                rows[j][i] = found
    for j in range(n):
        rows[j][j] += 1e-9 * rows[j][j] + 1e-30
    for j in range(n):
        for i in range(j + 1, n):
            factor = rows[i][j] / rows[j][j]
            rows[i] = [a - factor * b for a, b in zip(rows[i], rows[j], strict=True)]
    weights = [0.0] * n
    for j in reversed(range(n)):
        known = sum(rows[j][k] * weights[k] for k in range(j + 1, n))
        weights[j] = (rows[j][n] - known) / rows[j][j]
    return weights

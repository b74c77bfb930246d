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
    moved = np.moveaxis(numbers, axes, (-2, -1))
    *lead, h, w = moved.shape
    planes = moved.reshape(prod(lead), h, w)
    places = np.arange(planes.size) if there is None else np.flatnonzero(np.moveaxis(there, axes, (-2, -1)))
    # An odd stride, so that the sample covers all columns.
    places = places[:: max(len(places) // SAMPLES, 1) | 1]
    p, y, x = np.unravel_index(places, planes.shape)

    def at(plane: NDArray[Any], dy: int, dx: int) -> NDArray[np.float64]:
        found = planes[plane, (y + dy).clip(0, h - 1), (x + dx).clip(0, w - 1)]
        return (of(found) if of is not None else found).astype(np.float64)

    west = at(p, 0, -1)
    columns = [at(p, dy, dx) - west for dy, dx in OWN]
    for axis, distance in references:
        k = leading.index(axis)
        step = prod(lead[k + 1 :])
        known = p // step % lead[k] >= distance
        other = np.where(known, p - distance * step, p)
        base = at(other, 0, -1)
        columns += [np.where(known, at(other, dy, dx) - base, 0.0) for dy, dx in OTHER]
    residual = at(p, 0, 0) - west
    weights = _solve([column[::2] for column in columns], residual[::2])
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


def _solve(columns: list[NDArray[np.float64]], target: NDArray[np.float64]) -> list[float]:
    """Least-squares weights, by elimination."""
    n = len(columns)
    rows = [[float((a * b).sum()) for b in columns] + [float((a * target).sum())] for a in columns]
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

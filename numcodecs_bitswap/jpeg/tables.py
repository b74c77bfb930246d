"""Quantisation steps: the tables of ITU-T T.81, annex K, scaled by quality as in libjpeg, and estimates of others."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import finding_kernel

kernel: Any = finding_kernel

LUMA = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56),
    *(14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMA = (
    *(17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99),
    *(47, 66, 99, 99, 99, 99, 99, 99, *[99] * 32),
)
QUALITIES = range(1, 101)
EXACT_NOISE, SOLVED_NOISE = 688, 1400
"""Twice the noise variance of a frequency, in units of 2^-12: for rounded samples, and for chroma at half size."""
CLEAR = 3 * 256
"""Evidence, in 1/256 nat, that is enough for a step."""


@cache
def standard() -> NDArray[np.uint16]:
    """The standard tables of luma and of chroma by quality, uint16 (2, 100, 64)."""
    base = np.array([LUMA, CHROMA])[:, None]
    quality = np.array(QUALITIES)[:, None]
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return ((base * scale + 50) // 100).clip(1, 255).astype(np.uint16)


@cache
def _logarithms() -> NDArray[np.float32]:
    """The logarithm of each step over the width of the noise, in 1/256 nat, rounded so that all machines agree."""
    logarithms: NDArray[np.float32] = np.rint(256 * (np.log(np.arange(256).clip(1)) + 0.32)).astype(np.float32)
    return logarithms


@cache
def _reciprocals() -> NDArray[np.float32]:
    """The reciprocal of each step, in units of 1/64."""
    reciprocals: NDArray[np.float32] = (1 / (kernel.UNIT * np.arange(256).clip(1))).astype(np.float32)
    return reciprocals


def of_gains(noise: int) -> tuple[NDArray[np.float32], NDArray[np.float32], np.float32]:
    """The kernels' arguments for weighing steps: logarithms, reciprocals, scale."""
    return _logarithms(), _reciprocals(), np.float32(256 / noise)


def gains(values: NDArray[np.int32], noise: int) -> NDArray[np.int64]:
    """Log likelihood ratios (64, 256) that values (n, 64) are multiples of each step, and not of none."""
    out = np.empty((64, 256), np.float32)
    kernel.step_gains(np.ascontiguousarray(values.T, np.float32), *of_gains(noise), out)
    return out.astype(np.int64)


def likely_standard(gain: NDArray[np.int64]) -> list[NDArray[np.uint16]]:
    """The standard table that fits best, and the one that fits best if frequencies that do not fit are ignored."""
    tables = standard().reshape(-1, 64)
    each = gain[np.arange(64), tables]
    return [tables[each.sum(1).argmax()], tables[each.clip(min=0).sum(1).argmax()]]


def partner(steps: NDArray[np.uint16]) -> NDArray[np.uint16] | None:
    """The standard table of chroma with the quality of a table of luma, or None."""
    same = np.flatnonzero((standard()[0] == steps).all(1))
    return standard()[1, same[0]] if len(same) else None


def is_standard(steps: NDArray[np.uint16]) -> bool:
    """Whether a table is a standard one."""
    return bool((standard() == steps).all(2).any())


def others(steps: NDArray[np.uint16], like: NDArray[np.uint16] | None = None) -> NDArray[np.int64]:
    """Alternatives (64, n) to each step: the steps next to it, and those next to the steps before it, or to the step of
    a similar table.
    """
    square = steps.astype(np.int64).reshape(8, 8)
    before = np.zeros((8, 8), np.int64)
    before[0, 0] = square[0, 0]
    before[:, 1:] = square[:, :-1]
    before[1:] = np.maximum(before[1:], square[:-1])
    near = before.reshape(64, 1) if like is None else like[:, None].astype(np.int64)
    found: NDArray[np.int64] = np.concatenate(
        [near + np.array([-1, 0, 1]), square.reshape(64, 1) + np.array([-1, 1])], 1
    )
    return found.clip(1, 255)


def likely_steps(gain: NDArray[np.int64], values: NDArray[np.int32], clear: int = CLEAR) -> NDArray[np.uint16]:
    """The step that fits each frequency best. With evidence below `clear`, it repeats the steps before."""
    best = gain.argmax(1)
    ones = ((abs(values) >= 48) & (abs(values) < 80)).sum(0)
    steps = [0] * 64
    for k in range(64):
        if gain[k, best[k]] >= clear:
            steps[k] = int(best[k])
        elif 8 * ones[k] > len(values):
            steps[k] = 1
        else:
            steps[k] = max(steps[k - 1] if k % 8 else 1, steps[k - 8] if k >= 8 else 1)
    return np.array(steps, np.uint16).clip(1, 255)


def similar_steps(gain: NDArray[np.int64], table: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """The steps that fit best among those not far from a table's."""
    steps = table.astype(np.int64)
    reach = np.arange(256)
    near = (4 * reach >= 3 * steps[:, None]) & (2 * reach <= 3 * steps[:, None] + 2)
    found = np.where(near, gain, -(1 << 60)).argmax(1)
    places = np.arange(64)
    better = gain[places, found] - gain[places, steps] >= CLEAR // 2
    return np.where(better, found, steps).clip(1, 255).astype(np.uint16)

"""The elementwise parts of `gaussian` on a CPU, each one compiled loop: the same integers."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..jit import compiled
from .gaussian import ALPHABET, CENTRE, LARGEST, LAST_BITS, MANTISSA_BITS, STEP, TAILS, UNIT, WIDTHS

STARTS = np.array([sum(WIDTHS[:k]) for k in range(TAILS)])
SIZES = np.array([width.bit_length() - 1 for width in WIDTHS])


def fields(means: Tensor, deviations: Tensor) -> tuple[Tensor, ...]:
    """See `gaussian.fields`."""
    shape, out = means.shape, [torch.empty(means.shape, dtype=torch.int32) for _ in range(5)]
    arrays = (each.reshape(-1).numpy() for each in (means.int(), deviations.int(), *out))
    if not _fields(*arrays):
        raise ValueError("means")
    return tuple(out)

"""Check that the transforms restore an array from its numbers before anything is written. Encoder only.

The fields are read from the bytes that will be written, so the check covers writing and reading them. The coder of the
numbers is not run: it does not depend on their meaning, and the frame's checksum covers the decoded array.
"""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..chunk.fields import Reader
from ..errors import TransformWarning
from ..planes.tables import LARGEST
from .chain import Samples
from .choice import Prepared, plain

_FAULTS = ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError
"""What a faulty transform may raise. MemoryError is not among them: it is no fault of the transform."""


def restores(prepared: Prepared, array: NDArray[Any]) -> bool:
    """Whether the numbers and the fields restore an array byte for byte. Warns if they do not."""
    given = prepared.samples
    mask = None if given.gaps is None else given.gaps.mask
    # The dtype that the plane decoder returns.
    numbers = prepared.numbers.astype(np.uint16 if prepared.m < 1 << 16 else np.uint32)
    try:
        reader = Reader(memoryview(given.fields))
        found = Samples.read(reader, array.dtype, array.shape, mask)
        if reader.left == 0 and found.order == numbers.shape and _same(found.array(numbers), array):
            return True
        reason = "the restored array differs"
    except _FAULTS as error:
        reason = f"{type(error).__name__}: {error}"
    warnings.warn(
        f"{type(given.scale).__name__} samples do not restore {array.dtype} of shape {array.shape} ({reason}). The "
        "array is coded with simpler transforms; nothing is lost. Please report this, with the array if you can.",
        TransformWarning,
        stacklevel=4,
    )
    return False


def checked(prepared: Prepared, array: NDArray[Any]) -> Prepared | None:
    """`prepared` if it restores the array, else plain ordered samples, or None if those do not restore it either."""
    if prepared.m <= LARGEST and restores(prepared, array):
        return prepared
    prepared = plain(array, prepared.samples.axes)
    return prepared if restores(prepared, array) else None


def _same(found: NDArray[Any], array: NDArray[Any]) -> bool:
    if (found.dtype, found.shape) != (array.dtype, array.shape):
        return False
    # Compared as bytes, since NaN differs from itself, and -0.0 equals 0.0.
    one, other = (np.ascontiguousarray(each).reshape(-1).view(np.uint8) for each in (found, array))
    return np.array_equal(one, other)

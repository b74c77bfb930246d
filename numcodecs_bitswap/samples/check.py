"""Whether an array comes back from its numbers: an archive does not trust its own transforms. Encoder only.

The fields are read from the bytes that will be written, so that a mistake there counts too. Coders are not run
backwards: they restore numbers whatever these mean, and the frame's checksum is over the array.
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
"""What a transform may raise that goes wrong; a lack of memory is no fault of its own."""


def comes_back(prepared: Prepared, array: NDArray[Any]) -> bool:
    """Whether the numbers and the fields give an array, byte for byte; if not, a warning says so."""
    given = prepared.samples
    mask = None if given.gaps is None else given.gaps.mask
    # As the plane coder's decoder returns them.
    numbers = prepared.numbers.astype(np.uint16 if prepared.m < 1 << 16 else np.uint32)
    try:
        reader = Reader(memoryview(given.fields))
        found = Samples.read(reader, array.dtype, array.shape, mask)
        if reader.left == 0 and found.order == numbers.shape and _same(found.array(numbers), array):
            return True
        reason = "the array that came back is another one"
    except _FAULTS as error:
        reason = f"{type(error).__name__}: {error}"
    warnings.warn(
        f"{type(given.scale).__name__} samples do not restore {array.dtype} of shape {array.shape} ({reason}). The "
        "array is coded in a plainer way; nothing is lost. Please report this, with the array if you can.",
        TransformWarning,
        stacklevel=4,
    )
    return False


def checked(prepared: Prepared, array: NDArray[Any]) -> Prepared | None:
    """The same, if the array comes back from it; else plain ordered samples; None if it does not even from those."""
    if prepared.m <= LARGEST and comes_back(prepared, array):
        return prepared
    prepared = plain(array, prepared.samples.axes)
    return prepared if comes_back(prepared, array) else None


def _same(found: NDArray[Any], array: NDArray[Any]) -> bool:
    if (found.dtype, found.shape) != (array.dtype, array.shape):
        return False
    # As integers, since NaN is not equal to itself, and -0.0 is to 0.0.
    one, other = (np.ascontiguousarray(each).reshape(-1).view(np.uint8) for each in (found, array))
    return np.array_equal(one, other)

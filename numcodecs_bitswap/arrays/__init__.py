"""The few array operations that generic code needs, on numpy arrays and torch tensors alike.

Whatever is only indexing and arithmetic is written once: `of(x)` gives the operations of the library and device that x
belongs to. numpy's are in `on_numpy`, torch's in `on_torch`, which alone imports torch. Imports nothing of the package.
"""

from typing import Any, TypeAlias

from .base import Arrays
from .on_numpy import NUMPY, NumpyArrays

__all__ = ["Array", "Arrays", "of"]

Array: TypeAlias = Any
"""A numpy array, or a torch tensor: both index, compare, shift and add alike."""


def of(array: Array) -> Arrays:
    """The operations for an array."""
    if NumpyArrays.holds(array):
        return NUMPY
    from .on_torch import arrays_on

    return arrays_on(array.device)

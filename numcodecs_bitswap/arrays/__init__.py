"""The few array operations that generic code needs, for numpy arrays and torch tensors alike.

Code that only indexes and calculates is written once: `of(x)` returns the operations of the library and device of x.
numpy's are in `on_numpy`, torch's in `on_torch`, the only file here that imports torch. Imports nothing of the package.
"""

from typing import Any, TypeAlias

from .base import Arrays
from .on_numpy import NUMPY, NumpyArrays

__all__ = ["Array", "Arrays", "of"]

Array: TypeAlias = Any
"""A numpy array or a torch tensor: indexing, comparisons and arithmetic are written alike."""


def of(array: Array) -> Arrays:
    """The operations for an array."""
    if NumpyArrays.holds(array):
        return NUMPY
    from .on_torch import arrays_on

    return arrays_on(array.device)

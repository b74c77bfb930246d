"""The operations of `Arrays` in numpy."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .base import Arrays, Shape


class NumpyArrays(Arrays):
    """See `Arrays`."""

    asks = True

    @staticmethod
    def holds(array: Any) -> bool:
        """Whether an array is a numpy array."""
        return isinstance(array, np.ndarray | np.generic)

    def zeros(self, shape: Shape, dtype: str) -> Any:
        return np.zeros(shape, dtype)

    def empty(self, shape: Shape, dtype: str) -> Any:
        return np.empty(shape, dtype)

    def full(self, shape: Shape, value: int, dtype: str) -> Any:
        return np.full(shape, value, dtype)

    def range(self, first: int, last: int) -> Any:
        return np.arange(first, last, dtype=np.int64)

    def put(self, array: NDArray[Any]) -> Any:
        return array

    def constant(self, table: NDArray[Any]) -> Any:
        return table

    def numpy(self, array: Any) -> NDArray[Any]:
        return np.asarray(array)

    def cast(self, array: Any, dtype: str) -> Any:
        return array.astype(dtype, copy=False)

    def packed(self, array: Any, dtype: str) -> Any:
        packed = np.ascontiguousarray(array, dtype)
        return packed if packed.flags.writeable else packed.copy()  # loops are compiled for writeable arrays

    def copy(self, array: Any) -> Any:
        return np.array(array, order="C")

    def size(self, array: Any) -> int:
        return int(array.size)

    def broadcast(self, array: Any, shape: Shape) -> Any:
        return np.broadcast_to(array, shape)

    def permute(self, array: Any, axes: Sequence[int]) -> Any:
        return array.transpose(axes)

    def clip(self, array: Any, low: int | None, high: int | None) -> Any:
        # Not np.clip, whose checks take longer than the operation on small arrays.
        if low is not None:
            array = np.maximum(array, low)
        return array if high is None else np.minimum(array, high)

    def minimum(self, a: Any, b: Any) -> Any:
        return np.minimum(a, b)

    def maximum(self, a: Any, b: Any) -> Any:
        return np.maximum(a, b)

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        return np.where(condition, a, b)

    def take(self, table: Any, index: Any) -> Any:
        return table[index]

    def place(self, values: Any, thresholds: Any) -> Any:
        return np.searchsorted(thresholds, values, "right").astype(np.int32)

    def gather(self, rows: Any, index: Any) -> Any:
        return np.take_along_axis(rows, index, -1)

    def sums(self, array: Any) -> Any:
        return array.cumsum(-1, dtype=np.int64)

    def largest(self, array: Any) -> Any:
        return array.max(-1, keepdims=True)

    def smallest(self, array: Any) -> Any:
        return array.min(-1, keepdims=True)

    def total(self, array: Any) -> Any:
        return array.sum(-1, dtype=np.int64, keepdims=True)

    def concatenate(self, arrays: Sequence[Any], axis: int) -> Any:
        return np.concatenate(arrays, axis)

    def stack(self, arrays: Sequence[Any], axis: int) -> Any:
        return np.stack(arrays, axis)


NUMPY = NumpyArrays()

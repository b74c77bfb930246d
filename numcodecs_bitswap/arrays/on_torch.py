"""The operations of `Arrays` in torch, on any device."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .base import Arrays, Shape


class TorchArrays(Arrays):
    """See `Arrays`."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.asks = device.type == "cpu"
        self._constants: dict[int, tuple[NDArray[Any], Tensor]] = {}

    def zeros(self, shape: Shape, dtype: str) -> Any:
        return torch.zeros(*shape, dtype=_dtype(dtype), device=self.device)

    def empty(self, shape: Shape, dtype: str) -> Any:
        return torch.empty(*shape, dtype=_dtype(dtype), device=self.device)

    def full(self, shape: Shape, value: int, dtype: str) -> Any:
        return torch.full(tuple(shape), value, dtype=_dtype(dtype), device=self.device)

    def range(self, first: int, last: int) -> Any:
        return torch.arange(first, last, device=self.device)

    def put(self, array: NDArray[Any]) -> Any:
        return torch.from_numpy(np.require(array, requirements="W")).to(self.device)

    def constant(self, table: NDArray[Any]) -> Any:
        if id(table) not in self._constants:  # the table is kept with its copy, so no other one gets its id
            self._constants[id(table)] = table, self.put(table)
        return self._constants[id(table)][1]

    def numpy(self, array: Any) -> NDArray[Any]:
        return np.asarray(array.cpu().numpy())

    def cast(self, array: Any, dtype: str) -> Any:
        return array.to(_dtype(dtype))

    def packed(self, array: Any, dtype: str) -> Any:
        return array.to(_dtype(dtype)).contiguous()

    def copy(self, array: Any) -> Any:
        return array.clone(memory_format=torch.contiguous_format)

    def size(self, array: Any) -> int:
        return int(array.numel())

    def broadcast(self, array: Any, shape: Shape) -> Any:
        return array.expand(tuple(shape))

    def permute(self, array: Any, axes: Sequence[int]) -> Any:
        return array.permute(tuple(axes))

    def clip(self, array: Any, low: int | None, high: int | None) -> Any:
        return array.clamp(low, high)

    def minimum(self, a: Any, b: Any) -> Any:
        return torch.minimum(a, b)

    def maximum(self, a: Any, b: Any) -> Any:
        return torch.maximum(a, b)

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        return torch.where(condition, a, b)

    def take(self, table: Any, index: Any) -> Any:
        return table.take(index.long())

    def place(self, values: Any, thresholds: Any) -> Any:
        return torch.bucketize(values, thresholds, out_int32=True, right=True)

    def gather(self, rows: Any, index: Any) -> Any:
        return rows.gather(-1, index)

    def sums(self, array: Any) -> Any:
        return array.cumsum(-1)

    def largest(self, array: Any) -> Any:
        return array.amax(-1, keepdim=True)

    def smallest(self, array: Any) -> Any:
        return array.amin(-1, keepdim=True)

    def total(self, array: Any) -> Any:
        return array.sum(-1, keepdim=True)

    def concatenate(self, arrays: Sequence[Any], axis: int) -> Any:
        return torch.cat(list(arrays), dim=axis)

    def stack(self, arrays: Sequence[Any], axis: int) -> Any:
        return torch.stack(list(arrays), dim=axis)


def _dtype(name: str) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, name)
    return dtype


@cache
def arrays_on(device: torch.device) -> TorchArrays:
    """The operations on a device."""
    return TorchArrays(device)

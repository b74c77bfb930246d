"""Triton kernels as numpy functions: many times faster than Triton's interpreter, and stricter.

Every access of memory has to lie in its tensor. Where one thread of a program needs what another one stored, there has
to be a barrier in between; Triton's interpreter has no threads, and would not miss it. So in a kernel's memory no cell
is loaded and stored between two barriers, unless `load` and `store` take the same cells in the same order, as a thread
does that changes its own ones. Programs of a launch run one after the other, on tensors of the CPU.
"""

import types
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl

KINDS = {
    kind: np.dtype(kind)
    for kind in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64")
}


class Block(np.ndarray[Any, Any]):
    """A tensor of a kernel, scalars included."""

    def to(self, kind: np.dtype[Any], bitcast: bool = False) -> "Block":
        if bitcast:
            return self.view(kind)
        with np.errstate(invalid="ignore"):
            return self.astype(kind)

    def __iadd__(self, other: Any) -> Any:  # a new tensor, as everywhere in Triton
        return self + other

    def __isub__(self, other: Any) -> Any:
        return self - other

    def __index__(self) -> int:
        return int(self.view(np.ndarray))


def block(value: Any) -> Block:
    return np.asarray(value).view(Block)


class Memory:
    """The cells of a tensor, and when each was loaded and stored last."""

    def __init__(self, tensor: torch.Tensor) -> None:
        storage = torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage())
        self.cells = storage.numpy()
        self.loaded, self.stored = (np.zeros(len(self.cells), np.int64) for _ in range(2))
        self.last: Any = None


class Pointer:
    """Addresses of cells of a memory."""

    def __init__(self, memory: Memory, at: Any) -> None:
        self.memory, self.at = memory, at

    def __add__(self, offset: Any) -> "Pointer":
        return Pointer(self.memory, self.at + np.asarray(offset).astype(np.int64))

    def __sub__(self, offset: Any) -> "Pointer":
        return self + -offset

    def __getitem__(self, index: Any) -> "Pointer":
        return Pointer(self.memory, self.at[index])

    def among(self, mask: Any) -> tuple[Any, Any, Any]:
        """The cells and the mask, all of one shape, and the cells that the mask lets through."""
        at, mask = np.broadcast_arrays(self.at, True if mask is None else mask)
        chosen = at[mask]
        if chosen.size and not 0 <= chosen.min() <= chosen.max() < len(self.memory.cells):
            raise IndexError("an access beyond the end of a tensor")
        return at, mask, chosen


class Language:
    """What the kernels use of `triton.language`."""

    constexpr = tl.constexpr

    def __init__(self, checks: bool) -> None:
        self.checks, self.time, self.program = checks, 1, 0
        self.__dict__.update(KINDS)

    def program_id(self, axis: int) -> Block:
        return block(np.int32(self.program))

    def debug_barrier(self) -> None:
        self.time += 1

    def load(self, pointer: Pointer, mask: Any = None, other: Any = 0) -> Block:
        memory = pointer.memory
        at, mask, chosen = pointer.among(mask)
        if self.checks and chosen.size:
            if (memory.stored[chosen] == self.time).any():
                raise RuntimeError("a load of what was stored since the last barrier")
            memory.loaded[chosen], memory.last = self.time, chosen
        values = np.full(at.shape, other, memory.cells.dtype)
        values[mask] = memory.cells[chosen]
        return block(values)

    def store(self, pointer: Pointer, values: Any, mask: Any = None) -> None:
        memory = pointer.memory
        at, mask, chosen = pointer.among(mask)
        if self.checks and chosen.size:
            own = memory.last is not None and np.array_equal(memory.last, chosen)
            if not own and (memory.loaded[chosen] == self.time).any():
                raise RuntimeError("a store where something was loaded since the last barrier")
            if (memory.stored[chosen] == self.time).any():
                raise RuntimeError("a store where something was stored since the last barrier")
            if len(np.unique(chosen)) < chosen.size:
                raise RuntimeError("two numbers stored at one place")
            memory.stored[chosen] = self.time
        values = np.asarray(values)
        if values.dtype != memory.cells.dtype and values.dtype != bool:
            raise TypeError(f"{values.dtype} stored as {memory.cells.dtype}")
        memory.cells[chosen] = np.broadcast_to(values, at.shape)[mask]

    def arange(self, start: int, end: int) -> Block:
        assert (end - start).bit_count() == 1
        return block(np.arange(start, end, dtype=np.int32))

    def zeros(self, shape: Any, kind: Any) -> Block:
        return block(np.zeros(shape, kind))

    def full(self, shape: Any, value: Any, kind: Any) -> Block:
        return block(np.full(shape, value, kind))

    def zeros_like(self, value: Any) -> Block:
        return block(np.zeros_like(value))

    def where(self, condition: Any, a: Any, b: Any) -> Block:
        kind = np.int32 if isinstance(a, int) and isinstance(b, int) else None
        return block(np.where(condition, a, b).astype(kind or np.result_type(a, b), copy=False))

    def minimum(self, a: Any, b: Any) -> Block:
        return block(np.minimum(a, b))

    def maximum(self, a: Any, b: Any) -> Block:
        return block(np.maximum(a, b))

    def abs(self, a: Any) -> Block:
        return block(np.abs(a))

    def floor(self, a: Any) -> Block:
        return block(np.floor(a))

    def div_rn(self, a: Any, b: Any) -> Block:
        assert a.dtype == b.dtype == np.float32
        with np.errstate(all="ignore"):
            return block(a / b)

    def sum(self, a: Any, axis: int) -> Block:
        if a.dtype == np.float32:  # of one number and zeros, so that the order does not matter
            few = np.count_nonzero(np.asarray(a) != 0, axis)
            assert not self.checks or few.max() <= 1
        return block(a.sum(axis, dtype=a.dtype))

    def max(self, a: Any, axis: int) -> Block:
        return block(a.max(axis))

    def min(self, a: Any, axis: int) -> Block:
        return block(a.min(axis))

    def cumsum(self, a: Any, axis: int) -> Block:
        return block(np.cumsum(a, axis, dtype=a.dtype))

    def dot(self, a: Any, b: Any, acc: Any = None, out_dtype: Any = None) -> Block:
        assert a.dtype == b.dtype == np.int8
        assert out_dtype == np.int32
        assert a.shape[1] >= 32
        product = (a.astype(np.float64) @ b.astype(np.float64)).astype(np.int32)
        return block(product if acc is None else product + acc)

    def trans(self, a: Any) -> Block:
        return block(a.T)

    def permute(self, a: Any, order: Any) -> Block:
        return block(a.transpose(order))

    def reshape(self, a: Any, shape: Any) -> Block:
        return block(a.reshape(shape))

    def split(self, a: Any) -> tuple[Block, Block]:
        return block(a[..., 0]), block(a[..., 1])

    def join(self, a: Any, b: Any) -> Block:
        return block(np.stack([a, b], -1))

    def static_range(self, *numbers: int) -> range:
        return range(*numbers)


class Kernel:
    """A kernel whose launches run in numpy.

    Parameters
    ----------
    kernel : triton.JITFunction
    checks : bool, optional
        Whether to look for missing barriers and the like.
    """

    def __init__(self, kernel: Any, checks: bool = True) -> None:
        self.language = Language(checks)
        self.functions: dict[Any, Callable[..., Any]] = {}
        self.function, self.names = self._plain(kernel), kernel.arg_names

    def _plain(self, kernel: Any) -> Callable[..., Any]:
        """A function with what it calls, over `Language`."""
        if kernel not in self.functions:
            own: dict[str, Any] = {}
            self.functions[kernel] = types.FunctionType(kernel.fn.__code__, own)
            own |= {name: self._value(value) for name, value in kernel.fn.__globals__.items()}
        return self.functions[kernel]

    def _value(self, value: Any) -> Any:
        if value is tl:
            return self.language
        if isinstance(value, tl.constexpr):
            return value.value
        return self._plain(value) if isinstance(value, triton.JITFunction) else value

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        def launch(*arguments: Any, **options: Any) -> None:
            assert options.pop("enable_fp_fusion") is False
            assert options.pop("num_stages") == 1
            options.pop("num_warps")
            memories: dict[int, Memory] = {}

            def given(argument: Any) -> Any:
                if not isinstance(argument, torch.Tensor):
                    return block(np.int32(argument))
                memory = memories.setdefault(argument.untyped_storage().data_ptr(), Memory(argument))
                return Pointer(memory, np.int64(argument.storage_offset()))

            values = [given(each) for each in arguments]
            for program in range(grid[0]):
                self.language.program = program
                self.language.time += 1
                with np.errstate(over="ignore"):
                    self.function(*values, **options)

        return launch

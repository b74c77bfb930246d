"""Compiled loops on a CPU: how this package uses numba. Imports only `code_cache`."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.ma  # numba would import it in the middle of a first call, where a fork may come between
from llvmlite import ir  # type: ignore[import-untyped]
from numba import carray, config, njit, types  # type: ignore[attr-defined]
from numba.core import cgutils
from numba.core.registry import CPUDispatcher, cpu_target
from numba.extending import intrinsic, register_jitable

from . import code_cache

_, CPU, _features = cpu_target.target_context.codegen().magic_tuple()
"""The CPU that numba compiles for, as LLVM calls it: apple-m1."""
FEATURES = frozenset(_features.split(","))
"""Its features, as LLVM writes them: +avx2."""


COMPILES = not config.DISABLE_JIT  # type: ignore[attr-defined]
"""Whether numba compiles; with NUMBA_DISABLE_JIT it does not."""


def compiled(kernel: Callable[..., None], signature: str | None = None) -> Any:
    """Compile a loop that does not hold the interpreter lock, and cache the code on disk.

    With a signature it is compiled at once, and only for those types.
    """
    dispatcher = njit(nogil=True, error_model="numpy")(kernel)
    if COMPILES:
        code_cache.keep(dispatcher)
        if signature is not None:
            dispatcher.compile(signature)
            dispatcher.disable_compile()
    return dispatcher


class Part(CPUDispatcher):
    """A compiled function that cannot be called from outside: Python runs its source."""

    def __call__(self, *arguments: Any) -> Any:
        return self.py_func(*arguments)


def part(function: Callable[..., Any]) -> Any:
    """A function that compiled loops call: compiled with them, not cached on its own."""
    return _part(function)


def _part(function: Callable[..., Any], **options: Any) -> Any:
    # Without the wrappers for calls from outside, which took a third of the compilation time.
    bare: Any = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, **options}
    dispatcher = njit(nogil=True, error_model="numpy", **bare)(function)
    if COMPILES:
        dispatcher.__class__ = Part
    return dispatcher


def merged(function: Callable[..., Any]) -> Any:
    """A part that becomes one with every loop that calls it. Then arrays handed to it are not counted as references,
    which costs 5 ns each time.
    """
    return _part(function, forceinline=True)


def inlined(function: Callable[..., Any]) -> Any:
    """A part of compiled loops, inlined into each at the level of Python code."""
    return njit(inline="always")(function)


@intrinsic
def _own_memory(context: Any, count: Any) -> Any:
    """A pointer to `count` int64 in the memory of the loop that calls, a literal."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        size = ir.Constant(ir.IntType(64), count.literal_value)
        return cgutils.alloca_once(builder, ir.IntType(64), size=size)  # type: ignore[no-untyped-call]

    if isinstance(count, types.IntegerLiteral):
        return types.CPointer(types.int64)(count), generate  # type: ignore[no-untyped-call]
    return None


@register_jitable(forceinline=True)
def scratch(count: int) -> Any:
    """Scratch memory: an int64 array of `count` numbers, a constant. No other array can alias it, so compiled code
    keeps it in registers, which it may not do with a numpy array.
    """
    return carray(_own_memory(count), (count,))  # type: ignore[call-arg]


def _scratch_plainly(count: int) -> Any:
    """See `scratch`."""
    return np.zeros(count, np.int64)


if not COMPILES:
    scratch = _scratch_plainly


@intrinsic
def address_of(typing: Any, array: Any, i: Any, j: Any) -> Any:
    """Address of element [i, j] of an array, or of subarray [i, j] if it has more axes, or of [j] if it has one.

    With NUMBA_BOUNDSCHECK=1 an index that the array does not have is an IndexError, as of any other element.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0]
        view = context.make_array(kind)(context, builder, arguments[0])
        place = builder.ptrtoint(view.data, ir.IntType(64))
        strides = cgutils.unpack_tuple(builder, view.strides, kind.ndim)  # type: ignore[no-untyped-call]
        lengths = cgutils.unpack_tuple(builder, view.shape, kind.ndim)  # type: ignore[no-untyped-call]
        indices = arguments[1:] if kind.ndim > 1 else arguments[2:]
        for index, stride, length in zip(indices, strides, lengths, strict=False):
            if config.BOUNDSCHECK:  # type: ignore[attr-defined]
                cgutils.do_boundscheck(context, builder, index, length)  # type: ignore[no-untyped-call]
            place = builder.add(place, builder.mul(index, stride))
        return place

    return types.int64(array, types.int64, types.int64), generate

"""Golden frames decode and are encoded again where nothing beyond the end of an array can be read or written unnoticed.

    NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=... python tests/programs/bounds.py [FRAME ...]

numba checks every index, `jit.address_of` the element that it takes the address of. What intrinsics do at addresses no
compiler checks. So arrays that numpy makes for them, and all that compiled loops are given, end (or, with FENCE=front,
begin) where a page of memory does, and the next page may not be touched: one byte beyond ends the process.
"""

import ctypes
import faulthandler
import mmap
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numba.core import config
from numba.core.registry import CPUDispatcher

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))

from numcodecs_bitswap.runtime import jit  # noqa: E402

PAGE = mmap.PAGESIZE
FRONT = os.environ.get("FENCE") == "front"
_libc = ctypes.CDLL(None, use_errno=True)
_fenced: set[int] = set()
made = {"arrays": 0, "calls": 0}


class _Fence:
    """Owns memory of an array and the page beside it."""

    def __init__(self, nbytes: int) -> None:
        pages = -(-nbytes // PAGE)
        self.map = mmap.mmap(-1, (pages + 1) * PAGE)
        base = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        guard = base if FRONT else base + pages * PAGE
        if _libc.mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(PAGE), 0):
            raise OSError(ctypes.get_errno(), "mprotect")
        self.start = base + PAGE if FRONT else base + pages * PAGE - nbytes
        kind = ctypes.c_char * nbytes
        self.memory = kind.from_buffer(self.map, self.start - base)


def fenced(array: Any) -> Any:
    """A copy of an array of numbers that ends beside a page that may not be touched; others as they are."""
    contiguous = type(array) is np.ndarray and (array.flags.c_contiguous or array.flags.f_contiguous)
    if not contiguous or array.dtype.kind not in "biuf" or array.nbytes == 0 or array.ndim == 0:
        return array
    if getattr(array.base, "fence", None) is not None and array.nbytes == array.base.nbytes:
        return array
    owner = np.frombuffer(_Fence(array.nbytes).memory, np.uint8).view(Owner)
    owner.fence = True
    order: Any = "C" if array.flags.c_contiguous else "F"
    copy = np.ndarray(array.shape, array.dtype, owner, order=order)
    copy[...] = array
    made["arrays"] += 1
    return copy


class Owner(np.ndarray):
    """Memory of a fenced array."""

    fence: Any = None


class Fenced(CPUDispatcher):  # type: ignore[misc]
    """A compiled function whose arrays are fenced while it runs."""

    def __call__(self, *arguments: Any) -> Any:
        taken: dict[int, Any] = {}
        given = []
        for each in arguments:
            copy = taken.setdefault(id(each), fenced(each)) if isinstance(each, np.ndarray) else each
            if isinstance(each, np.ndarray) and not each.flags.writeable:
                copy.flags.writeable = False
            given.append(copy)
        result = super().__call__(*given)
        made["calls"] += 1
        for each in arguments:
            if isinstance(each, np.ndarray) and each.flags.writeable and taken[id(each)] is not each:
                each[...] = taken[id(each)]
        return result


def _that_fences(function: Any) -> Any:
    def make(*arguments: Any, **named: Any) -> Any:
        array = function(*arguments, **named)
        shared = isinstance(arguments[0], np.ndarray) and np.may_share_memory(array, arguments[0])
        return array if shared else fenced(array)

    return make


def _patch() -> None:
    compiled = jit.compiled

    def compiled_and_fenced(kernel: Any, signature: str | None = None) -> Any:
        dispatcher = compiled(kernel, signature)
        dispatcher.__class__ = Fenced
        return dispatcher

    jit.compiled = compiled_and_fenced
    for name in ("empty", "zeros", "full", "concatenate", "pad", "ascontiguousarray"):
        setattr(np, name, _that_fences(getattr(np, name)))


def main() -> None:
    """Decode and encode."""
    assert config.BOUNDSCHECK
    faulthandler.enable()
    _patch()
    from golden_cases import CASES, GOLDEN
    from numcodecs_bitswap import BitSwap
    from strategies import assert_identical

    names = sys.argv[1:] or list(CASES)
    for name in names:
        frame, array = (GOLDEN / f"{name}.frame").read_bytes(), np.load(GOLDEN / f"{name}.npy")
        print(name, flush=True)
        assert_identical(BitSwap().decode(frame), array)
        if CASES[name].still_written:
            assert CASES[name].codec(**CASES[name].options).encode(array) == frame
    assert made["arrays"] > len(names)
    print(made)


if __name__ == "__main__":
    main()

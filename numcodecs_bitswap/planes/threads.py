"""Threads that code the tiles of one chunk, or its parts, in parallel. Compiled loops release the interpreter lock."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from ..runtime.cores import cores
from ..runtime.workers import Workers, run_all

Work = TypeVar("Work")
Result = TypeVar("Result")

_workers, _parts = Workers("numcodecs_bitswap_tiles"), Workers("numcodecs_bitswap_parts")


def run_parts(calls: Sequence[Callable[[], Result]]) -> list[Result]:
    """The results of calls that may themselves use `run`, which needs threads that wait for nothing."""
    if len(calls) == 1:
        return [calls[0]()]
    return run_all(_parts, _call, calls, cores())


def _call(call: Callable[[], Result]) -> Result:
    return call()


def run(function: Callable[[Work], Result], works: Sequence[Work]) -> list[Result]:
    """Apply a function to all works; results in order. A single work runs in the caller's thread, without the pool."""
    if len(works) == 1:
        return [function(works[0])]
    return run_all(_workers, function, works, cores())

"""The threads that code the tiles of one chunk side by side. Compiled loops hold no interpreter lock."""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ..cores import cores

Work = TypeVar("Work")
Result = TypeVar("Result")

_pool: ThreadPoolExecutor | None = None
_lock = threading.Lock()


def run(function: Callable[[Work], Result], works: Sequence[Work]) -> list[Result]:
    """Results in order. One alone is done by the thread that asks, so many small chunks wait for nobody."""
    if len(works) == 1:
        return [function(works[0])]
    return list(_threads().map(function, works))


def _threads() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(cores(), "numcodecs_bitswap_tiles")
        return _pool


def _after_fork() -> None:
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

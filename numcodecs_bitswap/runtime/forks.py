"""Imports at first use and compilation, which a fork must not interrupt.

A forked child has only the thread that forked. If another thread was importing or compiling at that moment, the child
would wait forever for the locks that it held. So code that imports late or compiles does it `with loading():`, and a
fork waits until no other thread is in that context. It also waits for imports of this package's own modules, wherever
they are made, by the locks that Python itself keeps. Threads in it do not exclude each other: locks of our own around
imports could be taken in another order than Python's. Imports nothing of this package.
"""

import logging  # noqa: F401  # what it does at a fork has to be known before a fork waits here
import os
import sys
import threading
import time
from types import TracebackType
from typing import Any, Self
from weakref import ref

PACKAGE = __name__.partition(".")[0]
PATIENCE = 120.0
"""Seconds that a fork waits at most: longer than a compilation takes."""

_gate = threading.RLock()
_inside: "dict[int, tuple[int, ref[loading]]]" = {}
"""The thread of each context. By weak references, so that a fork does not wait for one that an interrupt ended."""
_numba: Any = None


class loading:  # noqa: N801  # reads like contextlib's
    """Context manager in which no other thread forks."""

    def __enter__(self) -> Self:
        with _gate:
            _inside[id(self)] = threading.get_ident(), ref(self)
        return self

    def __exit__(self, *error: type[BaseException] | BaseException | TracebackType | None) -> None:
        _inside.pop(id(self), None)


def _others() -> bool:
    """Whether another thread is in the context. Called with the gate closed."""
    own = threading.get_ident()
    for key, (thread, entry) in list(_inside.items()):
        if entry() is None:
            _inside.pop(key, None)
        elif thread != own:
            return True
    return _others_import()


def _others_import() -> bool:
    """Whether another thread imports a module of this package, and with it others perhaps: by Python's own locks."""
    locks = getattr(sys.modules.get("_frozen_importlib"), "_module_locks", {})
    owners = (getattr(entry(), "owner", None) for name, entry in list(locks.items()) if name.startswith(PACKAGE))
    return any(owner not in (None, threading.get_ident()) for owner in owners)


def _before_fork() -> None:
    global _numba
    end = time.monotonic() + PATIENCE
    _gate.acquire()
    while _others() and time.monotonic() < end:
        _gate.release()
        time.sleep(0.005)
        _gate.acquire()
    # numba may also compile for other packages. Its lock is taken last here, as it is when compiling.
    module = sys.modules.get("numba.core.compiler_lock")
    lock = getattr(getattr(module, "global_compiler_lock", None), "_lock", None)
    _numba = lock if lock is not None and lock.acquire(timeout=max(0.0, end - time.monotonic())) else None


def _after_in_parent() -> None:
    lock = _numba
    _gate.release()
    if lock is not None:
        lock.release()


def _after_in_child() -> None:
    own = threading.get_ident()
    for key, (thread, _) in list(_inside.items()):  # threads of the parent, which PATIENCE did not suffice for
        if thread != own:
            del _inside[key]
    _after_in_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child)

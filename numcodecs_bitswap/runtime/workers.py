"""A pool of threads in which neither an interrupt nor a thread that cannot start leaves work undone.

An interrupt reaches Python's main thread anywhere, also inside `concurrent.futures`, and can leave its state invalid
for good. Here the thread that offers work changes no state: the worker threads, which are not interrupted, take the
work themselves. So a task that is offered twice, or by a caller that has stopped waiting, must be harmless. Imports
nothing of this package.
"""

import atexit
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from queue import SimpleQueue
from typing import Any, TypeVar
from weakref import WeakSet

Work = TypeVar("Work")
Result = TypeVar("Result")

_every: "WeakSet[Workers]" = WeakSet()


class Workers:
    """Threads, started when there is work for them. They end with the process, after their current task.

    Parameters
    ----------
    name : str
        The name of the threads.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._clear()
        _every.add(self)

    def _clear(self) -> None:
        self._lock = threading.RLock()
        self._offered = threading.Condition(self._lock)
        self._done = threading.Condition(self._lock)
        self._tasks: deque[Callable[[], None]] = deque()
        self._threads: list[threading.Thread] = []
        self._busy = 0

    def offer(self, task: Callable[[], None], times: int, most: int) -> bool:
        """Let up to `times` threads call `task`, with no more than `most` threads in all.

        Returns
        -------
        bool
            Whether there are threads. If not, the caller has to run the task.
        """
        if sys.is_finalizing():  # threads do not run any more
            return False
        with self._lock:
            self._tasks.extend([task] * times)
            while len(self._threads) < min(most, self._busy + len(self._tasks)):
                thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                try:
                    thread.start()
                except (RuntimeError, MemoryError):  # the system has no more, or the interpreter shuts down
                    break
                self._threads.append(thread)
            self._offered.notify(times)
            if not self._threads:
                self._tasks.clear()
            return bool(self._threads)

    def _work(self) -> None:
        try:
            while True:
                with self._lock:
                    while not self._tasks:
                        self._offered.wait()
                    task = self._tasks.popleft()
                    self._busy += 1
                try:
                    task()
                finally:
                    with self._lock:
                        self._busy -= 1
                        self._done.notify_all()
                del task  # frees what it holds before the next task
        finally:  # a task has raised, which it must not: a new thread may replace this one
            with self._lock:
                self._threads = [each for each in self._threads if each is not threading.current_thread()]

    def rest(self) -> None:
        """Wait until no thread is busy."""
        with self._lock:
            while self._busy:
                self._done.wait()


def run_all(workers: Workers, function: Callable[[Work], Result], works: Sequence[Work], most: int) -> list[Result]:
    """Call `function` on each of `works`, in up to `most` threads; returns the results in order.

    Raises what a call raised. After that, or after an interrupt, no further call begins.
    """
    results: list[Any] = [None] * len(works)
    errors: list[tuple[int, BaseException]] = []
    ended: SimpleQueue[None] = SimpleQueue()
    numbers, wanted = count(), True

    def task() -> None:
        while wanted and not errors and (i := next(numbers)) < len(works):
            try:
                results[i] = function(works[i])
            except BaseException as error:  # raised again in the calling thread
                errors.append((i, error))
            ended.put(None)

    try:
        if not workers.offer(task, min(len(works), most), most):
            task()
        for _ in works:
            ended.get()
            if errors:
                break
    finally:
        wanted = False
    if errors:
        raise min(errors, key=lambda each: each[0])[1]
    return results


def _finish() -> None:
    """Wait for the threads: those in compiled loops, without the interpreter lock, must not be cut off."""
    for workers in list(_every):
        workers.rest()


def _after_fork() -> None:
    """A forked child has none of the threads, and its parent's may have held the locks."""
    for workers in list(_every):
        workers._clear()


atexit.register(_finish)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

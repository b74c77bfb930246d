"""Threads that do what they are given, so that neither an interrupt nor a thread that cannot start leaves work undone.

An interrupt reaches Python's main thread anywhere, also inside `concurrent.futures`, whose books it can leave wrong for
ever. Here who offers work books nothing: threads take it themselves, and are not interrupted. So work that is offered
twice, or by somebody who has gone, must be harmless. Imports nothing of this package.
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
    """Threads, started when there is work for them. They end with the process, when what they do is done.

    Parameters
    ----------
    name : str
        Of the threads.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.RLock()
        self._offered = threading.Condition(self._lock)
        self._done = threading.Condition(self._lock)
        self._tasks: deque[Callable[[], None]] = deque()
        self._threads: list[threading.Thread] = []
        self._busy = 0
        _every.add(self)

    def offer(self, task: Callable[[], None], times: int, most: int) -> bool:
        """Let up to `times` threads call `task`, and have no more than `most` in all.

        Returns
        -------
        bool
            Whether there are threads. If not, who asks has to do it.
        """
        if sys.is_finalizing():  # they do not run any more
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
                del task  # what it holds is not kept until the next
        finally:  # a task has failed, which it must not: another thread may take this one's place
            with self._lock:
                self._threads = [each for each in self._threads if each is not threading.current_thread()]

    def rest(self) -> None:
        """Return when no thread is busy."""
        with self._lock:
            while self._busy:
                self._done.wait()


def run_all(workers: Workers, function: Callable[[Work], Result], works: Sequence[Work], most: int) -> list[Result]:
    """Results in order, by up to `most` threads; raises what a call raised.

    After that, or after an interrupt, nothing more of it begins.
    """
    results: list[Any] = [None] * len(works)
    errors: list[tuple[int, BaseException]] = []
    ended: SimpleQueue[None] = SimpleQueue()
    numbers, wanted = count(), True

    def task() -> None:
        while wanted and not errors and (i := next(numbers)) < len(works):
            try:
                results[i] = function(works[i])
            except BaseException as error:  # raised again by who asked
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
    """Threads that hold no interpreter lock are not cut off in the middle of a loop."""
    for workers in list(_every):
        workers.rest()


atexit.register(_finish)
if hasattr(os, "register_at_fork"):
    # A child has none of the threads. Who made them makes new ones.
    os.register_at_fork(after_in_child=_every.clear)

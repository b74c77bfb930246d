"""An executor of processes that says so when one of them ends."""

import multiprocessing
import os
import signal
import threading
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any


class Processes(ThreadPoolExecutor):
    """Threads whose calls run in a process of each thread. A call raises `BrokenExecutor` at once where it ends.

    A `ProcessPoolExecutor`, which starts its processes one by one, may wait for ever if one ends meanwhile.
    """

    def __init__(self, most: int) -> None:
        self._own = threading.local()
        self._started: list[SpawnProcess] = []
        super().__init__(most, initializer=self._begin)

    def _begin(self) -> None:
        context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
        self._own.pipe, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs,), daemon=True)
        process.start()
        theirs.close()  # so that the pipe ends with the process
        self._started.append(process)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait, cancel_futures=cancel_futures)
        for process in self._started if wait else ():
            process.join()  # threads that are gone have closed their pipes

    def submit(self, fn: Any, /, *arguments: Any, **keywords: Any) -> Future[Any]:
        return super().submit(self._call, fn, arguments, keywords)

    def _call(self, *call: Any) -> Any:
        try:
            self._own.pipe.send(call)
            result, error = self._own.pipe.recv()
        except (EOFError, OSError) as lost:
            raise BrokenExecutor("a process has ended") from lost
        if error is not None:
            raise error
        return result


def _serve(pipe: Connection) -> None:
    """Answer calls until the other end of the pipe is closed; end at once if the process that has it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all processes, and the first one decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    answer: tuple[Any, Exception | None]
    while True:
        try:
            function, arguments, keywords = pipe.recv()
        except EOFError:
            return
        try:
            answer = function(*arguments, **keywords), None
        except Exception as error:
            answer = None, error
        try:
            pipe.send(answer)
        except Exception as error:  # what cannot be pickled
            pipe.send((None, RuntimeError(f"{type(error).__name__}: {error}")))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

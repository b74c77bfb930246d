"""Nothing hangs: after an interrupt, after a thread that cannot start, in a child that was forked in the middle."""

import builtins
import gc
import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import numcodecs_bitswap
from numcodecs_bitswap.planes import threads
from numcodecs_bitswap.runtime import forks, workers
from numcodecs_bitswap.runtime.scheduler import Job, Scheduler
from numcodecs_bitswap.runtime.workers import Workers

PROGRAM = Path(__file__).parent / "programs" / "fork_while_busy.py"
REPOSITORY = Path(__file__).parents[1]


class Twice(Job):
    """Doubles a number."""

    def __init__(self, number: int) -> None:
        super().__init__("twice", 0.5)
        self.number = number

    @classmethod
    def run(cls, jobs: list["Twice"]) -> list[int]:
        return [2 * job.number for job in jobs]


def within(seconds: float, function: Any, *arguments: Any) -> None:
    """Call a function in a thread of its own, and fail if it does not return."""
    thread = threading.Thread(target=function, args=arguments, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "it hangs"


def works(queue: Scheduler) -> None:
    """Fail unless a queue does new jobs, with none booked that nobody runs."""
    jobs = [Twice(n) for n in range(4)]
    within(10, queue.run, jobs)
    assert [job.outcome() for job in jobs] == [0, 2, 4, 6]
    end = time.monotonic() + 10
    while queue._under_way and time.monotonic() < end:
        time.sleep(0.001)
    assert queue._under_way == queue._waiting == queue._booked == []


def works_on_tiles() -> None:
    """Fail unless the planes' threads do what they are given."""
    results: list[int] = []
    within(10, lambda: results.extend(threads.run(lambda n: 2 * n, range(6))))
    assert results == [0, 2, 4, 6, 8, 10]


@pytest.mark.parametrize("failing", [1, 2, 99])
def test_threads_that_cannot_start(failing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first few times, or ever: then who asks does the work."""
    start, left = threading.Thread.start, failing

    def start_or_fail(self: threading.Thread) -> None:
        nonlocal left
        if self.name.startswith("numcodecs_bitswap"):
            left -= 1
            if left >= 0:
                raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", start_or_fail)
    monkeypatch.setattr(threads, "_workers", Workers("numcodecs_bitswap_tiles"))
    queue = Scheduler(2)
    for _ in range(2):
        works(queue)
        works_on_tiles()


@pytest.mark.parametrize("failing", [1, 2, 99])
def test_zarrs_thread_that_cannot_start(failing: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Zarr keeps it as if it ran; a conversion starts it, or says so."""
    sync = pytest.importorskip("zarr.core.sync")
    from numcodecs_bitswap.convert.copying import convert
    from numcodecs_bitswap.convert.plan import Wanted
    from numcodecs_bitswap.errors import SourceError

    start, left, said = threading.Thread.start, failing, []

    def start_or_fail(self: threading.Thread) -> None:
        nonlocal left
        if self.name == "zarr_io":
            left -= 1
            if left >= 0:
                raise RuntimeError("can't start new thread")
        start(self)

    def run() -> None:
        try:
            convert(str(source), str(tmp_path / "target.zarr"), Wanted())
        except SourceError as error:
            said.append(str(error))

    source = tmp_path / "source.npy"
    np.save(source, np.arange(400, dtype="u1").reshape(20, 20))
    monkeypatch.setattr(threading.Thread, "start", start_or_fail)
    monkeypatch.setattr(sync, "loop", [None])
    monkeypatch.setattr(sync, "iothread", [None])
    within(60, run)
    loop, thread = sync.loop[0], sync.iothread[0]
    if thread.is_alive():
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
    loop.close()
    assert (tmp_path / "target.zarr").exists() == (not said)
    assert len(said) == (failing > 1)
    assert all("can't start new thread" in each for each in said)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of interrupts in destructors
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no such timer there")
def test_interrupts_at_many_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a first call, while its threads are made; as the system delivers them, between any two steps of Python."""
    interrupted = 0

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for n in range(300):
            queue = Scheduler(2)
            monkeypatch.setattr(threads, "_workers", Workers("numcodecs_bitswap_tiles"))
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-6 + n * 3e-6)
                queue.run([Twice(1), Twice(2)])
                threads.run(lambda n: n, range(4))
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                interrupted += 1
            works(queue)
            works_on_tiles()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interrupted > 10


def test_interrupts_where_functions_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the nth Python function that a first call enters, for n = 1, 2, ..."""
    for n in range(1, 1000):
        queue, left = Scheduler(2), n
        monkeypatch.setattr(threads, "_workers", Workers("numcodecs_bitswap_tiles"))

        def count(frame: Any, event: str, argument: Any) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise KeyboardInterrupt

        tracing = sys.gettrace()
        gc.disable()  # callbacks of the collector, as hypothesis has one, would swallow the interrupt
        try:
            sys.settrace(count)
            queue.run([Twice(1), Twice(2)])
            threads.run(lambda n: n, range(4))
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(tracing)
            gc.enable()
        works(queue)
        works_on_tiles()
        if left > 0:
            break
    assert n > 20


def test_an_error_in_one_tile_is_raised_and_ends_the_others() -> None:
    def fail(n: int) -> int:
        if n == 2:
            raise ArithmeticError
        return n

    for _ in range(3):
        with pytest.raises(ArithmeticError):
            threads.run(fail, range(50))
    works_on_tiles()


def test_who_leaves_waits_for_busy_threads() -> None:
    own, done = Workers("numcodecs_bitswap_test"), threading.Event()

    def task() -> None:
        time.sleep(0.2)
        done.set()

    assert own.offer(task, 1, 1)
    while not own._busy:
        time.sleep(0.001)
    workers._finish()
    assert done.is_set()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
def test_a_fork_waits_for_those_that_load_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    began, go = threading.Event(), threading.Event()

    def load() -> None:
        with forks.loading():
            began.set()
            go.wait()

    def fork() -> None:
        child = os.fork()
        if child == 0:
            with forks.loading():
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0

    busy = threading.Thread(target=load)
    busy.start()
    began.wait()
    monkeypatch.setattr(forks, "PATIENCE", 0.3)
    since = time.monotonic()
    fork()  # patience ends
    assert time.monotonic() - since >= 0.3
    monkeypatch.setattr(forks, "PATIENCE", 60)
    threading.Timer(0.2, go.set).start()
    fork()
    assert go.is_set()
    with forks.loading():  # its own it does not wait for
        fork()
    busy.join()
    assert forks._inside == {}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
def test_a_fork_waits_for_imports_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made anywhere. A child in the middle of one would wait for it for ever."""
    (tmp_path / "slow.py").write_text("import time\nbegan.set()\ntime.sleep(0.5)\ndone = 1\n")
    monkeypatch.setattr(numcodecs_bitswap, "__path__", [*numcodecs_bitswap.__path__, str(tmp_path)])
    began = threading.Event()
    monkeypatch.setattr(builtins, "began", began, raising=False)
    busy = threading.Thread(target=importlib.import_module, args=("numcodecs_bitswap.slow",))
    busy.start()
    began.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        os._exit(importlib.import_module("numcodecs_bitswap.slow").done)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    busy.join()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
def test_forks_while_another_thread_loads_and_compiles(tmp_path: Path) -> None:
    source = tmp_path / "small.py"
    source.write_text("def double(values):\n    for i in range(len(values)):\n        values[i] *= 2\n")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])}
    subprocess.run([sys.executable, str(PROGRAM), str(source)], env=environment, timeout=300, check=True)


def test_results_in_order() -> None:
    assert threads.run(lambda n: np.int64(n) * 3, range(100)) == [3 * n for n in range(100)]

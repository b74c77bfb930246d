"""scheduler.py: jobs of many threads share passes, one bad job fails alone; devices are chosen and refused."""

import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from numcodecs_bitswap import BitSwap, DeviceError, set_device
from numcodecs_bitswap.runtime import scheduler
from numcodecs_bitswap.runtime.cores import cores
from numcodecs_bitswap.runtime.scheduler import Job, Scheduler
from strategies import picture


class Double(Job):
    """Doubles a number; batches that hold a negative one fail."""

    batches: list[list[int]]

    def __init__(self, number: int, key: Any = "double", share: float = 0.25) -> None:
        super().__init__(key, share)
        self.number = number

    @classmethod
    def run(cls, jobs: list["Double"]) -> list[int]:
        cls.batches.append([job.number for job in jobs])
        if any(job.number < 0 for job in jobs):
            raise ArithmeticError("negative")
        return [2 * job.number for job in jobs]


@pytest.fixture(autouse=True)
def fresh_jobs() -> None:
    Double.batches = []


@contextmanager
def all_waiting(queue: Scheduler, count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads whose passes begin when `count` jobs wait."""
    most, queue._most = queue._most or 2, -1
    with ThreadPoolExecutor(count) as pool:
        yield pool
        while len(queue._waiting) < count:
            time.sleep(0.001)
        queue._most = most
        with queue._lock:
            queue._limit = most
            queue._start()


def outcomes_of(jobs: list[Double], queue: Scheduler) -> list[int]:
    with all_waiting(queue, len(jobs)) as pool:
        for job in jobs:
            pool.submit(queue.run, [job])
    assert queue._waiting == []
    return [job.outcome() for job in jobs]


def test_waiting_jobs_share_a_pass_up_to_its_memory() -> None:
    jobs, queue = [Double(n) for n in range(10)], Scheduler(1)
    assert outcomes_of(jobs, queue) == [2 * n for n in range(10)]
    assert [len(batch) for batch in Double.batches] == [4, 4, 2]
    assert queue.passes == 3


def test_threads_take_equal_parts_and_small_jobs_stay_together() -> None:
    for share, sizes in ((0.1, [4, 4]), (0.01, [2, 6])):
        Double.batches = []
        outcomes_of([Double(n, share=share) for n in range(8)], Scheduler(2))
        assert sorted(len(batch) for batch in Double.batches) == sizes


def test_passes_stay_side_by_side_to_the_last() -> None:
    """Those that a pass's own thread begins, too: six passes, every one beside another."""
    together = threading.Barrier(2, timeout=20)

    class Meets(Job):
        @classmethod
        def run(cls, jobs: list["Meets"]) -> list[int]:
            together.wait()
            return [0] * len(jobs)

    jobs = [Meets(n, 0.1) for n in range(6)]
    Scheduler(2).run(jobs)
    assert [job.outcome() for job in jobs] == [0] * 6


def test_passes_side_by_side_keep_to_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passes that are under way together take what they may, and one is always allowed."""
    under_way, most = 0, 0
    guard = threading.Lock()

    class Counted(Double):
        @classmethod
        def run(cls, jobs: list[Any]) -> list[int]:
            nonlocal under_way, most
            with guard:
                under_way += len(jobs)
                most = max(most, under_way)
            time.sleep(0.01)
            with guard:
                under_way -= len(jobs)
            return [0] * len(jobs)

    monkeypatch.setenv("NUMCODECS_BITSWAP_MEMORY", "much")
    with pytest.raises(DeviceError, match="bytes"):
        Scheduler(1).run([Double(1)])
    for setting, expected in ((2**30, 2), (1, 1)):
        monkeypatch.setenv("NUMCODECS_BITSWAP_MEMORY", str(setting))
        most = 0
        outcomes_of([Counted(n, share=0.5) for n in range(8)], Scheduler(4))
        assert most == expected


def test_jobs_of_one_call_share_passes() -> None:
    queue = Scheduler(1)
    jobs = [Double(n, key=n % 2, share=0.5) for n in range(5)] + [Double(7, key=0, share=3.0)]
    queue.run(jobs)
    assert [job.outcome() for job in jobs] == [0, 2, 4, 6, 8, 14]
    assert Double.batches == [[0, 2], [1, 3], [4], [7]]


def test_one_bad_job_fails_alone() -> None:
    jobs = [Double(n) for n in (5, 1, -2, 3)]
    Scheduler().run(jobs)
    assert [job.outcome() for job in jobs if job.number > 0] == [10, 2, 6]
    with pytest.raises(ArithmeticError):
        jobs[2].outcome()


def test_an_interruption_reaches_who_asked_and_leaves_nobody_waiting() -> None:
    class Interrupted(Job):
        @classmethod
        def run(cls, jobs: list["Interrupted"]) -> list[Any]:
            raise KeyboardInterrupt

    queue, interrupted = Scheduler(), Interrupted("key", 1)
    queue.run([interrupted])
    with pytest.raises(KeyboardInterrupt):
        interrupted.outcome()
    assert queue._waiting == []
    after = Double(4)
    queue.run([after])
    assert after.outcome() == 8


def test_a_pass_for_each_core_or_as_many_as_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    assert cores() >= 1
    monkeypatch.setenv("NUMBA_NUM_THREADS", "5")
    assert cores() == 5
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")  # of nested loops, which we have not
    assert cores() == 5
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert cores() == 3
    queue = Scheduler()
    queue.run([Double(1)])
    assert queue._limit == 3


def test_chunks_from_threads_share_passes_and_keep_their_bytes() -> None:
    codec = BitSwap(model="tiny-rgb8-v1")
    images = [picture((40, 40, 3), seed) for seed in range(12)]
    alone = [codec.encode(image) for image in images]
    before = scheduler.scheduler.passes
    with all_waiting(scheduler.scheduler, 12) as pool:
        results = [pool.submit(codec.encode, image) for image in images]
    together = [result.result() for result in results]
    assert together == alone
    assert scheduler.scheduler.passes <= before + 2


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(scheduler, "_chosen", None)
    monkeypatch.delenv("NUMCODECS_BITSWAP_DEVICE", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert scheduler.device() == "cpu"
    monkeypatch.setenv("NUMCODECS_BITSWAP_DEVICE", "cuda")
    with pytest.raises(DeviceError, match="none"):
        scheduler.device()
    for name in ("cpu", "torch"):
        set_device(name)
        assert scheduler.device() == name
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(scheduler, "_cuda_used", False)
    set_device("auto")
    assert scheduler.device() == "cuda"
    monkeypatch.setattr(scheduler, "_cuda_lost", True)  # as after a fork
    assert scheduler.device() == "cpu"
    set_device("cuda")
    with pytest.raises(DeviceError, match="fork"):
        scheduler.device()
    with pytest.raises(ValueError, match="tpu"):
        set_device("tpu")
    monkeypatch.setattr(scheduler, "_chosen", None)
    monkeypatch.setenv("NUMCODECS_BITSWAP_DEVICE", "tpu")
    with pytest.raises(DeviceError, match="tpu"):
        scheduler.device()


@pytest.mark.parametrize(("built", "driver"), [(False, True), (True, False)])
def test_auto_asks_torch_only_where_there_may_be_a_gpu(
    built: bool, driver: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "_chosen", None)
    monkeypatch.delenv("NUMCODECS_BITSWAP_DEVICE", raising=False)
    monkeypatch.setattr(scheduler, "_torch_has_cuda", lambda: built)
    monkeypatch.setattr(scheduler, "_driver", lambda: driver)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Blocker(), *sys.meta_path])
    assert scheduler.device() == "cpu"


def test_a_folder_of_torch_that_cannot_be_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many open files, for example: then torch may have CUDA."""

    def fail(*_: Any) -> Any:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(scheduler, "find_spec", lambda _: SimpleNamespace(submodule_search_locations=["anywhere"]))
    asked = scheduler._torch_has_cuda.__wrapped__
    assert not asked()
    monkeypatch.setattr(Path, "glob", fail)
    assert asked()


class Blocker:
    """Lets nobody import torch."""

    def find_spec(self, name: str, *_: Any) -> None:
        assert name != "torch"


def test_a_device_out_of_memory_says_so() -> None:
    """torch's error is a RuntimeError; MemoryError is Python's own."""
    queue = Scheduler(1)
    outofmemory = type("OutOfMemoryError", (RuntimeError,), {})

    class Large(Job):
        @classmethod
        def run(cls, jobs: list["Large"]) -> list[Any]:
            raise outofmemory("CUDA out of memory") if jobs[0].share < 1 else MemoryError

    for share, error in ((0.5, DeviceError), (1.0, MemoryError)):
        job = Large("large", share)
        queue.run([job])
        with pytest.raises(error):
            job.outcome()

"""scheduler.py: jobs of many threads share passes, one bad job fails alone; devices are chosen and refused."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from numcodecs_bitswap import BitSwap, DeviceError, scheduler, set_device
from numcodecs_bitswap.scheduler import Job, Scheduler
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
    """Threads whose first pass begins when `count` jobs wait."""
    with ThreadPoolExecutor(count) as pool, queue._pass:
        yield pool
        while len(queue._waiting) < count:
            time.sleep(0.001)


def test_waiting_jobs_share_a_pass_up_to_its_memory() -> None:
    jobs = [Double(n) for n in range(10)]
    queue = Scheduler()
    with all_waiting(queue, 10) as pool:
        for job in jobs:
            pool.submit(queue.run, [job])
    assert [job.outcome() for job in jobs] == [2 * n for n in range(10)]
    assert [len(batch) for batch in Double.batches] == [4, 4, 2]
    assert queue.passes == 3
    assert queue._waiting == []


def test_jobs_of_one_call_share_passes() -> None:
    queue = Scheduler()
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


def test_an_interrupted_leader_leaves_nobody_waiting() -> None:
    class Interrupted(Job):
        @classmethod
        def run(cls, jobs: list["Interrupted"]) -> list[Any]:
            raise KeyboardInterrupt

    queue = Scheduler()
    with pytest.raises(KeyboardInterrupt):
        queue.run([Interrupted("key", 1)])
    assert queue._waiting == []
    after = Double(4)
    queue.run([after])
    assert after.outcome() == 8


def test_chunks_from_threads_share_passes_and_keep_their_bytes() -> None:
    codec = BitSwap(model="tiny-rgb8-v1")
    images = [picture((40, 40, 3), seed) for seed in range(12)]
    alone = [codec.encode(image) for image in images]
    before = scheduler.scheduler.passes
    with all_waiting(scheduler.scheduler, 12) as pool:
        results = [pool.submit(codec.encode, image) for image in images]
    together = [result.result() for result in results]
    assert together == alone
    assert scheduler.scheduler.passes == before + 1


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(scheduler, "_chosen", None)
    monkeypatch.delenv("NUMCODECS_BITSWAP_DEVICE", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert scheduler.device() == "cpu"
    monkeypatch.setenv("NUMCODECS_BITSWAP_DEVICE", "cuda")
    with pytest.raises(DeviceError, match="none"):
        scheduler.device()
    set_device("cpu")
    assert scheduler.device() == "cpu"
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

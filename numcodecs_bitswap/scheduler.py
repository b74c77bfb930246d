"""Many chunks from many threads -> few model passes; and the device that they run on.

Zarr and dask call a codec from many threads at once. Whoever holds the pass lock is the leader: it takes every waiting
job of its own kind, runs them as one batch and hands out the results; the threads behind it find their job done, or
lead the next pass. So passes grow by themselves where there is a queue, and one chunk alone never waits for others: no
timer, no background thread, no setting. Bytes do not depend on it, because everything in a model is computed in
integers.

Knows neither models nor frames: a `Job` brings its own work. torch is imported by the first call that needs it.
"""

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import Any, Self

from .errors import DeviceError

DEVICES = ("auto", "cpu", "cuda")


class Job(ABC):
    """Work on one chunk that can share a pass with other jobs of the same key.

    Attributes
    ----------
    key : hashable
        Jobs with equal keys may run in one pass.
    share : float
        Part of the memory of one pass that the job takes; a pass holds jobs of at most 1 in all, or one job.
    """

    def __init__(self, key: Hashable, share: float) -> None:
        self.key = (type(self), key)
        self.share = share
        self.done = False
        self._outcome: Any = None
        self._error: Exception | None = None

    @classmethod
    @abstractmethod
    def run(cls, jobs: list[Self]) -> list[Any]:
        """The outcomes of jobs of one key, in order."""

    def settle(self, outcome: Any, error: Exception | None = None) -> None:
        self._outcome, self._error, self.done = outcome, error, True

    def outcome(self) -> Any:
        """What `run` gave for this job; raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._outcome


class Scheduler:
    """The queue of one process.

    Attributes
    ----------
    passes : int
        Number of batches run so far.
    """

    def __init__(self) -> None:
        self.passes = 0
        self._waiting: list[Job] = []
        self._guard = threading.Lock()  # of the list; held for a moment only
        self._pass = threading.Lock()  # held by the leader

    def run(self, jobs: Sequence[Job]) -> None:
        """Return when all of `jobs` are done, well or not; never raises what a job raises."""
        with self._guard:
            self._waiting += jobs
        try:
            for job in jobs:
                with self._pass:
                    if not job.done:
                        self._lead(job)
        finally:
            with self._guard:
                self._waiting = [job for job in self._waiting if job not in jobs]

    def _lead(self, own: Job) -> None:
        batch, room = [own], 1 - own.share
        with self._guard:
            for job in self._waiting:
                if job is not own and not job.done and job.key == own.key and job.share <= room:
                    batch.append(job)
                    room -= job.share
        self._run(batch)

    def _run(self, batch: list[Job]) -> None:
        self.passes += 1
        try:
            outcomes = type(batch[0]).run(batch)
        except Exception as error:
            if len(batch) == 1:
                batch[0].settle(None, error)
            else:  # one bad chunk must not fail the others
                for job in batch:
                    self._run([job])
        else:
            for job, outcome in zip(batch, outcomes, strict=True):
                job.settle(outcome)


scheduler = Scheduler()
_chosen: str | None = None
_cuda_used = False
_cuda_lost = False
_hooked = False


def run(jobs: Sequence[Job]) -> None:
    """Run jobs, together with what other threads have waiting."""
    scheduler.run(jobs)


def set_device(name: str) -> None:
    """Choose where models run, in this process, from the next chunk on. Bytes do not depend on it.

    Parameters
    ----------
    name : "auto", "cpu" or "cuda"
        "auto" is a CUDA device if there is one. Without this call the environment variable NUMCODECS_BITSWAP_DEVICE
        decides, and without that, "auto". A device that is absent is a `DeviceError` when a chunk needs it.

    Raises
    ------
    ValueError
        Any other name.
    """
    global _chosen
    if name not in DEVICES:
        raise ValueError(f"device {name!r} is not one of {', '.join(DEVICES)}")
    _chosen = name


def device() -> str:
    """The device of the next pass, "cpu" or "cuda"; imports torch.

    Raises
    ------
    DeviceError
        "cuda" is asked for and there is none, or the process was forked from one that had used it.
    """
    global _cuda_used
    wanted = _chosen or os.environ.get("NUMCODECS_BITSWAP_DEVICE") or "auto"
    if wanted not in DEVICES:
        raise DeviceError(f"NUMCODECS_BITSWAP_DEVICE is {wanted!r}; it may be {', '.join(DEVICES)}")
    torch = _torch()
    if wanted == "cpu" or (wanted == "auto" and (_cuda_lost or not torch.cuda.is_available())):
        return "cpu"
    if _cuda_lost:
        raise DeviceError("CUDA cannot be used after a fork; start processes with 'spawn', or choose the device 'cpu'")
    if not torch.cuda.is_available():
        raise DeviceError("the device 'cuda' is asked for, but torch sees none; choose 'auto' or 'cpu'")
    _cuda_used = True
    return "cuda"


def _torch() -> Any:
    """torch, made safe for forks."""
    global _hooked
    import torch

    if not _hooked and hasattr(os, "register_at_fork"):
        # After a fork OpenMP's threads are gone, and the child would wait for them for ever.
        os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))
        _hooked = True
    return torch


def _after_fork() -> None:
    """Another thread of the parent may have held the locks; what it ran is not ours."""
    global scheduler, _cuda_lost
    scheduler = Scheduler()
    _cuda_lost = _cuda_used


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

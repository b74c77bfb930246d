"""The queue of model passes: many chunks from many threads -> few passes, one on each core. And the choice of the
device.

Zarr and dask call a codec from many threads at once. A job that arrives while a thread is free starts at once, so a
single chunk never waits for others. While all threads are busy jobs wait, and a thread that becomes free takes its
share of the waiting jobs of one key as one batch: batches grow with the queue. There is no timer and no setting. A pass
runs on one thread, because concurrent passes are faster than threads that share the small products of one pass. The
bytes do not depend on any of this, since everything in a model is computed in integers.

Knows neither models nor frames: a `Job` brings its own work. Imports torch only where there may be a GPU.
"""

import ctypes
import math
import os
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol, Self, TypeVar

from ..errors import DeviceError
from .cores import cores, size_setting
from .forks import loading
from .workers import Workers

Result = TypeVar("Result", covariant=True)
DEVICES = ("auto", "cpu", "cuda", "torch")
PASS_BYTES = 1 << 30
"""Memory of a full pass on a CPU, at most."""
SMALL = 1 / 16
"""Jobs are not spread over threads until they fill this share of a pass: every pass has an overhead."""


class Job(ABC):
    """Work on one chunk that can share a pass with other jobs of the same key.

    Attributes
    ----------
    key : hashable
        Jobs with equal keys may run in one pass.
    share : float
        Share of the memory of one pass that the job takes. The shares of a pass add up to at most 1, unless it has a
        single job.
    done : SimpleQueue
        Gets an item when the job has finished.
    """

    def __init__(self, key: Hashable, share: float) -> None:
        self.key = (type(self), key)
        self.share = share
        self.done: SimpleQueue[None] = SimpleQueue()
        self._outcome: Any = None
        self._error: BaseException | None = None

    @classmethod
    @abstractmethod
    def run(cls, jobs: list[Self]) -> list[Any]:
        """Run jobs of one key; returns their outcomes in order."""

    def finish(self, outcome: Any, error: BaseException | None = None) -> None:
        """Set the outcome or the error, and wake the thread that waits."""
        self._outcome, self._error = outcome, error
        self.done.put(None)

    def outcome(self) -> Any:
        """What `run` returned for this job; raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._outcome


class Scheduler:
    """The queue of one process.

    Parameters
    ----------
    most : int, optional
        Largest number of concurrent passes. Default: `cores()`; 1 on CUDA.

    Attributes
    ----------
    passes : int
        Number of batches run so far.
    """

    def __init__(self, most: int | None = None) -> None:
        self.passes = 0
        self._most = most
        self._limit = 1
        self._memory = 0.0
        self._waiting: list[Job] = []
        self._under_way: list[list[Job]] = []
        self._booked: list[list[Job]] = []
        self._lock = threading.RLock()
        self._workers = Workers("numcodecs_bitswap")

    def run(self, jobs: Sequence[Job]) -> None:
        """Return when all of `jobs` have finished or failed. Does not raise what a job raises.

        Only worker threads, which are never interrupted, reserve passes. So an interrupt anywhere in this method leaves
        no reserved pass that no thread runs.
        """
        room, limit = memory(), self._most or (1 if _cuda_used else cores())
        alone: list[Job] = []
        try:
            with self._lock:
                self._memory, self._limit = room, limit
                self._waiting += jobs
                if not self._start():
                    alone = [job for job in self._waiting if job in jobs]
                    self._waiting = [job for job in self._waiting if job not in jobs]
            for job in alone:
                _run([job])
            for job in jobs:
                job.done.get()
        finally:  # after an interrupt: jobs that have not begun are withdrawn
            with self._lock:
                self._waiting = [job for job in self._waiting if job not in jobs]

    def _start(self) -> bool:
        """Offer the waiting jobs to as many threads as may run; returns whether there are any threads."""
        times = len(self._booked) + min(len(self._waiting), self._limit - len(self._under_way))
        return times <= 0 or self._workers.offer(self._work, times, self._limit)

    def _work(self) -> None:
        """Run passes while there are any. Called in a worker thread."""
        batch = self._next()
        while batch:
            _run(batch)
            with self._lock:
                self._under_way.remove(batch)
                following = self._next()
                self._start()  # others may begin, too, now that memory is free
            batch = following

    def _next(self) -> list[Job]:
        """A pass to run, or an empty list. Reserves passes while there are jobs, threads and memory for them, so that
        each takes its share of the jobs that wait now: the first passes may have finished before the last begin.
        """
        with self._lock:
            while self._waiting and len(self._under_way) < self._limit:
                room = self._memory / PASS_BYTES - math.fsum(job.share for batch in self._under_way for job in batch)
                if self._under_way and self._waiting[0].share > room:
                    break
                batch = self._take(min(room, 1.0))
                self.passes += 1
                self._under_way.append(batch)
                self._booked.append(batch)
            return self._booked.pop(0) if self._booked else []

    def _take(self, room: float) -> list[Job]:
        """The first job and others of its key: as many as fit in `room`; beyond SMALL, only one thread's share.

        Running jobs count in that share: a thread with few of them is soon free again.
        """
        first, *rest = (job for job in self._waiting if job.key == self._waiting[0].key)
        part = math.ceil((1 + len(rest) + sum(map(len, self._under_way))) / self._limit)
        batch = [first]
        for job in rest:
            taken = math.fsum(each.share for each in batch) + job.share
            if taken <= room and (taken <= SMALL or len(batch) < part):
                batch.append(job)
        self._waiting = [job for job in self._waiting if job not in batch]
        return batch


def _run(batch: list[Job]) -> None:
    try:
        outcomes = list(zip(batch, type(batch[0]).run(batch), strict=True))
    except BaseException as error:  # raised again in the thread that submitted the job
        if len(batch) == 1:
            if type(error).__name__ == "OutOfMemoryError":  # torch's
                error = DeviceError(f"a chunk takes more memory than the device has: {error}")
            batch[0].finish(None, error)
        else:  # one bad chunk must not fail the others
            for job in batch:
                _run([job])
    else:
        for job, outcome in outcomes:
            job.finish(outcome)


def memory() -> float:
    """Bytes that the concurrent passes of this process may take: NUMCODECS_BITSWAP_MEMORY, default a quarter of the
    machine's memory. One pass is always allowed.

    Raises
    ------
    DeviceError
        The setting is not a number of bytes.
    """
    try:
        quarter = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
    except (AttributeError, ValueError, OSError):  # not on every system
        quarter = 4 * PASS_BYTES
    return size_setting("NUMCODECS_BITSWAP_MEMORY", quarter)


scheduler = Scheduler()
_chosen: str | None = None
_cuda_used = False
_cuda_lost = False


def run(jobs: Sequence[Job]) -> None:
    """Run jobs, in batches with those of other threads; returns when all have finished."""
    scheduler.run(jobs)


class Work(Protocol[Result]):
    """A chunk on its way: what is left to do, of which a scheduler has to run the job."""

    @property
    def job(self) -> Job | None:
        """A part that shares model passes with other chunks', if there is one."""

    def finish(self) -> Result:
        """The result, once the job has run."""


def complete(work: Work[Result]) -> Result:
    """Run a chunk's job, if it has one, and finish the chunk."""
    if work.job is not None:
        run([work.job])
    return work.finish()


def set_device(name: str) -> None:
    """Choose where models run, in this process, from the next chunk on. Bytes do not depend on it.

    Parameters
    ----------
    name : "auto", "cpu", "cuda" or "torch"
        "auto" is a CUDA device if there is one, else the CPU; the plane coder uses one only for "cuda". "torch" is the
        CPU with torch instead of compiled loops: far slower, for checking that the bytes are the same. Without this
        call the environment variable NUMCODECS_BITSWAP_DEVICE decides; without that, it is "auto". If the device is
        absent, the first chunk that needs it raises `DeviceError`.

    Raises
    ------
    ValueError
        Any other name.
    """
    global _chosen
    if name not in DEVICES:
        raise ValueError(f"device {name!r} is not one of {', '.join(DEVICES)}")
    _chosen = name


def chosen_device() -> str:
    """What `set_device` or NUMCODECS_BITSWAP_DEVICE says.

    Raises
    ------
    DeviceError
        NUMCODECS_BITSWAP_DEVICE is not a device.
    """
    wanted = _chosen or os.environ.get("NUMCODECS_BITSWAP_DEVICE") or "auto"
    if wanted not in DEVICES:
        raise DeviceError(f"NUMCODECS_BITSWAP_DEVICE is {wanted!r}; it may be {', '.join(DEVICES)}")
    return wanted


def device() -> str:
    """The device of the next pass, "cpu", "cuda" or "torch".

    Raises
    ------
    DeviceError
        NUMCODECS_BITSWAP_DEVICE is not a device; "cuda" is asked for and there is none, or this process was forked
        from one that had used it.
    """
    global _cuda_used
    wanted = chosen_device()
    if wanted in ("cpu", "torch") or (wanted == "auto" and (_cuda_lost or not _cuda())):
        return "torch" if wanted == "torch" else "cpu"
    if _cuda_lost:
        raise DeviceError("CUDA cannot be used after a fork; start processes with 'spawn', or choose the device 'cpu'")
    if not _cuda():
        raise DeviceError(
            "the device 'cuda' is asked for, but there is none, or no torch that sees it (a build with CUDA: the extra "
            "[torch]); choose 'auto' or 'cpu'"
        )
    _cuda_used = True
    return "cuda"


def _cuda() -> bool:
    """Whether torch sees a CUDA device. torch, which takes seconds to import, is imported only where it may."""
    if sys.modules.get("torch") is None and not (_torch_has_cuda() and _driver()):
        return False
    with loading():
        import torch

    return torch.cuda.is_available()


@cache
def _torch_has_cuda() -> bool:
    """Whether the installed torch has CUDA (or ROCm): by the libraries in its folder. True where it cannot be told."""
    found = find_spec("torch")
    folders = (found.submodule_search_locations if found else None) or []
    try:
        return any(any(Path(each, "lib").glob(f"*torch_{kind}*")) for each in folders for kind in ("cuda", "hip"))
    except OSError:  # too many open files: torch, which is asked then, has errors of its own
        return True


@cache
def _driver() -> bool:
    """Whether the library of a GPU driver can be loaded. It exists wherever a GPU can be used, also in containers and
    under WSL, where device nodes have other names or are missing.
    """
    for name in ("libcuda.so.1", "nvcuda.dll", "libamdhip64.so"):
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return True
    return False


def _after_fork() -> None:
    """A new queue: another thread of the parent may have held the locks, and its jobs are not those of the child."""
    global scheduler, _cuda_lost
    scheduler = Scheduler()
    _cuda_lost = _cuda_used


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

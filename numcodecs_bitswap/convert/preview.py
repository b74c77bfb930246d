"""A preview of a conversion: the new chunks and codec of every array, and its size, estimated from a sample."""

import time
from typing import NamedTuple

import numpy as np
import zarr
from zarr.storage import MemoryStore

from .journal import Target
from .plan import Planned, Wanted, make, source_arrays

COUNT = 4
"""Chunks (or shards) to sample of each array."""


class Preview(NamedTuple):
    """An array, the bytes sampled of it, their size in the target, and the seconds that took on one core."""

    planned: Planned
    sampled: int
    stored: int
    seconds: float

    @property
    def total(self) -> float:
        """Estimated bytes of the whole array in the target."""
        return self.planned.nbytes * self.stored / self.sampled if self.sampled else 0.0

    @property
    def time(self) -> float:
        """Estimated seconds of the whole array on one core."""
        return self.planned.nbytes * self.seconds / self.sampled if self.sampled else 0.0


def preview(source: str, wanted: Wanted) -> list[Preview]:
    """Preview a conversion; nothing is written.

    Raises
    ------
    SourceError
        As `convert` does.
    """
    plan = make(source, wanted)
    arrays = source_arrays(source)[1]
    rows = []
    for planned in plan.arrays:
        store = Target(MemoryStore(), plan.metadata)
        array = zarr.open_array(store, path=planned.path, mode="r+").with_config({"write_empty_chunks": True})
        grid = [-(-n // u) for n, u in zip(planned.shape, planned.unit, strict=True)]
        units = int(np.prod(grid))
        rng = np.random.default_rng(0)
        sampled, stored, seconds = 0, 0, 0.0
        chosen = sorted(rng.choice(units, min(units, COUNT), replace=False).tolist()) if units else []
        for n, number in enumerate(chosen[:1] + chosen):  # the first one twice, since it loads kernels and models
            place = [int(i) * u for i, u in zip(np.unravel_index(number, grid), planned.unit, strict=True)]
            ends = [min(p + u, m) for p, u, m in zip(place, planned.unit, planned.shape, strict=True)]
            block = tuple(slice(p, end) for p, end in zip(place, ends, strict=True))
            data = np.asarray(arrays[planned.path][block])
            before, start = store.stored, time.perf_counter()
            array[block] = data
            if n:
                seconds += time.perf_counter() - start
                sampled, stored = sampled + data.nbytes, stored + store.stored - before
        rows.append(Preview(planned, sampled, stored, seconds))
    return rows

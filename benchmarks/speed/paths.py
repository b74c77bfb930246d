"""The ways a chunk goes: through the codec alone, through Zarr, from device to device; and who shares a model pass."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import zarr
from numcodecs.abc import Codec
from zarr.storage import MemoryStore

from benchmarks.images import Chunk
from benchmarks.speed.cases import Subject
from numcodecs_bitswap import set_device
from numcodecs_bitswap.measure.harness import Measured, Peer, measure
from numcodecs_bitswap.runtime import scheduler


class Timed(NamedTuple):
    """Sizes and speeds, and how many chunks a model pass had, encoding and decoding together; 0 without any pass."""

    measured: Measured
    chunks_a_pass: float


def through_codec(subject: Subject, chunks: Sequence[Chunk], times: int) -> Timed:
    """The codec alone, one thread for each chunk, medians of so many times; every chunk is compared. It has coded some
    chunk before.
    """
    before = scheduler.scheduler.passes
    peer = Peer(subject.name, subject.codec.encode, subject.codec.decode)
    measured = measure(peer, chunks, times, threads=len(chunks), warm=True)
    return Timed(measured, _chunks_a_pass(2 * times * len(chunks), before))


def through_zarr(subject: Subject, chunks: Sequence[Chunk], times: int) -> Timed:
    """A whole Zarr array of format 3 in memory, default settings, written and read; bytes with its metadata.

    Raises
    ------
    AssertionError
        The array that is read differs.
    """
    data, seconds = np.concatenate(chunks), []
    before = scheduler.scheduler.passes
    for _ in range(times):
        array = _array(chunks, serializer=subject.serializer, compressors=None)
        start = time.perf_counter()
        array[:] = data
        written = time.perf_counter()
        read = array[:]
        seconds.append((written - start, time.perf_counter() - written))
        if not np.array_equal(read, data):
            raise AssertionError(f"{subject.name}: the Zarr array that was read differs")
    encode, decode = np.median(seconds, axis=0).tolist()
    total, megabytes = array.nbytes_stored(), data.nbytes / 1e6
    measured = Measured(subject.name, total, 8 * total / data.size, megabytes / encode, megabytes / decode)
    return Timed(measured, _chunks_a_pass(2 * times * len(chunks), before))


def _chunks_a_pass(count: int, before: int) -> float:
    passes = scheduler.scheduler.passes - before
    return count / passes if passes else 0.0


def gathered(subject: Subject, chunks: Sequence[Chunk]) -> dict[str, dict[str, float]]:
    """Chunks that a model pass has, encoding and decoding, for each way in which Zarr and dask call a codec."""
    import dask.array

    data, shape = np.concatenate(chunks), chunks[0].shape
    three = {"serializer": subject.serializer, "compressors": None}
    shards = (len(chunks) // 2 * shape[0], *shape[1:])
    arrays = {
        "Zarr format 2": _array(chunks, zarr_format=2, compressors=subject.codec),
        "Zarr format 3": _array(chunks, **three),
        "Zarr format 3, two shards": _array(chunks, shards=shards, **three),
    }

    def counted(work: Callable[[], Any]) -> float:
        before = scheduler.scheduler.passes
        work()
        return len(chunks) / (scheduler.scheduler.passes - before)

    ways: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        name: (lambda array=array: array.set_basic_selection(..., data), lambda array=array: array[:])
        for name, array in arrays.items()
    }
    target = _array(chunks, **three)
    blocks = dask.array.from_array(data, chunks=shape)
    ways["dask, Zarr format 3"] = (
        lambda: dask.array.store(blocks, target, lock=False),
        lambda: dask.array.from_array(target, chunks=shape).compute(scheduler="threads"),
    )
    return {name: {"encode": counted(write), "decode": counted(read)} for name, (write, read) in ways.items()}


def _array(chunks: Sequence[Chunk], **options: Any) -> Any:
    first = chunks[0]
    shape = (len(chunks) * len(first), *first.shape[1:])
    return zarr.create_array(MemoryStore(), shape=shape, chunks=first.shape, dtype=first.dtype, **options)


def differences(name: str, codec: Codec, chunks: Sequence[Chunk], device: str) -> list[str]:
    """What a device does otherwise than the CPU: frames and, both ways, what they decode to. None if it is exact."""
    found = []
    for chunk in chunks:
        set_device("cpu")
        reference = codec.encode(chunk)
        set_device(device)
        made = codec.encode(chunk)
        pairs = {"decodes": (codec.decode(reference), chunk), "encodes": (made, reference)}
        set_device("cpu")
        pairs["makes frames that the CPU decodes"] = (codec.decode(made), chunk)
        found += [
            f"{name}, chunk {chunk.shape}: {device} {does} otherwise"
            for does, (got, expected) in pairs.items()
            if not np.array_equal(np.frombuffer(got, np.uint8), np.frombuffer(expected, np.uint8))
        ]
    return found

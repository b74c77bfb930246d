"""Copies blocks from the source to the target, and runs a conversion from start to end."""

import functools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from itertools import product
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.core.sync import sync

from ..errors import BitswapError, FormatError, SourceError
from ..models import catalog, embedded
from ..options import AUTO_FLOW, AUTO_JPEG, AUTO_PLANES
from ..readers.arrays import open_zarr
from . import OURS, journal, plan
from .journal import Journal, Target
from .plan import Plan, Planned, Shape, Wanted
from .processes import Processes

Report = Callable[[int, int, int], None]
"""Called with numbers of blocks, of their bytes, and of bytes stored."""


def same(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether two arrays hold the same bits; objects and text are compared by value."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.hasobject or a.dtype.kind == "T":
        return bool(np.array_equal(a, b))
    return a.tobytes() == b.tobytes()


def copy_block(source: str, target: str, number: int, place: Shape, again: bool, verify: bool) -> tuple[int, int]:
    """Copy a block of one array.

    Parameters
    ----------
    source, target : str
    number : int
        Index of the array in the plan.
    place : tuple of int
        Where the block begins.
    again : bool
        Whether an earlier run may have written a part of it, which is then deleted first.
    verify : bool
        Read the block back and compare.

    Returns
    -------
    (int, int)
        Bytes of the block, and bytes stored.

    Raises
    ------
    SourceError
        The source cannot be read, the target cannot be written, or the block reads back differently.
    """
    planned, metadata = _plan(target)[number], _metadata(target)
    data = _read(source, planned, place)
    store = Target(journal.open_store(target), metadata)
    # Zarr does not write chunks that equal the fill value. For floats it treats all NaN as equal, so here chunks are
    # compared bit by bit.
    config: Any = {"write_empty_chunks": data.dtype.kind in "fcV"}
    array: Any = zarr.open_array(store, path=planned.path, mode="r+").with_config(config)
    data = data.astype(array.dtype, copy=False)
    try:
        _write(array, planned, place, data, again)
    except BitswapError:
        raise
    except Exception as error:  # codecs and stores raise anything
        where = f"{target}/{planned.path}".rstrip("/")
        raise SourceError(f"{where} cannot be written at {place}: {type(error).__name__}: {error}") from error
    if verify and not _matches(array, place, data):
        raise SourceError(
            f"{planned.path or target}: the block at {place} does not read back as written; is the disk full?"
        )
    return data.nbytes, store.stored


def _write(array: Any, planned: Planned, place: Shape, data: NDArray[Any], again: bool) -> None:
    """Write a block, except chunks or shards that equal the fill value bit by bit."""
    fill = None if array.fill_value is None else np.asarray(array.fill_value, data.dtype)
    for within, at in _units(planned, place, data.shape):
        part = data[within]
        if again:
            key = f"{planned.path}/{array.metadata.encode_chunk_key(at)}".lstrip("/")
            sync(array.store_path.store.delete(key))
        if fill is not None and same(np.broadcast_to(fill, part.shape), part):
            continue
        array[tuple(slice(p + s.start, p + s.stop) for p, s in zip(place, within, strict=True))] = part


def verified(source: str, target: str, number: int, place: Shape) -> bool:
    """Whether a block of the target equals that of the source."""
    planned = _plan(target)[number]
    array = zarr.open_array(Target(journal.open_store(target), _metadata(target)), path=planned.path, mode="r")
    return _matches(array, place, _read(source, planned, place).astype(np.dtype(array.dtype), copy=False))


def convert(
    source: str,
    target: str,
    wanted: Wanted,
    workers: str = "threads",
    threads: int | None = None,
    verify: bool = False,
    embed: bool = False,
    report: Report = lambda blocks, nbytes, stored: None,
) -> Plan:
    """Convert a Zarr array, a group or a file to a Zarr array or group, or resume a conversion.

    Parameters
    ----------
    source, target : str
        Path or URL; the source may also be a file that `readers.arrays.open_array` opens.
    wanted : Wanted
    workers : str
        "threads", "processes", or the address of a dask scheduler whose workers see the same paths and URLs.
    threads : int, optional
        Blocks at a time. Default: the number of cores; for a dask cluster twice its threads.
    verify : bool
        Read every block back and compare, also those that an earlier run wrote.
    embed : bool
        Store the model with every array of the target.
    report : callable
        Called with the number of blocks done since the last call, their bytes and the bytes stored.

    Returns
    -------
    Plan

    Raises
    ------
    SourceError
        Nothing to convert, the target exists, or a block failed; the same call then resumes.
    """
    use_models_of(source)
    planned = plan.make(source, wanted)
    kept = Journal(target)
    todo = ((n, place) for n, array in enumerate(planned.arrays) for place in plan.blocks(array))
    if kept.begin(source, planned, sum(map(plan.count, planned.arrays))):
        try:
            with _executor(workers, threads) as (executor, most):
                _copy(kept, executor, most, source, target, todo, verify, report)
        finally:
            with suppress(BitswapError):
                kept.flush()
            _plan.cache_clear()
            _metadata.cache_clear()
            _arrays.cache_clear()
        if embed:
            _embed(target, planned, wanted)
    try:
        kept.publish(planned.metadata)
        kept.tidy()
    except OSError as error:
        raise SourceError(f"{target} cannot be written: {error}") from error
    return planned


def use_models_of(place: str) -> None:
    """Use the models stored with a Zarr array or group, if any."""
    with suppress(SourceError):
        embedded.use_models(open_zarr(place))


def _copy(
    kept: Journal,
    executor: Executor,
    most: int,
    source: str,
    target: str,
    todo: Iterator[tuple[int, Shape]],
    verify: bool,
    report: Report,
) -> None:
    """Copy all blocks that are not done, a few at a time to bound memory."""
    under_way: dict[Future[Any], int] = {}

    def collect(least: int) -> None:
        while len(under_way) > least:
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                block = under_way.pop(future)
                nbytes, stored = future.result()
                kept.mark(block)
                report(1, nbytes, stored)

    try:
        for block, (number, place) in enumerate(todo):
            if kept.done[block] and not verify:
                report(1, 0, 0)
                continue
            call: Callable[..., Any] = _again if kept.done[block] else copy_block
            collect(2 * most - 1)
            under_way[executor.submit(call, source, target, number, place, kept.resumed, verify)] = block
        collect(0)
    except BaseException as error:
        for future in under_way:
            future.cancel()
        with suppress(Exception):
            for future in wait(under_way, timeout=60).done:  # blocks that are being copied are not lost
                if not future.cancelled() and future.exception() is None:
                    kept.mark(under_way[future])
        if isinstance(error, BrokenExecutor):
            raise SourceError(
                "a process that copies blocks has ended; if memory was short, give fewer --threads: the same command "
                "resumes"
            ) from error
        raise


def _again(source: str, target: str, number: int, place: Shape, again: bool, verify: bool) -> tuple[int, int]:
    """Verify a block of an earlier run, and copy it again if it differs."""
    with suppress(Exception):
        if verified(source, target, number, place):
            return 0, 0
    return copy_block(source, target, number, place, True, verify)


@contextmanager
def _executor(workers: str, threads: int | None) -> Iterator[tuple[Executor, int]]:
    most = threads or os.cpu_count() or 1
    if workers == "threads":
        with ThreadPoolExecutor(most) as executor:
            yield executor, most
    elif workers == "processes":
        with Processes(most) as executor:
            yield executor, most
    else:
        import distributed

        Client: Any = distributed.Client  # it has no types
        try:
            client = Client(workers, timeout="10s")
        except (OSError, TimeoutError, ValueError) as error:
            raise SourceError(f"no dask scheduler answers at {workers}: {error}") from error
        with client:
            most = threads or 2 * sum(client.nthreads().values()) or 1
            yield client.get_executor(pure=False), most


@functools.lru_cache(maxsize=4)
def _plan(target: str) -> list[Planned]:
    return journal.begun(target).arrays


@functools.lru_cache(maxsize=4)
def _metadata(target: str) -> dict[str, bytes]:
    return journal.begun(target).metadata


@functools.lru_cache(maxsize=4)
def _arrays(source: str) -> dict[str, Any]:
    use_models_of(source)
    return plan.source_arrays(source)[1]


def _read(source: str, planned: Planned, place: Shape) -> NDArray[Any]:
    ends = [min(p + b, n) for p, b, n in zip(place, planned.block, planned.shape, strict=True)]
    block = tuple(slice(p, end) for p, end in zip(place, ends, strict=True))
    try:
        return np.asarray(_arrays(source)[planned.path][block])
    except Exception as error:  # of codecs and stores of any kind
        if isinstance(error, BitswapError) and not isinstance(error, FormatError):
            raise
        where = f"{source}/{planned.path}".rstrip("/")
        raise SourceError(f"{where} cannot be read at {place}: {type(error).__name__}: {error}") from error


def _matches(array: Any, place: Shape, data: NDArray[Any]) -> bool:
    back = array[tuple(slice(p, p + n) for p, n in zip(place, data.shape, strict=True))]
    return same(np.asarray(back), data)


def _units(planned: Planned, place: Shape, size: Shape) -> Iterator[tuple[tuple[slice, ...], Shape]]:
    """The chunks or shards of a block: slices in the block, and index in the array's grid."""
    steps = [range(0, n, u) for n, u in zip(size, planned.unit, strict=True)]
    for begin in product(*steps):
        within = tuple(slice(b, min(b + u, n)) for b, u, n in zip(begin, planned.unit, size, strict=True))
        yield within, tuple((p + b) // u for p, b, u in zip(place, begin, planned.unit, strict=True))


def _embed(target: str, planned: Plan, wanted: Wanted) -> None:
    automatic = AUTO_FLOW.values() if wanted.codec == "localbitsback" else [*AUTO_PLANES[1], AUTO_JPEG]
    store = Target(journal.open_store(target), planned.metadata)
    for array in planned.arrays:
        if array.codec in OURS:
            opened = zarr.open_array(store, path=array.path, mode="r+")
            for name in automatic if wanted.model == "auto" else [wanted.model]:
                embedded.embed_model(opened, catalog.find(name).sha256)

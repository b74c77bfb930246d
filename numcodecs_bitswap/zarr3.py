"""The Zarr format 3 serializers: the same frames as those of the numcodecs codecs.

Format 3 has no byte order. So frames hold little-endian arrays in C order, whatever the writer's memory order, and
decoding gives the byte order that Zarr asks for. Zarr encodes and decodes chunks in coroutines of one event loop. The
work is done in threads, so nothing blocks the loop. Chunks that need networks wait for each other, and share passes.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Self, cast
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from zarr.abc.codec import ArrayBytesCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer
from zarr.core.common import JSON

from . import verification
from .chunk.coding import Decoding, Encoding
from .chunk.dtypes import dtype_text
from .chunk.frame import Header
from .chunk.patches import image_axes
from .errors import FormatError
from .options import Options
from .runtime import scheduler
from .runtime.cores import cores
from .runtime.workers import Workers

Work = Encoding | Decoding


@dataclass(frozen=True, kw_only=True)
class _LearnedCodec(Options, ArrayBytesCodec):
    """All of a serializer but its name and how the core is coded."""

    name: ClassVar[str]
    core: ClassVar[str]
    is_fixed_size = False

    @classmethod
    def from_dict(cls, data: dict[str, JSON]) -> Self:
        """From array metadata, `{"name": ..., "configuration": {...}}`."""
        configuration: Any = data.get("configuration") or {}
        if not isinstance(configuration, dict):
            raise TypeError(f"the configuration of {cls.name} must be an object, not {configuration!r}")
        return cls(**configuration)

    def to_dict(self) -> dict[str, JSON]:
        """For array metadata."""
        return {"name": self.name, "configuration": self.config()}

    def evolve_from_array_spec(self, array_spec: ArraySpec) -> Self:
        """The codec itself: the metadata holds the user's configuration, and every frame holds the rest."""
        return self

    def validate(self, *, shape: tuple[int, ...], dtype: Any, chunk_grid: Any) -> None:
        """Check, when the array is created, that frames can hold its dtype and that it has the axes configured.

        Raises
        ------
        TypeError
            A dtype that frames cannot hold.
        ValueError
            An axis that the array does not have.
        """
        dtype_text(dtype.to_native_dtype())
        image_axes(shape, self.channel_axis, self.spatial_axes)

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Not known before encoding."""
        raise NotImplementedError

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        frame = await _complete(partial(_encoding, chunk_data, chunk_spec, self, self.core))
        if verification.wanted(self.verify):
            check = partial(_verify, frame, chunk_data, chunk_spec, self)
            await _in_thread(check, asyncio.get_running_loop().create_future())
        return chunk_spec.prototype.buffer.from_bytes(frame)

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        array = await _complete(partial(_decoding, chunk_data, chunk_spec))
        array = array.astype(chunk_spec.dtype.to_native_dtype(), copy=False)
        return chunk_spec.prototype.nd_buffer.from_numpy_array(array)

    async def encode(self, chunks_and_specs: Iterable[tuple[NDBuffer | None, ArraySpec]]) -> list[Buffer | None]:
        """Encode chunks, which share the passes of the networks; None stays None."""
        return list(await asyncio.gather(*(_or_none(self._encode_single, *each) for each in chunks_and_specs)))

    async def decode(self, chunks_and_specs: Iterable[tuple[Buffer | None, ArraySpec]]) -> list[NDBuffer | None]:
        """Decode chunks, which share the passes of the networks; None stays None."""
        return list(await asyncio.gather(*(_or_none(self._decode_single, *each) for each in chunks_and_specs)))


@dataclass(frozen=True, kw_only=True)
class BitSwapCodec(_LearnedCodec):
    """Lossless compression by a learned model, as the `serializer` of a Zarr format 3 array.

    Give `compressors=None` with it: a compressor behind it only costs time.

    Parameters
    ----------
    model, channel_axis, spatial_axes
        As for `numcodecs_bitswap.BitSwap`. Axes are those of the array.
    verify : bool
        As for `numcodecs_bitswap.BitSwap`. No part of the array's metadata: who opens the array says it again, or sets
        NUMCODECS_BITSWAP_VERIFY=1.
    """

    name = "numcodecs_bitswap.bitswap"
    core = "bit_swap"


@dataclass(frozen=True, kw_only=True)
class BBANSCodec(_LearnedCodec):
    """Lossless compression by a learned model and BB-ANS coding, as the `serializer` of a Zarr format 3 array.

    Parameters as for `BitSwapCodec`; see `numcodecs_bitswap.BBANS`.
    """

    name = "numcodecs_bitswap.bbans"
    core = "bb_ans"


@dataclass(frozen=True, kw_only=True)
class LocalBitsBackCodec(_LearnedCodec):
    """Lossless compression by a flow and local bits-back coding, as the `serializer` of a Zarr format 3 array.

    Parameters as for `BitSwapCodec`; see `numcodecs_bitswap.LocalBitsBack`.
    """

    name = "numcodecs_bitswap.localbitsback"
    core = "local_bits_back"


async def _or_none(single: Callable[[Any, ArraySpec], Any], chunk: Any, spec: ArraySpec) -> Any:
    return None if chunk is None else await single(chunk, spec)


def _little(chunk_data: NDBuffer, spec: ArraySpec) -> NDArray[Any]:
    """What frames hold: the chunk that Zarr describes, little-endian. Filters hand over its bytes in one axis (Delta)
    or as integers (BitRound).
    """
    array = chunk_data.as_numpy_array()
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    dtype = spec.dtype.to_native_dtype().newbyteorder("<")
    return (array if array.dtype == dtype else array.view(dtype)).reshape(spec.shape)


def _encoding(chunk_data: NDBuffer, spec: ArraySpec, options: Options, core: str) -> Encoding:
    return Encoding(_little(chunk_data, spec), options, core, layout="C")


def _verify(frame: bytes, chunk_data: NDBuffer, spec: ArraySpec, options: Options) -> None:
    verification.verify(frame, _little(chunk_data, spec), "C", options)


def _decoding(chunk_data: Buffer, spec: ArraySpec) -> Decoding:
    def fits(header: Header) -> None:
        dtype = spec.dtype.to_native_dtype()
        if header.shape != spec.shape or header.dtype.newbyteorder("<") != dtype.newbyteorder("<"):
            raise FormatError(
                f"the frame holds {header.dtype} of shape {header.shape}, the array's chunk is {dtype} of {spec.shape}"
            )

    return Decoding(chunk_data.as_numpy_array().view(np.uint8).data, fits)


_workers = Workers("numcodecs_bitswap_chunks")


@dataclass
class _Batch:
    """Chunks of one event loop that are begun at the same time. Their jobs share passes, once all of them have begun.

    Attributes
    ----------
    ran : Future
        Done when the jobs have run.
    beginning : int
        The number of chunks that have not begun yet.
    jobs : list of Job
    """

    ran: asyncio.Future[None]
    beginning: int = 0
    jobs: list[scheduler.Job] = field(default_factory=list)


_batches: WeakKeyDictionary[asyncio.AbstractEventLoop, _Batch] = WeakKeyDictionary()


async def _complete(start: Callable[[], Work]) -> Any:
    """What `start().finish()` returns. A chunk without a job is one call in a thread, and waits for no other chunk."""
    loop = asyncio.get_running_loop()
    batch = _batches.setdefault(loop, _Batch(loop.create_future()))
    batch.beginning += 1
    try:
        work = await _in_thread(partial(_begin, start), loop.create_future())
        if isinstance(work, Work):
            batch.jobs.append(cast(scheduler.Job, work.job))
    finally:  # also where this chunk is cancelled: the others still wait
        batch.beginning -= 1
        if not batch.beginning:
            del _batches[loop]
            if batch.jobs:
                _in_thread(partial(scheduler.run, batch.jobs), batch.ran)
    if not isinstance(work, Work):
        return work
    await asyncio.shield(batch.ran)
    return await _in_thread(work.finish, loop.create_future())


def _begin(start: Callable[[], Work]) -> Any:
    """The work, if networks have to run for it, else its result."""
    work = start()
    return work.finish() if work.job is None else work


def _in_thread(call: Callable[[], Any], future: asyncio.Future[Any]) -> asyncio.Future[Any]:
    """Let a thread call, and set the future to what it returns or raises. As many calls run at a time as there are
    cores: the event loop's own threads are more, and would only wait for the interpreter lock.
    """

    def task() -> None:
        result, error = None, None
        try:
            result = call()
        except BaseException as raised:  # raised again where the future is awaited
            error = raised
        with suppress(RuntimeError):  # the loop was closed, so nobody waits
            future.get_loop().call_soon_threadsafe(_set, future, result, error)

    if not _workers.offer(task, 1, cores()):
        task()
    return future


def _set(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():  # its waiter was cancelled
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)

"""The Zarr format 3 serializers: the same frames as those of the numcodecs codecs.

Format 3 has no byte order. So frames hold little-endian arrays in C order, whatever the writer's memory order, and
decoding gives the byte order that Zarr asks for. Zarr encodes and decodes chunks in coroutines of one event loop: the
first one lets the others submit their chunks, then all share the passes of the networks. The work is done in threads,
so nothing blocks the loop.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Self
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
        frame = await _submit(partial(_encoding, chunk_data, self, self.core))
        if verification.wanted(self.verify):
            await asyncio.to_thread(_verify, frame, chunk_data, self)
        return chunk_spec.prototype.buffer.from_bytes(frame)

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        array = await _submit(partial(_decoding, chunk_data, chunk_spec))
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


def _little(chunk_data: NDBuffer) -> NDArray[Any]:
    """What frames hold: little-endian."""
    array = chunk_data.as_numpy_array()
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def _encoding(chunk_data: NDBuffer, options: Options, core: str) -> Encoding:
    return Encoding(_little(chunk_data), options, core, layout="C")


def _verify(frame: bytes, chunk_data: NDBuffer, options: Options) -> None:
    verification.verify(frame, _little(chunk_data), "C", options)


def _decoding(chunk_data: Buffer, spec: ArraySpec) -> Decoding:
    def fits(header: Header) -> None:
        dtype = spec.dtype.to_native_dtype()
        if header.shape != spec.shape or header.dtype.newbyteorder("<") != dtype.newbyteorder("<"):
            raise FormatError(
                f"the frame holds {header.dtype} of shape {header.shape}, the array's chunk is {dtype} of {spec.shape}"
            )

    return Decoding(chunk_data.as_numpy_array().view(np.uint8).data, fits)


_submitted: WeakKeyDictionary[asyncio.AbstractEventLoop, list[tuple[Callable[[], Work], asyncio.Future[Any]]]]
_submitted = WeakKeyDictionary()
_flushes: set[asyncio.Task[None]] = set()  # the event loop itself holds tasks weakly


async def _submit(start: Callable[[], Work]) -> Any:
    """What `start().finish()` returns; its pass of the networks is shared with other chunks of this event loop."""
    loop = asyncio.get_running_loop()
    submitted = _submitted.setdefault(loop, [])
    future: asyncio.Future[Any] = loop.create_future()
    submitted.append((start, future))
    if len(submitted) == 1:
        flush = loop.create_task(_flush(loop))
        _flushes.add(flush)
        flush.add_done_callback(_flushes.discard)
    return await future


async def _flush(loop: asyncio.AbstractEventLoop) -> None:
    await asyncio.sleep(0)  # sibling coroutines that are ready submit now
    starts, futures = zip(*_submitted.pop(loop), strict=True)
    outcomes: list[Any] = []
    try:
        outcomes = await _in_threads(partial(_begin, start) for start in starts)
        works = [work for work in outcomes if isinstance(work, Work)]
        if works:
            await asyncio.to_thread(scheduler.run, [work.job for work in works if work.job is not None])
            finished = iter(await _in_threads(work.finish for work in works))
            outcomes = [next(finished) if isinstance(work, Work) else work for work in outcomes]
    except BaseException as error:  # this task was cancelled: no waiter may wait forever
        outcomes = [error] * len(futures)
        raise
    finally:
        for future, outcome in zip(futures, outcomes, strict=True):
            if future.done():  # its waiter was cancelled
                continue
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)


def _begin(start: Callable[[], Work]) -> Any:
    """The work, if networks have to run for it, else its result."""
    work = start()
    return work.finish() if work.job is None else work


async def _in_threads(calls: Iterable[Callable[[], Any]]) -> list[Any]:
    """Results of calls made in threads, in order; an exception in place of the result of a call that raised it."""
    return await asyncio.gather(*(asyncio.to_thread(call) for call in calls), return_exceptions=True)

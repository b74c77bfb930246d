"""Encoding and decoding of one chunk: the wiring that the numcodecs codec and the Zarr serializer share.

::

    array --plan--> routes and models --> payloads --> the smallest --> frame

`Encoding(array, options)` and `Decoding(frame)` do all the work before the networks. If `job` is not None, the
scheduler must run it, in one pass with the jobs of other chunks. `finish()` does the rest. This module does not import
torch, and a chunk that gains nothing from a model never loads one.
"""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError
from ..options import AUTO_PHOTO, Options
from ..runtime.cores import size_setting
from ..runtime.forks import loading
from . import frame, model_route, notice, stored, structured
from .dtypes import dtype_text
from .frame import BytesLike, Header, Route
from .model_route import DecodeJob, EncodeJob
from .plan import plan

if TYPE_CHECKING:
    from .jpeg_route import Decoding as JpegDecoding
    from .plane_route import Decoding as PlaneDecoding

TINY = 128
"""Bytes of planes that no search for a JPEG is worth, which takes long where most of an image is one colour."""


def allow(nbytes: int) -> None:
    """Refuse a chunk larger than NUMCODECS_BITSWAP_MAX_BYTES, by default 2^33 bytes.

    Raises
    ------
    FormatError
        The decoded size is larger.
    DeviceError
        The setting is not a number of bytes.
    """
    most = size_setting("NUMCODECS_BITSWAP_MAX_BYTES", 1 << 33)
    if nbytes > most:
        raise FormatError(f"a chunk of {nbytes} bytes; NUMCODECS_BITSWAP_MAX_BYTES allows {most} in this process")


@cache
def _plane_route() -> ModuleType:
    """Import the module on demand: it imports numba, which not every chunk needs."""
    with loading():
        from . import plane_route
    return plane_route


@cache
def _jpeg_route() -> ModuleType:
    """The same as `_plane_route`."""
    with loading():
        from .. import backends

        backends.check_jpeg()
        from . import jpeg_route
    return jpeg_route


class Encoding:
    """A chunk to be encoded; inverse of `Decoding`.

    Parameters
    ----------
    array : ndarray
        Of any dtype except objects, any shape, memory order and strides.
    options : Options
    codec : str
        Kind of the core, one of `frame.CODECS`.
    layout : "C" or "F", optional
        The memory order of the coded bytes and of the decoded array. Default: the array's own.

    Raises
    ------
    TypeError
        The array holds objects, or its dtype cannot be described.
    ValueError
        The array does not have the axes in the options.
    FormatError
        The chunk is larger than this process allows.
    MissingModel, ModelError
        The model is not installed, or does not have the array's number of channels.
    """

    def __init__(self, array: NDArray[Any], options: Options, codec: str, layout: str | None = None) -> None:
        layout = layout or _layout(array)
        allow(array.nbytes)
        dtype_text(array.dtype)  # refuses object arrays before their memory is read
        self.array, self.data = array, memory(array, layout)
        self.header = Header(Route.RAW, zlib.crc32(self.data.data), layout, array.dtype, array.shape, codec)
        constant = self.data.size == 0 or stored.is_constant(self.data, array.dtype.itemsize)
        self.plan = None if constant else plan(array, options, codec, self._stored_bytes)
        self.by_fields = Options(model=options.model) if structured.is_tried(array, options, codec) else None
        self.job: EncodeJob | None = None
        if self.plan is not None and self.plan.model is not None:
            axes = self.plan.axes
            model = model_route.load(self.plan.model, array.shape, axes, codec)
            if array.max() < model.net.levels:
                self.job = EncodeJob(model, codec, array, axes)

    def finish(self) -> bytes:
        """The smallest frame; in a tie the stored one."""
        notice.look(self.header)
        payloads: list[tuple[Route, BytesLike]] = []
        if self.plan is not None:
            payloads = [(route, payload) for route, payload in self._payloads() if payload is not None]
        if self.by_fields is not None:
            payloads = [(Route.FIELDS, structured.encode(self.header, self.data, self._frame_of_field))]
        least = min((len(payload) for _, payload in payloads), default=None)
        payloads.insert(0, stored.encode(self.data, self.header.dtype.itemsize, least))
        route, payload = min(payloads, key=lambda each: len(each[1]))
        return frame.build(replace(self.header, route=route), payload)

    def _frame_of_field(self, array: NDArray[Any]) -> bytes:
        assert self.by_fields is not None
        return Encoding(array, self.by_fields, "bit_swap", "C").finish()

    def _stored_bytes(self) -> int:
        return len(stored.encode(self.data, self.header.dtype.itemsize)[1])

    def _payloads(self) -> Iterator[tuple[Route, bytes | None]]:
        """Payloads of the plan's routes."""
        assert self.plan is not None
        payload = None
        if self.plan.planes:
            payload = _plane_route().encode(self.array, self.plan.axes, self.plan.planes, self.plan.longest)
            yield Route.PLANES, payload
        if self.plan.jpeg is not None and (payload is None or len(payload) > TINY):
            yield Route.JPEG, _jpeg_route().encode(self.array, self.plan.axes, self.plan.jpeg, [AUTO_PHOTO])
        if self.job is not None:
            yield Route.MODEL, self.job.payload()


class Decoding:
    """A frame to be decoded; inverse of `Encoding`.

    Parameters
    ----------
    data : memoryview of bytes
    check : callable, optional
        Called with the header before memory is allocated. Raises if the header is not what the caller expects.

    Raises
    ------
    FormatError
        Not a valid frame, or a chunk larger than this process allows.
    MissingModel
        The frame's model is not installed.
    """

    def __init__(self, data: memoryview, check: Callable[[Header], None] | None = None) -> None:
        self.header, payload = frame.parse(data)
        allow(self.header.nbytes)
        if check is not None:
            check(self.header)
        self.job: DecodeJob | None = None
        self.route: PlaneDecoding | JpegDecoding | DecodeJob | None = None
        self.fields = payload if self.header.route == Route.FIELDS else None
        if self.header.route == Route.MODEL:
            self.route = self.job = DecodeJob(self.header, frame.parse_model(self.header, payload))
        elif self.header.route == Route.PLANES:
            self.route = _plane_route().Decoding(self.header, payload)
        elif self.header.route == Route.JPEG:
            self.route = _jpeg_route().Decoding(self.header, payload)
        elif self.fields is None:
            itemsize = self.header.dtype.itemsize
            self.data = stored.decode(self.header.route, payload, self.header.nbytes, itemsize)

    def finish(self) -> NDArray[Any]:
        """The array, with the frame's dtype, shape and memory order; writeable.

        Raises
        ------
        FormatError
            The content checksum differs, or the message does not decode.
        """
        order: Any = self.header.layout
        array: NDArray[Any]
        if self.fields is not None:
            array = structured.decode(self.header, self.fields, _array_of_field)
        elif self.route is None:
            array = np.ndarray(self.header.shape, self.header.dtype, self.data, order=order)
        else:
            array = np.asarray(self.route.array(), order=order)
        if zlib.crc32(memory(array, self.header.layout).data) != self.header.checksum:
            raise FormatError("the decoded bytes do not match their checksum: the frame was altered")
        return array


def _array_of_field(data: memoryview, check: Callable[[Header], None]) -> NDArray[Any]:
    decoding = Decoding(data, check)
    if decoding.job is not None:
        raise FormatError("the frame of a field uses the model route, which fields cannot use")
    return decoding.finish()


def _layout(array: NDArray[Any]) -> str:
    return "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"


def memory(array: NDArray[Any], layout: str | None = None) -> NDArray[np.uint8]:
    """The bytes of an array in its memory order or that of `layout`, shape (nbytes,). Copies only to reorder."""
    if array.nbytes == 0:
        return np.empty(0, np.uint8)
    if array.dtype.names is not None:
        # A copy of a structured array would lose the padding between fields.
        array = array.view(f"V{array.dtype.itemsize}")
    return np.ascontiguousarray(array.T if (layout or _layout(array)) == "F" else array).reshape(-1).view(np.uint8)

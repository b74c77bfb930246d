"""One chunk on its way to a frame, and back: the wiring that the numcodecs codec and the Zarr serializer share.

`Encoding(array, options)` and `Decoding(frame)` do everything before the model; if `job` is not None the scheduler has
to run it, together with those of other chunks; `finish()` does the rest. No maths here, and no torch: a chunk that
gains nothing from a model never loads one.
"""

import math
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import catalog, frame, notice, patches, samples, scheduler, stored
from .cores import size_setting
from .dtypes import dtype_text
from .errors import FormatError, ModelError
from .forks import loading
from .frame import Header, Route
from .options import AUTO_FLOW, AUTO_JPEG, AUTO_PHOTO, AUTO_UNIVERSAL, Options
from .patches import Axes

if TYPE_CHECKING:
    from .jpeg_route import Decoding as JpegDecoding
    from .plane_route import Decoding as PlaneDecoding

GROUP_PIXELS = 1 << 19  # largest group of one chunk (FORMAT.md 8)
PASS_PIXELS = {"cpu": 1 << 19, "torch": 1 << 19, "cuda": 1 << 22}  # on a CPU no more than one large chunk takes


SMALLEST = 256
"""Samples of the smallest array that a plane model is tried on: below, its payload's fixed part leaves no gain."""


SMALLEST_SERIES = 4096
"""The same of series: those are mostly coordinates."""


def lanes(count: int, levels: int = 256) -> int:
    """Number of lanes of a chunk's message (FORMAT.md 8): one for some kilobytes, since each costs bytes."""
    if levels == 2:
        count //= 32
    return min(1 << max(count // 4096, 1).bit_length() - 1, 512)


def worth_a_model(array: NDArray[Any], axes: Axes, stored_bytes: int) -> bool:
    """Whether to try a model on an image at all, by a rule in integers: the same on every machine.

    No: a payload of at most 96 bytes is about a model payload's fixed part. Below 512 samples, or on a strip narrower
    than 8, that part and the few pixels that tell anything about their neighbours leave no gain. Noise is stored:
    uniform noise has a mean step of a third of its range between neighbours, photographs of a hundredth to a tenth, so
    from 56/256 on there is nothing to predict.
    """
    if array.size < 512 or min(array.shape[axes.y], array.shape[axes.x]) < 8 or stored_bytes <= 96:
        return False
    total, count = patches.horizontal_step(array, axes)
    return total < 56 * count


def allow(header: Header) -> None:
    """Refuse what is larger than this process allows: NUMCODECS_BITSWAP_MAX_BYTES, default 2^33.

    Raises
    ------
    FormatError
        The decoded size is larger.
    DeviceError
        The setting is not a number of bytes.
    """
    most = size_setting("NUMCODECS_BITSWAP_MAX_BYTES", 1 << 33)
    if header.nbytes > most:
        raise FormatError(
            f"a chunk of {header.nbytes} bytes; NUMCODECS_BITSWAP_MAX_BYTES allows {most} in this process"
        )


class Encoding:
    """A chunk to be encoded, inverse of `Decoding`.

    Parameters
    ----------
    array : ndarray
        Any dtype without objects, any shape, order and strides.
    options : Options
    codec : str
        How the core is coded, one of `frame.CODECS`.
    layout : "C" or "F", optional
        The memory order to encode in and to come back in. Without it, the array's own.

    Raises
    ------
    TypeError
        Objects, or a dtype that cannot be described.
    ValueError
        Axes that the array does not have.
    MissingModel, ModelError
        The model is not there, or does not have the array's channels.
    """

    def __init__(self, array: NDArray[Any], options: Options, codec: str, layout: str | None = None) -> None:
        layout = layout or _layout(array)
        self.header = Header(Route.RAW, 0, layout, array.dtype, array.shape, codec)
        allow(self.header)
        dtype_text(array.dtype)  # before anything looks at the memory of an object array
        data = memory(array, layout)
        route, self.payload = stored.encode(data, array.dtype.itemsize)
        self.header = replace(self.header, route=route, checksum=zlib.crc32(data.data))
        self.job: EncodeJob | None = None
        self.planes: tuple[NDArray[Any], Axes, list[str]] | None = None
        self.jpeg: tuple[NDArray[Any], Axes, str, list[str]] | None = None
        smallest = SMALLEST_SERIES if samples.is_series(array.shape) else SMALLEST
        if not samples.is_numeric(array.dtype) or array.size < smallest or route == Route.CONSTANT:
            return
        axes = _axes(array, options)
        if axes is None:
            return
        if name := _jpeg_model(array, axes, options.model, codec):
            self.jpeg = array, axes, name, [AUTO_PHOTO]
        if models := _plane_models(array, axes, options.model, codec):
            self.planes = array, axes, models
        elif self.jpeg is None and (
            array.dtype.str == "|u1"
            and not samples.is_series(array.shape)
            and worth_a_model(array, axes, len(self.payload))
        ):
            model = _model_for(array.shape, axes, options.model, codec)
            if array.max() < model.net.levels:
                self.job = EncodeJob(model, codec, array, axes)

    def finish(self) -> bytes:
        """The smallest frame; at equal size the stored one."""
        notice.look(self.header)
        best = frame.build(self.header, self.payload)
        if self.planes is not None:
            with loading():  # here, since it reads numba, which not every chunk needs
                from . import plane_route

            planes = plane_route.encode(*self.planes)
            if planes is not None:
                best = min(best, frame.build(replace(self.header, route=Route.PLANES), planes), key=len)
        if self.jpeg is not None:
            with loading():
                from . import jpeg_route

            held = jpeg_route.encode(*self.jpeg)
            if held is not None:
                best = min(best, frame.build(replace(self.header, route=Route.JPEG), held), key=len)
        if self.job is None:
            return best
        coded = self.job.outcome()
        axes = (self.job.axes.y, self.job.axes.x, self.job.axes.channel)
        model, message = self.job.model, (coded.lanes, coded.schedule, coded.heads, coded.tail)
        payload = frame.ModelPayload(model.id, axes, model.net.patch_log2, *message)
        header = replace(self.header, route=Route.MODEL)
        return min(best, frame.build(header, frame.build_model(payload)), key=len)


class Decoding:
    """A frame to be decoded, inverse of `Encoding`.

    Parameters
    ----------
    data : memoryview of bytes
    check : callable, optional
        Called with the header before memory is taken; raises if it is not what the caller expects.

    Raises
    ------
    FormatError
        Not a valid frame, or a chunk larger than this process allows.
    MissingModel
        The frame's model is not there.
    """

    def __init__(self, data: memoryview, check: Callable[[Header], None] | None = None) -> None:
        self.header, payload = frame.parse(data)
        allow(self.header)
        if check is not None:
            check(self.header)
        self.job: DecodeJob | None = None
        self.planes: PlaneDecoding | JpegDecoding | None = None
        if self.header.route == Route.MODEL:
            self.job = DecodeJob(self.header, frame.parse_model(self.header, payload))
        elif self.header.route == Route.PLANES:
            with loading():
                from . import plane_route

            self.planes = plane_route.Decoding(self.header, payload)
        elif self.header.route == Route.JPEG:
            with loading():
                from . import jpeg_route

            self.planes = jpeg_route.Decoding(self.header, payload)
        else:
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
        if self.planes is not None:
            array = np.asarray(self.planes.array(), order=order)
        elif self.job is None:
            array = np.ndarray(self.header.shape, self.header.dtype, self.data, order=order)
        else:
            classes = self.job.outcome()
            array = np.empty(self.header.shape, np.uint8, order=order)
            patches.join(classes, array, self.job.axes, self.job.size)
        if zlib.crc32(memory(array, self.header.layout).data) != self.header.checksum:
            raise FormatError("the decoded bytes do not match their checksum: the frame was altered")
        return array


class EncodeJob(scheduler.Job):
    """Patches -> messages. The outcome is a `bitsback.groups.Coded`."""

    def __init__(self, model: catalog.Loaded, codec: str, array: NDArray[np.uint8], axes: Axes) -> None:
        self.model, self.codec, self.axes = model, codec, axes
        self.classes = patches.split(array, axes, 1 << model.net.patch_log2)
        self.lanes = lanes(array.size, model.net.levels)
        geometry = tuple(each.shape for each in self.classes)
        super().__init__((model, codec, geometry, self.lanes), _share(model, [shape[:3] for shape in geometry]))

    @classmethod
    def run(cls, jobs: list["EncodeJob"]) -> list[Any]:
        with loading():
            from .bitsback import groups

        classes = [np.stack(each) for each in zip(*(job.classes for job in jobs), strict=True)]
        return groups.encode(jobs[0].model.net, classes, jobs[0].lanes, jobs[0].codec)


class DecodeJob(scheduler.Job):
    """Messages -> patches. The outcome is a list of arrays, one per shape class."""

    def __init__(self, header: Header, payload: frame.ModelPayload) -> None:
        shape, self.codec = header.shape, header.codec
        self.model = catalog.load(payload.model_id, scheduler.device())
        self.axes = Axes(*payload.axes)
        channels = 1 if self.axes.channel is None else shape[self.axes.channel]
        if self.model.net.channels != channels or self.codec not in self.model.net.cores:
            raise FormatError(f"{channels} channels, core {self.codec}, in a frame of model {self.model.name}")
        self.payload = payload
        self.size = 1 << payload.patch_log2
        self.geometry = patches.geometry(shape, self.axes, self.size)
        key = (self.model, self.codec, tuple(self.geometry), payload.lanes, payload.schedule)
        super().__init__(key, _share(self.model, self.geometry))

    @classmethod
    def run(cls, jobs: list["DecodeJob"]) -> list[Any]:
        with loading():
            from .bitsback import groups

        payloads = [job.payload for job in jobs]
        coded = [groups.Coded(each.lanes, each.schedule, each.heads, each.tail) for each in payloads]
        classes = groups.decode(jobs[0].model.net, coded, jobs[0].geometry, jobs[0].codec)
        return list(zip(*classes, strict=True))


def _axes(array: NDArray[Any], options: Options) -> Axes | None:
    """The axes of an array's planes, as the planes route counts them: complex numbers have one more in front."""
    if samples.is_series(array.shape):
        more = len(samples.shape_of(array.dtype, array.shape)) - 2
        return Axes(more, more + 1, None)
    axes = patches.image_axes(array.shape, options.channel_axis, options.spatial_axes)
    if axes is None or array.dtype.kind != "c":
        return axes
    return Axes(axes.y + 1, axes.x + 1, None if axes.channel is None else axes.channel + 1)


def _plane_models(array: NDArray[Any], axes: Axes, name: str, codec: str) -> list[str]:
    """The models of the plane coder to choose from; none if the codec means another kind."""
    if name != "auto":
        return [name] if catalog.kind_of(name) == "planes" else []
    if codec == "local_bits_back":
        return []
    return [AUTO_PHOTO, AUTO_UNIVERSAL] if array.dtype.itemsize == 1 else [AUTO_UNIVERSAL]


def _jpeg_model(array: NDArray[Any], axes: Axes, name: str, codec: str) -> str | None:
    """The model of what JPEG files held, if the array may have been decoded from some."""
    if array.dtype.str != "|u1" or samples.is_series(array.shape) or codec == "local_bits_back":
        return None
    if axes.channel is not None and array.shape[axes.channel] not in (1, 3):
        return None
    if name == "auto":
        return AUTO_JPEG
    return name if catalog.kind_of(name) == "jpeg" else None


def _model_for(shape: tuple[int, ...], axes: Axes, name: str, codec: str) -> catalog.Loaded:
    """The model to try."""
    channels = 1 if axes.channel is None else shape[axes.channel]
    model = catalog.load(AUTO_FLOW[channels] if name == "auto" else name, scheduler.device())
    if codec not in model.net.cores:
        whose = "LocalBitsBack" if "local_bits_back" in model.net.cores else "BitSwap and BBANS"
        raise ModelError(f"model {name!r} is one for {whose}: use that codec, or model='auto'")
    if model.net.channels != channels:
        raise ModelError(
            f"model {name!r} has {model.net.channels} channel(s), a chunk of shape {shape} has {channels}: "
            "set channel_axis, or model='auto'"
        )
    return model


def _share(model: catalog.Loaded, geometry: patches.Geometry) -> float:
    """Part of a pass's memory: that of the chunk's largest group."""
    pixels = min(math.fsum(n * h * w for n, h, w in geometry), GROUP_PIXELS)
    largest = max(h * w for _, h, w in geometry)  # is never cut
    return max(pixels, largest) / PASS_PIXELS[model.device]


def _layout(array: NDArray[Any]) -> str:
    return "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"


def memory(array: NDArray[Any], layout: str | None = None) -> NDArray[np.uint8]:
    """The bytes of an array in memory order or that of `layout`, shape (nbytes,); copied only if not in that order."""
    if array.nbytes == 0:
        return np.empty(0, np.uint8)
    if array.dtype.names is not None:
        array = array.view(
            f"V{array.dtype.itemsize}"
        )  # a copy of a structured array leaves out the bytes between fields
    return np.ascontiguousarray(array.T if (layout or _layout(array)) == "F" else array).reshape(-1).view(np.uint8)

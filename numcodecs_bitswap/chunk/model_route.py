"""The model route: images coded by a model with stages, latents or flows <-> the payload of FORMAT.md 1.2. No torch.

Chunks of the same geometry share passes of the networks: the scheduler runs their jobs in one batch.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError, ModelError
from ..models import catalog
from ..runtime import scheduler
from ..runtime.forks import loading
from . import frame, patches
from .frame import Header
from .patches import Axes

GROUP_PIXELS = 1 << 19  # largest group of one chunk (FORMAT.md 8)
PASS_PIXELS = {"cpu": 1 << 19, "torch": 1 << 19, "cuda": 1 << 22}  # on a CPU, that of one large chunk


def lanes(count: int, levels: int = 256) -> int:
    """Number of lanes of the message of `count` samples (FORMAT.md 8.2): few, as each costs bytes."""
    if levels == 2:
        count //= 32
    return min(1 << max(count // 4096, 1).bit_length() - 1, 512)


def load(name: str, shape: tuple[int, ...], axes: Axes, codec: str) -> catalog.Loaded:
    """The model of a name or id, for arrays of a shape.

    Raises
    ------
    MissingModel
        It is not installed.
    ModelError
        It is for another codec, or has another number of channels.
    """
    channels = 1 if axes.channel is None else shape[axes.channel]
    model = catalog.load(name, scheduler.device())
    if codec not in model.net.cores:
        whose = "LocalBitsBack" if "local_bits_back" in model.net.cores else "BitSwap and BBANS"
        raise ModelError(f"model {name!r} is for {whose}: use that codec, or model='auto'")
    if model.net.channels != channels:
        raise ModelError(
            f"model {name!r} has {model.net.channels} channel(s), a chunk of shape {shape} has {channels}: "
            "set channel_axis, or model='auto'"
        )
    return model


class EncodeJob(scheduler.Job):
    """Patches -> message. The outcome is a `bitsback.groups.Coded`; `payload` is the inverse of a `DecodeJob`."""

    def __init__(self, model: catalog.Loaded, codec: str, array: NDArray[np.uint8], axes: Axes) -> None:
        self.model, self.codec, self.axes = model, codec, axes
        self.classes = patches.split(array, axes, 1 << model.net.patch_log2)
        self.lanes = lanes(array.size, model.net.levels)
        geometry = tuple(each.shape for each in self.classes)
        super().__init__((model, codec, geometry, self.lanes), _share(model, [shape[:3] for shape in geometry]))

    def payload(self) -> bytes:
        """The payload of the outcome's message."""
        coded, axes = self.outcome(), (self.axes.y, self.axes.x, self.axes.channel)
        message = coded.lanes, coded.schedule, coded.heads, coded.tail
        return frame.build_model(frame.ModelPayload(self.model.id, axes, self.model.net.patch_log2, *message))

    @classmethod
    def run(cls, jobs: list["EncodeJob"]) -> list[Any]:
        with loading():
            from ..bitsback import groups

        classes = [np.stack(each) for each in zip(*(job.classes for job in jobs), strict=True)]
        return groups.encode(jobs[0].model.net, classes, jobs[0].lanes, jobs[0].codec)


class DecodeJob(scheduler.Job):
    """Message -> patches. The outcome is a list of arrays, one per shape class; `array` joins them.

    Raises
    ------
    FormatError
        The model is not one for the frame's codec or channels.
    MissingModel
        The frame's model is not installed.
    """

    def __init__(self, header: Header, payload: frame.ModelPayload) -> None:
        self.shape, self.codec = header.shape, header.codec
        shape = header.shape
        self.model = catalog.load(payload.model_id, scheduler.device())
        self.axes = Axes(*payload.axes)
        channels = 1 if self.axes.channel is None else shape[self.axes.channel]
        if self.model.net.channels != channels or self.codec not in self.model.net.cores:
            raise FormatError(
                f"model {self.model.name} does not code {channels} channels with {self.codec}: the frame was altered"
            )
        self.payload = payload
        self.size = 1 << payload.patch_log2
        self.geometry = patches.geometry(shape, self.axes, self.size)
        key = (self.model, self.codec, tuple(self.geometry), payload.lanes, payload.schedule)
        super().__init__(key, _share(self.model, self.geometry))

    def array(self) -> NDArray[np.uint8]:
        """The decoded array, uint8 in C order."""
        classes = self.outcome()
        array = np.empty(self.shape, np.uint8)
        patches.join(classes, array, self.axes, self.size)
        return array

    @classmethod
    def run(cls, jobs: list["DecodeJob"]) -> list[Any]:
        with loading():
            from ..bitsback import groups

        payloads = [job.payload for job in jobs]
        coded = [groups.Coded(each.lanes, each.schedule, each.heads, each.tail) for each in payloads]
        classes = groups.decode(jobs[0].model.net, coded, jobs[0].geometry, jobs[0].codec)
        return list(zip(*classes, strict=True))


def _share(model: catalog.Loaded, geometry: patches.Geometry) -> float:
    """The share of a pass's memory that the chunk's largest group takes."""
    pixels = min(math.fsum(n * h * w for n, h, w in geometry), GROUP_PIXELS)
    largest = max(h * w for _, h, w in geometry)  # a single patch is never cut
    return max(pixels, largest) / PASS_PIXELS[model.device]

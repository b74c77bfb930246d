"""Whole chunks (FORMAT.md sections 1.2, 5 and 8.3): patches in groups, each group by stages and then the core, on one
message.

The encoder chooses the schedule: the number of patches of each group, and whether the message can fund its core
(bits-back) or not (direct). B chunks of one geometry share the passes of the networks; each gets the same bytes as
alone.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..arrays import Array
from ..errors import FormatError, MessageExhausted
from ..rans.message import Message, Stack
from ..rans.words import Words
from . import bb_ans, bit_swap, direct, local_bits_back, stages
from .coder import Size, phase_sizes
from .core import Backend, Networks, unknown
from .stages import Stage

BITS_BACK, DIRECT = 0, 1
"""Core modes."""
CORES: dict[str, Any] = {"bit_swap": bit_swap, "bb_ans": bb_ans, "local_bits_back": local_bits_back}
"""How core mode 0 is coded, by codec."""
GROUP_PIXELS = 1 << 19
Geometry = tuple[int, int, int]
"""A shape class: number of patches, height, width."""
Pixels = NDArray[np.uint8]
Schedule = tuple[tuple[int, int], ...]
"""(patches, core mode) of each group in encoding order."""


class GroupsBackend(Backend, Protocol):
    """The device of networks and messages. See backends.base."""

    @property
    def stack(self) -> Callable[[list[Words]], Stack]: ...
    def running(self) -> AbstractContextManager[Any]: ...


class Model(Networks, Protocol):
    """A model: stages 1 .. S, the direct stage, and the core's networks. See nets.bit_swap."""

    @property
    def backend(self) -> GroupsBackend: ...
    @property
    def stages(self) -> Sequence[Stage]: ...
    @property
    def direct(self) -> Stage: ...

    cores: Sequence[str]
    levels: int
    patch_log2: int


@dataclass(frozen=True)
class Coded:
    """One chunk's message and its schedule.

    Attributes
    ----------
    lanes : int
    schedule : tuple of (patches, core mode)
    heads : uint32 ndarray, shape (lanes,)
    tail : uint8 ndarray, shape (words,)
    """

    lanes: int
    schedule: Schedule
    heads: NDArray[np.uint32]
    tail: NDArray[np.uint8]


def push_group(message: Message, model: Model, x: Array, mode: int, core: str) -> None:
    """Push patches (N, h, w, c): stages fine to coarse, then the core."""
    for stage in model.stages:
        x = stages.push(message, stage, x)
    if mode == BITS_BACK:
        CORES[core].push(message, model, x)
    else:
        direct.push(message, model.direct, x)


def pop_group(message: Message, model: Model, n: int, size: Size, mode: int, core: str) -> Array:
    """Pop patches (n, h, w, c): the core, then stages coarse to fine."""
    sizes = [size]
    for _ in model.stages:
        sizes.append(phase_sizes(sizes[-1])[0])
    if mode == BITS_BACK and not model.fits(*size):
        raise FormatError(f"the model's core does not code patches of {size}: the frame was altered")
    if mode == BITS_BACK:
        x: Array = CORES[core].pop(message, model, n, sizes[-1])
    else:
        x = direct.pop(message, model.direct, unknown(model, n, (1, 1)), sizes[-1])
    for stage, size in reversed(list(zip(model.stages, sizes, strict=False))):
        x = stages.pop(message, stage, x, size)
    return x


def encode(model: Model, classes: Sequence[Pixels], lanes: int, core: str = "bit_swap") -> list[Coded]:
    """Encode B chunks of one geometry.

    Parameters
    ----------
    model : Model
    classes : sequence of Pixels, shape (B, n, h, w, c)
        The patches of the B chunks, by shape class.
    lanes : int
    core : str
        One of CORES.

    Returns
    -------
    list of Coded
        One for each chunk; a pure function of (model, chunk, lanes, core), independent of B.
    """
    batch = len(classes[0])
    message = Message.empty(batch, lanes, model.backend.stack)
    try:
        if batch > 1 and not model.stages:
            raise _Unequal  # the sizes of a chunk's groups depend on its own bits
        with model.backend.running():
            schedule = push_classes(message, model, classes, core)
    except _Unequal:
        return [encode(model, [p[b : b + 1] for p in classes], lanes, core)[0] for b in range(batch)]
    return [Coded(lanes, schedule, heads, tail) for heads, tail in message.flatten()]


class _Unequal(Exception):
    """Chunks of a batch need different schedules."""


def push_classes(message: Message, model: Model, classes: Sequence[Pixels], core: str) -> Schedule:
    """Push all patches of the chunks, and return the schedule that the bits of the message allowed."""
    schedule: list[tuple[int, int]] = []
    previous = 0
    for patches in classes:
        of = model.backend.arrays
        x = of.cast(of.put(patches), "int16")
        done, total = 0, x.shape[1]
        most = max(1, GROUP_PIXELS // (x.shape[2] * x.shape[3]))
        while done < total:
            size = min(most, total - done)
            if not model.stages:
                size = min(size, 2 * previous) if previous else 1
            size, mode = _push_funded(message, model, x[:, done:], size, core)
            schedule.append((size, mode))
            done, previous = done + size, size
    return tuple(schedule)


def _push_funded(message: Message, model: Model, x: Array, size: int, core: str) -> tuple[int, int]:
    """Push up to `size` patches of x (B, n, h, w, c) by bits-back, or direct if the message cannot fund them or the
    core does not fit; returns size and mode.

    With stages, a group funds itself or not at all. Without, it is funded by earlier groups, and half as many patches
    need half as many bits.
    """
    while model.fits(*x.shape[2:4]):
        trial = message.copy()
        try:
            push_group(trial, model, _merged(x[:, :size]), BITS_BACK, core)
            trial.check()
        except MessageExhausted:
            if message.batch > 1:
                raise _Unequal from None
            if model.stages or size == 1:
                break
            size //= 2
        else:
            message.replace(trial)
            return size, BITS_BACK
    push_group(message, model, _merged(x[:, :size]), DIRECT, core)
    return size, DIRECT


def _merged(patches: Array) -> Array:
    """Patches (N, h, w, c) of patches (B, n, h, w, c)."""
    return patches.reshape(-1, *patches.shape[2:])


def decode(model: Model, coded: Sequence[Coded], classes: Sequence[Geometry], core: str = "bit_swap") -> list[Pixels]:
    """Decode B chunks of one geometry, lanes and schedule; the inverse of `encode`.

    Returns
    -------
    list of Pixels, shape (B, n, h, w, c)
        One for each shape class.

    Raises
    ------
    FormatError
        A schedule that does not fit the geometry, or a message that is not empty at the end.
    MessageExhausted
        A message with too few words.
    """
    groups = group_geometry(coded[0].schedule, classes)
    message = Message.unflatten([(c.heads, c.tail) for c in coded], model.backend.stack)
    of, parts = model.backend.arrays, [list[Pixels]() for _ in classes]
    with model.backend.running():
        for number, mode, (n, h, w) in reversed(groups):
            x = pop_group(message, model, len(coded) * n, (h, w), mode, core)
            parts[number].append(of.numpy(of.cast(x.reshape(len(coded), n, *x.shape[1:]), "uint8")))
    if not message.is_empty():
        raise FormatError(
            "the message is not empty after the last symbol: the frame was altered or made with other weights"
        )
    return [np.concatenate(part[::-1], axis=1) for part in parts]


def group_geometry(schedule: Schedule, classes: Sequence[Geometry]) -> list[tuple[int, int, Geometry]]:
    """(class number, core mode, geometry) of each group.

    Raises
    ------
    FormatError
        The groups do not cover each class exactly, or one would take too much memory.
    """
    groups, number, done = [], 0, 0
    for size, mode in schedule:
        if number == len(classes) or not 1 <= size <= classes[number][0] - done or mode not in (BITS_BACK, DIRECT):
            raise FormatError(f"group ({size} patches, core mode {mode}) does not fit patches {list(classes)}")
        if size > 1 and size * math.prod(classes[number][1:]) > GROUP_PIXELS:
            raise FormatError(f"a group of {size} patches of {classes[number][1:]} pixels is too large")
        groups.append((number, mode, (size, *classes[number][1:])))
        done += size
        if done == classes[number][0]:
            number, done = number + 1, 0
    if number != len(classes):
        raise FormatError("the schedule has fewer patches than the array")
    return groups

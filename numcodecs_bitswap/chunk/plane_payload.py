"""The payload of the planes route <-> its fields (FORMAT.md 1.5). Every length is compared with the bytes that are left
before memory is allocated for it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError
from ..planes.tables import LARGEST, REFERENCES
from ..samples import Samples
from .fields import Reader, sized, varints
from .frame import NO_CHANNEL, Header

PLANES, LABELS = 0, 1
"""The coder byte."""
SAMPLES_LOG2 = 19
"""A byte of a message codes fewer than 2^SAMPLES_LOG2 samples, as no interval is larger than 65535."""


@dataclass(frozen=True)
class LabelsPayload:
    """The payload of an array whose numbers are coded as labels.

    Attributes
    ----------
    samples : Samples
    reference : int or None
        The axis along which the reference of a plane is the one before it; None: no references.
    m : int
        The largest number.
    data : bytes
    """

    samples: Samples
    reference: int | None
    m: int
    data: bytes


@dataclass(frozen=True)
class PlanesPayload:
    """The payload of an array whose numbers are coded by the plane coder.

    Attributes
    ----------
    samples : Samples
    model_id : bytes
        First 16 bytes of the SHA-256 of the model file.
    references : tuple of (axis, distance)
        Axes of the numbers.
    permuted : int or None
        The axis whose planes are coded in the order of `permutation`.
    permutation : tuple of int
    m : int
        The largest number.
    messages : tuple of (heads uint32 (L,), tail uint8 (T,))
        One for each tile.
    """

    samples: Samples
    model_id: bytes
    references: tuple[tuple[int, int], ...]
    permuted: int | None
    permutation: tuple[int, ...]
    m: int
    messages: tuple[tuple[NDArray[np.uint32], NDArray[np.uint8]], ...]


def build(payload: PlanesPayload | LabelsPayload) -> bytes:
    """Payload bytes; inverse of `parse`."""
    fields = payload.samples.write()
    if isinstance(payload, LabelsPayload):
        reference = NO_CHANNEL if payload.reference is None else payload.reference
        return fields + bytes([LABELS, reference]) + varints([payload.m]) + sized(payload.data)
    permuted = NO_CHANNEL if payload.permuted is None else payload.permuted
    parts = [fields, bytes([PLANES]), payload.model_id, bytes([len(payload.references)])]
    parts += [bytes([axis]) + varints([distance]) for axis, distance in payload.references]
    parts += [bytes([permuted, *payload.permutation]), varints([payload.m])]
    for heads, tail in payload.messages:
        parts += [varints([len(tail)]), heads.astype("<u4").tobytes(), tail.tobytes()]
    return b"".join(parts)


def parse(
    header: Header, data: memoryview, lanes_of_tiles: Callable[[int, int, int], list[int]]
) -> PlanesPayload | LabelsPayload:
    """The fields of a payload, checked against the header; inverse of `build`.

    Parameters
    ----------
    header : Header
    data : memoryview
    lanes_of_tiles : callable
        Takes the number of planes, their height and width; returns the number of lanes of each tile's message.

    Raises
    ------
    FormatError
        A field out of range, or a payload that is too short or too long.
    """
    reader = Reader(data)
    samples = Samples.read(reader, header.dtype, header.shape)
    coder = reader.byte("coder")
    if coder not in (PLANES, LABELS):
        raise FormatError(f"coder {coder} is unknown: the frame was written by a newer version, upgrade to read it")
    payload = _labels(reader, samples) if coder == LABELS else _planes(reader, samples, lanes_of_tiles)
    if reader.left:
        raise FormatError(f"{reader.left} bytes follow the payload")
    return payload


def _labels(reader: Reader, samples: Samples) -> LabelsPayload:
    reference = reader.byte("reference axis")
    if reference != NO_CHANNEL and (reference >= len(samples.order) or reference in samples.axes):
        raise FormatError(f"axis {reference} cannot hold reference planes")
    m = reader.varint("largest label")
    if m >= 1 << 32:
        raise FormatError(f"label {m} is out of range")
    data = bytes(reader.sized("labels"))
    return LabelsPayload(samples, None if reference == NO_CHANNEL else reference, m, data)


def _planes(reader: Reader, samples: Samples, lanes_of_tiles: Callable[[int, int, int], list[int]]) -> PlanesPayload:
    shape = samples.order
    leading = [axis for axis in range(len(shape)) if axis not in samples.axes]
    model_id = bytes(reader.take(16, "model id"))
    count = reader.byte("references")
    if count > REFERENCES:
        raise FormatError(f"{count} reference planes are out of range")
    references = tuple((reader.byte("reference axis"), reader.varint("distance")) for _ in range(count))
    if any(axis not in leading or not 1 <= distance < 1 << 32 for axis, distance in references):
        raise FormatError(f"reference planes {references} do not fit the axes")
    permuted = reader.byte("permuted axis")
    permutation: tuple[int, ...] = ()
    if permuted != NO_CHANNEL:
        if permuted not in leading or shape[permuted] > 256:
            raise FormatError(f"axis {permuted} cannot be permuted")
        permutation = tuple(reader.take(shape[permuted], "permutation"))
        if sorted(permutation) != list(range(shape[permuted])):
            raise FormatError(f"{permutation} is not a permutation")
    m = reader.varint("largest number")
    if not 1 <= m <= LARGEST:
        raise FormatError(f"number {m} is out of range")
    messages = []
    height, width = (shape[axis] for axis in samples.axes)
    if math.prod(shape) > reader.left << SAMPLES_LOG2:
        raise FormatError(f"{reader.left} bytes are too few for {samples.planes} planes of {height} x {width}")
    for lanes in lanes_of_tiles(samples.planes, height, width):
        length = reader.varint("length of a tail")
        heads = np.frombuffer(reader.take(4 * lanes, "heads"), "<u4").astype(np.uint32)
        if int(heads.min()) < 1 << 24:
            raise FormatError("a head is out of range")
        messages.append((heads, np.frombuffer(reader.take(length, "tail"), np.uint8)))
    taken = None if permuted == NO_CHANNEL else permuted
    return PlanesPayload(samples, model_id, references, taken, permutation, m, tuple(messages))

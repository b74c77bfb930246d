"""The planes route: an array of 8 or 16 bits <-> the payload of FORMAT.md 1.5. No torch.

What the frame records (model, references, order of the channels) the encoder chooses by coding a sample of the chunk.
"""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any, NamedTuple, cast

import numpy as np
from numcodecs.zstd import Zstd
from numpy.typing import NDArray

from . import catalog, colour, samples, stored
from .errors import FormatError
from .frame import Header, PlanesPayload, build_planes, parse_planes
from .patches import Axes
from .planes import coder
from .planes.coder import Order
from .planes.model import PlaneModel
from .planes.tables import REFERENCES

SAMPLES = 1 << 17
"""Chunks of fewer numbers are coded as most are, since a trial would take as long as coding."""
WINDOW, TRIED_PLANES = 48, 3
"""Side and number of planes of what is tried."""
GREEN_FIRST = (1, 0, 2)
_ZSTD = Zstd(level=5)


class Prepared(NamedTuple):
    """An array as it is coded: numbers 0 .. m, what makes samples of them, and the channel axis of luma and chroma."""

    numbers: NDArray[np.uint16]
    scale: samples.Scale
    m: int
    ycbcr: int | None


def prepare(array: NDArray[Any], axes: Axes) -> Prepared | None:
    """Numbers of an array as `encode` takes it: luma and chroma of RGB that was a JPEG; None if all are the same."""
    if array.min() == array.max():
        return None
    if axes.channel is not None and array.shape[axes.channel] == 3 and array.dtype.str == "|u1":
        planes = colour.to_ycbcr(np.asarray(array), axes.channel)
        if planes is not None:
            return Prepared(planes.astype(np.uint16), samples.Scale(0, 1), 255, axes.channel)
    return Prepared(*samples.reduce(array), None)


def encode(array: NDArray[Any], axes: Axes, models: Sequence[str]) -> bytes | None:
    """Payload of an array under the best of some models; None if all samples are the same.

    Parameters
    ----------
    array : ndarray of uint8, int8, uint16 or int16
        Two or more axes, not empty.
    axes : Axes
    models : names or ids
        The first is taken where nothing is tried.
    """
    prepared = prepare(array, axes)
    if prepared is None:
        return None
    numbers, scale, m, ycbcr = prepared
    model, order = choose(prepared, axes, [catalog.load(name, "cpu") for name in models])
    coded = coder.encode(_net(model), order.planes(numbers), order.refer(numbers.shape), m)
    used = None
    if scale.levels is not None:
        m = int(scale.levels[-1])
        flags = np.zeros(m + 1, np.uint8)
        flags[scale.levels] = 1
        used = bytes(_ZSTD.encode(np.packbits(flags)))
    return build_planes(
        PlanesPayload(
            model.id,
            (order.y, order.x),
            ycbcr,
            order.references,
            order.permuted,
            order.permutation,
            scale.offset,
            scale.step,
            m,
            used,
            tuple(coded),
        )
    )


class Decoding:
    """A payload, checked as far as it can be without decoding; `array()` decodes. Inverse of `encode`.

    Raises
    ------
    FormatError
        The payload is damaged.
    MissingModel
        Its model is not there.
    """

    def __init__(self, header: Header, data: memoryview) -> None:
        self.header = header
        self.payload = parse_planes(header, data, _lanes)
        if not catalog.is_planes(self.payload.model_id):
            raise FormatError("the frame names a model of another kind: it was altered")
        self.model = catalog.load(self.payload.model_id, "cpu")

    def array(self) -> NDArray[Any]:
        """The array in C order."""
        payload, shape = self.payload, self.header.shape
        levels, m = None, payload.m
        if payload.used is not None:
            levels = _levels(payload.used, m)
            m = len(levels) - 1
        order = Order(*payload.axes, payload.references, payload.permuted, payload.permutation)
        count = math.prod(shape[axis] for axis in order.leading(len(shape)))
        size = count, shape[order.y], shape[order.x]
        messages = [coder.Message(*each) for each in payload.messages]
        planes = coder.decode(_net(self.model), messages, size, order.refer(shape), m)
        numbers = order.array(planes, shape)
        if payload.ycbcr is not None:
            return colour.to_rgb(np.ascontiguousarray(numbers, np.uint8), payload.ycbcr)
        return samples.restore(numbers, samples.Scale(payload.offset, payload.step, levels), self.header.dtype)


def _net(model: catalog.Loaded) -> PlaneModel:
    return cast(PlaneModel, model.net)


def _lanes(planes: int, height: int, width: int) -> list[int]:
    cut = coder.tiles(height, width)
    return [coder.lanes(planes * (rows.stop - rows.start) * (columns.stop - columns.start)) for rows, columns in cut]


def _levels(used: bytes, m: int) -> NDArray[np.uint16]:
    """The levels whose bits are set."""
    flags = np.unpackbits(stored.unpack(memoryview(used), m // 8 + 1))
    levels = np.flatnonzero(flags).astype(np.int64)
    if len(levels) < 2 or levels[0] != 0 or levels[-1] != m:
        raise FormatError("the table of levels is damaged")
    return levels.astype(np.uint16)


def _orders(shape: tuple[int, ...], axes: Axes, luma: bool) -> list[Order]:
    """Orders worth a trial; the first is the best guess."""
    leading = [axis for axis in range(len(shape)) if axis not in (axes.y, axes.x) and shape[axis] > 1]
    permuted: int | None = None
    permutation: tuple[int, ...] = ()
    if axes.channel is not None and shape[axes.channel] == 3 and not luma:
        permuted, permutation = axes.channel, GREEN_FIRST
    near = sorted(leading, key=lambda axis: (axis != axes.channel, -axis))
    found = [[(axis, distance) for distance in range(1, min(shape[axis], REFERENCES + 1))] for axis in near]
    found += [[(a, 1), (b, 1)] for a, b in combinations(near, 2)]
    found += [[(axis, 1)] for axis in near if shape[axis] > 2 and axis != axes.channel]
    found += [[]]
    return [Order(axes.y, axes.x, tuple(each), permuted, permutation) for each in found]


def choose(prepared: Prepared, axes: Axes, models: Sequence[catalog.Loaded]) -> tuple[catalog.Loaded, Order]:
    """The model and the order that code a sample smallest: a few planes of the middle, a window of each."""
    numbers, m = prepared.numbers, prepared.m
    orders = _orders(numbers.shape, axes, prepared.ycbcr is not None)
    if numbers.size < SAMPLES or len(orders) * len(models) == 1:
        return models[0], orders[0]
    part = numbers
    several = sum(numbers.shape[axis] > 1 for axis in range(numbers.ndim) if axis not in (axes.y, axes.x))
    for axis, length in enumerate(numbers.shape):
        most = WINDOW if axis in (axes.y, axes.x) else TRIED_PLANES if several < 2 or axis == axes.channel else 2
        begin = max(0, (length - most) // 2) if axis != axes.channel else 0
        part = part.take(range(begin, min(begin + most, length)), axis)

    def cost(model: catalog.Loaded, order: Order) -> int:
        coded = coder.encode(_net(model), order.planes(part), order.refer(part.shape), m)
        return sum(4 * len(each.heads) + len(each.tail) for each in coded)

    costs = [cost(models[0], order) for order in orders]
    best = int(np.argmin(costs))
    by_model = [costs[best], *(cost(model, orders[best]) for model in models[1:])]
    return models[int(np.argmin(by_model))], orders[best]

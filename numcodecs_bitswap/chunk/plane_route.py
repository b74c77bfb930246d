"""The planes route: an array of any numeric dtype <-> the payload of FORMAT.md 1.5. No torch, but where a CUDA device
codes the planes: then those of several chunks share a pass.

The encoder chooses transforms, model, references and channel order by trial on parts of the chunk (FORMAT.md 8.10 to
8.14). The frame records the choice.
"""

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from itertools import combinations
from math import prod
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .. import labels, samples
from ..models import catalog
from ..planes import coder
from ..planes.coder import Order
from ..planes.message import Message, Planes
from ..planes.model import PlaneModel
from ..planes.tables import REFERENCES
from ..runtime import scheduler
from ..runtime.forks import loading
from ..samples import Prepared, words
from . import plane_payload
from .frame import Header
from .patches import Axes
from .plane_payload import LabelsPayload, PlanesPayload

SAMPLES = 1 << 17
"""There are no trials on smaller chunks, since they would take as long as coding."""
SEVERAL_SAMPLES = 1 << 15
"""The same for chunks with several axes along which references may lie."""
WINDOW, TRIED_PLANES = 48, 3
"""Side of the window and number of planes on which models and routes are tried."""
ORDER_WINDOW, ORDER_PLANES, TRIED_ORDERS = 48, 2, 5
"""Side of the window and number of planes on which orders are tried, and the number of most promising orders tried."""
ORDER_SAMPLES = 1 << 18
"""In smaller arrays orders are tried on one plane only, since a trial takes a tenth of their time."""
BLOCK_SIDE, BLOCK_DEPTH = 48, 8
"""Size of the block on which axes are tried: along axes that may be spatial, and along others."""
CREDIT = 96
"""Each reference after the first is credited 1/96 of a trial's bits, since a window offers little to learn from."""
GREEN_FIRST = (1, 0, 2)
CLEAR, CLOSE, LITTLE = 1.3, 1.5, 2048
"""The plane coder is skipped if its estimate exceeds CLEAR times that of labels. Labels are skipped if their estimate
exceeds CLOSE times the bytes of the plane coder plus LITTLE.
"""
ITEMS_PER_LABEL = 8
"""With fewer items per label on average, an array is not taken as labels."""
LABEL_ROWS, LABEL_BANDS = 8, 8
"""Rows per band, and approximate bands per plane, of the sample that is coded as labels."""
CUDA_SAMPLES, PASS_SAMPLES = 1 << 16, 1 << 26
"""Samples of a chunk from which on a CUDA device codes it, and of a pass there, at most."""


def prepare(array: NDArray[Any], axes: Axes) -> Prepared | None:
    """The numbers of an array; None if it is constant.

    Parameters
    ----------
    array : ndarray
        Numeric, with one axis or more, not empty.
    axes : Axes
        The axes of the array's words.

    Returns
    -------
    Prepared or None
    """
    if words.are_equal(words.of_array(array)):
        return None
    return samples.prepare(array, (axes.y, axes.x), axes.channel)


def encode(array: NDArray[Any], axes: Axes, models: Sequence[str], longest: Axes | None = None) -> bytes | None:
    """The smallest payload of an array with one of the models; None if it is constant, or no transform restores it.

    Parameters
    ----------
    array : ndarray
        Numeric, with one axis or more, not empty.
    axes : Axes
        Of the array's words.
    models : names or ids
        The candidates. The first is used without trials.
    longest : Axes, optional
        Used instead of `axes` unless that makes a block of the array larger.

    Raises
    ------
    MissingModel, ModelError
        A model is not installed, or its file is damaged.
    """
    loaded = [catalog.load(name, "cpu") for name in models]
    if longest is not None:
        axes = min((longest, axes), key=lambda each: _block_size(array, longest, each, loaded[0]))
    prepared = prepare(array, axes)
    if prepared is None:
        return None
    prepared = samples.checked(prepared, array)
    if prepared is None:
        return as_labels(array, axes)
    model, order, part_bytes = _choice(prepared, axes, loaded)
    best: bytes | None = None
    as_some = _labels_estimate(array, axes) if samples.look_like_labels(array, (axes.y, axes.x)) else None
    if as_some is not None:
        part = _part(prepared.numbers, axes)
        if part_bytes is None:
            part_bytes = _size(model, order, part, prepared.m)
        expected = part_bytes * prepared.numbers.size / part.size + len(prepared.samples.fields)
        if as_some * CLEAR < expected:
            best = as_labels(array, axes)
            if best is not None and len(best) * CLEAR < expected:
                return best
    planes = as_planes(prepared, model, order)
    if best is None and samples.is_series(array.shape) and samples.histogram_bytes(prepared.numbers) < len(planes):
        reference, data = _labels(prepared, axes)
        best = plane_payload.build(LabelsPayload(prepared.samples, reference, prepared.m, data))
    if as_some is not None and best is None and as_some < CLOSE * len(planes) + LITTLE:
        best = as_labels(array, axes)
    return planes if best is None else min(planes, best, key=len)


def as_planes(prepared: Prepared, model: catalog.Loaded, order: Order) -> bytes:
    """The payload of numbers, coded by the plane coder."""
    numbers = prepared.numbers
    coded = _encode(_net(model), order.planes(numbers), order.refer(numbers.shape), prepared.m)
    fields = order.references, order.permuted, order.permutation, prepared.m, tuple(coded)
    return plane_payload.build(PlanesPayload(prepared.samples, model.id, *fields))


def as_labels(array: NDArray[Any], axes: Axes) -> bytes | None:
    """The payload of an array, coded as labels; None if the labels do not restore it."""
    prepared = samples.labelled(array, (axes.y, axes.x))
    if not samples.restores(prepared, array):
        return None
    reference, data = _labels(prepared, axes)
    return plane_payload.build(LabelsPayload(prepared.samples, reference, prepared.m, data))


def _labels(prepared: Prepared, axes: Axes) -> tuple[int | None, bytes]:
    """The axis of the reference planes, and the bytes of the labels."""
    shape = prepared.numbers.shape
    reference = max(_leading(shape, axes), default=None)
    order = Order(axes.y, axes.x)
    return reference, labels.encode(order.planes(prepared.numbers), _references(shape, order, reference), prepared.m)


def _labels_estimate(array: NDArray[Any], axes: Axes) -> float:
    """Estimated bytes of an array as labels, from some rows of two planes per axis; infinite if there are too many."""
    part = given = words.of_array(array)
    leading = [axis for axis in range(part.ndim) if axis not in (axes.y, axes.x)]
    for axis in (axes.y, *leading):
        n = part.shape[axis]
        chosen = np.arange(n)
        if axis == axes.y:
            chosen = chosen[chosen // LABEL_ROWS % (n // LABEL_ROWS // LABEL_BANDS + 1) == 0]
        else:
            chosen = chosen[(n - 1) // 2 : (n - 1) // 2 + 2]
        part = part.take(chosen, axis)
    found, numbers = np.unique(part, return_inverse=True)
    if len(found) * ITEMS_PER_LABEL > part.size:
        return float("inf")
    planes = words.planes_of(numbers.reshape(part.shape), (axes.y, axes.x))
    return len(labels.encode(planes, np.arange(len(planes)) - 1, len(found))) * given.size / part.size


def _references(shape: tuple[int, ...], order: Order, axis: int | None) -> NDArray[np.int64]:
    """For each plane the index of the plane before it along an axis, or -1."""
    return Order(order.y, order.x, () if axis is None else ((axis, 1),)).refer(shape)[:, 0]


class Decoding:
    """A payload, checked as far as possible without decoding; `array()` decodes. Inverse of `encode`.

    Raises
    ------
    FormatError
        The payload is damaged.
    MissingModel
        Its model is not installed.
    """

    def __init__(self, header: Header, data: memoryview) -> None:
        self.payload = plane_payload.parse(header, data, coder.lanes_of_tiles)
        self.model: catalog.Loaded | None = None
        if isinstance(self.payload, PlanesPayload):
            self.model = catalog.load_named(self.payload.model_id, "planes")

    @property
    def order(self) -> Order:
        """How the axes of the numbers became planes."""
        payload, axes = self.payload, self.payload.samples.axes
        if isinstance(payload, LabelsPayload):
            return Order(*axes)
        return Order(*axes, payload.references, payload.permuted, payload.permutation)

    def planes(self) -> Any:
        """Decode the planes (P, H, W) of the numbers."""
        payload, chain = self.payload, self.payload.samples
        size = chain.planes, *(chain.order[axis] for axis in chain.axes)
        if isinstance(payload, LabelsPayload):
            references = _references(chain.order, self.order, payload.reference)
            return labels.decode(memoryview(payload.data), cast(Any, size), references, payload.m)
        assert self.model is not None
        messages = [coder.Message(*each) for each in payload.messages]
        return _decode(_net(self.model), messages, cast(Any, size), self.order.refer(chain.order), payload.m)

    def array(self) -> NDArray[Any]:
        """Decode the array, in C order."""
        chain = self.payload.samples
        return chain.array(self.order.array(self.planes(), chain.order))


class _EncodeJob(scheduler.Job):
    """Planes -> messages on a CUDA device. The outcome is what `coder.encode` returns."""

    def __init__(self, model: PlaneModel, planes: Planes, references: NDArray[np.int64], m: int) -> None:
        self.model, self.planes, self.references, self.m = model, planes, references, m
        super().__init__((model, planes.shape, references.tobytes()), planes.size / PASS_SAMPLES)

    @classmethod
    def run(cls, jobs: list["_EncodeJob"]) -> list[Any]:
        from ..planes import on_cuda

        first, largest = jobs[0], [job.m for job in jobs]
        return on_cuda.encode(first.model, [job.planes for job in jobs], first.references, largest)


class _DecodeJob(scheduler.Job):
    """Inverse of `_EncodeJob`. The outcome is what `coder.decode` returns."""

    def __init__(
        self, model: PlaneModel, messages: list[Message], shape: tuple[int, int, int], references: NDArray[np.int64],
        m: int,
    ) -> None:  # fmt: skip
        self.model, self.messages, self.shape, self.references, self.m = model, messages, shape, references, m
        super().__init__((model, shape, references.tobytes()), prod(shape) / PASS_SAMPLES)

    @classmethod
    def run(cls, jobs: list["_DecodeJob"]) -> list[Any]:
        from ..planes import on_cuda

        first, largest = jobs[0], [job.m for job in jobs]
        return on_cuda.decode(first.model, [job.messages for job in jobs], first.shape, first.references, largest)


def _encode(model: PlaneModel, planes: Planes, references: NDArray[np.int64], m: int) -> list[Message]:
    """`coder.encode` on the device of this process."""
    if not _on_cuda(False, model, planes.shape, references):
        return coder.encode(model, planes, references, m)
    job = _EncodeJob(model, planes, references, m)
    scheduler.run([job])
    return cast(list[Message], job.outcome())


def _decode(
    model: PlaneModel, messages: list[Message], shape: tuple[int, int, int], references: NDArray[np.int64], m: int
) -> Planes:
    """`coder.decode` on the device of this process."""
    if not _on_cuda(True, model, shape, references):
        return coder.decode(model, messages, shape, references, m)
    job = _DecodeJob(model, messages, shape, references, m)
    scheduler.run([job])
    return cast(Planes, job.outcome())


def _on_cuda(decode: bool, model: PlaneModel, shape: tuple[int, ...], references: NDArray[np.int64]) -> bool:
    """Whether a CUDA device codes planes: only where the user has chosen one, as long as none has run these kernels."""
    if prod(shape) < CUDA_SAMPLES or scheduler.chosen_device() != "cuda":
        return False
    if scheduler.device() != "cuda" or not _triton():
        return False
    with loading():
        from ..planes import on_cuda
    return on_cuda.usable(decode, model, shape, references)


@cache
def _triton() -> bool:
    return find_spec("triton") is not None


def _net(model: catalog.Loaded) -> PlaneModel:
    return cast(PlaneModel, model.net)


def _leading(shape: tuple[int, ...], axes: Axes) -> list[int]:
    """The axes of more than one item that are not spatial."""
    return [axis for axis in range(len(shape)) if axis not in (axes.y, axes.x) and shape[axis] > 1]


def _orders(shape: tuple[int, ...], axes: Axes, luma: bool) -> list[Order]:
    """Candidate orders of planes and references. The first is the default."""
    permuted: int | None = None
    permutation: tuple[int, ...] = ()
    if axes.channel is not None and shape[axes.channel] == 3 and not luma:
        permuted, permutation = axes.channel, GREEN_FIRST
    near = sorted(_leading(shape, axes), key=lambda axis: (axis != axes.channel, -axis))
    found = [[(axis, distance) for distance in range(1, min(shape[axis], REFERENCES + 1))] for axis in near]
    found += [[(a, 1), (b, 1)] for a, b in combinations(near, 2)]
    found += [[(axis, 1)] for axis in near if shape[axis] > 2 and axis != axes.channel]
    found += [[]]
    return [Order(axes.y, axes.x, tuple(each), permuted, permutation) for each in found]


def _part(numbers: NDArray[Any], axes: Axes) -> NDArray[Any]:
    """The part on which models are tried: a central window of a few central planes."""
    most = [2 if len(_leading(numbers.shape, axes)) > 1 else TRIED_PLANES] * numbers.ndim
    most[axes.y] = most[axes.x] = WINDOW
    if axes.channel is not None:
        most[axes.channel] = TRIED_PLANES
    return _middle(numbers, most)


def _middle(array: NDArray[Any], most: Sequence[int]) -> NDArray[Any]:
    """The central part of an array, of at most so many items along each axis."""
    for axis, (length, count) in enumerate(zip(array.shape, most, strict=True)):
        begin = max(0, (length - count) // 2)
        array = array.take(range(begin, min(begin + count, length)), axis)
    return array


def _block_size(array: NDArray[Any], longest: Axes, axes: Axes, model: catalog.Loaded) -> int:
    """Bytes of a central block, coded in planes along the given axes. Axes shorter than the block are taken whole."""
    spatial = longest.y, longest.x
    block = _middle(array, [BLOCK_SIDE if axis in spatial else BLOCK_DEPTH for axis in range(array.ndim)])
    prepared = prepare(block, axes)
    if prepared is None:
        return 0
    order = _orders(prepared.numbers.shape, axes, False)[0]
    return _size(model, order, prepared.numbers, prepared.m) + len(prepared.samples.low)


def _size(model: catalog.Loaded, order: Order, numbers: NDArray[Any], m: int) -> int:
    """Bytes of the messages of numbers."""
    coded = coder.encode(_net(model), order.planes(numbers), order.refer(numbers.shape), m)
    return sum(4 * len(each.heads) + len(each.tail) for each in coded)


def choose(prepared: Prepared, axes: Axes, models: Sequence[catalog.Loaded]) -> tuple[catalog.Loaded, Order]:
    """The model and the order that code a part of the array in the fewest bytes."""
    return _choice(prepared, axes, models)[:2]


def _choice(
    prepared: Prepared, axes: Axes, models: Sequence[catalog.Loaded]
) -> tuple[catalog.Loaded, Order, int | None]:
    """The model, the order, and the bytes of the part on which models are tried, if they are known."""
    numbers, m = prepared.numbers, prepared.m
    orders = _orders(numbers.shape, axes, isinstance(prepared.samples.scale, samples.Luma))
    leading = _leading(numbers.shape, axes)
    colours = leading == [axes.channel] and numbers.shape[leading[0]] == 3
    least = SEVERAL_SAMPLES if len(leading) > 1 else SAMPLES
    if colours or numbers.size < least or len(orders) * len(models) == 1:
        return models[0], orders[0], None
    if len(orders) > TRIED_ORDERS:
        guesses = [samples.bits(numbers, (axes.y, axes.x), None, order.references) for order in orders]
        orders = [orders[k] for k in sorted(np.argsort(guesses, kind="stable")[:TRIED_ORDERS])]
    part = _part(numbers, axes)
    image = leading in ([], [axes.channel])
    if image:
        costs = [_size(models[0], each, part, m) for each in orders]  # one part is enough
    else:
        costs = [
            cost - cost * max(len(order.references) - 1, 0) // CREDIT
            for order, cost in zip(orders, _plane_costs(models[0], orders, numbers, m), strict=True)
        ]
    best = int(np.argmin(costs))
    if len(models) == 1 and not image:
        return models[0], orders[best], None
    sizes = [costs[best] if image else _size(models[0], orders[best], part, m)]
    sizes += [_size(model, orders[best], part, m) for model in models[1:]]
    found = int(np.argmin(sizes))
    return models[found], orders[best], sizes[found]


def _plane_costs(model: catalog.Loaded, orders: Sequence[Order], numbers: NDArray[Any], m: int) -> list[int]:
    """The cost of windows of a few planes with each order, in 1/256 bit. These planes have all references."""
    y, x = orders[0].y, orders[0].x
    totals = [0] * len(orders)
    tried = ORDER_PLANES if numbers.size >= ORDER_SAMPLES else 1
    for k in range(1, tried + 1):
        window: list[Any] = [max(n * k // tried - 1, min(REFERENCES, n - 1)) for n in numbers.shape]
        for axis in (y, x):
            begin = max(0, (numbers.shape[axis] - ORDER_WINDOW) * k // (tried + 1))
            window[axis] = slice(begin, begin + ORDER_WINDOW)
        for j, order in enumerate(orders):
            places = []
            for axis, distance in order.references:
                if window[axis] >= distance:
                    places.append([*window[:axis], window[axis] - distance, *window[axis + 1 :]])
            planes = np.stack([numbers[tuple(place)] for place in [*places, window]])
            refer = np.full((len(planes), REFERENCES), -1, np.int64)
            refer[-1, : len(places)] = range(len(places))
            totals[j] += coder.costs(_net(model), planes if y < x else planes.swapaxes(1, 2), refer, m)[-1]
    return totals

"""A chunk's planes <-> the messages of its tiles (FORMAT.md 9): cutting, references, threads.

numbers x, any axes  --order--  planes (P, H, W)  --tiles--  (P, h, w)  --code_tile--  message
"""

import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError
from ..rans.words import SHORT, empty_words
from ..runtime.forks import loading
from .message import Message as Message
from .message import Planes, lanes
from .model import PlaneModel
from .tables import BLOCK, CONTEXTS, MARGIN_U, MARGIN_Y, REFERENCES, TILE
from .threads import run


@dataclass(frozen=True)
class Order:
    """How a chunk's axes become planes.

    Attributes
    ----------
    y, x : int
        The spatial axes.
    references : tuple of (int, int)
        Axis and distance: a plane refers to the plane at that distance before it along the axis, if there is one.
    permuted : int or None
        An axis whose planes are coded in another order.
    permutation : tuple of int
        The order along that axis.
    """

    y: int
    x: int
    references: tuple[tuple[int, int], ...] = ()
    permuted: int | None = None
    permutation: tuple[int, ...] = ()

    def leading(self, ndim: int) -> list[int]:
        """The axes other than the spatial ones."""
        return [axis for axis in range(ndim) if axis not in (self.y, self.x)]

    def planes(self, array: NDArray[Any]) -> Planes:
        """The planes (P, H, W) in coding order; inverse of `array`."""
        if self.permuted is not None:
            array = array.take(self.permutation, self.permuted)
        moved = array.transpose([*self.leading(array.ndim), self.y, self.x])
        return np.ascontiguousarray(moved.reshape(-1, *moved.shape[-2:]))

    def array(self, planes: Planes, shape: tuple[int, ...]) -> Planes:
        """Inverse of `planes`."""
        axes = [*self.leading(len(shape)), self.y, self.x]
        array = planes.reshape([shape[axis] for axis in axes]).transpose(_inverse(axes))
        return array if self.permuted is None else array.take(_inverse(self.permutation), self.permuted)

    def refer(self, shape: tuple[int, ...]) -> NDArray[np.int64]:
        """Indices of the reference planes of each plane, (P, REFERENCES), padded with -1."""
        return _refer(shape, tuple(self.leading(len(shape))), self.references)


def _inverse(permutation: Sequence[int]) -> list[int]:
    return sorted(range(len(permutation)), key=permutation.__getitem__)


@lru_cache(16)  # chunks of one array have the same
def _refer(shape: tuple[int, ...], axes: tuple[int, ...], references: tuple[tuple[int, int], ...]) -> NDArray[np.int64]:
    lead = tuple(shape[axis] for axis in axes)
    number = np.arange(prod(lead))
    found = np.full((len(number), REFERENCES), -1, np.int64)
    for axis, distance in references:
        k = axes.index(axis)
        step = prod(lead[k + 1 :])
        there = np.flatnonzero(number // step % lead[k] >= distance)
        slot = (found[there] >= 0).sum(1)
        found[there, slot] = there - distance * step
    return found


@cache
def _heads(count: int) -> NDArray[np.uint64]:
    return empty_words(count)[0].astype(np.uint64)


def _empty_heads(count: int) -> NDArray[np.uint64]:
    """Heads of the empty message, as the kernel takes them."""
    return _heads(count).copy()


def empty_tail(samples: int) -> NDArray[np.uint8]:
    """Memory for the tail of a message of `samples`. The kernel does not check its end, so this is the largest tail.

    A head is below 2^32, and a push moves bytes to the tail until the head is below freq * 2^16: two at most, one if
    freq is 2^8 or more. A sample is a bucket (freq >= 1), max(b - 16, 0) <= 2 bits (freq >= 2^14) and min(b, 16) bits
    (freq >= 1): five bytes. A push writes up to two bytes more than it moves.
    """
    return np.empty(5 * samples + 2, np.uint8)


def tiles(height: int, width: int) -> list[tuple[slice, slice]]:
    """Tiles of a plane, row by row from the top left corner."""
    return [
        (slice(y, min(y + TILE, height)), slice(x, min(x + TILE, width)))
        for y in range(0, height, TILE)
        for x in range(0, width, TILE)
    ]


def lanes_of_tiles(planes: int, height: int, width: int) -> list[int]:
    """Number of lanes of the message of each tile."""
    cut = tiles(height, width)
    return [lanes(planes * (rows.stop - rows.start) * (columns.stop - columns.start)) for rows, columns in cut]


_NOTHING = np.zeros((1, 1), np.int8), np.zeros((1, 1), np.int32), np.zeros((0, 0, 0), np.int32), np.zeros((1, 1))
SMALL, SEVERAL = 64 * 64, 8
"""Pixels of tiles whose memory is kept for more than one kind of tile, and for how many: of trials and small chunks."""


class Memory(NamedTuple):
    """What the kernel works in, by the names and in the order of its arguments (`tile.code_tile`)."""

    G: NDArray[Any]
    S: NDArray[Any]
    weights: NDArray[Any]
    XP: NDArray[Any]
    A: NDArray[Any]
    C: NDArray[Any]
    X: NDArray[Any]
    bases: NDArray[Any]
    rows: NDArray[Any]
    pred: NDArray[Any]
    mags: NDArray[Any]
    T: NDArray[Any]
    factors: NDArray[Any]
    spots: NDArray[Any]
    moved: NDArray[Any]
    words: NDArray[Any]
    state: NDArray[Any]
    hidden: NDArray[Any]
    inner: NDArray[Any]
    y: NDArray[Any]
    weight: NDArray[Any]
    mean: NDArray[Any]
    slope: NDArray[Any]
    floats: NDArray[Any]
    floats8: NDArray[Any]
    picked: NDArray[Any]
    edges: NDArray[Any]
    out: NDArray[Any]
    window: NDArray[Any]
    found: NDArray[Any]
    eight: NDArray[Any]
    head: NDArray[Any]
    head_words: NDArray[Any]
    moments: NDArray[Any]
    rates: NDArray[Any]
    gradients: NDArray[Any]
    mask: NDArray[Any]
    pairs: NDArray[Any]
    sums: NDArray[Any]
    squares: NDArray[Any]


class _Kept(threading.local):
    """What a thread keeps for its next tiles: memory for several kinds of small ones, and for one of large ones."""

    def __init__(self) -> None:
        self.small: dict[Any, Memory] = {}
        self.large: dict[Any, Memory] = {}

    def of(self, model: PlaneModel, h: int, w: int, most: int) -> Memory:
        key = model, h, w, most  # a model is the same as itself only
        kept, count = (self.small, SEVERAL) if h * w <= SMALL else (self.large, 1)
        if key not in kept:
            while len(kept) >= count:
                del kept[next(iter(kept))]
            kept[key] = _memory(model, h, w, most)
        return kept[key]


_own = _Kept()


@cache
def _kernel() -> Any:
    with loading():
        from .tile import code_tile  # reads numba

    return code_tile


def code(
    decode: bool, model: PlaneModel, tile: NDArray[np.int32], references: NDArray[np.int64], m: int,
    heads: NDArray[np.uint64], tail: NDArray[np.uint8], length: int, watched: tuple[NDArray[Any], ...] = _NOTHING,
    notes: tuple[NDArray[np.uint32], NDArray[np.uint32]] | None = None,
) -> int:  # fmt: skip
    """Run the kernel, `tile.code_tile`, with the memory it needs."""
    if references.shape[1] > REFERENCES:
        raise ValueError(f"at most {REFERENCES} reference planes")
    h, w = tile.shape[1:]
    most = int((references >= 0).sum(1).max())
    if notes is None:
        count = 0 if decode else tile.size
        notes = np.empty(count, np.uint32), np.empty(count if m >= 16 else 0, np.uint32)
    return int(
        _kernel()(
            decode,
            tile,
            np.empty(tile.shape, np.int32),
            references,
            m,
            *model.kernel_arguments(),
            heads,
            tail,
            length,
            *_own.of(model, h, w, most),
            *notes,
            *watched,
        )
    )


def learnt(model: PlaneModel, tile: Planes, references: NDArray[np.int64], m: int) -> NDArray[np.float32]:
    """What the last layer has learnt (FORMAT.md 9.6) when the last plane of a tile (P, h, w) has been encoded: its
    weights less the model's, in units of its outputs, (outputs, width + CONTEXTS).
    """
    heads, tail = _empty_heads(1), empty_tail(tile.size)
    code(False, model, np.ascontiguousarray(tile, np.int32), references, m, heads, tail, 0)
    counts = (references >= 0).sum(1)
    weights = _own.of(model, tile.shape[1], tile.shape[2], int(counts.max())).head[: 3 * model.mixtures].copy()
    begin, shifts = model.last_layers[int(counts[-1])]
    weights[:, : model.width] -= begin
    return np.asarray(weights * np.exp2(-shifts)[:, None], np.float32)


def _memory(model: PlaneModel, h: int, w: int, most: int) -> Memory:
    """What the kernel works in, for tiles of one size whose planes have at most so many references."""
    V, K, width = model.sizes.shape[1], model.mixtures, model.width
    n = int(model.orders[most])
    across = -(-h // BLOCK) * BLOCK
    lane, words = across // 16 * 16 + 32, (n + 8) // 8 * 8
    blocks, rows = across // BLOCK, w + 2 * (h - 1) + 2 * MARGIN_U

    def zeros(kind: Any, *shape: int) -> NDArray[Any]:
        """They begin where a line of the cache does, so that no vector of an aligned row lies in two."""
        size = prod(shape) * np.dtype(kind).itemsize
        memory = np.zeros(size + 64, np.uint8)
        begin = -memory.ctypes.data % 64
        array: NDArray[Any] = memory[begin : begin + size].view(kind).reshape(shape)
        return array

    i4, f4 = np.int32, np.float32
    inputs, outputs = width + CONTEXTS, (3 * K + 7) // 8 * 8  # of the last layer
    steps = int(model.nets[: most + 1, 0].max())
    return Memory(
        G=zeros(i4, 2 + V + 2 * most, rows, MARGIN_Y + across + 24),
        S=zeros(f4, V, blocks + 24, n, words),
        weights=zeros(np.float64, V, blocks, n),
        XP=zeros(i4, across, BLOCK // 2, words),
        A=zeros(i4, words, words),
        C=zeros(f4, n, words, 8),
        X=zeros(i4, words, lane),
        bases=zeros(i4, most + 1, lane),
        rows=zeros(i4, 8, lane),
        pred=zeros(i4, V, lane),
        mags=zeros(i4, V + 3 + most, lane),
        T=zeros(i4, V + 3, lane),
        factors=zeros(f4, 2 + 2 * most, lane),
        spots=zeros(np.int64, 4 * steps, 3),
        moved=zeros(np.int64, 32),
        words=zeros(i4, steps, lane),
        state=zeros(i4, width, lane),
        hidden=zeros(i4, inputs // 4, lane),
        inner=zeros(i4, width // 4, lane),
        y=zeros(i4, outputs, lane),
        weight=zeros(i4, K, lane),
        mean=zeros(i4, K, lane),
        slope=zeros(f4, K, lane),
        floats=zeros(f4, 3, lane),
        floats8=zeros(f4, 6, 8),
        picked=zeros(np.int64, lane),
        edges=zeros(i4, 512),
        out=zeros(i4, 8),
        window=zeros(i4, lane, 8),
        found=zeros(i4, 4, 8),
        eight=zeros(i4, 8),
        head=zeros(f4, outputs, inputs),
        head_words=zeros(i4, outputs, inputs // 4),
        moments=zeros(f4, inputs + outputs + 1),
        rates=zeros(f4, outputs),
        gradients=zeros(i4, outputs, lane),
        mask=zeros(f4, max(lane, inputs)),
        pairs=zeros(i4, lane // 2, inputs + outputs),
        sums=zeros(i4, outputs, inputs + 8),
        squares=zeros(i4, inputs + outputs),
    )


@cache
def compiles() -> bool:
    """Whether numba is installed. Otherwise tiles are coded by torch, with a warning the first time."""
    there = find_spec("numba") is not None
    if not there:
        warnings.warn(
            "numba is not installed: planes are coded by torch, some hundred times slower; pip install numba",
            stacklevel=2,
        )
    return there


def encode(model: PlaneModel, planes: Planes, references: NDArray[np.int64], m: int) -> list[Message]:
    """Encode planes (P, H, W) of 0 .. m as the messages of their tiles; inverse of `decode`."""

    def one(part: tuple[slice, slice]) -> Message:
        tile = np.ascontiguousarray(planes[:, part[0], part[1]], np.int32)
        if not compiles():
            with loading():
                from .torch_tiles import encode

            return encode(model, [tile], references, m)[0]
        heads, tail = _empty_heads(lanes(tile.size)), empty_tail(tile.size)
        length = code(False, model, tile, references, m, heads, tail, 0)
        return Message(heads.astype(np.uint32), tail[:length].copy())

    return run(one, tiles(*planes.shape[1:]))


def costs(model: PlaneModel, tile: Planes, references: NDArray[np.int64], m: int) -> list[int]:
    """The cost of each plane of a tile (P, h, w) under the integer model, in 1/256 bit: the sum of c(freq) of FORMAT.md
    8 over its intervals.
    """
    tile = np.ascontiguousarray(tile, np.int32)
    if not compiles():
        with loading():
            from .torch_tiles import frequencies

        return [int(_cost_table()[freq - 1].sum()) for freq in frequencies(model, tile, references, m)]
    heads, tail = _empty_heads(1), empty_tail(tile.size)
    noted, lows = np.empty(tile.size, np.uint32), np.zeros(tile.size if m >= 16 else 0, np.uint32)
    code(False, model, tile, references, m, heads, tail, 0, notes=(noted, lows))
    found = _cost_table()[noted >> np.uint32(16)].reshape(len(tile), -1).sum(1)
    if m >= 16:
        found += 256 * (lows & np.uint32(31)).reshape(len(tile), -1).sum(1, dtype=np.int64)
    return [int(each) for each in found]


@cache
def _cost_table() -> NDArray[np.int64]:
    """c(freq) of FORMAT.md 8 for freq = 1 .. 2^16."""
    return np.round(256 * (16 - np.log2(np.arange(1, (1 << 16) + 1)))).astype(np.int64)


def empty_planes(shape: tuple[int, ...], m: int) -> Planes:
    """Memory for decoded planes of 0 .. m."""
    return np.empty(shape, np.uint16 if m < 1 << 16 else np.uint32)


def decode(
    model: PlaneModel, messages: list[Message], shape: tuple[int, int, int], references: NDArray[np.int64], m: int
) -> Planes:
    """Decode planes (P, H, W) from the messages of their tiles; inverse of `encode`.

    Raises
    ------
    FormatError
        A message is too short or too long, or holds an impossible value.
    """
    planes = empty_planes(shape, m)

    def one(work: tuple[tuple[slice, slice], Message]) -> None:
        (rows, columns), message = work
        tile = np.zeros((shape[0], rows.stop - rows.start, columns.stop - columns.start), np.int32)
        if not compiles():
            with loading():
                from .torch_tiles import decode

            (planes[:, rows, columns],) = decode(model, [message], tile.shape, references, m)
            return
        heads = message.heads.astype(np.uint64)
        tail = np.array(message.tail)
        left = code(True, model, tile, references, m, heads, tail, len(tail))
        if left == -1:
            raise FormatError(SHORT)
        if left == -2:
            raise FormatError("a sample beyond the largest: the frame was altered or made with other weights")
        if left or not np.array_equal(heads, _heads(len(heads))):
            raise FormatError("the message is not empty after its last symbol: the frame was altered")
        planes[:, rows, columns] = tile

    run(one, list(zip(tiles(*shape[1:]), messages, strict=True)))
    return planes

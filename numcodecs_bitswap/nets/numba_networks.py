"""Whole networks on a CPU, on numpy arrays, as one compiled loop each, without the interpreter lock. The same integers
as `torch_networks`; the products are those of `numba_tiles`.

Between layers a grid is padded with a line of zeros above and below, and with one zero to the right of each line, which
also serves as the one to the left of the next line. So the 3 x 3 neighbourhood of a cell is three contiguous runs. Its
activations have the OFFSET.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from ..arrays import Array
from ..runtime.jit import compiled
from .numba_tiles import (
    CELLS,
    LANES,
    MOST_VECTORS,
    OFFSET,
    add,
    add_up,
    fill,
    join,
    lift,
    relu,
    requantise,
    residual,
    word,
)

if TYPE_CHECKING:
    from .layers import Layer

Part = tuple[NDArray[np.int8], NDArray[np.int32], NDArray[np.int32], bool]
"""A layer: weights (inputs, limbs * columns), biases, shifts, whether it is wide."""
SUMS = 4 * CELLS * LANES * MOST_VECTORS
"""Bytes of a tile's sums."""
LINE = 64
"""Bytes of a cache line."""
HEADER, TILE = 4, 5
"""Numbers at the start of a layer and of each tile in `Weights.addresses`."""


class Weights:
    """Layers in the memory layout of the compiled loops.

    Attributes
    ----------
    addresses : int64 ndarray
        Address of each layer's numbers: inputs, outputs, whether wide, tiles; for each tile the addresses of its
        weights and of its biases (followed by its shifts), vectors, first output and number of outputs.
    room : int
        Bytes of scratch memory for the compiled loops: sums and two times the rows of a tile.
    """

    def __init__(self, parts: Sequence[Part]):
        self._kept: list[NDArray[Any]] = []
        self.addresses = np.array([self._pack(*each).ctypes.data for each in parts], np.int64)
        self.inputs, self.width, self.outputs = len(parts[0][0]), len(parts[0][1]), len(parts[-1][1])
        widest = max(max(len(w), len(biases)) for w, biases, _, _ in parts)
        self.room = LINE + SUMS + 2 * CELLS * widest + LINE

    def fit(self, activations: Array) -> Array:
        """Activations for the first layer, contiguous: compiled loops take addresses and cannot check strides."""
        if activations.dtype != np.int8 or activations.shape[-1] != self.inputs:
            raise ValueError(
                f"a network of {self.inputs} int8 inputs was given {activations.dtype} {activations.shape}"
            )
        return np.ascontiguousarray(activations)

    def _pack(self, w: NDArray[np.int8], biases: NDArray[np.int32], shifts: NDArray[np.int32], wide: bool) -> Any:
        inputs, columns = len(w), len(biases)
        limbs = np.pad(w.reshape(inputs, -1, columns), ((0, 0), (0, 0), (0, -columns % LANES)))
        limbs = limbs.reshape(inputs, 1 + wide, -1, LANES)
        before = -OFFSET * limbs.sum(0, dtype=np.int64)
        before[-1].reshape(-1)[:columns] += biases
        after = np.pad(shifts, (0, -columns % LANES)).reshape(-1, LANES)
        numbers, vector = [inputs, columns, wide, 0], 0
        while vector < len(after):
            left = len(after) - vector
            some = slice(vector, vector + (1 if wide else 2 if left == 4 else min(left, MOST_VECTORS)))
            tile = limbs[:, :, some].reshape(inputs // 4, 4, -1)
            weights = np.ascontiguousarray(tile.transpose(0, 2, 1))
            ends = np.concatenate([before[:, some], after[None, some]]).astype(np.int32)
            self._kept += [weights, ends]
            first, last = vector * LANES, min(some.stop * LANES, columns)
            numbers += [weights.ctypes.data, ends.ctypes.data, tile.shape[2] // LANES, first, last - first]
            numbers[HEADER - 1] += 1
            vector = some.stop
        self._kept.append(np.array(numbers, np.int64))
        return self._kept[-1]


def _part(layer: "Layer") -> Part:
    return layer.weights, layer.bias, layer.shift, layer.wide


class Network:
    """A trunk (FORMAT.md section 4.2) of layers in, conv and out of each block, head, skip."""

    def __init__(self, layers: Sequence["Layer"]):
        self._weights = Weights([_part(layer) for layer in layers])
        self._blocks = (len(layers) - 3) // 2

    def __call__(self, u: Array) -> tuple[Array, Array]:
        """See `Trunk`."""
        weights = self._weights
        u = weights.fit(u)
        n, h, w = u.shape[:3]
        features, y = np.empty((n, h, w, weights.width), np.int8), np.empty((n, h, w, weights.outputs), np.int32)
        if not self._blocks:  # cells are independent of each other
            n, h, w = 1, 1, n * h * w
        grids = np.empty(2 * ((h + 2) * (w + 1) + CELLS) * weights.width, np.uint8)
        room = np.empty(weights.room, np.uint8)
        places = u.ctypes.data, n, h, w, grids.ctypes.data, room.ctypes.data, features.ctypes.data, y.ctypes.data
        _trunk(weights.addresses, *places)
        return features, y


class Chain:
    """Consecutive layers, all but the last clamped to [0, 127]."""

    def __init__(self, layers: Sequence["Layer"]):
        self._weights = Weights([_part(layer) for layer in layers])

    def __call__(self, rows: Array) -> Array:
        """Rows int8 (M, inputs): int32 (M, columns)."""
        return chained(rows, self._weights)


def product(a: Array, w: Array) -> Array:
    """One matrix product, (M, K) int8 by (K, N) int8 to (M, N) int32; for tests."""
    nothing = np.zeros(w.shape[1], np.int32)
    return chained(a, Weights([(np.ascontiguousarray(w), nothing, nothing, False)]))


def chained(rows: Array, weights: Weights) -> Array:
    """See `Chain`."""
    rows, y = weights.fit(rows), np.empty((len(rows), weights.outputs), np.int32)
    room = np.empty(weights.room, np.uint8)
    _chain(weights.addresses, rows.ctypes.data, len(rows), room.ctypes.data, y.ctypes.data)
    return y


def _compile(signature: str) -> Callable[[Callable[..., None]], Any]:
    return partial(compiled, signature=signature)


@_compile("void(int64, int64, int64, int64, int64, int64, b1)")
def _sums(sums, tile, x, cell, steps, jump, wide):  # type: ignore[no-untyped-def]
    """Sums of CELLS cells and a tile, before requantisation."""
    weights, biases, vectors = word(tile, 0), word(tile, 1), word(tile, 2)
    runs = 3 if jump else 1
    if vectors == 3:
        add_up(3, sums, x, cell, runs, steps, jump, weights, biases)
    elif vectors == 2:
        add_up(2, sums, x, cell, runs, steps, jump, weights, biases)
    else:
        add_up(1, sums, x, cell, runs, steps, jump, weights, biases)
    if wide:
        for r in range(CELLS):
            join(sums + 4 * LANES * vectors * r)


def _layer(ending: Any, size: int) -> Any:
    """A layer with this ending, whose outputs have `size` bytes each."""

    @register_jitable
    def layer(sums, numbers, x, cell, jump, old, out, count):  # type: ignore[no-untyped-def]
        """At `count` cells: activations of cell r are those at x + r * cell, in three runs if there is a jump."""
        inputs, columns, wide, tiles = word(numbers, 0), word(numbers, 1), word(numbers, 2) != 0, word(numbers, 3)
        steps = inputs // 12 if jump else inputs // 4
        for t in range(tiles):
            tile = numbers + 8 * (HEADER + TILE * t)
            vectors, first, outputs = word(tile, 2), word(tile, 3), word(tile, 4)
            _sums(sums, tile, x, cell, steps, jump, wide)
            shifts = word(tile, 1) + 4 * LANES * vectors
            for o in range(0, outputs, LANES):
                whole = outputs - o >= LANES
                for r in range(count):
                    to = size * (columns * r + first + o)
                    ending(sums + 4 * (LANES * vectors * r + o), shifts + 4 * o, whole, old + to, out + to)

    return layer


_relu, _residual, _requantise, _add = _layer(relu, 1), _layer(residual, 1), _layer(requantise, 4), _layer(add, 4)


@_compile("void(int64[::1], int64, int64, int64, int64, int64, int64, int64, int64)")
def _trunk(layers, u, n, h, w, grids, room, features, y):  # type: ignore[no-untyped-def]
    skip, sums = len(layers) - 1, room + -room % LINE
    inputs, width, outputs = word(layers[0], 0), word(layers[0], 1), word(layers[skip], 1)
    x, line = sums + SUMS, (w + 1) * width
    old, new = grids, grids + (h + 2) * line + CELLS * width
    for grid in (old, new):
        fill(grid, line + width)
        for i in range(h):
            fill(grid + (2 + i) * line, width)
        fill(grid + (1 + h) * line, line + width)
    for _ in range(n):
        for i in range(h):
            for j in range(0, w, CELLS):
                count, cell, at = min(CELLS, w - j), i * w + j, (i + 1) * line + (j + 1) * width
                lift(u + cell * inputs, x, count * inputs)
                _relu(sums, layers[0], x, inputs, 0, new + at, new + at, count)
        for conv in range(1, skip - 1, 2):
            old, new = new, old
            for i in range(h):
                for j in range(0, w, CELLS):
                    count, at = min(CELLS, w - j), (i + 1) * line + (j + 1) * width
                    _relu(sums, layers[conv], old + at - line - width, width, line, x, x, count)
                    _residual(sums, layers[conv + 1], x, word(layers[conv], 1), 0, old + at, new + at, count)
        for i in range(h):
            for j in range(0, w, CELLS):
                count, cell, at = min(CELLS, w - j), i * w + j, (i + 1) * line + (j + 1) * width
                to = y + 4 * cell * outputs
                _requantise(sums, layers[skip - 1], new + at, width, 0, to, to, count)
                lift(u + cell * inputs, x, count * inputs)
                _add(sums, layers[skip], x, inputs, 0, to, to, count)
                lift(new + at, features + cell * width, count * width)
        u, features, y = u + h * w * inputs, features + h * w * width, y + 4 * h * w * outputs


@_compile("void(int64[::1], int64, int64, int64, int64)")
def _chain(layers, rows, m, room, y):  # type: ignore[no-untyped-def]
    last, sums = len(layers) - 1, room + -room % LINE
    x = sums + SUMS
    widest = word(layers[0], 0)
    for k in range(last):
        widest = max(widest, word(layers[k], 1))
    v = x + CELLS * widest
    inputs, outputs = word(layers[0], 0), word(layers[last], 1)
    for first in range(0, m, CELLS):
        count = min(CELLS, m - first)
        lift(rows + first * inputs, x, count * inputs)
        for k in range(last):
            _relu(sums, layers[k], x, word(layers[k], 0), 0, v, v, count)
            x, v = v, x
        to = y + 4 * first * outputs
        _requantise(sums, layers[last], x, word(layers[last], 0), 0, to, to, count)

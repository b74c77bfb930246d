"""A model of JPEG coefficients: predictions and a network, checked and laid out for the kernel. numpy only."""

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from ..planes.checks import check_layers, find, require, whole
from .coefficient_tables import (
    BYTES,
    EARLY,
    FEATURES,
    INPUTS,
    KINDS,
    LATE,
    NEGATIVE,
    OUTPUT_ORDER,
    OUTPUTS,
    ROWS,
    TERMS,
)

if TYPE_CHECKING:
    from .network import Net

MOST_WIDTH, MOST_BLOCKS = 128, 8
MOST = EARLY + LATE
"""Outputs of the kernel, including unused ones."""
LINE = 64
"""Bytes of a cache line."""


def layers(arch: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """The number of outputs and inputs of every layer, by name."""
    width = arch["width"]
    inner = {f"{k}.{name}": (width, width) for k in range(arch["blocks"]) for name in "ab"}
    return {"in": (width, FEATURES), **inner, "head": (OUTPUTS, width)}


class CoefficientModel:
    """Predictions and network of a model.

    Parameters
    ----------
    arch : dict
        "width" and "blocks" of the network.
    tensors : dict of ndarray
        The network's layers, "embedding" and "prediction".

    Raises
    ------
    ModelError
        The parameters break a rule of FORMAT.md section 7.
    """

    def __init__(self, arch: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> None:
        _check(arch, tensors)
        self.arch = arch
        self.predictions = _aligned(_by_eights(tensors["prediction"]))
        names = list(layers(arch))
        shifts = [tensors[f"{name}.f"].astype(np.int32) for name in names]
        halves = [np.where(f > 0, 1 << np.maximum(f - 1, 0), 0) for f in shifts]  # so that a shift rounds
        biases = [tensors[f"{name}.b"] + half for name, half in zip(names, halves, strict=True)]
        weights = [tensors[f"{name}.w"] for name in names]
        width, used = arch["width"], np.array(OUTPUT_ORDER) >= 0
        ends, end_shifts, outputs = np.zeros(MOST, np.int32), np.zeros(MOST, np.int32), np.zeros((MOST, width), np.int8)
        for target, source in ((ends, biases[-1]), (end_shifts, shifts[-1]), (outputs, weights[-1])):
            target[: len(used)][used] = source[np.array(OUTPUT_ORDER)[used]]
        inner = np.array([_quads(each) for each in weights[1:-1]], np.int8).reshape(-1, width // 4, width, 4)
        arrays: list[NDArray[Any]] = [
            _quads(_by_byte(weights[0])), inner, _quads(outputs[:EARLY]), _quads(outputs[EARLY:]),
            tensors["embedding"].astype(np.int32), np.array(biases[:-1], np.int32), np.array(shifts[:-1], np.int32),
            ends, end_shifts,
        ]  # fmt: skip
        self._arrays = [_aligned(each) for each in arrays]

    def network(self) -> "Net":
        """The network for one thread: its arrays, and memory of its own."""
        from .network import Net  # reads numba

        width = self.arch["width"]
        most = max(width, MOST)
        none, fixed, shared, h = (np.zeros(shape, np.int32) for shape in (most, (ROWS, width), width, width))
        positive, inner, y = np.zeros(width, np.uint8), np.zeros(most, np.uint8), np.zeros(most, np.int32)
        memory: tuple[NDArray[Any], ...] = none, fixed, shared, h, positive, inner, y
        return Net(*self._arrays, *map(_aligned, memory))


def _aligned(array: NDArray[Any]) -> NDArray[Any]:
    """A copy that begins at a cache line: otherwise every second vector would straddle two lines."""
    memory = np.empty(array.nbytes + LINE, np.uint8)
    begin = -memory.ctypes.data % LINE
    aligned = memory[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
    aligned[...] = array
    return aligned


def _quads(weights: NDArray[np.int8]) -> NDArray[np.int8]:
    """Weights (outputs, inputs) as [quad of inputs, output, 4]."""
    return np.ascontiguousarray(weights.reshape(len(weights), -1, 4).swapaxes(0, 1))


def _by_byte(weights: NDArray[np.int8]) -> NDArray[np.int8]:
    """Weights of the features as weights of the kernel's inputs."""
    found = np.zeros((len(weights), INPUTS), np.int8)
    found[:, BYTES] = weights
    for feature, byte in NEGATIVE.items():
        found[:, byte] = -weights[:, feature]
    return found


def _by_eights(predictions: NDArray[np.int16]) -> NDArray[np.float64]:
    """Weights float64 (2, 64, 32) for the row of the block on the left, the column of the one above, and the row and
    the column of the block itself.
    """
    found = np.zeros((2, 64, 32))
    found[..., :16] = predictions[..., :16]
    for i in range(64):
        v, u = divmod(i, 8)
        found[:, i, 16 : 16 + u] = predictions[:, i, 16 : 16 + u]
        found[:, i, 24 : 24 + v] = predictions[:, i, 16 + u : 16 + u + v]
    return found


def _check(arch: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> None:
    """Check the rules of FORMAT.md section 7."""
    require("jpeg", arch.get("format", 1) == 1, "format 1: upgrade to read a newer one")
    width = arch.get("width")
    require("jpeg", whole(width, 8, MOST_WIDTH, 8), f"a width of 8, 16, ..., {MOST_WIDTH}")
    require("jpeg", whole(arch.get("blocks"), 0, MOST_BLOCKS), f"0 .. {MOST_BLOCKS} blocks")
    check_layers("jpeg", layers(arch), tensors, 127)
    find("jpeg", tensors, "embedding", "int16", (KINDS * ROWS, cast(int, width)))
    find("jpeg", tensors, "prediction", "int16", (2, 64, TERMS))

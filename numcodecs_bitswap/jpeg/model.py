"""A model of JPEG coefficients: predictions and a network, checked and laid out for the kernel. numpy only."""

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..planes.checks import check_layers, find, require, whole
from .coefficient_tables import FEATURES, KINDS, OUTPUTS, ROWS, TERMS

MOST_WIDTH, MOST_BLOCKS = 128, 8
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
        self.predictions = np.ascontiguousarray(tensors["prediction"])
        names = list(layers(arch))
        shifts = [tensors[f"{name}.f"].astype(np.int32) for name in names]
        halves = [np.where(f > 0, 1 << np.maximum(f - 1, 0), 0) for f in shifts]  # so that a shift rounds
        biases = [tensors[f"{name}.b"] + half for name, half in zip(names, halves, strict=True)]
        weights = [_pairs(tensors[f"{name}.w"]) for name in names]
        width = arch["width"]
        inner = np.array(weights[1:-1], np.int16).reshape(-1, width // 2, width, 2)
        outputs = weights[-1].shape[1]
        arrays: list[NDArray[Any]] = [
            weights[0], tensors["embedding"].astype(np.int32), np.array(biases[:-1], np.int32), inner,
            np.array(shifts[:-1], np.int32), weights[-1], _padded(biases[-1].astype(np.int32), outputs),
            _padded(shifts[-1], outputs),
        ]  # fmt: skip
        self._net = tuple(map(_aligned, arrays))
        self._most = max(width, outputs)

    def kernel_arguments(self) -> tuple[Any, ...]:
        """The kernel's arguments: the network, zeros, and memory for a layer's outputs, their positive part, the inner
        layer of a block, and sums.
        """
        width, most = self.arch["width"], self._most
        memory = np.zeros(width, np.int32), np.zeros(width, np.int16), np.zeros(most, np.int16)
        return *self._net, *map(_aligned, (np.zeros(most, np.int32), *memory, np.zeros(most, np.int32)))


def _aligned(array: NDArray[Any]) -> NDArray[Any]:
    """A copy that begins at a cache line: otherwise every second vector would straddle two lines."""
    memory = np.empty(array.nbytes + LINE, np.uint8)
    begin = -memory.ctypes.data % LINE
    aligned = memory[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
    aligned[...] = array
    return aligned


def _padded(values: NDArray[Any], count: int) -> NDArray[Any]:
    return np.concatenate([values, np.zeros(count - len(values), values.dtype)])


def _pairs(weights: NDArray[np.int8]) -> NDArray[np.int16]:
    """Weights (outputs, inputs) as [pair of inputs, output, 2], both padded to a multiple of 8."""
    outputs, inputs = weights.shape
    full = np.zeros((-(-outputs // 8) * 8, -(-inputs // 8) * 8), np.int16)
    full[:outputs, :inputs] = weights
    return np.ascontiguousarray(full.reshape(len(full), -1, 2).swapaxes(0, 1))


def _check(arch: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> None:
    """Check the rules of FORMAT.md section 7."""
    require("jpeg", arch.get("format", 1) == 1, "format 1: upgrade to read a newer one")
    width = arch.get("width")
    require("jpeg", whole(width, 8, MOST_WIDTH, 8), f"a width of 8, 16, ..., {MOST_WIDTH}")
    require("jpeg", whole(arch.get("blocks"), 0, MOST_BLOCKS), f"0 .. {MOST_BLOCKS} blocks")
    check_layers("jpeg", layers(arch), tensors, 127)
    find("jpeg", tensors, "embedding", "int16", (KINDS * ROWS, cast(int, width)))
    find("jpeg", tensors, "prediction", "int16", (2, 64, TERMS))

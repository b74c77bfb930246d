"""Exact integer arithmetic of the networks (FORMAT.md section 4.1): the checked layers of a model file. The bounds make
int8 matrix products well-defined. numpy only: products are computed by backends.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from .units import WIDE, aligned

Tensors = Mapping[str, NDArray[Any]]
WEIGHT_LIMIT, SHIFT_LIMIT, SUM_LIMIT = 63, 24, 1 << 24
WIDE_SUM_LIMIT = 1 << 29


class Layer:
    """One integer layer: rows of int8 activations -> int32 sums, columns padded with zeros to multiples of ALIGN.

    Attributes
    ----------
    wide : bool
    weights : int8 ndarray, shape (padded inputs, columns)
        Of a wide layer (padded inputs, 2 columns): high limbs, then low ones.
    bias, shift : int32 ndarrays, shape (columns,)
        The bias includes the term that rounds the shift, 2^(shift - 1).
    n_out : int
        Number of outputs, the first of the columns.

    Parameters
    ----------
    tensors : dict
        Holds `{name}.w` int8 (out, in), int16 for a wide layer; `{name}.b` int32 (out,); `{name}.f` uint8 (out,).
    segments : tuple of int
        The inputs are these runs of channels, each padded to a multiple of ALIGN in the rows.

    Raises
    ------
    ModelError
        A tensor is missing, has another type or shape, or breaks the bounds of FORMAT.md section 4.1.
    """

    def __init__(self, tensors: Tensors, name: str, segments: tuple[int, ...]):
        w = self._take(tensors, f"{name}.w", "int8", "int16")
        b, f = self._take(tensors, f"{name}.b", "int32"), self._take(tensors, f"{name}.f", "uint8")
        if w.ndim != 2 or w.shape[1] != sum(segments) or b.shape != (len(w),) or f.shape != b.shape or not len(w):
            raise ModelError(f"layer {name}: shapes {w.shape}, {b.shape}, {f.shape} do not fit {sum(segments)} inputs")
        self.wide = w.dtype == np.int16
        limit, most = (WIDE * WEIGHT_LIMIT, WIDE_SUM_LIMIT) if self.wide else (WEIGHT_LIMIT, SUM_LIMIT)
        half = np.where(f > 0, np.int64(1) << np.maximum(f.astype(np.int64) - 1, 0), 0)
        size = np.abs(w.astype(np.int64))
        largest = size.sum(1) * 127 + np.abs(b.astype(np.int64)) + half
        if size.max() > limit or f.max() > SHIFT_LIMIT or largest.max() >= most:
            raise ModelError(f"layer {name}: weights, shifts or sums are out of range, so results would not be exact")
        self.n_out = len(w)
        columns = aligned(self.n_out)
        high = (w + WIDE // 2) // WIDE
        limbs = [high, w - WIDE * high] if self.wide else [w]
        self.weights = np.concatenate([_columns(limb, segments, columns) for limb in limbs], 1)
        self.bias, self.shift = (np.pad(each, (0, columns - self.n_out)).astype(np.int32) for each in (b + half, f))

    @staticmethod
    def _take(tensors: Tensors, name: str, *dtypes: str) -> NDArray[Any]:
        if name not in tensors or tensors[name].dtype not in dtypes:
            raise ModelError(f"the model has no {' or '.join(dtypes)} tensor {name}")
        return tensors[name]


def _columns(w: NDArray[Any], segments: tuple[int, ...], columns: int) -> NDArray[np.int8]:
    """Weights (out, in) as the int8 right side of `gemm`, (padded inputs, columns)."""
    rows: list[NDArray[Any]] = []
    for part in np.split(w.T, np.cumsum(segments)[:-1]):
        rows += [part, np.zeros((aligned(len(part)) - len(part), len(w)), np.int8)]
    padded = np.zeros((sum(aligned(n) for n in segments), columns), np.int8)
    padded[:, : len(w)] = np.concatenate(rows)
    return padded

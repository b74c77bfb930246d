"""Exact integer arithmetic of the networks (FORMAT.md section 4.1): int8 x int8 matrix products with a defined result.

Any product that gives the exact integer may serve. Four are known: `vnni` (`numba_networks`, which compiles whole
networks), `int8` (torch._int_mm: VNNI on CPUs, tensor cores on GPUs), `float32` (exact while every partial sum stays
below 2^24, which FORMAT.md demands of every model and `Layer` checks) and `int64` (the reference). At first use on a
device each candidate is compared with the reference on extreme values; the first that agrees is used there.
"""

import os
from collections.abc import Callable, Mapping
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import DeviceError, ModelError
from .torch_ops import WIDE, aligned

Tensors = Mapping[str, NDArray[Any]]
Gemm = Callable[[Tensor, Tensor], Tensor]
"""(M, K) int8, (K, N) int8 -> (M, N) int32, exact."""

MIN_ROWS = 17
"""CUDA's int8 product takes more than 16 rows only."""
WEIGHT_LIMIT, SHIFT_LIMIT, SUM_LIMIT = 63, 24, 1 << 24
WIDE_SUM_LIMIT = 1 << 29


def _vnni(a: Tensor, w: Tensor) -> Tensor:
    if a.is_cuda or not find_spec("numba"):
        raise RuntimeError("compiled loops are for CPUs, and need numba")
    from .numba_networks import product

    return product(a, w)


def _int8(a: Tensor, w: Tensor) -> Tensor:
    if a.stride() != (a.shape[1], 1):
        # With rows that overlap in memory torch._int_mm silently gives wrong sums (torch 2.13, CPU), even for one row,
        # which `contiguous` would leave as it is.
        a = torch.empty_like(a, memory_format=torch.contiguous_format).copy_(a)
    if a.is_cuda and len(a) < MIN_ROWS:
        return torch._int_mm(torch.cat([a, a.new_zeros(MIN_ROWS - len(a), a.shape[1])]), w)[: len(a)]
    return torch._int_mm(a, w)


def _float32(a: Tensor, w: Tensor) -> Tensor:
    return (a.float() @ w.float()).int()


def _int64(a: Tensor, w: Tensor) -> Tensor:
    # Element-wise products: torch has no int64 matrix product on CUDA.
    columns = [(a.long() * column.long()).sum(1) for column in w.T]
    return torch.stack(columns, 1).int()


GEMMS: dict[str, Gemm] = {"vnni": _vnni, "int8": _int8, "float32": _float32, "int64": _int64}


def _probe(gemm: Gemm, device: torch.device) -> bool:
    """Whether a product agrees with the reference on extreme values, for few and many rows and columns."""
    generator = np.random.default_rng(0)
    for rows, inner, columns in ((1, 8, 8), (40, 1024, 16), (300, 432, 48)):
        a = torch.from_numpy(generator.choice(np.array([-127, 127, 1], np.int8), (rows, inner)))
        w = torch.from_numpy(generator.choice(np.array([-63, 63], np.int8), (inner, columns)))
        a[0], w[:, 0] = 127, 63  # the largest sum there is
        expected = torch.from_numpy(a.numpy().astype(np.int64) @ w.numpy().astype(np.int64)).int()
        try:
            if not torch.equal(gemm(a.to(device), w.to(device)).cpu(), expected):
                return False
        except RuntimeError:  # a product that this device or build does not have
            return False
    return True


def _has_vnni() -> bool:
    """Whether compiled loops have an instruction for products: without, they are exact but slow."""
    if not find_spec("numba"):
        return False
    from .numba_tiles import VNNI

    return VNNI is not None


def named_gemm(device: str) -> Gemm:
    """The exact product that the environment names, for tests, or the fastest one."""
    return choose_gemm(torch.device(device), os.environ.get("NUMCODECS_BITSWAP_GEMM", "auto"))


@cache
def choose_gemm(device: torch.device, name: str) -> Gemm:
    """The exact product `name`, or the fastest exact one if `name` is "auto".

    Raises
    ------
    DeviceError
        None (or not the named one) agrees with the reference on this device.
    """
    if name not in ("auto", *GEMMS):
        raise DeviceError(f"NUMCODECS_BITSWAP_GEMM is {name!r}; it may be auto, {', '.join(GEMMS)}")
    for candidate in GEMMS if name == "auto" else [name]:
        if name == "auto" and candidate == "vnni" and not _has_vnni():
            continue
        if _probe(GEMMS[candidate], device):
            return GEMMS[candidate]
    raise DeviceError(f"{name} matrix products are not exact on {device}; set NUMCODECS_BITSWAP_DEVICE=cpu")


class Layer:
    """One integer layer: rows of int8 activations -> int32 sums, columns padded with zeros to multiples of ALIGN.

    Attributes
    ----------
    wide : bool
    bias, shift : int32 tensors, shape (columns,)
        Half the last bit that the shift drops is in the bias.
    arrays : tuple of int32 ndarray
        The two again, for compiled loops: to ask a tensor for its array takes longer than some of them.
    n_out : int
        Outputs, the first of the columns.

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
    DeviceError
        No product is exact on this device.
    """

    def __init__(self, tensors: Tensors, name: str, segments: tuple[int, ...], device: str):
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
            raise ModelError(f"layer {name}: weights, shifts or sums out of range, results would not be exact")
        self.n_out = len(w)
        columns = aligned(self.n_out)
        high = (w + WIDE // 2) // WIDE
        limbs = [high, w - WIDE * high] if self.wide else [w]
        self.weights = torch.cat([_columns(limb, segments, columns) for limb in limbs], 1).to(device)
        padded = (np.pad(each, (0, columns - self.n_out)).astype(np.int32) for each in (b + half, f))
        self.arrays = bias, shift = tuple(padded)
        self.bias, self.shift = torch.from_numpy(bias).to(device), torch.from_numpy(shift).to(device)
        self._gemm = named_gemm(device)

    @staticmethod
    def _take(tensors: Tensors, name: str, *dtypes: str) -> NDArray[Any]:
        if name not in tensors or tensors[name].dtype not in dtypes:
            raise ModelError(f"the model has no {' or '.join(dtypes)} tensor {name}")
        return tensors[name]

    def sums(self, rows: Tensor) -> Tensor:
        """Matrix products of int8 rows (M, inputs), to be settled: int32 (M, columns), see `torch_ops`."""
        return self._gemm(rows, self.weights)


def _columns(w: NDArray[Any], segments: tuple[int, ...], columns: int) -> Tensor:
    """Weights (out, in) as the int8 right side of `gemm`, (padded inputs, columns)."""
    rows: list[NDArray[Any]] = []
    for part in np.split(w.T, np.cumsum(segments)[:-1]):
        rows += [part, np.zeros((aligned(len(part)) - len(part), len(w)), np.int8)]
    padded = np.zeros((sum(aligned(n) for n in segments), columns), np.int8)
    padded[:, : len(w)] = np.concatenate(rows)
    return torch.from_numpy(padded)

"""Layers in torch: int8 x int8 matrix products with a defined result.

Any product with exact results may be used. There are three: `int8` (torch._int_mm: VNNI on CPUs, tensor cores on GPUs),
`float32` (exact while every partial sum is below 2^24, which FORMAT.md requires of every model and `layers.Layer`
checks) and `int64` (the reference). At first use on a device each is compared with the reference on extreme values; the
first that agrees is used there.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor

from ..errors import DeviceError
from .layers import Layer

Gemm = Callable[[Tensor, Tensor], Tensor]
"""(M, K) int8, (K, N) int8 -> (M, N) int32, exact."""

MIN_ROWS = 17
"""CUDA's int8 product requires more than 16 rows."""


def _int8(a: Tensor, w: Tensor) -> Tensor:
    if a.stride() != (a.shape[1], 1):
        # If rows overlap in memory torch._int_mm silently returns wrong sums (torch 2.13, CPU), even for one row, which
        # `contiguous` would not copy.
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


GEMMS: dict[str, Gemm] = {"int8": _int8, "float32": _float32, "int64": _int64}


def _probe(gemm: Gemm, device: torch.device) -> bool:
    """Whether a product agrees with the reference on extreme values, for few and many rows and columns."""
    generator = np.random.default_rng(0)
    for rows, inner, columns in ((1, 8, 8), (40, 1024, 16), (300, 432, 48)):
        a = torch.from_numpy(generator.choice(np.array([-127, 127, 1], np.int8), (rows, inner)))
        w = torch.from_numpy(generator.choice(np.array([-63, 63], np.int8), (inner, columns)))
        a[0], w[:, 0] = 127, 63  # the largest possible sum
        expected = torch.from_numpy(a.numpy().astype(np.int64) @ w.numpy().astype(np.int64)).int()
        try:
            if not torch.equal(gemm(a.to(device), w.to(device)).cpu(), expected):
                return False
        except RuntimeError:  # this device or build does not have the product
            return False
    return True


@cache
def choose_gemm(device: torch.device) -> Gemm:
    """The fastest exact product.

    Raises
    ------
    DeviceError
        None agrees with the reference on this device.
    """
    for gemm in GEMMS.values():
        if _probe(gemm, device):
            return gemm
    raise DeviceError(f"no matrix product of torch is exact on {device}; set NUMCODECS_BITSWAP_DEVICE=cpu")


class TorchLayer:
    """A layer on a device, with the matrix product used there.

    Attributes
    ----------
    wide, weights, bias, shift : see `layers.Layer`
    """

    def __init__(self, layer: Layer, device: torch.device, gemm: Gemm | None = None) -> None:
        self.wide = layer.wide
        self.weights, self.bias, self.shift = (
            torch.from_numpy(each).to(device) for each in (layer.weights, layer.bias, layer.shift)
        )
        self._gemm = gemm or choose_gemm(device)

    def sums(self, rows: Tensor) -> Tensor:
        """Matrix products of int8 rows (M, inputs), to be requantised: int32 (M, columns), see `torch_ops`."""
        return self._gemm(rows, self.weights)

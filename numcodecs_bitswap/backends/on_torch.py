"""torch on CUDA, and on the CPU to check the other backend: matrix products, and Triton kernels where they exist."""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from ..arrays.on_torch import arrays_on
from ..nets import torch_networks, torch_ops
from ..nets.layers import Layer
from ..nets.torch_layer import Gemm, TorchLayer
from ..nets.transforms import Elementwise
from ..rans.message import Stack
from ..rans.torch_backend import TorchStack
from .base import Backend

if hasattr(os, "register_at_fork"):
    # A forked child has none of OpenMP's threads, and would wait for them forever.
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


class TorchBackend(Backend):
    """See `Backend`.

    Parameters
    ----------
    device : "cuda" or "torch"
    triton : bool, optional
        Whether to use Triton kernels. Default: on CUDA, if Triton is installed.
    gemm : callable, optional
        The matrix product of layers. Default: the fastest exact one.
    """

    elementwise = Elementwise

    def __init__(self, device: str, triton: bool | None = None, gemm: Gemm | None = None) -> None:
        self.device = device
        self._place = torch.device("cpu" if device == "torch" else device)
        self._gemm = gemm
        self.arrays = arrays_on(torch.empty(0, device=self._place).device)
        stack: Callable[..., Stack] = TorchStack.unflatten
        layers: Any = torch_networks
        ops: Any = torch_ops
        if device == "cuda" and find_spec("triton") if triton is None else triton:
            from ..distributions.triton_forms import form
            from ..nets import triton_ops
            from ..rans.triton_backend import TritonStack

            stack, layers, ops = partial(TritonStack.with_forms, forms=form), triton_ops, triton_ops
        self.stack = partial(stack, device=str(self._place))
        self._layers, self._ops = layers, ops

    def running(self) -> AbstractContextManager[Any]:
        return torch.inference_mode()

    def network(self, layers: Sequence[Layer]) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        first, *inner, head, skip = (TorchLayer(each, self._place, self._gemm) for each in layers)
        ops = self._layers

        def run(u: Tensor) -> tuple[Tensor, Tensor]:
            h = ops.dense(u, first)
            for conv, out in zip(inner[::2], inner[1::2], strict=True):
                h = ops.block(h, conv, out)
            return h, ops.outputs(h, head, u, skip)

        return run

    def correction(self, layers: Sequence[Layer], earlier: int) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        pair = tuple(TorchLayer(each, self._place, self._gemm) for each in layers)

        def correct(features: Tensor, pixels: Tensor, base: Tensor) -> Tensor:
            y: Tensor = self._layers.correction(features, pixels, base, earlier, pair)
            return y

        return correct

    def inputs_a(self, c: Tensor) -> tuple[Tensor, Tensor]:
        u, base = self._ops.inputs_a(c)
        return u, base

    def inputs_b(self, c: Tensor, d: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        u, base01, base10 = self._ops.inputs_b(c, d)
        return u, base01, base10

    def mixtures(
        self, y: Tensor, first: int, added: Tensor | None, base: Tensor, pixels: Tensor, ch: int, k: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        logits, means, scales = self._ops.mixtures(y, first, added, base, pixels, ch, k)
        return logits, means, scales

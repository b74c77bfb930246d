"""The choice of what networks run on: kernels of their own on CUDA with Triton, which comes with torch there; else
matrix products, with compiled loops between them on a CPU with numba (extra `fast`), or with torch.
"""

from functools import cache
from importlib.util import find_spec
from types import ModuleType

from . import torch_ops


@cache
def operations(device: str) -> ModuleType:
    """`torch_ops`, or `numba_ops` or `triton_ops` with the same functions and results."""
    if _triton(device):
        from . import triton_ops

        return triton_ops
    if device == "cpu" and find_spec("numba"):
        from . import numba_ops

        return numba_ops
    return torch_ops


@cache
def layers(device: str) -> ModuleType:
    """What networks are made of: `slabs`, or `triton_ops` with the same functions and results."""
    if _triton(device):
        from . import triton_ops

        return triton_ops
    from . import slabs

    return slabs


@cache
def deep_operations(device: str) -> ModuleType:
    """The same of `deep_torch` and `deep_numba`."""
    from . import deep_torch

    if device == "cpu" and find_spec("numba"):
        from . import deep_numba

        return deep_numba
    return deep_torch


def _triton(device: str) -> bool:
    return device == "cuda" and find_spec("triton") is not None

"""The choice of what networks run on: kernels of their own on CUDA with Triton, which comes with torch there; compiled
whole on a CPU with numba (extra `fast`) and VNNI; else matrix products, with compiled loops between them on a CPU with
numba, or with torch.
"""

from functools import cache
from importlib.util import find_spec
from types import ModuleType

from . import torch_ops
from .exact import GEMMS, named_gemm


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


def networks(device: str) -> ModuleType | None:
    """`numba_networks`, if networks are to be compiled whole."""
    if named_gemm(device) is not GEMMS["vnni"]:
        return None
    from . import numba_networks

    return numba_networks


def _triton(device: str) -> bool:
    return device == "cuda" and find_spec("triton") is not None

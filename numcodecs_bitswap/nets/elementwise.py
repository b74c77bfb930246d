"""The choice of what runs between matrix products: compiled loops on a CPU with numba (extra `fast`), else torch."""

from functools import cache
from importlib.util import find_spec
from types import ModuleType

from . import torch_ops


@cache
def operations(device: str) -> ModuleType:
    """`torch_ops`, or `numba_ops` with the same functions and results."""
    if device == "cpu" and find_spec("numba"):
        from . import numba_ops

        return numba_ops
    return torch_ops


@cache
def layers(device: str) -> ModuleType:
    """`slabs`: what networks are made of, in layers."""
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

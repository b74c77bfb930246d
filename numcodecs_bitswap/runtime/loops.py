"""Loops over integers that any decoder needs: compiled by numba or, where it is not installed, run by Python.

The same names as in `jit`, which imports numba.
"""

import warnings
from collections.abc import Callable
from functools import cache, wraps
from importlib.util import find_spec
from typing import Any

import numpy as np

if find_spec("numba") is not None:
    from .jit import compiled, inlined, part
else:

    def compiled(kernel: Callable[..., None], signature: str | None = None) -> Any:
        """A loop as it is; the first one that is called warns."""

        @wraps(kernel)
        def run(*arguments: Any) -> Any:
            _warn()
            with np.errstate(over="ignore"):
                return kernel(*arguments)

        return run

    def part(function: Callable[..., Any]) -> Any:
        """A function as it is."""
        return function

    inlined = part


@cache
def _warn() -> None:
    warnings.warn(
        "numba is not installed: labels, gaps and low bits are coded by Python, some hundred times slower; "
        "pip install numba",
        stacklevel=4,
    )


__all__ = ["compiled", "inlined", "part"]

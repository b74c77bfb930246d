"""Compiled loops on a CPU: how this package uses numba (extra `fast`). Imports nothing of this package."""

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(kernel: Callable[..., None], signature: str | None = None) -> Any:
    """Compile a loop that holds no interpreter lock, and keep the code on disk.

    With a signature it is compiled at once, and for those types alone.
    """
    options: Any = {"signature_or_function": signature, "nogil": True, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(kernel)
    except (
        RuntimeError
    ):  # nowhere to keep compiled code: neither beside the kernel's file nor in the user's cache folder
        return njit(**options)(kernel)


def inlined(function: Callable[..., Any]) -> Any:
    """A part of compiled loops, put into each at the level of Python's own code."""
    return njit(inline="always")(function)

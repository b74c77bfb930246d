"""Checks of a distribution's parameters; they raise ValueError. Imports `arrays` only.

Values on a GPU are not checked, since reading them waits for the GPU: networks keep them within their limits.
"""

from .. import arrays
from ..arrays import Array


def block_shape(*parameters: Array) -> tuple[int, int]:
    """Return (B, n) of parameters that must all have shape (B, n, 1)."""
    first = parameters[0].shape
    if len(first) != 3 or first[2] != 1 or any(p.shape != first for p in parameters):
        raise ValueError(f"parameters of a block all have shape (B, n, 1), not {[tuple(p.shape) for p in parameters]}")
    return first[0], first[1]


def check_range(name: str, values: Array, low: int, high: int) -> None:
    """Raise unless low <= values <= high; on a GPU nothing is checked."""
    if 0 not in values.shape and arrays.of(values).asks:
        least, most = int(values.min()), int(values.max())
        if least < low or most > high:
            raise ValueError(f"{name} {least} .. {most} are not all in {low} .. {high}")


def some(mask: Array) -> bool:
    """Whether any is true; on a GPU always True."""
    return not arrays.of(mask).asks or bool(mask.any())


def at_most(values: Array, bound: int) -> int:
    """The largest of values; on a GPU their bound."""
    if not arrays.of(values).asks:
        return bound
    return int(values.max()) if 0 not in values.shape else 0

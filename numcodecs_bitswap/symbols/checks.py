"""Checks of a distribution's parameters, each raising ValueError. Imports torch only."""

from torch import Tensor

ASKED = {"cpu"}
"""Devices whose tensors are looked at. To ask a GPU is to wait for it, so there the parameters are as networks give
them, within their limits.
"""


def block_shape(*parameters: Tensor) -> tuple[int, int]:
    """Return (B, n) of parameters that must all have shape (B, n, 1)."""
    first = parameters[0].shape
    if len(first) != 3 or first[2] != 1 or any(p.shape != first for p in parameters):
        raise ValueError(f"parameters of a block all have shape (B, n, 1), not {[tuple(p.shape) for p in parameters]}")
    return first[0], first[1]


def check_range(name: str, values: Tensor, low: int, high: int) -> None:
    """Raise unless low <= values <= high, on the devices that are ASKED."""
    if values.numel() and values.device.type in ASKED:
        least, most = (each.item() for each in values.aminmax())
        if least < low or most > high:
            raise ValueError(f"{name} {least} .. {most} are not all in {low} .. {high}")


def some(mask: Tensor) -> bool:
    """Whether any is true; of a GPU, whether any may be."""
    return mask.device.type not in ASKED or bool(mask.any())


def at_most(values: Tensor, bound: int) -> int:
    """The largest of values; of a GPU's, their bound."""
    if values.device.type not in ASKED:
        return bound
    return int(values.max()) if values.numel() else 0

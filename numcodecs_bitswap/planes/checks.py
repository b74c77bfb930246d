"""Rules of FORMAT.md section 7 for models. Kernels do not check bounds, so all are checked when a file is read."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError

LARGEST_WEIGHT, LARGEST_SHIFT = 63, 24
LARGEST_SUM = 1 << 29
"""Largest sum of a layer, so that the sum of two layers fits int32."""


def require(kind: str, kept: bool, rule: str) -> None:
    """Refuse a model that breaks a rule.

    Raises
    ------
    ModelError
        The rule is not kept.
    """
    if not kept:
        raise ModelError(f"a model of kind {kind!r} has {rule}")


def whole(value: Any, least: int, most: int, step: int = 1) -> bool:
    """Whether a JSON value is an integer in a range."""
    return type(value) is int and least <= value <= most and value % step == 0


def find(
    kind: str, tensors: dict[str, NDArray[Any]], name: str, dtype: str, shape: tuple[int, ...]
) -> NDArray[np.int64]:
    """Get a tensor of a given dtype and shape.

    Raises
    ------
    ModelError
        The tensor is missing, or has another dtype or shape.
    """
    require(kind, name in tensors, f"a tensor {name}")
    tensor = tensors[name]
    require(
        kind,
        tensor.dtype == dtype and tensor.shape == shape,
        f"{name} of {dtype} and shape {shape}, not {tensor.dtype} and {tensor.shape}",
    )
    return tensor.astype(np.int64)


def check_layers(
    kind: str, layers: dict[str, tuple[int, int]], tensors: dict[str, NDArray[Any]], largest_input: int
) -> None:
    """Check layers, given by name with their numbers of outputs and inputs.

    Raises
    ------
    ModelError
        A layer is missing, or its sums could leave their range.
    """
    for name, (outputs, inputs) in layers.items():
        w = np.abs(find(kind, tensors, f"{name}.w", "int8", (outputs, inputs)))
        b = np.abs(find(kind, tensors, f"{name}.b", "int32", (outputs,)))
        f = find(kind, tensors, f"{name}.f", "uint8", (outputs,))
        require(kind, int(w.max()) <= LARGEST_WEIGHT, f"weights of at most {LARGEST_WEIGHT} in {name}")
        require(kind, int(f.max()) <= LARGEST_SHIFT, f"shifts of at most {LARGEST_SHIFT} in {name}")
        sums = largest_input * w.sum(1) + b + (1 << f >> 1)
        require(kind, int(sums.max()) < LARGEST_SUM, f"sums below {LARGEST_SUM} in {name}")

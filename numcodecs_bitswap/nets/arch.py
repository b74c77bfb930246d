"""Checks of a model file's `arch` (FORMAT.md section 7)."""

from typing import Any

from ..errors import ModelError

LARGEST_BLOCKS = 64


def check_kind(arch: dict[str, Any], kind: str, formats: tuple[int, ...]) -> None:
    """Raise ModelError unless `arch` is of this kind and of one of these formats."""
    if arch.get("format") not in formats or arch.get("kind") != kind:
        raise ModelError(
            f"the model has format {arch.get('format')} and kind {arch.get('kind')!r}; this version reads {kind!r} "
            f"of format {' and '.join(map(str, formats))}: upgrade numcodecs_bitswap to use the model"
        )


def check_integers(arch: dict[str, Any], limits: dict[str, tuple[int, int]], blocks: tuple[str, ...]) -> None:
    """Raise ModelError unless every key of `limits` is an integer from low to high, every key of `blocks` a number of
    blocks, and `channels` 1 or 3.
    """
    counts = arch.get("blocks")
    values = arch | {f"blocks.{key}": counts.get(key) for key in blocks} if isinstance(counts, dict) else arch
    for key, (low, high) in (limits | {f"blocks.{key}": (0, LARGEST_BLOCKS) for key in blocks}).items():
        if type(values.get(key)) is not int or not low <= values[key] <= high:
            raise ModelError(f"the model's arch has {key} = {values.get(key)!r}, not an integer from {low} to {high}")
    if arch["channels"] == 2:
        raise ModelError("the model's arch has 2 channels, not 1 or 3")

"""What a model file says about its networks (`arch`, FORMAT.md section 7), checked."""

from typing import Any

from ..errors import ModelError

LARGEST_BLOCKS = 64


def check_kind(arch: dict[str, Any], kind: str, formats: tuple[int, ...]) -> None:
    """Raise ModelError unless `arch` is of this kind and of one of these formats."""
    if arch.get("format") not in formats or arch.get("kind") != kind:
        raise ModelError(
            f"a model of format {arch.get('format')}, kind {arch.get('kind')!r}; this version reads kind {kind!r} of "
            f"format {' and '.join(map(str, formats))}: it was made by a newer version of numcodecs_bitswap, upgrade"
        )


def check_integers(arch: dict[str, Any], limits: dict[str, tuple[int, int]], blocks: tuple[str, ...]) -> None:
    """Raise ModelError unless every key of `limits` is an integer from low to high, and every key of `blocks` a number
    of blocks.
    """
    counts = arch.get("blocks")
    values = arch | {f"blocks.{key}": counts.get(key) for key in blocks} if isinstance(counts, dict) else arch
    for key, (low, high) in (limits | {f"blocks.{key}": (0, LARGEST_BLOCKS) for key in blocks}).items():
        if type(values.get(key)) is not int or not low <= values[key] <= high:
            raise ModelError(f"the model's arch has {key} = {values.get(key)!r}, not an integer from {low} to {high}")
    if arch["channels"] == 2:
        raise ModelError("a model has 1 or 3 channels")

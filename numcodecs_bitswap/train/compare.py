"""Comparison of a new model with other codecs, on validation data."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from numpy.typing import NDArray

from ..chunk.patches import image_axes
from ..errors import MissingModel, ModelError
from ..measure.classical import classical
from ..measure.harness import Measured, bitswap, measure


def classical_rows(chunks: Sequence[NDArray[Any]], channel_axis: int | None = None) -> list[Measured]:
    """Results of the classical codecs, each chunk on its own."""
    axes = image_axes(chunks[0].shape, "auto" if channel_axis is None else channel_axis, "auto")
    return [measure(peer, chunks) for peer in classical(chunks[0], axes=axes)]


def all_rows(chunks: Sequence[NDArray[Any]], model: str, name: str, channel_axis: int | None) -> list[Measured]:
    """Results of these, of the default model if it fits, and of a model by its id."""
    options = {} if channel_axis is None else {"channel_axis": channel_axis}
    rows = classical_rows(chunks, channel_axis)
    with suppress(MissingModel, ModelError):  # no default model for this number of channels
        rows.append(measure(bitswap("auto", "BitSwap, default model", **options), chunks))
    return [*rows, measure(bitswap(model, f"BitSwap, {name}", **options), chunks)]


def plane_rows(
    chunks: Sequence[NDArray[Any]], start: str, model: str, name: str, channel_axis: int | None
) -> list[Measured]:
    """Results of the classical codecs, of the model that a run started from, if any, and of its result, by id."""
    options = {} if channel_axis is None else {"channel_axis": channel_axis}
    peers = [bitswap(start, f"BitSwap, {start}", **options)] if start else []
    peers.append(bitswap(model, f"BitSwap, {name}", **options))
    return [*classical_rows(chunks, channel_axis), *(measure(peer, chunks) for peer in peers)]

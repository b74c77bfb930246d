"""What a model gained: codecs on validation data, side by side."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from numpy.typing import NDArray

from ..chunk.patches import image_axes
from ..errors import MissingModel, ModelError
from ..measure.classical import classical
from ..measure.harness import Measured, bitswap, measure


def classical_rows(chunks: Sequence[NDArray[Any]], channel_axis: int | None = None) -> list[Measured]:
    """The classical codecs on chunks, each on its own."""
    axes = image_axes(chunks[0].shape, "auto" if channel_axis is None else channel_axis, "auto")
    return [measure(peer, chunks) for peer in classical(chunks[0], axes=axes)]


def all_rows(chunks: Sequence[NDArray[Any]], model: str, name: str, channel_axis: int | None) -> list[Measured]:
    """Those, the default model if it fits, and a model by its id."""
    options = {} if channel_axis is None else {"channel_axis": channel_axis}
    rows = classical_rows(chunks, channel_axis)
    with suppress(MissingModel, ModelError):  # none for that many channels
        rows.append(measure(bitswap("auto", "BitSwap, default model", **options), chunks))
    return [*rows, measure(bitswap(model, f"BitSwap, {name}", **options), chunks)]


def plane_rows(
    chunks: Sequence[NDArray[Any]], start: str, model: str, name: str, channel_axis: int | None
) -> list[Measured]:
    """The classical codecs, the model that a run began with, if any, and the one that came of it, by its id."""
    options = {} if channel_axis is None else {"channel_axis": channel_axis}
    peers = [bitswap(start, f"BitSwap, {start}", **options)] if start else []
    peers.append(bitswap(model, f"BitSwap, {name}", **options))
    return [*classical_rows(chunks, channel_axis), *(measure(peer, chunks) for peer in peers)]

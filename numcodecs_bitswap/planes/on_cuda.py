"""Chunks' planes <-> the messages of their tiles on a CUDA device: tiles of one shape of all chunks in one launch.

At the first use of kernels they code small tiles, which are compared with those of `coder`, the CPU's. If they give
other bytes, or do not compile, a warning is given, and `usable` says so.
"""

import warnings
from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import coder, triton_tiles
from .message import Message, Planes
from .model import PlaneModel
from .triton_tiles import Kind

DEVICE = "cuda"
PROBED_SIDE, PROBED = 64, 1 << 14
"""Height of the tile that is compared, and its least number of samples: enough for two lanes."""
PROBED_LARGEST = 255, 70_000

_agrees: dict[Any, bool] = {}
_AGREEING = Lock()


def usable(decode: bool, model: PlaneModel, shape: tuple[int, ...], references: NDArray[np.int64]) -> bool:
    """Whether the kernels decode or encode planes (P, H, W) as `coder` does."""
    numbers = tuple(sorted({int(each) for each in (references >= 0).sum(1)}))
    return all(_agree(decode, model, numbers, Kind.of(size)) for size in _alike(shape))


def encode(
    model: PlaneModel, chunks: Sequence[Planes], references: NDArray[np.int64], largest: Sequence[int]
) -> list[list[Message]]:
    """For each of several chunks of one shape what `coder.encode` returns.

    Parameters
    ----------
    model : PlaneModel
    chunks : sequence of integer arrays, shape (P, H, W)
    references : int64 array, shape (P, R)
        Of each chunk.
    largest : sequence of int
        The largest number of each chunk.
    """
    found: list[list[Any]] = [[None] * len(coder.tiles(*chunks[0].shape[1:])) for _ in chunks]
    for which in _alike(chunks[0].shape).values():
        work = [(k, at, rows, columns) for k in range(len(chunks)) for at, (rows, columns) in which]
        tiles = [np.ascontiguousarray(chunks[k][:, rows, columns], np.int32) for k, _, rows, columns in work]
        most = [largest[k] for k, *_ in work]
        messages = triton_tiles.encode(model, tiles, references, most, DEVICE)
        for (k, at, *_), message in zip(work, messages, strict=True):
            found[k][at] = message
    return found


def decode(
    model: PlaneModel,
    messages: Sequence[Sequence[Message]],
    shape: tuple[int, int, int],
    references: NDArray[np.int64],
    largest: Sequence[int],
) -> list[Planes]:
    """Inverse of `encode`: for each of several chunks of one shape what `coder.decode` returns.

    Raises
    ------
    FormatError
        A message is too short or too long, or holds an impossible value.
    """
    planes = [coder.empty_planes(shape, m) for m in largest]
    for size, which in _alike(shape).items():
        work = [(k, at, rows, columns) for k in range(len(planes)) for at, (rows, columns) in which]
        given, most = [messages[k][at] for k, at, *_ in work], [largest[k] for k, *_ in work]
        tiles = triton_tiles.decode(model, given, size, references, most, DEVICE)
        for (k, _, rows, columns), tile in zip(work, tiles, strict=True):
            planes[k][:, rows, columns] = tile
    return planes


def _alike(shape: tuple[int, ...]) -> dict[tuple[int, int, int], list[tuple[int, tuple[slice, slice]]]]:
    """Tiles of planes (P, H, W), with their numbers, by their shape."""
    found: dict[tuple[int, int, int], list[Any]] = {}
    for at, (rows, columns) in enumerate(coder.tiles(*shape[1:])):
        size = shape[0], rows.stop - rows.start, columns.stop - columns.start
        found.setdefault(size, []).append((at, (rows, columns)))
    return found


def _agree(decode: bool, model: PlaneModel, numbers: tuple[int, ...], kind: Kind) -> bool:
    """Whether kernels of a kind give the bytes of `coder`. Asks them at the first call."""
    with _AGREEING:
        asked = decode, model, numbers, kind
        if asked not in _agrees:
            _agrees[asked] = _same(*asked)
        return _agrees[asked]


def _same(decode: bool, model: PlaneModel, numbers: tuple[int, ...], kind: Kind) -> bool:
    tiles, references = _probes(numbers)
    pairs = zip(tiles, PROBED_LARGEST, strict=True)
    messages = [coder.encode(model, tile, references, m)[0] for tile, m in pairs]
    shape: Any = tiles[0].shape
    got: Sequence[Any]
    expected: Sequence[Any]
    problem = None
    try:
        if decode:
            got, expected = triton_tiles.decode(model, messages, shape, references, PROBED_LARGEST, DEVICE, kind), tiles
        else:
            made = triton_tiles.encode(model, tiles, references, PROBED_LARGEST, DEVICE, kind)
            got, expected = ([part for message in each for part in message] for each in (made, messages))
        if not all(np.array_equal(a, b) for a, b in zip(got, expected, strict=True)):
            problem = f"it gives other {'samples' if decode else 'bytes'}"
    except Exception as error:  # Triton's compiler raises errors of many kinds
        problem = f"{type(error).__name__}: {error}"
    if problem:
        warnings.warn(f"Triton is not used for planes on {DEVICE}, but the CPU: {problem}", stacklevel=4)
    return problem is None


def _probes(numbers: tuple[int, ...]) -> tuple[list[NDArray[np.int32]], NDArray[np.int64]]:
    """Tiles with planes that have so many references each, two in a row, one for each of PROBED_LARGEST."""
    P = max(numbers) + 2 * len(numbers)
    references = np.full((P, max(*numbers, 1)), -1, np.int64)
    for p, R in enumerate(np.repeat(numbers, 2), max(numbers)):
        references[p, :R] = p - 1 - np.arange(R)
    h, w = PROBED_SIDE, -(-PROBED // (PROBED_SIDE * P))
    y, x = np.ogrid[:h, :w]
    rng, tiles = np.random.default_rng(0), []
    for m in PROBED_LARGEST:
        smooth = 0.5 + 0.3 * np.sin(x / 5 + np.arange(P)[:, None, None]) * np.cos(y / 7)
        noise = rng.normal(0, 0.02, (P, h, w)) + (rng.random((P, h, w)) < 0.01) * rng.random((P, h, w))
        tiles.append(np.rint(m * (smooth + noise).clip(0, 1)).astype(np.int32))
    return tiles, references

"""Measures codecs: each codes every chunk on its own, in as many threads as Zarr uses, and every decoded chunk is
compared with the original. Used by `estimate`, the end of training and the benchmarks.
"""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from statistics import median
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..codec import BitSwap

Chunk = NDArray[Any]
THREADS = min(10, (os.cpu_count() or 1) + 4)
"""The number of threads that Zarr uses by default."""


class Peer(NamedTuple):
    """A named codec; `decode` returns the chunk, or its bytes in C order."""

    name: str
    encode: Callable[[Chunk], bytes]
    decode: Callable[[bytes], Any]


@dataclass(frozen=True)
class Measured:
    """Results for one codec.

    Attributes
    ----------
    name : str
    total : int
        Bytes of all encoded chunks.
    bits_per_sample : float
        Bits/sample.
    encode_mb_s, decode_mb_s : float
        Megabytes (10^6 bytes) of array per second, medians over the repetitions.
    """

    name: str
    total: int
    bits_per_sample: float
    encode_mb_s: float
    decode_mb_s: float


def progress(total: int, name: str) -> Any:
    """A progress bar on a terminal, where tqdm is installed; it goes away when all is done."""
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        return nullcontext(SimpleNamespace(update=lambda: None))
    return tqdm(total=total, desc=name, leave=False, disable=None)


def bitswap(model: str = "auto", name: str = "Bit-Swap", **options: Any) -> Peer:
    """This package's codec; options are those of `BitSwap`."""
    codec = BitSwap(model=model, **options)
    return Peer(name, codec.encode, codec.decode)


def measure(
    peer: Peer, chunks: Sequence[Chunk], repeats: int = 1, threads: int = THREADS, warm: bool = False
) -> Measured:
    """Encode, decode, compare and time all chunks.

    Models are loaded and kernels compiled before the clock starts: unless `warm`, the first chunk is encoded and
    decoded once in advance.

    Parameters
    ----------
    peer : Peer
    chunks : sequence of ndarray
    repeats : int
        Repetitions; speeds are medians over them.
    threads : int
        Chunks coded at a time.
    warm : bool
        Whether the codec has coded such a chunk before.

    Raises
    ------
    AssertionError
        A decoded chunk differs from the original.
    """
    if not warm:
        peer.decode(peer.encode(chunks[0]))
    encode_s: list[float] = []
    decode_s: list[float] = []
    samples, size = (sum(getattr(chunk, of) for chunk in chunks) for of in ("size", "nbytes"))
    with ThreadPoolExecutor(threads) as pool, progress(2 * repeats * len(chunks), peer.name) as bar:

        def timed(function: Callable[[Any], Any], inputs: Sequence[Any], seconds: list[float]) -> list[Any]:
            start = time.perf_counter()
            results = []
            for result in pool.map(function, inputs):
                results.append(result)
                bar.update()
            seconds.append(time.perf_counter() - start)
            return results

        for _ in range(repeats):
            encoded = timed(peer.encode, chunks, encode_s)
            decoded = timed(peer.decode, encoded, decode_s)
    for chunk, got in zip(chunks, decoded, strict=True):
        if (got.tobytes() if isinstance(got, np.ndarray) else bytes(got)) != chunk.tobytes():
            raise AssertionError(f"{peer.name} did not decode to the same bytes")
    total = sum(len(e) for e in encoded)
    speeds = (size / 1e6 / median(seconds) for seconds in (encode_s, decode_s))
    return Measured(peer.name, total, 8 * total / samples, *speeds)


def table(rows: Sequence[Measured], reference: str, unit: str = "bits/sample") -> str:
    """A Markdown table, smallest last; the last column is the size relative to that of the codec named `reference`."""
    base = next(row.total for row in rows if row.name == reference)
    lines = [
        f"| codec | bytes | {unit} | encode MB/s | decode MB/s | size / {reference} |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for row in sorted(rows, key=lambda row: -row.total):
        speed = f"{row.encode_mb_s:.1f} | {row.decode_mb_s:.1f}"
        lines.append(f"| {row.name} | {row.total:,} | {row.bits_per_sample:.3f} | {speed} | {row.total / base:.3f} |")
    return "\n".join(lines)

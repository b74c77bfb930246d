"""Codecs to compare with, and one way to measure them all: used by `make demo` and `make bench`.

Every codec codes each chunk on its own, in as many threads as Zarr uses, and every decoded chunk is compared with the
original. The image codecs are imagecodecs' at lossless settings, the others numcodecs'.
"""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
from numcodecs import Blosc, Zstd
from numpy.typing import NDArray
from tqdm import tqdm

from numcodecs_bitswap import BitSwap

Chunk = NDArray[Any]
# As many as Zarr runs at once by default.
THREADS = min(10, (os.cpu_count() or 1) + 4)


class Peer(NamedTuple):
    """A codec by name; `decode` gives the chunk, or its bytes in C order."""

    name: str
    encode: Callable[[Chunk], bytes]
    decode: Callable[[bytes], Any]


@dataclass(frozen=True)
class Measured:
    """Total bytes of all chunks, and megabytes (10^6 bytes) of array per second: medians over the repetitions."""

    name: str
    total: int
    bits_per_dim: float
    encode_mb_s: float
    decode_mb_s: float


def bitswap(model: str = "auto") -> Peer:
    """This package's codec."""
    codec = BitSwap(model=model)
    return Peer("Bit-Swap", codec.encode, codec.decode)


def classical(channels: int, slow: bool = False) -> list[Peer]:
    """General and lossless image codecs for chunks (h, w, 3) or (h, w); `slow` adds stronger settings."""
    peers = [
        Peer("Blosc lz4", (blosc := Blosc()).encode, blosc.decode),
        Peer("Zstd", (zstd := Zstd()).encode, zstd.decode),
        Peer("PNG", _png_encode, imagecodecs.png_decode),
        Peer(
            "JPEG-LS",
            *(
                (_jpegls_encode, _jpegls_decode)
                if channels == 3
                else (imagecodecs.jpegls_encode, imagecodecs.jpegls_decode)
            ),
        ),
        _webp("WebP method 6", channels, None),
        jpegxl(7),
    ]
    return [*peers, _webp("WebP method 6, q 100", channels, 100), jpegxl(9)] if slow else peers


def _png_encode(chunk: Chunk) -> bytes:
    encoded: bytes = imagecodecs.png_encode(chunk, level=9, filter=imagecodecs.PNG.FILTER.ALL)
    return encoded


def _jpegls_encode(chunk: Chunk) -> bytes:
    """Red and blue as differences from green, modulo 256: JPEG-LS itself does not use the other channels."""
    planes = chunk.copy()
    planes[..., ::2] -= chunk[..., 1:2] - np.uint8(128)
    encoded: bytes = imagecodecs.jpegls_encode(planes)
    return encoded


def _jpegls_decode(encoded: bytes) -> Chunk:
    planes: Chunk = imagecodecs.jpegls_decode(encoded)
    planes[..., ::2] += planes[..., 1:2] - np.uint8(128)
    return planes


def _webp(name: str, channels: int, quality: int | None) -> Peer:
    """WebP has no gray images; three equal channels cost it next to nothing."""

    def encode(chunk: Chunk) -> bytes:
        rgb = chunk if channels == 3 else np.repeat(chunk[..., None], 3, axis=2)
        encoded: bytes = imagecodecs.webp_encode(rgb, quality, lossless=True, method=6, numthreads=1)
        return encoded

    def decode(encoded: bytes) -> Chunk:
        rgb: Chunk = imagecodecs.webp_decode(encoded)
        return rgb if channels == 3 else rgb[..., 0]

    return Peer(name, encode, decode)


def jpegxl(effort: int) -> Peer:
    """JPEG XL at an effort of 1 (fast) to 10."""

    def encode(chunk: Chunk) -> bytes:
        encoded: bytes = imagecodecs.jpegxl_encode(
            chunk, lossless=True, effort=effort, usecontainer=False, numthreads=1
        )
        return encoded

    return Peer(f"JPEG XL effort {effort}", encode, lambda encoded: imagecodecs.jpegxl_decode(encoded, numthreads=1))


def measure(peer: Peer, chunks: Sequence[Chunk], repeats: int = 1, threads: int = THREADS) -> Measured:
    """Encode, decode, compare and time all chunks; models are loaded and kernels compiled before the clock starts.

    Before that the first chunk is encoded and decoded once more than the others.

    Raises
    ------
    AssertionError
        A decoded chunk differs from the original.
    """
    peer.decode(peer.encode(chunks[0]))
    encode_s, decode_s = [], []
    samples, size = (sum(getattr(chunk, of) for chunk in chunks) for of in ("size", "nbytes"))
    with ThreadPoolExecutor(threads) as pool, tqdm(total=2 * repeats * len(chunks), desc=peer.name, leave=False) as bar:

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
        if np.ascontiguousarray(got).tobytes() != chunk.tobytes():
            raise AssertionError(f"{peer.name} did not decode to the same bytes")
    total = sum(len(e) for e in encoded)
    speeds = (size / 1e6 / median(seconds) for seconds in (encode_s, decode_s))
    return Measured(peer.name, total, 8 * total / samples, *speeds)


def table(rows: Sequence[Measured], reference: str) -> str:
    """Markdown, smallest last; the last column is the size relative to the codec named `reference`."""
    base = next(row.total for row in rows if row.name == reference)
    lines = [
        f"| codec | bytes | bits/dim | encode MB/s | decode MB/s | size / {reference} |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for row in sorted(rows, key=lambda row: -row.total):
        speed = f"{row.encode_mb_s:.1f} | {row.decode_mb_s:.1f}"
        lines.append(f"| {row.name} | {row.total:,} | {row.bits_per_dim:.3f} | {speed} | {row.total / base:.3f} |")
    return "\n".join(lines)

"""What would an array gain? Codes a sample of its chunks with the models that fit and with classical codecs.

Everything is measured on the array itself, chunk by chunk as Zarr would code it; sizes are total bytes of frames. The
image codecs are imagecodecs', if it is installed.
"""

import math
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numcodecs import Blosc, Zstd
from numpy.typing import NDArray

from . import catalog, frame
from .codec import BitSwap
from .errors import BitswapError, ModelError

THREADS = min(10, (os.cpu_count() or 1) + 4)
"""As many as Zarr runs at once by default."""


class SourceError(BitswapError, ValueError):
    """An array that cannot be opened or sampled."""


@dataclass(frozen=True)
class Row:
    """What one codec made of the sample.

    Attributes
    ----------
    name : str
    total : int
        Bytes of all encoded chunks.
    encode, decode : float
        10^6 bytes of array per second, in as many threads as Zarr uses.
    """

    name: str
    total: int
    encode: float
    decode: float


def open_array(source: str) -> tuple[Any, tuple[int, ...]]:
    """An array without reading it, and the shape of its chunks.

    Parameters
    ----------
    source : str
        A Zarr array (folder, zip or URL that fsspec knows), a .npy file (mapped, not read) or an image that Pillow
        opens.

    Raises
    ------
    SourceError
        It is none of these.
    """
    path = Path(source)
    try:
        if path.suffix == ".npy":
            array = np.load(path, mmap_mode="r")
            return array, _chunks(array.shape)
        if path.is_file() and path.suffix != ".zip":
            from PIL import Image

            image = np.asarray(Image.open(path))
            return image, _chunks(image.shape)
        import zarr

        stored = zarr.open(source, mode="r")
        if not isinstance(stored, zarr.Array):
            names = ", ".join(name for name, _ in stored.arrays()) or "none"
            raise SourceError(f"{source} is a group; name one of its arrays: {names}")
        return stored, tuple(stored.chunks)
    except (OSError, ValueError, ImportError) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"{source} is not a Zarr array, a .npy file or an image: {error}") from error


def _chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    """256 x 256 pixels where the last axes are an image."""
    channel = len(shape) >= 3 and shape[-1] in (1, 3)
    spatial = range(len(shape) - 2 - channel, len(shape) - channel)
    return tuple(
        min(n, 256) if axis in spatial else n if axis > max(spatial, default=0) else 1 for axis, n in enumerate(shape)
    )


def sample(array: Any, chunks: Sequence[int], count: int, seed: int = 0) -> list[NDArray[Any]]:
    """`count` different whole chunks, or all if there are fewer; edges only where there is nothing else.

    Raises
    ------
    SourceError
        The array is empty.
    """
    if not math.prod(array.shape):
        raise SourceError(f"an array of shape {array.shape} holds nothing to sample")
    grid = [max(n // c, 1) for n, c in zip(array.shape, chunks, strict=True)]
    rng = np.random.default_rng(seed)
    numbers = rng.choice(math.prod(grid), min(count, math.prod(grid)), replace=False)
    places = (np.unravel_index(int(number), grid) for number in sorted(numbers))
    return [
        np.ascontiguousarray(array[tuple(slice(i * c, (i + 1) * c) for i, c in zip(place, chunks, strict=True))])
        for place in places
    ]


def fitting_models(chunk: NDArray[Any], options: dict[str, Any]) -> list[str]:
    """The models that code a chunk, smallest frame first. Those for test suites are left out."""
    sizes = {}
    for name in catalog.names():
        try:
            encoded = BitSwap(model=name, **options).encode(chunk)
        except ModelError:
            continue  # of other channels, or a flow
        if not name.startswith("tiny-") and frame.parse(memoryview(encoded))[0].route == frame.Route.MODEL:
            sizes[name] = len(encoded)
    return sorted(sizes, key=lambda name: sizes[name])


def classical(chunk: NDArray[Any]) -> dict[str, Any]:
    """numcodecs' codecs for any dtype, and lossless image codecs for what they take."""
    codecs: dict[str, Any] = {
        "Zstd (Zarr's default)": Zstd(),
        "Blosc Zstd, bitshuffle": Blosc("zstd", 5, Blosc.BITSHUFFLE),
    }
    image = chunk.squeeze()
    if find_spec("imagecodecs") and chunk.dtype.str in ("|u1", "<u2") and image.ndim in (2, 3):
        from imagecodecs import numcodecs as images

        colour = image.ndim == 3 and image.shape[-1] == 3
        if image.ndim == 2 or colour:
            squeeze = tuple(chunk.shape) if image.ndim != chunk.ndim else None
            codecs["PNG"] = images.Png(level=9, squeeze=squeeze)
            codecs["JPEG XL effort 7"] = images.Jpegxl(lossless=True, effort=7, numthreads=1, squeeze=squeeze)
            if colour and chunk.dtype == np.uint8:
                codecs["WebP method 6"] = images.Webp(lossless=True, method=6, numthreads=1, squeeze=squeeze)
    return codecs


def measure(name: str, codec: Any, chunks: Sequence[NDArray[Any]], progress: Callable[[], Any]) -> Row:
    """Encode and decode the chunks; every decoded one is compared.

    Raises
    ------
    AssertionError
        A decoded chunk differs.
    """
    codec.decode(codec.encode(chunks[0]))  # models are loaded and kernels compiled before the clock starts
    seconds = []
    with ThreadPoolExecutor(THREADS) as pool:
        results: list[Any] = list(chunks)
        for function in (codec.encode, codec.decode):
            inputs, results, start = results, [], time.perf_counter()
            for result in pool.map(function, inputs):
                results.append(result)
                progress()
            seconds.append(time.perf_counter() - start)
    if any(memoryview(d).tobytes() != chunk.tobytes() for d, chunk in zip(results, chunks, strict=True)):
        raise AssertionError(f"{name} did not decode to the same bytes")
    megabytes = sum(chunk.nbytes for chunk in chunks) / 1e6
    return Row(name, sum(len(bytes(e)) for e in inputs), megabytes / seconds[0], megabytes / seconds[1])


def table(rows: Sequence[Row], chunks: Sequence[NDArray[Any]], nbytes: int) -> str:
    """Largest first: bytes of the sample, ratio, bits per sample, speeds, and what the whole array would take."""
    raw, samples = sum(chunk.nbytes for chunk in chunks), sum(chunk.size for chunk in chunks)
    lines = [f"{'codec':28} {'bytes':>12} {'ratio':>7} {'bits/sample':>11} {'encode':>8} {'decode':>8}  whole array"]
    for row in sorted(rows, key=lambda row: -row.total):
        whole = f"{_size(nbytes * row.total / raw):>9}, {_duration(nbytes / 1e6 / row.encode)}"
        lines.append(
            f"{row.name:28} {row.total:12,} {raw / row.total:7.3f} {8 * row.total / samples:11.3f} "
            f"{row.encode:8.1f} {row.decode:8.1f}  {whole}"
        )
    return "\n".join(lines)


def _size(count: float) -> str:
    exponent = min(int(math.log10(max(count, 1)) // 3), 5)
    return f"{count / 1000**exponent:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB', 'PB')[exponent]}"


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"

"""An array by its path or URL, without reading it: Zarr arrays of both formats, .npy (mapped), .npz, and images."""

import functools
import math
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import BitswapError

IMAGES = {".png", ".tif", ".tiff", ".webp", ".jpg", ".jpeg", ".bmp", ".ppm"}
SIDE = 256
"""Of chunks, where an array has none."""


class SourceError(BitswapError, ValueError):
    """An array that cannot be opened or sampled."""


@dataclass(frozen=True)
class Opened:
    """An array, or a region of it, that is read when it is indexed.

    Attributes
    ----------
    name : str
    array : Any
        With shape, dtype and slices.
    chunks : tuple of int
    starts, shape : tuple of int
        The region.
    """

    name: str
    array: Any
    chunks: tuple[int, ...]
    starts: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the samples."""
        dtype: np.dtype[Any] = np.dtype(self.array.dtype)
        return dtype

    @property
    def nbytes(self) -> int:
        """Of the region."""
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self, place: Sequence[int], size: Sequence[int]) -> NDArray[Any]:
        """A block of the region, smaller where the region ends; contiguous."""
        ends = (min(a + n, m) for a, n, m in zip(place, size, self.shape, strict=True))
        block = tuple(slice(start + a, start + end) for start, a, end in zip(self.starts, place, ends, strict=True))
        try:
            return np.ascontiguousarray(self.array[block])
        except (OSError, RuntimeError, ValueError) as error:
            if isinstance(error, SourceError):
                raise
            raise SourceError(f"{self.name} cannot be read at {_text(block)}: {error}") from error


def open_array(source: str, region: str | None = None) -> Opened:
    """Open an array.

    Parameters
    ----------
    source : str
        A Zarr array (folder, zip or URL that fsspec knows), a .npy file (mapped, not read), a .npz file (its first
        array) or an image that Pillow opens; of several pages a stack.
    region : str, optional
        Slices of its axes, such as "0:10,:,512:1024"; a number is a slice of one.

    Raises
    ------
    SourceError
        It is none of these, or does not have the region.
    """
    path = Path(source)
    try:
        if path.suffix == ".npy":
            array: Any = np.load(path, mmap_mode="r", allow_pickle=False)
        elif path.is_file() and path.suffix != ".zip":
            array = File(path, *(_npz_header if path.suffix == ".npz" else _image_header)(path))
        else:
            array = _zarr(source)
    except SourceError:
        raise
    except (OSError, ValueError, ImportError, LookupError, zipfile.BadZipFile) as error:
        raise SourceError(f"{source} is not a Zarr array, a .npy or .npz file or an image: {error}") from error
    starts, shape = _region(source, array.shape, region)
    return Opened(source, array, tuple(getattr(array, "chunks", None) or _chunks(array.shape)), starts, shape)


def _zarr(source: str) -> Any:
    import zarr

    place = zarr.storage.ZipStore(source, mode="r") if source.endswith(".zip") else source
    stored = zarr.open(place, mode="r")
    if not isinstance(stored, zarr.Array):
        names = ", ".join(name for name, _ in stored.arrays()) or "none"
        raise SourceError(f"{source} is a group; name one of its arrays: {names}")
    return stored


@dataclass(frozen=True)
class File:
    """An array that has to be read as a whole: a .npz file's first, or an image. The last ones read stay in memory."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, block: tuple[slice, ...]) -> NDArray[Any]:
        array = _read_file(self.path, self.path.stat().st_mtime_ns)
        if array.shape != self.shape:
            raise SourceError(f"{self.path} changed, or has pages of several sizes")
        return array[block]


@functools.lru_cache(maxsize=2)
def _read_file(path: Path, written: int) -> NDArray[Any]:
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            return np.asarray(arrays[arrays.files[0]])
    from PIL import Image

    pages = []
    with Image.open(path) as image:
        for page in range(getattr(image, "n_frames", 1)):
            image.seek(page)
            pages.append(np.asarray(image.convert(_plain(image.mode))))
    return np.stack(pages) if len(pages) > 1 else pages[0]


def _npz_header(path: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    return shape, dtype


def _image_header(path: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """(y, x), or (y, x, 3); several pages in front."""
    from PIL import Image

    with Image.open(path) as image:
        mode, pages = _plain(image.mode), getattr(image, "n_frames", 1)
        shape = (image.height, image.width, *([3] if mode == "RGB" else []))
        dtype = np.asarray(Image.new(mode, (1, 1))).dtype
    return ((pages, *shape) if pages > 1 else shape), dtype


def _plain(mode: str) -> str:
    """Pillow's mode of an image without palette and transparency."""
    return mode if mode in ("L", "I", "F") or mode.startswith("I;16") else "L" if mode in ("1", "LA") else "RGB"


def _region(source: str, shape: tuple[int, ...], region: str | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Starts and shape of a region."""
    if not math.prod(shape):
        raise SourceError(f"{source} has shape {shape} and holds nothing to sample")
    texts = region.replace(" ", "").split(",") if region else []
    if len(texts) > len(shape):
        raise SourceError(f"--region {region} has {len(texts)} axes, {source} has {len(shape)}")
    bounds = []
    for axis, length in enumerate(shape):
        text = texts[axis] if axis < len(texts) else ":"
        if not re.fullmatch(r"\d*:\d*|\d+", text):
            raise SourceError(f"--region {region}: {text!r} is not a slice such as 0:10 or :")
        first, colon, last = text.partition(":")
        low = int(first or 0)
        high = min(int(last), length) if last else length if colon else low + 1
        if not low < high <= length:
            raise SourceError(f"--region {region} is empty or outside of {source}, whose shape is {shape}")
        bounds.append((low, high - low))
    return tuple(low for low, _ in bounds), tuple(n for _, n in bounds)


def _chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    """256 x 256 pixels where the last axes are an image."""
    channel = len(shape) >= 3 and shape[-1] in (1, 3)
    spatial = range(len(shape) - 2 - channel, len(shape) - channel)
    return tuple(
        min(n, SIDE) if axis in spatial else n if axis > max(spatial, default=0) else 1 for axis, n in enumerate(shape)
    )


def _text(block: tuple[slice, ...]) -> str:
    return ",".join(f"{each.start}:{each.stop}" for each in block)


def sample(opened: Opened, chunks: Sequence[int], count: int, seed: int = 0) -> list[NDArray[Any]]:
    """`count` different whole chunks, or all if there are fewer; edges only where there is nothing else."""
    grid = [max(n // c, 1) for n, c in zip(opened.shape, chunks, strict=True)]
    rng = np.random.default_rng(seed)
    numbers = rng.choice(math.prod(grid), min(count, math.prod(grid)), replace=False)
    places = (np.unravel_index(int(number), grid) for number in sorted(numbers))
    return [opened.read([int(i) * c for i, c in zip(place, chunks, strict=True)], chunks) for place in places]

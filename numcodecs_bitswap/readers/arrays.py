"""Opens an array by its path or URL, without reading it: Zarr arrays of both formats, .npy (mapped), .npz, .bsw (a
frame in a file) and images.
"""

import functools
import math
import re
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BitswapError, SourceError
from ..runtime import zarr_loop
from . import images
from .images import SUFFIXES as IMAGES

__all__ = [
    "FRAME",
    "IMAGES",
    "SIDE",
    "Opened",
    "SourceError",
    "chunk_shape",
    "default_chunks",
    "is_url",
    "members",
    "open_array",
    "open_zarr",
    "sample",
]

FRAME = ".bsw"
"""Suffix of a file that holds one frame."""
UNFINISHED = "unfinished-conversion"
"""Name of the folder that `convert` keeps in an unfinished target."""
SIDE = 256
"""Height and width of chunks, for arrays without chunks."""


@dataclass(frozen=True)
class Opened:
    """An array, or a region of it, read on demand.

    Attributes
    ----------
    name : str
    array : Any
        Has a shape, a dtype, and is indexed by slices.
    chunks : tuple of int
    starts, shape : tuple of int
        Start and shape of the region.
    """

    name: str
    array: Any
    chunks: tuple[int, ...]
    starts: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the samples."""
        dtype: np.dtype[Any] = np.dtype(self.array.dtype)
        return dtype

    @property
    def nbytes(self) -> int:
        """Bytes of the region."""
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self, place: Sequence[int], size: Sequence[int]) -> NDArray[Any]:
        """A block of the region, from `place` on, contiguous; smaller at the end of the region.

        Raises
        ------
        SourceError
            It cannot be read.
        """
        ends = (min(a + n, m) for a, n, m in zip(place, size, self.shape, strict=True))
        block = tuple(slice(start + a, start + end) for start, a, end in zip(self.starts, place, ends, strict=True))
        try:
            return np.ascontiguousarray(self.array[block])
        except (OSError, RuntimeError, ValueError) as error:
            if isinstance(error, SourceError):
                raise
            raise SourceError(f"{self.name} cannot be read at {_text(block)}: {error}") from error


def open_array(source: str, region: str | None = None, colours: bool = False) -> Opened:
    """Open an array.

    Parameters
    ----------
    source : str
        A Zarr array (folder, zip or URL that fsspec knows), a .npy file (mapped, not read), a .npz file (its first
        array, or `a.npz/name`), a .bsw file (a frame) or an image (see `images`); several pages are a stack.
    region : str, optional
        Slices of its axes, such as "0:10,:,512:1024"; a number n stands for n:n+1.
    colours : bool
        Leave out the transparency of images.

    Returns
    -------
    Opened

    Raises
    ------
    SourceError
        It is none of these, or does not have the region.
    """
    path = Path(source)
    if is_url(source) and path.suffix.lower() in {".npy", ".npz", FRAME, *IMAGES}:
        raise SourceError(f"{source}: of URLs only Zarr arrays are read; copy the file to this machine first")
    try:
        if path.suffix == ".npy":
            array: Any = _mapped(path)
        elif (inside := _in_archive(source, "npz"))[0]:
            array = _npz(Path(inside[0]), inside[1])
        elif path.is_file() and path.suffix != ".zip":
            array = _file(path, colours)
        else:
            array = open_zarr(source)
    except (BitswapError, ModuleNotFoundError):
        raise
    except Exception as error:  # of readers of any kind
        raise SourceError(f"{source} is not a Zarr array, a .npy, .npz or .bsw file or an image: {error}") from error
    if not hasattr(array, "chunks") and not isinstance(array, File | np.ndarray):
        names = ", ".join(members(array)) or "none"
        raise SourceError(f"{source} is a group; name one of its arrays: {names}")
    starts, shape = _region(source, array.shape, region)
    return Opened(source, array, tuple(getattr(array, "chunks", None) or default_chunks(array.shape)), starts, shape)


def open_zarr(source: str) -> Any:
    """A Zarr array or group by its path (of a folder, a zip file, or one in it: `a.zip/name`) or URL, read only.

    Raises
    ------
    SourceError
        It is not there, cannot be reached, or is the target of an unfinished conversion.
    """
    import zarr

    zarr_loop.start()
    archive, path = _in_archive(source, "zip")
    try:
        place = zarr.storage.ZipStore(archive, mode="r") if archive else source
        return zarr.open(place, path=path, mode="r")
    except ModuleNotFoundError:
        raise
    except Exception as error:  # of readers of any kind, and of what fsspec talks to
        if _is_unfinished(source):
            raise SourceError(
                f"{source} is an unfinished conversion and not an array yet: run the same "
                "`numcodecs-bitswap convert` again, which resumes where it stopped"
            ) from error
        if Path(source).is_file() and not archive:
            raise SourceError(f"{source} is a file; a Zarr array or group is a folder, a zip file or a URL") from error
        raise SourceError(f"{source} is not a Zarr array or group, or cannot be reached: {error}") from error


def members(group: Any) -> dict[str, Any]:
    """The arrays of a Zarr group and of the groups in it, by path.

    Raises
    ------
    SourceError
        An array cannot be opened, or the store cannot list what it has.
    """
    try:
        found = sorted(group.members(None), key=lambda each: each[0])
    except Exception as error:  # one array with a codec that is not installed hides all others
        raise SourceError(
            f"the arrays of {group.store_path} cannot be listed, or one cannot be opened: {error}. A single array is "
            "opened by its own path; a server without listings needs consolidated metadata"
        ) from error
    return {path: node for path, node in found if hasattr(node, "chunks")}


def is_url(source: str) -> bool:
    """Whether fsspec opens it, and not the file system of this machine."""
    return "://" in source and not source.startswith("file://")


def _in_archive(source: str, suffix: str) -> tuple[str, str]:
    """The archive of a path such as `a.zip/name`, and the path in it; ("", "") if there is none."""
    match = re.fullmatch(rf"(.+?\.{suffix})(?:/(.*))?", source)
    return (match[1], (match[2] or "").strip("/")) if match and not Path(match[1]).is_dir() else ("", "")


def _is_unfinished(source: str) -> bool:
    if not is_url(source):
        return (Path(source.removeprefix("file://")) / UNFINISHED).is_dir()
    from zarr.core.sync import sync
    from zarr.storage import FsspecStore

    with suppress(Exception):
        return bool(sync(FsspecStore.from_url(source, read_only=True).exists(f"{UNFINISHED}/plan.json")))
    return False


def chunk_shape(opened: Opened, given: Sequence[int] | None, channel_axis: int | None = None) -> tuple[int, ...]:
    """The shape of chunks: as given, else the array's, else 256 x 256 pixels with all channels.

    Raises
    ------
    SourceError
        `given` does not fit the array.
    """
    if given:
        if len(given) != len(opened.shape) or min(given) < 1:
            raise SourceError(f"--chunks needs {len(opened.shape)} positive numbers for shape {opened.shape}")
        return tuple(given)
    if (
        channel_axis is not None
        and -len(opened.shape) <= channel_axis < len(opened.shape)
        and not hasattr(opened.array, "chunks")
    ):
        return default_chunks(opened.shape, channel_axis)
    return opened.chunks


def _mapped(path: Path) -> Any:
    """A .npy file, mapped; an empty one, which cannot be mapped, is read."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError:
        return np.load(path, allow_pickle=False)


@dataclass(frozen=True)
class File:
    """An array that has to be read as a whole: one of a .npz file, an image, a frame. The last two read are kept in
    memory.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    colours: bool = False
    member: str = ""

    def __getitem__(self, block: tuple[slice, ...]) -> NDArray[Any]:
        array = _read_file(self.path, self.path.stat().st_mtime_ns, self.colours, self.member)
        if array.shape != self.shape:
            raise SourceError(f"{self.path} changed, or has pages of several sizes")
        return array[block]


def _file(path: Path, colours: bool) -> File:
    if path.suffix == FRAME:
        from ..chunk import frame

        header, _ = frame.parse(memoryview(path.read_bytes()))
        return File(path, header.shape, header.dtype)
    return File(path, *images.header(path, colours), colours)


@functools.lru_cache(maxsize=2)
def _read_file(path: Path, written: int, colours: bool, member: str) -> NDArray[Any]:
    if member:
        with np.load(path, allow_pickle=False) as arrays:
            return np.asarray(arrays[member])
    if path.suffix == FRAME:
        from ..codec import BitSwap

        return BitSwap().decode(path.read_bytes())
    return images.read(path, colours)


def _npz(path: Path, member: str) -> File:
    """An array of a .npz file; the first, if none is named."""
    with zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        if (member or names[0]) not in names:
            raise SourceError(f"{path} has no array {member}; name one of {', '.join(names)}")
        member = member or names[0]
        with archive.open(f"{member}.npy") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
    return File(path, shape, dtype, member=member)


def _region(source: str, shape: tuple[int, ...], region: str | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Starts and shape of a region."""
    if not math.prod(shape):
        raise SourceError(f"{source} is empty: its shape is {shape}")
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


def default_chunks(shape: tuple[int, ...], channel_axis: int | None = None) -> tuple[int, ...]:
    """256 x 256 pixels of the last two axes but the channel axis, with all channels; 1 along the others."""
    ndim = len(shape)
    channel = ndim - 1 if channel_axis is None and ndim >= 3 and shape[-1] in (1, 3, 4) else channel_axis
    channel = channel if channel is None else channel % ndim
    spatial = [axis for axis in range(ndim) if axis != channel][-2:]
    side = SIDE if len(spatial) > 1 else SIDE * SIDE
    return tuple(min(n, side) if axis in spatial else n if axis == channel else 1 for axis, n in enumerate(shape))


def _text(block: tuple[slice, ...]) -> str:
    return ",".join(f"{each.start}:{each.stop}" for each in block)


def sample(opened: Opened, chunks: Sequence[int], count: int, seed: int = 0) -> list[NDArray[Any]]:
    """`count` different whole chunks, at random, or all if there are fewer; partial ones if no chunk is whole."""
    grid = [max(n // c, 1) for n, c in zip(opened.shape, chunks, strict=True)]
    rng = np.random.default_rng(seed)
    numbers = rng.choice(math.prod(grid), min(count, math.prod(grid)), replace=False)
    places = (np.unravel_index(int(number), grid) for number in sorted(numbers))
    return [opened.read([int(i) * c for i, c in zip(place, chunks, strict=True)], chunks) for place in places]

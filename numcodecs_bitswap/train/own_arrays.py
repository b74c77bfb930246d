"""Any array or folder of arrays -> regions to train on and regions for validation, read when they are needed.

A region is a block of whole chunks, about 256 x 256 pixels of every plane that a chunk has. As many are kept in memory
as fit in MEMORY; they are replaced one after the other. Which ones are in memory depends on the step alone, so a
resumed run sees what it would have seen without the stop.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import samples
from ..chunk.patches import Axes, image_axes
from ..readers.arrays import IMAGES, SIDE, Opened, SourceError, open_array
from .arrays import ArraySource
from .data import Augmentation, DataError, Pixels

MEMORY = 1 << 28
"""Bytes of regions in memory."""
MOST = 1 << 16
"""Largest number of regions of an array; of more, a random part is taken."""
PERIOD = 400
"""Steps that a region stays in memory."""


@dataclass(frozen=True)
class Pictures:
    """Opened arrays of one dtype and number of channels, not read; and the number of files left out for other ones."""

    arrays: list[Opened]
    axes: list[Axes]
    channels: int
    left_out: int = 0

    @property
    def sides(self) -> list[int]:
        """The smaller of height and width of each, in ascending order."""
        return sorted(min(a.shape[x.y], a.shape[x.x]) for a, x in zip(self.arrays, self.axes, strict=True))

    @property
    def side(self) -> int:
        """The side that nine tenths of them have at least: smaller ones may be left out."""
        return self.sides[len(self.arrays) // 10]

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self.arrays)


class Region(NamedTuple):
    """A block of one of the arrays."""

    array: int
    place: tuple[int, ...]
    size: tuple[int, ...]


def open_pictures(
    sources: Sequence[str],
    region: str | None = None,
    channel_axis: int | None = None,
    kinds: Sequence[str] = ("u1",),
) -> Pictures:
    """Open the training data.

    Parameters
    ----------
    sources : sequence of str
        Arrays that `readers.arrays.open_array` opens, or folders of such files. Files in folders are left out if
        their dtype or number of channels is not that of most.
    region : str, optional
    channel_axis : int, optional
        As of `open_array` and `BitSwap`, for every array.
    kinds : sequence of str
        Kinds and sizes of the dtypes that can be trained on.

    Raises
    ------
    SourceError, DataError
        There is nothing that a model can be trained on.
    """
    found: list[tuple[Opened, Axes]] = []
    for source in sources:
        files = _files(Path(source))
        for file in files or [source]:
            opened = open_array(file, region, colours=True)  # models have one channel or three
            try:
                axes = image_axes(opened.shape, "auto" if channel_axis is None else channel_axis, "auto")
            except ValueError as error:
                raise SourceError(f"{file}: {error}") from error
            if axes is None:
                raise DataError(f"{file} has shape {opened.shape}: a model needs images, two axes or more")
            if not files and opened.dtype.str[1:] not in kinds:
                raise DataError(f"{file} holds {opened.dtype}; {_trained_on(kinds)}")
            found.append((opened, axes))
    counts = Counter(_kind(*each) for each in found if each[0].dtype.str[1:] in kinds)
    if not counts:
        raise DataError(f"no file in {', '.join(sources)} can be used: {_trained_on(kinds)}")
    kind = counts.most_common(1)[0][0]
    chosen = [each for each in found if _kind(*each) == kind]
    left_out = len(found) - len(chosen)
    return Pictures([opened for opened, _ in chosen], [axes for _, axes in chosen], kind[1], left_out)


def _trained_on(kinds: Sequence[str]) -> str:
    whole = len(kinds) == len(samples.KINDS)
    return "models are trained on integers of 8 or 16 bits" if whole else "with --recipe, models are trained on uint8"


def _kind(opened: Opened, axes: Axes) -> tuple[str, int]:
    return opened.dtype.str[1:], _channels(opened, axes)


def _channels(opened: Opened, axes: Axes) -> int:
    return 1 if axes.channel is None else opened.shape[axes.channel]


def _files(folder: Path) -> list[str]:
    """Files of a folder that is not a Zarr array or group."""
    if not folder.is_dir() or any((folder / name).exists() for name in ("zarr.json", ".zarray", ".zgroup")):
        return []
    files = sorted(str(p) for p in folder.rglob("*") if p.suffix.lower() in {*IMAGES, ".npy", ".npz"})
    if not files:
        raise DataError(f"{folder} holds no Zarr array, no .npy or .npz file and no image")
    return files


def split(pictures: Pictures, patch: int) -> tuple[list[Region], list[Region]]:
    """Regions to train on, and regions for validation.

    A tenth is for validation: whole files if there are ten or more, else whole planes (or rows) of regions along the
    first axis that has ten or more, else single regions. Regions are smaller where there are few.

    Raises
    ------
    DataError
        Too little data for both.
    """

    def cut(side: int) -> list[tuple[Region, int]]:
        sizes = [_region_size(*each, patch, side) for each in zip(pictures.arrays, pictures.axes, strict=True)]
        return cut_all(pictures, sizes, patch)

    regions, side = cut(SIDE), SIDE
    while len(regions) < 10 and side > patch:
        side //= 2
        regions = cut(side)
    return split_validation(pictures, regions, patch)


def split_validation(
    pictures: Pictures, regions: list[tuple[Region, int]], patch: int
) -> tuple[list[Region], list[Region]]:
    """Regions to train on, and a tenth of them, at least one, for validation: chosen by their numbers."""
    held = min(4, max((key for _, key in regions), default=0))
    parts = [[region for region, key in regions if (key % 10 == held) == back] for back in (False, True)]
    if not parts[0] or not parts[1]:
        shapes = ", ".join(str(array.shape) for array in pictures.arrays[:3])
        raise DataError(
            f"too little data: {shapes} has no two parts of {patch} x {patch}, one of which is for validation"
        )
    return parts[0], parts[1]


def cut_all(pictures: Pictures, sizes: Sequence[tuple[int, ...]], least: int) -> list[tuple[Region, int]]:
    """All regions of these sizes, each with the number (of a file, plane or region) that `split_validation` uses.

    Regions at the end of an array are smaller, but not below `least` pixels.
    """
    regions: list[tuple[Region, int]] = []
    for number, (array, axes, size) in enumerate(zip(pictures.arrays, pictures.axes, sizes, strict=True)):
        grid = [-(-n // s) for n, s in zip(array.shape, size, strict=True)]
        long = next((axis for axis, n in enumerate(grid) if n >= 10), None)
        total = math.prod(grid)
        some = np.random.default_rng(0).integers(total, size=MOST) if total > MOST else np.arange(total)
        for at in np.array(np.unravel_index(np.unique(some), grid)).T.tolist():
            place = tuple(i * s for i, s in zip(at, size, strict=True))
            part = tuple(min(s, n - p) for s, n, p in zip(size, array.shape, place, strict=True))
            if min(part[axes.y], part[axes.x]) >= least:
                key = len(regions) if long is None else at[long]
                regions.append((Region(number, place, part), number if len(pictures.arrays) >= 10 else key))
    return regions


def _region_size(array: Opened, axes: Axes, patch: int, side: int) -> tuple[int, ...]:
    """Whole chunks that cover `side` pixels of height and width; parts of chunks if `side` is small."""
    size = list(array.chunks)
    for axis, n in enumerate(array.chunks):
        if axis in (axes.y, axes.x):
            size[axis] = n * max(side // n, -(-patch // n)) if side == SIDE else min(n, side)
            size[axis] = max(size[axis], patch)
        elif axis == axes.channel:
            size[axis] = array.shape[axis]
        elif side < SIDE:
            size[axis] = max(n * side // SIDE, 1)
    return tuple(min(s, n) for s, n in zip(size, array.shape, strict=True))


class RegionSource(ArraySource):
    """Random patches of regions.

    Parameters
    ----------
    pictures : Pictures
    regions : sequence of Region
    size : int
        Side of a patch in pixels.
    """

    def __init__(
        self, pictures: Pictures, regions: Sequence[Region], size: int, augmentation: Augmentation, seed: int
    ) -> None:
        self.pictures, self.regions, self.size, self.augmentation, self.seed = (
            pictures,
            regions,
            size,
            augmentation,
            seed,
        )
        largest = max(math.prod(region.size) for region in regions)
        self.slots = min(max(MEMORY // largest, 4), len(regions))
        self._kept: dict[int, tuple[int, Pixels]] = {}

    def sample(self, n: int, rng: np.random.Generator, step: int = 0) -> Pixels:
        """n patches, shape (n, channels, size, size), of the regions in memory at this step."""
        return np.stack([self._patch(self._plane(rng, step), rng) for _ in range(n)])

    def _plane(self, rng: np.random.Generator, step: int) -> Pixels:
        for _ in range(8):  # constant planes teach nothing
            slot, u = int(rng.integers(self.slots)), rng.random()
            planes = self._region(slot, step)
            plane: Pixels = planes[int(u * len(planes))]
            if plane.min() != plane.max():
                break
        return plane

    def _region(self, slot: int, step: int) -> Pixels:
        number = slot
        if self.slots < len(self.regions):
            turn = (step + slot * PERIOD // self.slots) // PERIOD  # slots change one after the other
            number = int(np.random.default_rng((self.seed, slot, turn)).integers(len(self.regions)))
        if self._kept.get(slot, (-1,))[0] != number:
            self._kept[slot] = number, planes(self.pictures, self.regions[number])
        return self._kept[slot][1]


def planes(pictures: Pictures, region: Region) -> Pixels:
    """The planes (n, h, w, c) of a region."""
    block = pictures.arrays[region.array].read(region.place, region.size)
    return images(block, pictures.axes[region.array])


def images(block: NDArray[Any], axes: Axes) -> Pixels:
    """The planes (n, h, w, c) of a block, as views where that can be."""
    block = block[..., None] if axes.channel is None else block
    last = (axes.y, axes.x, -1 if axes.channel is None else axes.channel)
    moved = np.moveaxis(block, last, (-3, -2, -1))
    return moved.reshape(-1, *moved.shape[-3:])

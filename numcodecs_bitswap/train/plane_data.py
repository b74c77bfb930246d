"""Arrays -> rows that the networks of the plane coder are fitted to, and chunks for validation.

Chunks are as Zarr would code them, evenly spread over the arrays. Each is prepared as in the encoder, and the encoder's
inputs are kept for some of its pixels.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..chunk import plane_route
from ..chunk.patches import Axes
from ..models.catalog import Loaded
from ..planes import coder
from ..planes.model import PlaneModel
from ..planes.observe import Rows, joined, observe
from ..planes.tables import REFERENCES
from ..readers.arrays import SIDE, Opened
from .data import DataError
from .own_arrays import Pictures, Region, cut_all, split_validation

ROWS, VALIDATION_ROWS = 1_500_000, 1 << 15
"""Pixels for training, and for measuring rates during training."""
SAMPLES = 1 << 23
"""Samples of the chunks that are observed; a chunk is coded to get the encoder's inputs."""
COMPARED = 1 << 22
"""Bytes of validation chunks that codecs are compared on."""
LARGEST, PLANES, LEAST = 1 << 22, 16, 8
"""Samples of the largest chunk that is used whole; planes of parts of larger ones; least side of a part."""


@dataclass(frozen=True, kw_only=True)
class PlaneData:
    """Data to fit a plane model to, and to measure it on.

    Attributes
    ----------
    rows, validation_rows : list of Rows
        Training and validation rows, one Rows for each number of reference planes.
    chunks : list of ndarray
        Validation chunks.
    name, about : str
        Identifies the data, so that a run is not resumed on other data; and a longer description, to show.
    nbytes : int
        Bytes of all arrays.
    """

    rows: list[Rows]
    validation_rows: list[Rows]
    chunks: list[NDArray[Any]]
    name: str
    about: str
    nbytes: int


def split(pictures: Pictures) -> tuple[list[Region], list[Region]]:
    """Chunks to train on, and a tenth for validation; parts of chunks if there are few or they are large.

    Raises
    ------
    DataError
        Too little data for both.
    """
    sizes = [chunk_size(*each) for each in zip(pictures.arrays, pictures.axes, strict=True)]
    regions = cut_all(pictures, sizes, LEAST)
    side = SIDE
    while len(regions) < 10 and side >= LEAST:
        sizes = [
            _part(size, axes, array.shape, side)
            for size, array, axes in zip(sizes, pictures.arrays, pictures.axes, strict=True)
        ]
        regions, side = cut_all(pictures, sizes, LEAST), side // 2
    return split_validation(pictures, regions, LEAST)


def chunk_size(array: Opened, axes: Axes) -> tuple[int, ...]:
    """The shape of an array's chunks; without chunks, or if they are large, parts of 256 x 256 and 16 planes."""
    own = getattr(array.array, "chunks", None)
    size = tuple(min(n, m) for n, m in zip(own or array.shape, array.shape, strict=True))
    return size if own and prod(size) <= LARGEST else _part(size, axes, array.shape, SIDE)


def _part(size: Sequence[int], axes: Axes, shape: Sequence[int], side: int) -> tuple[int, ...]:
    """A size with sides of at most `side` and at most 16 planes, the last axes first; all channels."""
    part, left = list(size), PLANES
    for axis in reversed(range(len(part))):
        if axis in (axes.y, axes.x):
            part[axis] = min(part[axis], side)
        elif axis == axes.channel:
            part[axis] = shape[axis]
        else:
            part[axis] = min(part[axis], left)
            left = max(left // part[axis], 1)
    return tuple(part)


def open_planes(pictures: Pictures, start: Loaded, name: str) -> PlaneData:
    """Read and observe chunks.

    Parameters
    ----------
    pictures : Pictures
    start : Loaded
        The model that the encoder uses.
    name : str

    Raises
    ------
    DataError
        Too little data, or all chunks are constant.
    """
    train, kept = split(pictures)
    random = [kept[k] for k in np.random.default_rng(0).permutation(len(kept))]
    rows = _observe(pictures, _spread(train, SAMPLES), start, ROWS)
    held = _observe(pictures, _spread(random, SAMPLES // 8), start, VALIDATION_ROWS)
    if not sum(len(each.x) for each in rows) or not sum(len(each.x) for each in held):
        raise DataError(f"{name}: all samples of a chunk are the same, and there is nothing to learn")
    dtype = pictures.arrays[0].dtype
    about = f"{len(pictures.arrays)} array(s) of {dtype}, {pictures.nbytes:,} bytes"
    about += f"; {len(train)} chunks to train on, {len(kept)} for validation"
    if pictures.left_out:
        about += f"; {pictures.left_out} file(s) of another dtype or number of channels left out"
    return PlaneData(
        rows=rows,
        validation_rows=held,
        chunks=_compared(pictures, random),
        name=name,
        about=about,
        nbytes=pictures.nbytes,
    )


def _spread(regions: list[Region], samples: int) -> list[Region]:
    """Some of the regions, evenly spread, with about `samples` samples in all, at least one region."""
    mean = sum(prod(region.size) for region in regions) / len(regions)
    count = min(len(regions), max(1, int(samples / mean)))
    return [regions[int((k + 0.5) * len(regions) / count)] for k in range(count)]


def _compared(pictures: Pictures, regions: list[Region]) -> list[NDArray[Any]]:
    """Chunks of the most common shape."""
    shape = Counter(region.size for region in regions).most_common(1)[0][0]
    chunks: list[NDArray[Any]] = []
    for region in regions:
        if region.size == shape and sum(chunk.nbytes for chunk in chunks) < COMPARED:
            chunks.append(pictures.arrays[region.array].read(region.place, region.size))
    return chunks


def _observe(pictures: Pictures, regions: list[Region], start: Loaded, most: int) -> list[Rows]:
    """Rows of the pixels of regions, about `most`, for each number of reference planes."""
    share = min(1.0, most / sum(prod(region.size) for region in regions))
    found: list[list[Rows]] = [[] for _ in range(REFERENCES + 1)]
    for number, region in enumerate(tqdm(regions, desc="looking at chunks", leave=False)):
        rng = np.random.default_rng((0, number))
        block = pictures.arrays[region.array].read(region.place, region.size)
        for rows in observe_chunk(block, pictures.axes[region.array], start, share, rng):
            for each, more in zip(found, rows, strict=True):
                each.append(more)
    return [joined(each) for each in found]


def observe_chunk(
    chunk: NDArray[Any], axes: Axes, start: Loaded, share: float, rng: np.random.Generator
) -> list[list[Rows]]:
    """The encoder's inputs for a share of a chunk's pixels: the rows of each tile; none if all samples are the same."""
    prepared = plane_route.prepare(chunk, axes)
    if prepared is None:
        return []
    _, order = plane_route.choose(prepared, axes, [start])
    net: Any = start.net
    assert isinstance(net, PlaneModel)
    planes, references = order.planes(prepared.numbers), order.refer(prepared.numbers.shape)
    return [
        observe(net, np.ascontiguousarray(planes[:, y, x]), references, prepared.m, share, rng)
        for y, x in coder.tiles(*planes.shape[1:])
    ]

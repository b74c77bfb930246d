"""What is stored, without decoding it: the fields of the frames of a Zarr array's chunks, or of a file."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice, product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..chunk import frame, plane_payload
from ..chunk.frame import Route
from ..errors import BitswapError, FormatError, MissingModel
from ..models import catalog
from ..planes.coder import lanes_of_tiles
from ..samples import Fixed, Lattice, Luma, Ordered

EMPTY, OTHER, DAMAGED = "empty", "other codec", "damaged"
"""In place of a route: a chunk not stored because it has the fill value, one of another codec, no valid frame."""
LABELS = "labels"
KINDS = {Ordered: "", Luma: "luma and chroma", Lattice: "lattice", Fixed: "fixed point"}
"""The transforms of samples, in words."""
BATCH = 256
"""Chunks that are read at a time."""
Shape = tuple[int, ...]


class Described(NamedTuple):
    """The fields of a frame: route in words, id of the model, references (axis, distance), number of samples."""

    route: str
    model: bytes | None
    references: tuple[tuple[int, int], ...]
    samples: int


class Stored(NamedTuple):
    """A chunk: its index in the grid, its bytes in the store, and the fields of its frame."""

    place: Shape
    nbytes: int
    described: Described


@dataclass(frozen=True)
class Contents:
    """All chunks of an array."""

    name: str
    dtype: str
    shape: Shape
    chunks: Shape
    codec: str
    nbytes: int
    stored: list[Stored]

    @property
    def grid(self) -> Shape:
        """Number of chunks along each axis."""
        return tuple(-(-n // c) if c else 0 for n, c in zip(self.shape, self.chunks, strict=True))

    @property
    def total(self) -> int:
        """Bytes of all chunks; of shards without their indexes."""
        return sum(each.nbytes for each in self.stored)

    def groups(self) -> list[tuple[str, bytes | None, list[Stored]]]:
        """Chunks by route and model, most bytes first."""
        found: dict[tuple[str, bytes | None], list[Stored]] = {}
        for each in self.stored:
            found.setdefault((each.described.route, each.described.model), []).append(each)
        rows = [(route, model, chunks) for (route, model), chunks in found.items()]
        return sorted(rows, key=lambda row: -sum(each.nbytes for each in row[2]))

    def references(self) -> list[tuple[tuple[tuple[int, int], ...], int]]:
        """Reference planes, and how many chunks have them, most frequent first; of chunks of the plane coder."""
        planes = [each.described for each in self.stored if each.described.route.startswith(_word(Route.PLANES))]
        return Counter(each.references for each in planes).most_common()

    def map(self) -> NDArray[np.float64]:
        """Bits/sample of each chunk, in the shape of the grid; NaN where nothing is stored."""
        bits = np.full(self.grid, np.nan)
        for each in self.stored:
            if each.nbytes and each.described.samples:
                bits[each.place] = 8 * each.nbytes / each.described.samples
        return bits


def describe(data: memoryview) -> Described:
    """The fields of a frame, from its bytes.

    Raises
    ------
    FormatError
        They are not a valid frame.
    """
    header, payload = frame.parse(data)
    route, samples = _word(header.route), math.prod(header.shape)
    if header.route in (Route.MODEL, Route.JPEG):
        begin = 3 if header.route == Route.JPEG else 0
        return Described(route, bytes(payload[begin : begin + 16]), (), samples)
    if header.route != Route.PLANES:
        return Described(route, None, (), samples)
    planes = plane_payload.parse(header, payload, lanes_of_tiles)
    if isinstance(planes, plane_payload.LabelsPayload):
        return Described(LABELS, None, (), samples)
    kind = KINDS[type(planes.samples.scale)]
    return Described(f"{route}, {kind}" if kind else route, planes.model_id, planes.references, samples)


def model_name(model: bytes) -> str:
    """The name of a model by its id, or that it is missing."""
    try:
        return catalog.find(model).name
    except MissingModel:
        return f"missing: {model.hex()}"


def of_file(path: str, data: bytes) -> Contents:
    """The contents of a file that holds one frame.

    Raises
    ------
    FormatError
        It does not hold a valid frame.
    """
    header, _ = frame.parse(memoryview(data))
    shape = header.shape
    stored = Stored((0,) * len(shape), len(data), describe(memoryview(data)))
    return Contents(path, str(header.dtype), shape, shape, header.codec.replace("_", ""), header.nbytes, [stored])


def of_array(name: str, array: Any) -> Contents:
    """The contents of a Zarr array; reads every chunk."""
    ours = codec_of(array)
    samples = math.prod(array.chunks)

    def look(each: tuple[Shape, memoryview | None]) -> Stored:
        place, data = each
        if data is None:
            return Stored(place, 0, Described(EMPTY, None, (), samples))
        if ours is None:
            return Stored(place, len(data), Described(OTHER, None, (), samples))
        try:
            return Stored(place, len(data), describe(data))
        except BitswapError:
            return Stored(place, len(data), Described(DAMAGED, None, (), samples))

    stored = [look(each) for each in chunks_of(array)]
    codec = ours or ", ".join(_name(each) for each in (*array.filters, *array.compressors)) or "none"
    nbytes = math.prod(array.shape) * np.dtype(array.dtype).itemsize
    return Contents(name, str(array.dtype), tuple(array.shape), tuple(array.chunks), codec, nbytes, stored)


def codec_of(array: Any) -> str | None:
    """The name of this package's codec, if the chunks of a Zarr array are its frames; else None."""
    if array.metadata.zarr_format == 2:
        name = array.metadata.compressor.codec_id if array.metadata.compressor is not None else ""
        return name if name in ("bitswap", "bbans", "localbitsback") else None
    package, _, name = getattr(array.serializer, "name", "").partition(".")
    return name if package == __package__.partition(".")[0] and not array.compressors else None


def chunks_of(array: Any) -> Iterator[tuple[Shape, memoryview | None]]:
    """The index of every chunk of a Zarr array in the grid, and its bytes, or None if it is not stored."""
    per_shard = None
    grid = [-(-n // c) for n, c in zip(array.shape, array.shards or array.chunks, strict=True)]
    if array.shards is not None:
        per_shard = tuple(s // c for s, c in zip(array.shards, array.chunks, strict=True))
    with ThreadPoolExecutor() as pool:
        for places in batches(product(*map(range, grid))):
            for place, data in zip(places, pool.map(lambda at: _read(array, at), places), strict=True):
                if per_shard is None:
                    yield place, data
                else:
                    yield from _inside(array, place, data, per_shard)


def _read(array: Any, place: Shape) -> memoryview | None:
    from zarr.core.buffer import default_buffer_prototype
    from zarr.core.sync import sync

    key = f"{array.path}/{array.metadata.encode_chunk_key(place)}".lstrip("/")
    data = sync(array.store_path.store.get(key, default_buffer_prototype()))
    return None if data is None else memoryview(data.to_bytes())


def _inside(
    array: Any, shard: Shape, data: memoryview | None, per_shard: Shape
) -> Iterator[tuple[Shape, memoryview | None]]:
    """The chunks of a shard. Its index, at the start or the end, has the offset and length of each chunk (uint64
    little-endian, all ones if it is not stored) and a checksum (specification of the sharding codec).
    """
    grid = [-(-n // c) for n, c in zip(array.shape, array.chunks, strict=True)]
    count = math.prod(per_shard)
    index = np.full((count, 2), (1 << 64) - 1, "u8")
    if data is not None:
        codec = array.metadata.codecs[0]
        names = [each.to_dict()["name"] for each in codec.index_codecs]
        if names not in (["bytes"], ["bytes", "crc32c"]):
            raise FormatError(f"the index of the shards of {array.path or 'the array'} is coded by {names}")
        length = 16 * count + 4 * ("crc32c" in names)
        location = getattr(codec.index_location, "value", codec.index_location)  # an enum before zarr 3.2
        start = 0 if location == "start" else len(data) - length
        index = np.frombuffer(data[start : start + 16 * count], "<u8").reshape(count, 2)
    for (offset, nbytes), within in zip(index.tolist(), product(*map(range, per_shard)), strict=True):
        place = tuple(s * n + i for s, n, i in zip(shard, per_shard, within, strict=True))
        if all(p < n for p, n in zip(place, grid, strict=True)):  # not beyond the end of the array
            yield place, None if data is None or offset == (1 << 64) - 1 else data[offset : offset + nbytes]


def _word(route: Route) -> str:
    return route.name.lower().replace("_", " + ")


def _name(codec: Any) -> str:
    return str(getattr(codec, "codec_id", None) or codec.to_dict().get("name"))


def batches(places: Iterable[Shape], count: int = BATCH) -> Iterator[list[Shape]]:
    """Lists of up to `count` items."""
    iterator = iter(places)
    while some := list(islice(iterator, count)):
        yield some

"""The plan of a conversion: the metadata of the target, made in memory from those of the source, and the blocks."""

import base64
import math
import struct
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import zarr
from zarr.storage import MemoryStore

from ..codec import BBANS, BitSwap, LocalBitsBack
from ..errors import SourceError
from ..measure.contents import codec_of
from ..readers.arrays import default_chunks, members, open_array, open_zarr
from ..runtime import zarr_loop
from . import OURS
from .axes import axes_options, axis_names

READ_ONCE, WRITTEN_SLOWLY = 1 << 26, 1 << 24
"""Largest block in bytes. It covers whole chunks of the source, so that few of them are read twice. The second holds
where writing is slow, so that reading twice costs little in comparison."""
LEAST_BYTES = 1 << 18
"""Smallest block in bytes: of small chunks a block has several, so that opening and marking cost little."""
PARTS = 64
"""Least number of blocks of a large array: enough to keep many cores busy and to lose little by an interrupt."""
Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Options of a conversion; None: as in the source."""

    codec: str = "bitswap"
    model: str = "auto"
    channel_axis: int | None = None
    chunks: Shape | None = None
    shards: Shape | None = None
    zarr_format: int | None = None


@dataclass(frozen=True)
class Planned:
    """An array of a conversion.

    Attributes
    ----------
    path : str
        Path in the hierarchy, "" for the root.
    shape, unit, block : tuple of int
        Shape of the array; of a unit, which is written at once (a shard or chunk); and of a block, which has some
        units.
    dtype, codec : str
    nbytes : int
    """

    path: str
    shape: Shape
    unit: Shape
    block: Shape
    dtype: str
    codec: str
    nbytes: int

    @property
    def grid(self) -> Shape:
        """Number of blocks along each axis."""
        return tuple(-(-n // b) for n, b in zip(self.shape, self.block, strict=True))


@dataclass(frozen=True)
class Plan:
    """The plan of a conversion.

    Attributes
    ----------
    metadata : dict of str to bytes
        Keys and values of the target's metadata.
    arrays : list of Planned
    """

    metadata: dict[str, bytes]
    arrays: list[Planned] = field(default_factory=list)


def source_arrays(source: str) -> tuple[Any, dict[str, Any]]:
    """The root of a source, and its arrays by path; they are indexed by slices.

    Raises
    ------
    SourceError
        The source is neither a Zarr array or group nor a file that can be opened.
    """
    try:
        root = open_zarr(source)
    except SourceError:
        opened = open_array(source)  # a file, or an error that says what a source may be
        return opened, {"": opened.array}
    return root, _members(root)


def zarr_arrays(source: str) -> dict[str, Any]:
    """The arrays of a Zarr hierarchy by path.

    Raises
    ------
    SourceError
        It is not there, or an array cannot be opened.
    """
    return _members(open_zarr(source))


def _members(root: Any) -> dict[str, Any]:
    return {"": root} if isinstance(root, zarr.Array) else members(root)


def make(source: str, wanted: Wanted) -> Plan:
    """Plan a conversion.

    Raises
    ------
    SourceError
        The source cannot be opened, the options do not fit it, or Zarr has no thread.
    """
    zarr_loop.start()
    root, arrays = source_arrays(source)
    store: dict[str, Any] = {}
    memory = MemoryStore(store)
    if isinstance(root, zarr.Group):
        _groups(memory, root, wanted)
    names = {path: axis_names(path, root, array) for path, array in arrays.items()}
    planned = []
    for path, array in arrays.items():
        try:
            planned.append(_array(memory, path, array, names[path], wanted))
        except (TypeError, ValueError, NotImplementedError) as error:
            raise SourceError(f"{path or source} cannot be converted as asked: {error}") from error
    if isinstance(root, zarr.Group) and root.metadata.consolidated_metadata is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # format 3 does not specify them, but the source has them
            zarr.consolidate_metadata(memory)
    return Plan({key: value.to_bytes() for key, value in store.items()}, planned)


def blocks(array: Planned) -> Iterator[Shape]:
    """Where the blocks of an array begin, in C order."""
    for place in product(*(range(n) for n in array.grid)):
        yield tuple(i * b for i, b in zip(place, array.block, strict=True))


def count(array: Planned) -> int:
    """Number of blocks."""
    return math.prod(array.grid)


def _groups(memory: MemoryStore, root: Any, wanted: Wanted) -> None:
    zarr_format: Any = wanted.zarr_format or root.metadata.zarr_format
    groups = [("", root), *((path, node) for path, node in root.members(None) if isinstance(node, zarr.Group))]
    for path, group in sorted(groups, key=lambda each: each[0]):
        zarr.create_group(memory, path=path, zarr_format=zarr_format, attributes=group.attrs.asdict())


def _array(memory: MemoryStore, path: str, array: Any, names: Sequence[str | None] | None, wanted: Wanted) -> Planned:
    """Create the metadata of an array."""
    stored = isinstance(array, zarr.Array)
    shape, ndim = tuple(array.shape), len(array.shape)
    zarr_format: Any = wanted.zarr_format or (array.metadata.zarr_format if stored else 3)
    for what, given in (("chunks", wanted.chunks), ("shards", wanted.shards)):
        if given is not None and path == "" and (len(given) != ndim or min(given) < 1):
            raise SourceError(f"--{what} needs {ndim} positive numbers for shape {shape}")
    chunks = wanted.chunks if wanted.chunks and len(wanted.chunks) == ndim else None
    shards = wanted.shards if wanted.shards and len(wanted.shards) == ndim else None
    if wanted.shards and zarr_format == 2:
        raise SourceError("--shards needs Zarr format 3: add --format 3")
    if shards is None and chunks is None and stored and zarr_format == 3:
        shards = array.shards
    chunks = chunks or (tuple(array.chunks) if stored else default_chunks(shape))
    chunks = tuple(max(min(c, n), 1) if shards is None else c for c, n in zip(chunks, shape, strict=True))
    attributes = array.attrs.asdict() if stored else {}
    options: dict[str, Any] = {"chunks": chunks, "shards": shards, "zarr_format": zarr_format}
    if stored:
        dtype = getattr(array.metadata, "data_type", None) or array.metadata.dtype
        options["fill_value"] = array.fill_value
        options["chunk_key_encoding"] = _keys(array, zarr_format)
        if zarr_format == 2 and array.metadata.zarr_format == 2:
            options["order"] = array.metadata.order
        if zarr_format == 3:
            options["dimension_names"] = names if _are_dimensions(array, names) else None
            if array.metadata.zarr_format == 2 and "_ARRAY_DIMENSIONS" in attributes:
                attributes = _missing_value(array) | attributes
        elif names and array.metadata.zarr_format == 3 and all(names):
            attributes.setdefault("_ARRAY_DIMENSIONS", list(names))  # where xarray looks for them in format 2
    else:
        dtype = array.dtype
    codec = wanted.codec
    if codec in OURS and (ndim < 2 or np.dtype(array.dtype).hasobject or np.dtype(array.dtype).kind == "T"):
        codec = "zstd"  # coordinates and names are small, and every program should be able to read them
    options |= _codecs(codec, zarr_format, array, chunks, names, wanted)
    target = zarr.create_array(memory, name=path or None, shape=shape, dtype=dtype, attributes=attributes, **options)
    unit = tuple(target.shards or target.chunks)
    source_chunks = tuple((array.shards or array.chunks) if stored else shape)
    nbytes = math.prod(shape) * np.dtype(array.dtype).itemsize
    slow = codec in OURS and not (stored and codec_of(array))
    most = max(min(WRITTEN_SLOWLY if slow else READ_ONCE, nbytes // PARTS), LEAST_BYTES)
    block = _block(shape, unit, source_chunks, max(np.dtype(array.dtype).itemsize, 1), most)
    return Planned(path, shape, unit, block, str(array.dtype), codec, nbytes)


def _block(shape: Shape, unit: Shape, source: Shape, itemsize: int, most: int) -> Shape:
    """Whole units that cover a chunk of the source, up to `most` bytes, last axes first."""
    block = list(unit)
    for axis in reversed(range(len(shape))):
        size = math.prod(block) * itemsize
        cover = -(-min(source[axis], shape[axis]) // unit[axis])
        whole = -(-shape[axis] // unit[axis])
        block[axis] *= max(min(max(cover, LEAST_BYTES // size), whole, most // size), 1)
    return tuple(block)


def _codecs(
    codec: str, zarr_format: int, array: Any, chunks: Shape, names: Sequence[str | None] | None, wanted: Wanted
) -> dict[str, Any]:
    """Arguments of `zarr.create_array` for the codec."""
    if codec in OURS:
        options = {"model": wanted.model, **axes_options(chunks, names, wanted.channel_axis)}
        if zarr_format == 2:
            kinds = {"bitswap": BitSwap, "bbans": BBANS, "localbitsback": LocalBitsBack}
            return {"compressors": kinds[codec](**options), "filters": None}
        from .. import zarr3

        serializers = {
            "bitswap": zarr3.BitSwapCodec,
            "bbans": zarr3.BBANSCodec,
            "localbitsback": zarr3.LocalBitsBackCodec,
        }
        return {"serializer": serializers[codec](**options), "compressors": None, "filters": None}
    itemsize = np.dtype(array.dtype).itemsize
    made: Any
    if zarr_format == 2:
        import numcodecs

        made = {
            "zstd": lambda: numcodecs.Zstd(level=3),
            "blosc": lambda: numcodecs.Blosc("zstd", 5, numcodecs.Blosc.BITSHUFFLE),
            "gzip": lambda: numcodecs.GZip(level=6),
            "none": lambda: None,
        }
    else:
        from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

        made = {
            "zstd": lambda: ZstdCodec(level=3),
            "blosc": lambda: BloscCodec(typesize=max(itemsize, 1), cname="zstd", clevel=5, shuffle="bitshuffle"),
            "gzip": lambda: GzipCodec(level=6),
            "none": lambda: None,
        }
    return {"compressors": made[codec]()}  # filters and serializer: those that the dtype needs


def _are_dimensions(array: Any, names: Sequence[str | None] | None) -> bool:
    """Whether the names are from the array itself, not from its group."""
    own = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    return own is not None and names is not None


def _missing_value(array: Any) -> dict[str, Any]:
    """xarray's attribute for missing values: in format 2 it takes the fill value, in format 3 only this."""
    fill, kind = array.fill_value, np.dtype(array.dtype).kind
    if fill is None or kind not in "iuf":
        return {}
    number = int(fill) if kind in "iu" else base64.b64encode(struct.pack("<d", float(fill))).decode()
    return {"_FillValue": number}


def _keys(array: Any, zarr_format: int) -> Any:
    """The chunk key encoding: that of the source; in another format, one with the same separator."""
    if array.metadata.zarr_format == 2:
        separator = array.metadata.dimension_separator
        return {"name": "v2" if zarr_format == 2 else "default", "separator": separator if zarr_format == 2 else "/"}
    encoding = array.metadata.chunk_key_encoding
    return encoding if zarr_format == 3 else {"name": "v2", "separator": encoding.separator}

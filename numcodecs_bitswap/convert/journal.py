"""The store of a target during a conversion: its metadata, not yet published, and which blocks are done, so that a
conversion can be resumed whatever ended it.

The folder `unfinished-conversion` has `plan.json`, the plan, and `done.0` and `done.1`, one bit for each block, written
in turn. If a write was cut off its checksum is wrong, and the other file is used. A block is marked as done when all of
it is in the store; blocks written since the last mark are written again.
"""

import json
import struct
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import FsspecStore, LocalStore, WrapperStore

from ..errors import SourceError
from ..readers.arrays import UNFINISHED
from ..runtime import zarr_loop
from .plan import Plan, Planned

METADATA = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")
OPENS = ("zarr.json", ".zarray", ".zgroup")
"""The keys without which readers open nothing."""
EVERY = 1.0
"""Seconds between two writes of the marks; more where a write takes long."""


def open_store(place: str) -> Any:
    """The writeable store of a path or URL.

    Raises
    ------
    SourceError
        It cannot be written, or is a zip file.
    """
    if place.rstrip("/").endswith(".zip"):  # a conversion to it cannot be resumed
        raise SourceError(f"{place}: convert to a folder, then zip it (without compression)")
    zarr_loop.start()
    place = place.removeprefix("file://")
    try:
        return FsspecStore.from_url(place) if "://" in place else LocalStore(place)
    except Exception as error:  # of what fsspec talks to
        raise SourceError(f"{place} cannot be written: {error}") from error


def read(store: Any, key: str) -> bytes | None:
    """The value of a key, or None."""
    data = sync(store.get(key, default_buffer_prototype()))
    return None if data is None else bytes(data.to_bytes())


def write(store: Any, key: str, data: bytes) -> None:
    """Set a key."""
    sync(store.set(key, default_buffer_prototype().buffer.from_bytes(data)))


class Target(WrapperStore[Any]):
    """A store of chunks whose metadata are in memory; counts the bytes that are set."""

    def __init__(self, store: Any, metadata: dict[str, bytes] | None = None) -> None:
        super().__init__(store)
        self.metadata = metadata or {}
        self.stored = 0

    def _with_store(self, store: Any) -> "Target":
        return Target(store, self.metadata)

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """The value of a key; metadata come from memory."""
        if key.rpartition("/")[2] in METADATA:
            data = self.metadata.get(key)
            return None if data is None else prototype.buffer.from_bytes(data)
        return await super().get(key, prototype, byte_range)

    async def exists(self, key: str) -> bool:
        """As `get`."""
        return key in self.metadata if key.rpartition("/")[2] in METADATA else await super().exists(key)

    async def set(self, key: str, value: Any) -> None:
        """Set a chunk."""
        self.stored += len(value)
        await super().set(key, value)


class Journal:
    """The state of a conversion.

    Parameters
    ----------
    place : str
        Path or URL of the target.

    Attributes
    ----------
    done : bool ndarray, shape (blocks,)
        One flag for each block, of all arrays one after the other.
    resumed : bool
        Whether an earlier run began this conversion.
    """

    def __init__(self, place: str) -> None:
        self.place, self.store = place, open_store(place)
        self.done: NDArray[np.bool_] = np.zeros(0, bool)
        self.resumed = False
        self._turn, self._written, self._took = 0, 0.0, 0.0

    def begin(self, source: str, plan: Plan, total: int) -> bool:
        """Write the plan, or read that of an earlier run and its marks; False if only `tidy` is left to do.

        Raises
        ------
        SourceError
            The target exists, or is that of another conversion.
        """
        text = _text(source, plan)
        found = _whole(self._read("plan.json"))
        finished = any(self._at(name) is not None for name in OPENS)
        if found is None:
            if finished or _taken(self.place):
                raise SourceError(f"{self.place} exists: remove it, or name another target")
            self._write("plan.json", text)
        elif found != json.loads(text):
            begun = found["source"]
            raise SourceError(
                f"{self.place} is an unfinished conversion of {begun} with other options, or the source has changed: "
                "give the same options to resume it, or remove it"
            )
        self.resumed = found is not None
        self.done = np.zeros(total, bool)
        self._turn, self.done = max([(0, self.done), *self._flags(total)], key=lambda each: each[0])
        return not (self.resumed and finished)

    def mark(self, number: int) -> None:
        """Mark a block as done."""
        self.done[number] = True
        if time.monotonic() - self._written > max(EVERY, 20 * self._took):
            self.flush()

    def flush(self) -> None:
        """Write the marks."""
        start = time.monotonic()
        self._turn += 1
        body = struct.pack("<Q", self._turn) + zlib.compress(np.packbits(self.done).tobytes(), 1)
        self._write(f"done.{self._turn % 2}", struct.pack("<I", zlib.crc32(body)) + body)
        self._written = time.monotonic()
        self._took = self._written - start

    def publish(self, metadata: dict[str, bytes]) -> None:
        """Write the metadata, those of the root last, and of these the keys in OPENS last."""

        def late(key: str) -> tuple[int, bool]:
            return -key.count("/"), key.rpartition("/")[2] in OPENS

        for key in sorted(metadata, key=late):
            write(self.store, key, metadata[key])

    def tidy(self) -> None:
        """Remove the folder, and partial files of interrupted writes in a local store."""
        if self.resumed and isinstance(self.store, LocalStore):
            for path in Path(self.store.root).rglob("*.partial"):
                path.unlink(missing_ok=True)
        for name in ("done.0", "done.1", "plan.json"):
            sync(self.store.delete(f"{UNFINISHED}/{name}"))
        if isinstance(self.store, LocalStore):
            with suppress(OSError):
                (Path(self.store.root) / UNFINISHED).rmdir()

    def _flags(self, total: int) -> list[tuple[int, NDArray[np.bool_]]]:
        """Turn and marks of each of the two files that is valid."""
        found = []
        for name in ("done.0", "done.1"):
            data = self._read(name)
            if data is None or len(data) < 12 or zlib.crc32(data[4:]) != struct.unpack("<I", data[:4])[0]:
                continue
            flags = np.unpackbits(np.frombuffer(zlib.decompress(data[12:]), np.uint8))
            if len(flags) >= total:
                found.append((struct.unpack("<Q", data[4:12])[0], flags[:total].astype(bool)))
        return found

    def _at(self, key: str) -> bytes | None:
        try:
            return read(self.store, key)
        except Exception as error:  # remote stores raise anything
            raise SourceError(f"{self.place} cannot be reached: {error}") from error

    def _read(self, name: str) -> bytes | None:
        return self._at(f"{UNFINISHED}/{name}")

    def _write(self, name: str, data: bytes) -> None:
        try:
            write(self.store, f"{UNFINISHED}/{name}", data)
        except Exception as error:
            raise SourceError(f"{self.place} cannot be written: {error}") from error


def _whole(text: bytes | None) -> Any:
    """A plan, or None if it is incomplete."""
    with suppress(ValueError):
        return json.loads(text or b"")
    return None


def _taken(place: str) -> bool:
    """Whether there is something other than an unfinished conversion at a local path."""
    path = Path(place.removeprefix("file://"))
    return path.is_file() or (path.is_dir() and any(each.name != UNFINISHED for each in path.iterdir()))


def _text(source: str, plan: Plan) -> bytes:
    arrays = [{**vars(array), "shape": list(array.shape)} for array in plan.arrays]
    metadata = {key: data.decode() for key, data in plan.metadata.items()}
    return json.dumps({"source": source, "arrays": arrays, "metadata": metadata}).encode()


def begun(place: str) -> Plan:
    """The plan of an unfinished conversion."""
    data = _whole(read(open_store(place), f"{UNFINISHED}/plan.json"))
    if data is None:
        raise SourceError(f"{place} is not an unfinished conversion")
    arrays: list[Any] = [{k: tuple(v) if isinstance(v, list) else v for k, v in a.items()} for a in data["arrays"]]
    return Plan({key: text.encode() for key, text in data["metadata"].items()}, [Planned(**a) for a in arrays])

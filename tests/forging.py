"""Forged frames, model files and arrays of all kinds, and what has to hold of them.

Frames are forged by their structure: the fields that a decoder reads are noted, then some are altered, lengths around
them and checksums set right. So what decides is the field, not that the bytes do not add up. Whatever comes of a frame
is an error of this package or an array, within memory and time; and the array is the same when decoded again.
"""

import hashlib
import json
import random
import struct
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numcodecs.zstd import Zstd
from numpy.typing import NDArray

from numcodecs_bitswap import BBANS, BitSwap, BitswapError, LocalBitsBack
from numcodecs_bitswap.chunk import fields
from numcodecs_bitswap.chunk.coding import Decoding, memory
from numcodecs_bitswap.errors import MissingModel, ModelError
from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.models.catalog import Entry
from numcodecs_bitswap.runtime import scheduler
from pictures import from_jpeg
from reference import frames as reference
from reference.networks import FrameError
from strategies import assert_identical, picture

GOLDEN = Path(__file__).parent / "golden"
LARGEST = 1 << 20
"""Bytes of chunks that are decoded here (NUMCODECS_BITSWAP_MAX_BYTES)."""
FIELDS = 8
"""The route of structured arrays."""
LARGEST_COMPARED = 4096
"""Bytes of arrays that the reference decodes, which takes milliseconds for each sample."""
MEMORY = 400 << 20
"""What decoding one of these may take at most, on top of what the process has."""
SECONDS = 30.0
"""Of a core, at most, for one of these."""
MODELS = {
    "bit_swap": "tiny-gray8-v1",
    "bit_swap of colours": "tiny-rgb8-v1",
    "flow": "tiny-gray8-flow",
    "flow of colours": "tiny-rgb8-flow",
    "vae": "mnist-binary-v1",
    "vae of levels": "mnist-v1",
    "planes": "universal-v1",
    "jpeg": "jpeg-v1",
}
JUNK = [
    None, True, -1, 0, 1, 2**31, 2**64, 10**400, 1.5, float("nan"), "", "x", [], [[]], {}, {"a": 1}, [1, 2], "\ud800",
]  # fmt: skip
INTERESTING = [0, 3, 7, 15, 63, 127, 255, 4095, 65535, *(2**k for k in range(63))]
DTYPES = [
    "|u1", "|i1", "|b1", "<u2", ">u2", "<i4", ">i4", "<u8", "<f2", ">f4", "<f4", "<f8", "<c8", "<c16", "<M8[s]", "<m8",
    "|S5", "<U3", "|V7", "|V0", '[["a","<i4"],["b",">f8"]]', "<f16", "|O", "", "<x4", "|u0", "[]",
]  # fmt: skip
_ZSTD = Zstd(level=1)


# ---- Frames


def sealed(data: bytes) -> bytes:
    """A frame with its checksum set right."""
    return data[:6] + struct.pack("<I", zlib.crc32(data[10:], zlib.crc32(data[:6]))) + data[10:]


@dataclass(frozen=True)
class Field:
    """Bytes start .. end of a frame that were read as one field: a varint, or bytes."""

    start: int
    end: int
    kind: str
    what: str


@contextmanager
def _noted(data: NDArray[np.uint8]) -> Iterator[list[Field]]:
    """The fields that are read of a frame meanwhile, also by readers of parts of it."""
    found: list[Field] = []
    base, reader, inside = data.ctypes.data, fields.Reader, threading.local()
    take, varint = reader.take, reader.varint

    def note(self: Any, before: int, kind: str, what: str) -> None:
        place = np.frombuffer(self.data, np.uint8).ctypes.data - base
        if 0 <= place <= len(data) and self.at > before:
            found.append(Field(place + before, place + self.at, kind, what))

    def noted_take(self: Any, count: int, what: str) -> memoryview:
        before, outermost = self.at, not getattr(inside, "varint", False)
        taken: memoryview = take(self, count, what)
        if outermost:
            note(self, before, "bytes", what)
        return taken

    def noted_varint(self: Any, what: str) -> int:
        before, inside.varint = self.at, True
        try:
            value: int = varint(self, what)
        finally:
            inside.varint = False
        note(self, before, "varint", what)
        return value

    reader.take, reader.varint = noted_take, noted_varint  # type: ignore[method-assign]
    try:
        yield found
    finally:
        reader.take, reader.varint = take, varint  # type: ignore[method-assign]


class Template:
    """A right frame and its fields."""

    def __init__(self, name: str, frame: bytes) -> None:
        self.name, self.frame = name, frame
        data = np.frombuffer(frame, np.uint8)
        with _noted(data) as found:
            BitSwap().decode(data)
        self.fields = sorted({each for each in found if each.start >= 10}, key=lambda each: (each.start, -each.end))
        # A varint of the number of bytes that follow it is their length.
        self.lengths = {
            b: a
            for a in self.fields
            for b in self.fields
            if a.kind == "varint" and b.kind == "bytes" and b.start == a.end and _value(frame, a) == b.end - b.start
        }

    def forged(self, rng: random.Random) -> bytes:
        """The frame with one field altered, or a few; the lengths around them are mostly set right, too."""
        if rng.random() < 0.15:
            return sealed(_noisy(self.frame, rng))
        changes: dict[Field, bytes] = {}
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            # Fields are many in the payload of some and few in the header.
            some = self.fields if rng.random() < 0.7 else self.fields[:12]
            field = rng.choice(some)
            if not any(each.start < field.end and field.start < each.end for each in changes):
                changes[field] = _altered(self.frame[field.start : field.end], field, rng)
        return sealed(self._with(changes, rng.random() < 0.9))

    def _with(self, changes: dict[Field, bytes], fitting: bool) -> bytes:
        splices = {(each.start, each.end): data for each, data in changes.items()}
        if fitting:
            for content, length in sorted(self.lengths.items(), key=lambda each: each[0].end - each[0].start):
                grown = sum(
                    len(data) - (end - start)
                    for (start, end), data in splices.items()
                    if content.start <= start and end <= content.end
                )
                if grown and (length.start, length.end) not in splices:
                    splices[length.start, length.end] = fields.varints([_value(self.frame, length) + grown])
        out, at = [], 0
        for (start, end), data in sorted(splices.items()):
            if start >= at:
                out += [self.frame[at:start], data]
                at = end
        return b"".join([*out, self.frame[at:]])


def _value(frame: bytes, field: Field) -> int:
    return sum((byte & 127) << 7 * i for i, byte in enumerate(frame[field.start : field.end]))


def _noisy(frame: bytes, rng: random.Random) -> bytes:
    """Some bytes altered, left out or put in, of those behind the checksum."""
    data = bytearray(frame)
    for _ in range(rng.choice([1, 1, 2, 5])):
        if len(data) < 12:
            break
        at = rng.randrange(4, min(len(data), 80)) if rng.random() < 0.5 else rng.randrange(4, len(data))
        how = rng.random()
        if how < 0.6:
            data[at] = rng.choice([0, 1, 127, 128, 255, data[at] ^ 1 << rng.randrange(8)])
        elif how < 0.8:
            del data[at : at + rng.randrange(1, 5)]
        else:
            data[at:at] = rng.randbytes(rng.randrange(1, 5))
    return bytes(data)


def _altered(old: bytes, field: Field, rng: random.Random) -> bytes:
    """Other bytes for a field."""
    if field.kind == "varint":
        value = sum((byte & 127) << 7 * i for i, byte in enumerate(old))
        if rng.random() < 0.05:
            return rng.choice([b"\x80\x00", b"\xff" * 9, b"\xff" * 8 + b"\x7f", b"\x80"])
        near = [value + 1, max(value - 1, 0), 2 * value, value // 2, value + rng.randrange(1, 300)]
        return fields.varints([rng.choice(near) if rng.random() < 0.6 else rng.choice(INTERESTING)])
    if field.what == "dtype":
        return rng.choice(DTYPES).encode()
    if len(old) == 1:
        near = [old[0] ^ 1 << rng.randrange(8), (old[0] + 1) % 256, (old[0] - 1) % 256]
        return bytes([rng.choice([*near, 0, 255, rng.randrange(256)])])
    if old[:4] == b"\x28\xb5\x2f\xfd" and rng.random() < 0.85:
        content = bytes(_ZSTD.decode(old))
        return bytes(_ZSTD.encode(_numbers(content, rng) or b"\0"))
    if len(old) in (2, 4, 8) and rng.random() < 0.7:
        return _numbers(old, rng)[: len(old)].ljust(len(old), b"\0")
    how = rng.random()
    at = rng.randrange(len(old))
    if how < 0.5:
        return old[:at] + bytes([old[at] ^ 1 << rng.randrange(8)]) + old[at + 1 :]
    if how < 0.65:
        return old[:at]
    if how < 0.8:
        return old + rng.randbytes(rng.randrange(1, 9))
    if how < 0.9:
        return rng.randbytes(len(old))
    return bytes([rng.choice([0, 255, 127, 128])]) * len(old)


def _numbers(old: bytes, rng: random.Random) -> bytes:
    """Bytes, as numbers of some size, with one or all of them altered; or fewer or more."""
    how = rng.random()
    if how < 0.1:
        return old[: rng.randrange(len(old) + 1)]
    if how < 0.2:
        return old + old[: rng.randrange(len(old) + 1)]
    size = rng.choice([each for each in (1, 2, 4, 8) if len(old) % each == 0])
    bits = 8 * size
    special = [0, 1, -1, 1 << bits - 1, (1 << bits - 1) - 1, rng.getrandbits(bits), 1 << rng.randrange(bits)]
    if size == 8:
        doubles = [float("nan"), float("inf"), -0.0, 5e-324, 1e308, 2.0**53, -1e-300, 1.0]
        special.append(int.from_bytes(struct.pack("<d", rng.choice(doubles)), "little"))
    word = (rng.choice(special) % (1 << 8 * size)).to_bytes(size, "little")
    if how < 0.3:
        return word * (len(old) // size)
    at = size * rng.randrange(max(len(old) // size, 1))
    return old[:at] + word + old[at + size :] if old else word


def templates() -> list[Template]:
    """Golden frames: of every route, kind of samples and kind of model."""
    return [Template(path.stem, path.read_bytes()) for path in sorted(GOLDEN.glob("*.frame"))]


def fitted(frame: bytes) -> tuple[bytes, NDArray[Any]]:
    """A frame with its content checksum set right, too, and what it decodes to.

    Raises
    ------
    BitswapError
        It does not decode.
    """
    work = Decoding(memoryview(frame))
    decoded: NDArray[Any]
    if work.fields is not None:  # the frames of fields have checksums of their own
        decoded = BitSwap().decode(frame)
        return frame, decoded
    if work.job is not None:
        scheduler.run([work.job])
    order: Any = work.header.layout
    array = (
        np.ndarray(work.header.shape, work.header.dtype, work.data, order=order)
        if work.route is None
        else np.asarray(work.route.array(), order=order)
    )
    frame = sealed(frame[:10] + struct.pack("<I", zlib.crc32(memory(array, order).data)) + frame[14:])
    decoded = BitSwap().decode(frame)
    assert_identical(decoded, array)
    return frame, decoded


# ---- Memory and time


class Excess(AssertionError):
    """More memory or time than is stated."""


@contextmanager
def bounded(seconds: float = SECONDS, room: int = MEMORY) -> Iterator[None]:
    """Fail if what is done meanwhile takes more. (Memory where Linux says what it was.)"""
    before, since = _peak(reset=True), time.process_time()
    yield
    taken, grown = time.process_time() - since, _peak() - before
    if taken > seconds or grown > room:
        raise Excess(f"{taken:.1f} s, {grown >> 20} MiB")
    most["seconds"], most["memory"] = max(most["seconds"], taken), max(most["memory"], float(grown))


most = {"seconds": 0.0, "memory": 0.0}
"""The most that anything took within bounds."""


def _peak(reset: bool = False) -> int:
    """Bytes of memory that the process had at most since the last reset; 0 if nothing says so."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_bytes(b"5")
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return int(status.split("VmRSS:" if reset else "VmHWM:")[1].split()[0]) << 10


# ---- Model files


def packed(header: bytes, rest: bytes) -> bytes:
    """A safetensors file."""
    return struct.pack("<Q", len(header)) + header + rest


def spoil(value: Any, rng: random.Random) -> Any:
    """A copy of JSON with one thing changed, somewhere in it."""
    if isinstance(value, dict | list) and value and rng.random() < 0.85:
        key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
        copy = value.copy()
        if rng.random() < 0.15:
            del copy[key]
        else:
            copy[key] = spoil(value[key], rng)
        return copy
    if type(value) is int and rng.random() < 0.5:
        return value + rng.choice([-1, 1, 7, 255, -value, value])
    return rng.choice(JUNK)


def spoilt(data: bytes, rng: random.Random) -> bytes:
    """A model file with something altered: its JSON, the JSON in it, numbers of its tensors, its bytes or length."""
    size = int.from_bytes(data[:8], "little")
    header, rest = data[8 : 8 + size], data[8 + size :]
    how = rng.random()
    if how < 0.4:
        whole = json.loads(header)
        said = whole["__metadata__"]
        said["arch"] = json.dumps(spoil(json.loads(said["arch"]), rng))
        return packed(json.dumps(whole).encode(), rest)
    if how < 0.6:
        return packed(json.dumps(spoil(json.loads(header), rng)).encode("utf-8", "surrogatepass"), rest)
    if how < 0.9:
        return packed(header, extreme(header, rest, rng))
    at = rng.randrange(len(data))
    return data[:at] + rng.randbytes(rng.randrange(9)) + data[at + rng.randrange(9) :]


def extreme(header: bytes, rest: bytes, rng: random.Random) -> bytes:
    """Tensors of which some are at the ends of what their dtypes or FORMAT.md allow, in part or all of them."""
    out = bytearray(rest)
    tensors = [each for name, each in json.loads(header).items() if name != "__metadata__"]
    for tensor in rng.sample(tensors, min(len(tensors), rng.choice([1, 1, 2, 5, 20]))):
        start, end = tensor["data_offsets"]
        dtype = {"I8": "i1", "U8": "u1", "I16": "<i2", "I32": "<i4"}.get(tensor["dtype"])
        if dtype is None or start == end:
            continue
        numbers = np.frombuffer(bytes(out[start:end]), dtype).copy()
        ends = np.iinfo(dtype)
        limits = [
            0,
            1,
            -1,
            24,
            63,
            -63,
            4032,
            -4032,
            1 << 17,
            1 << 23,
            -(1 << 23),
            1 << 28,
            -(1 << 28),
            ends.min,
            ends.max,
        ]
        value = rng.choice([each for each in limits if ends.min <= each <= ends.max])
        place = slice(None) if rng.random() < 0.3 else rng.randrange(len(numbers))
        numbers[place] = value
        out[start:end] = numbers.tobytes()
    return bytes(out)


def forget() -> None:
    """Nothing that the catalog found or loaded."""
    for name in ("_registered", "_given", "_found", "_hashes", "_loaded", "_kinds"):
        getattr(catalog, name).clear()


def try_model(kind: str, data: bytes, rng: random.Random) -> bool:
    """Load a model of a file; if it loads, arrays that it codes come back. Returns whether it does."""
    entry = Entry("hostile", Path("hostile.safetensors"), hashlib.sha256(data).hexdigest(), data)
    try:
        catalog.architecture_of(entry)
        loaded = catalog._load(entry, "cpu")
    except ModelError:
        return False
    forget()
    catalog._given.append(entry)
    catalog._loaded[entry.sha256, "cpu"] = loaded
    array: NDArray[Any] = picture((rng.randrange(1, 24), rng.randrange(1, 24)), rng.randrange(99))
    codec: Any = BitSwap(model=entry.sha256)
    if kind.startswith("flow"):
        codec = LocalBitsBack(model=entry.sha256)
    elif kind.startswith("vae"):
        array = np.random.default_rng(rng.randrange(99)).integers(0, 2, (2, 28, 28), np.uint8)
        codec = BBANS(model=entry.sha256)
    elif kind == "jpeg":
        array = from_jpeg(picture((16, 24), rng.randrange(99)), "gray", (1, 1), 50)
    if kind.endswith("colours"):
        array = picture((*array.shape, 3), rng.randrange(99))
    if rng.random() < 0.3 and kind != "jpeg":
        array = np.random.default_rng(rng.randrange(99)).choice(np.array([0, 255], np.uint8), array.shape)
    try:
        frame = codec.encode(array)
    except BitswapError:
        return True
    assert_identical(codec.decode(frame), array)
    return True


# ---- Arrays


def _values(rng: np.random.Generator, size: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Numbers of many kinds: noise, walks, levels, lattices, labels, gaps, ends of ranges."""
    kind = rng.integers(0, 12)
    walk = rng.normal(0, rng.choice([0.01, 1, 50]), size).cumsum()
    if kind == 0:
        found = rng.integers(0, 256, size * dtype.itemsize, np.uint8).view(f"u{dtype.itemsize}")
        return found.view(dtype) if dtype.kind in "iuf" else found
    if kind == 1:
        return np.full(size, rng.integers(0, 100))
    if kind == 2:
        return walk
    if kind == 3:
        return walk.round(int(rng.integers(0, 4)))
    if kind == 4:
        return np.repeat(rng.integers(0, 1 << 16, size // 7 + 1), 7)[:size]
    if kind == 5:
        return rng.choice(rng.normal(0, 1e6, 5), size)
    if kind == 6:
        found = walk.copy()
        found[rng.random(size) < 0.2] = rng.choice([np.nan, np.inf, -np.inf, 1e30, -9999.0])
        return found
    if kind == 7:
        return rng.choice(np.array([0, 1, -1, 127, 128, 255, -128, 32767, 65535, 2**31 - 1, -(2**31)], float), size)
    if kind == 8:
        return walk.round() * float(rng.choice([0.1, 0.25, 1 / 3, 1e-7])) + float(rng.choice([0.0, 273.15]))
    if kind == 9:
        return np.exp(walk.clip(-600, 600))
    if kind == 10:
        return rng.poisson(3, size)
    return walk.astype(np.float32).astype(float) + rng.normal(0, 1e-12, size) * (rng.random() < 0.5)


def an_array(seed: int) -> NDArray[Any]:
    """An array of any dtype, shape, memory order and content."""
    rng = np.random.default_rng(seed)
    if rng.random() < 0.15:
        size = int(rng.integers(8, 60)), int(rng.integers(8, 60))
        if rng.random() < 0.3:
            sampling = [(1, 1), (2, 2), (1, 2), (2, 1)][rng.integers(0, 4)]
            mcus = picture((int(rng.choice([16, 32, 48])), int(rng.choice([16, 32, 64])), 3), seed % 1000)
            decoded = from_jpeg(mcus, "ycbcr", sampling, int(rng.integers(20, 99)))
            return decoded[int(rng.integers(0, 9)) :, int(rng.integers(0, 9)) :]
        return picture((*size, 3) if rng.random() < 0.5 else size, seed % 1000)
    dtype = np.dtype(str(rng.choice(["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "c8", "c16", "?",
                                     "M8[s]", "m8[ns]", "S3", "V5", ">u2", ">f4", ">i8", ">f8"])))  # fmt: skip
    ndim = int(rng.choice([0, 1, 1, 2, 2, 2, 3, 3, 4]))
    most_items = int(rng.choice([10, 300, 3000]))
    shape: list[int] = []
    for _ in range(ndim):
        longest = max(2, int(2 * most_items ** (1 / ndim)))
        shape.append(int(rng.integers(0 if rng.random() < 0.02 else 1, longest)))
    size = int(np.prod(shape))
    if dtype.kind in "SV":
        array: Any = rng.integers(0, 3, size * dtype.itemsize, np.uint8).view(dtype)
    else:
        item = np.dtype(f"f{dtype.itemsize // 2}") if dtype.kind == "c" else dtype
        count = 2 * size if dtype.kind == "c" else size
        with np.errstate(all="ignore"):
            number = np.dtype("i8") if item.kind in "mM" else item
            values = _values(rng, count, number)
            if values.dtype.kind == "f" and number.kind in "iub":
                values = np.nan_to_num(values).clip(-(2.0**62), 2.0**62).astype(np.int64)
            array = values.astype(number).view(item) if item.kind in "mM" else values.astype(item)
        array = array.view(dtype) if dtype.kind == "c" else array
    array = array.reshape(shape)
    how = rng.integers(0, 4)
    if how == 1:
        array = np.asfortranarray(array)
    elif how == 2 and ndim:
        array = array[tuple(slice(None, None, -1) for _ in shape)]
    return np.asarray(array)


def a_codec(seed: int, array: NDArray[Any]) -> Any:
    """One that may be asked to code it."""
    rng = random.Random(seed)
    if array.dtype == np.uint8 and array.ndim in (2, 3) and rng.random() < 0.3:
        colours = array.ndim == 3 and array.shape[-1] == 3
        core, name = rng.choice([(BitSwap, "v1"), (BBANS, "v1"), (LocalBitsBack, "flow")])
        return core(model=f"tiny-{'rgb8' if colours else 'gray8'}-{name}", channel_axis=-1 if colours else None)
    return BitSwap()


Check = Callable[[int], str]
"""Does one of a kind, by its number; returns what came of it."""


def check_frame(known: list[Template]) -> Check:
    """Forged frames."""

    def check(seed: int) -> str:
        rng = random.Random(seed)
        template = rng.choice(known)
        frame = template.forged(rng)
        if rng.random() < 0.02 and len(template.frame) < 3000:
            frame = sealed(template.frame[:14] + rng.choice(known).frame[14:])
        try:
            with bounded():
                _, array = fitted(frame)
        except BitswapError as error:
            return type(error).__name__
        assert isinstance(array, np.ndarray)
        if rng.random() < 0.05:
            assert_identical(BitSwap().decode(BitSwap().encode(array)), array)
        return "array"

    return check


def check_reference(known: list[Template]) -> Check:
    """Small arrays, and forged frames of some: the reference decoder makes the same of them, or refuses them, too."""

    def by_reference(frame: bytes) -> NDArray[Any]:
        return reference.decode(frame, lambda key: catalog.find(key).path, LARGEST_COMPARED)

    def check(seed: int) -> str:
        rng = random.Random(seed)
        if rng.random() < 0.5:
            array = an_array(seed)
            side = int(LARGEST_COMPARED ** (1 / max(array.ndim, 1)) / 2)
            array = array[(*(slice(0, side) for _ in array.shape), ...)]
            array = array if array.nbytes <= LARGEST_COMPARED else array.ravel()[:9].reshape(9)
            frame = a_codec(seed, array).encode(array)
            assert_identical(by_reference(frame), array)
            return f"route {frame[5]}"
        frame = rng.choice([each for each in known if len(each.frame) < 2000]).forged(rng)
        try:
            frame, array = fitted(frame)
        except MissingModel:
            return "no such model"
        except BitswapError as error:
            try:
                by_reference(frame)
            except FrameError as refused:
                if "content checksum" not in str(refused) or frame[5] == FIELDS:  # those of fields are theirs
                    return "refused"
            raise AssertionError(f"decoded by the reference alone; here: {error}") from error
        if array.nbytes > LARGEST_COMPARED:
            return "large"
        assert_identical(by_reference(frame), array)
        return "array"

    return check


def check_model(files: dict[str, bytes]) -> Check:
    """Altered model files."""

    def check(seed: int) -> str:
        rng = random.Random(seed)
        kind = rng.choice(list(files))
        with bounded():
            loads = try_model(kind, spoilt(files[kind], rng), rng)
        return "loads" if loads else "ModelError"

    return check


def check_array() -> Check:
    """Arrays that have to come back."""

    def check(seed: int) -> str:
        array = an_array(seed)
        codec = a_codec(seed, array)
        with bounded():
            frame = codec.encode(array)
            assert_identical(codec.decode(frame), array)
        return f"route {frame[5]}"

    return check


def model_files() -> dict[str, bytes]:
    """One of each kind."""
    return {kind: catalog.read(catalog.find(name)) for kind, name in MODELS.items()}


if sys.platform == "win32":  # no /proc, and no such timer
    MEMORY = 1 << 62

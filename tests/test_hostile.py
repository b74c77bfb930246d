"""Hostile files: model files and frames whose checksums are right and whose fields are not give typed errors, within
memory and time; files that cannot be read hide no others.
"""

import hashlib
import json
import os
import random
import socket
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import zarr

from numcodecs_bitswap import (
    BitSwap,
    BitswapError,
    DeviceError,
    FormatError,
    LocalBitsBack,
    MissingModel,
    ModelError,
    use_models,
)
from numcodecs_bitswap.chunk import model_route
from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.models.catalog import Entry
from numcodecs_bitswap.nets.flow import FlowModel
from numcodecs_bitswap.nets.flow_layers import Channel, Inputs, Steps
from numcodecs_bitswap.runtime.cores import size_setting
from numcodecs_bitswap.train.files import WriteError, write_whole
from pictures import from_jpeg
from strategies import picture

KINDS = {
    "bit_swap": "tiny-gray8-v1",
    "flow": "tiny-gray8-flow",
    "vae": "mnist-binary-v1",
    "planes": "universal-v1",
    "jpeg": "jpeg-v1",
}
JUNK = [
    None,
    True,
    -1,
    0,
    1,
    2**31,
    2**64,
    10**400,
    1.5,
    float("nan"),
    "",
    "x",
    [],
    [[]],
    {},
    {"a": 1},
    [1, 2],
    "\ud800",
]


@pytest.fixture(autouse=True)
def fresh_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other test's folders, and nothing remembered."""
    for name in ("_registered", "_given", "_found", "_hashes", "_loaded", "_kinds"):
        monkeypatch.setattr(catalog, name, type(getattr(catalog, name))())


def model_file(folder: Path, name: str) -> Path:
    """A model that nothing else has."""
    entry = catalog.find("tiny-gray8-v1")
    said = catalog.metadata_of(entry) | {"name": name}
    safetensors.numpy.save_file(safetensors.numpy.load(catalog.read(entry)), folder / f"{name}.safetensors", said)
    return folder / f"{name}.safetensors"


@pytest.mark.skipif(sys.platform == "win32", reason="no such files there")
def test_bad_files_in_a_folder_hide_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = model_file(tmp_path, "zz-good")
    (tmp_path / "a-dangling.safetensors").symlink_to(tmp_path / "nowhere")
    (tmp_path / "b-loop.safetensors").symlink_to(tmp_path / "b-loop.safetensors")
    (tmp_path / "c-folder.safetensors").mkdir()
    os.mkfifo(tmp_path / "d-pipe.safetensors")
    (tmp_path / "e-sparse.safetensors").touch()
    os.truncate(tmp_path / "e-sparse.safetensors", 20 << 30)
    (tmp_path / "f-noise.safetensors").write_bytes(b"noise")
    monkeypatch.chdir(tmp_path)  # the path of a socket has to be short
    with socket.socket(socket.AF_UNIX) as end:
        end.bind("g-socket.safetensors")
    catalog.register_folder(tmp_path)
    sha256 = hashlib.sha256(good.read_bytes()).hexdigest()
    assert catalog.names()["zz-good"] == sha256
    assert catalog.find(sha256).path == good
    with pytest.raises(MissingModel) as caught:
        catalog.find("0" * 64)
    for name in "abcdeg":
        assert f"{name}-" in str(caught.value)
    for name in ("c-folder", "d-pipe", "e-sparse"):
        with pytest.raises(MissingModel, match=name):
            catalog.load(name, "cpu")
    with pytest.raises(ModelError):
        catalog.load("f-noise", "cpu")


@pytest.mark.skipif(sys.platform == "win32", reason="no such files there")
def test_bad_files_beside_data_hide_nothing(tmp_path: Path) -> None:
    good = model_file(tmp_path, "good").read_bytes()
    zarr.create_array(tmp_path / "a.zarr", data=np.zeros((4, 4)))
    folder = tmp_path / "a.zarr" / ".bitswap"
    folder.mkdir()
    sha256 = hashlib.sha256(good).hexdigest()
    (folder / f"{sha256}.safetensors").write_bytes(good)
    (folder / f"{'0' * 64}.safetensors").touch()
    os.truncate(folder / f"{'0' * 64}.safetensors", 20 << 30)
    os.mkfifo(folder / f"{'1' * 64}.safetensors")
    (folder / f"{'2' * 64}.safetensors").mkdir()
    (folder / f"{'3' * 64}.safetensors").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="1 to"):
        use_models(tmp_path / "a.zarr")
    assert catalog.find(sha256).name == "good"


def seeds() -> Iterator[int]:
    """The same few in the tests; others for as long as HOSTILE_MINUTES says."""
    minutes = float(os.environ.get("HOSTILE_MINUTES", "0"))
    if not minutes:
        yield from range(150)
    end = time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        yield random.SystemRandom().randrange(1 << 62)


def load(data: bytes) -> Any:
    """A model of what a file holds, or a ModelError."""
    entry = Entry("hostile", Path("hostile.safetensors"), hashlib.sha256(data).hexdigest(), data)
    catalog.architecture_of(entry)
    return catalog._load(entry, "cpu")


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
    """A model file with something altered: its JSON, the JSON in it, its bytes or its length."""
    size = int.from_bytes(data[:8], "little")
    header, rest = data[8 : 8 + size], data[8 + size :]
    how = rng.random()
    if how < 0.6:
        whole = json.loads(header)
        said = whole["__metadata__"]
        said["arch"] = json.dumps(spoil(json.loads(said["arch"]), rng))
        return packed(json.dumps(whole).encode(), rest)
    if how < 0.9:
        return packed(json.dumps(spoil(json.loads(header), rng)).encode("utf-8", "surrogatepass"), rest)
    at = rng.randrange(len(data))
    return data[:at] + rng.randbytes(rng.randrange(9)) + data[at + rng.randrange(9) :]


@pytest.mark.parametrize("kind", KINDS)
def test_altered_model_files(kind: str) -> None:
    data = catalog.read(catalog.find(KINDS[kind]))
    for seed in seeds():
        try:
            load(spoilt(data, random.Random(seed)))
        except ModelError:
            pass
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error


@pytest.mark.parametrize(
    "header",
    [b"[]", b"7", b"null", b'{"__metadata__": []}', b'{"__metadata__": {"arch": 7}}', b"[" * 100_000,
     b'{"a":' * 100_000,
     b'{"__metadata__": {"arch": "[]"}}', b'{"__metadata__": {"arch": "{\\"kind\\": []}"}}', b"\xff", b""],
)  # fmt: skip
def test_headers_that_are_none(header: bytes) -> None:
    with pytest.raises(ModelError):
        load(packed(header, b""))


def test_deep_nesting_in_an_arch() -> None:
    for text in ("[" * 100_000, '{"kind":' * 100_000, '{"kind": "vae", "likelihood": ' + "[" * 900 + "]" * 900 + "}"):
        with pytest.raises(ModelError):
            load(packed(json.dumps({"__metadata__": {"arch": text}}).encode(), b""))


def test_many_squeezes_take_no_memory() -> None:
    entry = catalog.find("tiny-gray8-flow")
    arch = catalog.architecture_of(entry) | {"layers": [["squeeze"]] * 15}
    with pytest.raises(ModelError, match="4096 channels"):
        FlowModel(arch, safetensors.numpy.load(catalog.read(entry)), catalog.load("tiny-gray8-flow", "cpu").net.backend)


def test_a_flow_sees_large_values_as_they_are() -> None:
    """In more than 16 bits, where a model's values need them (FORMAT.md 6.5): they are clamped, not wrapped."""
    steps = Steps(5, 5, 0)
    for pixel in (True, False):
        seen = Inputs([Channel(0, pixel, (1 << 26) - 1)] * 2, [0, 1], steps)
        v = np.zeros((1, 2, 2, 2), np.int32)
        v[..., 0], v[..., 1] = -(1 << 25), 1 << 25
        u, _ = seen(v)
        expected = [0, 127] if pixel else [-127, 127]  # of pixels, differences to the first
        assert u[0, 0, 0, :2].tolist() == expected


def frame_of(data: bytes) -> bytes:
    """A frame with its checksum set right."""
    return data[:6] + struct.pack("<I", zlib.crc32(data[10:], zlib.crc32(data[:6]))) + data[10:]


@pytest.mark.parametrize("route", ["raw", "zstd", "shuffle", "constant", "stages", "flow", "planes", "jpeg"])
def test_altered_frames_with_right_checksums(route: str) -> None:
    """A typed error or an array, for every one."""
    image = picture((24, 40))
    arrays: dict[str, tuple[Any, Any]] = {
        "raw": (BitSwap(), np.random.default_rng(0).bytes(40)),
        "zstd": (BitSwap(), np.arange(300, dtype=np.uint8).repeat(3)),
        "shuffle": (BitSwap(), np.arange(3000.0)),
        "constant": (BitSwap(), np.zeros((30, 30))),
        "stages": (BitSwap(model="tiny-gray8-v1"), image),
        "flow": (LocalBitsBack(model="tiny-gray8-flow"), image),
        "planes": (BitSwap(), image),
        "jpeg": (BitSwap(model="jpeg-v1"), from_jpeg(image, "gray", (1, 1), 50)[:, 3:]),
    }
    codec, array = arrays[route]
    whole = bytes(codec.encode(array))
    for seed in seeds():
        rng, data = random.Random(seed), bytearray(whole)
        for _ in range(rng.choice([1, 1, 2, 5])):
            at = rng.randrange(3, min(len(data), 80)) if rng.random() < 0.5 else rng.randrange(3, len(data))
            how = rng.random()
            if how < 0.6:
                data[at] = rng.choice([0, 1, 127, 128, 255, data[at] ^ 1 << rng.randrange(8)])
            elif how < 0.8:
                del data[at : at + rng.randrange(1, 5)]
            else:
                data[at:at] = rng.randbytes(rng.randrange(1, 5))
        try:
            codec.decode(frame_of(bytes(data)))
        except BitswapError:
            pass
        except Exception as error:
            raise AssertionError(f"frame {seed}") from error


@pytest.mark.parametrize("depth", [5, 30, 100, 330, 900, 20_000])
def test_dtypes_nested_deep(depth: int) -> None:
    text = (b'[["a",' * depth) + b'"|u1"' + b"]]" * depth
    rest = struct.pack("<IB", zlib.crc32(b"\0"), 0)
    length = bytes([len(text) & 127 | 128, len(text) >> 7 & 127 | 128, len(text) >> 14 & 127 | 128, len(text) >> 21])
    while len(length) > 1 and length[-1] == 0:
        length = length[:-2] + bytes([length[-2] & 127])
    frame = frame_of(b"\x89BS\x01\x01\x00" + bytes(4) + rest + length + text + b"\x01\x01" + b"\0")
    try:
        assert BitSwap().decode(frame).nbytes == 1
    except FormatError:
        assert depth > 20


def test_a_large_patch_counts_as_what_it_takes() -> None:
    """Of 4096 x 4096, say: it is never cut, whatever the largest group is."""
    model = catalog.load("tiny-gray8-v1", "cpu")
    assert model_route._share(model, [(1, 4096, 4096)]) == 32
    assert model_route._share(model, [(1000, 256, 256)]) == 1


@pytest.mark.parametrize(
    ("text", "size"),
    [("8GB", 8 * 10**9), ("8 GiB", 8 << 30), ("1e3", 1000), ("1.5k", 1500), ("17", 17), ("", 5), ("2KiB", 2048)],
)
def test_sizes_with_units(text: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_BYTES", text)
    assert size_setting("SOME_BYTES", 5) == size


def test_sizes_that_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("much", "-1", "nan", "8XB", "GB"):
        monkeypatch.setenv("NUMCODECS_BITSWAP_MAX_BYTES", text)
        with pytest.raises(DeviceError, match="number of bytes"):
            BitSwap().encode(np.arange(3))


def test_an_entry_point_that_exits(monkeypatch: pytest.MonkeyPatch) -> None:
    class Exits:
        value = "exits"

        def load(self) -> None:
            raise SystemExit(3)

    monkeypatch.setattr(catalog.metadata, "entry_points", lambda group: [Exits()])
    with pytest.raises(MissingModel, match="SystemExit"):
        catalog.find("nothing")


def test_files_are_written_whole_and_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    (tmp_path / "file.tmp").mkdir()  # nobody's business
    write_whole(tmp_path / "file", b"old")
    assert len(synced) == 1
    assert (tmp_path / "file").read_bytes() == b"old"

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError, match="No space"):
        write_whole(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "file.tmp"]

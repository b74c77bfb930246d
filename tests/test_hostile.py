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
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import zarr

import forging
from forging import packed, sealed
from numcodecs_bitswap import (
    BitSwap,
    BitswapError,
    DeviceError,
    FormatError,
    MissingModel,
    ModelError,
    use_models,
)
from numcodecs_bitswap.chunk import model_route
from numcodecs_bitswap.chunk.fields import varints
from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.models.catalog import Entry
from numcodecs_bitswap.nets.flow import FlowModel
from numcodecs_bitswap.nets.flow_layers import Channel, Inputs, Steps
from numcodecs_bitswap.runtime.cores import size_setting
from numcodecs_bitswap.train.files import WriteError, write_whole
from strategies import assert_identical


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


@contextmanager
def numbered(what: str, number: int) -> Iterator[None]:
    """Say which of many failed."""
    try:
        yield
    except Exception as error:
        raise AssertionError(f"{what} {number}") from error


def load(data: bytes) -> Any:
    """A model of what a file holds, or a ModelError."""
    entry = Entry("hostile", Path("hostile.safetensors"), hashlib.sha256(data).hexdigest(), data)
    catalog.architecture_of(entry)
    return catalog._load(entry, "cpu")


@pytest.mark.parametrize("kind", forging.MODELS)
def test_altered_model_files(kind: str) -> None:
    """They are refused, or arrays that they code come back."""
    data, came = catalog.read(catalog.find(forging.MODELS[kind])), Counter[bool]()
    for seed in range(100):
        rng = random.Random(seed)
        with numbered(f"model {kind}", seed), forging.bounded():
            came[forging.try_model(kind, forging.spoilt(data, rng), rng)] += 1
    assert min(came[True], came[False]) > 0


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


@pytest.mark.parametrize("part", range(4))
def test_forged_frames_with_right_checksums(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every route and kind of samples: a typed error or an array, within memory and time."""
    monkeypatch.setenv("NUMCODECS_BITSWAP_MAX_BYTES", str(forging.LARGEST))
    known = [forging.Template(path.stem, path.read_bytes()) for path in sorted(forging.GOLDEN.glob("*.frame"))[part::4]]
    check, came = forging.check_frame(known), Counter[str]()
    for seed in range(400):
        with numbered("frame", seed):
            came[check(seed)] += 1
    assert came["FormatError"] > 100
    assert came["array"] > 10


def test_arrays_of_all_kinds() -> None:
    check, came = forging.check_array(), Counter[str]()
    for seed in range(300):
        with numbered("array", seed):
            came[check(seed)] += 1
    assert len(came) > 5


@pytest.mark.slow
def test_the_reference_decoder_sees_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """In arrays, and in forged frames; `make fuzz` tries more."""
    monkeypatch.setenv("NUMCODECS_BITSWAP_MAX_BYTES", str(forging.LARGEST))
    check, came = forging.check_reference(forging.templates()), Counter[str]()
    for seed in range(300):
        with numbered("reference", seed):
            came[check(seed)] += 1
    assert came["refused"] > 50
    assert came["array"] > 5
    assert len(came) > 7


def test_complex_images_with_channels() -> None:
    for shape in ((7, 7, 3, 3), (30, 20, 3), (3, 20, 30)):
        array = np.random.default_rng(0).normal(0, 1, (*shape, 2)).round(1).view(complex)[..., 0]
        assert_identical(BitSwap().decode(BitSwap().encode(array)), array)


@pytest.mark.parametrize("depth", [5, 30, 100, 330, 900, 20_000])
def test_dtypes_nested_deep(depth: int) -> None:
    text = (b'[["a",' * depth) + b'"|u1"' + b"]]" * depth
    rest = struct.pack("<IB", zlib.crc32(b"\0"), 0)
    length = bytes([len(text) & 127 | 128, len(text) >> 7 & 127 | 128, len(text) >> 14 & 127 | 128, len(text) >> 21])
    while len(length) > 1 and length[-1] == 0:
        length = length[:-2] + bytes([length[-2] & 127])
    frame = sealed(b"\x89BS\x01\x01\x00" + bytes(4) + rest + length + text + b"\x01\x01" + b"\0")
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


@pytest.mark.parametrize("text", [None, "", "[", "\udcff"])
def test_an_unreadable_list_of_models(text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "WEIGHTS", tmp_path)
    monkeypatch.setattr(catalog, "_shipped", catalog._shipped.__wrapped__)
    if text is not None:
        (tmp_path / "catalog.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ModelError, match="list of the models"):
        BitSwap(model="photo-v1").encode(np.arange(10_000).reshape(100, 100))


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


LIMITLESS = {"constant_0d", "constant_uint16", "raw_empty"}
"""Golden frames in which one item may stand for any number, or for none."""


@pytest.mark.parametrize("name", sorted({path.stem for path in forging.GOLDEN.glob("*.frame")} - LIMITLESS))
def test_small_frames_that_claim_much(name: str) -> None:
    """An array a million times as large, along any axis: refused before memory is taken for it, and soon."""
    known = forging.Template(name, (forging.GOLDEN / f"{name}.frame").read_bytes())
    shape = [field for field in known.fields if field.what == "shape"]
    for field in shape:
        before = known.frame[field.start : field.end]
        length = sum((byte & 127) << 7 * i for i, byte in enumerate(before))
        size = 8 * int(np.prod([1 + length]))
        for larger in (length << 20, (1 << 33) // size):
            forged = known.frame[: field.start] + varints([larger]) + known.frame[field.end :]
            with forging.bounded(10, 600 << 20), pytest.raises(BitswapError):
                BitSwap().decode(sealed(forged))

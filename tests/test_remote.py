"""The commands on what is no folder: URLs that fsspec knows, and zip files."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import zarr
from fsspec.implementations.memory import MemoryFileSystem

from numcodecs_bitswap.cli import main
from numcodecs_bitswap.convert import journal
from numcodecs_bitswap.convert.copying import convert
from numcodecs_bitswap.convert.plan import Wanted
from numcodecs_bitswap.models import catalog

GRADIENT = (np.add.outer(np.arange(80), np.arange(90)) % 251).astype("u2")
ARRAYS = {"deep/image": GRADIENT, "stack": np.stack([GRADIENT, GRADIENT + 7])}


class Unlisted(MemoryFileSystem):  # type: ignore[misc]
    """As many servers of files, which have no listings of folders."""

    protocol = "unlisted"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("unlisted://", "memory://")))

    def ls(self, *_: Any, **__: Any) -> Any:
        """Refused."""
        raise PermissionError("403, Forbidden")


@pytest.fixture(autouse=True)
def memory() -> Iterator[dict[str, Any]]:
    """The files of all memory:// and unlisted:// URLs, which are the same."""
    fsspec.register_implementation("unlisted", Unlisted, clobber=True)
    MemoryFileSystem.store.clear()
    yield MemoryFileSystem.store
    MemoryFileSystem.store.clear()


def group(store: Any, zarr_format: Any = 3) -> None:
    """A group with both arrays."""
    made = zarr.create_group(store, zarr_format=zarr_format)
    for name, data in ARRAYS.items():
        made.create_array(name, data=data, chunks=(64,) * data.ndim)


def said(capsys: pytest.CaptureFixture[str], status: int, *arguments: str) -> str:
    """What a command prints; its exit status has to be this."""
    got = main(list(arguments))
    out, err = capsys.readouterr()
    assert got == status, err
    return out + err


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_every_command_on_a_url(tmp_path: Path, capsys: pytest.CaptureFixture[str], zarr_format: int) -> None:
    group(tmp_path / "a.zarr", zarr_format)
    said(capsys, 0, "convert", str(tmp_path / "a.zarr"), "memory://b.zarr", "--verify", "--embed-model")
    assert "memory://b.zarr/deep/image: uint16 (80, 90)" in said(capsys, 0, "inspect", "memory://b.zarr")
    assert "all decode" in said(capsys, 0, "verify", "memory://b.zarr")
    assert "BitSwap" in said(capsys, 0, "estimate", "memory://b.zarr/stack", "--count", "1")
    assert "name one of its arrays: deep/image, stack" in said(capsys, 2, "estimate", "memory://b.zarr")
    assert "nothing was written" in said(capsys, 0, "convert", "memory://b.zarr", "memory://c.zarr", "--dry-run")
    said(capsys, 0, "convert", "memory://b.zarr", "memory://c.zarr", "--codec", "zstd")
    assert "exists" in said(capsys, 2, "convert", "memory://b.zarr", "memory://c.zarr", "--codec", "zstd")
    said(capsys, 0, "convert", "memory://c.zarr/stack", str(tmp_path / "stack.npy"))
    for name, data in ARRAYS.items():
        assert np.array_equal(zarr.open_array("memory://c.zarr", path=name, mode="r")[:], data)
    assert np.array_equal(np.load(tmp_path / "stack.npy"), ARRAYS["stack"])


def test_a_model_beside_remote_data(memory: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    group("memory://a.zarr")
    convert("memory://a.zarr", "memory://b.zarr", Wanted(model="tiny-gray8-v1"), embed=True)
    assert f"/b.zarr/stack/.bitswap/{catalog.find('tiny-gray8-v1').sha256}.safetensors" in memory


def test_an_unfinished_conversion_at_a_url(
    memory: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Stopped(BaseException):
        pass

    def stop(*_: Any) -> None:
        raise Stopped

    group("memory://a.zarr")
    with monkeypatch.context() as patch:
        patch.setattr(journal.Journal, "publish", stop)
        with pytest.raises(Stopped):
            convert("memory://a.zarr", "memory://b.zarr", Wanted(codec="zstd"))
    for command in ("inspect", "verify", "estimate"):
        assert "unfinished conversion" in said(capsys, 2, command, "memory://b.zarr")
    convert("memory://a.zarr", "memory://b.zarr", Wanted(codec="zstd"))
    assert np.array_equal(zarr.open_array("memory://b.zarr/stack", mode="r")[:], ARRAYS["stack"])
    assert not [key for key in memory if "unfinished" in key]


def test_stores_without_listings(capsys: pytest.CaptureFixture[str]) -> None:
    """A group needs consolidated metadata, and the error says so; an array needs nothing."""
    group("memory://a.zarr", 2)
    for command in (["inspect"], ["verify"], ["estimate"], ["convert", "--codec=zstd"]):
        target = ["memory://never.zarr"] * (command[0] == "convert")
        assert "consolidated metadata" in said(capsys, 2, *command, "unlisted://a.zarr", *target)
    assert "(2, 80, 90)" in said(capsys, 0, "inspect", "unlisted://a.zarr/stack")
    assert "all decode" in said(capsys, 0, "verify", "unlisted://a.zarr/stack")
    zarr.consolidate_metadata("memory://a.zarr")
    assert "(80, 90)" in said(capsys, 0, "inspect", "unlisted://a.zarr")
    said(capsys, 0, "convert", "unlisted://a.zarr", "memory://b.zarr", "--codec", "zstd")
    assert np.array_equal(zarr.open_array("memory://b.zarr", path="deep/image", mode="r")[:], GRADIENT)


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("memory://nowhere.zarr", "not a Zarr array or group"),
        ("nosuch://a.zarr", "Protocol not known"),
        ("s3://bucket/a.zarr", "s3fs"),
        ("memory://a.npy", "of URLs only Zarr arrays"),
        ("nowhere.zip", "No such file"),
        ("nowhere.zip/array", "No such file"),
    ],
)
def test_what_is_not_there(
    source: str, what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "s3fs"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    assert what in said(capsys, 2, "estimate", source)
    assert what in said(capsys, 2, "convert", source, str(tmp_path / "b.zarr"))
    assert not (tmp_path / "b.zarr").exists()


def test_what_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=GRADIENT)
    for target, what in (
        ("nosuch://b.zarr", "Protocol not known"),
        ("memory://b.npy", "files are written on this machine"),
        (str(tmp_path / "b.zip"), "then zip it"),
    ):
        assert what in said(capsys, 2, "convert", str(tmp_path / "a.zarr"), target)


def test_zip_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = str(tmp_path / "a.zip")
    with zarr.storage.ZipStore(place, mode="w") as store:
        group(store)
    assert f"{place}/deep/image: uint16 (80, 90)" in said(capsys, 0, "inspect", place)
    assert "name one of its arrays: deep/image, stack" in said(capsys, 2, "estimate", place)
    assert "(2, 80, 90)" in said(capsys, 0, "estimate", f"{place}/stack", "--count", "1")
    assert "1 array(s)" in said(capsys, 0, "convert", f"{place}/deep", str(tmp_path / "deep.zarr"))
    said(capsys, 0, "convert", place, str(tmp_path / "b.zarr"), "--verify")
    for name, data in ARRAYS.items():
        assert np.array_equal(zarr.open_array(tmp_path / "b.zarr" / name, mode="r")[:], data)
    assert "not a Zarr array or group" in said(capsys, 2, "inspect", f"{place}/nowhere")
    (tmp_path / "bad.zip").write_text("no zip file")
    assert "not a zip file" in said(capsys, 2, "verify", str(tmp_path / "bad.zip"))

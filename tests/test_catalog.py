"""catalog.py: models are found by name and id, verified, loaded once; what is missing or altered is said."""

import hashlib
import importlib.metadata
import json
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from numcodecs_bitswap import BitSwap, MissingModel, ModelError
from numcodecs_bitswap.models import catalog
from strategies import picture

TINY = "tiny-gray8-v1"


@pytest.fixture(autouse=True)
def fresh_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other test's folders, and nothing remembered."""
    for name in ("_registered", "_given", "_found", "_hashes", "_loaded"):
        monkeypatch.setattr(catalog, name, type(getattr(catalog, name))())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a model that nothing else has: the tiny one with another name in its metadata."""
    path = catalog.find(TINY).path
    data = path.read_bytes()
    arch = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]["arch"]
    tensors = safetensors.numpy.load(data)
    safetensors.numpy.save_file(tensors, tmp_path / "my-model.safetensors", {"arch": arch, "name": "other"})
    return tmp_path


def test_a_damaged_compressed_file_is_refused(tmp_path: Path) -> None:
    entry = catalog.find("mnist-v1")
    assert entry.path.suffix == ".zst"
    for data in (entry.path.read_bytes()[:-9], b"noise"):
        path = tmp_path / entry.path.name
        path.write_bytes(data)
        with pytest.raises(ModelError, match="altered"):
            catalog.read(replace(entry, path=path))


def id_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_shipped_models_are_what_the_catalog_says() -> None:
    lines: dict[str, Any] = json.loads((catalog.WEIGHTS / "catalog.json").read_text())
    assert {"photo-rgb8-v2", "photo-gray8-v2", "tiny-rgb8-v1", "tiny-gray8-v1"} <= set(lines)
    for name, line in lines.items():
        assert hashlib.sha256(catalog.read(catalog.find(name))).hexdigest() == line["sha256"]
        net = catalog.load(name, "cpu").net
        if catalog.kind_of(name) not in ("planes", "jpeg"):  # these take any number of channels
            assert net.channels == (3 if "rgb" in name else 1)


def test_by_name_and_by_id() -> None:
    entry = catalog.find(TINY)
    loaded = catalog.load(TINY, "cpu")
    assert loaded.id.hex() == entry.sha256[:32]
    for key in (entry.sha256, entry.sha256[:32], loaded.id, bytes.fromhex(entry.sha256)):
        assert catalog.find(key) == entry
        assert catalog.load(key, "cpu") is loaded
    image = picture((40, 40))
    assert BitSwap(model=entry.sha256).encode(image) == BitSwap(model=TINY).encode(image)


def test_a_model_is_loaded_once_whoever_asks() -> None:
    with ThreadPoolExecutor(8) as pool:
        loaded = set(pool.map(lambda _: catalog.load(TINY, "cpu"), range(32)))
    assert len(loaded) == 1


@pytest.mark.parametrize("how", ["registered", "environment", "module", "function"])
def test_search_folders(folder: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sha256 = id_of(folder / "my-model.safetensors")
    with pytest.raises(MissingModel):
        catalog.find("my-model")
    if how == "registered":
        catalog.register_folder(folder)
    elif how == "environment":
        monkeypatch.setenv("NUMCODECS_BITSWAP_MODELS", f"/nowhere{':' if sys.platform != 'win32' else ';'}{folder}")
    else:
        installed(folder, "models_package" if how == "module" else "models_package:folder", monkeypatch)
    entry = catalog.find("my-model")
    assert (entry.path, entry.sha256) == (folder / "my-model.safetensors", sha256)
    assert catalog.find(sha256[:32]).path == entry.path
    assert catalog.names()["my-model"] == sha256
    image = picture((40, 40))
    np.testing.assert_array_equal(BitSwap().decode(BitSwap(model="my-model").encode(image)), image)


def installed(folder: Path, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with an entry point for models, as pip would leave it."""
    (folder / "models_package.py").write_text(
        "import pathlib\ndef folder():\n    return pathlib.Path(__file__).parent\n"
    )
    info = folder / "models_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: models_package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{catalog.GROUP}]\nmine = {value}\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "models_package", raising=False)
    assert importlib.metadata.entry_points(group=catalog.GROUP)


def test_a_broken_package_does_not_hide_other_models(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(folder, "models_package:nothing", monkeypatch)
    assert catalog.find(TINY).name == TINY
    with pytest.raises(MissingModel, match=r"models_package:nothing.*AttributeError"):
        catalog.find("my-model")


def test_shipped_names_cannot_be_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = catalog.find(TINY).sha256
    catalog._found.clear()
    shutil.copy(folder / "my-model.safetensors", folder / f"{TINY}.safetensors")
    catalog.register_folder(folder)
    assert catalog.find(TINY).sha256 == shipped == catalog.names()[TINY]


def test_a_missing_model_says_which_and_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMCODECS_BITSWAP_MODELS", str(tmp_path))
    for key in ("no-such-model", "0" * 32):
        with pytest.raises(MissingModel, match=key) as caught:
            catalog.load(key, "cpu")
        for place in (str(catalog.WEIGHTS), str(tmp_path), "NUMCODECS_BITSWAP_MODELS"):
            assert place in str(caught.value)


def test_a_frame_names_the_model_it_needs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog.register_folder(folder)
    frame = BitSwap(model="my-model").encode(picture((40, 40)))
    sha256 = catalog.find("my-model").sha256
    for name in ("_registered", "_found", "_loaded"):
        monkeypatch.setattr(catalog, name, type(getattr(catalog, name))())
    with pytest.raises(MissingModel, match=sha256[:32]):
        BitSwap().decode(frame)


def test_a_file_that_changes_after_it_was_found_is_refused(folder: Path) -> None:
    catalog.register_folder(folder)
    path = catalog.find("my-model").path
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match="altered"):
        catalog.load("my-model", "cpu")


@pytest.mark.parametrize("metadata", [None, {}, {"arch": "{"}, {"arch": "7"}, {"arch": '{"format": 2}'}])
def test_files_that_are_no_models(tmp_path: Path, metadata: Any) -> None:
    safetensors.numpy.save_file({"w": np.zeros(3, np.int8)}, tmp_path / "wrong.safetensors", metadata)
    (tmp_path / "noise.safetensors").write_bytes(bytes(range(200)))
    catalog.register_folder(tmp_path)
    for name in ("wrong", "noise"):
        with pytest.raises(ModelError):
            catalog.load(name, "cpu")

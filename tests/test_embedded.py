"""Models stored with the data: found where they were put and nowhere else, verified, and never in the way."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import zarr
from zarr.storage import LocalStore, MemoryStore, ZipStore

from numcodecs_bitswap import BitSwap, MissingModel, ModelError, embed_model, use_models
from numcodecs_bitswap.errors import SourceError
from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.zarr3 import BitSwapCodec
from strategies import picture

PICTURE = picture((40, 40))


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a model that nobody else has, and no other test's models."""
    forget(monkeypatch)
    source = catalog.find("tiny-gray8-v1")
    arch = catalog.metadata_of(source)["arch"]
    folder = tmp_path / "models"
    folder.mkdir()
    tensors = safetensors.numpy.load(catalog.read(source))
    safetensors.numpy.save_file(tensors, folder / "mine.safetensors", {"arch": arch, "name": "mine"})
    catalog.register_folder(folder)
    return "mine"


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_registered", "_given", "_found", "_hashes", "_loaded"):
        monkeypatch.setattr(catalog, name, type(getattr(catalog, name))())


def stores(tmp_path: Path) -> dict[str, Any]:
    return {"memory": MemoryStore(), "local": LocalStore(tmp_path / "a.zarr")}


def options(zarr_format: int, model: str) -> dict[str, Any]:
    if zarr_format == 2:
        return {"zarr_format": 2, "compressors": BitSwap(model=model)}
    return {"zarr_format": 3, "serializer": BitSwapCodec(model=model), "compressors": None}


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("kind", ["memory", "local"])
def test_an_array_brings_its_model(
    model: str, tmp_path: Path, kind: str, zarr_format: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, sha256 = stores(tmp_path)[kind], catalog.find(model).sha256
    array = zarr.create_array(store, data=PICTURE, chunks=(40, 40), **options(zarr_format, model))
    before = array.nbytes_stored()
    assert embed_model(array, model) == [f".bitswap/{sha256}.safetensors"]
    forget(monkeypatch)
    with pytest.raises(MissingModel, match="use_models"):
        zarr.open_array(store)[:]
    assert use_models(store) == [sha256]
    assert catalog.find("mine").sha256 == sha256
    array = zarr.open_array(store)
    assert np.array_equal(array[:], PICTURE)
    array[:20] = 3
    array.resize((80, 40))
    assert array.nchunks_initialized == 1
    assert array.nbytes_stored() > before
    assert use_models(store) == [sha256]


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("kind", ["memory", "local"])
def test_a_group_lists_what_it_did(
    model: str, tmp_path: Path, kind: str, zarr_format: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, sha256 = stores(tmp_path)[kind], catalog.find(model).sha256
    group = zarr.create_group(store, zarr_format=zarr_format)
    for path in ("a", "deep/b"):
        zarr.create_array(store, name=path, data=PICTURE, **options(zarr_format, model))
    before = sorted(name for name, _ in group.members(None))
    assert sorted(embed_model(store, model)) == [f"{path}/.bitswap/{sha256}.safetensors" for path in ("a", "deep/b")]
    assert sorted(name for name, _ in group.members(None)) == before
    assert list(group["a"].attrs) == []
    forget(monkeypatch)
    assert use_models(store) == [sha256]
    assert np.array_equal(zarr.open_group(store)["deep/b"][:], PICTURE)
    del zarr.open_group(store, mode="r+")["a"]
    assert sorted(name for name, _ in zarr.open_group(store).members(None)) == before[1:]


def test_by_path_url_and_zip(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sha256, path = catalog.find(model).sha256, str(tmp_path / "a.zarr")
    with ZipStore(tmp_path / "a.zip", mode="w") as store:
        embed_model(zarr.create_array(store, data=PICTURE, **options(3, model)), model)
    zarr.create_array(path, data=PICTURE, **options(3, model))
    embed_model(path, model)
    shutil.copytree(path, tmp_path / "copy.zarr")
    zipped = ZipStore(tmp_path / "a.zip", mode="r")
    for place in (path, f"file://{path}", zipped, tmp_path / "copy.zarr"):
        forget(monkeypatch)
        assert use_models(place) == [sha256]
        assert catalog.load(sha256, "cpu").name == "mine"
    zipped.close()


def test_what_is_not_the_model_that_it_says_is_refused(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.zarr"
    array = zarr.create_array(path, data=PICTURE, **options(3, model))
    (key,) = embed_model(array, model)
    (path / ".bitswap" / "notes.txt").write_text("not a model")
    (path / ".bitswap" / "deadbeef.safetensors").write_bytes(b"not a name of one")
    forget(monkeypatch)
    assert len(use_models(path)) == 1
    data = bytearray((path / key).read_bytes())
    data[-1] ^= 1
    (path / key).write_bytes(data)
    forget(monkeypatch)
    with pytest.raises(ModelError, match="altered"):
        use_models(path)
    with pytest.raises(MissingModel):
        catalog.find("mine")


def test_a_store_that_takes_no_more(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = zarr.create_array(tmp_path / "a.zarr", data=PICTURE, **options(3, model))
    write = LocalStore.set

    async def full(self: LocalStore, key: str, value: Any) -> None:
        await write(self, key, value[: len(value) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "set", full)
        with pytest.raises(SourceError, match="No space left"):
            embed_model(array, model)
    assert use_models(array) == []
    with pytest.raises(SourceError, match="read-only"):
        embed_model(zarr.open_array(tmp_path / "a.zarr", mode="r"), model)


def test_metadata_lead_nowhere(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even metadata that look as if they should."""
    array = zarr.create_array(tmp_path / "a.zarr", data=PICTURE, **options(3, model))
    folder = catalog.find(model).path.parent
    array.attrs["bitswap"] = array.attrs["models"] = str(folder)
    forget(monkeypatch)
    assert use_models(tmp_path / "a.zarr") == []
    with pytest.raises(MissingModel):
        array[:]


def test_shipped_names_stay(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model beside data that calls itself by a shipped name is found by its id alone."""
    entry = catalog.find(model)
    tensors = safetensors.numpy.load(catalog.read(entry))
    folder = tmp_path / "models"
    arch = catalog.metadata_of(entry)["arch"]
    safetensors.numpy.save_file(tensors, folder / "evil.safetensors", {"arch": arch, "name": "photo-gray8-v2"})
    evil = catalog.find("evil").sha256
    array = zarr.create_array(MemoryStore(), data=PICTURE, **options(3, "evil"))
    embed_model(array, "evil")
    forget(monkeypatch)
    assert use_models(array) == [evil]
    assert catalog.find("photo-gray8-v2").sha256 != evil == catalog.find(evil).sha256


def test_places_that_are_none(model: str, tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "empty.zarr")
    for place in (tmp_path / "nowhere.zarr", tmp_path / "empty.zarr"):
        with pytest.raises(SourceError, match="zarr"):
            use_models(place)
        with pytest.raises(SourceError, match="zarr"):
            embed_model(place, model)
    with pytest.raises(MissingModel):
        embed_model(MemoryStore(), "no-such-model")

"""inspect, verify and the warning: what is stored is said, what is damaged is found."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numcodecs import Delta

from numcodecs_bitswap import BitSwap, ShapeWarning
from numcodecs_bitswap.chunk import notice
from numcodecs_bitswap.cli import main
from numcodecs_bitswap.measure import contents
from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.zarr3 import BitSwapCodec
from pictures import photograph

VOLUME = (np.add.outer(np.arange(3), np.add.outer(np.arange(100), np.arange(128))) % 200).astype("u2")
SHARDED: dict[str, Any] = {"serializer": BitSwapCodec(), "compressors": None, "shards": (3, 128, 128)}


def stored(path: Path, zarr_format: int, **options: Any) -> Any:
    if zarr_format == 2:
        options |= {"compressors": BitSwap(), "zarr_format": 2}
    else:
        options = {"serializer": BitSwapCodec(), "compressors": None, **options}
    array = zarr.create_array(path, shape=VOLUME.shape, dtype="u2", chunks=(3, 64, 64), fill_value=0, **options)
    array[:, :, :64] = VOLUME[:, :, :64]
    return array


@pytest.mark.parametrize(("zarr_format", "options"), [(2, {}), (3, {}), (3, {"shards": (3, 128, 128)})])
def test_contents_are_the_frames(tmp_path: Path, zarr_format: int, options: dict[str, Any]) -> None:
    found = contents.of_array("a", stored(tmp_path / "a.zarr", zarr_format, **options))
    frames = [BitSwap().encode(VOLUME[:, :64, :64])]
    edge = np.zeros((3, 64, 64), "u2")
    edge[:, :36] = VOLUME[:, 64:, :64]
    frames.append(BitSwap().encode(edge))
    by_place = {each.place: each for each in found.stored}
    assert sorted(by_place) == [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1)]
    assert found.codec == "bitswap"
    assert [by_place[0, y, 0].described.route for y in (0, 1)] == ["planes", "planes"]
    assert [by_place[0, y, 1].described.route for y in (0, 1)] == [contents.EMPTY] * 2
    if zarr_format == 2:
        assert [by_place[0, y, 0].nbytes for y in (0, 1)] == [len(each) for each in frames]
    assert found.groups()[0][1] == bytes.fromhex(catalog.find("universal-v1").sha256)[:16]
    assert sum(count for _, count in found.references()) == 2
    assert found.map().shape == (1, 2, 2)
    assert np.isnan(found.map()[0, :, 1]).all()


def test_inspect_says_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    group = zarr.create_group(tmp_path / "g.zarr")
    group.create_array("other", data=VOLUME, chunks=(1, 64, 64))
    stored(tmp_path / "g.zarr" / "ours", 3)
    assert main(["inspect", str(tmp_path / "g.zarr")]) == 0
    text = capsys.readouterr().out
    for what in ("planes", "universal-v1", "empty", "other codec", "zstd", "bits/sample", "reference planes"):
        assert what in text
    assert main(["inspect", str(tmp_path / "g.zarr" / "ours"), "--picture", str(tmp_path / "a.png")]) == 0
    assert (tmp_path / "a.png").stat().st_size > 1000
    assert main(["inspect", str(tmp_path / "g.zarr"), "--picture", str(tmp_path / "b.png")]) == 2
    assert "one array" in capsys.readouterr().err
    assert main(["inspect", str(tmp_path / "nowhere.bsw")]) == 2


def test_a_missing_model_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = BitSwap(model="photo-v1").encode(photograph()[:64, :64])
    (tmp_path / "a.bsw").write_bytes(frame)
    sha256 = catalog.find("photo-v1").sha256
    shipped = {name: line for name, line in catalog._shipped().items() if name != "photo-v1"}
    monkeypatch.setattr(catalog, "_shipped", lambda: shipped)
    monkeypatch.setattr(catalog, "_given", [])
    monkeypatch.setattr(catalog, "_found", {})
    monkeypatch.setattr(catalog, "_loaded", {})
    assert main(["inspect", str(tmp_path / "a.bsw")]) == 1
    text = capsys.readouterr().out
    assert f"missing: {sha256[:32]}" in text
    assert "NUMCODECS_BITSWAP_MODELS" in text
    assert main(["verify", str(tmp_path / "a.bsw")]) == 1
    assert "MissingModel" in capsys.readouterr().out


def test_verify_finds_what_is_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored(tmp_path / "a.zarr", 3)
    (tmp_path / "a.bsw").write_bytes(BitSwap().encode(VOLUME))
    assert main(["verify", str(tmp_path / "a.zarr"), str(tmp_path / "a.bsw")]) == 0
    assert "5 chunk(s)" in capsys.readouterr().out
    for path in (tmp_path / "a.zarr" / "c" / "0" / "1" / "0", tmp_path / "a.bsw"):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    assert main(["verify", str(tmp_path / "a.zarr"), str(tmp_path / "a.bsw")]) == 1
    text = capsys.readouterr().out
    assert "chunk (0, 1, 0): FormatError" in text
    assert "2 failed" in text
    assert main(["inspect", str(tmp_path / "a.zarr")]) == 1
    assert "damaged" in capsys.readouterr().out


def test_the_picture_needs_matplotlib(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["inspect", str(tmp_path), "--picture", "a.png"]) == 2
    assert "pip install matplotlib" in capsys.readouterr().err


def test_a_filter_that_hides_the_shape_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notice, "_given", False)
    image = np.tile(np.arange(256, dtype="u2"), (256, 1))
    flat = Delta(dtype="u2").encode(image).reshape(-1)
    with pytest.warns(ShapeWarning, match="Delta"):
        BitSwap().encode(flat)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        BitSwap().encode(flat)


def test_what_is_small_or_an_image_gives_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notice, "_given", False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for array in (np.arange(5000), np.zeros((300, 300), "i8"), np.zeros((70000,), "S3")):
            BitSwap().encode(array)
    assert not notice._given

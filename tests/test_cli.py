"""cli/ and estimate.py: what an array would gain, the models that are there; bad input is said and costs nothing."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import zarr

import numcodecs_bitswap
from numcodecs_bitswap import BitSwap
from numcodecs_bitswap.cli import main
from numcodecs_bitswap.measure import estimate, harness
from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.readers.arrays import open_array, sample
from pictures import photograph

TINY = "tiny-rgb8-v1"


@pytest.fixture
def stored(tmp_path: Path) -> str:
    """A Zarr array of six chunks and its edges."""
    path = str(tmp_path / "image.zarr")
    zarr.create_array(path, data=photograph()[:210, :340], chunks=(100, 100, 3))
    return path


def test_an_estimate_is_what_the_codecs_give(stored: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", stored, "--model", TINY, "--count", "3"]) == 0
    text = capsys.readouterr().out
    chunks = sample(open_array(stored), (100, 100, 3), 3)
    assert [chunk.shape for chunk in chunks] == [(100, 100, 3)] * 3
    total = sum(len(BitSwap(model=TINY).encode(chunk)) for chunk in chunks)
    (line,) = (line for line in text.splitlines() if TINY in line)
    assert f"{total:,}" in line
    assert f"{90_000 / total:.3f}" in line
    assert "3 chunks of (100, 100, 3) sampled" in text
    for name in ("Zstd", "Blosc", "PNG", "WebP", "JPEG XL"):
        assert name in text


@pytest.mark.parametrize(
    ("array", "chunks"),
    [
        (np.zeros((700, 500, 3), "u1"), (256, 256, 3)),
        (np.zeros((9, 300, 200), "u2"), (1, 256, 200)),
        (np.zeros((5, 7), "f4"), (5, 7)),
        (np.zeros(50, "i8"), (50,)),
    ],
)
def test_every_array_can_be_sampled(tmp_path: Path, array: Any, chunks: tuple[int, ...]) -> None:
    np.save(tmp_path / "a.npy", array)
    mapped = open_array(str(tmp_path / "a.npy"))
    assert mapped.chunks == chunks
    assert {chunk.shape for chunk in sample(mapped, chunks, 2)} == {chunks}


def test_arrays_of_a_npz_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = str(tmp_path / "a.npz")
    np.savez(place, first=np.arange(12).reshape(3, 4), second=np.ones((5, 6), "f4"))
    for source, array in ((place, np.arange(12).reshape(3, 4)), (f"{place}/second", np.ones((5, 6), "f4"))):
        opened = open_array(source)
        assert opened.dtype == array.dtype
        assert np.array_equal(opened.read((0, 0), (9, 9)), array)
    assert main(["convert", f"{place}/second", str(tmp_path / "second.zarr")]) == 0
    assert zarr.open_array(tmp_path / "second.zarr", mode="r").shape == (5, 6)
    assert main(["estimate", f"{place}/third"]) == 2
    assert "no array third; name one of first, second" in capsys.readouterr().err


def test_models_of_other_channels_are_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(catalog, "names", lambda: {"photo-gray8-v2": "", "tiny-gray8-v1": "", "photo-rgb8-v2": ""})
    assert estimate.fitting_models(photograph()[:64, :64], {}) == ["photo-rgb8-v2"]
    assert estimate.fitting_models(np.zeros((64, 64)), {}) == []


def test_measuring_needs_no_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    chunk = np.zeros((8, 8), "u1")
    assert harness.measure(harness.bitswap(), [chunk]).total == len(BitSwap().encode(chunk))


def test_an_array_that_no_model_fits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "a.npy", np.array([b"one", b"two", b"three"] * 300).reshape(30, 30))
    assert main(["estimate", str(tmp_path / "a.npy")]) == 0
    assert "No model fits" in capsys.readouterr().out


def test_bad_input_is_said(tmp_path: Path, stored: str, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "empty.npy", np.zeros((0, 5)))
    (tmp_path / "text.png").write_text("no image")
    zarr.create_group(str(tmp_path / "group.zarr")).create_array("inside", shape=(2, 2), dtype="u1")
    for arguments, what in (
        ([str(tmp_path / "nowhere.zarr")], "not a Zarr array"),
        ([str(tmp_path / "text.png")], "not a Zarr array"),
        ([str(tmp_path / "empty.npy")], "is empty"),
        ([str(tmp_path / "group.zarr")], "inside"),
        ([stored, "--chunks", "10", "10"], "3 positive numbers"),
        ([stored, "--model", "no-such-model"], "not installed"),
    ):
        assert main(["estimate", *arguments]) == 2
        assert what in capsys.readouterr().err


def test_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    assert TINY in capsys.readouterr().out
    assert main(["models", "show", TINY]) == 0
    assert "licence" in capsys.readouterr().out
    assert main(["models", "show", "no-such-model"]) == 2
    path = tmp_path / "mine.safetensors"
    shutil.copy(catalog.find(TINY).path, path)
    monkeypatch.setenv("NUMCODECS_BITSWAP_MODELS", str(tmp_path))
    monkeypatch.setattr(catalog, "_found", {})
    monkeypatch.setattr(catalog, "_registered", [])
    assert main(["models", "verify", TINY, "mine"]) == 0
    path.write_bytes(path.read_bytes()[:-1] + b"\0\0")
    monkeypatch.setattr(catalog, "_loaded", {})
    assert main(["models", "verify", "mine"]) == 1
    assert "altered" in capsys.readouterr().out


def test_unknown_models_and_axes_are_said_before_anything_runs(
    stored: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("numcodecs_bitswap.readers.arrays.sample", lambda *_: pytest.fail("it ran"))
    for arguments, what in (
        (["--model", TINY, "--model", "no-such-model"], "not installed"),
        (["--channel-axis", "7"], "axis 7"),
    ):
        assert main(["estimate", stored, *arguments]) == 2
        assert what in capsys.readouterr().err


def test_an_estimate_for_programs(stored: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", stored, "--model", TINY, "--count", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["chunks"] == [100, 100, 3]
    names = [codec["name"] for codec in found["codecs"]]
    assert f"BitSwap, {TINY}" in names
    assert [codec["bytes"] for codec in found["codecs"]] == sorted(codec["bytes"] for codec in found["codecs"])


def test_transparency_is_a_channel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of four channels none is an axis of the picture."""
    rgba = np.dstack([photograph()[:64, :80], photograph()[:64, 80:160, 0]])
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(rgba))
    arguments = ["estimate", str(tmp_path / "a.png"), "--model", "photo-v1", "--json"]
    assert main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    sizes = {codec["name"]: codec["bytes"] for codec in found["codecs"]}
    assert found["shape"] == [64, 80, 4]
    assert sizes["BitSwap, photo-v1"] == len(BitSwap(model="photo-v1", spatial_axes=(0, 1)).encode(rgba))


def test_stores_that_cannot_be_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: Any, **__: Any) -> Any:
        raise PermissionError("no credentials")

    monkeypatch.setattr(zarr, "open", refused)
    for command in ("estimate", "inspect", "verify"):
        assert main([command, "s3://bucket/array.zarr"]) == 2
        assert "no credentials" in capsys.readouterr().err


def test_ctrl_c_ends_a_command_quietly(
    stored: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def pressed(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("numcodecs_bitswap.measure.harness.measure", pressed)
    assert main(["estimate", stored, "--model", TINY]) == 130
    assert capsys.readouterr().err == "stopped\n"


def test_a_device_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")  # training needs it
    np.save(tmp_path / "a.npy", np.zeros((64, 64), "u1"))
    assert main(["train", str(tmp_path / "a.npy"), "--recipe", "default", "--device", "tpu"]) == 2
    assert "there is none" in capsys.readouterr().err


def test_as_a_module_with_its_version() -> None:
    program = [sys.executable, "-m", "numcodecs_bitswap", "--version"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(program, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == f"numcodecs_bitswap {numcodecs_bitswap.__version__}\n"


def test_the_command_line_reads_nothing_heavy() -> None:
    program = (
        "import sys, numcodecs_bitswap.cli as c; c.main(['--version']); print({'torch', 'numpy'} & set(sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.endswith("set()\n")

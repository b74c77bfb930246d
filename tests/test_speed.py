"""benchmarks/speed: the quick run says everything and is right; what it counts and compares is what it says."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.speed import __main__
from benchmarks.speed.cases import TALLEST, Pictures, sheet, subjects
from benchmarks.speed.paths import differences, through_codec, through_zarr
from benchmarks.speed.roofline import Ceilings, Work, counted
from numcodecs_bitswap import BitSwap
from numcodecs_bitswap.chunk.coding import Decoding
from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.runtime import scheduler
from pictures import photograph

ROOT = Path(__file__).parents[1]
FIELD, STACK = "tiny-rgb8-v1", "mnist-binary-v1"


@pytest.fixture(autouse=True)
def no_device_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "_chosen", None)


@pytest.mark.slow
def test_quick_run(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "benchmarks.speed", "--quick", "--device", "cpu"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, "--models", FIELD, STACK], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "bench-out" / "speed.json").read_text())["devices"]["cpu"]
    assert (tmp_path / "bench-out" / "speed.png").stat().st_size

    ours = [f"BitSwap {FIELD}", f"BBANS {FIELD}", f"BitSwap {STACK}"]  # with one latent layer both codecs are the same
    assert result["rates"].keys() == {
        "64 x 64 x 3",
        "256 x 256 x 3",
        "5 x 28 x 28 binary digits",
        "83 x 28 x 28 binary digits",
    }
    for title, rows in result["rates"].items():
        assert f"## cpu, chunks of {title}\n" in done.stdout
        named = {row["codec"] for row in rows}
        assert {"Blosc lz4", "Zstd", "PNG", "WebP method 6", "JPEG XL effort 3", "JPEG XL effort 7"} < named
        assert {(row["device"], row["through"]) for row in rows if row["codec"] in ours} == {
            ("cpu", "codec"),
            ("cpu", "Zarr"),
        }
        for row in rows:
            assert min(row["encode_mb_s"], row["decode_mb_s"], row["total"]) > 0
            assert row["codec"] not in ours or 1 <= row["chunks_a_pass"] <= row["chunks"]
    assert {row["chunks"] for row in result["rates"]["64 x 64 x 3"]} == {1, 8}

    assert [*result["split"]] == [*result["roofline"]["models"]] == ours
    for ways in result["split"].values():
        for parts in ways.values():
            assert sum(share for name, share in parts.items() if name != "MB/s") == pytest.approx(1)
            assert parts["matrix products"] > 0
    for ways in result["roofline"]["models"].values():
        for way in ways.values():
            assert 0 < way["alone"] < way["networks"]
    assert {each["exact"] for each in result["message"] if "exact" in each} == {True}
    assert result["gathering"].keys() == {
        "Zarr format 2",
        "Zarr format 3",
        "Zarr format 3, two shards",
        "dask, Zarr format 3",
    }


def test_an_absent_device_and_folder_are_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        assert __main__.main(["--device", "cuda"]) == 2
        assert "'cuda'" in capsys.readouterr().err
    assert __main__.main(["--data", str(tmp_path / "gone"), "--device", "cpu"]) == 2
    assert "gone" in capsys.readouterr().err


@pytest.mark.parametrize("model", [FIELD, STACK])
def test_fewer_chunks_are_the_first_of_more(model: str) -> None:
    net = catalog.load(model, "cpu").net
    few, more = (Pictures().chunks(net, 64, n) for n in (2, 5))
    assert len(more) == 5
    assert all(np.array_equal(one, other) for one, other in zip(few, more[:2], strict=True))
    assert len({chunk.tobytes() for chunk in more}) == 5


@pytest.mark.parametrize("way", [through_codec, through_zarr])
def test_a_chunk_that_comes_back_otherwise_is_an_error(way: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (subject, *_), chunks = subjects([FIELD], Pictures()), [np.ascontiguousarray(photograph()[:64, :64])]
    assert way(subject, chunks, 1).chunks_a_pass == 1
    finish = Decoding.finish
    monkeypatch.setattr(Decoding, "finish", lambda self: finish(self) ^ 1)
    with pytest.raises(AssertionError, match=FIELD):
        way(subject, chunks, 1)


@given(st.integers(1, 40), st.sampled_from([(), (3,)]), st.sampled_from([(3, 2), (9000, 1), (700, 2)]))
def test_a_sheet_is_no_taller_than_image_codecs_take(n: int, colour: tuple[int, ...], size: tuple[int, int]) -> None:
    """And shows every small picture once."""
    height, width = size
    stack = np.arange(n, dtype=np.uint8).repeat(height * width * math.prod(colour)).reshape(n, *size, *colour)
    image = sheet(stack)
    assert image.shape[0] <= TALLEST
    assert image.shape[2:] == colour
    pictures = [
        block
        for row in np.split(image, image.shape[0] // height)
        for block in np.split(row, image.shape[1] // width, 1)
    ]
    assert [np.unique(picture).tolist() for picture in pictures] == [[k] for k in range(n)]


class Wrong:
    """Codes as the tiny model does, on a CPU; asked for another device it makes mistakes."""

    def __init__(self, encodes: bool, decodes: bool) -> None:
        self.codec, self.encodes, self.decodes = BitSwap(model=FIELD), encodes, decodes

    def encode(self, chunk: Any) -> Any:
        wrong = scheduler._chosen == "cuda" and self.encodes
        return self._on_cpu(self.codec.encode, np.flip(chunk) if wrong else chunk)

    def decode(self, frame: Any) -> Any:
        wrong = scheduler._chosen == "cuda" and self.decodes
        return self._on_cpu(self.codec.decode, frame) ^ wrong

    @staticmethod
    def _on_cpu(code: Any, data: Any) -> Any:
        chosen, scheduler._chosen = scheduler._chosen, "cpu"
        try:
            return code(data)
        finally:
            scheduler._chosen = chosen


@pytest.mark.parametrize(("encodes", "decodes", "found"), [(False, False, 0), (True, False, 2), (False, True, 1)])
def test_differences_between_devices_are_found(encodes: bool, decodes: bool, found: int) -> None:
    chunks = [np.ascontiguousarray(photograph()[:40, :50])]
    assert len(differences("codec", Wrong(encodes, decodes), chunks, "cuda")) == found  # type: ignore[arg-type]


@given(n=st.integers(1, 3), h=st.integers(1, 9), w=st.integers(1, 9))
def test_operations_are_those_of_the_layers(n: int, h: int, w: int) -> None:
    trunk = catalog.load(FIELD, "cpu").net.stages[0].a
    layers = [trunk.first, *(layer for block in trunk.blocks for layer in block), trunk.head, trunk.skip]
    with counted() as work:
        trunk(np.zeros((n, h, w, trunk.first.weights.shape[0]), np.int8))
    weights = sum(layer.weights.size for layer in layers)
    assert work.operations == 2 * n * h * w * weights
    least = n * h * w * (trunk.first.weights.shape[0] + 4 * len(trunk.head.bias))
    assert least + weights < work.moved < 2 * n * h * w * weights + weights


def test_the_ceiling_is_what_takes_longer() -> None:
    ceilings = Ceilings(operations=100.0, moved=10.0)
    assert (ceilings.seconds(Work(1000, 10)), ceilings.bound(Work(1000, 10))) == (10.0, "products")
    assert (ceilings.seconds(Work(100, 100)), ceilings.bound(Work(100, 100))) == (10.0, "memory")

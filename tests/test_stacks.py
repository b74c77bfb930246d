"""benchmarks/stacks.py and rate.py with a model of the plane coder: what is measured, and that the tables say it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import rate, stacks
from numcodecs_bitswap import BitSwap
from numcodecs_bitswap.jpeg.colour import to_rgb, to_ycbcr
from numcodecs_bitswap.planes.model import DEFAULT, random_tensors
from numcodecs_bitswap.train.export import write_tensors
from pictures import photograph

MODEL = "random-planes"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own, where a random model of the plane coder is found."""
    arch = DEFAULT | {"kind": "planes", "format": 1, "width": 16, "blocks": 1}
    write_tensors(arch, random_tensors(arch), tmp_path / f"{MODEL}.safetensors", MODEL, "CC0-1.0", "random")
    monkeypatch.setenv("NUMCODECS_BITSWAP_MODELS", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def ramp(*shape: int, dtype: str = "u2") -> np.ndarray:
    """A smooth array with some noise."""
    rng = np.random.default_rng(0)
    steps = sum(3 * (axis + 1) * each for axis, each in enumerate(np.indices(shape)))
    return (steps % 251 + rng.integers(0, 3, shape)).astype(dtype)


def save(name: str, array: np.ndarray) -> None:
    path = Path("data", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, a=array)


def test_a_table_and_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    volume, bands = ramp(34, 20, 24, dtype="u1"), ramp(40, 16, 12, dtype="i2") - 20
    save("nd/vol_fibsem_fly_u8.npz", volume)
    save("nd/hyper_enmap_i16.npz", bands)
    assert stacks.main(["data", "--models", MODEL, "tiny-gray8-v1", "--limit", "1"]) == 0
    printed = capsys.readouterr()
    assert "CT, body (z): no data/nd/vol_ct_body_i16.npz" in printed.err
    header, _, *lines = re.findall(r"^\|.*\|$", printed.out, re.M)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert [row[:3] for row in rows] == [
        [title, size, model]
        for title, size in (
            ("FIB-SEM, fly (z)", "1 of 16 x 20 x 24, uint8"),
            ("EnMAP (band)", "1 of 16 x 16 x 12, int16"),
        )
        for model in (MODEL, "tiny-gray8-v1")
    ]
    assert {len(row) for row in rows} == {header.count("|") - 1}
    pcodec = [cell.strip() for cell in header.split("|")[1:-1]].index("pcodec 12 against ours")
    assert [row[pcodec] == "" for row in rows] == [True, True, False, False]  # it takes no bytes

    result = json.loads(Path("bench-out", "stacks.json").read_text())
    found = result["FIB-SEM, fly (z)"]
    total = len(BitSwap(model=MODEL).encode(volume[17:33]))
    best = min(found["others"], key=lambda each: each["total"])
    assert found["ours"][0]["total"] == total
    assert rows[0][3:6] == [
        f"{8 * total / volume[17:33].size:.3f}",
        f"{best['name']} {best['bits_per_sample']:.3f}",
        f"{total / best['total'] - 1:+.1%}",
    ]
    assert [each["name"] for each in result["EnMAP (band)"]["others"]] == stacks.PEERS


def test_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert stacks.main(["data"]) == 2
    save("nd/vol_fibsem_fly_u8.npz", ramp(4, 16, 16))
    assert stacks.main(["data", "--models", "no-such-model"]) == 2
    assert "no-such-model" in capsys.readouterr().err


def test_parts_that_training_leaves_out() -> None:
    def part(title: str) -> np.ndarray:
        array = stacks.read(Path("data"), stacks.STACKS[title])
        assert array is not None
        return array

    a = np.random.default_rng(0).integers(0, 999, (2, 110, 9))
    save("nd/ms_sentinel2_f64.npz", a.astype("f8"))
    save("nd/sst_ostia_i16.npz", a)
    save("science/mri_structural_i16.npz", a)
    scene = np.random.default_rng(1).integers(0, 999, (3, 810, 330))
    for k, plane in enumerate(scene, 1):
        save(f"science/landsat8_train_LC80460282016177LGN00_B{k + 1}_u16.npz", plane)
    assert part("Sentinel-2 (band)").dtype == np.uint16
    assert np.array_equal(part("Sentinel-2 (band)"), a[:, 100:])
    assert np.array_equal(part("sea surface temperature (day)"), a[:, :, 4:])
    assert np.array_equal(part("MRI (z)"), a.transpose(2, 0, 1)[4:])
    assert np.array_equal(part("Landsat 8 (band)"), scene[:, 800:, 320:])


def test_full_chunks_of_an_array() -> None:
    a = ramp(5, 7, 3)
    chunks = stacks.cut(a, (2, 3, 256), 99)
    assert [chunk.shape for chunk in chunks] == [(2, 3, 3)] * 4
    assert np.array_equal(chunks[3], a[2:4, 3:6])
    some = stacks.cut(a, (2, 3, 256), 3)
    assert [np.array_equal(x, y) for x, y in zip(some, chunks[::2], strict=True)] == [True, True]


def test_one_level_of_blue_hides_a_jpeg() -> None:
    rng = np.random.default_rng(0)
    ycbcr = rng.integers(90, 160, (70, 70, 3)).astype(np.uint8)
    rgb = to_rgb(ycbcr, 2)
    assert to_ycbcr(rgb, 2) is not None
    altered = rate.no_jpeg(rgb)
    assert to_ycbcr(altered, 2) is None
    changed = altered.astype(int) - rgb
    assert changed.sum() == np.abs(changed).sum() == changed[..., 2].sum() == 1


def test_operations_of_planes() -> None:
    """One plane refers to none; three channels to none, one and two, or fewer: each needs more than a plane alone."""
    pixels = np.ascontiguousarray(photograph()[:64, :64])
    alone, three = (rate.operations(MODEL, chunk) for chunk in (pixels[..., 1], pixels))
    layers = random_tensors(DEFAULT | {"width": 16, "blocks": 1})
    assert alone == sum(w.size for name, w in layers.items() if re.fullmatch(r"net0\..*\.w", name))
    assert three > alone
    assert rate.operations(MODEL, np.zeros((64, 64), np.uint8)) == 0


@pytest.mark.parametrize(("kind", "models"), [([], [MODEL]), (["--pixels"], [MODEL]), (["--gray"], ["tiny-gray8-v1"])])
def test_rate(kind: list[str], models: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("images").mkdir()
    Image.fromarray(photograph()[:70, :70]).save("images/small.png")
    assert rate.main(["images", *kind, "--limit", "1", "--models", *models]) == 0
    assert re.search(rf"^\| {models[0]} \| [\d,]+ \|", capsys.readouterr().out, re.M)
    assert Path("bench-out", "rate.json").stat().st_size
    assert Path("bench-out", "rate.png").stat().st_size

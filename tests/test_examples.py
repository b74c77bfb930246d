"""Programs that the documentation names are run: examples, the demo and the bench. Its pages: test_pages.py."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
PHOTOGRAPH = ROOT / "examples" / "photograph.png"
EXAMPLES = sorted(path for path in (ROOT / "examples").glob("*.py") if path.name != "demo.py")


def run(*arguments: str, cwd: Path) -> str:
    """Standard output of a Python program that must succeed; warnings are errors."""
    command = [sys.executable, "-W", "error", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def small_photograph(tmp_path: Path) -> Path:
    """One chunk of the photograph, in a folder of its own."""
    path = tmp_path / "images" / "small.png"
    path.parent.mkdir()
    Image.open(PHOTOGRAPH).crop((0, 0, 270, 256)).save(path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path: Path, tmp_path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 60
    assert run(str(path), cwd=tmp_path)


@pytest.mark.slow
def test_demo(small_photograph: Path, tmp_path: Path) -> None:
    text = run("-m", "examples.demo", str(small_photograph), cwd=tmp_path)
    rows = dict(re.findall(r"^\| ([\w -]+) \| ([\d,]+) \|", text, re.M))
    sizes = {name: int(size.replace(",", "")) for name, size in rows.items()}
    assert sizes.keys() == {"Bit-Swap", "Blosc lz4", "Zstd", "PNG", "JPEG-LS", "WebP method 6", "JPEG XL effort 7"}
    assert sizes["Bit-Swap"] < sizes["PNG"] < sizes["Zstd"] < 256 * 256 * 3
    assert text.count("identical") == 2
    picture = np.asarray(Image.open(tmp_path / "demo-out" / "demo.png").convert("RGB"))
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 1000


@pytest.mark.slow
def test_bench(small_photograph: Path, tmp_path: Path) -> None:
    small = "--limit", "2", "--repeats", "1", "--large", "512"
    text = run("-m", "benchmarks.bench", str(small_photograph.parent), *small, cwd=tmp_path)
    for title in (
        "2 chunks of 64 x 64 x 3",
        "1 chunks of 256 x 256 x 3",
        "2 chunks of 64 x 64, gray",
        "Peak memory",
        "Start-up",
    ):
        assert title in text
    assert text.count("| Bit-Swap |") == 4
    assert (tmp_path / "bench-out" / "bench.json").stat().st_size
    assert (tmp_path / "bench-out" / "bench.png").stat().st_size

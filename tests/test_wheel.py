"""The wheel, built from the source distribution and installed alone, decodes golden frames, and without torch. No
network is needed.
"""

import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden"
pytestmark = pytest.mark.slow

DECODE = """
import sys
from pathlib import Path
sys.modules["torch"] = None  # so that to import it fails
import numcodecs
import numpy as np
import numcodecs_bitswap

assert Path(numcodecs_bitswap.__file__).is_relative_to(sys.prefix), numcodecs_bitswap.__file__
codecs = [numcodecs.get_codec({"id": name}) for name in ("bitswap", "bbans")]
for path in map(Path, sys.argv[1:]):
    expected = np.load(path.with_suffix(".npy"))
    for codec in codecs:
        decoded = codec.decode(path.read_bytes())
        assert (decoded.dtype, decoded.shape) == (expected.dtype, expected.shape), path
        assert decoded.tobytes() == expected.tobytes(), path
    print(path.name)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_wheel_holds_the_whole_package_and_nothing_else(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    package = {path for path in (ROOT / "numcodecs_bitswap").rglob("*") if path.is_file()}
    assert names == {path.relative_to(ROOT).as_posix() for path in package if "__pycache__" not in path.parts}
    assert {"numcodecs_bitswap/FORMAT.md", "numcodecs_bitswap/py.typed"} <= names


def test_wheel_asks_for_no_torch_but_as_an_extra(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(name).decode().splitlines()
    needed = {re.split(r"[<>=; ]", line.split(": ")[1])[0] for line in lines if line.startswith("Requires-Dist")}
    always = {
        re.split(r"[<>=; ]", line.split(": ")[1])[0]
        for line in lines
        if line.startswith("Requires-Dist") and "extra ==" not in line
    }
    assert always == {"numba", "numcodecs", "numpy", "safetensors"}
    assert "torch" in needed


def test_wheel_alone_decodes_golden_frames(wheel: Path, tmp_path: Path) -> None:
    frames = sorted(map(str, GOLDEN.glob("*.frame")))
    assert frames
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)
    # What ours depends on. A .pth file in a folder that a .pth file names has no effect, so a development install of
    # ours in that folder does not come along.
    site = subprocess.run(
        [python, "-c", "import site; print(site.getsitepackages()[0])"], check=True, capture_output=True
    )
    installed = Path(site.stdout.decode().strip())
    (installed / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    # Code that this checkout has compiled is used if the wheel has the same sources, byte for byte.
    for code in (ROOT / "numcodecs_bitswap").rglob("__pycache__/*.code"):
        (installed / code.relative_to(ROOT)).parent.mkdir(exist_ok=True)
        shutil.copy(code, installed / code.relative_to(ROOT))
    run = subprocess.run(
        [python, "-I", "-c", DECODE, *frames], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert len(run.stdout.split()) == len(frames)

"""Compiled loops stay inside their arrays: every index is checked, and pages beside arrays may not be touched."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from numcodecs_bitswap import ModelError
from numcodecs_bitswap.planes import tables
from numcodecs_bitswap.planes.checks import LARGEST_SUM, check_layers

TESTS = Path(__file__).parent
INDEX = """
import numpy as np
from numcodecs_bitswap.runtime.jit import address_of, compiled
def far(array, i, j, out):
    out[0] = address_of(array, i, j)
kernel, out = compiled(far), np.zeros(1, np.int64)
array = np.zeros((3, 4))
kernel(array, 2, 3, out)
assert out[0] == array.ctypes.data + 8 * 11
for i, j in ((3, 0), (0, 4), (-1, 0)):
    try:
        kernel(array, i, j, out)
    except IndexError:
        continue
    raise SystemExit(f"{i}, {j} is inside")
"""
BEYOND = """
import sys; sys.path.insert(0, {programs!r})
import numpy as np
import bounds
bounds._patch()
from numcodecs_bitswap.runtime import jit
from numcodecs_bitswap.runtime.jit import address_of
from numcodecs_bitswap.runtime.vectors import int32_at
def last(array, i, more, out):
    out[0] = int32_at(address_of(array, 0, i) + more)
kernel, array, out = jit.compiled(last), np.arange(1000, dtype=np.int32), np.zeros(1, np.int32)
kernel(array, 999, 0, out)
assert out[0] == 999
print("inside", flush=True)
kernel(array, 999, 1, out)
print("not noticed", flush=True)
"""


def run(*command: str, folder: Path, seconds: float = 900, **settings: str) -> "subprocess.CompletedProcess[str]":
    paths = os.pathsep.join([str(TESTS.parent), str(TESTS), os.environ.get("PYTHONPATH", "")])
    environment = (
        os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": paths} | settings
    )
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=seconds, env=environment)


def test_addresses_are_of_elements(tmp_path: Path) -> None:
    program = tmp_path / "index.py"
    program.write_text(INDEX)
    done = run(str(program), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    # Code that is kept without checks is not taken for code with them, nor the other way round.
    (tmp_path / "index.py").write_text(INDEX.replace("raise SystemExit", "pass  #"))
    for setting in ("0", "1"):
        assert run(str(program), folder=tmp_path, NUMBA_BOUNDSCHECK=setting).returncode == 0
    (tmp_path / "index.py").write_text(INDEX)
    assert run(str(program), folder=tmp_path).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="pages are protected by Linux's calls")
def test_a_fence_is_noticed(tmp_path: Path) -> None:
    """One byte beyond the end of an array ends the process: else the next test would show nothing."""
    program = tmp_path / "beyond.py"
    program.write_text(BEYOND.format(programs=str(TESTS / "programs")))
    done = run(str(program), folder=tmp_path)
    assert done.stdout == "inside\n", done.stderr
    assert done.returncode < 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="pages are protected by Linux's calls")
def test_golden_frames_inside_fences(tmp_path: Path) -> None:
    done = run(str(TESTS / "programs" / "bounds.py"), folder=tmp_path)
    assert done.returncode == 0, done.stdout[-200:] + done.stderr[-3000:]


def test_sums_of_the_plane_coder_stay_in_int32() -> None:
    """The argument for each place of planes/ that computes in int32; the largest values are coded in
    `test_reference_planes.py` ("limits", against integers without bounds) and `test_planes_torch.py` ("wild").
    """
    most = 32 * tables.LARGEST  # 32 n, of predictions (clamped to 0 .. 32 n) and so of errors |32 X - p|
    weights = [2 if k < 2 else 1 for k in range(len(tables.NEAR))]
    assert 8 * tables.LEAST_SCALE + most * sum(weights) < 1 << 31  # m_v
    assert 8 * tables.LEAST_SCALE + most * len(tables.FAR) < 1 << 31
    assert most * len(tables.AROUND) < 1 << 31  # and 13 times it is never made: `products._weighed`
    regressor = 2 * tables.LARGEST  # |2 X - B|, B of two numbers
    assert 8 * (4 + 4 * regressor) < 1 << 31  # texture
    assert most + 16 * regressor < 1 << 31  # P - 16 B
    assert tables.CLIP**2 * tables.BLOCK**2 < 1 << 31  # A_jk, of a block's pixels
    assert tables.CLIP < 1 << 15  # r_j, two in a word
    regressors = len(tables.OWN) + tables.REFERENCES * len(tables.OTHER)
    assert regressors * tables.WEIGHT_CLIP * regressor + 512 < 1 << 53  # sums of predictions, in float64
    assert 2 * LARGEST_SUM < 1 << 31  # head and skip of a network
    assert 2 * most + (1 << 22) + 16 < 1 << 31  # 32 x(s) - 16 - mu_k
    assert 128 * most < 1 << 53  # a local scale's factor times a number, rounded once in float32


def test_sums_of_the_other_networks_stay_in_their_types() -> None:
    """FORMAT.md 4.1, 7, 11: a reader checks each sum, in more bits than it has."""
    extreme = np.full((1, 4000), 63, np.int8)
    layer = {"x.w": extreme, "x.b": np.array([(1 << 31) - 1], np.int32), "x.f": np.array([24], np.uint8)}
    with pytest.raises(ModelError, match="sums below"):
        check_layers("planes", {"x": (1, 4000)}, layer, 255)
    layer["x.b"][0] = LARGEST_SUM - (1 << 23) - 255 * 63 * 4000 - 1
    check_layers("planes", {"x": (1, 4000)}, layer, 255)
    layer["x.b"] += 1
    with pytest.raises(ModelError, match="sums below"):
        check_layers("planes", {"x": (1, 4000)}, layer, 255)
    layer["x.b"][0] = -(1 << 31)
    with pytest.raises(ModelError, match="sums below"):
        check_layers("planes", {"x": (1, 4000)}, layer, 255)

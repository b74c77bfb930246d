"""What users import: names, what importing them loads, and their types."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import numcodecs_bitswap

ROOT = Path(__file__).parents[1]

IMPORT = """
import sys
for name in ("zarr", "torch", "numba"):
    sys.modules[name] = None  # so that to import it fails
from numcodecs_bitswap import *
"""


def test_every_name_without_zarr_torch_and_numba() -> None:
    subprocess.run([sys.executable, "-c", IMPORT], env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True)


def test_names_are_those_of_all() -> None:
    errors = {name for name in vars(numcodecs_bitswap.errors) if name.endswith(("Error", "Warning"))}
    assert errors <= {*numcodecs_bitswap.__all__}
    assert {*numcodecs_bitswap.__all__} <= {*dir(numcodecs_bitswap)}
    for name in numcodecs_bitswap.__all__:
        assert getattr(numcodecs_bitswap, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        numcodecs_bitswap.nothing  # noqa: B018


@pytest.mark.slow
def test_a_users_file_passes_strict_mypy(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "mypy", "--strict", "--follow-imports", "silent", "--config-file", ""]
    program += ["--cache-dir", str(tmp_path), str(ROOT / "tests" / "programs" / "typed.py")]
    environment = os.environ | {"MYPYPATH": str(ROOT)}
    done = subprocess.run(program, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

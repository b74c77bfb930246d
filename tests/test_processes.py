"""The codec in other processes: after a fork, and in dask's process pool. Each case is a program of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


def run(program: str, *arguments: str) -> None:
    paths = [str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, str(TESTS / "programs" / program), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
@pytest.mark.parametrize("device", ["cpu", "torch"])
def test_after_a_fork(device: str) -> None:
    run("after_fork.py", device)


@pytest.mark.slow
def test_dask_processes(tmp_path: Path) -> None:
    run("dask_processes.py", str(tmp_path))

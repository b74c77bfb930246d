"""The Triton backend on a machine without a GPU: its laws in Triton's interpreter, and that GPUs' compilers take it.

In processes of their own, because Triton reads its settings when it is imported.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="Triton is made for Linux")]


def run(*command: str, **environment: str) -> str:
    """What a Python program prints."""
    process = subprocess.run(
        [sys.executable, *command],
        env=os.environ | environment,
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert process.returncode == 0, (process.stdout + process.stderr)[-5000:]
    return process.stdout


@pytest.mark.parametrize("tests", ["triton_interpreted.py", "triton_networks.py", "triton_planes.py"])
def test_laws_in_the_interpreter(tests: str) -> None:
    tests = str(PROGRAMS / tests)
    assert " passed" in run("-m", "pytest", "-q", "-p", "no:cacheprovider", tests, TRITON_INTERPRET="1")


def test_kernels_compile_for_gpus(tmp_path: Path) -> None:
    made = json.loads(run(str(PROGRAMS / "triton_compiled.py"), TRITON_CACHE_DIR=str(tmp_path)))
    assert {name for name, *_ in made} == {"sm_80", "sm_90", "gfx942"}
    assert {kind for _, kind, *_ in made} == {
        *("logistic", "mixture", "posterior", "uniform"),
        *("gaussian", "Gaussian posterior", "bernoulli", "beta-binomial", "categorical"),
        *("integer Gaussian", "integer Gaussian posterior", "networks", "planes"),
    }
    assert all((len(sizes) >= 2 or kind == "planes") and min(sizes) > 1000 for _, kind, _, sizes in made)

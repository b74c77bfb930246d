"""Frames are a pure function of array, configuration and model: not of CPU features, threads, batch or backend.

Every environment runs in its own process, since libraries read their settings once. Each one also decodes the golden
frames, and encodes chunks alone and in company (programs/portable.py).
"""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parent / "programs" / "portable.py"


@cache
def run(environment: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """What portable.py prints."""
    command = [sys.executable, str(PROGRAM)]
    process = subprocess.run(
        command, env=os.environ | dict(environment), capture_output=True, text=True, timeout=900, check=False
    )
    assert process.returncode == 0, process.stderr[-3000:]
    result: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return result


TORCH = {"NUMCODECS_BITSWAP_DEVICE": "torch"}
ONE_THREAD, TWO_THREADS = (dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), count) for count in "12")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "proof"),
    [
        ({"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}, {"avx2": False}),
        ({"OMP_NUM_THREADS": "1"}, {"passes": 1}),
        ({"OMP_NUM_THREADS": "3"}, {"passes": 3}),
        (TORCH | ONE_THREAD | {"ATEN_CPU_CAPABILITY": "default"}, {"capability": "DEFAULT", "threads": 1}),
        (TORCH | TWO_THREADS | {"ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"}, {"threads": 2}),
    ],
)
def test_same_frames_everywhere(environment: dict[str, str], proof: dict[str, Any]) -> None:
    native = run(())
    other = run(tuple(environment.items()))
    assert native["numba"]
    assert native["capability"] is None  # nor is torch imported
    assert native["routes"] == [4, 7]
    assert {key: other[key] for key in proof} == proof
    assert {name: native["frames"][name] for name in other["frames"]} == other["frames"]
    assert {name[:-2] for name in other["frames"]} == {name[:-2] for name in native["frames"]}

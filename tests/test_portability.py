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
def run(backend: str, environment: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """What portable.py prints."""
    command = [sys.executable, str(PROGRAM), backend]
    process = subprocess.run(
        command, env=os.environ | dict(environment), capture_output=True, text=True, timeout=900, check=False
    )
    assert process.returncode == 0, process.stderr[-3000:]
    result: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return result


@pytest.mark.parametrize(
    ("backend", "environment", "proof"),
    [
        ("numba", {"ATEN_CPU_CAPABILITY": "default"}, {"capability": "DEFAULT"}),
        ("numba", {"ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"}, {}),
        ("numba", {"OMP_NUM_THREADS": "1"}, {"threads": 1}),
        ("numba", {"OMP_NUM_THREADS": "2"}, {"threads": 2}),
        ("numba", {"NUMCODECS_BITSWAP_GEMM": "vnni"}, {"gemm": "vnni"}),
        ("numba", {"NUMCODECS_BITSWAP_GEMM": "int8"}, {"gemm": "int8"}),
        ("numba", {"NUMCODECS_BITSWAP_GEMM": "float32"}, {"gemm": "float32"}),
        ("numba", {"NUMCODECS_BITSWAP_GEMM": "int64"}, {"gemm": "int64"}),
        ("torch", {}, {"numba": False}),
    ],
)
def test_same_frames_everywhere(backend: str, environment: dict[str, str], proof: dict[str, Any]) -> None:
    native = run("numba", ())
    other = run(backend, tuple(environment.items()))
    assert native["numba"]
    assert native["routes"] == [4]
    assert {key: other[key] for key in proof} == proof
    assert other["frames"] == native["frames"]

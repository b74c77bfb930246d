"""A CPU needs no torch: every kind of model encodes and decodes where torch cannot be imported, to the same bytes as by
torch.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from golden_cases import CASES, FEW, GOLDEN
from numcodecs_bitswap.backends import for_device
from numcodecs_bitswap.runtime import scheduler

PROGRAM = Path(__file__).parent / "programs" / "torch_free.py"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROGRAM), *arguments]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)


def test_every_golden_frame_without_torch() -> None:
    done = run()
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == [*CASES]


@pytest.mark.slow
@pytest.mark.parametrize("name", FEW)
def test_torch_gives_the_same_bytes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "_chosen", "torch")
    frame, array, case = (GOLDEN / f"{name}.frame").read_bytes(), np.load(GOLDEN / f"{name}.npy"), CASES[name]
    codec = case.codec(**case.options)
    assert np.array_equal(codec.decode(frame), array)
    assert codec.encode(array) == frame


@pytest.mark.parametrize(
    ("arguments", "environment", "what"),
    [
        (["without_numba"], {}, "pip install numba"),
        ([], {"NUMBA_DISABLE_JIT": "1"}, "NUMBA_DISABLE_JIT"),
        ([], {"NUMCODECS_BITSWAP_DEVICE": "torch"}, r"numcodecs_bitswap[torch]"),
    ],
)
def test_what_is_missing_is_said(arguments: list[str], environment: dict[str, str], what: str) -> None:
    done = run(*arguments, "tiny_rgb", **environment)
    assert done.returncode == 1
    assert "DeviceError" in done.stderr
    assert what in done.stderr


def test_backends_are_made_once() -> None:
    assert for_device("cpu") is for_device("cpu")
    assert for_device("torch").device == "torch"


def test_labels_without_numba() -> None:
    program = PROGRAM.with_name("without_numba.py")
    done = subprocess.run(
        [sys.executable, str(program), "labels_uint64", "labels_bool"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    *names, warned = done.stdout.splitlines()
    assert names == ["labels_uint64", "labels_bool"]
    assert "coded by Python" in warned

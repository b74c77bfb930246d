"""Faults at any moment: see `programs/faults.py`. `make test-faults` tries more of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="tries are forked processes")
def test_some_faults() -> None:
    command = [sys.executable, str(TESTS / "programs" / "faults.py"), "30", "--seed", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "failures: 0" in done.stdout

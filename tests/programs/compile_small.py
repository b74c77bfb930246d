"""Compile a small kernel, as each of some cold processes does; says on stdout what it computed and compiled.

`compile_small.py source [seconds]`: the kernel's file, and how long to hold the lock before it compiles.
"""

import importlib.util
import logging
import sys
import time
from typing import Any

import numpy as np

from numcodecs_bitswap.runtime import code_cache
from numcodecs_bitswap.runtime.jit import compiled


class Listener(logging.Handler):
    """Prints what is compiled."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print it."""
        print(record.getMessage(), flush=True)


class Slow(code_cache.CodeCache):
    """Takes its time where it compiles."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """See `CodeCache`."""
        found = super().load_overload(sig, target_context)
        if found is None:
            print("begins", flush=True)
            time.sleep(seconds)
        return found


seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
code_cache.logger.addHandler(Listener())
code_cache.logger.setLevel(logging.DEBUG)
code_cache.CodeCache = Slow  # type: ignore[misc]
spec = importlib.util.spec_from_file_location("small", sys.argv[1])
assert spec is not None
assert spec.loader is not None
sys.modules["small"] = small = importlib.util.module_from_spec(spec)
spec.loader.exec_module(small)
values = np.arange(4)
compiled(small.double)(values)
print(values.tolist())

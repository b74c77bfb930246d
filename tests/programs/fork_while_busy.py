"""Forks at many moments while another thread imports, compiles and codes for the first time; children code, too.

`fork_while_busy.py source`: the file of a small kernel, which nobody has compiled. Exits with 1 if a child hangs.
"""

import faulthandler
import importlib.util
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np

import numcodecs_bitswap
from numcodecs_bitswap.runtime.forks import loading

faulthandler.register(signal.SIGALRM, chain=True)  # says where it hangs, and ends
signal.alarm(100)


def work() -> None:
    """The first chunk of a process that knows nothing yet, and code that is compiled for it."""
    with loading():
        from numcodecs_bitswap.runtime.jit import compiled

    spec = importlib.util.spec_from_file_location("small", Path(sys.argv[1]))
    assert spec is not None
    assert spec.loader is not None
    sys.modules["small"] = small = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(small)
    image = np.arange(4096).astype(np.uint8).reshape(64, 64) // 3
    codec = numcodecs_bitswap.BitSwap(model="tiny-gray8-v1")
    values = np.arange(4)
    compiled(small.double)(values)
    assert values.tolist() == [0, 2, 4, 6]
    assert np.array_equal(codec.decode(codec.encode(image)), image)


busy = threading.Thread(target=work)
busy.start()
children = []
while busy.is_alive() and len(children) < 12:
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        work()
        os._exit(0)
    children.append(child)
    time.sleep(0.1)
busy.join()
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
sys.exit(any(codes))

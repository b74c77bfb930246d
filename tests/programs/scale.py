"""Round trips of very many chunks of mixed kinds, in parts that are gone on with, and what memory they take.

    python tests/programs/scale.py CHUNKS LOG [--seconds N]

Chunk number n is the same in every run. LOG has a line for every 1000 chunks: how many are done, bytes, bytes stored,
resident memory. The same command goes on behind the last line. Exit status 1 if a chunk does not come back or memory
grows.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

import forging
from strategies import assert_identical

EVERY = 1000
GROWTH = 64 << 20
"""Bytes that memory may grow by within a run, after its first lines."""
SETTLED = 5
"""Lines after which all that is kept for later is there."""


def resident() -> int:
    """Bytes of memory that the process has now."""
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) << 10


def main() -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("chunks", type=int)
    parser.add_argument("log", type=Path)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    given = parser.parse_args()
    lines = given.log.read_text().splitlines() if given.log.exists() else []
    done = int(lines[-1].split()[0]) if lines else 0
    first, end, memory = done, time.monotonic() + given.seconds, []
    nbytes = stored = 0
    with given.log.open("a") as log:
        while done < given.chunks and time.monotonic() < end:
            for n in range(done, done + EVERY):
                array = forging.an_array(n)
                frame = forging.a_codec(n, array).encode(array)
                assert_identical(np.asarray(forging.BitSwap().decode(frame)), array)
                nbytes, stored = nbytes + array.nbytes, stored + len(frame)
            done += EVERY
            memory.append(resident())
            log.write(f"{done} chunks {nbytes} bytes {stored} stored {memory[-1]} resident\n")
            log.flush()
    settled = memory[SETTLED:]
    grown = max(settled) - settled[0] if settled else 0
    print(f"chunks {first} to {done}: memory grew by {grown >> 20} MiB after the first {SETTLED * EVERY}")
    return int(grown > GROWTH)


if __name__ == "__main__":
    sys.exit(main())

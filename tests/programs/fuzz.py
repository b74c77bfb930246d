"""Forged frames, altered model files and arrays, of all kinds, for some minutes or up to a number of each.

    python tests/programs/fuzz.py MINUTES [--frames N] [--models N] [--arrays N] [--references N] [--log FILE]

The fourth kind is small arrays and forged frames that the reference decoder decodes, too.

Each has a number, from which it is made anew: `--again frame NUMBER`. Ends with a table; exit status 1 if anything
failed.
"""

import argparse
import os
import random
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

os.environ["NUMCODECS_BITSWAP_MAX_BYTES"] = "1MiB"
os.environ["NUMCODECS_BITSWAP_DEVICE"] = "cpu"

import forging
from forging import Check

KINDS = "frame", "model", "array", "reference"


def checks() -> dict[str, Check]:
    """How each kind is tried."""
    files = forging.model_files()
    found = {
        "frame": forging.check_frame(forging.templates()),
        "model": forging.check_model(files),
        "array": forging.check_array(),
        "reference": forging.check_reference(forging.templates()),
    }
    for seed in range(40):  # what is compiled or imported at first use counts nowhere
        found["array"](seed)
    forging.most.update(seconds=0, memory=0)
    return found


def main() -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minutes", type=float)
    for kind in KINDS:
        parser.add_argument(f"--{kind}s", type=int, default=None)
    parser.add_argument("--first", type=int, default=None, help="the first number (default: a random one)")
    parser.add_argument("--log", type=Path)
    parser.add_argument("--again", nargs=2, metavar=("KIND", "NUMBER"))
    given = parser.parse_args()
    warnings.simplefilter("error")
    known = checks()
    if given.again:
        kind, number = given.again
        print(known[kind](int(number)))
        return 0
    asked = {kind: getattr(given, f"{kind}s") for kind in KINDS}
    if any(asked.values()):
        asked = {kind: count or 0 for kind, count in asked.items()}
    first = random.SystemRandom().randrange(1 << 48) if given.first is None else given.first
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    most = {kind: {"seconds": 0.0, "memory": 0.0} for kind in KINDS}
    failed: list[str] = []
    end, said, number = time.monotonic() + 60 * given.minutes, time.monotonic(), first

    def table() -> str:
        rows = [f"{'kind':9} {'tried':>8} {'most s':>7} {'most MiB':>9}  what came of it"]
        for kind in KINDS:
            came = ", ".join(f"{what} {n}" for what, n in counts[kind].most_common())
            took = most[kind]
            rows.append(
                f"{kind:9} {counts[kind].total():8} {took['seconds']:7.2f} {took['memory'] / 2**20:9.1f}  {came}"
            )
        return "\n".join([*rows, f"failures: {len(failed)}", *failed[:20]])

    while time.monotonic() < end:
        left = [kind for kind in KINDS if asked[kind] is None or counts[kind].total() < asked[kind]]
        if not left:
            break
        for kind in left:
            for _ in range(20 if kind == "frame" else 10 if kind == "array" else 2):
                number += 1
                forging.most = most[kind]
                try:
                    counts[kind][known[kind](number)] += 1
                except Exception as error:
                    counts[kind]["failed"] += 1
                    failed.append(f"--again {kind} {number}: {type(error).__name__}: {error}"[:300])
                    print(failed[-1], traceback.format_exc(), sep="\n", flush=True)
        if time.monotonic() - said > 60:
            said = time.monotonic()
            if given.log:
                given.log.write_text(table() + "\n")
    print(table())
    if given.log:
        given.log.write_text(table() + "\n")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())

"""`numcodecs-bitswap warmup`: compiles in advance, for example in container images."""

import argparse
from typing import Any


def add(commands: Any) -> None:
    """Add the command's arguments."""
    commands.add_parser("warmup", help="compile everything that a CPU needs in advance").set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    from ..runtime.warmup import warm_up

    print(f"everything is compiled: {warm_up():.0f} s")
    return 0

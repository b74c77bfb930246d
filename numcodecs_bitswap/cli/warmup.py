"""`numcodecs-bitswap warmup`: compiles ahead, for images of containers."""

import argparse
from typing import Any


def add(commands: Any) -> None:
    """What the command takes."""
    commands.add_parser("warmup", help="compile ahead all that a CPU needs").set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    from ..runtime.warmup import warm_up

    print(f"everything is compiled: {warm_up():.0f} s")
    return 0

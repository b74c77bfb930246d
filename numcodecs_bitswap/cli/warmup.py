"""`numcodecs-bitswap warmup`: compiles in advance, for example in container images."""

import argparse
from typing import Any


def add(commands: Any) -> None:
    """Add the command's arguments."""
    text = (
        "Compiles the loops for this machine's CPU and keeps them on disk, which the first chunk would do otherwise. "
        "Takes half a minute to two minutes, and about a second if it was done before."
    )
    parser = commands.add_parser("warmup", help="compile everything that a CPU needs in advance", description=text)
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    from ..runtime.warmup import warm_up

    print(f"everything is compiled: {warm_up():.0f} s")
    return 0

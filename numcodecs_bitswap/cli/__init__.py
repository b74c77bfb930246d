"""`numcodecs-bitswap`: estimates, conversion, inspection, verification, models and training.

One file for each command, with `add(commands)`, which adds its arguments, and a function that runs it. Importing this
imports neither numpy nor torch; commands import what they need when they run.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from ..errors import BitswapError
from . import convert, estimate, inspect, models, train, verify, warmup

COMMANDS = (estimate, convert, inspect, verify, models, train, warmup)
STOPPED = 130
"""Exit status after Ctrl-C, as in shells."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0; 1 if something failed or is missing; 2 after bad input; 130 if
    stopped.
    """
    parser = argparse.ArgumentParser(prog="numcodecs-bitswap", description="Lossless learned compression of arrays.")
    parser.add_argument("--version", action="store_true", help="the version of this package")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for each in COMMANDS:
        each.add(commands)
    given = parser.parse_args(arguments)
    if given.version:
        from .. import __version__

        print(f"numcodecs_bitswap {__version__}")
        return 0
    if given.command is None:
        parser.error("give a command, or --help for the list")
    return guarded(lambda: int(given.run(given)))


def guarded(run: Callable[[], int]) -> int:
    """The exit status of a command; errors that a user can cause are printed as one line."""
    try:
        return run()
    except BitswapError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("numcodecs_bitswap"):
            raise
        print(f"error: this needs {error.name}, which is not installed: pip install {error.name}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:  # `numcodecs-bitswap ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python reports the error again at exit
        return 1

"""`python -m numcodecs_bitswap.train` is `numcodecs-bitswap train`; torchrun needs this form."""

import argparse
import sys

from .command import add_arguments


def main(arguments: list[str] | None = None) -> int:
    """Train and write a model; returns the exit status."""
    parser = argparse.ArgumentParser(prog="numcodecs-bitswap train")
    add_arguments(parser)
    given = parser.parse_args(arguments)
    return int(given.run(given))


if __name__ == "__main__":
    sys.exit(main())

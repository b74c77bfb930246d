"""`numcodecs-bitswap train`; the command itself is in `train.command`, which torchrun starts as well."""

from typing import Any

from ..train.command import add_arguments


def add(commands: Any) -> None:
    """Add the command's arguments."""
    add_arguments(commands.add_parser("train", help="train a model on your own data"))

"""`numcodecs-bitswap train`; the command itself is `train.command`, which torchrun starts too."""

from typing import Any

from ..train.command import add_arguments


def add(commands: Any) -> None:
    """What the command takes."""
    add_arguments(commands.add_parser("train", help="train a model on your own data"))

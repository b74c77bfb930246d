"""Files that are there whole or not at all."""

import os
from pathlib import Path
from uuid import uuid4

from ..errors import BitswapError


class WriteError(BitswapError, OSError):
    """A file could not be written: no space, or no permission. What was there before is still there."""


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under another name, then give it its own: a killed process leaves the old one whole.

    Raises
    ------
    WriteError
        It cannot be written; nothing half-written is left.
    """
    temporary = path.with_name(f"{path.name}.{uuid4().hex[:12]}.tmp")  # two processes may write the same file
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # before it has the name: a crash of the machine leaves the old one whole, too
        os.replace(temporary, path)
    except OSError as error:
        raise WriteError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make a folder and those above it.

    Raises
    ------
    WriteError
        It cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"{path} cannot be made: {error.strerror or error}") from error


def append_line(path: Path, line: str) -> None:
    """Add a line to a log.

    Raises
    ------
    WriteError
        It cannot be written.
    """
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError as error:
        raise WriteError(f"{path} cannot be written: {error.strerror or error}") from error

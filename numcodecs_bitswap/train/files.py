"""Files that are written atomically."""

import os
from pathlib import Path
from uuid import uuid4

from ..errors import BitswapError


class WriteError(BitswapError, OSError):
    """A file could not be written: no space, or no permission. The previous file is unchanged."""


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under a temporary name, then rename it: a killed process leaves the previous file intact.

    Raises
    ------
    WriteError
        It cannot be written; no partial file is left.
    """
    temporary = path.with_name(f"{path.name}.{uuid4().hex[:12]}.tmp")  # two processes may write the same file
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # before the rename: a crash of the machine, too, leaves the previous file intact
        os.replace(temporary, path)
    except OSError as error:
        raise WriteError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Create a folder and its parents.

    Raises
    ------
    WriteError
        It cannot be created.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"{path} cannot be created: {error.strerror or error}") from error


def append_line(path: Path, line: str) -> None:
    """Append a line to a log.

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

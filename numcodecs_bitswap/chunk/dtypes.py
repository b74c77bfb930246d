"""A numpy dtype <-> its text in a frame (FORMAT.md 1).

The text is `dtype.str` for plain types and JSON of `dtype.descr` for structured ones. A dtype that its text does not
restore (one of another package, overlapping fields) is refused on encoding, not on decoding. Imports only `errors`.
"""

import json
import re
from typing import Any

import numpy as np

from ..errors import FormatError

# The forms of dtype.str: byte order, kind, item size, unit of time. numpy's parser, which takes more, gets no other.
_PLAIN = re.compile(r"[<>|][biufcmMSUV]\d*(\[\w+\])?")


def dtype_text(dtype: np.dtype[Any]) -> str:
    """Text of a dtype; inverse of `parse_dtype`.

    Raises
    ------
    TypeError
        Object dtypes, and dtypes that numpy cannot rebuild from their description.
    """
    if dtype.hasobject:
        raise TypeError(f"arrays of dtype {dtype} are not supported: they hold Python objects; convert them first")
    if dtype.isbuiltin:
        return dtype.str
    try:
        text = dtype.str if dtype.names is None else json.dumps(dtype.descr, separators=(",", ":"))
        if parse_dtype(text.encode()) == dtype:
            return text
    except ValueError:  # no description: its fields overlap or are out of order
        pass
    raise TypeError(f"dtype {dtype} cannot be described in a frame: view the array as a plain dtype of its item size")


def parse_dtype(text: bytes | memoryview) -> np.dtype[Any]:
    """The dtype of a text from an untrusted frame; inverse of `dtype_text`.

    Raises
    ------
    FormatError
        The text of no dtype, or of one that this machine does not have.
    """
    try:
        decoded = str(text, "utf-8")
        if decoded.startswith("["):
            dtype: np.dtype[Any] = np.lib.format.descr_to_dtype(_fields(json.loads(decoded)))
        elif _PLAIN.fullmatch(decoded):
            dtype = np.dtype(decoded)
        else:
            raise ValueError("no such form")
        if dtype.names is None and dtype.str != decoded:
            raise ValueError(f"it is written {dtype.str}")
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError, SyntaxError) as error:
        raise FormatError(f"the frame's dtype {bytes(text[:80])!r} is not valid here: {error}") from error
    if dtype.hasobject:
        raise FormatError("the frame's dtype holds objects")
    return dtype


def _fields(entries: list[Any]) -> list[tuple[Any, ...]]:
    """JSON has lists where `dtype.descr` has tuples: (name or (title, name), format[, shape])."""
    fields: list[tuple[Any, ...]] = []
    for name, form, *shape in entries:
        if not (isinstance(form, list) or _PLAIN.fullmatch(form)):
            raise ValueError(f"{form!r} is not a field's format")
        label = tuple(name) if isinstance(name, list) else name
        fields.append((label, _fields(form) if isinstance(form, list) else form, *map(tuple, shape)))
    return fields

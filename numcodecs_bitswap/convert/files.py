"""One array <-> one file: a frame (.bsw), .npy, or an image. A file appears only when it is complete."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..codec import BBANS, BitSwap, LocalBitsBack
from ..errors import SourceError
from ..readers import images
from ..readers.arrays import FRAME, is_url, open_array
from . import OURS
from .axes import axes_options, axis_names
from .copying import same, use_models_of
from .plan import Wanted

SUFFIXES = {FRAME, ".npy", *images.WRITEABLE}
OTHERS = {".npz", ".h5", ".hdf5", ".nc", *images.SUFFIXES} - SUFFIXES
"""Suffixes of files that are not written; a folder of Zarr would not be looked for under such a name."""


def is_file(target: str) -> bool:
    """Whether a target is a single file, by its suffix, and not a Zarr array.

    Raises
    ------
    SourceError
        It is a file of a kind that is not written.
    """
    suffix = Path(target).suffix.lower()
    if suffix in OTHERS:
        raise SourceError(f"{target}: of files only {', '.join(sorted(SUFFIXES))} are written; others are Zarr folders")
    return suffix in SUFFIXES


def convert_file(source: str, target: str, wanted: Wanted) -> tuple[NDArray[Any], int]:
    """Write an array as a file, after decoding it and comparing.

    Returns
    -------
    (ndarray, int)
        The array and the size of the file in bytes.

    Raises
    ------
    SourceError
        The target exists, cannot be written, or its format cannot hold the array.
    """
    path = Path(target)
    if is_url(target):
        raise SourceError(f"{target}: files are written on this machine; name a path, or a Zarr array")
    if path.exists():
        raise SourceError(f"{target} exists: remove it, or name another target")
    use_models_of(source)
    opened = open_array(source)
    array = opened.read((0,) * len(opened.shape), opened.shape)
    if path.suffix.lower() == FRAME:
        data = _frame(array, wanted, axis_names("", opened.array, opened.array))
    elif path.suffix.lower() == ".npy":
        file = io.BytesIO()
        np.save(file, array, allow_pickle=False)
        data = file.getvalue()
    else:
        data = images.write(path, array)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        raise SourceError(f"{target} cannot be written: {error}") from error
    finally:  # interrupts too leave nothing behind
        part.unlink(missing_ok=True)
    return array, len(data)


def _frame(array: NDArray[Any], wanted: Wanted, names: Any) -> bytes:
    if wanted.codec not in OURS:
        raise SourceError(f"a {FRAME} file holds a frame: --codec {', '.join(OURS)}")
    kind = {"bitswap": BitSwap, "bbans": BBANS, "localbitsback": LocalBitsBack}[wanted.codec]
    codec = kind(model=wanted.model, **axes_options(array.shape, names, wanted.channel_axis))
    try:
        data = codec.encode(array)
    except (TypeError, ValueError) as error:
        raise SourceError(str(error)) from error
    if not same(np.asarray(codec.decode(data)), array):
        raise SourceError("the frame does not decode to the array: please report this")
    return data

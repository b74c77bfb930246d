"""Array files -> patches: .npy, .npz (its first array) and the idx format of MNIST, gzipped or not; uint8 of shape
(n, h, w) or (n, h, w, c).
"""

import gzip
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .data import Augmentation, DataError, Pixels, random_crop, turned

IDX_UINT8 = b"\x00\x00\x08"


def read_items(path: Path, channels: int) -> Pixels:
    """Items (n, h, w, channels) of an array file.

    Raises
    ------
    DataError
        It cannot be read, or has another dtype, shape or number of channels.
    """
    try:
        array = _read(path)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read as .npy, .npz or idx: {error}") from error
    items = array[..., None] if array.ndim == 3 else array
    if array.dtype != np.uint8 or items.ndim != 4 or items.shape[3] != channels or not len(items):
        raise DataError(f"{path} holds {array.dtype} {array.shape}, not uint8 (n, h, w) or (n, h, w, {channels})")
    return items


def _read(path: Path) -> Pixels:
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if zipped else path.open("rb") as file:
        start = file.read(4)
        if start[:3] == IDX_UINT8:
            shape = np.frombuffer(file.read(4 * start[3]), ">u4")
            return np.frombuffer(file.read(), np.uint8).reshape(shape.tolist())
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.lib.npyio.NpzFile):
        with loaded:
            return np.asarray(loaded[loaded.files[0]])
    return np.asarray(loaded)


def binarised(x: Pixels, rng: np.random.Generator) -> Pixels:
    """A sample of Bernoulli(x / 255)."""
    return (rng.integers(255, size=x.shape, dtype=np.uint8) < x).astype(np.uint8)


class ArraySource:
    """Random patches of items, or whole items if they have the size of a patch. Every file has the same weight.

    Parameters
    ----------
    files : sequence of sequences of uint8 arrays (h, w, c)
        The items of each file.
    size : int
        Side of a patch in pixels.

    Raises
    ------
    DataError
        A file has fewer than ten items, or items smaller than a patch.
    """

    def __init__(self, files: Sequence[Sequence[Pixels]], size: int, augmentation: Augmentation):
        self.files, self.size, self.augmentation = files, size, augmentation
        if any(not items or min(items[0].shape[:2]) < size for items in files):
            raise DataError(f"an array file has fewer than ten items, or smaller ones than patches of {size} pixels")

    def sample(self, n: int, rng: np.random.Generator, step: int = 0) -> Pixels:
        """n patches, shape (n, channels, size, size)."""
        chosen = [self.files[k] for k in rng.integers(len(self.files), size=n)]
        places = rng.random(n)
        patches = np.stack(
            [self._patch(items[int(len(items) * u)], rng) for items, u in zip(chosen, places, strict=True)]
        )
        return binarised(patches, rng) if self.augmentation.binarise else patches

    def _patch(self, item: Pixels, rng: np.random.Generator) -> Pixels:
        whole = item.shape[:2] == (self.size, self.size)
        patch = (item if whole else random_crop(item, self.size, rng)).transpose(2, 0, 1)
        return turned(patch, rng) if self.augmentation.flip else patch

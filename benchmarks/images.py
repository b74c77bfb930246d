"""Folders of images -> named sets of chunks, the same in every run."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from numcodecs_bitswap.train.data import list_images, read_image, split_validation, to_gray

Chunk = NDArray[np.uint8]
Item = TypeVar("Item")
STAGES = {3: "photo-rgb8-v2", 1: "photo-gray8-v2"}
"""The models of stages and latents for photographs, by the number of channels."""


def every_kth(items: Sequence[Item], limit: int) -> Sequence[Item]:
    """Of more than `limit` items, every k-th, k as small as fits."""
    return items[:: max(1, math.ceil(len(items) / limit))]


def chunks_of(files: Iterable[Path], size: int, channels: int, limit: int) -> list[Chunk]:
    """All full squares, cut from each image's top left corner; of more than `limit`, every k-th.

    Returns
    -------
    list of uint8 arrays, (size, size, 3) RGB, or (size, size) luminance for one channel. Smaller images give none.
    """
    chunks = []
    for path in files:
        image = read_image(path)
        pixels = image if channels == 3 else to_gray(image)[0]
        for y in range(0, image.shape[0] - size + 1, size):
            chunks += [pixels[y : y + size, x : x + size] for x in range(0, image.shape[1] - size + 1, size)]
    return [np.ascontiguousarray(chunk) for chunk in every_kth(chunks, limit)]


def image_sets(folders: Iterable[Path], training: Iterable[Path]) -> dict[str, list[Path]]:
    """Image files by the name of their set: all of a folder; the validation tenth of a training folder."""
    sets = {folder.name: list_images(folder) for folder in folders}
    return sets | {f"{folder.name}, validation": split_validation(list_images(folder))[1] for folder in training}

"""Training data -> sources of patches, and data for validation."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .arrays import ArraySource, read_items
from .data import DataError, PatchSource, Pixels, list_images, split_validation, validation_patches
from .own_arrays import Pictures, RegionSource, split
from .recipe import Recipe
from .validation import validation

VALIDATION_IMAGES, VALIDATION_ITEMS, VALIDATION_PIXELS = 64, 1000, 1 << 20
"""Number of validation patches: of images; of small items of arrays, for which the number of pixels is bounded too."""


class Source(Protocol):
    """Random patches."""

    def sample(self, n: int, rng: np.random.Generator, step: int = 0) -> Pixels:
        """n patches, shape (n, channels, side, side), of what is in memory at a step."""
        ...


@dataclass(frozen=True, kw_only=True)
class Data:
    """Training and validation data of a run.

    Attributes
    ----------
    batches : list of (Source, int)
        Sources of batches, used in turn, and the number of patches of each.
    validation : uint8 ndarray, shape (n, channels, side, side)
        A fixed set of validation patches.
    chunks, crops : list of ndarray
        For arrays: validation chunks, and the arrays of `validation`, for other codecs.
    name, about : str
        Identifies the data, so that a run is not resumed on other data; and a longer description, to show.
    nbytes : int
        Bytes of all arrays.
    """

    batches: list[tuple[Source, int]]
    validation: Pixels
    chunks: list[NDArray[Any]] = field(default_factory=list)
    crops: list[NDArray[Any]] = field(default_factory=list)
    name: str = ""
    about: str = ""
    nbytes: int = 0


def open_regions(pictures: Pictures, recipe: Recipe, name: str = "") -> Data:
    """Data from arrays: random patches of regions.

    Raises
    ------
    DataError
        The arrays have another number of channels than the recipe, or are too small.
    """
    schedule, model = recipe.training, recipe.model
    if pictures.channels != model.channels:
        raise DataError(
            f"{pictures.arrays[0].name} has {pictures.channels} channel(s); recipe {recipe.name} is for "
            f"{model.channels}"
        )
    largest = max(side for side, _ in schedule.batches)
    if pictures.side < largest:
        raise DataError(f"pictures have a side of {pictures.side}, less than patches of {largest} pixels")
    train, kept = split(pictures, largest)
    batches: list[tuple[Source, int]] = [
        (RegionSource(pictures, train, side, recipe.augmentation, schedule.seed), n) for side, n in schedule.batches
    ]
    measured = validation(pictures, kept, recipe)
    about = f"{len(pictures.arrays)} array(s) of uint8, {pictures.channels} channel(s)"
    about += f", {pictures.nbytes:,} bytes"
    about += f"; {len(train)} regions to train on, {len(kept)} for validation"
    if pictures.left_out:
        about += f"; {pictures.left_out} file(s) of another dtype or number of channels left out"
    if small := sum(side < largest for side in pictures.sides):
        about += f"; {small} smaller than {largest} x {largest} left out"
    return Data(
        batches=batches,
        validation=measured.patches,
        chunks=measured.chunks,
        crops=measured.crops,
        name=name,
        about=about,
        nbytes=pictures.nbytes,
    )


def open_data(paths: Sequence[Path], recipe: Recipe) -> Data:
    """Training data of the recipes of photographs, from folders of images in several variants, and of items such as
    MNIST's, from array files. A tenth of each is for validation.

    Raises
    ------
    DataError
        There is nothing that this recipe can be trained on.
    """
    schedule, channels, augmentation = recipe.training, recipe.model.channels, recipe.augmentation
    if all(path.is_file() for path in paths):
        arrays = [split_validation(list(read_items(path, channels))) for path in paths]
        batches: list[tuple[Source, int]] = [
            (ArraySource([a[0] for a in arrays], side, augmentation), number) for side, number in schedule.batches
        ]
        kept = ArraySource([a[1] for a in arrays], schedule.patch, augmentation)
        number = min(VALIDATION_ITEMS, max(1, VALIDATION_PIXELS // schedule.patch**2))
        return Data(batches=batches, validation=kept.sample(number, np.random.default_rng(0)))
    if augmentation.binarise or augmentation.flip:
        raise DataError("a recipe with binarise or flip needs array files as --data")
    splits = [split_validation(list_images(path)) for path in paths]
    batches = [
        (PatchSource([s[0] for s in splits], side, channels, augmentation, schedule.seed), number)
        for side, number in schedule.batches
    ]
    kept_files = [file for s in splits for file in s[1]]
    return Data(batches=batches, validation=validation_patches(kept_files, schedule.patch, channels, VALIDATION_IMAGES))

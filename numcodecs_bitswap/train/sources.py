"""What `--data` names -> sources of patches and the patches that are held back."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from .arrays import ArraySource, read_items
from .data import DataError, PatchSource, Pixels, held_back_patches, list_images, split_held_back
from .recipe import Recipe

HELD_BACK_IMAGES, HELD_BACK_ITEMS, HELD_BACK_PIXELS = 64, 1000, 1 << 20
"""Patches that rates are measured on; of arrays, whose items are small, as many as this, and no more pixels."""


class Source(Protocol):
    """Random patches."""

    def sample(self, n: int, rng: np.random.Generator) -> Pixels:
        """n patches, shape (n, channels, side, side)."""
        ...


def open_data(paths: Sequence[Path], recipe: Recipe) -> tuple[list[tuple[Source, int]], Pixels]:
    """Read the training data.

    Parameters
    ----------
    paths : sequence of Path
        Folders of images, or array files. A tenth of each is held back.

    Returns
    -------
    batches : list of (Source, int)
        What to draw batches from, in turn, and the number of patches of each.
    held_back : uint8 ndarray, shape (n, channels, side, side)
        A fixed set of patches that training never sees.

    Raises
    ------
    DataError
        Nothing there to train this recipe on.
    """
    schedule, channels, augmentation = recipe.training, recipe.model.channels, recipe.augmentation
    if all(path.is_file() for path in paths):
        arrays = [split_held_back(list(read_items(path, channels, recipe.model.levels))) for path in paths]
        batches: list[tuple[Source, int]] = [
            (ArraySource([a[0] for a in arrays], side, augmentation), number) for side, number in schedule.batches
        ]
        kept = ArraySource([a[1] for a in arrays], schedule.patch, augmentation)
        number = min(HELD_BACK_ITEMS, max(1, HELD_BACK_PIXELS // schedule.patch**2))
        return batches, kept.sample(number, np.random.default_rng(0))
    if augmentation.binarise or augmentation.flip:
        raise DataError("a recipe with binarise or flip takes array files, all of them, as --data")
    splits = [split_held_back(list_images(path)) for path in paths]
    batches = [
        (PatchSource([s[0] for s in splits], side, channels, augmentation, schedule.seed), number)
        for side, number in schedule.batches
    ]
    kept_files = [file for s in splits for file in s[1]]
    return batches, held_back_patches(kept_files, schedule.patch, channels, HELD_BACK_IMAGES)

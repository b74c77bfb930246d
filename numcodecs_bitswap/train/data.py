"""Folders of images -> random square patches.

Photographs differ in sharpness and in artefacts of earlier JPEG compression. So every image is kept in several
*variants*, made once from a seed: unchanged, reduced, compressed as JPEG, and enlarged then compressed.
"""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from ..errors import BitswapError
from ..readers.arrays import IMAGES

Pixels = NDArray[np.uint8]
Item = TypeVar("Item")


class DataError(BitswapError, ValueError):
    """The training data have nothing that a model can be trained on."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Augmentation of patches.

    Attributes
    ----------
    plain, reduced, jpeg, enlarged_jpeg : float
        Shares of the variants of photographs; they need not sum to one.
    permute_channels, noise : float
        Probabilities of changes to a patch of a photograph. It is always flipped and transposed at random.
    flip : bool
        Whether to flip and transpose patches of arrays.
    binarise : bool
        Whether to sample patches of arrays from Bernoulli(x / 255), anew each time.
    """

    plain: float = 0.45
    reduced: float = 0.2
    jpeg: float = 0.2
    enlarged_jpeg: float = 0.15
    permute_channels: float = 0.1
    noise: float = 0.05
    flip: bool = False
    binarise: bool = False


def list_images(folder: Path) -> list[Path]:
    """Image files under a folder, sorted by name.

    Raises
    ------
    DataError
        The folder is missing or holds no image.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder")
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGES)
    if not files:
        raise DataError(f"{folder} holds no image ({', '.join(sorted(IMAGES))})")
    return files


def split_validation(items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """Training items, and every tenth item, from the fifth on, for validation. The split needs no state."""
    return [f for i, f in enumerate(items) if i % 10 != 4], [f for i, f in enumerate(items) if i % 10 == 4]


def read_image(path: Path) -> Pixels:
    """(height, width, 3) uint8."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _resized(image: Image.Image, factor: float) -> Image.Image:
    size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    return image.resize(size, Image.Resampling.LANCZOS if factor < 1 else Image.Resampling.BICUBIC)


def _through_jpeg(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(rng.integers(75, 98)), subsampling=int(rng.choice([0, 2])))
    return Image.open(buffer).convert("RGB")


class PatchSource:
    """Random patches of images in one or more folders. Every folder has the same weight, independent of its size.

    Parameters
    ----------
    folders : sequence of sequences of paths
    size : int
        Side of a patch in pixels.
    channels : int
        3, or 1: luminance or one of the colour channels.
    """

    def __init__(
        self, folders: Iterable[Sequence[Path]], size: int, channels: int, augmentation: Augmentation, seed: int
    ):
        self.size, self.channels, self.augmentation = size, channels, augmentation
        rng = np.random.default_rng(seed)
        self._pools: list[list[tuple[float, list[Pixels]]]] = []
        for files in folders:
            variants: dict[str, list[Pixels]] = {"plain": [], "reduced": [], "jpeg": [], "enlarged_jpeg": []}
            for path in tqdm(files, desc="reading images", unit="img", leave=False):
                image = Image.fromarray(read_image(path))
                made = {
                    "plain": image,
                    "reduced": _resized(image, float(rng.uniform(0.45, 0.9))),
                    "jpeg": _through_jpeg(image, rng),
                    "enlarged_jpeg": _through_jpeg(_resized(image, float(rng.uniform(1.2, 2.0))), rng),
                }
                for name, variant in made.items():
                    if min(variant.size) >= size:
                        variants[name].append(np.asarray(variant))
            pool = [(getattr(augmentation, name), images) for name, images in variants.items() if images]
            if not pool:
                raise DataError(f"no image is at least {size} pixels on both sides")
            self._pools.append(pool)

    def sample(self, n: int, rng: np.random.Generator, step: int = 0) -> Pixels:
        """n patches, shape (n, channels, size, size)."""
        return np.stack([self._patch(rng) for _ in range(n)])

    def _patch(self, rng: np.random.Generator) -> Pixels:
        pool = self._pools[rng.integers(len(self._pools))]
        weights = np.array([weight for weight, _ in pool])
        images = pool[rng.choice(len(pool), p=weights / weights.sum())][1]
        patch = random_crop(images[rng.integers(len(images))], self.size, rng)
        patch = self._colour(patch, rng)
        patch = turned(patch, rng)
        if rng.random() < self.augmentation.noise:
            noisy = patch + rng.normal(0, rng.uniform(0.5, 4), patch.shape)
            patch = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
        return patch

    def _colour(self, patch: Pixels, rng: np.random.Generator) -> Pixels:
        """(h, w, 3) to (channels, h, w)."""
        if self.channels == 3:
            order = rng.permutation(3) if rng.random() < self.augmentation.permute_channels else np.arange(3)
            return patch.transpose(2, 0, 1)[order]
        return to_gray(patch, int(rng.integers(-3, 3)))


def turned(patch: Pixels, rng: np.random.Generator) -> Pixels:
    """One of the eight symmetries of a square patch (channels, side, side)."""
    if rng.random() < 0.5:
        patch = patch.transpose(0, 2, 1)
    return patch[:, :: rng.choice([-1, 1]), :: rng.choice([-1, 1])]


def to_gray(patch: Pixels, channel: int = -1) -> Pixels:
    """(h, w, 3) to (1, h, w): one channel if `channel` >= 0, else luminance (Rec. 601)."""
    if channel >= 0:
        return patch[None, :, :, channel]
    return np.asarray(Image.fromarray(patch).convert("L"))[None]


def random_crop(image: Pixels, size: int, rng: np.random.Generator) -> Pixels:
    """A (size, size, channels) view of an image at least that large."""
    y = rng.integers(image.shape[0] - size + 1)
    x = rng.integers(image.shape[1] - size + 1)
    return image[y : y + size, x : x + size]


def validation_patches(files: Sequence[Path], size: int, channels: int, n: int) -> Pixels:
    """A fixed set of n patches (n, channels, size, size) of validation files."""
    rng = np.random.default_rng(0)
    images = [image for image in map(read_image, files) if min(image.shape[:2]) >= size]
    if not images:
        raise DataError(f"no validation image is at least {size} pixels on both sides; ten or more images are needed")
    crops = [random_crop(images[i % len(images)], size, rng) for i in range(n)]
    return np.stack([c.transpose(2, 0, 1) if channels == 3 else to_gray(c) for c in crops])

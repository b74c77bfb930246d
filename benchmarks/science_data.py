"""Scientific arrays -> what models are trained on and chunks that they never see: whole planes or regions apart.

The folder holds one .npz file for each array (key `a`), or several whose names begin alike.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numcodecs_bitswap.train.data import list_images, read_image

SIZE = 256
"""Side of a chunk, where planes are not small."""
Array = NDArray[Any]


class Part(NamedTuple):
    """What a source is trained on, arrays of items (n, h, w), and planes that are held back."""

    train: list[Array]
    test: list[Array]


def planes(stack: Array) -> Part:
    """Planes (n, h, w) of separate fields of view: every tenth is held back, from the fifth on."""
    held = np.arange(len(stack)) % 10 == 4
    return Part([stack[~held]], list(stack[held]))


def scan(volume: Array) -> Part:
    """Slices along the last axis: two runs of ten are held back."""
    stack = np.moveaxis(volume, -1, 0)
    held = np.isin(np.arange(len(stack)), [*range(40, 50), *range(80, 90)])
    return Part([stack[~held]], list(stack[held]))


def scene(band: Array) -> Part:
    """One large image (h, w): tiles of its upper part, and the strip below. A border of zeros is cropped."""
    if not band[0, 0]:
        band = band[320:1280, 320:1280]
    top = len(band) - SIZE
    side = 232
    tiles = [band[y : y + side, x : x + side] for y in range(0, top - side + 1, side) for x in _starts(band, side)]
    return Part([np.stack(tiles)], [band[top:]])


def _starts(band: Array, side: int) -> range:
    return range(0, band.shape[1] - side + 1, side)


SOURCES: dict[str, tuple[str, Callable[[Array], Part]]] = {
    "fluorescence": ("bbbc039_fluorescence_u16*", planes),
    "satellite": ("landsat8_*_u16*", scene),
    "electron microscopy": ("isbi2012_em_u8*", planes),
    "MRI": ("mri_structural_i16*", scan),
    "CCD": ("astro_ccd_u16*", scene),
}


def read(folder: Path, name: str) -> Part | None:
    """The parts of a source over all of its files, or None if there is no file."""
    pattern, split = SOURCES[name]
    parts = [split(np.load(path)["a"]) for path in sorted(folder.glob(pattern + ".npz"))]
    if not parts:
        return None
    return Part([each for part in parts for each in part.train], [each for part in parts for each in part.test])


def chunks(part: Part) -> Iterator[Array]:
    """Full squares of the held-back planes, from each one's top left corner."""
    for plane in part.test:
        for y in range(0, plane.shape[0] - SIZE + 1, SIZE):
            for x in range(0, plane.shape[1] - SIZE + 1, SIZE):
                yield np.ascontiguousarray(plane[y : y + SIZE, x : x + SIZE])


def photographs(folder: Path) -> Array:
    """Tiles (n, 128, 128) of photographs' luminance, reduced by two, which fills 12 bits."""
    tiles = []
    for path in list_images(folder):
        light = read_image(path).astype(np.int64) @ np.array([77, 150, 29])
        height, width = (size // 2 * 2 for size in light.shape)
        reduced = sum(light[a:height:2, b:width:2] for a in (0, 1) for b in (0, 1)) >> 6
        for y in range(0, height // 2 - 127, 128):
            tiles += [reduced[y : y + 128, x : x + 128] for x in range(0, width // 2 - 127, 128)]
    return np.stack(tiles).astype(np.uint16)


def main() -> None:
    """Write what is trained on as .npy: `python -m benchmarks.science_data FOLDER OUT [PHOTOGRAPHS]`."""
    import sys

    folder, out, *photos = map(Path, sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    for each in photos:
        np.save(out / "photographs.npy", photographs(each))
    for name in SOURCES:
        part = read(folder, name)
        if part is not None:
            path = out / f"{name.replace(' ', '_')}.npy"
            np.save(path, np.concatenate(part.train))
            print(path, *(each.shape for each in part.train), "held back", sum(1 for _ in chunks(part)), "chunks")


if __name__ == "__main__":
    main()

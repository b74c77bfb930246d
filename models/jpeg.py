"""Makes the model of JPEG coefficients that ships: jpeg-v1.

    python models/jpeg.py DATA [--minutes 15] [--out FOLDER]

DATA holds natural/photos_d4plus and natural/clothing_d4 (folders of PNG), which are compressed here at many qualities,
and nd/jpeg/wsi_*.jpg (tiles of a slide), of which every fourth is left for measuring, as is every eighth photograph.
Rows are what the encoder sees of sampled coefficients.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from numcodecs_bitswap.jpeg.coefficients import ORDER_OF, Coding, Grid
from numcodecs_bitswap.jpeg.model import CoefficientModel
from numcodecs_bitswap.jpeg.tables import standard
from numcodecs_bitswap.train.export import write_tensors
from numcodecs_bitswap.train.jpeg import DEFAULT, Net, Predictions, fit, rows_of

Array = NDArray[Any]
QUALITIES = 30, 50, 60, 70, 75, 80, 85, 88, 90, 92, 95, 96, 98
SIDES = 128, 192, 256, 384, 512
KINDS = {"4:2:0": 0.4, "4:4:4": 0.25, "4:2:2": 0.08, "rgb": 0.22, "gray": 0.05}
SAMPLED = 7000
"""Coefficients of an image."""
rng = np.random.default_rng(0)
COSINES = (
    np.cos((2 * np.arange(8) + 1) * np.arange(8)[:, None] * np.pi / 16) * np.where(np.arange(8), 0.5, 8**-0.5)[:, None]
)


class Held(NamedTuple):
    """What a JPEG file would hold, in the order in which it is coded."""

    colour: str
    grids: list[Grid]
    steps: list[Array]
    coefficients: list[Array]


def quantised(plane: Array, steps: Array) -> Array:
    """Coefficients int16 (rows, columns, 64) of samples."""
    h, w = plane.shape[0] // 8, plane.shape[1] // 8
    blocks = plane[: 8 * h, : 8 * w].reshape(h, 8, w, 8).swapaxes(1, 2) - 128.0
    return np.round((COSINES @ blocks @ COSINES.T).reshape(h, w, 64) / steps).astype(np.int16)


def turned(image: Array) -> Array:
    """One of the eight turns and mirror images."""
    k = rng.integers(8)
    image = image[::-1] if k & 1 else image
    image = image[:, ::-1] if k & 2 else image
    return image.swapaxes(0, 1) if k & 4 else image


def compressed(image: Array, kind: str, luma: Array, chroma: Array) -> Held:
    """What a file of one kind holds of RGB pixels."""
    image = image[: len(image) // 16 * 16, : image.shape[1] // 16 * 16].astype(np.float64)
    if kind == "rgb":
        planes = [image[..., k] for k in ORDER_OF["rgb"]]
        return _held("rgb", planes, [luma] * 3, (1, 1))
    red, green, blue = np.moveaxis(image, 2, 0)
    y = np.round(0.299 * red + 0.587 * green + 0.114 * blue)
    if kind == "gray":
        return _held("gray", [y], [luma], (1, 1))
    cb = np.round(128 - 0.168736 * red - 0.331264 * green + 0.5 * blue)
    cr = np.round(128 + 0.5 * red - 0.418688 * green - 0.081312 * blue)
    sy, sx = {"4:4:4": (1, 1), "4:2:0": (2, 2), "4:2:2": (1, 2)}[kind]
    h, w = y.shape
    small = [np.floor(c.reshape(h // sy, sy, w // sx, sx).mean((1, 3)) + 0.5) for c in (cb, cr)]
    return _held("ycbcr", [y, *small], [luma, chroma, chroma], (sy, sx))


def _held(colour: str, planes: list[Array], steps: list[Array], sampling: tuple[int, int]) -> Held:
    numbers = [quantised(*each) for each in zip(planes, steps, strict=True)]
    grids = [Grid(*each.shape[:2], *(sampling if k else (1, 1))) for k, each in enumerate(numbers)]
    return Held(colour, grids, steps, numbers)


def photographs(data: Path, validation: bool = False) -> Iterator[Held]:
    """Photographs as files of random qualities. Every eighth large one is left for measuring."""
    large, small = (sorted((data / "natural" / name).glob("*.png")) for name in ("photos_d4plus", "clothing_d4"))
    large = [file for k, file in enumerate(large) if (k % 8 == 4) == validation]
    for file in [*large * (1 if validation else 4), *([] if validation else small)]:
        image = turned(np.asarray(Image.open(file).convert("RGB")))
        side = int(rng.choice(SIDES))
        y, x = (int(rng.integers(max(1, n - side + 1))) for n in image.shape[:2])
        image = image[y : y + side, x : x + side]
        if min(image.shape[:2]) >= 32:
            luma, chroma = standard()[:, rng.choice(QUALITIES) - 1]
            yield compressed(image, str(rng.choice(list(KINDS), p=list(KINDS.values()))), luma, chroma)


def slides(data: Path, validation: bool = False) -> Iterator[Held]:
    """Tiles of a slide, RGB as they are, and mirrored. Every fourth is left for measuring."""
    for k, file in enumerate(sorted((data / "nd/jpeg").glob("wsi*.jpg"))):
        if (k % 4 == 2) == validation:
            tile = Image.open(file)
            steps = [np.array(tile.quantization[line[3]], np.uint16) for line in tile.layer]  # type: ignore[attr-defined]
            image = np.asarray(tile.convert("RGB")).astype(np.float64)
            for pixels in (image, image[::-1] if k & 1 else image[:, ::-1]):
                planes = [pixels[..., c] for c in ORDER_OF["rgb"]]
                yield _held("rgb", planes, [steps[c] for c in ORDER_OF["rgb"]], (1, 1))


def main() -> None:
    """Fit predictions, observe, fit the network, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    train = [*photographs(options.data), *slides(options.data)]
    held = [*photographs(options.data, validation=True), *slides(options.data, validation=True)]
    predictions = Predictions()
    for each in train:
        for k, (steps, numbers) in enumerate(zip(each.steps, each.coefficients, strict=True)):
            predictions.add(each.colour == "ycbcr" and k > 0, numbers[:32, :32], steps)
    prediction = {"prediction": predictions.tensor()}
    start = CoefficientModel(DEFAULT, Net(DEFAULT).tensors() | prediction)

    def rows(images: list[Held]) -> Any:
        for each in images:
            *about, numbers = each
            seen = Coding(start, *about).observe(numbers)
            chosen = np.flatnonzero(rng.random(len(seen.row)) < SAMPLED / len(seen.row))
            yield seen.some(chosen)

    seen = rows_of(rows(train))
    print(len(seen.row), "rows", flush=True)
    net = fit(DEFAULT, seen, options.minutes, held=rows_of(rows(held)), say=lambda text: print(text, flush=True))
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "jpeg-v1.safetensors"
    about = f"python models/jpeg.py DATA --minutes {options.minutes:g}"
    print(write_tensors(DEFAULT | {"format": 1}, net.tensors() | prediction, path, path.stem, "CC0-1.0", about))


if __name__ == "__main__":
    main()

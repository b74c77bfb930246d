"""Handwriting for the other examples: MNIST if its file is given, else digits drawn here.

python examples/digits.py [t10k-images-idx3-ubyte.gz]
"""

import gzip
import sys

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont


def mnist(path: str) -> NDArray[np.uint8]:
    """(n, 28, 28) of an idx3 file, gzipped, as on the MNIST page."""
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)


def drawn(n: int, seed: int = 0) -> NDArray[np.uint8]:
    """(n, 28, 28): digits of different sizes and slopes, white on black, drawn four times as large and reduced."""
    rng = np.random.default_rng(seed)
    sheets = np.empty((n, 28, 28), np.uint8)
    for sheet in sheets:
        image = Image.new("L", (112, 112))
        font = ImageFont.load_default(size=int(rng.integers(80, 100)))
        ImageDraw.Draw(image).text((56, 56), str(rng.integers(10)), 255, font, anchor="mm", stroke_width=1)
        slope = rng.uniform(-0.3, 0.5)
        image = image.transform(image.size, Image.Transform.AFFINE, (1, slope, -56 * slope, 0, 1, 0))
        image = image.rotate(float(rng.uniform(-15, 15)), Image.Resampling.BILINEAR)
        sheet[...] = np.asarray(image.reduce(4))
    return sheets


def digits(n: int) -> NDArray[np.uint8]:
    """n digits of the MNIST file named on the command line, or drawn ones."""
    return mnist(sys.argv[1])[:n] if len(sys.argv) > 1 else drawn(n)


if __name__ == "__main__":
    for row in digits(3)[:, 2:26:2].reshape(-1, 28):
        print("".join(" .:#"[value // 64] for value in row))

"""The pictures and figures of the page "Maps of bits": python docs/assets/maps.py (about five minutes)

Takes examples/photograph.png, writes map-NAME.webp here and prints the table of the page. Needs the extras `images` and
`train`.
"""

import io
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))
from numcodecs_bitswap import BitSwap  # noqa: E402
from numcodecs_bitswap.measure.classical import classical  # noqa: E402

WINDOW, STEP = 32, 16
GROUND, INK = "#14171c", "#d7dce4"
"""A dark ground under all of it, which suits light and dark pages."""


def versions() -> dict[str, tuple[str, NDArray[np.uint8]]]:
    """The photograph, and what may have happened to it."""
    photograph = Image.open(HERE.parents[1] / "examples" / "photograph.png").convert("RGB")
    pixels = np.asarray(photograph)
    file = io.BytesIO()
    photograph.save(file, "JPEG", quality=75)
    noise = np.random.default_rng(0).normal(0, 8, pixels.shape)
    half = photograph.resize((384, 256), Image.Resampling.LANCZOS)
    return {
        "clean": ("as it is", pixels),
        "gray": ("one channel", np.ascontiguousarray(pixels[..., 1])),
        "jpeg": ("through JPEG, quality 75", np.asarray(Image.open(file))),
        "noise": ("with white noise, sigma 8", np.clip(np.round(pixels + noise), 0, 255).astype(np.uint8)),
        "enlarged": ("enlarged from half its size", np.asarray(half.resize((768, 512), Image.Resampling.BICUBIC))),
    }


def bits_map(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Bits/sample in cells of STEP x STEP: mean over the windows that cover a cell, each window coded on its own."""
    rows, columns, across = picture.shape[0] // STEP, picture.shape[1] // STEP, WINDOW // STEP
    bits, cover = np.zeros((rows, columns)), np.zeros((rows, columns))
    for row in range(rows - across + 1):
        for column in range(columns - across + 1):
            y, x = row * STEP, column * STEP
            window = np.ascontiguousarray(picture[y : y + WINDOW, x : x + WINDOW])
            covered = np.s_[row : row + across, column : column + across]
            bits[covered] += 8 * len(BitSwap().encode(window)) / window.size
            cover[covered] += 1
    return bits / cover


def draw(picture: NDArray[np.uint8], bits: NDArray[np.float64], path: Path) -> None:
    """The picture beside its map."""
    figure = Figure(figsize=(11, 3.7), layout="constrained", facecolor=GROUND)
    left, right = figure.subplots(1, 2)
    left.imshow(picture, cmap="gray", vmin=0, vmax=255)
    shown = right.imshow(bits, cmap="magma", vmin=0, vmax=7, extent=(0, picture.shape[1], picture.shape[0], 0))
    bar = figure.colorbar(shown, ax=right, shrink=0.9)
    bar.set_label("bits/sample", color=INK, size=13)
    bar.ax.tick_params(colors=INK, labelsize=12)
    for axes in (left, right):
        axes.set_axis_off()
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100, facecolor=GROUND)
    Image.open(file).convert("RGB").save(path, quality=90, method=6)


def main() -> None:
    """Draw, and print the table: total bytes of the whole picture as one chunk."""
    print("| | here | best other | |\n|---|--:|--:|---|")
    for name, (title, picture) in versions().items():
        ours = len(BitSwap().encode(picture))
        others = {peer.name: len(peer.encode(picture)) for peer in classical(picture)}
        best = min(others, key=lambda each: others[each])
        print(
            f"| {title} | {8 * ours / picture.size:.2f} | {8 * others[best] / picture.size:.2f} | {best} |", flush=True
        )
        draw(picture, bits_map(picture), HERE / f"map-{name}.webp")


if __name__ == "__main__":
    main()

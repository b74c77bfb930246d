"""`make demo`: a photograph in Zarr arrays, the sizes and speeds of other codecs beside it, and where the bits went.

python -m examples.demo [image]
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import zarr
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from numcodecs_bitswap import BitSwap
from numcodecs_bitswap.measure.classical import PHOTOGRAPHS, classical
from numcodecs_bitswap.measure.harness import bitswap, measure, table
from numcodecs_bitswap.zarr3 import BitSwapCodec

CHUNK = 256
WINDOW, STEP = 32, 16
OUT = Path("demo-out")


def cut(photograph: NDArray[np.uint8], size: int, step: int) -> list[NDArray[np.uint8]]:
    """All full squares of a size, row by row, contiguous."""
    rows, columns = (range(0, n - size + 1, step) for n in photograph.shape[:2])
    return [np.ascontiguousarray(photograph[y : y + size, x : x + size]) for y in rows for x in columns]


def through_zarr(photograph: NDArray[np.uint8]) -> None:
    """Write to a new array of each Zarr format, open it again, compare."""
    for zarr_format in (2, 3):
        codec = {"compressors": BitSwap()} if zarr_format == 2 else {"serializer": BitSwapCodec(), "compressors": None}
        with tempfile.TemporaryDirectory() as folder:
            zarr.create_array(folder, data=photograph, chunks=(CHUNK, CHUNK, 3), zarr_format=zarr_format, **codec)
            array = zarr.open_array(folder, mode="r")
            if not np.array_equal(array[:], photograph):
                raise AssertionError(f"Zarr format {zarr_format}: the array read differs")
            stored = array.nbytes_stored()
        print(
            f"Zarr format {zarr_format}: {photograph.nbytes:,} bytes in, {stored:,} in the store, read back: identical"
        )


def bits_map(photograph: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Bits/sample in cells of STEP x STEP: mean over the windows that cover a cell, each window coded on its own."""
    rows, columns = (n // STEP for n in photograph.shape[:2])
    bits, cover = np.zeros((rows, columns)), np.zeros((rows, columns))
    across = WINDOW // STEP
    codec = BitSwap()
    windows = iter(tqdm(cut(photograph, WINDOW, STEP), desc="map of bits", leave=False))
    for row in range(rows - across + 1):
        for column in range(columns - across + 1):
            covered = np.s_[row : row + across, column : column + across]
            bits[covered] += 8 * len(codec.encode(next(windows))) / (WINDOW * WINDOW * 3)
            cover[covered] += 1
    return bits / cover


def draw(photograph: NDArray[np.uint8], bits: NDArray[np.float64], title: str, path: Path) -> None:
    """The photograph beside the map."""
    figure = Figure(figsize=(13, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.imshow(photograph)
    left.set_title("photograph")
    image = right.imshow(bits, cmap="magma", extent=(0, bits.shape[1] * STEP, bits.shape[0] * STEP, 0))
    right.set_title(f"bits/sample where {WINDOW} x {WINDOW} windows are coded each on its own")
    figure.colorbar(image, ax=right, label="bits/sample (of 8)", shrink=0.9)
    figure.suptitle(title)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110)


def main(image: str = str(Path(__file__).with_name("photograph.png"))) -> None:
    """Print the table and save the picture."""
    photograph = np.asarray(Image.open(image).convert("RGB"))
    height, width, _ = photograph.shape
    if min(height, width) < CHUNK:
        sys.exit(f"{image} is {height} x {width}; the demo needs at least one chunk of {CHUNK} x {CHUNK}")
    print(f"{Path(image).name}: {height} x {width} x 3, chunks of {CHUNK} x {CHUNK} x 3", flush=True)
    through_zarr(photograph)

    chunks = cut(photograph, CHUNK, CHUNK)
    rows = [measure(peer, chunks, repeats=3) for peer in [bitswap(), *classical(chunks[0], PHOTOGRAPHS)]]
    print(
        f"\nTotal bytes of the {len(chunks)} full chunks, each coded on its own:\n\n{table(rows, 'JPEG XL effort 7')}\n"
    )

    ours = rows[0]
    title = f"Bit-Swap, lossless: {ours.bits_per_sample:.2f} bits/sample in chunks of {CHUNK} x {CHUNK} x 3"
    draw(photograph, bits_map(photograph), title, OUT / "demo.png")
    print(f"where the bits went: {OUT / 'demo.png'}")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Images that were decoded from JPEG files: bytes of chunks against the files, JPEG XL of the pixels, and JPEG XL's own
transcoding of files.

    python -m benchmarks.jpeg DATA [--limit N] [--picture FILE]

DATA holds nd/jpeg/wsi_*.jpg (tiles of a slide), nd/jpeg/*.JPG (camera originals), natural/validation_imagenet_unscaled
(photographs of the web) and natural/photos_d4plus (free photographs, every eighth of which the model never saw, which
are compressed here). Sizes are total bytes of chunks, each on its own. "Exact" is the share of whole blocks of 8 x 8
that come back from coefficients alone.
"""

import argparse
import io
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from numcodecs_bitswap import BitSwap
from numcodecs_bitswap.chunk import frame
from numcodecs_bitswap.chunk.frame import Route
from numcodecs_bitswap.jpeg.finding import find

Pixels = NDArray[np.uint8]
QUALITIES, SIDE, SAMPLINGS = (75, 90, 95), 256, {"4:2:0": 2, "4:4:4": 0}


class Chunk(NamedTuple):
    """Pixels, and a JPEG file of them alone, if there is one."""

    pixels: Pixels
    file: bytes | None


def middle(image: Pixels, side: int) -> Pixels:
    """A square of the middle that begins at whole MCUs."""
    y, x = (max(0, (n - side) // 2 // 16 * 16) for n in image.shape[:2])
    return np.ascontiguousarray(image[y : y + side, x : x + side])


def compressed(image: Pixels, quality: int, sampling: int) -> bytes:
    """A JPEG file of RGB pixels."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality, subsampling=sampling)
    return file.getvalue()


def opened(file: Path | bytes) -> Pixels:
    """RGB pixels of a file."""
    return np.asarray(Image.open(io.BytesIO(file) if isinstance(file, bytes) else file).convert("RGB"))


def sets(data: Path, limit: int | None) -> Iterator[tuple[str, list[Chunk]]]:
    """Names and chunks."""
    tiles = sorted((data / "nd/jpeg").glob("wsi_*.jpg"))[:limit]
    yield "slide, tiles of 240", [Chunk(opened(path), path.read_bytes()) for path in tiles]
    web = [opened(path) for path in sorted((data / "natural/validation_imagenet_unscaled").iterdir())][:limit]
    yield "web, whole", [Chunk(image, None) for image in web]
    yield "web, 256", [Chunk(middle(image, SIDE), None) for image in web]
    photographs = [opened(path) for path in sorted((data / "natural/photos_d4plus").glob("*.png"))[4::8]][:limit]
    for quality in QUALITIES:
        for name, sampling in SAMPLINGS.items():
            chunks = []
            for image in photographs:
                whole = opened(compressed(image, quality, sampling))
                chunks.append(Chunk(middle(whole, SIDE), compressed(middle(image, SIDE), quality, sampling)))
            yield f"free, {SIDE}, Q{quality} {name}", chunks
    cameras = [opened(path) for path in sorted((data / "nd/jpeg").glob("*.JPG"))]
    places = [(1, 1), (2, 3), (4, 5)]
    yield (
        "camera, 256",
        [
            Chunk(np.ascontiguousarray(image[SIDE * y : SIDE * y + SIDE, SIDE * x : SIDE * x + SIDE]), None)
            for image in cameras
            for y, x in places
        ][:limit],
    )


class Row(NamedTuple):
    """What a set came to: chunks, those that took the JPEG route, exact blocks and all, total bytes, speeds."""

    name: str
    chunks: int
    held: int
    exact: int
    blocks: int
    ours: int
    pixels: int
    jxl: int
    file: int
    transcoded: int
    encode_mb_s: float
    decode_mb_s: float

    def line(self) -> str:
        """A line of the table, in Markdown."""
        ratios = (f"{self.ours / of:.3f}" if of else "" for of in (self.jxl, self.pixels, self.file, self.transcoded))
        cells = self.name, f"{self.held} of {self.chunks}", f"{self.exact / self.blocks:.1%}", f"{self.ours:,}", *ratios
        return " | ".join(["", *cells, f"{self.encode_mb_s:.1f}, {self.decode_mb_s:.1f}", ""]).strip()


HEADS = "", "JPEG route", "exact", "bytes", "/ JPEG XL", "/ pixels here", "/ file", "/ JXL tr.", "MB/s"


def measure(name: str, chunks: list[Chunk]) -> Row:
    """Code all chunks of a set."""
    exact = blocks = held = ours = plain = jxl = files = transcoded = 0
    encode = decode = 0.0
    codec, of_pixels = BitSwap(), BitSwap(model="photo-v1")
    for pixels, file in chunks:
        begin = perf_counter()
        data = codec.encode(pixels)
        encode += perf_counter() - begin
        begin = perf_counter()
        assert np.array_equal(codec.decode(data), pixels)
        decode += perf_counter() - begin
        held += frame.parse(memoryview(data))[0].route == Route.JPEG
        found = find(pixels)
        wrong = np.ones(np.array(pixels.shape[:2]) // 8) if found is None else found.wrong
        exact, blocks = exact + int(np.count_nonzero(wrong == 0)), blocks + wrong.size
        ours, plain = ours + len(data), plain + len(of_pixels.encode(pixels))
        jxl += len(imagecodecs.jpegxl_encode(pixels, lossless=True, effort=7))
        if file is not None:
            files += len(file)
            transcoded += len(imagecodecs.jpegxl_encode_jpeg(file, usecontainer=False))
    size = sum(chunk.pixels.nbytes for chunk in chunks) / 1e6
    sizes = ours, plain, jxl, files, transcoded
    return Row(name, len(chunks), held, exact, blocks, *sizes, size / encode, size / decode)


def draw(rows: list[Row], path: Path) -> None:
    """Bytes relative to JPEG XL of the pixels, a group of bars for each set."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    shown = [row for row in rows if row.file] or rows
    bars = {"JPEG XL, pixels": "jxl", "the JPEG file": "file", "JPEG XL, transcoding the file": "transcoded"}
    bars |= {"this package, pixels": "pixels", "this package": "ours"}
    figure, axes = plt.subplots(figsize=(8, 0.9 * len(shown) + 1), layout="constrained")
    for k, (label, name) in enumerate(bars.items()):
        lengths = [getattr(row, name) / row.jxl for row in shown]
        colour = ("#bbbbbb", "#999999", "#777777", "#9ecae1", "#08519c")[k]
        axes.barh(np.arange(len(shown)) + 0.16 * (k - 2), lengths, 0.15, label=label, color=colour)
    axes.set_yticks(range(len(shown)), [row.name for row in shown])
    axes.invert_yaxis()
    axes.set_xlabel("bytes of the same pixels, JPEG XL's = 1")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside upper center", ncols=3)
    figure.savefig(path, dpi=110)


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser: Any = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--limit", type=int, help="chunks of each set")
    parser.add_argument("--picture", type=Path, help="image to write")
    options = parser.parse_args(arguments)
    gradient = np.add.outer(np.arange(96), np.arange(96)).astype(np.uint8)
    for image in (gradient, np.stack([gradient, gradient // 2, gradient // 3], 2)):  # compiles
        BitSwap().encode(image)
    BitSwap().encode(opened(compressed(image, 75, 2)))
    print(f"| {' | '.join(HEADS)} |\n|---|{'--:|' * (len(HEADS) - 1)}")
    rows = []
    for name, chunks in sets(options.data, options.limit):
        if chunks:
            rows.append(measure(name, chunks))
            print(rows[-1].line(), flush=True)
    if options.picture:
        draw(rows, options.picture)


if __name__ == "__main__":
    main()

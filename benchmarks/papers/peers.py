"""The codecs of the papers' tables: general ones, image codecs, and ours; and their rows of sizes and seconds."""

import io
import math
from typing import Any

import numpy as np
from numcodecs import BZ2, LZMA, GZip, Zstd
from PIL import Image

from benchmarks.papers.report import Cell, Published, published
from numcodecs_bitswap import BBANS, BitSwap
from numcodecs_bitswap.measure.classical import classical
from numcodecs_bitswap.measure.harness import Chunk, Measured, Peer, bitswap, measure

GENERAL = {
    "gzip": ("gzip 9", GZip(level=9)),
    "bz2": ("bz2 9", BZ2(level=9)),
    "lzma": ("LZMA 9", LZMA(preset=9)),
    "zstd": ("Zstd 22", Zstd(level=22)),
}
IMAGE = {"png": "PNG", "webp": "WebP method 6", "jpegxl": "JPEG XL effort 7"}
"""Names in `classical.classical`."""
WEBP_SIDE = 16383
"""Largest side of a WebP image."""
OURS: dict[str, Any] = {"bb_ans": ("BB-ANS", BBANS), "bit_swap": ("Bit-Swap", BitSwap)}
Papers = dict[str, tuple[str, ...]]
"""Column of a table -> keys in published.toml."""


def learned(core: str, model: str) -> Peer:
    """This package's codec BB-ANS or Bit-Swap with a model."""
    name, codec_class = OURS[core]
    codec = codec_class(model=model)
    return Peer(f"{name}, {model}", codec.encode, codec.decode)


DEFAULT = bitswap(name="Bit-Swap codec, default model")
"""What a user gets who chooses nothing: for most images the plane coder, for those that were JPEGs their route."""
PIXELS = bitswap("photo-v1", name="Bit-Swap codec, photo-v1, pixels alone")


def general(key: str, binary: bool = False) -> Peer:
    """A general codec at its strongest level; binary pixels are packed, eight to a byte."""
    name, codec = GENERAL[key]
    if not binary:
        return Peer(name, codec.encode, codec.decode)

    def decode(encoded: bytes) -> Chunk:
        return np.unpackbits(np.frombuffer(codec.decode(encoded), np.uint8))

    return Peer(f"{name}, packed bits", lambda chunk: codec.encode(np.packbits(chunk)), decode)


def image(key: str, channels: int, binary: bool = False) -> Peer:
    """An image codec; binary pixels go in as one bit (PNG) or as black and white (WebP, JPEG XL)."""
    (peer,) = classical(np.empty((8, 8, 3) if channels == 3 else (8, 8), np.uint8), [IMAGE[key]])
    if not binary:
        return peer
    if key == "png":
        return Peer("PNG, 1 bit", _png1_encode, lambda encoded: np.array(Image.open(io.BytesIO(encoded)), np.uint8))
    white = np.uint8(255 if key == "webp" else 1)
    return Peer(peer.name, lambda chunk: peer.encode(chunk * white), lambda encoded: peer.decode(encoded) // white)


def _png1_encode(chunk: Chunk) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(chunk.astype(bool)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def sheets(images: Chunk, key: str, columns: int) -> list[Chunk]:
    """Images (n, h, w[, 3]) in rows of `columns` as one image, or as few as WebP allows; the last ones are narrower."""
    n, h, w = images.shape[:3]
    rows = min(n // columns, WEBP_SIDE // h if key == "webp" else n)
    full = images[: n // columns * columns].reshape(-1, columns, *images.shape[1:])
    groups = [full[i : i + rows] for i in range(0, len(full), rows)]
    if n % columns:
        groups.append(images[None, len(full) * columns :])
    return [each.swapaxes(1, 2).reshape(len(each) * h, each.shape[1] * w, *images.shape[3:]) for each in groups]


def sizes(name: str, bits: float, dims: int, papers: dict[str, Published | None]) -> dict[str, Cell]:
    """A row: a size in bits, and the figures of papers."""
    return {
        "codec": name,
        "bytes": round(bits / 8),
        "bits/dim": bits / dims,
        **papers,
        "encode s": None,
        "decode s": None,
    }


def timed(result: Measured, name: str, papers: dict[str, Published | None]) -> dict[str, Cell]:
    """A row of what was measured."""
    dims = round(8 * result.total / result.bits_per_sample)
    seconds = {"encode s": dims / 1e6 / result.encode_mb_s, "decode s": dims / 1e6 / result.decode_mb_s}
    return sizes(name, 8 * result.total, dims, papers) | seconds


def theirs(papers: Papers, key: str) -> dict[str, Published | None]:
    """What the papers say about one codec."""
    return {column: published(*keys, key) for column, keys in papers.items()}


def classical_rows(images: Chunk, papers: Papers, binary: bool = False) -> list[dict[str, Cell]]:
    """Rows of the classical codecs on images (n, h, w[, 3]): general ones on all as one array, image codecs on each
    image and on sheets of all, of one column or as many as rows: the smaller.
    """
    rows = []
    for key in GENERAL:
        peer = general(key, binary)
        rows.append(timed(measure(peer, [images]), peer.name, theirs(papers, key)))
    for key in IMAGE:
        peer = image(key, 3 if images.ndim == 4 else 1, binary)
        rows.append(timed(measure(peer, list(images)), f"{peer.name}, image by image", theirs(papers, key)))
        layouts = {columns: measure(peer, sheets(images, key, columns)) for columns in (1, math.isqrt(len(images)))}
        columns = min(layouts, key=lambda each: layouts[each].total)
        name = f"{peer.name}, sheets of {columns} in a row"
        rows.append(timed(layouts[columns], name, theirs(papers, key)))
    return rows

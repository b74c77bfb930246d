"""Classical codecs for comparison: those of numcodecs for any array; lossless image codecs and pcodec where imagecodecs
is installed. Image codecs code the planes of a chunk one by one.
"""

from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from numcodecs import Blosc, Zstd

from ..chunk.patches import Axes, image_axes
from .harness import Chunk, Peer

PHOTOGRAPHS = ("Blosc lz4", "Zstd", "PNG", "JPEG-LS", "WebP method 6", "JPEG XL effort 7")
SLOW = ("WebP method 6, q 100", "JPEG XL effort 9")
"""Stronger settings."""
ARRAYS = (
    "Zstd",
    "Blosc bitshuffle Zstd 9",
    "delta + Zstd 19",
    "pcodec 12",
    "PNG",
    "JPEG-LS",
    "JPEG 2000",
    "WebP method 6",
    "JPEG XL effort 7",
)
"""The codecs that a user would try first; Zstd is Zarr's default."""


class Plane(NamedTuple):
    """An image codec for planes (h, w) or (h, w, 3) of uint8, and of uint16 if `sixteen_bits`."""

    encode: Callable[[Chunk], bytes | bytearray]
    decode: Callable[[bytes], Any]
    sixteen_bits: bool = True


def classical(chunk: Chunk, names: Sequence[str] = ARRAYS, axes: Axes | None = None) -> list[Peer]:
    """Those of the named codecs that are installed and take chunks like this one.

    Parameters
    ----------
    chunk : ndarray
        One of the chunks. The others have its dtype, and for image codecs of several planes and for pcodec its shape.
    names : sequence of str
    axes : Axes, optional
        The axes of the planes; default: those that `BitSwap` chooses by default.
    """
    axes = axes or image_axes(chunk.shape, "auto", "auto")
    found = []
    for name in names:
        if name in _PLANES:
            if find_spec("imagecodecs") and axes is not None and chunk.dtype.str[1:] in ("u1", "u2", "i2"):
                plane = _PLANES[name]()
                found += [_on_planes(name, plane, chunk, axes)] if plane.sixteen_bits or chunk.itemsize == 1 else []
        else:
            peer = _GENERAL[name](name, chunk)
            found += [peer] if peer else []
    return found


def _blosc(name: str, chunk: Chunk) -> Peer:
    shuffle = Blosc.BITSHUFFLE if "bitshuffle" in name else Blosc.SHUFFLE
    codec = Blosc() if name == "Blosc lz4" else Blosc("zstd", 9, shuffle)
    return Peer(name, codec.encode, codec.decode)


def _zstd(name: str, chunk: Chunk) -> Peer:
    codec = Zstd(19) if name == "Zstd 19" else Zstd()
    return Peer(name, codec.encode, codec.decode)


def _delta(name: str, chunk: Chunk) -> Peer | None:
    codec, dtype = Zstd(19), chunk.dtype

    def encode(chunk: Chunk) -> bytes:
        return bytes(codec.encode(np.diff(chunk.reshape(-1).astype(dtype.newbyteorder("=")), prepend=dtype.type(0))))

    def decode(encoded: bytes) -> Chunk:
        native = dtype.newbyteorder("=")
        return np.cumsum(np.frombuffer(codec.decode(encoded), native), dtype=native).astype(dtype, copy=False)

    return Peer(name, encode, decode) if dtype.kind in "iu" else None


def _pcodec(name: str, chunk: Chunk) -> Peer | None:
    if not find_spec("imagecodecs") or chunk.dtype.kind not in "iuf" or not 2 <= chunk.itemsize <= 8:
        return None
    from imagecodecs import pcodec_decode, pcodec_encode

    shape, dtype = chunk.shape, chunk.dtype
    return Peer(
        name,
        lambda chunk: bytes(pcodec_encode(np.ascontiguousarray(chunk, dtype.newbyteorder("=")), level=12)),
        lambda encoded: pcodec_decode(encoded, shape=shape, dtype=dtype.newbyteorder("=")).astype(dtype),
    )


_GENERAL: dict[str, Callable[[str, Chunk], Peer | None]] = {
    "Blosc lz4": _blosc,
    "Zstd": _zstd,
    "Zstd 19": _zstd,
    "Blosc bitshuffle Zstd 9": _blosc,
    "Blosc shuffle Zstd 9": _blosc,
    "delta + Zstd 19": _delta,
    "pcodec 12": _pcodec,
}


def _png() -> Plane:
    from imagecodecs import PNG, png_decode, png_encode

    return Plane(lambda plane: png_encode(plane, level=9, filter=PNG.FILTER.ALL), png_decode)


def _jpegls() -> Plane:
    """Red and blue as differences from green, modulo all levels: JPEG-LS itself does not use the other channels."""
    from imagecodecs import jpegls_decode, jpegls_encode

    def shifted(plane: Chunk) -> Chunk:
        return np.subtract(plane[..., 1:2], 1 << 8 * plane.itemsize - 1, dtype=plane.dtype)

    def encode(plane: Chunk) -> bytes:
        if plane.ndim == 3:
            plane = plane.copy()
            plane[..., ::2] -= shifted(plane)
        return bytes(jpegls_encode(plane))

    def decode(encoded: bytes) -> Chunk:
        plane = jpegls_decode(encoded)
        if plane.ndim == 3:
            plane[..., ::2] += shifted(plane)
        return np.asarray(plane)

    return Plane(encode, decode)


def _jpeg2000() -> Plane:
    from imagecodecs import jpeg2k_decode, jpeg2k_encode

    return Plane(
        lambda plane: jpeg2k_encode(plane, level=0, codecformat="j2k", reversible=True, numthreads=1), jpeg2k_decode
    )


def _webp(quality: int | None = None) -> Plane:
    """WebP has no gray images; three equal channels cost next to nothing."""
    from imagecodecs import webp_decode, webp_encode

    def encode(plane: Chunk) -> bytes:
        rgb = plane if plane.ndim == 3 else np.repeat(plane[..., None], 3, axis=2)
        return bytes(webp_encode(rgb, quality, lossless=True, method=6, numthreads=1))

    return Plane(encode, webp_decode, sixteen_bits=False)


def jpegxl(effort: int) -> Plane:
    """JPEG XL at an effort of 1 (fast) to 10."""
    from imagecodecs import jpegxl_decode, jpegxl_encode

    return Plane(
        lambda plane: jpegxl_encode(plane, lossless=True, effort=effort, usecontainer=False, numthreads=1),
        lambda encoded: jpegxl_decode(encoded, numthreads=1),
    )


_PLANES: dict[str, Callable[[], Plane]] = {
    "PNG": _png,
    "JPEG-LS": _jpegls,
    "JPEG 2000": _jpeg2000,
    "WebP method 6": _webp,
    "WebP method 6, q 100": lambda: _webp(100),
    "JPEG XL effort 1": lambda: jpegxl(1),
    "JPEG XL effort 3": lambda: jpegxl(3),
    "JPEG XL effort 7": lambda: jpegxl(7),
    "JPEG XL effort 9": lambda: jpegxl(9),
}


def _on_planes(name: str, plane: Plane, chunk: Chunk, axes: Axes) -> Peer:
    """An image codec applied to all planes of a chunk; their sizes are stored if there are several.

    Signed samples are coded as unsigned ones, with the sign bit inverted if any is negative; one byte says so.
    """
    shape, dtype = chunk.shape, chunk.dtype
    unsigned = np.dtype(f"u{dtype.itemsize}")
    several, signed = next(iter(_views(chunk, axes))).size < chunk.size, dtype.kind == "i"
    turn = unsigned.type(1 << 8 * unsigned.itemsize - 1)

    def encode(chunk: Chunk) -> bytes:
        x = chunk.astype(dtype.newbyteorder("="), copy=False).view(unsigned)
        parts = []
        if signed:
            negative = int(chunk.min() < 0)
            parts.append(bytes([negative]))
            x = x ^ turn if negative else x
        for view in _views(x, axes):
            encoded = bytes(plane.encode(np.ascontiguousarray(view)))
            parts += [len(encoded).to_bytes(4, "little"), encoded] if several else [encoded]
        return b"".join(parts)

    def decode(encoded: bytes) -> Chunk:
        images, place = [], int(signed)
        while place < len(encoded):
            length = int.from_bytes(encoded[place : place + 4], "little") if several else len(encoded)
            place += 4 * several
            images.append(plane.decode(encoded[place : place + length]))
            place += length
        sides = {axes.y: images[0].shape[0], axes.x: images[0].shape[1]}
        x = np.empty([sides.get(axis, n) for axis, n in enumerate(shape)], unsigned)
        for view, image in zip(_views(x, axes), images, strict=True):
            view[...] = image[..., 0] if image.ndim > view.ndim else image
        x = x ^ turn if signed and encoded[0] else x
        return x.view(dtype.newbyteorder("=")).astype(dtype, copy=False)

    return Peer(name, encode, decode)


def _views(chunk: Chunk, axes: Axes) -> Iterator[Chunk]:
    """The planes (h, w) or (h, w, 3) of a chunk, as views."""
    colour = axes.channel is not None and chunk.shape[axes.channel] == 3
    picture = (axes.y, axes.x, *([axes.channel] if colour and axes.channel is not None else []))
    moved = np.moveaxis(chunk, picture, range(-len(picture), 0))
    for place in np.ndindex(moved.shape[: -len(picture)]):
        yield moved[place]

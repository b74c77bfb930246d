"""What `make bench-speed` times: every model that can be found, with the codecs that code its natural chunks.

A model with stages codes fields of pixels: its chunks are squares of photographs. One without codes many small pictures
a chunk: digits, or with three channels tiles of photographs; as many of them as give the pixels of such a square.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numcodecs.abc import Codec
from numpy.typing import NDArray

import numcodecs_bitswap
from benchmarks.images import Chunk
from benchmarks.process import PHOTOGRAPH, enlarged
from examples.digits import drawn
from numcodecs_bitswap import zarr3
from numcodecs_bitswap.chunk import frame
from numcodecs_bitswap.chunk.frame import Route
from numcodecs_bitswap.errors import ModelError
from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.train.data import list_images, random_crop, read_image, to_gray

DIGIT = 28
DIGITS = 2048
"""Digits that are drawn; more are these again."""
PROBE = 256
TALLEST = 16383
"""Rows of an image that WebP takes."""

_digits = cache(drawn)


@dataclass(frozen=True, eq=False)
class Subject:
    """A codec with a model, `codec` for numcodecs and `serializer` for Zarr format 3; `net` says what the model is."""

    name: str
    codec: Codec
    serializer: Any
    net: Any


class Pictures:
    """Chunks of photographs and digits, the same in every run; fewer chunks are the first of more.

    Parameters
    ----------
    folder : Path, optional
        Of images. Without it, the photograph that ships with the project.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._images = [read_image(path) for path in (list_images(folder) if folder else [PHOTOGRAPH])]

    def title(self, net: Any, size: int) -> str:
        """Names what `chunks` gives."""
        shape = " x ".join(map(str, self.chunks(net, size, 1)[0].shape))
        if net.stages or net.channels == 3:
            return shape
        return f"{shape} {'binary ' if net.levels == 2 else ''}digits"

    def chunks(self, net: Any, size: int, n: int) -> list[Chunk]:
        """The n first natural chunks of a model; `size` is the side of a square of about as many pixels."""
        if net.stages:
            return self._squares(size, net.channels, n)
        side = DIGIT if net.channels == 1 else 1 << net.patch_log2
        each = max(size * size // side**2, 1)
        if net.channels == 1:
            small = np.resize(_digits(min(n * each, DIGITS)), (n * each, DIGIT, DIGIT))
        else:
            small = np.stack(self._squares(side, 3, n * each))
        if net.levels == 2:
            small = (small > 127).astype(np.uint8)
        return np.split(small, n)

    def _squares(self, size: int, channels: int, n: int) -> list[Chunk]:
        """Squares from anywhere in the images, which may overlap; of an enlarged image if none is large enough."""
        large = [image for image in self._images if min(image.shape[:2]) >= size] or [enlarged(self._images[0], size)]
        rng = np.random.default_rng(0)
        crops = [random_crop(large[k % len(large)], size, rng) for k in range(n)]
        return [np.ascontiguousarray(crop if channels == 3 else to_gray(crop)[0]) for crop in crops]


def sheet(chunk: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A chunk as one image, for image codecs: small pictures one below the other, in columns if there are many."""
    colour = chunk.shape[-1] == 3
    if chunk.ndim == 2 + colour:
        return chunk
    n, height, width = chunk.shape[:3]
    columns = next(k for k in range(1, n + 1) if n % k == 0 and n // k * height <= TALLEST)
    table = chunk.reshape(n // columns, columns, *chunk.shape[1:]).swapaxes(1, 2)
    return np.ascontiguousarray(table).reshape(-1, columns * width, *chunk.shape[3:])


def subjects(models: Iterable[str], pictures: Pictures) -> list[Subject]:
    """Each model with each codec that codes it; a codec whose frames are another's but for its name is left out, and so
    are the models of planes and of JPEG coefficients, which `benchmarks.rate`, `stacks` and `jpeg` time.
    """
    found = []
    for model in models:
        if catalog.kind_of(model) in ("planes", "jpeg"):
            continue
        net, payloads = catalog.load(model, "cpu").net, []
        for codec_class, serializer_class in _codecs():
            codec = codec_class(model=model)
            try:
                encoded = codec.encode(pictures.chunks(net, PROBE, 1)[0])
            except ModelError:  # a model of another kind than the codec's
                continue
            header, payload = frame.parse(memoryview(encoded))
            if header.route == Route.MODEL and payload not in payloads:
                payloads.append(payload)
                name = f"{codec_class.__name__} {model}"
                found.append(Subject(name, codec, serializer_class(model=model), net))
    return found


def stored(subject: Subject, chunks: Iterable[Chunk]) -> int:
    """How many chunks the model does not code, since another route is shorter."""
    headers = (frame.parse(memoryview(subject.codec.encode(chunk)))[0] for chunk in chunks)
    return sum(header.route != Route.MODEL for header in headers)


def _codecs() -> list[tuple[type[Codec], Any]]:
    """The package's codecs for numcodecs, each with its serializer."""
    public = [getattr(numcodecs_bitswap, name) for name in numcodecs_bitswap.__all__]
    codecs = [each for each in public if isinstance(each, type) and issubclass(each, Codec)]
    return [(each, getattr(zarr3, f"{each.__name__}Codec")) for each in reversed(codecs)]

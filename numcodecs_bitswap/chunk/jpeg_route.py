"""The JPEG route: images that were decoded from JPEG files <-> the payload of FORMAT.md 1.7. No torch.

For each image the payload holds the JPEG coefficients of its whole MCUs, the differences between its pixels and the
decoded ones, and the pixels around the MCUs. Decoding uses integers only. Errors in the recovered coefficients only
cost bytes.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from math import prod
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError
from ..jpeg import decoding, tables
from ..jpeg.coefficients import ORDER_OF, Coding, Grid, bands, require_bytes
from ..jpeg.finding import Found, find
from ..jpeg.model import CoefficientModel
from ..jpeg.picture import SAMPLINGS, Colour, Component, Picture, Ring
from ..models import catalog
from ..planes.threads import run_parts
from . import frame, plane_route
from .fields import Reader, packed, sized, unzip, varints
from .frame import NO_CHANNEL, Header, Route
from .patches import Axes

Pixels = NDArray[np.uint8]
Coded = tuple[int, memoryview]
COLOURS: tuple[Colour, ...] = "gray", "ycbcr", "rgb"
SAME, STANDARD, FREE = 0, 1, 255
"""Codes for steps: equal to the previous component's; 1 .. 200, the standard table of a quality; given explicitly."""
STORED, PLANES = 0, 1
"""Codes for an array of pixels: packed, or coded by the plane coder."""
LEAST_RECORD = 8
"""Bytes of an image's shortest record."""


def images(array: NDArray[Any], axes: Axes) -> Iterator[Pixels]:
    """The images (H, W) or (H, W, 3) of an array, as views."""
    own = [axis for axis in (axes.y, axes.x, axes.channel) if axis is not None]
    leading = [axis for axis in range(array.ndim) if axis not in own]
    moved = array.transpose([*leading, *own])
    for index in product(*(range(n) for n in moved.shape[: len(leading)])):
        image = moved[index]
        yield image[..., 0] if len(own) == 3 and image.shape[2] == 1 else image


def encode(array: NDArray[Any], axes: Axes, model: str, pixel_models: list[str]) -> bytes | None:
    """The payload of an array, or None unless all of its images were decoded from JPEG files.

    Parameters
    ----------
    array : uint8
    axes : Axes
        With 1 or 3 channels, if any.
    model, pixel_models : names or ids
        A model of kind `jpeg`, and models of the plane coder for pixels and differences.
    """
    records = []
    loaded = None
    for image in images(array, axes):
        image = np.ascontiguousarray(image)
        found = find(image)
        if found is None:
            return None
        loaded = loaded or catalog.load(model, "cpu")
        records.append(_image(image, found, cast(CoefficientModel, loaded.net), pixel_models))
    if loaded is None:
        return None
    channel = NO_CHANNEL if axes.channel is None else axes.channel
    return bytes([axes.y, axes.x, channel]) + loaded.id + b"".join(records)


def _image(image: Pixels, found: Found, model: CoefficientModel, pixel_models: list[str]) -> bytes:
    """The record of an image; inverse of `Record`."""
    picture = found.picture
    order = ORDER_OF[picture.colour]
    components = [picture.components[k] for k in order]
    kind = COLOURS.index(picture.colour) | picture.reversed << 2 | SAMPLINGS.index(picture.sampling) << 3
    rows, columns, _ = picture.components[0].coefficients.shape
    parts = [bytes([kind]), varints([*picture.offset, rows, columns])]
    before = None
    for component in components:
        parts.append(_steps(component.steps, before))
        before = component.steps
    grids = _grids(picture.colour, picture.sampling, rows, columns)
    steps, numbers = zip(*((each.steps, each.coefficients) for each in components), strict=True)
    coding, strips = Coding(model, picture.colour, grids, steps), _strips(image, picture.offset, picture.size)
    calls: list[Callable[[], bytes]] = [
        lambda: b"".join(sized(each) for each in coding.encode_bands(numbers)),
        partial(_differences, image[picture.region()], found.pixels, pixel_models),
        *(partial(_pixels, np.concatenate(each), pixel_models) for each in strips),
    ]
    coefficients, *others = run_parts(calls)
    parts.append(coefficients)
    if picture.sampling != (1, 1):
        parts += [_ring(component, ring) for component, ring in zip(picture.components[1:], picture.outer, strict=True)]
    return b"".join([*parts, *others])


class Decoding:
    """A payload, checked as far as possible without decoding; `array()` decodes. Inverse of `encode`.

    Raises
    ------
    FormatError
        The payload is damaged.
    MissingModel
        Its model is not installed.
    """

    def __init__(self, header: Header, data: memoryview) -> None:
        reader = Reader(data)
        if header.dtype.str != "|u1" or header.nbytes == 0:
            raise FormatError(f"the JPEG route holds uint8 images, not {header.dtype} of shape {header.shape}")
        self.shape, self.axes = header.shape, Axes(*frame.read_axes(reader, header.shape))
        height, width = self.shape[self.axes.y], self.shape[self.axes.x]
        channels = 1 if self.axes.channel is None else self.shape[self.axes.channel]
        self.model = cast(CoefficientModel, catalog.load_named(bytes(reader.take(16, "model id")), "jpeg").net)
        count = header.nbytes // (height * width * channels)
        if count * LEAST_RECORD > reader.left:
            raise FormatError(f"{reader.left} bytes are too few for {count} images")
        self.records = [Record(reader, (height, width), channels) for _ in range(count)]
        if reader.left:
            raise FormatError(f"{reader.left} bytes follow the last record")

    def array(self) -> NDArray[Any]:
        """Decode the array, in C order."""
        array = np.empty(self.shape, np.uint8)
        for record, image in zip(self.records, images(array, self.axes), strict=True):
            record.decode(self.model, image)
        return array


class Record:
    """The record of an image in a payload; inverse of `_image`."""

    def __init__(self, reader: Reader, size: tuple[int, int], channels: int) -> None:
        kind = reader.byte("kind of image")
        if kind & 3 == 3 or kind >= 8 * len(SAMPLINGS):
            raise FormatError(f"kind of image {kind} is unknown: the frame was written by a newer version, upgrade")
        self.colour, self.reversed = COLOURS[kind & 3], bool(kind >> 2 & 1)
        self.sampling = SAMPLINGS[kind >> 3]
        top, left, rows, columns = (reader.varint(what) for what in ("top", "left", "rows", "columns"))
        fits = top + 8 * rows <= size[0] and left + 8 * columns <= size[1] and rows and columns
        if not fits or (channels == 1) != (self.colour == "gray") or (self.colour != "ycbcr" and kind >> 2):
            raise FormatError(f"{rows} x {columns} blocks of kind {kind} do not fit an image of {size} x {channels}")
        if rows % self.sampling[0] or columns % self.sampling[1]:
            raise FormatError(f"{rows} x {columns} blocks are not whole MCUs")
        self.offset, self.grids = (top, left), _grids(self.colour, self.sampling, rows, columns)
        self.steps: list[NDArray[np.uint16]] = []
        for _ in self.grids:
            self.steps.append(_read_steps(reader, self.steps[-1] if self.steps else None))
        self.coefficients = []
        for band in bands(self.grids):
            self.coefficients.append(reader.sized("coefficients"))
            require_bytes([grid for _, grid in band], len(self.coefficients[-1]))
        self.rings = [_read_sides(reader) for _ in range(0 if self.sampling == (1, 1) else 2)]
        if (code := reader.byte("differences")) > 1:
            raise FormatError(f"kind of differences {code} is unknown")
        self.wrong = reader.sized("blocks") if code else None
        self.differences = _read_coded(reader) if code else None
        nothing = np.broadcast_to(np.uint8(0), size)
        self.strips = [_read_coded(reader) for _ in _strips(nothing, self.offset, (8 * rows, 8 * columns))]

    def decode(self, model: CoefficientModel, image: Pixels) -> None:
        """Fill an image, (H, W) or (H, W, 3)."""
        rows, columns = self.grids[0][:2]
        inner = image[self.offset[0] :, self.offset[1] :][: 8 * rows, : 8 * columns]
        strips = _strips(image, self.offset, (8 * rows, 8 * columns))
        calls: list[Callable[[], Any]] = [partial(self._picture, model)]
        if self.wrong is not None and self.differences is not None:
            calls.append(partial(_differences_of, self.wrong, self.differences, inner.shape))
        calls += [partial(_fill, group, coded) for group, coded in zip(strips, self.strips, strict=True)]
        picture, *others = run_parts(calls)
        inner[...] = picture if self.wrong is None else _corrected(picture, *others[0])

    def _picture(self, model: CoefficientModel) -> Pixels:
        """The pixels of the coefficients."""
        numbers = Coding(model, self.colour, self.grids, self.steps).decode_bands(self.coefficients)
        coded = [Component(*each) for each in zip(self.steps, numbers, strict=True)]
        order = ORDER_OF[self.colour]
        components = tuple(coded[order.index(k)] for k in range(len(order)))
        rings = [_ring_of(*each) for each in zip(self.rings, components[1:], strict=False)] or [Ring(), Ring()]
        outer = rings[0], rings[1]
        return decoding.pixels(Picture(self.colour, self.sampling, self.offset, components, outer, self.reversed))


def _grids(colour: str, sampling: tuple[int, int], rows: int, columns: int) -> list[Grid]:
    """The grids of the components, in coding order: the first one is never subsampled."""
    sy, sx = sampling
    other = Grid(rows // sy, columns // sx, sy, sx)
    return [Grid(rows, columns, 1, 1), other, other][: 1 if colour == "gray" else 3]


def _steps(steps: NDArray[np.uint16], before: NDArray[np.uint16] | None) -> bytes:
    if before is not None and np.array_equal(steps, before):
        return bytes([SAME])
    known = (tables.standard().reshape(-1, 64) == steps).all(1)
    if known.any():
        return bytes([STANDARD + int(known.argmax())])
    return bytes([FREE]) + packed(steps)


def _read_steps(reader: Reader, before: NDArray[np.uint16] | None) -> NDArray[np.uint16]:
    """Inverse of `_steps`."""
    code = reader.byte("steps")
    if code == SAME and before is not None:
        return before
    if code == FREE:
        steps = reader.unpack(np.dtype(np.uint16), 64, "steps")
        if not steps.all():
            raise FormatError("a quantisation step is 0")
        return steps
    standard = tables.standard().reshape(-1, 64)
    if not STANDARD <= code < STANDARD + len(standard):
        raise FormatError(f"quantisation table {code} is unknown")
    return np.ascontiguousarray(standard[code - STANDARD])


def _edges(component: Component) -> list[Pixels]:
    """The component's samples next to each side of its ring: top and bottom with the corners, left, right."""
    plane = decoding.surrounded(decoding.samples(component), Ring())
    return [plane[0], plane[-1], plane[1:-1, 0], plane[1:-1, -1]]


def _ring(component: Component, ring: Ring) -> bytes:
    """The given sides of a ring, as differences to the samples next to them."""
    sides = [ring.top, ring.bottom, ring.left, ring.right]
    given = sum(1 << k for k, side in enumerate(sides) if side is not None)
    found = [side - edge for side, edge in zip(sides, _edges(component), strict=True) if side is not None]
    return bytes([given]) + (packed(np.concatenate(found)) if found else b"")


def _read_sides(reader: Reader) -> tuple[int, memoryview | None]:
    """The set of sides that are given, and their bytes."""
    given = reader.byte("sides of a ring")
    if given > 15:
        raise FormatError(f"set of ring sides {given} is unknown")
    return given, reader.sized("ring") if given else None


def _ring_of(sides: tuple[int, memoryview | None], component: Component) -> Ring:
    """Inverse of `_ring`."""
    given, data = sides
    if data is None:
        return Ring()
    edges = _edges(component)
    chosen = [k for k in range(4) if given >> k & 1]
    numbers = unzip(data, sum(len(edges[k]) for k in chosen))
    parts = np.split(numbers, np.cumsum([len(edges[k]) for k in chosen])[:-1])
    found: list[Pixels | None] = [None] * 4
    for k, part in zip(chosen, parts, strict=True):
        found[k] = part + edges[k]
    return Ring(*found)


def _differences(pixels: Pixels, decoded: Pixels, models: list[str]) -> bytes:
    """The differences between pixels and decoded pixels, for the blocks that have any."""
    blocks, known = _blocks(pixels), _blocks(decoded)
    wrong = (blocks != known).any(-1)
    if not wrong.any():
        return bytes([0])
    found = blocks[wrong] - known[wrong] + np.uint8(128)
    channels = 1 if pixels.ndim == 2 else 3
    shaped = found.reshape(-1, 8, channels) if channels == 3 else found.reshape(-1, 8)
    return bytes([1]) + packed(np.packbits(wrong)) + _pixels(shaped, models)


def _differences_of(wrong: memoryview, coded: Coded, shape: tuple[int, ...]) -> tuple[NDArray[np.bool_], Pixels]:
    """The blocks (rows, columns) of a picture that have differences, and these; inverse of `_differences`."""
    rows, columns = shape[0] // 8, shape[1] // 8
    bits = np.unpackbits(unzip(wrong, (rows * columns + 7) // 8), count=rows * columns).astype(bool)
    n = int(bits.sum())
    if n == 0:
        raise FormatError("differences are given, but no block has any")
    return bits.reshape(rows, columns), _pixels_of(coded, (8 * n, 8, *shape[2:]))


def _corrected(decoded: Pixels, wrong: NDArray[np.bool_], differences: Pixels) -> Pixels:
    """Pixels restored from decoded ones."""
    blocks = _blocks(decoded).copy()
    blocks[wrong] += differences.reshape(-1, blocks.shape[2]) - np.uint8(128)
    return _joined(blocks, decoded.shape)


def _blocks(pixels: Pixels) -> Pixels:
    """Pixels as blocks (rows, columns, 64 or 192); inverse of `_joined`."""
    h, w = pixels.shape[:2]
    blocks = pixels.reshape(h // 8, 8, w // 8, 8, -1).swapaxes(1, 2)
    return blocks.reshape(h // 8, w // 8, -1)


def _joined(blocks: Pixels, shape: tuple[int, ...]) -> Pixels:
    """Inverse of `_blocks`."""
    rows, columns, _ = blocks.shape
    return blocks.reshape(rows, columns, 8, 8, -1).swapaxes(1, 2).reshape(shape)


def _strips(image: Pixels, offset: tuple[int, int], inner: tuple[int, int]) -> list[list[Pixels]]:
    """Views of the parts of an image around its whole MCUs, without empty ones, in groups that are coded as one array:
    those above and below; those on the left and on the right, with rows and columns exchanged.
    """
    (top, left), (height, width) = offset, inner
    beside = image[top : top + height].swapaxes(0, 1)
    groups = [image[:top], image[top + height :]], [beside[:left], beside[left + width :]]
    found = [[part for part in group if part.size] for group in groups]
    return [group for group in found if group]


def _pixels(pixels: Pixels, models: list[str]) -> bytes:
    """Bytes of pixels (h, w) or (h, w, 3): from the plane coder, or packed if that is no larger."""
    pixels = np.ascontiguousarray(pixels)
    as_they_are = packed(pixels)
    coded = plane_route.encode(pixels, Axes(0, 1, 2 if pixels.ndim == 3 else None), models)
    if coded is not None and len(sized(coded)) < len(as_they_are):
        return bytes([PLANES]) + sized(coded)
    return bytes([STORED]) + as_they_are


def _read_coded(reader: Reader) -> Coded:
    """The code of an array of pixels, and its bytes."""
    if (code := reader.byte("kind of pixels")) not in (STORED, PLANES):
        raise FormatError(f"kind of pixels {code} is unknown")
    return code, reader.sized("pixels")


def _pixels_of(coded: Coded, shape: tuple[int, ...]) -> Pixels:
    """Inverse of `_pixels`."""
    code, data = coded
    if code == STORED:
        return unzip(data, prod(shape)).reshape(shape)
    header = Header(Route.PLANES, 0, "C", np.dtype("|u1"), shape)
    return plane_route.Decoding(header, data).array()


def _fill(parts: list[Pixels], coded: Coded) -> None:
    """Fill parts of an image that are coded as one array."""
    heights = [len(part) for part in parts]
    pixels = _pixels_of(coded, (sum(heights), *parts[0].shape[1:]))
    for part, each in zip(parts, np.split(pixels, np.cumsum(heights)[:-1]), strict=True):
        part[...] = each

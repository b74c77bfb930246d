"""A decoder of numcodecs_bitswap frames, written from FORMAT.md alone and in the order of that page.

It is made to be read: the message is plain Python integers, the networks are numpy int64, the tables are computed anew
with `decimal`. Section 1.4 is in `samples`, section 3 in `distributions`, section 7 in `networks`, flows are in `flow`,
sections 9 and 10 in `planes` and `labels`, sections 11 and 12 in `jpeg`. None of them imports torch or anything of the
package, so that the package can be held against the page.
"""

import json
import math
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numcodecs import Zstd
from numpy.typing import NDArray

from reference.distributions import (
    Block,
    GaussianBuckets,
    Ints,
    Listed,
    Mixture,
    Uniform,
    bernoulli,
    beta_binomial,
    categorical,
    edge,
)
from reference.flow import decode_flow
from reference.jpeg import (
    JpegModel,
    Sides,
    decode_coefficients,
    samples_of,
    sides_without_ring,
    table_of_quality,
    upsample,
)
from reference.labels import decode_labels, plane_array
from reference.networks import FrameError, Model, require
from reference.planes import PlaneModel, decode_tile
from reference.samples import Samples

FindModel = Callable[[bytes], str | Path]


# ---- Conventions


class Reader:
    """Takes fields from the front of some bytes; `rest` is what is left."""

    def __init__(self, data: bytes) -> None:
        self.rest = data

    def take(self, count: int) -> bytes:
        require(count <= len(self.rest), "the frame holds all of its fields")
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken

    def integer(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def varint(self) -> int:
        value = 0
        for k in range(9):
            byte = self.integer(1)
            value |= (byte & 127) << 7 * k
            if byte < 128:
                require(byte > 0 or k == 0, "a varint has its shortest form")
                return value
        raise FrameError("broken rule: a varint has at most 9 bytes")


# ---- 1. Frame


def decode(frame: bytes, find_model: FindModel, limit: int = 2**62) -> NDArray[Any]:
    """The array of a frame, with dtype, shape and memory order as encoded.

    `find_model` gives the path of the model file with an id (16 bytes); `limit` is the largest decoded size to allow,
    in bytes. Raises FrameError where the frame or the model file breaks a rule of FORMAT.md.
    """
    reader = Reader(frame)
    require(reader.take(3) == b"\x89BS", "magic")
    require(reader.integer(1) == 1, "version 1")
    codec = reader.integer(1)
    require(codec in CODECS, "codec 1..3")
    route = reader.integer(1)
    require(reader.integer(4) == zlib.crc32(frame[:6] + frame[10:]), "frame checksum")
    content_checksum = reader.integer(4)
    layout = reader.integer(1)
    require(route <= 8, "route 0..8")
    require(layout <= 1, "layout 0..1")
    dtype = read_dtype(reader.take(reader.varint()))
    ndim = reader.varint()
    require(ndim <= 64, "ndim 0..64")
    shape = tuple(reader.varint() for _ in range(ndim))
    require(math.prod(n for n in (*shape, dtype.itemsize) if n) <= 2**62, "a product of at most 2^62")
    size = math.prod(shape) * dtype.itemsize
    require(size <= limit, "decoded size that the caller allows")
    require(size > 0 or (route == 0 and not reader.rest), "an array of size 0 is raw, without payload")

    order: Any = "CF"[layout]
    if route == 4:
        require(dtype.str == "|u1", "a model payload is of |u1")
        array = np.asarray(model_payload(reader, codec, shape, find_model), order=order)
    elif route == 5:
        array = np.asarray(planes_payload(reader, dtype, shape, find_model), order=order)
    elif route == 7:
        require(dtype.str == "|u1", "a JPEG payload is of |u1")
        array = np.asarray(jpeg_payload(reader, shape, find_model), order=order)
    elif route == 8:
        data = fields_payload(reader, dtype, shape if layout == 0 else shape[::-1], find_model)
        array = np.ndarray(shape, dtype, bytearray(data), order=order)
    else:
        data = stored_payload(route, reader.rest, math.prod(shape), dtype.itemsize)
        array = np.ndarray(shape, dtype, bytearray(data), order=order)
    require(zlib.crc32(array.tobytes(order)) == content_checksum, "content checksum")
    return array


def read_dtype(text: bytes) -> np.dtype[Any]:
    try:
        if text.startswith(b"["):
            dtype = np.lib.format.descr_to_dtype(descr_from_json(json.loads(text)))
            numpys_own = json.dumps(dtype.descr, separators=(",", ":"))
        else:
            dtype = np.dtype(text.decode())
            numpys_own = dtype.str
    except Exception as error:  # numpy has many ways to say no
        raise FrameError(f"broken rule: dtype ({error})") from error
    require(numpys_own.encode() == text, "the dtype is in numpy's own form")
    require(dtype.kind in "biufcmMSUV" and not dtype.hasobject, "a dtype of these kinds, without objects")
    return dtype


def descr_from_json(fields: list[Any]) -> list[Any]:
    """JSON has no tuples: a field, its (title, name) and its shape were tuples, a nested descr was a list."""
    return [
        (
            tuple(name) if isinstance(name, list) else name,
            descr_from_json(kind) if isinstance(kind, list) else kind,
            *(tuple(shape) for shape in shapes),
        )
        for name, kind, *shapes in fields
    ]


# ---- 1.8 Fields payload


def fields_payload(reader: Reader, dtype: np.dtype[Any], shape: tuple[int, ...], find_model: FindModel) -> bytes:
    """The decoded bytes, in the memory order of the layout, in which the array has this shape."""
    require(dtype.names is not None, "a fields payload is of a structured dtype")
    columns = []
    for _, kind, *shapes in dtype.descr:
        field = np.lib.format.descr_to_dtype(kind) if isinstance(kind, list) else np.dtype(kind)
        own = shapes[0] if shapes else ()
        if field.itemsize * math.prod(own) == 0:
            continue
        frame = reader.take(reader.varint())
        require(len(frame) > 10 and frame[5] != 4 and frame[10 + 4] == 0, "a field's frame of layout 0, not of route 4")
        part = decode(frame, find_model, math.prod((*shape, *own)) * field.itemsize)
        require((part.dtype, part.shape) == (field, (*shape, *own)), "a field's frame has its dtype and shape")
        columns.append(np.frombuffer(part.tobytes(), np.uint8).reshape(math.prod(shape), -1))
    require(not reader.rest, "nothing behind the last field")
    return np.concatenate(columns, axis=1).tobytes()


# ---- 1.1 Stored payloads


def stored_payload(route: int, payload: bytes, items: int, itemsize: int) -> bytes:
    """The decoded bytes, in the memory order of the layout."""
    if route == 3:
        require(len(payload) == itemsize, "a constant payload is one item")
        return payload * items
    if route != 0:
        payload = unpack(payload, items * itemsize)
    require(len(payload) == items * itemsize, "a payload of the decoded size")
    if route == 2:
        return np.frombuffer(payload, np.uint8).reshape(itemsize, items).T.tobytes()
    if route == 6:
        bits = np.unpackbits(np.frombuffer(payload, np.uint8))
        return np.packbits(bits.reshape(8 * itemsize, items).T).tobytes()
    return payload


def unpack(payload: bytes, size: int) -> bytes:
    """The content of exactly one Zstandard frame; its outline is that of RFC 8878, section 3.1.1."""
    reader = Reader(payload)
    require(reader.integer(4) == 0xFD2FB528, "a Zstandard frame")
    flags = reader.integer(1)
    single_segment = flags >> 5 & 1
    reader.take(1 - single_segment + (0, 1, 2, 4)[flags & 3])  # window, dictionary
    width = (single_segment, 2, 4, 8)[flags >> 6]
    require(width > 0, "the Zstandard frame states its content size")
    require(reader.integer(width) + 256 * (width == 2) == size, "the Zstandard content size is the decoded size")
    last = 0
    while not last:
        block = reader.integer(3)
        last, repeated = block & 1, block >> 1 & 3 == 1
        reader.take(1 if repeated else block >> 3)
    reader.take(4 * (flags >> 2 & 1))  # checksum
    require(not reader.rest, "nothing after the one Zstandard frame")
    try:
        return bytes(Zstd().decode(payload))
    except RuntimeError as error:
        raise FrameError(f"broken rule: a Zstandard frame ({error})") from error


# ---- 1.2 Model payload


def model_payload(reader: Reader, codec: int, shape: tuple[int, ...], find_model: FindModel) -> NDArray[np.uint8]:
    model_id = reader.take(16)
    y, x, channel = read_axes(reader, shape)
    patch_log2 = reader.integer(1)
    require(3 <= patch_log2 <= 12, "patch log2 3..12")
    lanes = reader.varint()
    require(1 <= lanes <= 65536, "lanes 1..65536")
    groups = reader.varint()
    require(groups >= 1, "one group or more")
    schedule = [divmod(reader.varint(), 2) for _ in range(groups)]  # (patches, core mode)
    require(min(schedule)[0] >= 1, "a group has one patch or more")
    words = reader.varint()
    heads = np.frombuffer(reader.take(4 * lanes), "<u4").tolist()
    tail = list(reader.take(words))
    require(min(heads) >= 2**24, "heads in [2^24, 2^32)")
    require(not reader.rest, "the payload ends after the tail")

    model = Model(find_model(model_id), model_id)
    channels = shape[channel] if channel != 255 else 1
    require(channels == model.channels, "channels of the model")
    require((codec == 3) == (model.kind == "flow"), "codec 3 codes flows, and no other")

    # 1.3 From patches to the array
    leading = [n for axis, n in enumerate(shape) if axis not in (y, x, channel)]
    images = np.zeros((math.prod(leading), shape[y], shape[x], channels), np.int64)
    message = Message(heads, tail)
    for tiles, mode in reversed(cut_into_groups(tile(*images.shape[:3], 1 << patch_log2), schedule)):
        h, w = tiles[0][3:]
        field = decode_field(model, message, CODECS[codec][mode], len(tiles), h, w)
        for (n, top, left, _, _), pixels in zip(tiles, field, strict=True):
            images[n, top : top + h, left : left + w] = pixels
    require(message.is_empty(), "the message is empty after the last group")
    return array_of_images(images, leading, (y, x, channel))


def read_axes(reader: Reader, shape: tuple[int, ...]) -> tuple[int, int, int]:
    y, x, channel = reader.take(3)
    require(len({y, x, channel}) == 3, "the three axes differ")
    require(max(y, x) < len(shape) and (channel < len(shape) or channel == 255), "axes of the array")
    return y, x, channel


# ---- 1.3 From patches to the array


def array_of_images(images: Ints, leading: list[int], axes: tuple[int, int, int]) -> NDArray[np.uint8]:
    array = images.astype(np.uint8).reshape(*leading, *images.shape[1:])
    if axes[2] == 255:
        return np.moveaxis(array[..., 0], (-2, -1), axes[:2])
    return np.moveaxis(array, (-3, -2, -1), axes)


Tile = tuple[int, int, int, int, int]  # image, top, left, h, w


def tile(images: int, height: int, width: int, patch: int) -> list[Tile]:
    """All tiles, sorted into shape classes."""
    classes: dict[tuple[int, int], list[Tile]] = {}  # in the order of first occurrence
    for n in range(images):
        for top in range(0, height, patch):
            for left in range(0, width, patch):
                h, w = min(patch, height - top), min(patch, width - left)
                classes.setdefault((h, w), []).append((n, top, left, h, w))
    return [tile for tiles in classes.values() for tile in tiles]


def cut_into_groups(tiles: list[Tile], schedule: Sequence[tuple[int, int]]) -> list[tuple[list[Tile], int]]:
    """The tiles and the core mode of each group, in encoding order."""
    require(sum(size for size, _ in schedule) == len(tiles), "the groups hold all patches")
    groups = []
    for size, mode in schedule:
        group, tiles = tiles[:size], tiles[size:]
        require(len({t[3:] for t in group}) == 1, "a group holds patches of one class")
        require(size == 1 or size * math.prod(group[0][3:]) <= 2**19, "several patches have 2^19 pixels or less")
        groups.append((group, mode))
    return groups


# ---- 1.5 Planes payload; the samples of 1.4 are in `samples`


def planes_payload(reader: Reader, dtype: np.dtype[Any], shape: tuple[int, ...], find_model: FindModel) -> NDArray[Any]:
    samples = Samples(reader, dtype, shape, unpack)
    coder = reader.integer(1)
    require(coder <= 1, "coder 0..1")
    numbers = coded_labels(reader, samples) if coder == 1 else coded_planes(reader, samples, find_model)
    if samples.kind != 3:
        return samples.array(numbers)
    require(int(numbers.max()) <= 255 and not samples.low.rest, "luma and chroma are 0..255, without low bits")
    colours = np.stack(red_green_blue(*np.moveaxis(numbers, samples.colour, 0)), samples.colour)
    return colours.astype(np.uint8).view(dtype)


def coded_labels(reader: Reader, samples: Samples) -> Ints:
    axis, m = reader.integer(1), reader.varint()
    require(axis == 255 or axis in samples.leading, "a leading axis")
    require(m < 2**32, "m below 2^32")
    data = reader.take(reader.varint())
    require(not reader.rest, "the payload ends after the labels")
    references = [places[0] if places else -1 for places in earlier_planes(samples, [(axis, 1)] if axis < 255 else [])]
    planes = decode_labels(data, samples.planes_shape(samples.order), references, m)
    return plane_array(planes, samples.order, samples.axes)


def earlier_planes(samples: Samples, references: list[tuple[int, int]]) -> list[list[int]]:
    """Section 9.1: of each plane, the numbers of its references."""
    sizes = [samples.order[axis] for axis in samples.leading]
    numbers = np.arange(math.prod(sizes)).reshape(sizes)
    found: list[list[int]] = []
    for index in np.ndindex(*sizes):
        axes = [(samples.leading.index(axis), distance) for axis, distance in references]
        places = [(*index[:k], index[k] - distance, *index[k + 1 :]) for k, distance in axes]
        found.append([int(numbers[place]) for place in places if min(place) >= 0])
    return found


def coded_planes(reader: Reader, samples: Samples, find_model: FindModel) -> Ints:
    shape, (y, x), leading = samples.order, samples.axes, samples.leading
    model_id = reader.take(16)
    count = reader.integer(1)
    require(count <= 3, "references 0..3")
    references = [(reader.integer(1), reader.varint()) for _ in range(count)]
    require(all(axis in leading and distance in range(1, 2**32) for axis, distance in references), "references")
    permuted = reader.integer(1)
    require(permuted == 255 or (permuted in leading and shape[permuted] <= 256), "an axis that can be permuted")
    permutation = list(reader.take(shape[permuted])) if permuted != 255 else []
    require(sorted(permutation) == [*range(len(permutation))], "a permutation")
    n = reader.varint()
    require(n in range(1, 2**22), "n 1..2^22 - 1")
    messages = []
    sizes = [shape[axis] for axis in leading]
    tiles = plane_tiles(shape[y], shape[x])
    for _, _, h, w in tiles:
        words = reader.varint()
        lanes = min(2 ** (max(math.prod(sizes) * h * w // 8192, 1).bit_length() - 1), 128)
        heads = np.frombuffer(reader.take(4 * lanes), "<u4").tolist()
        require(min(heads) >= 2**24, "heads in [2^24, 2^32)")
        messages.append(Message(heads, list(reader.take(words))))
    require(not reader.rest, "the payload ends after the last tile")
    model = PlaneModel(find_model(model_id), model_id)

    # 9.1 Planes
    earlier = earlier_planes(samples, references)
    planes = np.zeros((len(earlier), shape[y], shape[x]), np.int64)
    for (top, left, h, w), message in zip(tiles, messages, strict=True):
        tile = decode_tile(model, message.pop, earlier, (len(earlier), h, w), n)
        require(message.is_empty(), "the message is empty after the last plane")
        planes[:, top : top + h, left : left + w] = tile
    coded = plane_array(planes, shape, samples.axes)
    array = coded.copy()
    for k, place in enumerate(permutation):
        array[(slice(None),) * permuted + (place,)] = coded[(slice(None),) * permuted + (k,)]
    return array


def plane_tiles(height: int, width: int) -> list[tuple[int, int, int, int]]:
    """Top, left, h, w."""
    return [
        (top, left, min(256, height - top), min(256, width - left))
        for top in range(0, height, 256)
        for left in range(0, width, 256)
    ]


# ---- 1.6 Luma and chroma


def red_green_blue(luma: Ints, cb: Ints, cr: Ints) -> list[Ints]:
    b, r = cb - 128, cr - 128
    parts = (91881 * r, -22554 * b - 46802 * r, 116130 * b)
    return [(luma + (part + 32768 >> 16)).clip(0, 255) for part in parts]


# ---- 1.7 JPEG payload

SAMPLINGS = [(1, 1), (2, 2), (1, 2), (2, 1)]


def jpeg_payload(reader: Reader, shape: tuple[int, ...], find_model: FindModel) -> NDArray[np.uint8]:
    axes = y, x, channel = read_axes(reader, shape)
    channels = shape[channel] if channel != 255 else 1
    require(channels in (1, 3), "1 or 3 channels")
    model_id = reader.take(16)
    model = JpegModel(find_model(model_id), model_id)
    leading = [n for axis, n in enumerate(shape) if axis not in axes]
    images = np.zeros((math.prod(leading), shape[y], shape[x], channels), np.int64)
    for image in images:
        jpeg_image(reader, image, model, find_model)
    require(not reader.rest, "the payload ends after the last image")
    return array_of_images(images, leading, axes)


def jpeg_image(reader: Reader, image: Ints, model: JpegModel, find_model: FindModel) -> None:
    """Fills an image (H, W, c)."""
    H, W, c = image.shape
    kind = reader.integer(1)
    colour, reversed_, sampling_code = kind & 3, kind >> 2 & 1, kind >> 3
    require(colour <= 2 and (colour == 0) == (c == 1), "a colour of as many channels")
    require(sampling_code <= 3, "sampling 0..3")
    require(colour == 1 or (reversed_ == 0 and sampling_code == 0), "luma and chroma alone are reversed or sampled")
    sampling = SAMPLINGS[sampling_code]
    top, left, rows, columns = (reader.varint() for _ in range(4))
    require(rows > 0 and columns > 0, "a region that is not empty")
    bottom, right = top + 8 * rows, left + 8 * columns
    require(bottom <= H and right <= W, "a region in the image")
    require(rows % sampling[0] == 0 and columns % sampling[1] == 0, "whole MCUs")
    sizes = [(rows, columns)] + [(rows // sampling[0], columns // sampling[1])] * (c - 1)
    steps: list[list[int]] = []
    for _ in sizes:
        steps.append(read_steps(reader, steps))
    bands = []
    for first in range(0, rows, 64):
        count = min(64, rows - first)
        part = [(count, columns)] + [(count // sampling[0], columns // sampling[1])] * (c - 1)
        bands.append(decode_coefficients(model, reader.take(reader.varint()), colour, part, steps))
    coefficients = [np.concatenate(each) for each in zip(*bands, strict=True)]

    # 12 Pixels of JPEG coefficients
    components = [samples_of(*each) for each in zip(coefficients, steps, strict=True)]
    if sampling != (1, 1):
        components[1:] = [upsample(each, sampling, read_ring(reader, each)) for each in components[1:]]
    if colour == 1:
        components = red_green_blue(*components)[:: -1 if reversed_ else 1]
    elif colour == 2:
        components = [components[k] for k in (1, 0, 2)]
    pixels = np.stack(components, -1)

    differs = reader.integer(1)
    require(differs <= 1, "differences 0..1")
    if differs:
        bits = np.frombuffer(packed(reader, (rows * columns + 7) // 8), np.uint8)
        places = [divmod(k, columns) for k, bit in enumerate(np.unpackbits(bits)[: rows * columns]) if bit]
        require(len(places) > 0, "a block that differs")
        blocks = read_pixels(reader, (8 * len(places), 8), c, find_model).reshape(-1, 8, 8, c)
        for (row, column), block in zip(places, blocks, strict=True):
            place = slice(8 * row, 8 * row + 8), slice(8 * column, 8 * column + 8)
            pixels[place] = pixels[place] + block - 128 & 255
    image[top:bottom, left:right] = pixels
    exchanged = image[top:bottom].swapaxes(0, 1)
    for lines, first, last in ((image, top, bottom), (exchanged, left, right)):
        count = first + len(lines) - last
        if count:
            strips = read_pixels(reader, (count, lines.shape[1]), c, find_model)
            lines[:first], lines[last:] = strips[:first], strips[first:]


def packed(reader: Reader, size: int) -> bytes:
    return unpack(reader.take(reader.varint()), size)


def read_steps(reader: Reader, before: list[list[int]]) -> list[int]:
    code = reader.integer(1)
    if code == 0:
        require(len(before) > 0, "steps of a component before")
        return before[-1]
    if code == 255:
        low, high = np.frombuffer(packed(reader, 128), np.uint8).astype(int).reshape(2, 64)
        steps = [int(step) for step in low + 256 * high]
        require(min(steps) > 0, "steps of 1..65535")
        return steps
    require(code <= 200, "a way to write steps")
    return table_of_quality(code if code <= 100 else code - 100, code > 100)


def read_ring(reader: Reader, samples: Ints) -> Sides:
    given = reader.integer(1)
    require(given <= 15, "four sides of a ring")
    sides: list[Ints | None] = [None] * 4
    if given:
        known = {k: side for k, side in enumerate(sides_without_ring(samples)) if given >> k & 1}
        differences = np.frombuffer(packed(reader, sum(len(side) for side in known.values())), np.uint8)
        for k, side in known.items():
            own, differences = differences[: len(side)], differences[len(side) :]
            sides[k] = side + own & 255
    return sides


def read_pixels(reader: Reader, shape: tuple[int, ...], c: int, find_model: FindModel) -> Ints:
    """An array of pixels (*shape, c)."""
    own = shape if c == 1 else (*shape, c)
    coder = reader.integer(1)
    require(coder <= 1, "an array of pixels, 0..1")
    if coder == 0:
        pixels = np.frombuffer(packed(reader, math.prod(own)), np.uint8)
    else:
        pixels = planes_payload(Reader(reader.take(reader.varint())), np.dtype("|u1"), own, find_model)
    return pixels.astype(np.int64).reshape(*shape, c)


# ---- 2. Message


def empty_heads(lanes: int) -> list[int]:
    return [2**24 + (lane + 1) * 2654435761 % 2**32 // 2**8 for lane in range(lanes)]


class Message:
    def __init__(self, heads: list[int], tail: list[int]) -> None:
        self.heads, self.tail = heads, tail

    def is_empty(self) -> bool:
        return not self.tail and self.heads == empty_heads(len(self.heads))

    def push(self, block: Block, symbols: Ints) -> None:
        """Push symbols of any shape, flattened in C order."""
        flat = symbols.reshape(-1).tolist()
        for i in reversed(range(len(block))):
            lane = i % len(self.heads)
            head, start = self.heads[lane], block.cum(i, flat[i])
            freq = block.cum(i, flat[i] + 1) - start
            require(freq > 0, "a symbol that is pushed has a frequency")
            while head >= freq << 16:
                self.tail.append(head % 2**8)
                head //= 2**8
            self.heads[lane] = ((head // freq) << 16) + head % freq + start

    def pop(self, block: Block) -> Ints:
        symbols = []
        for i in range(len(block)):
            lane = i % len(self.heads)
            head = self.heads[lane]
            r = head % 2**16
            s = bisect_right(range(1, block.alphabet), r, key=lambda s: block.cum(i, s))
            start = block.cum(i, s)
            head = (block.cum(i, s + 1) - start) * (head // 2**16) + r - start
            while head < 2**24:
                require(len(self.tail) > 0, "no word is taken from an empty tail")
                head = head * 2**8 + self.tail.pop()
            self.heads[lane] = head
            symbols.append(s)
        return np.array(symbols, np.int64)


# ---- 3. Distributions: distributions.py


# ---- 4. Integer networks. A grid of activations is (g, rows, columns, channels).


def linear(model: Model, name: str, u: Ints) -> Ints:
    w, b, f = model.layers[name]
    sums: Ints = u.reshape(-1, u.shape[-1]) @ w.T + b + (1 << f >> 1)
    return (sums >> f).reshape(*u.shape[:-1], len(b))


def conv(model: Model, name: str, u: Ints) -> Ints:
    rows, columns = u.shape[1:3]
    padded = np.pad(u, ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [padded[:, m : m + rows, n : n + columns] for m in range(3) for n in range(3)]
    return linear(model, name, np.concatenate(taps, -1))


def trunk(model: Model, name: str, u: Ints) -> tuple[Ints, Ints]:
    """The last h, and y."""
    h = linear(model, f"{name}.in", u).clip(0, 127)
    for k in range(model.blocks[name]):
        v = conv(model, f"{name}.{k}.conv", h).clip(0, 127)
        h = (h + linear(model, f"{name}.{k}.out", v)).clip(-127, 127)
    return h, linear(model, f"{name}.head", h) + linear(model, f"{name}.skip", u)


class Phase(NamedTuple):
    """What a trunk says about phase (a, b) of all cells."""

    a: int
    b: int
    h: Ints
    y: Ints
    base: Ints
    channel_networks: str = ""  # their name without the channel; the core has none


def distribution(model: Model, phase: Phase, x: Ints, ch: int) -> Block:
    """Channel `ch` of the pixels x (g, rows, columns, c) that exist, given their lower channels (4.3)."""
    h, y, base = (values[:, : x.shape[1], : x.shape[2]] for values in (phase.h, phase.y, phase.base))
    k, c = model.mixtures, model.channels
    own = y[..., 3 * k * ch : 3 * k * (ch + 1)]
    if phase.channel_networks and ch > 0:
        own = own + correction(model, f"{phase.channel_networks}.{ch}", h, x[..., :ch], base[..., :ch])
    logits, offsets, scales = np.split(own.reshape(-1, 3 * k), 3, -1)
    own_base, chain = base[..., ch].reshape(-1, 1), np.zeros((len(logits), 1), np.int64)
    for lower in range(ch):
        e = y[..., 3 * k * c + ch * (ch - 1) // 2 + lower].clip(-127, 127)
        chain += (e * (32 * x[..., lower] - base[..., lower]) >> 6).reshape(-1, 1)
    means = own_base + offsets.clip(-8160, 8160) + chain
    return Mixture(logits.clip(-127, 127), means, scales.clip(0, 127), 256)


def correction(model: Model, name: str, h: Ints, lower: Ints, base: Ints) -> Ints:
    """What a channel network adds to the 3 K values (4.4), given the lower channels' values and bases."""
    d = (lower - ((base + 16) >> 5)).clip(-127, 127)
    v = linear(model, f"{name}.in", np.concatenate([h, d], -1)).clip(0, 127)
    return linear(model, f"{name}.out", v)


# ---- 5. Stages


def halve(h: int, w: int) -> tuple[int, int]:
    return (h + 1) // 2, (w + 1) // 2


def cells_from(coarse: Ints) -> Ints:
    """All cells in full, each pixel with the value of C: a missing pixel keeps it."""
    return coarse.repeat(2, 1).repeat(2, 2)


def complete(field: Ints) -> Ints:
    """All cells in full, with the pixels of the field where they exist."""
    cells = cells_from(field[:, ::2, ::2])
    cells[:, : field.shape[1], : field.shape[2]] = field
    return cells


def at(grid: Ints, m: int, n: int) -> Ints:
    """The values at (i + m, j + n), indices clamped to the grid."""
    rows, columns = (np.arange(size) for size in grid.shape[1:3])
    return grid[:, (rows + m).clip(0, rows[-1])][:, :, (columns + n).clip(0, columns[-1])]


def window(grid: Ints, first: int) -> list[Ints]:
    steps = range(first, first + 4)
    return [at(grid, m, n) for m in steps for n in steps]


def inputs(values: list[Ints], r: Ints) -> Ints:
    """u of a pass, given its reference r."""
    return np.concatenate([*((v - r).clip(-127, 127) for v in values), (r - 128).clip(-127, 127)], -1)


def pass_a(model: Model, stage: str, c: Ints) -> list[Phase]:
    s = c + at(c, 0, 1) + at(c, 1, 0) + at(c, 1, 1)
    h, y = trunk(model, f"{stage}.a", inputs(window(c, -1), (s + 2) >> 2))
    return [Phase(1, 1, h, y, 8 * s, f"{stage}.phase11")]


def pass_b(model: Model, stage: str, c: Ints, d: Ints) -> list[Phase]:
    s01 = c + at(c, 0, 1) + at(d, -1, 0) + d
    s10 = c + at(c, 1, 0) + at(d, 0, -1) + d
    u = inputs(window(c, -1) + window(d, -2), (s01 + s10 + 4) >> 3)
    h, y = trunk(model, f"{stage}.b", u)
    y01, y10 = np.split(y, 2, -1)
    return [Phase(0, 1, h, y01, 8 * s01, f"{stage}.phase01"), Phase(1, 0, h, y10, 8 * s10, f"{stage}.phase10")]


def blocks(model: Model, phases: list[Phase], field: Ints) -> Iterator[tuple[Mixture, Ints]]:
    """Each block in pop order with the view of its pixels; a block is computed when it is asked for."""
    for ch in range(model.channels):
        for phase in phases:
            x = field[:, phase.a :: 2, phase.b :: 2]  # the pixels that exist
            yield distribution(model, phase, x, ch), x[..., ch]


def pop_all(message: Message, blocks: Iterable[tuple[Block, Ints]]) -> None:
    for block, values in blocks:
        values[...] = message.pop(block).reshape(values.shape)


def decode_stage(model: Model, stage: str, message: Message, coarse: Ints, h: int, w: int, shifts: bool) -> Ints:
    cells = cells_from(coarse)
    field = cells[:, :h, :w]
    for phases in (
        lambda: pass_a(model, stage, coarse),
        lambda: pass_b(model, stage, coarse, cells[:, 1::2, 1::2]),
    ):
        for block, values in blocks(model, phases(), field):
            if shifts and has_shift(block):
                block = block.shifted(2 * int(message.pop(SHIFT)[0]) - 6)
            values[...] = message.pop(block).reshape(values.shape)
    return field


# ---- 5.1 Shifts

SHIFT = Listed(categorical, np.array([[-33, -33, -33, 0, -33, -33, -33, -33]]), 8)


def has_shift(block: Block) -> bool:
    return len(block) >= 256


DecodeCore = Callable[[Model, Message, int, int, int], Ints]


def decode_field(
    model: Model, message: Message, decode_core: DecodeCore, g: int, h: int, w: int, number: int = 1
) -> Ints:
    """The grid that stage `number` codes; after the last stage it is the core's."""
    if number > model.stages:
        return decode_core(model, message, g, h, w)
    coarse = decode_field(model, message, decode_core, g, *halve(h, w), number + 1)
    return decode_stage(model, f"stage{number}", message, coarse, h, w, True)


# ---- 6. Core


class Core(Protocol):
    """The distributions of the chain x, z_1, ..., z_M for one group; x is number 0 of it."""

    def chain(self) -> list[Ints]:
        """Zeros of the shapes of x, z_1, ..., z_M."""
        ...

    def prior(self) -> Block: ...

    def q(self, n: int, below: Ints) -> Block:
        """q_n, given number n - 1."""
        ...

    def p(self, n: int, above: Ints, own: Ints) -> Iterator[tuple[Block, Ints]]:
        """The blocks of p_n, given number n + 1, in pop order with the views of their symbols in number n."""
        ...


# ---- 6.1 The core of kind bit_swap

PHASES = [(0, 0), (0, 1), (1, 0), (1, 1)]


class BitSwapCore:
    def __init__(self, model: Model, g: int, h: int, w: int) -> None:
        self.model = model
        self.data, self.grid = (g, h, w, model.channels), (g, *halve(h, w))

    def chain(self) -> list[Ints]:
        layer = (*self.grid, self.model.latent_channels)
        return [np.zeros(shape, np.int64) for shape in (self.data, *[layer] * self.model.latent_layers)]

    def prior(self) -> Block:
        return latents(np.tile(self.model.prior.reshape(-1), (*self.grid, 1)))

    def q(self, n: int, below: Ints) -> Block:
        u = below - 64 if n > 1 else (vectors_of_cells(complete(below)) - 128).clip(-127, 127)
        return latents(trunk(self.model, f"q{n}", u)[1], 0)

    def p(self, n: int, above: Ints, own: Ints) -> Iterator[tuple[Block, Ints]]:
        h, y = trunk(self.model, f"p{n}", above - 64)
        if n > 0:
            yield latents(y), own
        else:
            base = np.full((*self.grid, self.model.channels), 4096)
            parts = zip(PHASES, np.split(y, 4, -1), strict=True)
            yield from blocks(self.model, [Phase(a, b, h, part, base) for (a, b), part in parts], own)


def vectors_of_cells(cells: Ints) -> Ints:
    return np.concatenate([cells[:, a::2, b::2] for a, b in PHASES], -1)


def latents(y: Ints, floor: int = 1) -> Mixture:
    """A latent layer: one block over (patch, i, j, channel)."""
    mean, scale = (values.reshape(-1, 1) for values in np.split(y, 2, -1))
    return Mixture(np.zeros_like(mean), 2048 + mean.clip(-4096, 4096), scale.clip(0, 127), 128, floor)


# ---- 6.2 Order


def decode_bit_swap(model: Model, message: Message, g: int, h: int, w: int) -> Ints:
    """The loop's last round pops x."""
    core = core_of(model, g, h, w)
    chain = core.chain()
    pop_all(message, [(core.prior(), chain[-1])])
    for n in reversed(range(model.latent_layers)):
        pop_all(message, core.p(n, chain[n + 1], chain[n]))
        message.push(core.q(n + 1, chain[n]), chain[n + 1])
    return chain[0]


def decode_bb_ans(model: Model, message: Message, g: int, h: int, w: int) -> Ints:
    core = core_of(model, g, h, w)
    chain = core.chain()
    pop_all(message, [(core.prior(), chain[-1])])
    for n in reversed(range(model.latent_layers)):
        pop_all(message, core.p(n, chain[n + 1], chain[n]))
    for n in reversed(range(model.latent_layers)):
        message.push(core.q(n + 1, chain[n]), chain[n + 1])
    return chain[0]


def core_of(model: Model, g: int, h: int, w: int) -> Core:
    return BitSwapCore(model, g, h, w) if model.kind == "bit_swap" else VaeCore(model, g, h, w)


# ---- 6.3 The core of kind vae


class VaeCore:
    def __init__(self, model: Model, g: int, h: int, w: int) -> None:
        require((h, w) == (model.height, model.width), "the core codes patches of its own shape")
        self.model, self.g, self.buckets = model, g, 2**model.latent_bits

    def chain(self) -> list[Ints]:
        data = (self.g, self.model.height, self.model.width, self.model.channels)
        return [np.zeros(shape, np.int64) for shape in (data, (self.g, self.model.latent_channels))]

    def prior(self) -> Block:
        return Uniform(self.g * self.model.latent_channels, self.buckets)

    def q(self, n: int, below: Ints) -> Block:
        x = below.reshape(self.g, -1)
        levels = self.model.levels
        u = (x - 128).clip(-127, 127) if levels == 256 else x * (127 // (levels - 1))
        mean, scale = (values.reshape(-1) for values in np.split(trunk(self.model, "q", u)[1], 2, -1))
        return GaussianBuckets(64 * mean.clip(-256, 256), scale.clip(0, 127), self.model.latent_bits, 0)

    def p(self, n: int, above: Ints, own: Ints) -> Iterator[tuple[Block, Ints]]:
        middle = [(edge((2 * z + 1) * 2 ** (9 - self.model.latent_bits)) + 64) >> 7 for z in range(self.buckets)]
        _, y = trunk(self.model, "p", np.array(middle)[above])
        parameters = np.moveaxis(y.reshape(self.g, -1, *own.shape[1:]), 1, -1)  # (g, h, w, c, parameters)
        for ch in range(self.model.channels):
            values = parameters[:, :, :, ch]
            yield likelihood(self.model, values.reshape(-1, values.shape[-1])), own[..., ch]


def likelihood(model: Model, y: Ints) -> Block:
    """p(x | z) of samples whose parameters are the rows of y."""
    if model.likelihood == "bernoulli":
        return Listed(bernoulli, y.clip(-341, 341), 2)
    if model.likelihood == "beta_binomial":
        return Listed(beta_binomial, y.clip(0, 95), 256)
    if model.likelihood == "categorical":
        return Listed(categorical, y.clip(-127, 127), model.levels)
    logits, means, scales = np.split(y, 3, -1)
    return Mixture(logits.clip(-127, 127), 4096 + means.clip(-8160, 8160), scales.clip(0, 127), 256)


# ---- 6.4 Direct


def decode_direct(model: Model, message: Message, g: int, h: int, w: int) -> Ints:
    if (h, w) == (1, 1):
        return np.stack([message.pop(Uniform(g, 256)) for _ in range(model.channels)], -1).reshape(g, 1, 1, -1)
    coarse = decode_direct(model, message, g, *halve(h, w))
    return decode_stage(model, f"stage{model.stages + 1}", message, coarse, h, w, False)


CODECS: dict[int, tuple[DecodeCore, DecodeCore]] = {  # by core mode
    1: (decode_bit_swap, decode_direct),
    2: (decode_bb_ans, decode_direct),
    3: (partial(decode_flow, trunk), decode_direct),
}

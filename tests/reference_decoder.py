"""A decoder of numcodecs_bitswap frames, written from FORMAT.md alone and in the order of that page.

It is made to be read: the message is plain Python integers, the networks are numpy int64, the tables are computed anew
with `decimal`. It imports neither torch nor anything of the package, so that the package can be held against the page.
"""

import hashlib
import json
import math
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numcodecs import Zstd
from numpy.typing import NDArray
from safetensors import safe_open

Ints = NDArray[np.int64]
FindModel = Callable[[bytes], str | Path]


class FrameError(ValueError):
    """The frame or the model file breaks a rule of FORMAT.md."""


def require(kept: bool, rule: str) -> None:
    if not kept:
        raise FrameError(f"broken rule: {rule}")


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
    require(reader.integer(1) == 1, "codec 1")
    route = reader.integer(1)
    require(reader.integer(4) == zlib.crc32(frame[:6] + frame[10:]), "frame checksum")
    content_checksum = reader.integer(4)
    layout = reader.integer(1)
    require(route <= 4, "route 0..4")
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
        array = np.asarray(model_payload(reader, shape, find_model), order=order)
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


def model_payload(reader: Reader, shape: tuple[int, ...], find_model: FindModel) -> NDArray[np.uint8]:
    model_id = reader.take(16)
    y, x, channel = reader.take(3)
    require(len({y, x, channel}) == 3, "the three axes differ")
    require(max(y, x) < len(shape) and (channel < len(shape) or channel == 255), "axes of the array")
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
    tail = np.frombuffer(reader.take(2 * words), "<u2").tolist()
    require(min(heads) >= 2**16, "heads in [2^16, 2^32)")
    require(not reader.rest, "the payload ends after the tail")

    model = Model(find_model(model_id), model_id)
    channels = shape[channel] if channel != 255 else 1
    require(channels == model.channels, "channels of the model")

    # 1.3 From patches to the array
    leading = [n for axis, n in enumerate(shape) if axis not in (y, x, channel)]
    images = np.zeros((math.prod(leading), shape[y], shape[x], channels), np.uint8)
    message = Message(heads, tail)
    for tiles, mode in reversed(cut_into_groups(tile(*images.shape[:3], 1 << patch_log2), schedule)):
        h, w = tiles[0][3:]
        field = decode_field(model, message, mode, len(tiles), h, w)
        for (n, top, left, _, _), pixels in zip(tiles, field, strict=True):
            images[n, top : top + h, left : left + w] = pixels
    require(message.is_empty(), "the message is empty after the last group")
    array = images.reshape(*leading, *images.shape[1:])
    if channel == 255:
        return np.moveaxis(array[..., 0], (-2, -1), (y, x))
    return np.moveaxis(array, (-3, -2, -1), (y, x, channel))


# ---- 1.3 From patches to the array

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


# ---- 2. Message


class Message:
    """A block is a `Mixture` or a `Uniform` (section 3): a cum, of the same alphabet, for each of its symbols."""

    def __init__(self, heads: list[int], tail: list[int]) -> None:
        self.heads, self.tail = heads, tail

    def is_empty(self) -> bool:
        return not self.tail and all(head == 2**16 for head in self.heads)

    def push(self, block: "Mixture | Uniform", symbols: Ints) -> None:
        """Push symbols of any shape, flattened in C order."""
        flat = symbols.reshape(-1).tolist()
        for i in reversed(range(len(block))):
            lane = i % len(self.heads)
            head, start = self.heads[lane], block.cum(i, flat[i])
            freq = block.cum(i, flat[i] + 1) - start
            if head >= freq << 16:
                self.tail.append(head % 2**16)
                head //= 2**16
            self.heads[lane] = ((head // freq) << 16) + head % freq + start

    def pop(self, block: "Mixture | Uniform") -> Ints:
        symbols = []
        for i in range(len(block)):
            lane = i % len(self.heads)
            head = self.heads[lane]
            r = head % 2**16
            s = bisect_right(range(1, block.alphabet), r, key=lambda s: block.cum(i, s))
            start = block.cum(i, s)
            head = (block.cum(i, s + 1) - start) * (head // 2**16) + r - start
            if head < 2**16:
                require(len(self.tail) > 0, "no word is taken from an empty tail")
                head = (head << 16) + self.tail.pop()
            self.heads[lane] = head
            symbols.append(s)
        return np.array(symbols, np.int64)


# ---- 3. Distributions

SIGMOID = [round(2**16 / (1 + (Decimal(4096 - i) / 384).exp())) for i in range(8192)]
INVSCALE = np.array([round(49152 / Decimal(2) ** (Decimal(j) / 12 - 4)) for j in range(128)])
WEIGHT = np.array([round(2**14 * Decimal(2) ** (-Decimal(d) / 12)) for d in range(128)])


class Mixture:
    """Mixtures of discretised logistics; logits, means and scale indices are of shape (n, K)."""

    def __init__(self, logits: Ints, means: Ints, scales: Ints, alphabet: int) -> None:
        self.alphabet = alphabet
        weights = WEIGHT[np.minimum(logits.max(1, keepdims=True) - logits, 127)]
        self.ratios: list[int] = (((2**16 - alphabet) << 28) // weights.sum(1)).tolist()
        self.components: list[list[list[int]]] = np.stack([weights, means, INVSCALE[scales]], 2).tolist()

    def __len__(self) -> int:
        return len(self.ratios)

    def cum(self, i: int, s: int) -> int:
        if s == 0 or s == self.alphabet:
            return 2**16 if s else 0
        total = 0
        for weight, mean, invscale in self.components[i]:
            t = ((32 * s - 16 - mean) * invscale >> 12) + 4096
            total += weight * SIGMOID[min(max(t, 0), 8191)]
        return s + (self.ratios[i] * total >> 44)


class Uniform:
    def __init__(self, n: int, alphabet: int) -> None:
        self.n, self.alphabet = n, alphabet

    def __len__(self) -> int:
        return self.n

    def cum(self, i: int, s: int) -> int:
        return (s << 16) // self.alphabet


# ---- 4. Integer networks. A grid of activations is (g, rows, columns, channels).


def linear(model: "Model", name: str, u: Ints) -> Ints:
    w, b, f = model.layers[name]
    sums: Ints = u.reshape(-1, u.shape[-1]) @ w.T + b + (1 << f >> 1)
    return (sums >> f).reshape(*u.shape[:-1], len(b))


def conv(model: "Model", name: str, u: Ints) -> Ints:
    rows, columns = u.shape[1:3]
    padded = np.pad(u, ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [padded[:, m : m + rows, n : n + columns] for m in range(3) for n in range(3)]
    return linear(model, name, np.concatenate(taps, -1))


def trunk(model: "Model", name: str, u: Ints) -> tuple[Ints, Ints]:
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


def distribution(model: "Model", phase: Phase, x: Ints, ch: int) -> Mixture:
    """Channel `ch` of the pixels x (g, rows, columns, c) that exist, given their lower channels (4.3)."""
    h, y, base = (values[:, : x.shape[1], : x.shape[2]] for values in (phase.h, phase.y, phase.base))
    k, c = model.mixtures, model.channels
    own = y[..., 3 * k * ch : 3 * k * (ch + 1)]
    if phase.channel_networks and ch > 0:
        own = own + correction(model, f"{phase.channel_networks}.{ch}", h, x[..., :ch], base[..., :ch])
    logits, means, scales = np.split(own.reshape(-1, 3 * k), 3, -1)
    means = base[..., ch].reshape(-1, 1) + means.clip(-8160, 8160)
    for lower in range(ch):
        e = y[..., 3 * k * c + ch * (ch - 1) // 2 + lower].clip(-127, 127)
        means += (e * (32 * x[..., lower] - base[..., lower]) >> 6).reshape(-1, 1)
    return Mixture(logits.clip(-127, 127), means, scales.clip(0, 127), 256)


def correction(model: "Model", name: str, h: Ints, lower: Ints, base: Ints) -> Ints:
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


def window(grid: Ints, r: Ints, first: int) -> list[Ints]:
    steps = range(first, first + 4)
    return [(at(grid, m, n) - r).clip(-127, 127) for m in steps for n in steps]


def pass_a(model: "Model", stage: str, c: Ints) -> list[Phase]:
    s = c + at(c, 0, 1) + at(c, 1, 0) + at(c, 1, 1)
    r = (s + 2) >> 2
    u = np.concatenate([*window(c, r, -1), (r - 128).clip(-127, 127)], -1)
    h, y = trunk(model, f"{stage}.a", u)
    return [Phase(1, 1, h, y, 8 * s, f"{stage}.phase11")]


def pass_b(model: "Model", stage: str, c: Ints, d: Ints) -> list[Phase]:
    s01 = c + at(c, 0, 1) + at(d, -1, 0) + d
    s10 = c + at(c, 1, 0) + at(d, 0, -1) + d
    r = (s01 + s10 + 4) >> 3
    u = np.concatenate([*window(c, r, -1), *window(d, r, -2), (r - 128).clip(-127, 127)], -1)
    h, y = trunk(model, f"{stage}.b", u)
    y01, y10 = np.split(y, 2, -1)
    return [Phase(0, 1, h, y01, 8 * s01, f"{stage}.phase01"), Phase(1, 0, h, y10, 8 * s10, f"{stage}.phase10")]


def blocks(model: "Model", phases: list[Phase], cells: Ints, h: int, w: int) -> Iterator[tuple[Mixture, Ints]]:
    """Each block in pop order with the view of its pixels in `cells`; a block is computed when it is asked for."""
    for ch in range(model.channels):
        for phase in phases:
            x = cells[:, phase.a : h : 2, phase.b : w : 2]  # the pixels that exist
            yield distribution(model, phase, x, ch), x[..., ch]


def pop_phases(model: "Model", message: Message, phases: list[Phase], cells: Ints, h: int, w: int) -> None:
    for block, pixels in blocks(model, phases, cells, h, w):
        pixels[...] = message.pop(block).reshape(pixels.shape)


def decode_stage(model: "Model", stage: str, message: Message, coarse: Ints, h: int, w: int) -> Ints:
    cells = cells_from(coarse)
    pop_phases(model, message, pass_a(model, stage, coarse), cells, h, w)
    pop_phases(model, message, pass_b(model, stage, coarse, cells[:, 1::2, 1::2]), cells, h, w)
    return cells[:, :h, :w]


def decode_field(model: "Model", message: Message, mode: int, g: int, h: int, w: int, number: int = 1) -> Ints:
    """The grid that stage `number` codes; after the last stage it is the core's."""
    if number > model.stages:
        return (decode_bit_swap, decode_direct)[mode](model, message, g, h, w)
    coarse = decode_field(model, message, mode, g, *halve(h, w), number + 1)
    return decode_stage(model, f"stage{number}", message, coarse, h, w)


# ---- 6. Core

CORE = [(0, 0), (0, 1), (1, 0), (1, 1)]


def latents(y: Ints) -> Mixture:
    """A latent layer: one block over (patch, i, j, channel)."""
    mean, scale = (values.reshape(-1, 1) for values in np.split(y, 2, -1))
    return Mixture(np.zeros_like(mean), 2048 + mean.clip(-4096, 4096), scale.clip(0, 127), 128)


def prior(model: "Model", g: int, rows: int, columns: int) -> Mixture:
    return latents(np.tile(model.prior.reshape(-1), (g, rows, columns, 1)))


def latents_given(model: "Model", name: str, u: Ints) -> Mixture:
    return latents(trunk(model, name, u)[1])


def data_of_cells(cells: Ints) -> Ints:
    """The input of q1."""
    return (np.concatenate([cells[:, a::2, b::2] for a, b in CORE], -1) - 128).clip(-127, 127)


def data_phases(model: "Model", z: Ints) -> list[Phase]:
    """p_0."""
    h, y = trunk(model, "p0", z - 64)
    base = np.full((*y.shape[:3], model.channels), 4096)
    return [Phase(a, b, h, values, base) for (a, b), values in zip(CORE, np.split(y, 4, -1), strict=True)]


def decode_bit_swap(model: "Model", message: Message, g: int, h: int, w: int) -> Ints:
    rows, columns = halve(h, w)
    shape = (g, rows, columns, model.latent_channels)
    z = message.pop(prior(model, g, rows, columns)).reshape(shape)
    for n in range(model.latent_layers - 1, 0, -1):
        upper, z = z, message.pop(latents_given(model, f"p{n}", z - 64)).reshape(shape)
        message.push(latents_given(model, f"q{n + 1}", z - 64), upper)
    cells = np.zeros((g, 2 * rows, 2 * columns, model.channels), np.int64)
    pop_phases(model, message, data_phases(model, z), cells, h, w)
    x = cells[:, :h, :w]
    message.push(latents_given(model, "q1", data_of_cells(complete(x))), z)
    return x


def decode_direct(model: "Model", message: Message, g: int, h: int, w: int) -> Ints:
    if (h, w) == (1, 1):
        return np.stack([message.pop(Uniform(g, 256)) for _ in range(model.channels)], -1).reshape(g, 1, 1, -1)
    coarse = decode_direct(model, message, g, *halve(h, w))
    return decode_stage(model, f"stage{model.stages + 1}", message, coarse, h, w)


# ---- 7. Model file

RANGES = {
    "channels": (1, 3),
    "stages": range(9),
    "mixtures": range(1, 17),
    "latent_layers": range(1, 17),
    "latent_channels": range(1, 257),
}
PARTS = {"w": ("int8", "int16"), "b": ("int32",), "f": ("uint8",)}


class Model:
    """A model file: the sizes of `arch` and the tensors named there, all checked; further tensors are not looked at."""

    def __init__(self, path: str | Path, model_id: bytes) -> None:
        require(hashlib.sha256(Path(path).read_bytes()).digest()[:16] == model_id, "the model file has the model id")
        with safe_open(path, "numpy") as self.file:
            arch = json.loads(self.file.metadata()["arch"])
            require(arch["format"] in (1, 2) and arch["kind"] == "bit_swap", "a Bit-Swap model of format 1 or 2")
            require(all(arch[key] in allowed for key, allowed in RANGES.items()), "sizes of the model")
            require(all(count in range(65) for count in arch["blocks"].values()), "blocks 0..64")
            self.channels, self.stages, self.mixtures, self.latent_layers, self.latent_channels = map(arch.get, RANGES)
            self.blocks: dict[str, int] = {}  # of each trunk
            self.layers: dict[str, tuple[Ints, Ints, Ints]] = {}  # w, b and f of each layer
            self.read_networks(arch["blocks"])
            self.prior = self.read("prior", "int32")
        require(self.prior.shape == (2, self.latent_channels), "sizes of the prior")

    def read_networks(self, blocks: dict[str, int]) -> None:
        """Every network with its input and output sizes (sections 4.3, 4.4, 5 and 6)."""
        c, k, z = self.channels, self.mixtures, self.latent_channels
        phase = 3 * k * c + c * (c - 1) // 2
        for t in range(1, self.stages + 2):
            count = blocks["stage" if t <= self.stages else "direct"]
            width_a = self.read_trunk(f"stage{t}.a", count, 17 * c, phase)
            width_b = self.read_trunk(f"stage{t}.b", count, 33 * c, 2 * phase)
            for name, width in (("phase11", width_a), ("phase01", width_b), ("phase10", width_b)):
                for ch in range(1, c):
                    inner = self.read_layer(f"stage{t}.{name}.{ch}.in", width + ch)
                    self.read_layer(f"stage{t}.{name}.{ch}.out", inner, 3 * k)
        for n in range(self.latent_layers):
            self.read_trunk(f"q{n + 1}", blocks["core"], z if n else 4 * c, 2 * z)
            self.read_trunk(f"p{n}", blocks["core"], z, 2 * z if n else 4 * phase)

    def read_trunk(self, name: str, blocks: int, inputs: int, outputs: int) -> int:
        """Returns the width of h."""
        self.blocks[name] = blocks
        width = self.read_layer(f"{name}.in", inputs)
        for k in range(blocks):
            inner = self.read_layer(f"{name}.{k}.conv", 9 * width)
            self.read_layer(f"{name}.{k}.out", inner, width)
        self.read_layer(f"{name}.head", width, outputs)
        self.read_layer(f"{name}.skip", inputs, outputs)
        return width

    def read_layer(self, name: str, inputs: int, outputs: int | None = None) -> int:
        """Returns the outputs; None: as many as there are."""
        w, b, f = (self.read(f"{name}.{part}", *dtypes) for part, dtypes in PARTS.items())
        wide = self.file.get_tensor(f"{name}.w").dtype == "int16"
        n = len(w) if outputs is None else outputs
        require((w.shape, b.shape, f.shape) == ((n, inputs), (n,), (n,)), f"sizes of {name}")
        require(np.abs(w).max() <= (4032 if wide else 63) and f.max() <= 24, f"weights and shifts of {name}")
        sums = np.abs(w).sum(1) * 127 + np.abs(b) + (1 << f >> 1)
        require(sums.max() < (2**29 if wide else 2**24), f"sums of {name}")
        self.layers[name] = w, b, f
        return n

    def read(self, name: str, *dtypes: str) -> Ints:
        require(name in set(self.file.keys()), f"there is a tensor {name}")
        tensor: NDArray[Any] = self.file.get_tensor(name)
        require(str(tensor.dtype) in dtypes, f"{name} is {dtypes}")
        return tensor.astype(np.int64)

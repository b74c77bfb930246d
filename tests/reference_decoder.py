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
from typing import Any, Protocol

import numpy as np
from numcodecs import Zstd
from numpy.typing import NDArray

Ints = NDArray[np.int64]


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


def decode(frame: bytes, find_model: Callable[[bytes], str | Path], limit: int = 2**62) -> NDArray[Any]:
    """Decode one frame.

    Parameters
    ----------
    frame : all bytes of the frame.
    find_model : gives the path of the model file with this id (16 bytes).
    limit : the largest decoded size to allow, in bytes.

    Returns
    -------
    The array: dtype, shape and memory order (C or Fortran) as encoded.

    Raises
    ------
    FrameError : the frame or the model file breaks a rule of FORMAT.md.
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
    size = math.prod(shape) * dtype.itemsize
    require(size <= 2**62, "decoded size at most 2^62")
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
        else:
            dtype = np.dtype(text.decode())
            require(dtype.str.encode() == text, "the dtype is in numpy's own form")
    except (TypeError, ValueError, SyntaxError) as error:
        raise FrameError(f"broken rule: dtype ({error})") from error
    require(not dtype.hasobject, "a dtype without objects")
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
        try:
            payload = Zstd().decode(payload)
        except RuntimeError as error:
            raise FrameError(f"broken rule: a Zstandard frame ({error})") from error
    require(len(payload) == items * itemsize, "a payload of the decoded size")
    if route == 2:
        return np.frombuffer(payload, np.uint8).reshape(itemsize, items).T.tobytes()
    return payload


# ---- 1.2 Model payload


def model_payload(
    reader: Reader, shape: tuple[int, ...], find_model: Callable[[bytes], str | Path]
) -> NDArray[np.uint8]:
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
        groups.append((group, mode))
    return groups


# ---- 2. Message


class Distribution(Protocol):
    """`len` distributions over 0 .. alphabet - 1, one for each symbol of a block."""

    alphabet: int

    def __len__(self) -> int: ...

    def cum(self, i: int, s: int) -> int: ...


class Message:
    def __init__(self, heads: list[int], tail: list[int]) -> None:
        self.heads, self.tail = heads, tail

    def is_empty(self) -> bool:
        return not self.tail and all(head == 2**16 for head in self.heads)

    def push(self, block: Distribution, symbols: Ints) -> None:
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

    def pop(self, block: Distribution) -> Ints:
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
    w, b, f = (model.tensors[f"{name}.{part}"] for part in "wbf")
    sums: Ints = u.reshape(-1, u.shape[-1]) @ w.T + b + (1 << f >> 1)
    return (sums >> f).reshape(*u.shape[:-1], -1)


def conv(model: "Model", name: str, u: Ints) -> Ints:
    rows, columns = u.shape[1:3]
    padded = np.pad(u, ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [padded[:, m : m + rows, n : n + columns] for m in range(3) for n in range(3)]
    return linear(model, name, np.concatenate(taps, -1))


def trunk(model: "Model", name: str, u: Ints) -> Ints:
    h = linear(model, f"{name}.in", u).clip(0, 127)
    for k in range(model.blocks(name)):
        v = conv(model, f"{name}.{k}.conv", h).clip(0, 127)
        h = (h + linear(model, f"{name}.{k}.out", v)).clip(-127, 127)
    return linear(model, f"{name}.head", np.concatenate([h, u], -1))


def phase_distribution(y: Ints, base: Ints, x: Ints, ch: int) -> Mixture:
    """Channel `ch` of one phase (4.3), given the pixels' lower channels; y (..., values), base and x (..., c)."""
    c = x.shape[-1]
    k = y.shape[-1] // (3 * c)  # the chain's values are fewer than 3 c
    logits, means, scales = np.split(y[..., 3 * k * ch : 3 * k * (ch + 1)].reshape(-1, 3 * k), 3, -1)
    means = base[..., ch].reshape(-1, 1) + means.clip(-8160, 8160)
    for lower in range(ch):
        e = y[..., 3 * k * c + ch * (ch - 1) // 2 + lower].clip(-127, 127)
        means += (e * (32 * x[..., lower] - base[..., lower]) >> 6).reshape(-1, 1)
    return Mixture(logits.clip(-127, 127), means, scales.clip(0, 127), 256)


# ---- 5. Stages

Phases = Sequence[tuple[int, int]]
PASS_A: Phases = [(1, 1)]
PASS_B: Phases = [(0, 1), (1, 0)]
Blocks = Iterator[tuple[Mixture, Ints]]


def halve(size: tuple[int, int]) -> tuple[int, int]:
    return (size[0] + 1) // 2, (size[1] + 1) // 2


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


def pass_a(model: "Model", name: str, c: Ints) -> tuple[Ints, list[Ints]]:
    """The network's output and the base of each phase, from C."""
    s = c + at(c, 0, 1) + at(c, 1, 0) + at(c, 1, 1)
    r = (s + 2) >> 2
    u = np.concatenate([*window(c, r, -1), (r - 128).clip(-127, 127)], -1)
    return trunk(model, f"{name}.a", u), [8 * s]


def pass_b(model: "Model", name: str, c: Ints, d: Ints) -> tuple[Ints, list[Ints]]:
    """The network's output and the base of each phase, from C and D."""
    s01 = c + at(c, 0, 1) + at(d, -1, 0) + d
    s10 = c + at(c, 1, 0) + at(d, 0, -1) + d
    r = (s01 + s10 + 4) >> 3
    u = np.concatenate([*window(c, r, -1), *window(d, r, -2), (r - 128).clip(-127, 127)], -1)
    return trunk(model, f"{name}.b", u), [8 * s01, 8 * s10]


def phase_blocks(y: Ints, bases: list[Ints], phases: Phases, cells: Ints, h: int, w: int) -> Blocks:
    """Each block in pop order with the view of its pixels in `cells`; a block is computed when it is asked for."""
    for ch in range(cells.shape[-1]):
        for (a, b), values, base in zip(phases, np.split(y, len(phases), -1), bases, strict=True):
            x = cells[:, a:h:2, b:w:2]  # the pixels that exist
            rows, columns = x.shape[1:3]
            yield phase_distribution(values[:, :rows, :columns], base[:, :rows, :columns], x, ch), x[..., ch]


def pop_phases(message: Message, blocks: Blocks) -> None:
    for block, pixels in blocks:
        pixels[...] = message.pop(block).reshape(pixels.shape)


def decode_stage(model: "Model", name: str, message: Message, coarse: Ints, h: int, w: int) -> Ints:
    cells = cells_from(coarse)
    pop_phases(message, phase_blocks(*pass_a(model, name, coarse), PASS_A, cells, h, w))
    d = cells[:, 1::2, 1::2]
    pop_phases(message, phase_blocks(*pass_b(model, name, coarse, d), PASS_B, cells, h, w))
    return cells[:, :h, :w]


def decode_field(model: "Model", message: Message, mode: int, g: int, h: int, w: int) -> Ints:
    sizes = [(h, w)]
    for _ in range(model.stages):
        sizes.append(halve(sizes[-1]))
    field = (decode_bit_swap, decode_direct)[mode](model, message, g, *sizes[-1])
    for number in range(model.stages, 0, -1):
        field = decode_stage(model, f"stage{number}", message, field, *sizes[number - 1])
    return field


# ---- 6. Core

CORE: Phases = [(0, 0), (0, 1), (1, 0), (1, 1)]


def latents(y: Ints) -> Mixture:
    """One block over (patch, i, j, channel)."""
    mean, scale = np.split(y, 2, -1)
    mean, scale = 2048 + mean.clip(-4096, 4096).reshape(-1, 1), scale.clip(0, 127).reshape(-1, 1)
    return Mixture(np.zeros_like(mean), mean, scale, 128)


def prior(model: "Model", g: int, rows: int, columns: int) -> Mixture:
    return latents(np.tile(model.tensors["prior"].reshape(-1), (g, rows, columns, 1)))


def data_of_cells(cells: Ints) -> Ints:
    """The input of q1."""
    return (np.concatenate([cells[:, a::2, b::2] for a, b in CORE], -1) - 128).clip(-127, 127)


def data_blocks(model: "Model", z: Ints, cells: Ints, h: int, w: int) -> Blocks:
    y = trunk(model, "p0", z - 64)
    base = np.full(y.shape[:-1] + cells.shape[-1:], 4096)
    return phase_blocks(y, [base] * 4, CORE, cells, h, w)


def decode_bit_swap(model: "Model", message: Message, g: int, h: int, w: int) -> Ints:
    rows, columns = halve((h, w))
    shape = (g, rows, columns, model.latent_channels)
    z = message.pop(prior(model, g, rows, columns)).reshape(shape)
    for n in range(model.latent_layers - 1, 0, -1):
        upper, z = z, message.pop(latents(trunk(model, f"p{n}", z - 64))).reshape(shape)
        message.push(latents(trunk(model, f"q{n + 1}", z - 64)), upper)
    cells = np.zeros((g, 2 * rows, 2 * columns, model.channels), np.int64)
    pop_phases(message, data_blocks(model, z, cells, h, w))
    x = cells[:, :h, :w]
    message.push(latents(trunk(model, "q1", data_of_cells(complete(x)))), z)
    return x


def decode_direct(model: "Model", message: Message, g: int, h: int, w: int) -> Ints:
    sizes = [(h, w)]
    while sizes[-1] != (1, 1):
        sizes.append(halve(sizes[-1]))
    field = np.stack([message.pop(Uniform(g, 256)) for _ in range(model.channels)], -1).reshape(g, 1, 1, -1)
    for size in reversed(sizes[:-1]):
        field = decode_stage(model, f"stage{model.stages + 1}", message, field, *size)
    return field


# ---- 7. Model file


class Model:
    """A model file: its architecture and its tensors, checked against its id and the ranges of section 4.1."""

    def __init__(self, path: str | Path, model_id: bytes) -> None:
        data = Path(path).read_bytes()
        require(hashlib.sha256(data).digest()[:16] == model_id, "the model file has the model id")
        metadata, self.tensors = read_safetensors(data)
        arch = json.loads(metadata["arch"])
        require(arch["format"] == 1 and arch["kind"] == "bit_swap", "a Bit-Swap model of format 1")
        self.channels: int = arch["channels"]
        self.stages: int = arch["stages"]
        self.latent_layers: int = arch["latent_layers"]
        self.latent_channels: int = arch["latent_channels"]
        self.block_counts: dict[str, int] = arch["blocks"]
        require(self.channels in (1, 3), "channels 1 or 3")
        for name in (tensor.removesuffix(".w") for tensor in self.tensors if tensor.endswith(".w")):
            w, b, f = (self.tensors[f"{name}.{part}"] for part in "wbf")
            require(np.abs(w).max() <= 63 and f.max() <= 24, f"weights and shifts of {name}")
            sums = np.abs(w).sum(1) * 127 + np.abs(b) + (1 << f >> 1)
            require(sums.max() < 2**24, f"sums of {name} below 2^24")

    def blocks(self, trunk: str) -> int:
        if not trunk.startswith("stage"):
            return self.block_counts["core"]
        return self.block_counts["direct" if trunk.startswith(f"stage{self.stages + 1}.") else "stage"]


def read_safetensors(data: bytes) -> tuple[dict[str, str], dict[str, Ints]]:
    """Metadata and tensors, these as int64; only the three dtypes of a model file."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        kind = {"w": "I8", "f": "U8"}.get(name.rpartition(".")[2], "I32")
        require(entry["dtype"] == kind, f"{name} is {kind}")
        first, last = (start + offset for offset in entry["data_offsets"])
        values = np.frombuffer(data[first:last], {"I8": "<i1", "U8": "<u1", "I32": "<i4"}[kind])
        tensors[name] = values.reshape(entry["shape"]).astype(np.int64)
    return metadata, tensors

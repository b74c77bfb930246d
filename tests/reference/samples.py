"""Section 1.4 of FORMAT.md, for `frames`: from numbers to an array. Words are Python's integers, one at a
time; real numbers are numpy's float32 and float64.
"""

import math
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference.distributions import Ints
from reference.labels import decode_labels, plane_array
from reference.networks import require

MANTISSA = {16: 10, 32: 23, 64: 52}
COPIED = [(0, -1), (-1, 0), (-1, -1), (-1, 1)]
Unpack = Callable[[bytes, int], bytes]


def ordered_word(order: int, kind: str, W: int, t: int) -> int:
    """The word of an order."""
    order %= 2**W
    if kind == "u":
        return order
    if kind == "i":
        return order ^ 2 ** (W - 1)
    h = 2 ** (W - 1) >> t
    return ((order - h) << t if order >= h else (h - 1 - order << t) + 2 ** (W - 1)) % 2**W


def order_of(word: int, W: int) -> int:
    """The order of a float's word, t = 0."""
    g = word % 2 ** (W - 1)
    return 2 ** (W - 1) + g if word < 2 ** (W - 1) else 2 ** (W - 1) - 1 - g


class Samples:
    """The fields, all checked; then `order` is the shape of the numbers, and `array` makes the array of them."""

    def __init__(self, reader: Any, dtype: np.dtype[Any], shape: tuple[int, ...], unpack: Unpack) -> None:
        self.reader, self.dtype, self.shape, self.unpack = reader, dtype, shape, unpack
        most = {"b": 1, "u": 8, "i": 8, "f": 8, "c": 16, "m": 8, "M": 8}
        require(dtype.kind in most and dtype.itemsize <= most[dtype.kind] and len(shape) > 0, "an array of numbers")
        self.words_shape = shape
        self.series = len(shape) == 1 or (len(shape) == 2 and shape[1] <= 4 < shape[0])
        if self.series:
            self.words_shape = (*shape[1:], -(-shape[0] // 256), min(shape[0], 256))
        if dtype.kind == "c":
            self.words_shape = (2, *self.words_shape)
        self.number = {"b": "u", "m": "i", "M": "i", "c": "f"}.get(dtype.kind, dtype.kind)
        self.W = 8 * dtype.itemsize // (2 if dtype.kind == "c" else 1)
        self.kind = reader.integer(1)
        require(self.kind < 64 and self.kind % 16 <= 3, "kind 0..3, narrow or not, steps or not")
        self.steps, self.narrow = self.kind >= 32, self.kind % 32 >= 16
        self.kind %= 16
        if self.narrow:
            require((self.number, self.W) == ("f", 64), "binary64 numbers")
            self.W = 32
        require(self.kind not in (1, 2) or self.number == "f", "floats")
        require(self.kind != 2 or self.W > 16, "floats of 32 or 64 bits")
        self.axes = (reader.integer(1), reader.integer(1))
        require(self.axes[0] != self.axes[1] and max(self.axes) < len(self.words_shape), "two axes of the words")
        self.leading = [axis for axis in range(len(self.words_shape)) if axis not in self.axes]
        self.read_gaps()
        self.firsts: list[int] = []
        if self.steps:
            require(self.series and self.kind == 0 and not self.closed, "steps of series")
            count = math.prod(self.words_shape[:-2])
            self.firsts = [int.from_bytes(each, "little") for each in self.packed(count, self.W // 8)]
            self.words_number, self.number = self.number, "i"
        [self.read_ordered, self.read_cells, self.read_lattice, self.read_luma][self.kind]()
        self.low = type(reader)(reader.take(reader.varint()))

    def planes_shape(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        return math.prod(shape[axis] for axis in self.leading), shape[self.axes[0]], shape[self.axes[1]]

    def packed(self, count: int, size: int) -> list[bytes]:
        """The bytes of each number of a packed list."""
        data = self.unpack(self.reader.take(self.reader.varint()), count * size)
        return [data[k::count] for k in range(count)]

    def read_gaps(self) -> None:
        v = self.reader.varint()
        self.closed, self.mask = v % 2 == 1, np.zeros(self.words_shape, np.int64)
        self.kinds = [int.from_bytes(self.reader.take(self.W // 8), "little") for _ in range(max(v - 1, 0) // 2)]
        require(len(self.kinds) <= 15 and self.kinds == sorted(set(self.kinds)), "up to 15 kinds, ascending")
        self.order = self.words_shape
        if v > 0:
            planes = self.planes_shape(self.words_shape)
            data = self.reader.take(self.reader.varint())
            self.mask_planes = decode_labels(data, planes, [p - 1 for p in range(planes[0])], len(self.kinds) + 4)
            require(0 in self.mask_planes, "a number")
            self.mask = plane_array(self.mask_planes, self.words_shape, self.axes)
        if self.closed:
            row = int((self.mask == 0).sum(self.axes[1]).max())
            self.order = tuple(row if axis == self.axes[1] else n for axis, n in enumerate(self.words_shape))
        # Where the numbers that matter lie in a plane of words, in order.
        self.counts = (self.mask == 0).sum(self.axes[1])

    def read_groups(self) -> None:
        self.groups = [self.reader.integer(1) for _ in range(self.reader.integer(1))]
        require(self.groups == sorted(set(self.groups)), "ascending axes")
        require(not self.groups or self.groups[-1] < len(self.order), "axes of the words")
        self.group_shape = [self.order[axis] for axis in self.groups]
        self.group_count = math.prod(self.group_shape)

    def group(self, index: tuple[int, ...]) -> int:
        number = 0
        for axis in self.groups:
            number = number * self.order[axis] + index[axis]
        return number

    def read_ordered(self) -> None:
        size = self.W // 8
        self.t = self.reader.integer(1)
        require(self.t <= (MANTISSA[self.W] if self.number == "f" else 0), "trailing zeros")
        self.offset, self.step, self.b = self.reader.integer(size), self.reader.integer(size), self.reader.integer(1)
        require(self.step > 0 and self.b < self.W, "a step and low bits")
        self.read_groups()
        T = self.reader.varint()
        self.tables: list[list[int]] = []
        if T:
            require(self.b == 0 and self.group_count == T, "a table for each group")
            lengths = [self.reader.varint() for _ in range(T)]
            require(min(lengths) >= 1 and sum(lengths) <= math.prod(self.order), "lengths of tables")
            steps = [int.from_bytes(each, "little") for each in self.packed(sum(lengths), size)]
            for length in lengths:
                part, steps = steps[:length], steps[length:]
                self.tables.append([sum(part[: k + 1]) % 2**self.W for k in range(length)])

    def read_cells(self) -> None:
        p = MANTISSA[self.W]
        self.t, self.E = self.reader.integer(1), self.reader.integer(2)
        self.least_cell = int.from_bytes(self.reader.take(8), "little", signed=True)
        require(self.t <= p and 2 ** (self.W - 1 - p) - 1 + p > self.E, "trailing zeros and width")
        require(abs(self.least_cell) <= 2 ** (p + 1), "the least cell")

    def read_lattice(self) -> None:
        self.b = self.reader.integer(1)
        require(self.b <= 40, "low bits")
        self.read_groups()
        G = self.group_count
        lines = [struct.unpack("<d", each)[0] for each in self.packed(3 * G, 8)]
        self.lines = [(lines[g], lines[G + g], lines[2 * G + g]) for g in range(G)]
        single = [each[0] for each in self.packed(G, 1)]
        require(max(single) <= 1, "binary32 or binary64")
        self.real = [np.float32 if each else np.float64 for each in single]
        self.least = [int.from_bytes(each, "little", signed=True) for each in self.packed(G, 8)]
        require(all(abs(each) <= 2**53 for each in self.least), "least numbers")
        self.errors: Ints | None = None
        self.columns = 0
        if e := self.reader.varint():
            self.columns = self.reader.varint()
            require(max(e, self.columns * G) <= math.prod(self.order), "not more errors than words")
            names = np.array([int.from_bytes(each, "little", signed=True) for each in self.packed(e, 4)], np.int64)
            data = self.reader.take(self.reader.varint())
            if self.columns:
                self.errors = names[decode_labels(data, (1, G, self.columns), [-1], e - 1)[0]]
            else:
                planes = self.planes_shape(self.order)
                labels = decode_labels(data, planes, [p - 1 for p in range(planes[0])], e - 1)
                self.errors = plane_array(names[labels], self.order, self.axes)

    def read_luma(self) -> None:
        self.colour = self.reader.integer(1)
        require(self.colour in self.leading and self.order[self.colour] == 3, "an axis of three colours")
        require((self.number, self.W) == ("u", 8), "words of 8 bits")
        require(not self.kinds and not self.closed and not self.mask.any(), "luma and chroma have no gaps")

    # ---- From numbers to words

    def low_count(self, n: int) -> int:
        if self.kind != 1:
            return self.b if self.kind != 3 else 0
        p = MANTISSA[self.W]
        c = n + self.least_cell
        d = c if c >= 0 else -1 - c
        if d == 0:
            first = (self.E - p + 1) * 2**p if p < self.E else 2**self.E
            return max((first - 1).bit_length() - self.t, 0)
        return max(min(p + 1 - d.bit_length(), self.E) - self.t, 0)

    def word(self, n: int, low: int, index: tuple[int, ...]) -> int:
        if self.kind == 0:
            level = (n << self.b) + low
            if self.tables:
                require(n < len(self.tables[self.group(index)]), "a number of the table")
                level = self.tables[self.group(index)][n]
            return ordered_word(self.offset + self.step * level, self.number, self.W, self.t)
        if self.kind == 1:
            p = MANTISSA[self.W]
            c = n + self.least_cell
            d = c if c >= 0 else -1 - c
            s = min(p + 1 - d.bit_length(), self.E)
            g = low << self.t
            if d > 0:
                g += (d << max(s, 0)) + (max(self.E - s, 0) << p)
            return g + (2 ** (self.W - 1) if c < 0 else 0)
        group = self.group(index)
        real = self.real[group]
        s, a, d = (real(each) for each in self.lines[group])
        with np.errstate(all="ignore"):
            v = real((n << self.b) + low + self.least[group])
            v = v if s == 1 else v * s
            v = v if a == 0 else v + a
            v = v if d == 1 else v / d
            word = int(np.array(v, f"f{self.W // 8}").view(f"u{self.W // 8}"))
        if self.errors is None:
            return word
        if self.columns:
            require(n < self.columns, "a number with an error")
        error = int(self.errors[group, n] if self.columns else self.errors[index])
        return ordered_word(order_of(word, self.W) + error, "f", self.W, 0)

    def array(self, numbers: Ints) -> NDArray[Any]:
        places = [index for index in np.ndindex(*self.order) if self.matters(index)]
        counts = [self.low_count(int(numbers[index])) for index in places]
        low = [0] * len(places)
        for k in reversed(range(max(counts, default=0))):
            there = [i for i, count in enumerate(counts) if count > k]
            size = (len(there) + 7) // 8
            how = self.low.integer(1)
            require(how <= 1, "bits of kind 0 or 1")
            data = self.unpack(self.low.take(self.low.varint()), size) if how else self.low.take(size)
            for i, bit in zip(there, np.unpackbits(np.frombuffer(data, np.uint8)).tolist(), strict=False):
                low[i] += bit << k
        require(not self.low.rest, "low bits end after the last")
        found = {index: self.word(int(numbers[index]), low[i], index) for i, index in enumerate(places)}
        return self.of_words(self.with_gaps(self.added_up(found) if self.steps else found))

    def added_up(self, steps: dict[tuple[int, ...], int]) -> dict[tuple[int, ...], int]:
        """Words of steps, in C order."""
        words, sums = {}, dict(zip(np.ndindex(*self.words_shape[:-2]), self.firsts, strict=True))
        for index, step in steps.items():
            sums[index[:-2]] += step
            words[index] = ordered_word(sums[index[:-2]], self.words_number, self.W, 0)
        return words

    def matters(self, index: tuple[int, ...]) -> bool:
        if self.steps:
            return True
        if not self.closed:
            return bool(self.mask[index] == 0)
        row = tuple(i for axis, i in enumerate(index) if axis != self.axes[1])
        return index[self.axes[1]] < int(self.counts[row])

    def with_gaps(self, found: dict[tuple[int, ...], int]) -> dict[tuple[int, ...], int]:
        y, x = self.axes
        words: dict[tuple[int, ...], int] = {}
        # In C order of the planes, since copies are made of what is before.
        order = sorted(np.ndindex(*self.words_shape), key=lambda i: ([i[axis] for axis in self.leading], i[y], i[x]))
        used: dict[tuple[int, ...], int] = {}
        for index in order:
            label = int(self.mask[index])
            row = tuple(i for axis, i in enumerate(index) if axis != x)
            if label == 0:
                k = used.get(row, 0) if self.closed else index[x]
                used[row] = k + 1
                words[index] = found[(*index[:x], k, *index[x + 1 :])]
            elif label <= len(self.kinds):
                words[index] = self.kinds[label - 1]
            else:
                dy, dx = COPIED[label - len(self.kinds) - 1]
                other = list(index)
                other[y] += dy
                other[x] += dx
                require(other[y] >= 0 and 0 <= other[x] < self.words_shape[x], "a copy of what is inside")
                words[index] = words[tuple(other)]
        return words

    def of_words(self, words: dict[tuple[int, ...], int]) -> NDArray[Any]:
        size = self.W // 8
        if self.narrow:
            size = 8
            words = {index: widened(word) for index, word in words.items()}
        shape = (*self.words_shape[1:], 2) if self.dtype.kind == "c" else self.words_shape
        data = b"".join(
            words[(index[-1], *index[:-1]) if self.dtype.kind == "c" else index].to_bytes(size, "little")
            for index in np.ndindex(*shape)
        )
        native = np.frombuffer(data, self.dtype.newbyteorder("<"))
        if self.series:
            return native.reshape(*self.shape[1:], -1)[..., : self.shape[0]].T.astype(self.dtype, order="C")
        return native.reshape(self.shape).astype(self.dtype)


def widened(word: int) -> int:
    """A binary32 float's word as that of a binary64 one."""
    if word >> 23 & 255 == 255:
        return (word >> 31 << 63) + (2047 << 52) + (word % 2**23 << 29)
    return int(np.array(word, np.uint32).view(np.float32).astype(np.float64).view(np.uint64))

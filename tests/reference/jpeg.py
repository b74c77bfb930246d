"""Sections 11 and 12 of FORMAT.md, and what section 7 says of their models, for `frames`: JPEG images.

Plain Python integers, one decision after the other; the network and the pixels are numpy int64.
"""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np

from reference.distributions import Ints
from reference.labels import SIG, Decisions
from reference.networks import Layers, require

# ---- 7. Model file


class JpegModel(Layers):
    """A model of kind `jpeg`, all checked."""

    reach_of_inputs = 127

    def __init__(self, path: str | Path, model_id: bytes) -> None:
        super().__init__()
        width: int
        self.blocks: int
        with self.opened(path, model_id) as arch:
            require(arch["kind"] == "jpeg" and arch["format"] == 1, "a model of kind jpeg, format 1")
            width, self.blocks = arch["width"], arch["blocks"]
            require(width in range(8, 129, 8), "width 8, 16, ..., 128")
            require(self.blocks in range(9), "blocks 0..8")
            self.read_layer("in", 44, width)
            for k in range(self.blocks):
                self.read_layer(f"{k}.a", width, width)
                self.read_layer(f"{k}.b", width, width)
            self.read_layer("head", width, 25)
            self.embedding = self.read("embedding", "int16", (325, width))
            self.prediction: list[list[list[int]]] = self.read("prediction", "int16", (2, 64, 30)).tolist()

    def outputs(self, x: list[int], r: int) -> list[int]:
        """The network (11.4)."""
        h = limit(self.linear("in", np.array(x)[:, None]) + self.embedding[r][:, None], -127, 127)
        for k in range(self.blocks):
            a = limit(self.linear(f"{k}.a", np.maximum(h, 0)), 0, 127)
            h = limit(h + self.linear(f"{k}.b", a), -127, 127)
        y: list[int] = self.linear("head", np.maximum(h, 0))[:, 0].tolist()
        return y


def limit(values: Ints, low: int, high: int) -> Ints:
    """As `clip`, which takes long for a few values."""
    limited: Ints = np.maximum(np.minimum(values, high), low)
    return limited


# ---- 11.1 Numbers

LARGEST = 2047
COUNT = 64  # the number of i that stands for how many coefficients are not 0


def place_in_zigzag(i: int) -> tuple[int, int]:
    v, u = divmod(i, 8)
    return u + v, v if (u + v) % 2 else u


ZIGZAG = sorted(range(64), key=place_in_zigzag)


def probability(y: int) -> int:
    return min(max(SIG[min(max(8 * y, -4096), 4095) + 4096], 16), 65520)


def decode_t(decisions: Decisions, y: list[int], not_zero: bool) -> int:
    def decide(k: int) -> int:
        return decisions.decision(probability(y[k]))

    def even() -> int:
        return decisions.decision(2**15)

    if not not_zero and decide(0):
        return 0
    positive = decide(1)
    bits = 1
    while bits < 18 and not (even() if bits > 10 else decide((1 if positive else 11) + bits)):
        bits += 1
    size = 1
    for k in range(bits - 1):
        size = 2 * size + (decide(20 + min(bits, 4)) if k == 0 else even())
    return size if positive else -size


# ---- 11.2 What is known around a block


class Block:
    """Its coefficients q_0 .. q_63 and, as q_64, how many are not 0; their innovations."""

    def __init__(self) -> None:
        self.q, self.e = [0] * 65, [0] * 64


NOTHING = Block()  # one that does not exist


class Component:
    """One that is decoded, or of which some blocks are."""

    def __init__(self, rows: int, columns: int, steps: list[int], colour: int, number: int) -> None:
        self.rows, self.columns, self.steps = rows, columns, steps
        self.K = number + 2 * (colour == 2 and number > 0)
        self.chroma = colour == 1 and number > 0
        self.blocks: dict[tuple[int, int], Block] = {}
        self.M = [0] * 65
        X = 3200 if colour == 2 and number > 0 else 0
        self.X, self.Y = [[X] * 15, [0] * 15], [[4096] * 15, [4096] * 15]  # of share_1 and share_2, by u + v

    def at(self, row: int, column: int) -> Block:
        return self.blocks.get((row, column), NOTHING)

    def like(self, other: "Component") -> bool:
        return (self.rows, self.columns) == (other.rows, other.columns)

    def coefficients(self) -> Ints:
        """(rows, columns, 64)."""
        grid = [[self.blocks[row, column].q[:64] for column in range(self.columns)] for row in range(self.rows)]
        return np.array(grid, np.int64)


def clamp(value: int, low: int, high: int) -> int:
    return min(max(value, low), high)


class Coder:
    """Decodes one block of a component after the other."""

    def __init__(self, model: JpegModel, decisions: Decisions, before: list[Component], own: Component) -> None:
        self.model, self.decisions, self.before, self.own = model, decisions, before, own
        self.same = bool(before) and before[-1].like(own)
        self.all_same = len(before) == 2 and before[0].like(own) and before[1].like(own)
        self.subsampled = bool(before) and not self.same

    def look_around(self, row: int, column: int) -> None:
        own, before = self.own, self.before
        self.W, self.N = own.at(row, column - 1), own.at(row - 1, column)
        self.NW, self.NE = own.at(row - 1, column - 1), own.at(row - 1, column + 1)
        self.WW, self.NN = own.at(row, column - 2), own.at(row - 2, column)
        self.sizes = log(sizes(self.W)), log(sizes(self.N))
        self.O = self.OE = self.OS = self.O2 = NOTHING
        if not before:
            return
        first = before[0]
        a, b = first.rows // own.rows, first.columns // own.columns
        if self.same:
            self.O, self.OE, self.OS = (before[-1].at(row + v, column + u) for v, u in ((0, 0), (0, 1), (1, 0)))
            if len(before) == 2:
                self.O2 = first.at(a * row, b * column)
        else:
            self.O = first.at(a * row, b * column)
            if b > 1:
                self.OE = first.at(a * row, b * column + 1)
            if a > 1:
                self.OS = first.at(a * row + 1, b * column)
            if a > 1 and b > 1:
                self.O2 = first.at(a * row + 1, b * column + 1)
        self.C = (self.O.q[COUNT] + self.OE.q[COUNT]) // 2 if self.subsampled and b > 1 else self.O.q[COUNT]

    # ---- 11.3 Predictions

    def dequantise_around(self) -> None:
        """d^W and d^N."""
        steps = self.own.steps
        self.d_W, self.d_N = ([block.q[j] * steps[j] for j in range(64)] for block in (self.W, self.N))
        if self.W is NOTHING:
            self.d_W[0] = self.d_N[0]
        if self.N is NOTHING:
            self.d_N[0] = self.d_W[0]

    def predict_count(self) -> int:
        exist = [block.q[COUNT] for block in (self.W, self.N) if block is not NOTHING]
        return 8 * sum(exist) // len(exist) if exist else 64

    def expect(self, i: int) -> int:
        """B."""
        v, u = divmod(i, 8)
        w = self.model.prediction[self.own.chroma][i]
        A = sum(w[k] * self.d_W[8 * v + k] + w[8 + k] * self.d_N[8 * k + u] for k in range(8))
        known = [*range(8 * v, 8 * v + u), *range(u, 8 * v + u, 8)]
        A += sum(w[16 + k] * self.block.q[j] * self.own.steps[j] for k, j in enumerate(known))
        B = A >> 12
        for n, other in enumerate(self.shared()):
            B += clamp(2**8 * self.own.X[n][u + v] // self.own.Y[n][u + v], -1024, 1024) * other.e[i] >> 8
        return clamp(B, -32767, 32767)

    def shared(self) -> list[Block]:
        """Those with share_1 and share_2."""
        return [self.O, self.O2] if self.all_same else [self.O] if self.same else []

    def note(self, i: int, B: int) -> None:
        """After q_i."""
        own, sum_ = self.own, sum(divmod(i, 8))
        e = self.block.e[i] = clamp(self.block.q[i] * own.steps[i] - B, -32767, 32767)
        for n, other in enumerate(self.shared()):
            own.X[n][sum_] += e * other.e[i]
            own.Y[n][sum_] += other.e[i] ** 2
            if own.Y[n][sum_] >= 2**36:
                own.X[n][sum_] >>= 1
                own.Y[n][sum_] >>= 1

    # ---- The numbers of a block

    def decode_block(self, row: int, column: int) -> None:
        self.look_around(row, column)
        self.dequantise_around()
        self.block = Block()
        q = self.block.q
        q[COUNT] = self.decode_number(COUNT, self.predict_count(), 0, 0)
        require(0 <= q[COUNT] <= 63, "0..63 coefficients are not 0")
        left = q[COUNT]
        for place, i in enumerate(ZIGZAG):
            if place > 0 and left == 0:
                break
            B = self.expect(i)
            q[i] = self.decode_number(i, 8 * B // self.own.steps[i], place, left)
            require(abs(q[i]) <= LARGEST, "coefficients of -2047..2047")
            self.note(i, B)
            left -= place > 0 and q[i] != 0
        require(left == 0, "no coefficient is left in the end")
        self.own.blocks[row, column] = self.block

    def decode_number(self, i: int, P: int, place: int, left: int) -> int:
        centre = P + 4 >> 3 if i in (COUNT, 0) or abs(P) >= 24 else 0
        side = 1 if P - 8 * centre >= 0 else -1
        y = self.model.outputs(self.inputs(i, P, centre, side, place, left), 65 * self.own.K + i)
        t = decode_t(self.decisions, y, 0 < i < COUNT and centre == 0 and left == 64 - place)
        number = centre + side * t
        z = min(abs(t if i == 0 else number), 4095)
        M = self.own.M
        M[i] = M[i] + (2**8 * z - M[i] >> 4) if M[i] else 2**8 * z
        return number

    # ---- 11.4 Network

    def inputs(self, i: int, P: int, centre: int, side: int, place: int, left: int) -> list[int]:
        own, q = self.own, self.block.q
        W, N, other, other_2 = self.W, self.N, self.O, self.O2
        x = [0] * 44
        x[20], x[21] = self.sizes
        x[23], x[24], x[26] = log(abs(P - 8 * centre)), log(own.M[i] >> 5), log(own.steps[0])
        x[32], x[33], x[34] = 127 * (W is not NOTHING), 127 * (N is not NOTHING), log(abs(centre))
        x[39] = 127 * self.subsampled
        if i == COUNT:
            x[0:4] = [log(8 * block.q[COUNT]) for block in (W, N, self.NW, self.NE)]
            x[4] = log(8 * abs(W.q[COUNT] - N.q[COUNT]))
            x[27], x[28] = log(8 * self.C) if self.before else 0, log(8 * other_2.q[COUNT]) if self.all_same else 0
            return x

        s = own.steps[i]
        x[6], x[7], x[30] = (log(8 * around(block, i) // 4) for block in (W, N, other))
        x[22], x[25] = log(8 * q[COUNT]), log(s)
        x[27], x[28] = log(8 * abs(other.q[i])), log(8 * abs(other_2.q[i]))
        x[29] = log(8 * self.C) if self.before else 0
        x[31] = log(4 * (abs(self.OE.q[i]) + abs(self.OS.q[i])))
        for k, (block, counts) in {38: (other, self.same), 40: (other_2, self.all_same)}.items():
            x[k] = signed(log(8 * abs(block.e[i]) // s), block.e[i] * side) if counts else 0
        if i == 0:
            x[0:4] = [log(8 * abs(block.e[0]) // s) for block in (W, N, self.NW, self.NE)]
            x[4] = log(8 * abs(self.d_W[0] - self.d_N[0]) // s)
            return x

        x[0:6] = [log(8 * abs(block.q[i])) for block in (W, N, self.NW, self.NE, self.WW, self.NN)]
        v, u = divmod(i, 8)
        for k, (dv, du) in enumerate([(0, 1), (1, 0), (1, 1), (0, 2), (2, 0)], 8):
            if v >= dv and u >= du:
                x[k] = log(8 * abs(q[8 * (v - dv) + u - du]))
        x[13:16] = [log(8 * abs(q[ZIGZAG[place - k]])) if place >= k else 0 for k in (1, 2, 3)]
        x[16] = log(8 * sizes(self.block) // place)
        x[17:20] = [log(8 * left), log(8 * (64 - place)), 127 * left // (64 - place)]
        x[35:38] = [signed(log(8 * abs(block.q[i])), block.q[i] * side) for block in (W, N, other)]
        x[41:44] = [log(8 * sum(1 for j in ZIGZAG[place:] if block.q[j])) for block in (W, N, other)]
        return x


LOGARITHMS: dict[int, int] = {}


def log(v: int) -> int:
    """L."""
    v = min(v, 2**15)
    if v not in LOGARITHMS:
        LOGARITHMS[v] = min(round(8 * (Decimal(1 + v).ln() / Decimal(2).ln())), 127)
    return LOGARITHMS[v]


def signed(value: int, sign: int) -> int:
    return value if sign > 0 else -value


def sizes(block: Block) -> int:
    return sum(map(abs, block.q[1:64]))


def around(block: Block, i: int) -> int:
    """z."""
    v, u = divmod(i, 8)
    near = [8 * y + x for y in range(max(v - 1, 0), min(v + 2, 8)) for x in range(max(u - 1, 0), min(u + 2, 8))]
    return sum(abs(block.q[j]) for j in near if j != 0)


def decode_coefficients(
    model: JpegModel, data: bytes, colour: int, sizes: list[tuple[int, int]], steps: list[list[int]]
) -> list[Ints]:
    """Of each component (rows, columns, 64)."""
    decisions, components = Decisions(data), list[Component]()
    for number, (rows, columns) in enumerate(sizes):
        component = Component(rows, columns, steps[number], colour, number)
        coder = Coder(model, decisions, components, component)
        for row in range(rows):
            for column in range(columns):
                coder.decode_block(row, column)
        components.append(component)
    decisions.end()
    return [component.coefficients() for component in components]


# ---- 12.1 Inverse transform


def inverse(a: Ints, b: Ints, c: Ints, d: Ints, e: Ints, f: Ints, g: Ints, h: Ints) -> list[Ints]:
    first, second = 2**13 * (a + e), 10703 * c + 4433 * g
    third, fourth = 2**13 * (a - e), 4433 * c - 10704 * g
    even = [first + second, third + fourth, third - fourth, first - second]
    odd = [
        11363 * b + 9633 * d + 6437 * f + 2260 * h,
        9633 * b - 2259 * d - 11362 * f - 6436 * h,
        6437 * b - 11362 * d + 2261 * f + 9633 * h,
        2260 * b - 6436 * d + 9633 * f - 11363 * h,
    ]
    return [even[k] + odd[k] for k in range(4)] + [even[k] - odd[k] for k in (3, 2, 1, 0)]


def samples_of(coefficients: Ints, steps: list[int]) -> Ints:
    """A component: (rows, columns, 64) to (8 rows, 8 columns)."""
    rows, columns = coefficients.shape[:2]
    c = (coefficients * np.array(steps)).reshape(rows, columns, 8, 8)
    c = np.stack(inverse(*(c[:, :, v, :] for v in range(8))), 2) + 2**10 >> 11
    c = (np.stack(inverse(*(c[:, :, :, u] for u in range(8))), 3) + 2**17 >> 18) + 128
    return c.clip(0, 255).swapaxes(1, 2).reshape(8 * rows, 8 * columns)


# ---- 12.2 Chroma of all pixels


Sides = Sequence[Ints | None]  # above and below (w + 2,), left and right (h,): the ring; None: not given
NO_SIDES: Sides = (None, None, None, None)


def surround(samples: Ints, ring: Sides) -> Ints:
    """(h + 2, w + 2)."""
    above, below, left, right = ring
    left = samples[:, 0] if left is None else left
    right = samples[:, -1] if right is None else right
    rows = np.hstack([left[:, None], samples, right[:, None]])
    return np.vstack([rows[0] if above is None else above, rows, rows[-1] if below is None else below])


def sides_without_ring(samples: Ints) -> list[Ints]:
    """What the differences of a ring (1.7) are to."""
    S = surround(samples, NO_SIDES)
    return [S[0], S[-1], S[1:-1, 0], S[1:-1, -1]]


def upsample(samples: Ints, sampling: tuple[int, int], ring: Sides) -> Ints:
    if sampling == (1, 1):
        return samples
    h, w = samples.shape
    S = surround(samples, ring)
    pixels = np.zeros((h * sampling[0], w * sampling[1]), np.int64)
    if sampling == (2, 2):
        for row, t in enumerate((3 * S[1:-1] + S[:-2], 3 * S[1:-1] + S[2:])):
            pixels[row::2, 0::2] = 3 * t[:, 1:-1] + t[:, :-2] + 8 >> 4
            pixels[row::2, 1::2] = 3 * t[:, 1:-1] + t[:, 2:] + 7 >> 4
    elif sampling == (1, 2):
        pixels[:, 0::2] = 3 * S[1:-1, 1:-1] + S[1:-1, :-2] + 1 >> 2
        pixels[:, 1::2] = 3 * S[1:-1, 1:-1] + S[1:-1, 2:] + 2 >> 2
    else:
        pixels[0::2] = 3 * S[1:-1, 1:-1] + S[:-2, 1:-1] + 1 >> 2
        pixels[1::2] = 3 * S[1:-1, 1:-1] + S[2:, 1:-1] + 2 >> 2
    return pixels


# ---- 12.4 Tables of steps

LUMA = """
16 11 10 16 24 40 51 61   12 12 14 19 26 58 60 55   14 13 16 24 40 57 69 56   14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77   24 35 55 64 81 104 113 92   49 64 78 87 103 121 120 101   72 92 95 98 112 100 103 99
"""
CHROMA = "17 18 24 47 99 99 99 99   18 21 26 66 99 99 99 99   24 26 56 99 99 99 99 99   47 66 99 99 99 99 99 99"
TABLES = [int(value) for value in LUMA.split()], [int(value) for value in CHROMA.split()] + 32 * [99]


def table_of_quality(Q: int, chroma: bool) -> list[int]:
    S = 5000 // Q if Q < 50 else 200 - 2 * Q
    return [max(1, min(255, (T * S + 50) // 100)) for T in TABLES[chroma]]

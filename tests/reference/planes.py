"""Section 9 of FORMAT.md, and what section 7 says of its models, for `frames`: the plane coder.

Integers are Python's or numpy int64. Real numbers are arrays of numpy float32, whose operations are those of IEEE 754,
each rounded once. A tile is decoded wavefront by wavefront: arrays hold one item for each pixel of the wavefront.
"""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reference.distributions import SIGMOID, Bits, Block, Ints
from reference.networks import Layers, require

Floats = NDArray[np.float32]
Pop = Callable[[Block], Ints]
Offset = tuple[int, int]

# ---- 9.2 Offsets (dy, dx)

WEST, NORTH = (0, -1), (-1, 0)
OWN = [(0, -1), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-1, -2), (-2, -1), (-2, 1), (-2, 2), (-2, -2), (0, -3), (-3, 0)]
OWN += [(-3, 1), (-1, -3), (-3, -1), (-2, 3), (-2, -3), (-3, 2), (0, -4), (-3, -2), (-3, 3), (-3, -3), (-3, 4)]
OTHER = [(0, 0), (0, -1), (0, 1), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1), (0, -2), (-2, 0), (0, 2), (2, 0)]
NEAR = [(0, -1), (-1, 0), (-1, 1), (-1, -1), (0, -2), (-2, 0)]
FAR = [(0, -3), (0, -4), (-1, -2), (-2, -1), (-2, 1), (-2, 2), (-3, 0), (-1, -3)]
AROUND = [(0, 0), (0, -1), (-1, 0), (0, 1), (1, 0)]

# ---- 9.1 Tables

SCALE = [Decimal(8 + q % 8) * Decimal(2) ** (q // 8 - 3) for q in range(224)]
INVERSE = np.array([np.float32(str(1 / scale)) for scale in SCALE])
SLOPE = np.array([np.float32(str(384 / Decimal(2) ** (Decimal(j) / 16))) for j in range(448)])
WEIGHT = np.array([round(4096 * Decimal(2) ** (-Decimal(d) / 16)) for d in range(192)])


def f32(values: Any) -> Floats:
    """Integers, rounded to float32."""
    return np.asarray(values, np.int64).astype(np.float32)


def constant(value: float) -> np.float32:
    return np.float32(value)


# ---- 7. Model file


class PlaneModel(Layers):
    """A model of kind `planes`, all checked."""

    reach_of_inputs = 255

    def __init__(self, path: str | Path, model_id: bytes) -> None:
        super().__init__()
        with self.opened(path, model_id) as arch:
            require(arch["kind"] == "planes" and arch["format"] == 1, "a model of kind planes, format 1")
            self.supports: list[list[int]] = arch["supports"]
            V = self.predictors = len(self.supports)
            require(V in range(1, 9), "1..8 predictors")
            require(all(own in range(1, 24) and other in range(1, 13) for own, other in self.supports), "supports")
            self.tiers = sorted(range(V), key=lambda v: self.supports[v][0])
            others = [self.supports[v][1] for v in self.tiers]
            require(others == sorted(others), "supports that ascend together")
            require(max(own for own, _ in self.supports) >= 16 and max(others) >= 8, "a support of 16 and 8 or more")
            self.forgetting: list[list[int]] = arch["forgetting"]
            self.reach: list[int] = arch["reach"]
            self.period: list[int] = arch["period"]
            self.ridge: list[int] = arch["ridge"]
            lists = (self.forgetting, self.reach, self.period, self.ridge)
            require({len(each) for each in lists} == {V}, "one of each for every predictor")
            require(all(a in range(256) and b in range(256) for a, b in self.forgetting), "forgetting 0..255")
            require(all(each in range(9) for each in self.reach), "reach 0..8")
            require(all(each in range(1, 9) for each in self.period), "period 1..8")
            require(all(each in range(2**10, 2**24 + 1) for each in self.ridge), "ridge 2^10..2^24")
            self.width, self.blocks, self.mixtures = int(arch["width"]), int(arch["blocks"]), int(arch["mixtures"])
            require(self.width in range(8, 129, 8), "width 8, 16, ..., 128")
            require(self.blocks in range(9), "blocks 0..8")
            require(self.mixtures in range(1, 8), "mixtures 1..7")
            self.targets: list[Ints] = []
            for R in range(4):
                inputs, width, K = 23 + 8 * V + 14 * R, self.width, self.mixtures
                self.read_layer(f"net{R}.in", inputs, width)
                for k in range(self.blocks):
                    self.read_layer(f"net{R}.{k}.a", width, width)
                    self.read_layer(f"net{R}.{k}.b", width, width)
                self.read_layer(f"net{R}.head", width, 3 * K)
                self.read_layer(f"net{R}.skip", inputs, 2 * K)
                count = max(own for own, _ in self.supports) + R * max(other for _, other in self.supports)
                target = np.zeros(count, np.int64)
                if f"target{R}" in set(self.file.keys()):
                    target = self.read(f"target{R}", "int32", (count,))
                require(int(np.abs(target).max()) <= 2**17, "targets of at most 2^17")
                self.targets.append(target)


# ---- 9.2 Wavefronts and fields


class Field:
    """One number for each pixel of a plane (h, w), and what is outside."""

    def __init__(self, values: Ints, start: int) -> None:
        self.values, self.start = values, start

    def at(self, y: Ints, x: Ints) -> Ints:
        h, w = self.values.shape
        x = np.where(y < 0, x + 2 * y, x)
        y = y.clip(0, h - 1)
        start = (x < 0) & (y == 0)
        y = np.where(x < 0, y - 1, y)
        return np.where(start, self.start, self.values[y, x.clip(0, w - 1)])


class Wave(NamedTuple):
    """The pixels of a wavefront."""

    y: Ints
    x: Ints

    def look(self, field: Field, offset: Offset) -> Ints:
        """The field at an offset from each pixel."""
        return field.at(self.y + offset[0], self.x + offset[1])


def wavefront(u: int, h: int, w: int) -> Wave:
    y = np.array([y for y in range(h) if 0 <= u - 2 * y < w], np.int64)
    return Wave(y, u - 2 * y)


class Known(NamedTuple):
    """What is known of a plane: its values, and the errors of its blend."""

    values: Field
    errors: Field


# ---- 9.3 Predictions


def log8(s: Ints) -> Ints:
    s = s.astype(np.float32).astype(np.int64)
    e = np.array([int(each).bit_length() - 1 for each in s], np.int64)
    return 8 * e + ((s << 3) >> e) - 8


class Regression:
    """The predictors of planes with R references, one after the other."""

    def __init__(self, model: PlaneModel, R: int, h: int, w: int) -> None:
        self.model, self.R, self.h, self.w = model, R, h, w
        self.block_rows = (h + 7) // 8
        self.target = model.targets[R]
        self.n = n = len(self.target)
        self.order: list[tuple[int, Offset]] = []  # -1 or the number of a reference, and the offset
        self.sizes = [0] * model.predictors
        own_before = other_before = 0
        for v in model.tiers:
            own, other = model.supports[v]
            self.order += [(-1, offset) for offset in OWN[own_before:own]]
            for s in range(R):
                self.order += [(s, offset) for offset in OTHER[other_before:other]]
            own_before, other_before = own, other
            self.sizes[v] = len(self.order)
        # S[v, b]: the upper triangle counts, and the last column is that of the target
        self.statistics = np.zeros((model.predictors, self.block_rows, n + 1, n + 1), np.float32)
        self.weights = [[self.target[:size] for _ in range(self.block_rows)] for size in self.sizes]
        self.products: dict[int, Ints] = {}  # of the last eight wavefronts, by block

    def go_on(self) -> None:
        """Begin the next plane."""
        self.statistics *= constant(0.25)
        self.products = {}

    def find(self, s: int, offset: Offset) -> int:
        """The number of a regressor."""
        return self.order.index((s, offset))

    def regressors(self, wave: Wave, own: Field, known: list[Known]) -> tuple[Ints, Ints]:
        """The base and the regressors (n, pixels)."""
        base = wave.look(own, WEST) + wave.look(own, NORTH)
        levels = [wave.look(each.values, WEST) + wave.look(each.values, NORTH) for each in known]
        z = [
            2 * wave.look(own if s < 0 else known[s].values, offset) - (base if s < 0 else levels[s])
            for s, offset in self.order
        ]
        return base, np.array(z)

    def predict(self, wave: Wave, z: Ints, base: Ints, top: int) -> list[Ints]:
        found = []
        for size, weights in zip(self.sizes, self.weights, strict=True):
            w = np.array([weights[b] for b in wave.y // 8]).reshape(-1, size).T
            found.append((((w * z[:size]).sum(0) + 512 >> 10) + 16 * base).clip(0, top))
        return found

    def note(self, wave: Wave, z: Ints, target: Ints, q: Ints) -> None:
        """Add a wavefront to the products of its blocks."""
        factor = constant(256) * INVERSE[3 * q >> 2]
        r = (f32(np.vstack([z, target])) * factor).clip(constant(-2047), constant(2047)).astype(np.int64)
        for b in set((wave.y // 8).tolist()):
            part = r[:, wave.y // 8 == b]
            self.products[b] = self.products.get(b, 0) + part @ part.T

    def begin(self, u: int) -> None:
        """Before wavefront u, a multiple of 8 and not the first."""
        for b, products in self.products.items():
            for v, (in_u, _) in enumerate(self.model.forgetting):
                faded = self.statistics[v, b] * (f32(in_u) / constant(256))
                self.statistics[v, b] = faded + f32(products)
        self.products = {}
        for v, period in enumerate(self.model.period):
            if u // 8 % period == 0:
                rows = [wavefront(t, self.h, self.w).y.tolist() for t in range(u, u + 8 * period)]
                for b in {y // 8 for ys in rows for y in ys}:
                    self.weights[v][b] = self.solve(v, b)

    def solve(self, v: int, b: int) -> Ints:
        m, reach = self.sizes[v], self.model.reach[v]
        columns = [*range(m), self.n]
        forgetting, ridge = f32(self.model.forgetting[v][1]) / constant(256), f32(self.model.ridge[v])
        C = np.zeros((m, m + 1), np.float32)
        with np.errstate(all="ignore"):  # only the upper triangle counts, and that may overflow as well
            for d in range(-reach, reach + 1):
                if 0 <= b + d < self.block_rows:
                    f = constant(1)
                    for _ in range(abs(d)):
                        f = f * forgetting
                    C = C + f * self.statistics[v, b + d][:m, columns]
            for j in range(m):
                C[j, j] += ridge
                C[j, m] += ridge * (f32(self.target[j]) / constant(2**14))
            for j in range(m - 1):
                g = constant(1) / np.maximum(C[j, j], ridge)
                e = -(C[j, j + 1 : m] * g)
                C[j + 1 :] += e[:, None] * C[j]
            weights = np.zeros(m, np.int64)
            for i in reversed(range(m)):
                value = C[i, m] / np.maximum(C[i, i], ridge)
                C[:i, m] -= C[:i, i] * value
                weights[i] = rounded(value)
        return weights


def rounded(value: np.float32) -> int:
    """A weight in units of 2^-14."""
    if np.isnan(value):
        return -(2**17)
    scaled = min(max(float(value) * 2**14, -(2.0**17)), 2.0**17)
    return int(np.floor(scaled + 0.5))


# ---- 9.4 Blend, inputs and network


def magnitude(wave: Wave, errors: Field) -> Ints:
    """8 times the mean error nearby."""
    return 24 + sum((2 if k < 2 else 1) * abs(wave.look(errors, offset)) for k, offset in enumerate(NEAR))


def blend_of(predictions: list[Ints], magnitudes: list[Ints], top: int) -> Ints:
    numerator = denominator = np.zeros(len(predictions[0]), np.float32)
    for p, M in zip(predictions, magnitudes, strict=True):
        g = constant(1) / (f32(M) * f32(M))
        numerator = numerator + g * f32(p - predictions[0])
        denominator = denominator + g
    value = np.floor(numerator / denominator + constant(0.5)).astype(np.int64)
    return (value + predictions[0]).clip(0, top)


def squash(values: Ints, factor: Floats) -> Ints:
    v = f32(values) * factor
    a = abs(v)
    a = np.minimum(np.minimum(a, constant(24) + constant(0.25) * a), constant(127))
    return np.where(v < 0, -a, a).astype(np.int64)


class Seen(NamedTuple):
    """What a wavefront's network is made of."""

    z: Ints
    base: Ints
    predictions: list[Ints]
    magnitudes: list[Ints]
    blend: Ints
    q: Ints


def inputs(
    wave: Wave, regression: Regression, seen: Seen, errors: list[Field], known: list[Known], m: int
) -> list[Ints]:
    z, base, predictions, magnitudes, blend, q = seen
    fine, coarse = constant(256) * INVERSE[q], constant(16) * INVERSE[q]
    own = [z[regression.find(-1, offset)] for offset in OWN[:16]]
    u = [squash(values, fine) for values in own]
    u += [squash(p - blend, coarse) for p in predictions]
    u += [squash(blend - 16 * base, coarse)]
    u += [squash(wave.look(field, offset), coarse) for field in errors[:-1] for offset in NEAR]
    u += [squash(blend, coarse), squash(32 * m - blend, coarse)]
    u += [(4 * (log8(M >> 3) - q)).clip(-127, 127) for M in magnitudes]
    far = 24 + sum(abs(wave.look(errors[-1], offset)) for offset in FAR)
    u += [(4 * (log8(far >> 3) - q)).clip(-127, 127)]
    steep = 4 + 4 * sum(abs(values) for values in own[:4])
    u += [(2 * (log8(steep) - q)).clip(-127, 127)]
    u += [(2 * (q - 48)).clip(-127, 127)]
    level = constant(127.5) / f32(m)
    u += [(f32(base) * level).astype(np.int64) - 128]
    for s, other in enumerate(known):
        around = [wave.look(other.errors, offset) for offset in AROUND]
        theirs = log8((13 * sum(abs(e) for e in around) >> 6) + 3)
        u += [(2 * (theirs - q)).clip(-127, 127)]
        u += [squash(z[regression.find(s, offset)], constant(256) * INVERSE[theirs]) for offset in OTHER[:8]]
        u += [squash(e, constant(16) * INVERSE[theirs]) for e in around]
    return u


def network(model: PlaneModel, name: str, u: Ints, q: Ints, head: "Head") -> tuple[Ints, Ints]:
    """y (3 K, pixels), and the inputs of the last layer."""
    t = model.linear(f"{name}.in", u).clip(-127, 127)
    for k in range(model.blocks):
        v = model.linear(f"{name}.{k}.a", t.clip(0, 127)).clip(0, 127)
        t = (t + model.linear(f"{name}.{k}.b", v)).clip(-127, 127)
    context = (q - 16 >> 2).clip(0, 15)
    a = np.vstack([t.clip(0, 127), 64 * (context == np.arange(16)[:, None])])
    y = head.linear(a)
    y[: 2 * model.mixtures] += model.linear(f"{name}.skip", u)
    return y, a


# ---- 9.5 Mixtures over buckets


def magnitude_class(v: int) -> int:
    """The number of the bucket of v >= 0, counted from the centre."""
    b = max(v.bit_length() - 4, 0)
    return 8 * b + (v >> b)


def low_bits(i: int) -> int:
    return max((i >> 3) - 1, 0)


def edge(i: int) -> int:
    """The least v of bucket i."""
    return (i - 8 * low_bits(i)) << low_bits(i)


class Buckets:
    """The distributions of a wavefront's buckets."""

    def __init__(self, y: Ints, blend: Ints, q: Ints, m: int) -> None:
        means, scales, logits = np.split(y, 3)
        self.m, self.half = m, magnitude_class(m) + 1
        self.alphabet = 2 * self.half
        weights = WEIGHT[np.minimum(logits.max(0) - logits, 191)]
        self.rate: list[int] = (((2**16 - self.alphabet) << 28) // weights.sum(0)).tolist()
        j = (2 * q + scales).clip(0, 447)
        shift = abs(means.clip(-8192, 8192)) * (8 + q % 8) << q // 8 >> 9
        means = blend + np.where(means < 0, -1, 1) * np.minimum(shift, 2**22)
        first = (logits - j).argmax(0)
        middle = means[first, np.arange(len(q))] if len(q) else np.zeros(0, np.int64)
        self.centre: list[int] = (middle + 16 >> 5).clip(0, m).tolist()
        self.scale = np.array([np.float32(str(SCALE[each])) for each in q.tolist()], np.float32)
        self.components: list[list[tuple[int, int, np.float32]]] = [
            list(zip(*each, strict=True)) for each in zip(weights.T.tolist(), means.T.tolist(), SLOPE[j].T, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.rate)

    def low(self, i: int, s: int) -> int:
        """The least sample of bucket s."""
        return self.centre[i] + (edge(s - self.half) if s >= self.half else -edge(self.half - s))

    def bits(self, s: int) -> int:
        return low_bits(s - self.half if s >= self.half else self.half - 1 - s)

    def cum(self, i: int, s: int) -> int:
        x = self.low(i, s)
        if x <= 0 or x > self.m:
            return 0 if x <= 0 else 2**16
        total = sum(weight * SIGMOID[index(x, mean, slope)] for weight, mean, slope in self.components[i])
        return s + (self.rate[i] * total >> 44)

    def gradients(self, i: int, s: int) -> list[int]:
        """9.6: of the pixel that turned out to be in bucket s."""
        begin, end = self.low(i, s), self.low(i, s + 1)
        parts = []
        for _, mean, slope in self.components[i]:
            below, above = index(begin, mean, slope), index(end, mean, slope)
            a = 0 if begin <= 0 else int(SIGMOID[below])
            b = 2**16 if end > self.m else int(SIGMOID[above])
            parts.append((a, b, a * (2**16 - a) >> 16, b * (2**16 - b) >> 16, below - 4096, above - 4096))
        weights = [weight for weight, _, _ in self.components[i]]
        M = sum(w * (b - a) for w, (a, b, *_) in zip(weights, parts, strict=True)) + 4 * sum(weights)
        F = np.float32(str(1 / Decimal(384)))
        found: list[list[Any]] = [[], [], []]
        for (w, _, slope), (a, b, da, db, below, above) in zip(self.components[i], parts, strict=True):
            o = f32(w) * (constant(256) / f32(M))
            found[0].append(o * f32(db - da) * min(self.scale[i] * slope * F, constant(16)))
            found[1].append(o * f32(db * above - da * below) * F)
            found[2].append(f32(w) * (constant(256) / f32(sum(weights))) - o * f32(b - a))
        return [int(np.clip(value, constant(-1023), constant(1023))) for kind in found for value in kind]


def index(x: int, mean: int, slope: np.float32) -> int:
    """Where the edge below x is in the table of a logistic."""
    value = np.float32(32 * x - 16 - mean) * slope
    return int(np.floor(min(max(value, np.float32(-4096)), np.float32(4095)))) + 4096


# ---- 9.6 The last layer learns


class Head:
    """The last layer of a network."""

    def __init__(self, model: PlaneModel, R: int) -> None:
        K = model.mixtures
        w, self.bias, self.shift = model.layers[f"net{R}.head"]
        self.h = np.hstack([f32(w), np.zeros((3 * K, 16), np.float32)])
        self.rates = f32(np.array([3072] * K + [1152] * (2 * K)) << self.shift)
        self.N, self.v, self.e = f32([0]), f32(np.zeros(3 * K)), f32(np.zeros(model.width + 16))

    def linear(self, a: Ints) -> Ints:
        w = np.floor(self.h + constant(0.5)).astype(np.int64)
        return w @ a + (self.bias + (1 << self.shift >> 1))[:, None] >> self.shift[:, None]

    def learn(self, a: Ints, gradients: Ints) -> None:
        """A step, from inputs (W + 16, pixels) and gradients (3 K, pixels)."""
        keep = constant(253 / 256)
        self.N = self.N * keep + f32(a.shape[1])
        self.v = self.v * keep + f32((gradients**2).sum(1))
        self.e = self.e * keep + f32((a**2).sum(1))
        sizes = self.v[:, None] * (self.e / self.N) + constant(2**31)
        step = f32(gradients @ a.T) * self.rates[:, None] / sizes
        self.h = (self.h - step).clip(constant(-63), constant(63))


# ---- 9.7 A tile


def decode_tile(model: PlaneModel, pop: Pop, references: list[list[int]], shape: tuple[int, int, int], m: int) -> Ints:
    """The planes (P, h, w) of a tile. `references`: of each plane, the numbers of others."""
    P, h, w = shape
    planes = np.zeros(shape, np.int64)
    done: list[Known] = []
    regression: Regression | None = None
    head: Head | None = None
    for p in range(P):
        known = [
            Known(Field(done[r].values.values, (m + 1) >> 1), Field(done[r].errors.values, 0)) for r in references[p]
        ]
        if regression is not None and head is not None and len(known) == regression.R:
            regression.go_on()
        else:
            regression, head = Regression(model, len(known), h, w), Head(model, len(known))
        done.append(decode_plane(model, pop, regression, head, known, m))
        planes[p] = done[-1].values.values
    return planes


def decode_plane(model: PlaneModel, pop: Pop, regression: Regression, head: Head, known: list[Known], m: int) -> Known:
    R, V, h, w = len(known), model.predictors, regression.h, regression.w
    own = Field(np.zeros((h, w), np.int64), (m + 1) >> 1)
    errors = [Field(np.zeros((h, w), np.int64), (m + 1) >> 2) for _ in range(V + 1)]  # of predictors and blend
    for u in range(w + 2 * (h - 1)):
        if u % 8 == 0 and u > 0:
            regression.begin(u)
        wave = wavefront(u, h, w)
        if not len(wave.y):
            continue
        base, z = regression.regressors(wave, own, known)
        predictions = regression.predict(wave, z, base, 32 * m)
        *magnitudes, overall = (magnitude(wave, field) for field in errors)
        blend = blend_of(predictions, magnitudes, 32 * m)
        q = log8(overall >> 3)
        seen = Seen(z, base, predictions, magnitudes, blend, q)
        seen_by = np.array(inputs(wave, regression, seen, errors, known, m))
        y, a = network(model, f"net{R}", seen_by, q, head)
        buckets = Buckets(y, blend, q, m)
        symbols, values = pop_values(pop, buckets)
        require(bool(((values >= 0) & (values <= m)).all()), "a sample of 0..m")
        own.values[wave.y, wave.x] = values
        for field, predicted in zip(errors, [*predictions, blend], strict=True):
            field.values[wave.y, wave.x] = 32 * values - predicted
        head.learn(a, np.array([buckets.gradients(i, s) for i, s in enumerate(symbols)]).T)
        regression.note(wave, z, 2 * values - base, q)
    return Known(own, errors[-1])


def pop_values(pop: Pop, buckets: Buckets) -> tuple[list[int], Ints]:
    """The buckets of a wavefront's samples, and the samples."""
    symbols = pop(buckets).tolist()
    upper = pop(Bits([max(buckets.bits(s) - 16, 0) for s in symbols])).tolist()
    lower = pop(Bits([min(buckets.bits(s), 16) for s in symbols])).tolist()
    numbers = zip(symbols, upper, lower, strict=True)
    return symbols, np.array([buckets.low(i, s) + (high << 16) + low for i, (s, high, low) in enumerate(numbers)])

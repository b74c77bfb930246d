"""Sections 3.8, 3.9 and 6.5 of FORMAT.md, for `frames`: flows. Trunks and messages are the decoder's."""

from collections.abc import Callable
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from reference.distributions import LN2, PI, WEIGHT, Bits, GaussianBuckets, Ints, Uniform, log2, normal, phi
from reference.networks import Model, require

Trunk = Callable[[Model, str, Ints], tuple[Ints, Ints]]

# ---- 3.1 Tables

TAIL = np.array([round(2**44 / (1 + Decimal(2) ** (Decimal(i) / 64))) for i in range(1793)])
LOG = np.array([round(2**24 * log2(1 + Decimal(i) / 1024)) for i in range(1025)])
OCTAVES = np.array([round(2**22 / LN2 * Decimal(2) ** (4 - Decimal(j) / 12)) for j in range(128)])


@cache
def quantiles() -> list[int]:
    """QUANTILE, each by Newton's method from the one before: beyond x is 1 / (1 + 2^(i/64))."""
    values, x = [0], Decimal(0)
    for i in range(1, 1793):
        beyond = 1 / (1 + Decimal(2) ** (Decimal(i) / 64))
        for _ in range(3):
            x += (1 - phi(x) - beyond) / ((-x * x / 2).exp() / (2 * PI).sqrt())
        values.append(round(2**24 * x))
    return values


# ---- 3.8 Gaussian over the integers

BITS, STARTS = (2, 3, 4, 8), (0, 4, 12, 28, 284)


class Gaussian:
    """Means and deviations are of shape (n,)."""

    alphabet = 234

    def __init__(self, means: Ints, deviations: Ints, floor: bool) -> None:
        self.floor = floor
        self.parameters = []
        for m, v in zip(means.tolist(), deviations.tolist(), strict=True):
            h = max(v.bit_length() - 13, 0)
            a = v >> h
            self.parameters.append((h, a, 7 * a >> 9, m >> h, (m % 2**h << 6 >> h) + (32 >> h)))

    def __len__(self) -> int:
        return len(self.parameters)

    def cum(self, i: int, s: int) -> int:
        natural = self.natural(i, s)
        return min(s, 5) + max(s - 229, 0) + (65526 * natural >> 16) if self.floor else natural

    def natural(self, i: int, s: int) -> int:
        if s in (0, 234):
            return 2**16 if s else 0
        _, a, reach, _, g = self.parameters[i]
        if s < 5:
            e = -reach - STARTS[5 - s]
        else:
            e = min(max(s - 117, -reach), reach) if s <= 229 else reach + STARTS[s - 229]
        t = min(max((64 * e - g) * (1610612736 // a) >> 13, -(2**18)), 262079)
        n, f = t >> 6, t % 64
        return (normal(4096 + n) * (64 - f) + normal(4097 + n) * f + 32) >> 6

    def bits(self, i: int, s: int) -> int:
        tail = s - 229 if s >= 229 else 4 - s
        if tail < 0:
            return self.parameters[i][0]
        return 28 if tail == 4 else BITS[tail] + self.parameters[i][0]

    def value(self, i: int, s: int, place: int) -> int:
        h, _, reach, c, _ = self.parameters[i]
        if s >= 229:
            x = (c + reach << h) + (STARTS[s - 229] << h) + place
        elif s <= 4:
            x = (c - reach << h) - 1 - (STARTS[4 - s] << h) - place
        else:
            x = (s - 117 + c << h) + place
        return min(max(x, -(2**26)), 2**26)

    def symbol(self, i: int, x: int) -> tuple[int, int]:
        """The symbol of x, and its place there."""
        h, _, reach, c, _ = self.parameters[i]
        d = (x >> h) - c
        if -reach <= d < reach:
            return 117 + d, x % 2**h
        y = x - (c + reach << h) if d >= reach else (c - reach << h) - 1 - x
        tail = max(k for k in range(5) if y >= STARTS[k] << h)
        return 229 + tail if d >= reach else 4 - tail, y - (STARTS[tail] << h)


def pop_values(message: Any, gaussian: Gaussian) -> Ints:
    symbols = message.pop(gaussian).tolist()
    sizes = [gaussian.bits(i, s) for i, s in enumerate(symbols)]
    places = np.zeros(len(sizes), np.int64)
    if max(sizes, default=0) > 16:
        places = message.pop(Bits([max(size - 16, 0) for size in sizes])) << 16
    if max(sizes, default=0) > 0:
        places = places + message.pop(Bits([min(size, 16) for size in sizes]))
    return np.array([gaussian.value(i, s, int(p)) for i, (s, p) in enumerate(zip(symbols, places, strict=True))])


def push_values(message: Any, gaussian: Gaussian, values: Ints) -> None:
    pairs = [gaussian.symbol(i, x) for i, x in enumerate(values.reshape(-1).tolist())]
    symbols, places = (np.array(each, np.int64) for each in zip(*pairs, strict=True))
    sizes = [gaussian.bits(i, int(s)) for i, s in enumerate(symbols)]
    if max(sizes) > 0:
        message.push(Bits([min(size, 16) for size in sizes]), places % 2**16)
    if max(sizes) > 16:
        message.push(Bits([max(size - 16, 0) for size in sizes]), places >> 16)
    message.push(gaussian, symbols)


# ---- 6.5 The core of kind flow


class Channel(NamedTuple):
    colour: int
    pixel: bool
    bound: int


def decode_flow(trunk: Trunk, model: Model, message: Any, g: int, h: int, w: int) -> Ints:
    """The grid of g patches that the core codes."""
    halvings = sum(line[0] == "squeeze" for line in model.flow_layers)
    cell = 2 ** max(halvings, int(model.bucket_bits > 0))
    require(h % cell == 0 and w % cell == 0, "sides of the core's grid")
    known = [channels_before(model, n) for n in range(len(model.flow_layers) + 1)]
    v = pop_latents(model, message, (g, h >> halvings, w >> halvings, len(known[-1])))
    for n in reversed(range(len(model.flow_layers))):
        v = backwards(trunk, model, message, n, known[n], v)
    x = v >> model.value_bits
    require(bool(((x >= 0) & (x < 256)).all()), "pixels are 0 .. 255")
    push_noise(trunk, model, message, x, v % 2**model.value_bits)
    return x


def pop_latents(model: Model, message: Any, shape: tuple[int, ...]) -> Ints:
    n = int(np.prod(shape))
    gaussian = Gaussian(np.zeros(n, np.int64), np.full(n, 256 << model.latent_bits), True)
    return pop_values(message, gaussian).reshape(shape)


def push_noise(trunk: Trunk, model: Model, message: Any, x: Ints, u: Ints) -> None:
    b, low = model.bucket_bits, model.value_bits - model.bucket_bits
    message.push(Uniform(u.size, 2**low), u % 2**low)
    if b > 0:
        known = [Channel(q, True, 0) for q in range(model.channels)] * 4
        inputs, _ = see(model, known, list(range(4 * model.channels)), squeeze(x << model.value_bits))
        mean, scale = np.split(trunk(model, "dequantise", inputs)[1], 2, -1)
        q = GaussianBuckets(64 * mean.clip(-256, 256).reshape(-1), scale.clip(0, 127).reshape(-1), b, 0)
        message.push(q, squeeze(u >> low))


def squeeze(v: Ints) -> Ints:
    return np.concatenate([v[:, a::2, b::2] for a in (0, 1) for b in (0, 1)], -1)


def channels_before(model: Model, n: int) -> list[Channel]:
    """What is known of the channels that layer n + 1 takes."""
    known = [Channel(q, True, 2 ** (model.value_bits + 8)) for q in range(model.channels)]
    for number, (kind, *chosen) in enumerate(model.flow_layers[:n], 1):
        if kind == "squeeze":
            known = known * 4
        elif kind == "split":
            known = [each for k, each in enumerate(known) if k not in chosen[0]]
        elif kind == "pointwise":
            bounds = [each.bound for each in known]
            for i, row in matrix_rows(model, number):
                bounds[i] += (int(np.abs(row) @ np.array(bounds)) >> 12) + 1
            known = [each._replace(bound=bound) for each, bound in zip(known, bounds, strict=True)]
        else:
            changed = Channel(0, False, 392 << model.latent_bits)
            known = [changed if k in chosen[0] else each for k, each in enumerate(known)]
        require(max(each.bound for each in known) < 2**26, "bounds of channels")
    return known


def matrix_rows(model: Model, n: int) -> list[tuple[int, Ints]]:
    """(i, row) of the sums of a pointwise layer, in their order."""
    upper, lower = model.matrices[f"flow{n}.upper"], model.matrices[f"flow{n}.lower"]
    c = len(upper)
    rows = [(i, np.triu(upper, 1)[i]) for i in range(c)]
    return rows + [(i, np.tril(lower, -1)[i]) for i in reversed(range(c))]


def backwards(trunk: Trunk, model: Model, message: Any, n: int, known: list[Channel], v: Ints) -> Ints:
    """What layer n + 1 took, from what it gave."""
    kind, *chosen = model.flow_layers[n]
    if kind == "squeeze":
        g, h, w, c = v.shape
        return v.reshape(g, h, w, 2, 2, c // 4).transpose(0, 1, 3, 2, 4, 5).reshape(g, 2 * h, 2 * w, c // 4)
    if kind == "pointwise":
        v = v.copy()
        for i, row in reversed(matrix_rows(model, n + 1)):
            v[..., i] -= (v @ row + 2**11) >> 12
        return v
    rest = [k for k in range(len(known)) if k not in chosen[0]]
    if kind == "split":
        whole = np.empty((*v.shape[:3], len(known)), np.int64)
        whole[..., rest] = v
        whole[..., chosen[0]] = pop_latents(model, message, (*v.shape[:3], len(chosen[0])))
        return whole
    function = Function(trunk, model, n + 1, known, chosen[0], rest, v)
    y = v[..., chosen[0]]
    n_values = y.size
    near = Gaussian(function.inverse(y.reshape(-1)), np.full(n_values, 256 << model.noise_bits), True)
    x = pop_values(message, near)
    push_values(message, Gaussian(function(x), function.deviations(x), False), y)
    v = v.copy()
    v[..., chosen[0]] = x.reshape(y.shape)
    return v


def see(model: Model, known: list[Channel], staying: list[int], v: Ints) -> tuple[Ints, list[Ints]]:
    """The input of a coupling, and the reference of every colour."""
    p = [v[..., k] >> (model.value_bits if known[k].pixel else model.latent_bits - 5) for k in staying]
    references: list[Ints] = []
    own: set[int] = set()
    for q in range(model.channels):
        of = [i for i, k in enumerate(staying) if known[k].pixel and known[k].colour == q]
        own |= set(of[:1])
        references.append(p[of[0]] if of else np.full(v.shape[:3], 128))
    rows, columns = (np.arange(size) for size in v.shape[1:3])
    u = []
    for m in (-1, 0, 1):
        for n in (-1, 0, 1):
            for i, k in enumerate(staying):
                there = p[i][:, (rows + m).clip(0, rows[-1])][:, :, (columns + n).clip(0, columns[-1])]
                r = references[known[k].colour] if known[k].pixel else 0
                u.append((there - (128 if i in own and m == n == 0 else r)).clip(-127, 127))
    return np.stack(u, -1), references


class Function:
    """The functions of a coupling's values, in the order of a block."""

    def __init__(
        self, trunk: Trunk, model: Model, n: int, known: list[Channel], changed: list[int], rest: list[int], v: Ints
    ) -> None:
        self.model, self.kind = model, model.flow_layers[n - 1][0]
        u, references = see(model, known, rest, v)
        y = trunk(model, f"flow{n}", u)[1]
        y = y.reshape(-1, y.shape[-1] // len(changed))
        pixels = known[changed[0]].pixel
        base = [32 * references[known[k].colour] if pixels else np.zeros(v.shape[:3], np.int64) for k in changed]
        self.bits = model.value_bits if pixels else model.latent_bits
        self.reach = max(known[k].bound for k in changed).bit_length()
        parts = np.split(y, 3 if self.kind == "mixture" else 2, -1)
        self.means = (parts[-2].clip(-8160, 8160) + np.stack(base, -1).reshape(-1, 1)) << (self.bits - 5)
        self.octaves = OCTAVES[parts[-1].clip(0, 127)]
        if self.kind == "mixture":
            logits = parts[0].clip(-127, 127)
            self.weights = WEIGHT[np.minimum(logits.max(-1, keepdims=True) - logits, 127)]

    def fine(self, x: Ints) -> Ints:
        limit = 28 * 2**20 - 1
        t = ((x[:, None] - self.means) * self.octaves >> (self.bits + 2)).clip(-limit, limit)
        if self.kind == "affine":
            affine: Ints = 16 * t[:, 0]
            return affine
        small = table(TAIL, 14, np.abs(t))
        mass = (self.weights * np.where(t >= 0, 2**44 - small, small)).sum(-1)
        other = (self.weights.sum(-1) << 44) - mass
        logit = [logarithm(int(a)) - logarithm(int(b)) for a, b in zip(mass, other, strict=True)]
        return np.array([z if each >= 0 else -z for each, z in ((each, size(abs(each))) for each in logit)], np.int64)

    def __call__(self, x: Ints) -> Ints:
        return self.fine(x) >> (24 - self.model.latent_bits)

    def deviations(self, x: Ints) -> Ints:
        noise = 2**self.model.noise_bits
        rise = self.fine(x + noise) - self.fine(x - noise)
        return (rise >> (17 - self.model.latent_bits)).clip(256, 2**27)

    def inverse(self, y: Ints) -> Ints:
        low, high = np.full(len(y), -(2**self.reach) - 1), np.full(len(y), 2**self.reach)
        while (high - low > 1).any():
            middle = (low + high) // 2
            above = (self.fine(middle) >= (2 * y + 1) << (23 - self.model.latent_bits)) & (high - low > 1)
            low, high = np.where(above | (high - low <= 1), low, middle), np.where(above, middle, high)
        return high


def table(values: Ints, k: int, p: Ints) -> Ints:
    start = values[p >> k]
    return start + ((values[(p >> k) + 1] - start) * (p % 2**k) >> k)


def logarithm(v: int) -> int:
    e = v.bit_length() - 1
    mantissa = v >> (e - 30) if e >= 30 else v << (30 - e)
    place, part = mantissa % 2**30 >> 20, mantissa % 2**20
    return e * 2**24 + int(LOG[place]) + (int(LOG[place + 1] - LOG[place]) * part >> 20)


def size(logit: int) -> int:
    p = min(logit, 28 * 2**24 - 1)
    start, end = quantiles()[p >> 18 : (p >> 18) + 2]
    return start + ((end - start) * (p % 2**18) >> 18)

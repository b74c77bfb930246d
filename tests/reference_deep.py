"""Sections 1.4, 3.9, 3.10, 4.5 and 5.2 of FORMAT.md, for `reference_decoder`: samples of 16 bits."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference_model import require
from reference_symbols import INVSCALE, SIGMOID, WEIGHT, Bits, Ints

DTYPES = ("<u2", ">u2", "<i2", ">i2")


# ---- 1.4 Samples of 16 bits


def samples(x: Ints, offset: int, step: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    values = (offset + step * x + (2**15 if dtype.kind == "i" else 0)) % 2**16
    return np.where((values >= 2**15) & (dtype.kind == "i"), values - 2**16, values).astype(dtype)


# ---- 3.10 Mixture of logistics over 16-bit samples


def exponent(i: int) -> int:
    return max((i >> 3) - 1, 0)


def edge(s: int) -> int:
    i = abs(s - 112)
    size = (i - 8 * exponent(i)) << exponent(i)
    return size if s >= 112 else -size


EDGES = np.array([edge(s) for s in range(225)])


class DeepMixture:
    """Logits, means and scale indices are of shape (n, K); the symbols are buckets."""

    alphabet = 224

    def __init__(self, logits: Ints, means: Ints, scales: Ints) -> None:
        self.parameters = logits, means, scales
        first = (logits - scales).argmax(1)
        self.centres: Ints = (means[np.arange(len(means)), first] + 16) >> 5
        weights = WEIGHT[np.minimum(logits.max(1, keepdims=True) - logits, 127)]
        self.ratios: list[int] = (((2**16 - 224) << 28) // weights.sum(1)).tolist()
        octaves = np.maximum((scales - 116) // 12, 0)
        inverse = INVSCALE[scales - 12 * octaves] << (13 - octaves)
        self.components: list[list[list[int]]] = np.stack([weights, means, inverse], 2).tolist()

    def __len__(self) -> int:
        return len(self.ratios)

    def cum(self, i: int, s: int) -> int:
        x = int(self.centres[i]) + edge(s)
        if x <= 0 or x >= 2**16:
            return 0 if x <= 0 else 2**16
        total = 0
        for weight, mean, inverse in self.components[i]:
            t = ((32 * x - 16 - mean) * inverse >> 25) + 4096
            total += weight * SIGMOID[min(max(t, 0), 8191)]
        return s + (self.ratios[i] * total >> 44)

    def shifted(self, by: int) -> "DeepMixture":
        """The same with other scale indices (5.1)."""
        logits, means, scales = self.parameters
        return DeepMixture(logits, means, (scales + by).clip(0, 271))

    def low_bits(self, buckets: Ints) -> Bits:
        return Bits([exponent(s - 112 if s >= 112 else 111 - s) for s in buckets.tolist()])

    def join(self, buckets: Ints, low: Ints) -> Ints:
        x: Ints = self.centres + EDGES[buckets] + low
        require(bool(((x >= 0) & (x < 2**16)).all()), "samples 0..65535")
        return x

    def split(self, x: Ints) -> tuple[Ints, Ints]:
        """For an encoder: buckets and low bits."""
        buckets = np.searchsorted(EDGES, x - self.centres, "right") - 1
        return buckets, x - self.centres - EDGES[buckets]


# ---- 4.5 Parameters of one phase of 16-bit samples


def parameters(base: Ints, g: Ints, logits: Ints, offsets: Ints, scales: Ints, chain: Ints) -> DeepMixture:
    """base, g and chain are of shape (n, 1), the others (n, K)."""
    means = base + (offsets.clip(-8160, 8160) * (1 << g) >> 5) + chain
    scales = (scales.clip(0, 191) + 12 * (g - 5)).clip(6, 263)
    return DeepMixture(logits.clip(-127, 127), means.clip(0, 2097120), scales)


# ---- 5.2 Stages of 16-bit samples


def bits(values: Ints) -> Ints:
    return np.array([int(v).bit_length() for v in values.reshape(-1)], np.int64).reshape(values.shape)


def code(values: Ints) -> Ints:
    return 8 * bits(values) + (16 * values >> bits(values)) - 8


def mean(values: Ints, half: int) -> Ints:
    """Of each patch and channel, with half of the count added to the sum or not."""
    n = values.shape[1] * values.shape[2]
    total: Ints = values.sum((1, 2), keepdims=True)
    return (total + half * (n // 2)) // n


def inputs(c: Ints, values: list[Ints], ref: Ints) -> tuple[Ints, Ints]:
    """u and g."""
    differences = [32 * v - ref for v in values]
    total = sum((abs(d) for d in differences), np.zeros_like(ref))
    q = len(values).bit_length() + 3
    g = np.maximum(bits(total) - q, 2)
    seen = [*differences, 32 * mean(c, 1) - ref]
    here, everywhere = code(total) - 8 * (g + q), code(mean(total, 0)) - 8 * (g + q)
    codes = [8 * g - 72, code((ref + 16) >> 5) - 64, 4 * here, 2 * everywhere]
    return np.concatenate([*(d >> g for d in seen), *codes], -1).clip(-127, 127), g


# ---- 8. The origin that an encoder chooses


def origin(x: Ints) -> tuple[Ints, Ints]:
    """o and g of each patch and channel of x (patches, h, w, c)."""
    n = x.shape[1] * x.shape[2]
    o = (x.sum((1, 2)) + n // 2) // n
    spread = abs(32 * x - 32 * o[:, None, None]).sum((1, 2)) // n
    return o, (bits(spread) - 4).clip(2, 17)

"""Mixtures of logistics over buckets, and the stack they are coded on (FORMAT.md 9.5 and section 2)."""

import numpy as np

from ..runtime.jit import address_of, part
from .logistics import at_most, eight_edges, interval_rows, mixture_rows, window_rows
from .tables import SIGMOID, SLOPE, WEIGHT
from .vectors import int32_at


def _class(d: float) -> int:
    """The class of a distance (FORMAT.md 9.5)."""
    bits = max(int(d).bit_length() - 4, 0)
    return 8 * bits + (int(d) >> bits)


SIGMOIDS, LIGHTS = SIGMOID.astype(np.int32), WEIGHT.astype(np.int32)
STRIDES = np.array([max(1, round(2 * _class(30 / slope) / 7)) for slope in SLOPE], np.int32)
"""Buckets from one edge of a window to the next, by the scale, 12 / SLOPE levels: most of a logistic is in it."""
HEAD_MIN = np.uint64(1 << 24)


@part
def mixture(y, K, n8, q, blend, top, weight, mean, slope, centre, rate, stride, alphabet):
    """Parameters of the mixtures (FORMAT.md 9.5) from the network's outputs, and how far apart edges are looked at."""
    mixture_rows(
        address_of(y, 0, 0), y.strides[0], K, address_of(q, 0, 0), address_of(blend, 0, 0), top, 65536 - alphabet,
        address_of(weight, 0, 0), address_of(mean, 0, 0), address_of(slope, 0, 0), mean.strides[0],
        address_of(centre, 0, 0), address_of(rate, 0, 0), address_of(stride, 0, 0), address_of(LIGHTS, 0, 0),
        address_of(SLOPE, 0, 0), address_of(STRIDES, 0, 0), n8 // 8,
    )  # fmt: skip


@part
def windows(out, stride, n8, half, m, K, weight, mean, slope, centre, rate):
    """out[i] = cum of eight edges around the centre of each pixel."""
    window_rows(
        address_of(out, 0, 0), address_of(stride, 0, 0), address_of(centre, 0, 0), half, m, address_of(rate, 0, 0), K,
        address_of(weight, 0, 0), address_of(mean, 0, 0), address_of(slope, 0, 0), mean.strides[0],
        address_of(SIGMOIDS, 0, 0), n8 // 8,
    )  # fmt: skip


@part
def intervals(noted, lows, values, n8, half, m, K, weight, mean, slope, centre, rate):
    """Intervals and low bits of the pixels' values."""
    interval_rows(
        address_of(noted, 0, 0), address_of(lows, 0, 0), address_of(values, 0, 0), address_of(centre, 0, 0), half, m,
        address_of(rate, 0, 0), K, address_of(weight, 0, 0), address_of(mean, 0, 0), address_of(slope, 0, 0),
        mean.strides[0], address_of(SIGMOIDS, 0, 0), n8 // 8,
    )  # fmt: skip


@part
def edge_of(s, half):
    """The lower edge of bucket s, from the centre."""
    i = abs(s - half)
    b = max((i >> 3) - 1, 0)
    e = (i - 8 * b) << b
    return -e if s < half else e


@part
def bits_of(s, half):
    """Number of low bits of a sample in bucket s."""
    i = s - half if s >= half else half - 1 - s
    return max((i >> 3) - 1, 0)


@part
def bucket_of(d, half):
    """The bucket of a sample at distance d from the centre."""
    v = d if d >= 0 else -d - 1
    b = max((np.float32(v).view(np.int32) >> 23) - 130, 0)
    i = 8 * b + (v >> b)
    return half + i if d >= 0 else half - 1 - i


@part
def find(r, window, stride, half, m, K, centre, rate, pitch, weight, mean, slope, edges, sigmoid, out):
    """The bucket of a pixel with cum(s) <= r < cum(s + 1), its start and its freq.

    Its window is looked at first; then, as often as need be, eight edges that divide what is left.

    window, weight, mean, slope, edges, sigmoid, out : addresses, the second to fourth of the first component, others
    `pitch` bytes apart.
    """
    count = at_most(window, r)
    first, row = half - 3 * stride, window
    low, high, start, end = 0, 2 * half, 0, 65536
    while True:
        if count > 0 and first + (count - 1) * stride > low:
            low, start = first + (count - 1) * stride, np.int64(int32_at(row + 4 * count - 4))
        if count < 8 and first + count * stride < high:
            high, end = first + count * stride, np.int64(int32_at(row + 4 * count))
        if high - low == 1:
            return low, start, end - start
        stride = (high - low + 8) // 9
        first, row = low + stride, out
        count = eight_edges(out, r, edges, sigmoid, first, stride, centre, m, rate, K, weight, mean, slope, pitch)


@part
def push(heads, lane, tail, place, start, freq):
    """Push a symbol; returns the new place."""
    head = heads[lane]
    limit = np.uint64(freq) << np.uint64(16)
    while head >= limit:
        tail[place] = np.uint8(head & np.uint64(255))
        place += 1
        head >>= np.uint64(8)
    f = np.uint64(freq)
    heads[lane] = ((head // f) << np.uint64(16)) + head % f + np.uint64(start)
    return place


@part
def pop_update(heads, lane, tail, place, start, freq):
    """Returns the new place, -1 if the tail is too short."""
    head = heads[lane]
    head = np.uint64(freq) * (head >> np.uint64(16)) + (head & np.uint64(65535)) - np.uint64(start)
    while head < HEAD_MIN:
        place -= 1
        if place < 0:
            return -1
        head = (head << np.uint64(8)) | np.uint64(tail[place])
    heads[lane] = head
    return place

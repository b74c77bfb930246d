"""Mixtures of logistics over buckets, and the stack that codes them (FORMAT.md 9.5 and section 2)."""

import numpy as np

from ..runtime.jit import address_of, merged
from ..runtime.vectors import int32_at
from .logistics import at_most, eight_edges, gradient_rows, interval_rows, mixture_rows, search_rows, window_rows
from .tables import SIGMOID, SLOPE, WEIGHT


def _class(d: float) -> int:
    """The class of a distance (FORMAT.md 9.5)."""
    bits = max(int(d).bit_length() - 4, 0)
    return 8 * bits + (int(d) >> bits)


SIGMOIDS, LIGHTS = np.append(SIGMOID, 0).astype(np.uint16), WEIGHT.astype(np.int32)
"""Half the bytes, so that more else stays in the cache. Gathers read a number behind the last."""


WIDEST = 56
"""Buckets between edges of a window: class 4 * 56 begins below 2^31, later ones would not."""


def _stride(slope: float) -> int:
    """Buckets from one edge of a window to the next: the window holds nearly all of a logistic."""
    reach = _class(30 / slope)
    return min(max(1, round((2 if reach < 6 else 3) * reach / 7)), WIDEST)


STRIDES = np.array([_stride(slope) for slope in SLOPE], np.int32)
HEAD_MIN = np.uint64(1 << 24)


@merged
def mixture(y, K, first, count, q, blend, top, weight, mean, slope, centre, rate, stride, alphabet):
    """Parameters of the mixtures (FORMAT.md 9.5) of 8 count pixels from the network's outputs, and the spacing of the
    edges of their windows.
    """
    mixture_rows(
        address_of(y, 0, first), y.strides[0], K, address_of(q, 0, first), address_of(blend, 0, first), top,
        65536 - alphabet, address_of(weight, 0, first), address_of(mean, 0, first), address_of(slope, 0, first),
        mean.strides[0], address_of(centre, 0, first), address_of(rate, 0, first), address_of(stride, 0, first),
        address_of(LIGHTS, 0, 0), address_of(SLOPE, 0, 0), address_of(STRIDES, 0, 0), count,
    )  # fmt: skip


@merged
def windows(out, stride, n8, half, m, K, weight, mean, slope, centre, rate):
    """out[i] = cum of eight edges around the centre of each pixel."""
    window_rows(
        address_of(out, 0, 0), address_of(stride, 0, 0), address_of(centre, 0, 0), half, m, address_of(rate, 0, 0), K,
        address_of(weight, 0, 0), address_of(mean, 0, 0), address_of(slope, 0, 0), mean.strides[0],
        address_of(SIGMOIDS, 0, 0), n8 // 8,
    )  # fmt: skip


@merged
def intervals(noted, lows, gradients, values, first, count, q, half, m, K, weight, mean, slope, centre, rate):
    """Intervals and low bits of the values of 8 count pixels, and the gradients there."""
    interval_rows(
        address_of(noted, 0, first), address_of(lows, 0, first), address_of(gradients, 0, first),
        address_of(values, 0, first), address_of(centre, 0, first), address_of(q, 0, first), half, m,
        address_of(rate, 0, first), K, address_of(weight, 0, first), address_of(mean, 0, first),
        address_of(slope, 0, first), mean.strides[0], address_of(SIGMOIDS, 0, 0), count,
    )  # fmt: skip


@merged
def gradients_of(gradients, values, first, count, q, m, K, weight, mean, slope, centre):
    """The gradients at the values of 8 count pixels."""
    gradient_rows(
        address_of(gradients, 0, first), address_of(values, 0, first), address_of(centre, 0, first),
        address_of(q, 0, first), m, K, address_of(weight, 0, first), address_of(mean, 0, first),
        address_of(slope, 0, first), mean.strides[0], address_of(SIGMOIDS, 0, 0), count,
    )  # fmt: skip


@merged
def edge_of(s, half):
    """The lower edge of bucket s, from the centre."""
    i = abs(s - half)
    b = max((i >> 3) - 1, 0)
    e = (i - 8 * b) << b
    return -e if s < half else e


@merged
def bits_of(s, half):
    """Number of low bits of a sample in bucket s."""
    i = s - half if s >= half else half - 1 - s
    return max((i >> 3) - 1, 0)


@merged
def bucket_of(d, half):
    """The bucket of a sample at distance d from the centre."""
    v = d if d >= 0 else -d - 1
    b = max((np.float32(v).view(np.int32) >> 23) - 130, 0)
    i = 8 * b + (v >> b)
    return half + i if d >= 0 else half - 1 - i


@merged
def look(window, r, stride, half):
    """Evaluate a pixel's window: buckets low and high that enclose the one with cum <= r < next cum, and the cum of
    both.
    """
    count = at_most(window, r)
    low, start = np.int64(0), np.int64(0)
    if count > 0:
        low, start = max(half + (count - 4) * stride, 0), np.int64(int32_at(window + 4 * count - 4))
    high, end = 2 * half, np.int64(65536)
    if count < 8:
        high, end = min(half + (count - 3) * stride, 2 * half), np.int64(int32_at(window + 4 * count))
    return low, high, start, end


@merged
def search(found, r, i, stride, half, m, K, weight, mean, slope, centre, rate):
    """found = the results of `look` for pixels i .. i + 7, possibly narrower."""
    search_rows(
        address_of(found, 0, 0), address_of(r, 0, 0), address_of(stride, 0, i), address_of(centre, 0, i), half, m,
        address_of(rate, 0, i), K, address_of(weight, 0, i), address_of(mean, 0, i), address_of(slope, 0, i),
        mean.strides[0], address_of(SIGMOIDS, 0, 0),
    )  # fmt: skip


@merged
def find(r, low, high, start, end, width, centre, m, rate, K, weight, mean, slope, pitch, edges, sigmoid, out):
    """The bucket s of a pixel with cum(s) <= r < cum(s + 1), and both cum, after `look`.

    If the rest of the search lies within a window, first evaluates eight edges around the likely bucket; then, as often
    as needed, eight edges that divide the rest.

    weight, mean, slope, edges, sigmoid, out : addresses. The first three are those of the first component; the next
    components follow `pitch` bytes apart.
    """
    inside = high - low <= width
    while high - low > 1:
        stride = 1 if inside else (high - low + 8) // 9
        first = low + stride
        if inside and high - low > 9:  # within a window cum is nearly straight
            guess = low + np.int64(np.float32(r - start) * np.float32(high - low) / np.float32(end - start))
            first, inside = min(max(guess - 3, first), high - 8), False
        count = eight_edges(out, r, edges, sigmoid, first, stride, centre, m, rate, K, weight, mean, slope, pitch)
        if count > 0:
            low, start = first + (count - 1) * stride, np.int64(int32_at(out + 4 * count - 4))
        if count < 8 and first + count * stride < high:
            high, end = first + count * stride, np.int64(int32_at(out + 4 * count))
    return low, start, end


@merged
def push(heads, lane, tail, place, start, freq):
    """Push a symbol; returns the new end of the tail. At most two bytes leave a head. Both are written without a
    branch, which the CPU could not predict.
    """
    head = heads[lane]
    limit = np.uint64(freq) << np.uint64(16)
    tail[place] = np.uint8(head & np.uint64(255))
    tail[place + 1] = np.uint8(head >> np.uint64(8) & np.uint64(255))
    count = np.int64(head >= limit) + np.int64(head >> np.uint64(8) >= limit)
    place += count
    head >>= np.uint64(8 * count)
    # Exact: head is below 2^32, and the quotient 2^-16 or more away from the next integer if it is none.
    quotient = np.uint64(np.int64(np.float64(np.int64(head)) / np.float64(freq)))
    heads[lane] = head + quotient * (np.uint64(65536) - np.uint64(freq)) + np.uint64(start)
    return place


@merged
def pop_update(heads, lane, tail, place, start, freq):
    """Update a head after a pop; returns the new end of the tail, -1 if the tail is too short. At most two bytes are
    missing from a head. They are read without a branch, which the CPU could not predict.
    """
    head = heads[lane]
    head = np.uint64(freq) * (head >> np.uint64(16)) + (head & np.uint64(65535)) - np.uint64(start)
    if place >= 2:
        two = np.uint64(tail[place - 1]) << np.uint64(8) | np.uint64(tail[place - 2])
        count = np.int64(head < HEAD_MIN) + np.int64(head < HEAD_MIN >> np.uint64(8))
        head = head << np.uint64(8 * count) | two >> np.uint64(16 - 8 * count)
        place -= count
    while head < HEAD_MIN:  # near the end, or not what an encoder writes
        place -= 1
        if place < 0:
            return -1
        head = (head << np.uint64(8)) | np.uint64(tail[place])
    heads[lane] = head
    return place

"""Mixtures of logistics over buckets, and the stack they are coded on (FORMAT.md 9.5 and section 2)."""

import numpy as np

from ..jit import address_of, part
from .products import eight_edges
from .tables import LOGISTIC_SCALES, SCALE, SIGMOID, SLOPE, WEIGHT, WEIGHTS

LEAST_FREE = np.float32(2.0**22)
SIGMOIDS = SIGMOID.astype(np.int32)
HEAD_MIN = np.uint64(1 << 24)


@part
def limited(v, low, high):
    """v, at least `low` and at most `high`, as int32."""
    return np.int32(min(max(v, low), high))


@part
def mixture(y, K, n8, q, blend, top, weight, mean, slope, centre, rate, alphabet):
    """Parameters of the mixtures (FORMAT.md 9.5) from the network's outputs."""
    total = 65536.0 - alphabet
    for i in range(n8):
        most = y[2 * K, i]
        for k in range(1, K):
            most = max(most, y[2 * K + k, i])
        sum_w, peak, at = 0, -(1 << 30), 0
        for k in range(K):
            w = WEIGHT[min(most - y[2 * K + k, i], WEIGHTS - 1)]
            weight[k, i] = np.int32(w)
            sum_w += w
            j = min(max(2 * q[i] + y[K + k, i], 0), LOGISTIC_SCALES - 1)
            slope[k, i] = SLOPE[j]
            off = np.float32(limited(y[k, i], -8192, 8192)) * SCALE[q[i]] * np.float32(0.015625)
            off = min(max(off, -LEAST_FREE), LEAST_FREE)
            mean[k, i] = blend[i] + np.int32(off)
            if y[2 * K + k, i] - j > peak:
                peak, at = y[2 * K + k, i] - j, k
        centre[i] = min(max((mean[at, i] + 16) >> 5, 0), top >> 5)
        rate[i] = np.int64(np.floor(total * 268435456.0 / np.float64(sum_w)))


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
    i = v
    if v >= 16:
        b = 0
        while (v >> b) >= 16:
            b += 1
        i = 8 * b + (v >> b)
    return half + i if d >= 0 else half - 1 - i


@part
def eight(s, stride, i, m, K, edges, weight, mean, slope, centre, rate, out):
    """out[k] = cum of bucket s + k stride of pixel i."""
    eight_edges(
        address_of(out, 0, 0), address_of(edges, 0, 0), address_of(SIGMOIDS, 0, 0), s, stride, np.int64(centre[i]), m,
        rate[i], K, address_of(weight, 0, i), address_of(mean, 0, i), address_of(slope, 0, i), mean.strides[0],
    )  # fmt: skip


@part
def find(r, i, half, m, K, edges, weight, mean, slope, centre, rate, out):
    """The bucket with cum(s) <= r < cum(s + 1), its start and its freq: the eight around the centre are looked at
    first, then eight that divide what is left.
    """
    low, high, start, end = 0, 2 * half, np.int64(0), np.int64(65536)
    first, stride = max(half - 3, 0), 1
    while high - low > 1:
        eight(first, stride, i, m, K, edges, weight, mean, slope, centre, rate, out)
        count = 0
        for k in range(8):
            count += out[k] <= r
        if count > 0:
            low, start = first + (count - 1) * stride, np.int64(out[count - 1])
        if count < 8 and first + count * stride < high:
            high, end = first + count * stride, np.int64(out[count])
        stride = (high - low + 8) // 9
        first = low + stride
    return low, start, end - start


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

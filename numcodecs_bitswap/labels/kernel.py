"""Code which neighbour a number equals: binary decisions under a mixture of adaptive probabilities, with an arithmetic
coder (FORMAT.md 10). Integers only. Encoder and decoder are one function.
"""

import numpy as np

from ..rans.arithmetic_coder import begin, decide, end, overrun
from ..runtime.loops import compiled, inlined, part

MODELS = 6
"""Number of contexts of a decision."""
CONTEXT_LOG2 = 16
"""Each context is hashed to this many bits, the index of a cell."""
CANDIDATES = 6
"""Most candidates for a number."""
OWN = np.array(
    [(0, -1), (-1, 0), (-1, 1), (-1, -1), (0, -2), (-2, 0), (-1, 2), (-2, 1), (-2, -1), (-1, -2), (0, -3), (-3, 0)]
)
"""Neighbours (dy, dx) in the plane itself, which are coded before the pixel."""
OTHER = np.array([(0, 0), (0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)])
"""Neighbours (dy, dx) in the reference plane."""
POINTS = np.array([12, 12, 5, 5, 3, 3, 2, 2, 2, 2, 1, 1, 14, 5, 5, 5, 5, 2, 2, 2, 2])
"""Points that each neighbour of OWN, then OTHER, gives to the candidate it equals."""
RATE_LIMIT = 255
"""A cell's probability adapts at a rate that falls with its number of decisions, up to this many."""
_decide = inlined(getattr(decide, "py_func", decide))
"""Inlined into the loop, which makes it twice as fast."""


@inlined
def mixed(decode, bit, cells, count, probabilities, counts, weights, row, stretch, sigmoid, state, data):
    """Code a decision under the mixed probabilities of its contexts' cells, and adapt them and the weights."""
    dot = np.int64(0)
    for k in range(count):
        dot += weights[row, k] * stretch[probabilities[k, cells[k]] >> 4]
    x = min(max(dot >> 16, -4096), 4095)
    p = min(max(sigmoid[x + 4096], 16), 65520)
    bit = _decide(decode, bit, p, state, data)
    error = (bit << 16) - p
    for k in range(count):
        c = cells[k]
        old = np.int64(probabilities[k, c])
        weights[row, k] += (stretch[old >> 4] * error + (1 << 13)) >> 14
        n = np.int64(counts[k, c])
        probabilities[k, c] = min(max(old + ((bit << 16) - old) * 2 // (2 * n + 3), 16), 65520)
        if n < RATE_LIMIT:
            counts[k, c] = n + 1
    return bit


@inlined
def folded(value, salt):
    """Hash of a context, the index of its cell."""
    return ((value * 2654435761 + salt * 40503) & 0xFFFFFFFF) >> (32 - CONTEXT_LOG2)


def code_labels(
    decode, planes, references, own, other, points, stretch, sigmoid, probabilities, counts, weights, bits, data
):  # fmt: skip
    """Code planes uint32 (P, h, w), filled in place when decoding. Returns the length of the data; -1 if the decoder
    would have needed more.
    """
    P, h, w = planes.shape
    state = np.zeros(4, np.int64)
    begin(decode, state, data)
    near = np.zeros(len(own) + len(other), np.int64)
    cells = np.zeros(MODELS, np.int64)
    values, masks, scores = np.zeros_like(near), np.zeros_like(near), np.zeros_like(near)
    flat, around, across = planes.reshape(-1), own[:, 0] * w + own[:, 1], other[:, 0] * w + other[:, 1]
    seen = np.int64(0)  # all numbers so far are below this
    for p in range(P):
        r = references[p]
        total = len(own) + (len(other) if r >= 0 else 0)
        all_points, everyone = points[:total].sum(), (np.int64(1) << total) - 1
        for y in range(h):
            for x in range(w):
                inside = y >= 3 and x >= 3 and x < w - 3 and y < h - 1
                at = (p * h + y) * w + x
                if inside:
                    for k in range(len(own)):
                        near[k] = flat[at + around[k]]
                    if r >= 0:
                        at = (r * h + y) * w + x
                        for k in range(len(other)):
                            near[len(own) + k] = flat[at + across[k]]
                for k in range(0 if inside else len(own)):
                    yy, xx = y + own[k, 0], x + own[k, 1]
                    if yy < 0 or xx < 0 or xx >= w:
                        # the nearest known pixel
                        xx = min(max(xx, 0), w - 1)
                        yy = max(yy, 0)
                        if yy == y and xx >= x:
                            yy = y - 1
                            xx = x
                    near[k] = planes[p, yy, xx] if yy >= 0 else 0
                for k in range(0 if inside else total - len(own)):
                    yy = min(max(y + other[k, 0], 0), h - 1)
                    xx = min(max(x + other[k, 1], 0), w - 1)
                    near[len(own) + k] = planes[r, yy, xx]
                different = np.int64(0)
                for k in range(total):
                    different |= near[k] ^ near[0]
                actual = np.int64(planes[p, y, x])
                covered = np.int64(0)  # neighbours whose value is among the candidates
                count = 0
                if different == 0:
                    values[0], masks[0], scores[0] = near[0], everyone, all_points
                    covered, count = everyone, 1
                tried = np.int64(0)  # neighbours whose value has been ruled out
                rank = 0
                found = False
                while rank < CANDIDATES and tried != everyone:
                    # The candidate with the most points; in a tie the first.
                    best = -1
                    for c in range(count):
                        if masks[c] & tried == 0 and (best < 0 or scores[c] > scores[best]):
                            best = c
                    while covered != everyone and (best < 0 or 2 * scores[best] <= all_points):
                        k = 0
                        while covered >> k & 1:
                            k += 1
                        mask, score = np.int64(0), np.int64(0)
                        for j in range(k, total):
                            if near[j] == near[k]:
                                mask |= np.int64(1) << j
                                score += points[j]
                        covered |= mask
                        values[count], masks[count], scores[count] = near[k], mask, score
                        if best < 0 or score > scores[best]:
                            best = count
                        count += 1
                    value, same = values[best], masks[best]
                    tried |= same
                    here, there = same & 4095, same >> 12
                    first = rank if rank < 3 else 3
                    known = 1 if r >= 0 else 0
                    cells[0] = folded((here & 1023) << 3 | first << 1 | known, 1)
                    cells[1] = folded(there << 6 | (here & 15) << 2 | first, 2)
                    cells[2] = folded(((there & 15) << 4 | here & 15) << 2 | first, 3)
                    cells[3] = folded(here << 2 | first, 4)
                    cells[4] = folded((value << 3 | (here & 3) << 1 | there & 1) << 2 | first, 5)
                    cells[5] = folded((value << 20 | near[0] << 8 | (here & 63)) << 2 | first, 6)
                    row = first << 4 | (here & 3) << 2 | (there & 1) << 1 | known
                    hit = mixed(
                        decode, np.int64(actual == value), cells, MODELS, probabilities, counts, weights, row, stretch,
                        sigmoid, state, data,
                    )  # fmt: skip
                    if hit == 1:
                        actual = value
                        found = True
                        break
                    rank += 1
                if not found:
                    cells[0] = 0
                    cells[1] = min(rank, 15)
                    fresh = mixed(
                        decode, np.int64(actual == seen), cells, 2, probabilities, counts, weights, 64, stretch,
                        sigmoid, state, data,
                    )  # fmt: skip
                    if fresh == 1:
                        actual = seen
                    else:
                        actual = number(decode, actual, bits, near[0], probabilities, counts, weights, stretch, sigmoid,
                                        cells, state, data)  # fmt: skip
                seen = max(seen, actual + 1)
                planes[p, y, x] = actual
                if decode and overrun(state, data):
                    return -1
    return end(decode, state, data)


@part
def number(decode, actual, bits, west, probabilities, counts, weights, stretch, sigmoid, cells, state, data):
    """Code a number that equals no candidate, bit by bit from the highest."""
    tree = np.int64(1)
    for k in range(bits - 1, -1, -1):
        prefix = tree if tree < 4096 else 4096 + k
        cells[0] = folded(prefix << 5 | k, 7)
        cells[1] = folded((west << 12 | prefix & 4095) << 5 | k, 8)
        bit = mixed(
            decode, actual >> k & 1, cells, 2, probabilities, counts, weights, 65, stretch, sigmoid, state, data
        )
        tree = tree << 1 | bit
    return tree - (np.int64(1) << bits)


code_labels = compiled(code_labels)

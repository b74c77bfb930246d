"""Section 10 of FORMAT.md, for `frames`: labels. Plain Python integers, one decision after the other."""

import numpy as np
from numpy.typing import NDArray

from reference.distributions import SIGMOID, Ints
from reference.networks import require

OWN = [(0, -1), (-1, 0), (-1, 1), (-1, -1), (0, -2), (-2, 0), (-1, 2), (-2, 1), (-2, -1), (-1, -2), (0, -3), (-3, 0)]
OTHER = [(0, 0), (0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)]
POINTS = [12, 12, 5, 5, 3, 3, 2, 2, 2, 2, 1, 1, 14, 5, 5, 5, 5, 2, 2, 2, 2]
SIG = [int(value) for value in SIGMOID]
STRETCH = [
    min(max(next((i for i in range(8192) if SIG[i] >= 16 * u + 8), 8192) - 4096, -4095), 4095) for u in range(4096)
]


def fold(v: int, salt: int) -> int:
    return (2654435761 * v + 40503 * salt) % 2**32 >> 16


class Decisions:
    """The arithmetic decoder (10.1)."""

    def __init__(self, data: bytes) -> None:
        self.data, self.read, self.R, self.C = data, 0, 2**32 - 1, 0
        for _ in range(4):
            self.C = 256 * self.C + self.byte()

    def byte(self) -> int:
        self.read += 1
        require(self.read <= len(self.data) + 3, "no byte is read beyond the three behind the last")
        return self.data[self.read - 1] if self.read <= len(self.data) else 0

    def decision(self, p: int) -> int:
        bound = (self.R >> 16) * p
        decision = int(bound > self.C)
        self.C, self.R = (self.C, bound) if decision else (self.C - bound, self.R - bound)
        while self.R < 2**24:
            self.C, self.R = 256 * self.C + self.byte(), 256 * self.R
        return decision

    def end(self) -> None:
        require(self.read == len(self.data) + 3, "all bytes are read")


class Decider(Decisions):
    """The cells and the weights of labels."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.cells: dict[tuple[int, int], tuple[int, int]] = {}
        self.weights = [[2**16 // 3] * 6 for _ in range(64)] + [[2**15] * 6 for _ in range(2)]

    def decide(self, row: int, contexts: list[int]) -> int:
        known = [self.cells.get((k, cell), (2**15, 0)) for k, cell in enumerate(contexts)]
        w = self.weights[row]
        s = [STRETCH[P >> 4] for P, _ in known]
        x = min(max(sum(w[k] * s[k] for k in range(len(s))) >> 16, -4096), 4095)
        p = min(max(SIG[x + 4096], 16), 65520)
        decision = self.decision(p)
        e = 2**16 * decision - p
        for k, (P, count) in enumerate(known):
            w[k] += s[k] * e + 2**13 >> 14
            P = min(max(P + (2**16 * decision - P) * 2 // (2 * count + 3), 16), 65520)
            self.cells[k, contexts[k]] = P, min(count + 1, 255)
        return decision


def decode_labels(data: bytes, shape: tuple[int, int, int], references: list[int], m: int) -> Ints:
    """Planes (P, h, w); `references`: the number of an earlier plane of each, or -1."""
    planes = np.zeros(shape, np.int64)
    decider, largest = Decider(data), -1
    for p in range(shape[0]):
        for y in range(shape[1]):
            for x in range(shape[2]):
                number = decode_one(decider, planes, p, y, x, references[p], largest, m)
                require(number <= m, "a number of 0..m")
                planes[p, y, x] = number
                largest = max(largest, number)
    decider.end()
    return planes


def decode_one(decider: Decider, planes: Ints, p: int, y: int, x: int, reference: int, largest: int, m: int) -> int:
    N = neighbours(planes, p, y, x, reference)
    left = set(range(len(N)))
    g, r = int(reference >= 0), 0
    while r < 6 and left:
        score = {j: sum(POINTS[i] for i in range(len(N)) if N[i] == N[j]) for j in left}
        c = N[max(sorted(left), key=lambda j: score[j])]
        same = [j for j in range(len(N)) if N[j] == c]
        S = sum(2**j for j in same)
        A, B, f = S % 2**12, S >> 12, min(r, 3)
        contexts = [
            fold(8 * (A % 2**10) + 2 * f + g, 1),
            fold(64 * B + 4 * (A % 16) + f, 2),
            fold(4 * (16 * (B % 16) + A % 16) + f, 3),
            fold(4 * A + f, 4),
            fold(4 * (8 * c | 2 * (A % 4) | B % 2) + f, 5),
            fold(4 * (2**20 * c | 2**8 * N[0] | A % 64) + f, 6),
        ]
        if decider.decide(16 * f + 4 * (A % 4) + 2 * (B % 2) + g, contexts):
            return c
        left -= set(same)
        r += 1
    if decider.decide(64, [0, r]):
        return largest + 1
    T = 1
    for k in reversed(range(max(m.bit_length(), 1))):
        U = T if T < 4096 else 4096 + k
        T = 2 * T + decider.decide(65, [fold(32 * U + k, 7), fold(32 * (2**12 * N[0] | U % 2**12) + k, 8)])
    return T - 2 ** max(m.bit_length(), 1)


def neighbours(planes: Ints, p: int, y: int, x: int, reference: int) -> list[int]:
    _, h, w = planes.shape
    found = []
    for dy, dx in OWN:
        v, u = y + dy, x + dx
        if not (v >= 0 and 0 <= u < w):
            v, u = max(v, 0), min(max(u, 0), w - 1)
            if v == y and u >= x:
                v, u = y - 1, x
        found.append(int(planes[p, v, u]) if v >= 0 else 0)
    if reference >= 0:
        found += [int(planes[reference, min(max(y + dy, 0), h - 1), min(max(x + dx, 0), w - 1)]) for dy, dx in OTHER]
    return found


def plane_array(planes: NDArray[np.int64], shape: tuple[int, ...], axes: tuple[int, int]) -> Ints:
    """The array whose planes these are."""
    lead = [n for axis, n in enumerate(shape) if axis not in axes]
    return np.moveaxis(planes.reshape(*lead, shape[axes[0]], shape[axes[1]]), (-2, -1), axes)

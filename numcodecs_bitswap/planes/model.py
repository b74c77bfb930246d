"""A model of the plane coder: architecture and integer tensors, checked and laid out for the kernels. numpy only."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checks import check_layers, find, require, whole
from .tables import AROUND, FAR, NEAR, OTHER, OUTPUTS, OWN, REFERENCES, SEEN_OTHER, SEEN_OWN, WEIGHT_BITS, WEIGHT_CLIP

MOST_PREDICTORS, MOST_WIDTH, MOST_BLOCKS, MOST_MIXTURES = 8, 128, 8, 7


def input_size(predictors: int, references: int) -> int:
    """Number of inputs of the network for planes with `references` references."""
    own = SEEN_OWN + predictors + 1 + len(NEAR) * predictors + 2 + predictors + 4
    return own + references * (1 + SEEN_OTHER + len(AROUND))


class PlaneModel:
    """Predictors and networks of a model.

    Parameters
    ----------
    arch : dict
        "supports": [[own, other], ...], one for each predictor; "forgetting": [[in u, in y], ...] in 1/256;
        "reach": blocks on either side; "period": blocks from one solution to the next; "ridge"; "width", "blocks",
        "mixtures".
    tensors : dict of ndarray
        Of the networks net0 .. net{references}, and the ridge targets.

    Raises
    ------
    ModelError
        The parameters break a rule of FORMAT.md section 7.
    """

    def __init__(self, arch: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> None:
        _check_arch(arch)
        _check_tensors(arch, tensors)
        self.arch = arch
        supports = arch["supports"]
        V, Rs = len(supports), REFERENCES + 1
        self.width, self.blocks, self.mixtures = arch["width"], arch["blocks"], arch["mixtures"]
        orders, sizes = np.zeros(Rs, np.int64), np.zeros((Rs, V), np.int64)
        moves = np.zeros((Rs, len(OWN) + REFERENCES * len(OTHER), 3), np.int64)
        own, other = np.zeros((Rs, len(OWN)), np.int64), np.zeros((Rs, REFERENCES, len(OTHER)), np.int64)
        for R in range(Rs):
            j, before, before_other = 0, 0, 0
            for v in sorted(range(V), key=lambda v: supports[v][0]):  # small supports are parts of larger ones
                for k in range(before, supports[v][0]):
                    own[R, k], moves[R, j] = j, (0, *_move(OWN[k]))
                    j += 1
                for q in range(R):
                    for k in range(before_other, supports[v][1]):
                        other[R, q, k], moves[R, j] = j, (1 + q, *_move(OTHER[k]))
                        j += 1
                before, before_other = supports[v]
                sizes[R, v] = j
            orders[R] = j
        self.orders, self.sizes, self.moves = orders, sizes, moves
        self.near_rows = own[:, :4].copy()
        tables = [_puts(R, V, own[R], other[R]) for R in range(Rs)]
        self.put_counts = np.array([len(each) - 1 for each in tables], np.int64)
        self.puts = np.zeros((Rs, max(map(len, tables)), 5), np.int64)
        for R, each in enumerate(tables):
            self.puts[R, : len(each)] = each
        self.lams = np.array([f[0] for f in arch["forgetting"]], np.float32) / np.float32(256)
        self.lamv = np.array([f[1] for f in arch["forgetting"]], np.float32) / np.float32(256)
        self.period = np.array(arch["period"], np.int64)
        self.reach = np.array(arch["reach"], np.int64)
        self.ridges = np.array(arch["ridge"], np.float32)
        self.targets = np.zeros((Rs, int(orders.max())), np.float32)
        for R in range(Rs):
            if f"target{R}" in tensors:
                self.targets[R, : orders[R]] = tensors[f"target{R}"].astype(np.float32) / np.float32(1 << WEIGHT_BITS)
        self.nets, self.blob = self._pack(tensors)
        self.last_layers = [
            (tensors[f"net{R}.head.w"], tensors[f"net{R}.head.f"].astype(np.int64)) for R in range(REFERENCES + 1)
        ]

    def _pack(self, tensors: dict[str, NDArray[Any]]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """The networks' layers in one array of words, and where each begins."""
        parts: list[NDArray[np.int32]] = []
        at = 0

        def add(part: NDArray[np.int32]) -> int:
            nonlocal at
            begin = at
            parts.append(part)
            at += len(part)
            return begin

        nets = []
        for R in range(REFERENCES + 1):
            steps = (tensors[f"net{R}.in.w"].shape[1] + 3) // 4
            names = [("in", 128)]
            for k in range(self.blocks):
                names += [(f"{k}.a", 0), (f"{k}.b", 0)]
            names += [("head", 0), ("skip", 128)]
            row = [steps]
            for name, offset in names:
                w, b, f = (tensors[f"net{R}.{name}.{end}"] for end in "wbf")
                full = np.zeros((-(-w.shape[0] // OUTPUTS) * OUTPUTS, -(-w.shape[1] // 4) * 4), np.int8)
                full[: w.shape[0], : w.shape[1]] = w
                half = np.where(f > 0, 1 << np.maximum(f.astype(np.int64) - 1, 0), 0)
                bias = b.astype(np.int64) + half - offset * w.astype(np.int64).sum(1)
                pad = np.zeros(len(full) - len(b), np.int32)
                row.append(add(full.reshape(-1).view(np.int32)))
                row.append(add(np.concatenate([bias.astype(np.int32), pad])))
                row.append(add(np.concatenate([f.astype(np.int32), pad])))
            nets.append(row)
        return np.array(nets, np.int64), np.concatenate(parts)

    def kernel_arguments(self) -> tuple[Any, ...]:
        """The arguments of `code_tile` that depend on the model alone."""
        return (
            self.moves, self.orders, self.sizes, self.puts, self.put_counts, self.near_rows, _NEAR, _FAR, _AROUND,
            self.period, self.reach, self.lams, self.lamv, self.ridges, self.targets, self.width, self.blocks,
            self.mixtures, self.nets, self.blob,
        )  # fmt: skip


def _move(offset: tuple[int, int]) -> tuple[int, int]:
    """An offset (dy, dx) in a skewed plane: rows and places."""
    return offset[1] + 2 * offset[0], offset[0]


_NEAR, _FAR, _AROUND = (np.array([(dy, dx + 2 * dy) for dy, dx in each], np.int64) for each in (NEAR, FAR, AROUND))


def _puts(R: int, V: int, own: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """The row of numbers that each input is: (kind, row, move, move, factor), kind 0 a regressor, 1 a row made of
    predictions, 2 a row of a skewed array, -1 where an input is no such row. The last line: where logarithms begin, and
    those of the references.
    """
    puts = np.zeros((-(-input_size(V, R) // 4) * 4 + 1, 5), np.int64)
    puts[:, 0] = -1
    puts[:SEEN_OWN, 0], puts[:SEEN_OWN, 1] = 0, own[:SEEN_OWN]
    k = SEEN_OWN
    for v in range(V + 1):
        puts[k + v] = 1, v, 0, 0, 0
    k += V + 1
    for v in range(V):
        for a, offset in enumerate(NEAR):
            puts[k + a] = 2, 1 + R + v, *_move(offset), 0
        k += len(NEAR)
    puts[k], puts[k + 1] = (1, V + 1, 0, 0, 0), (1, V + 2, 0, 0, 0)
    at = k + 2
    k = at + V + 4
    logs = []
    for s in range(R):
        logs.append(k)
        for a in range(SEEN_OTHER):
            puts[k + 1 + a] = 0, other[s, a], 0, 0, 1 + s
        k += 1 + SEEN_OTHER
        for a, offset in enumerate(AROUND):
            puts[k + a] = 2, 2 + R + V + s, *_move(offset), 1 + s
        k += len(AROUND)
    puts[-1, : 1 + R] = at, *logs
    return puts


def layers(arch: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """The number of outputs and inputs of every layer, by name."""
    width, K = arch["width"], arch["mixtures"]
    sizes = {}
    for R in range(REFERENCES + 1):
        n = input_size(len(arch["supports"]), R)
        sizes[f"net{R}.in"] = width, n
        for k in range(arch["blocks"]):
            sizes[f"net{R}.{k}.a"] = sizes[f"net{R}.{k}.b"] = width, width
        sizes[f"net{R}.head"] = 3 * K, width
        sizes[f"net{R}.skip"] = 2 * K, n
    return sizes


_require = partial(require, "planes")


def _pairs(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(each, list) and len(each) == 2 for each in values)


def _check_arch(arch: dict[str, Any]) -> None:
    """The rules of FORMAT.md section 7 on `arch`."""
    _require(arch.get("format", 1) == 1, "format 1: upgrade to read a newer one")
    supports: Any = arch.get("supports")
    _require(_pairs(supports) and 1 <= len(supports) <= MOST_PREDICTORS, f"1 .. {MOST_PREDICTORS} pairs of supports")
    most = len(OWN), len(OTHER)
    _require(
        all(whole(n, 1, limit) for each in supports for n, limit in zip(each, most, strict=True)),
        f"supports of 1 .. {most[0]} and 1 .. {most[1]} neighbours",
    )
    others = [other for _, other in sorted(supports, key=lambda each: each[0])]
    _require(others == sorted(others), "supports that ascend together")
    largest = [max(each) for each in zip(*supports, strict=True)]
    _require(largest[0] >= SEEN_OWN and largest[1] >= SEEN_OTHER, f"a support of {SEEN_OWN}, {SEEN_OTHER} or more")
    forgetting: Any = arch.get("forgetting")
    _require(
        _pairs(forgetting) and all(whole(n, 0, 255) for each in forgetting for n in each),
        "forgetting in pairs of 0 .. 255",
    )
    for key, least, limit in (("reach", 0, 8), ("period", 1, 8), ("ridge", 1024, 1 << 24)):
        values: Any = arch.get(key)
        _require(
            isinstance(values, list) and all(whole(n, least, limit) for n in values), f"{key} of {least} .. {limit}"
        )
    for key in ("forgetting", "reach", "period", "ridge"):
        _require(len(arch[key]) == len(supports), f"one {key} for each predictor")
    _require(whole(arch.get("width"), 8, MOST_WIDTH, 8), f"a width of 8, 16, ..., {MOST_WIDTH}")
    _require(whole(arch.get("blocks"), 0, MOST_BLOCKS), f"0 .. {MOST_BLOCKS} blocks")
    _require(whole(arch.get("mixtures"), 1, MOST_MIXTURES), f"1 .. {MOST_MIXTURES} mixtures")


def _check_tensors(arch: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> None:
    """The rules of FORMAT.md section 7 on tensors. Kernels do not look at bounds, so all of them are checked here."""

    check_layers("planes", layers(arch), tensors, 255)
    own, other = (max(each) for each in zip(*arch["supports"], strict=True))
    for R in range(REFERENCES + 1):
        if f"target{R}" in tensors:
            target = find("planes", tensors, f"target{R}", "int32", (own + R * other,))
            _require(int(np.abs(target).max()) <= WEIGHT_CLIP, f"targets of at most {WEIGHT_CLIP}")


DEFAULT: dict[str, Any] = {
    "supports": [[20, 9], [10, 6], [5, 4]],
    "forgetting": [[243, 230], [205, 205], [154, 154]],
    "reach": [3, 2, 1],
    "period": [2, 1, 1],
    "ridge": [65536, 65536, 65536],
    "width": 32,
    "blocks": 2,
    "mixtures": 3,
}


def random_tensors(arch: dict[str, Any], seed: int = 0) -> dict[str, NDArray[Any]]:
    """Integer tensors of an untrained network, for tests and as a starting point."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, NDArray[Any]] = {}
    K = arch["mixtures"]
    for name, (o, i) in layers(arch).items():
        tensors[f"{name}.w"] = rng.integers(-20, 21, (o, i)).astype(np.int8)
        tensors[f"{name}.b"] = np.zeros(o, np.int32)
        tensors[f"{name}.f"] = np.full(o, 10, np.uint8)
    for R in range(REFERENCES + 1):
        bias = np.concatenate([np.zeros(K), np.linspace(-24, 8, K), np.zeros(K)])
        tensors[f"net{R}.head.b"] = (bias * 1024).astype(np.int32)
    return tensors

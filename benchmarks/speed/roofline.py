"""Operations and bytes of a chunk's networks, and what the device can do at most: matrix products and copies, measured.

A multiplication and an addition are two operations, of padded layers as they are computed. Bytes are those that have to
move if every layer reads its input once, its weights once, and writes its output once: int8, or int32 where the output
is the network's.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any
from unittest import mock

import numpy as np

from numcodecs_bitswap.arrays import Array
from numcodecs_bitswap.nets import layers, numba_networks
from numcodecs_bitswap.nets.trunk import ChannelNetwork, Trunk

SIZES = {"cpu": [(4096, 512, 512), (8192, 1024, 512)], "cuda": [(8192, 8192, 8192), (65536, 1024, 1024)]}
"""Rows, inputs and outputs of the products that are tried for the ceiling."""
COPY = {"cpu": 1 << 27, "cuda": 1 << 30}
"""Bytes that are copied: too many for any cache."""


@dataclass
class Work:
    """Of networks: operations, and bytes that have to move."""

    operations: int = 0
    moved: int = 0

    def add(self, layer: layers.Layer, cells: int, out_bytes: int, window: int = 1) -> None:
        """One layer at so many cells; `window` inputs share what is read."""
        inputs = len(layer.weights)
        self.operations += 2 * cells * layer.weights.size
        self.moved += cells * (inputs // window + out_bytes * len(layer.shift)) + layer.weights.size


@dataclass(frozen=True)
class Ceilings:
    """The best that a device did: operations and bytes (read and written) per second."""

    operations: float
    moved: float

    def seconds(self, work: Work) -> float:
        """The least time for some work: its operations or its bytes, whichever takes longer."""
        return max(work.operations / self.operations, work.moved / self.moved)

    def bound(self, work: Work) -> str:
        """Which of the two it is."""
        return "products" if work.operations / self.operations > work.moved / self.moved else "memory"


@contextmanager
def counted() -> Iterator[Work]:
    """Count what the networks do meanwhile, from their layers and the grids that they are given."""
    work = Work()

    def trunk(net: Trunk, u: Array) -> None:
        cells = math.prod(u.shape[:3])
        work.add(net.first, cells, 1)
        for conv, out in net.blocks:
            work.add(conv, cells, 1, window=9)
            work.add(out, cells, 1)
        work.add(net.head, cells, 4)
        work.add(net.skip, cells, 4)

    def channel(net: ChannelNetwork, features: Array, *_: Array) -> None:
        cells = math.prod(features.shape[:3])
        work.add(net.first, cells, 1)
        work.add(net.out, cells, 4)

    with _before(Trunk, trunk), _before(ChannelNetwork, channel):
        yield work


def _before(network: type, note: Callable[..., None]) -> Any:
    call = network.__call__

    @wraps(call)
    def noted(*arguments: Any) -> Any:
        note(*arguments)
        return call(*arguments)

    return mock.patch.object(network, "__call__", noted)


def ceilings(device: str, streams: int = 1) -> Ceilings:
    """Measure a device with so many products, and copies, side by side, as the passes of the scheduler are.

    The product is the one that networks use.
    """
    if device == "cpu":
        return _cpu(streams)
    import torch

    from numcodecs_bitswap.nets.torch_layer import choose_gemm

    gemm = choose_gemm(torch.device(device))
    rate = 0.0
    for rows, inputs, outputs in SIZES[device]:
        a = torch.randint(-127, 128, (rows, inputs), dtype=torch.int8, device=device)
        w = torch.randint(-63, 64, (inputs, outputs), dtype=torch.int8, device=device)
        for weights in (w, w.T.contiguous().T):  # some libraries want one memory order, some the other
            products = [partial(gemm, part, weights) for part in a.chunk(streams)]
            rate = max(rate, 2 * a.numel() * outputs / _best(products, device))
    source = torch.ones(COPY[device], dtype=torch.int8, device=device)
    target = torch.zeros_like(source)
    copies = [partial(to.copy_, of) for to, of in zip(target.chunk(streams), source.chunk(streams), strict=True)]
    return Ceilings(rate, 2 * source.numel() / _best(copies, device))


def _cpu(streams: int) -> Ceilings:
    """The same of compiled loops and of copies by numpy."""
    rng, rate = np.random.default_rng(0), 0.0
    for rows, inputs, outputs in SIZES["cpu"]:
        a = rng.integers(-127, 128, (rows, inputs), np.int8)
        part: numba_networks.Part = (
            rng.integers(-63, 64, (inputs, outputs), np.int8),
            *np.zeros((2, outputs), np.int32),
            False,
        )
        weights = numba_networks.Weights([part])
        products = [partial(numba_networks.chained, each, weights) for each in np.array_split(a, streams)]
        rate = max(rate, 2 * a.size * outputs / _best(products, "cpu"))
    source, target = np.ones(COPY["cpu"], np.int8), np.zeros(COPY["cpu"], np.int8)
    pairs = zip(np.array_split(target, streams), np.array_split(source, streams), strict=True)
    return Ceilings(rate, 2 * source.size / _best([partial(np.copyto, to, of) for to, of in pairs], "cpu"))


def _best(works: Sequence[Callable[[], Any]], device: str, times: int = 7) -> float:
    """Seconds of the fastest run: a ceiling is what the device can do when nothing disturbs it."""
    seconds = []
    with ThreadPoolExecutor(len(works)) as pool:
        for _ in range(times + 1):
            _wait(device)
            start = time.perf_counter()
            for done in [pool.submit(work) for work in works]:
                done.result()
            _wait(device)
            seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def _wait(device: str) -> None:
    if device == "cuda":
        import torch

        torch.cuda.synchronize()

"""Operations and bytes of a chunk's networks, and what the device can do at most: matrix products and copies, measured.

A multiplication and an addition are two operations, of padded layers as they are computed. Bytes are those that have to
move if every layer reads its input once, its weights once, and writes its output once: int8, or int32 where the output
is the network's.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial, wraps
from itertools import product
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from numcodecs_bitswap.errors import DeviceError
from numcodecs_bitswap.nets import exact
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

    def add(self, layer: exact.Layer, cells: int, out_bytes: int, window: int = 1) -> None:
        """One layer at so many cells; `window` inputs share what is read."""
        inputs = len(layer.weights)
        self.operations += 2 * cells * layer.weights.numel()
        self.moved += cells * (inputs // window + out_bytes * len(layer.shift)) + layer.weights.numel()


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

    def trunk(net: Trunk, u: Tensor) -> None:
        cells = u.shape[:3].numel()
        work.add(net.first, cells, 1)
        for conv, out in net.blocks:
            work.add(conv, cells, 1, window=9)
            work.add(out, cells, 1)
        work.add(net.head, cells, 4)
        work.add(net.skip, cells, 4)

    def channel(net: ChannelNetwork, features: Tensor, *_: Tensor) -> None:
        cells = features.shape[:3].numel()
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

    On a CPU the caller limits torch to one thread for each. The product is the faster one of those that networks use.
    """
    rate = 0.0
    named = {exact.choose_gemm(torch.device(device), name) for name in _products(device)}
    for gemm, (rows, inputs, outputs) in product(named, SIZES[device]):
        a = torch.randint(-127, 128, (rows, inputs), dtype=torch.int8, device=device)
        w = torch.randint(-63, 64, (inputs, outputs), dtype=torch.int8, device=device)
        for weights in (w, w.T.contiguous().T):  # some libraries want one memory order, some the other
            products = [partial(gemm, part, weights) for part in a.chunk(streams)]
            rate = max(rate, 2 * a.numel() * outputs / _best(products, device))
    source = torch.ones(COPY[device], dtype=torch.int8, device=device)
    target = torch.zeros_like(source)
    copies = [partial(to.copy_, of) for to, of in zip(target.chunk(streams), source.chunk(streams), strict=True)]
    return Ceilings(rate, 2 * source.numel() / _best(copies, device))


def _products(device: str) -> Iterator[str]:
    """`auto`, and torch's int8 product, which packs no weights anew, where it is exact."""
    yield "auto"
    with suppress(DeviceError):
        exact.choose_gemm(torch.device(device), "int8")
        yield "int8"


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
        torch.cuda.synchronize()

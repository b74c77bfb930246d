"""Where the bytes and the seconds of this codec go: total bits against the model's bound, and time by part."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from operator import itemgetter
from typing import Any, cast
from unittest import mock

import numpy as np
from numcodecs.abc import Codec

from benchmarks.images import Chunk
from benchmarks.research.bound import bound_bits
from numcodecs_bitswap import BitSwap
from numcodecs_bitswap.backends import for_device
from numcodecs_bitswap.chunk import coding, frame, model_route, plane_route
from numcodecs_bitswap.chunk.plane_payload import PlanesPayload
from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.nets import bit_swap, numba_networks, parameters, stage, vae
from numcodecs_bitswap.planes import coder
from numcodecs_bitswap.planes.model import PlaneModel
from numcodecs_bitswap.rans.message import Message
from numcodecs_bitswap.runtime import scheduler


def overhead(model: str, chunks: Sequence[Chunk]) -> dict[str, float]:
    """Bytes of the chunks that a model codes, apart, and the bound -log2 p of the integer model for the same.

    Returns
    -------
    dict
        `chunks`: how many; `frames`, `headers`, `bound`: bytes in all; `excess`: frames / bound - 1.
        Empty if none does.
    """
    net = catalog.load(model, "cpu").net
    total: dict[str, float] = defaultdict(float)
    for pixels in chunks:
        encoded = BitSwap(model=model).encode(pixels)
        header, payload = frame.parse(memoryview(encoded))
        if header.route == frame.Route.MODEL:
            coded = frame.parse_model(header, payload)
            message = 4 * coded.lanes + coded.tail.nbytes
            patch = pixels.reshape(1, 1, *pixels.shape[:2], -1)
            bound = bound_bits(net, [patch], model_route.lanes(pixels.size)).item() / 8
        elif header.route == frame.Route.PLANES and (planes := plane_route.Decoding(header, payload)).model:
            message, bound = _planes_bound(planes)
        else:
            continue
        total["chunks"] += 1
        total["frames"] += len(encoded)
        total["headers"] += len(encoded) - message
        total["bound"] += bound
    return {**total, "excess": total["frames"] / total["bound"] - 1} if total else {}


def _planes_bound(decoding: plane_route.Decoding) -> tuple[int, float]:
    """Bytes of the message of planes of one tile, and the bound."""
    payload = decoding.payload
    assert isinstance(payload, PlanesPayload)
    assert decoding.model is not None
    net, references = cast(PlaneModel, decoding.model.net), decoding.order.refer(payload.samples.order)
    bound = sum(coder.costs(net, decoding.planes().astype(np.int32), references, payload.m)) / 256 / 8
    return sum(4 * len(heads) + len(tail) for heads, tail in payload.messages), bound


def split(codec: Codec, pixels: Chunk, repeats: int = 7) -> dict[str, dict[str, float]]:
    """Share of the time of encode and decode by part, and MB/s: of the run of median speed; one chunk at a time.

    Framing is everything before and after the model's pass: checksums, patches, frame bytes and, when encoding, the
    stored frame that the model's has to beat.
    """
    encoded = codec.encode(pixels)
    return {
        "encode": _shares(lambda: codec.encode(pixels), pixels.nbytes, repeats),
        "decode": _shares(lambda: codec.decode(encoded), pixels.nbytes, repeats),
    }


def _shares(work: Callable[[], Any], n_bytes: int, repeats: int) -> dict[str, float]:
    work()
    runs = []
    for _ in range(repeats):
        seconds: dict[str, float] = defaultdict(float)
        with _timed(seconds):
            started = time.perf_counter()
            work()
            total = time.perf_counter() - started
        runs.append(
            [
                seconds["products"] / total,
                (seconds["networks"] - seconds["products"]) / total,
                seconds["message"] / total,
                seconds["framing"] / total,
                1 - (seconds["networks"] + seconds["message"] + seconds["framing"]) / total,
                n_bytes / total / 1e6,
            ]
        )
    names = ("matrix products", "rest of the networks", "intervals and rANS", "framing", "Python and the rest", "MB/s")
    return dict(zip(names, sorted(runs, key=itemgetter(-1))[repeats // 2], strict=True))


def _products() -> list[tuple[Any, str, str]]:
    """What makes the matrix products on the device: whole networks or layers may, with what follows a product."""
    if scheduler.device() == "cpu":
        return [(each, "__call__", "products") for each in (numba_networks.Network, numba_networks.Chain)]
    layers: Any = for_device(scheduler.device())._layers  # type: ignore[attr-defined]
    return [(layers, name, "products") for name in ("dense", "block", "outputs", "corrected", "correction")]


def synchronize() -> None:
    """Wait for the GPU."""
    import torch

    torch.cuda.synchronize()


@contextmanager
def _timed(seconds: dict[str, float]) -> Iterator[None]:
    """Add up the time spent in products (inside networks), networks, and pushes and pops."""

    def timer(function: Callable[..., Any], name: str) -> Callable[..., Any]:
        @wraps(function)
        def run(*arguments: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*arguments)
            finally:
                if scheduler._cuda_used:  # what was asked for is to be done in this part's time
                    synchronize()
                seconds[name] += time.perf_counter() - started

        return run

    places = [
        *_products(),
        (stage.Stage, "pass_a", "networks"),
        (stage.Stage, "pass_b", "networks"),
        (parameters.PhaseParameters, "channel", "networks"),
        (bit_swap.BitSwapModel, "posterior", "networks"),
        (bit_swap.BitSwapModel, "likelihood", "networks"),
        (bit_swap.BitSwapModel, "conditional", "networks"),
        (vae.VaeModel, "posterior", "networks"),
        (vae.VaeModel, "likelihood", "networks"),
        (Message, "push", "message"),
        (Message, "pop", "message"),
        (Message, "costs", "message"),
        *((each, name, "framing") for each in (coding.Encoding, coding.Decoding) for name in ("__init__", "finish")),
    ]
    patches = [mock.patch.object(place, name, timer(getattr(place, name), part)) for place, name, part in places]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()

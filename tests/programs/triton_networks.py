"""Tests of networks in Triton's interpreter: run by test_triton.py, with TRITON_INTERPRET=1."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from numcodecs_bitswap import backends
from numcodecs_bitswap.backends.on_torch import TorchBackend
from numcodecs_bitswap.bitsback import groups, scale_shifts
from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.nets import layers, torch_networks, torch_ops, triton_ops
from numcodecs_bitswap.nets.torch_layer import TorchLayer as Layer
from numcodecs_bitswap.nets.units import aligned
from numcodecs_bitswap.rans import triton_backend
from numcodecs_bitswap.rans.message import Message
from pictures import photograph

LANES = 32
"""Of messages: with fewer there are more rows, which the interpreter does one by one."""
few = settings(max_examples=12)
seeds = st.integers(0, 2**32)
grids = st.tuples(st.integers(1, 2), st.integers(1, 6), st.integers(1, 6))


@pytest.fixture(autouse=True)
def trusting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The kernels alone: no first calls that are compared, no warnings, no torch functions in their place."""

    class Trusted(dict[Any, bool]):
        def __contains__(self, kind: object) -> bool:
            return True

        def __missing__(self, kind: Any) -> bool:
            return True

    monkeypatch.setattr(triton_ops, "_agrees", Trusted())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def layer(rng: np.random.Generator, segments: tuple[int, ...], n_out: int, wide: bool) -> Layer:
    """A layer with many weights as large as they may be, small shifts and biases."""
    limit, inputs = 4032 if wide else 63, sum(segments)
    tensors = {
        "x.w": rng.choice([-limit, limit, *rng.integers(-limit, limit + 1, 3)], (n_out, inputs)),
        "x.b": rng.integers(-(2**18), 2**18, n_out).astype(np.int32),
        "x.f": rng.integers(0, 16, n_out).astype(np.uint8),
    }
    tensors["x.w"] = tensors["x.w"].astype(np.int16 if wide else np.int8)
    return Layer(layers.Layer(tensors, "x", segments), torch.device("cpu"))


def integers(rng: np.random.Generator, low: int, high: int, shape: Any, dtype: Any) -> Tensor:
    """Mostly extreme values."""
    return torch.from_numpy(rng.choice([low, high, *rng.integers(low, high + 1, 5)], shape).astype(dtype))


def activations(rng: np.random.Generator, cells: tuple[int, ...], channels: int) -> Tensor:
    return integers(rng, -127, 127, (*cells, aligned(channels)), np.int8)


def assert_same(function: str, reference: Any, *arguments: Any) -> None:
    results = []
    for module in (triton_ops, reference):
        mine = [each.clone() if isinstance(each, Tensor) and each.is_contiguous() else each for each in arguments]
        result = getattr(module, function)(*mine)
        results.append((result,) if isinstance(result, Tensor) else result)
    for one, other in zip(*results, strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)


@few
@given(grids, st.sampled_from([1, 13, 48, 150]), st.sampled_from([1, 24, 150]), st.booleans(), seeds)
def test_layers(cells: tuple[int, ...], inputs: int, n_out: int, wide: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    u, h = activations(rng, cells, inputs), activations(rng, cells, 9)
    skip = layer(rng, (inputs,), n_out, wide)
    assert_same("dense", torch_networks, u, skip)
    assert_same("outputs", torch_networks, h, layer(rng, (9,), n_out, not wide), u, skip)


@few
@given(grids, st.sampled_from([3, 24, 48]), st.sampled_from([8, 33]), st.booleans(), st.booleans(), seeds)
def test_blocks(cells: tuple[int, ...], width: int, inner: int, wide: bool, wide_out: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    conv, out = layer(rng, (width,) * 9, inner, wide), layer(rng, (inner,), width, wide_out)
    assert_same("block", torch_networks, activations(rng, cells, width), conv, out)


@few
@given(grids, st.sampled_from([3, 48]), st.integers(0, 2), st.tuples(st.booleans(), st.booleans()), seeds)
def test_channel_networks(cells: tuple[int, ...], width: int, ch: int, wide: tuple[bool, bool], seed: int) -> None:
    """Also where the last row or column of pixels does not exist."""
    rng = np.random.default_rng(seed)
    first = layer(rng, (width, ch) if ch else (width,), 20, wide[0])
    layers, features = (first, layer(rng, (20,), 9, wide[1])), activations(rng, cells, width)
    _, h, w = cells
    pixels = integers(rng, 0, 255, (cells[0], 2 * h, 2 * w, 3), np.int16)[:, : 2 * h - rng.integers(2) : 2, 1::2]
    if ch:
        assert_same(
            "correction", torch_networks, features, pixels, integers(rng, 0, 8160, (*cells, 3), np.int16), ch, layers
        )
    else:
        assert_same("corrected", torch_networks, features.flatten(0, 2), *layers)


@few
@given(grids, st.sampled_from([1, 3]), seeds)
def test_windows(cells: tuple[int, ...], channels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, h, w = cells
    double = integers(rng, 0, 255, (n, 2 * h, 2 * w, channels), np.int16)
    c, d = double[:, ::2, ::2], double[:, 1::2, 1::2]
    assert_same("inputs_a", torch_ops, c)
    assert_same("inputs_b", torch_ops, c, d.contiguous())


@few
@given(grids, st.sampled_from([1, 3]), st.integers(1, 4), st.integers(0, 1), st.integers(0, 1), seeds)
def test_parameters(cells: tuple[int, ...], c: int, k: int, rows: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    _, h, w = cells
    y = integers(rng, -9000, 9000, (*cells, 3 * k * c + c * (c - 1) // 2 + 5), np.int32)
    added = integers(rng, -200, 200, (*cells, 3 * k + 2), np.int32)
    base = integers(rng, 0, 8 * 4 * 255, (*cells, c), np.int16)
    pixels = integers(rng, 0, 255, (*cells, c), np.int16)[:, : h - rows, : w - columns]
    if pixels.numel():
        for ch in range(c):
            assert_same("mixtures", torch_ops, y, 5, added if ch % 2 else None, base, pixels, ch, k)


def model_on(name: str, backend: Any) -> Any:
    """A shipped model on a backend."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backends, "for_device", lambda device: backend)
        return catalog._load(catalog.find(name), "torch").net


@pytest.mark.parametrize("name", ["tiny-rgb8-v1", "tiny-gray8-flow"])
def test_chunks(name: str) -> None:
    """Two chunks: the same words as by the products of torch, and back."""
    plain_model, model = (model_on(name, TorchBackend("torch", triton=triton)) for triton in (False, True))
    chunks = np.stack([photograph()[None, y : y + 8, 200:209, : model.channels] for y in (60, 150)])
    plain = groups.encode(plain_model, [chunks], LANES, model.cores[0])
    coded = groups.encode(model, [chunks], LANES, model.cores[0])
    (decoded,) = groups.decode(model, coded, [chunks.shape[1:4]], model.cores[0])
    assert np.array_equal(decoded, chunks)
    for one, other in zip(coded, plain, strict=True):
        assert one.schedule == other.schedule
        assert np.array_equal(one.heads, other.heads)
        assert np.array_equal(one.tail, other.tail)


aten = torch.ops.aten
WAITS = (
    *(aten._local_scalar_dense.default, aten.is_nonzero.default, aten.equal.default),
    *(aten.nonzero.default, aten.masked_select.default),
)


class Asked(TorchDispatchMode):
    """Counts what on a GPU would wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        self.count += function in WAITS
        return function(*arguments, **(options or {}))


@pytest.mark.parametrize(("name", "side"), [("tiny-gray8-v1", 32), ("tiny-gray8-flow", 16)])
def test_the_device_is_not_asked_before_the_end(name: str, side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks with shifts, bits-back, both ways: only `check` waits, once for a group and once in the end. The words are
    those of the other backends.
    """
    chunk = photograph()[None, None, 60 : 60 + side, 200 : 200 + side, :1]
    plain_model = catalog.load(name, "cpu").net
    lanes, core = side * side // 4, plain_model.cores[0]
    (plain,) = groups.encode(plain_model, [chunk], lanes, core)
    checks, waits = Message.check, []
    model = model_on(name, TorchBackend("torch", triton=True))
    monkeypatch.setattr(model.backend.arrays, "asks", False)
    monkeypatch.setattr(triton_backend, "ENOUGH", 0)
    monkeypatch.setattr(Message, "check", lambda self: waits.append(1) or checks(self))
    with Asked() as asked:
        (coded,) = groups.encode(model, [chunk], lanes, core)
    assert (asked.count, len(waits)) == (0, 2)
    with Asked() as asked:
        (decoded,) = groups.decode(model, [coded], [chunk.shape[1:4]], core)
    assert (asked.count, len(waits)) == (0, 3)
    assert np.array_equal(decoded, chunk)
    assert coded.schedule == plain.schedule == ((1, groups.BITS_BACK),)
    assert np.array_equal(coded.heads, plain.heads)
    assert np.array_equal(coded.tail, plain.tail)
    assert scale_shifts.FEWEST <= 16 * 16


@pytest.mark.parametrize("wrong", [lambda *_: torch.zeros(1), lambda *_: 1 // 0])
def test_what_is_not_exact_is_not_used(wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, made = np.random.default_rng(0), []
    monkeypatch.setattr(triton_ops, "_agrees", {})
    u, first = activations(rng, (1, 2, 3), 5), layer(rng, (5,), 7, False)

    def dense(*arguments: Any) -> Any:
        made.append(arguments)
        return wrong(*arguments)

    replaced = triton_ops.checked(torch_networks.dense)(dense)
    with pytest.warns(UserWarning, match="replace Triton's dense"):
        assert torch.equal(replaced(u, first), torch_networks.dense(u, first))
    assert torch.equal(replaced(u, first), torch_networks.dense(u, first))  # and warns no more
    assert len(made) == 1

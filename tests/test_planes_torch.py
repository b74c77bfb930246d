"""The plane coder in torch: the bytes of the compiled kernel, which are the format, and its way back."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from numcodecs_bitswap.errors import FormatError, ModelError
from numcodecs_bitswap.planes import coder, torch_tiles
from numcodecs_bitswap.planes.message import Message
from numcodecs_bitswap.planes.model import DEFAULT, PlaneModel, random_tensors

SMALL = {
    "supports": [[16, 8], [3, 2]], "forgetting": [[243, 230], [154, 205]], "reach": [2, 0], "period": [1, 2],
    "ridge": [4096, 16384], "width": 16, "blocks": 1, "mixtures": 2,
}  # fmt: skip
UNEVEN = {
    "supports": [[3, 1], [23, 12], [1, 1]], "forgetting": [[255, 255], [250, 128], [1, 0]], "reach": [0, 1, 4],
    "period": [3, 1, 2], "ridge": [1024, 4096, 1 << 20], "width": 24, "blocks": 0, "mixtures": 5,
}  # fmt: skip
ARCHS = {"small": SMALL, "default": DEFAULT, "uneven": UNEVEN}
NONE, ONE, TWO = [[-1, -1]] * 4, [[-1], [0], [1], [0]], [[-1, -1], [0, -1], [1, 0], [0, 2]]
THREE = [[-1, -1, -1], [0, -1, -1], [1, 0, -1], [2, 1, 0]]
LEVELS = [1, 15, 16, 255, 4095, 65535]
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tensors here are small: threads would wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def model_of(arch: str, seed: int, kind: str = "plain") -> PlaneModel:
    """A random model: "plain" sums of moderate size, "strong" ones that clip, "wild" ones that overflow."""
    tensors = random_tensors(ARCHS[arch], seed)
    rng = np.random.default_rng(seed + 1000)
    for name, tensor in list(tensors.items()):
        if kind != "plain" and name.endswith(".w"):
            tensors[name] = rng.integers(-63, 64, tensor.shape).astype(np.int8)
        elif kind != "plain" and name.endswith(".f"):
            tensors[name] = rng.integers(0 if kind == "wild" else 5, 13, tensor.shape).astype(np.uint8)
        elif kind != "plain" and name.endswith(".b"):
            most = 2**28 if kind == "wild" else 1 << 15
            tensors[name] = tensor // 2 + rng.integers(-most // 2, most // 2, tensor.shape).astype(np.int32)
    for R in range(4):
        n = PlaneModel(ARCHS[arch], random_tensors(ARCHS[arch])).orders[R]
        tensors[f"target{R}"] = rng.integers(-3000, 9000, n).astype(np.int32)
    return PlaneModel(ARCHS[arch], tensors)


def tile_of(rng: np.random.Generator, shape: tuple[int, ...], m: int, content: str) -> NDArray[np.uint32]:
    """Samples of 0 .. m."""
    P, h, w = shape
    p, y, x = np.ogrid[:P, :h, :w]
    parts = {
        "noise": rng.random(shape),
        "smooth": 0.5 + 0.3 * np.sin(x / 5 + p) * np.cos(y / 7) + rng.normal(0, 0.01, shape),
        "extremes": rng.integers(0, 2, shape) * 1.0,
        "flat": np.full(shape, rng.random()),
        "lines": ((x + y + p) % 7 < 2) * 1.0,
    }
    return np.rint(m * parts[content].clip(0, 1)).astype(np.uint32)


CONTENTS = ["smooth", "noise", "extremes", "flat", "lines"]


def assert_same(expected: list[Message], messages: list[Message]) -> None:
    """Messages are equal, with their types."""
    for one, other in zip(expected, messages, strict=True):
        assert one.heads.dtype == other.heads.dtype
        assert one.tail.dtype == other.tail.dtype
        np.testing.assert_array_equal(one.heads, other.heads)
        np.testing.assert_array_equal(one.tail, other.tail)


def check(
    model: PlaneModel, tiles: list[NDArray[np.uint32]], references: Any, m: int, device: str = "cpu"
) -> list[Message]:
    """The same bytes, and back to the same samples."""
    shape = tiles[0].shape
    refer = np.array(references, np.int64)[: shape[0]]
    expected = [coder.encode(model, tile, refer, m)[0] for tile in tiles]
    messages = torch_tiles.encode(model, tiles, refer, m, device)
    assert_same(expected, messages)
    for tile, decoded in zip(tiles, torch_tiles.decode(model, messages, shape, refer, m, device), strict=True):
        np.testing.assert_array_equal(tile, decoded)
    return messages


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("shape", "references", "m", "batch", "arch", "kind"),
    [
        ((4, 1, 1), TWO, 1, 2, "small", "plain"),
        ((2, 1, 9), ONE, 15, 1, "default", "strong"),
        ((3, 9, 1), TWO, 16, 2, "small", "wild"),
        ((4, 5, 7), TWO, 255, 5, "default", "plain"),
        ((1, 5, 7), NONE, 2, 1, "small", "plain"),
        ((3, 24, 20), TWO, 4095, 2, "small", "strong"),
        ((2, 24, 20), NONE, 255, 3, "uneven", "plain"),
        ((3, 20, 24), TWO, 65535, 2, "default", "plain"),
        ((2, 40, 33), ONE, 255, 5, "default", "strong"),
        ((1, 3, 70), NONE, 65535, 2, "uneven", "strong"),
        ((2, 30, 3), ONE, 65535, 2, "default", "wild"),
        ((2, 18, 20), ONE, 65536, 5, "default", "plain"),
        ((3, 20, 24), TWO, 2**22 - 1, 5, "default", "plain"),
        ((4, 20, 24), THREE, 4095, 5, "default", "plain"),
        ((4, 11, 12), THREE, 2**22 - 1, 5, "uneven", "wild"),
        ((3, 20, 24), TWO, 2**22 - 1, 5, "small", "wild"),
    ],
)
def test_bytes_are_those_of_the_kernel(
    shape: tuple[int, int, int], references: Any, m: int, batch: int, arch: str, kind: str, device: str
) -> None:
    rng = np.random.default_rng(batch)
    tiles = [tile_of(rng, shape, m, content) for content in CONTENTS[:batch]]
    check(model_of(arch, batch, kind), tiles, references, m, device)


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
def test_several_lanes(device: str) -> None:
    rng = np.random.default_rng(5)
    tiles = [tile_of(rng, (1, 130, 129), 4095, content) for content in CONTENTS[:2]]
    messages = check(model_of("small", 7), tiles, NONE, 4095, device)
    assert len(messages[0].heads) == 2


@settings(max_examples=20)
@given(data=st.data())
def test_any_small_tile(data: st.DataObject) -> None:
    P, h, w = (data.draw(st.integers(1, most)) for most in (4, 11, 11))
    refer = data.draw(st.sampled_from([NONE, ONE, TWO, THREE]))
    m = data.draw(st.sampled_from(LEVELS) | st.integers(0, 2**22 - 1))
    arch, kind = data.draw(st.sampled_from(list(ARCHS))), data.draw(st.sampled_from(["plain", "strong", "wild"]))
    contents = data.draw(st.lists(st.sampled_from(CONTENTS), min_size=1, max_size=3))
    seed = data.draw(st.integers(0, 1 << 16))
    rng = np.random.default_rng(seed)
    check(model_of(arch, seed, kind), [tile_of(rng, (P, h, w), m, each) for each in contents], refer, m)


def damaged(message: Message, how: str, rng: np.random.Generator) -> Message:
    heads, tail = message.heads.copy(), message.tail.copy()
    if how == "cut":
        tail = tail[: len(tail) * 2 // 3]
    elif how == "empty":
        tail = tail[:0]
    elif how == "longer":
        tail = np.concatenate([tail, tail[:3]])
    elif how == "changed":
        tail[rng.integers(len(tail))] ^= np.uint8(1 << rng.integers(8))
    elif how == "noise":
        tail = rng.integers(0, 256, len(tail)).astype(np.uint8)
    elif how == "head":
        heads[0] ^= np.uint32(1 << 20)
    elif how == "low head":
        heads[0] = (1 << 24) - 1
    elif how == "lanes":
        heads = np.tile(heads, 2)
    return Message(heads, tail)


HOW = ["cut", "empty", "longer", "changed", "noise", "head", "low head", "lanes"]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(("m", "arch"), [(255, "default"), (4000, "small"), (15, "small")])
def test_damage_is_a_format_error(how: str, m: int, arch: str) -> None:
    rng = np.random.default_rng(HOW.index(how))
    model, shape, refer = model_of(arch, 3), (2, 9, 13), np.array(TWO[:2], np.int64)
    whole = [coder.encode(model, tile_of(rng, shape, m, content), refer, m)[0] for content in ("smooth", "noise")]
    broken = damaged(whole[1], how, rng)
    with pytest.raises(FormatError):
        torch_tiles.decode(model, [whole[0], broken], shape, refer, m)
    with pytest.raises(FormatError):
        coder.decode(model, [broken], shape, refer, m)


def test_samples_beyond_the_largest_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 15"):
        torch_tiles.encode(model_of("small", 0), [np.full((1, 2, 2), 16, np.uint16)], np.array(NONE[:1]), 15)


def test_a_model_without_the_network_is_refused() -> None:
    tensors = {name: tensor for name, tensor in random_tensors(SMALL).items() if not name.startswith("net1")}
    with pytest.raises(ModelError, match="a tensor net1"):
        PlaneModel(SMALL, tensors)


@pytest.mark.parametrize("m", [9, 70_000])
def test_costs_are_those_of_the_kernel(m: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders are chosen by them, so frames depend on them."""
    model = model_of("small", 1)
    tile = np.random.default_rng(0).integers(0, m + 1, (3, 12, 14)).astype(np.int32)
    references = np.array([[-1, -1, -1], [0, -1, -1], [1, 0, -1]])
    found = coder.costs(model, tile, references, m)
    monkeypatch.setattr(coder, "compiles", lambda: False)
    assert coder.costs(model, tile, references, m) == found
    assert min(found) > 256 * 12 * 14

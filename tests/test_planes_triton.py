"""The plane coder's Triton kernels, run in numpy (`triton_numpy`): the bytes of the compiled kernel for CPUs, and back.

tests/programs/triton_planes.py runs some of it in Triton's interpreter, tests/programs/triton_compiled.py compiles it.
"""

import threading
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from hypothesis import given, settings
from hypothesis import strategies as st

from numcodecs_bitswap.chunk import plane_route
from numcodecs_bitswap.errors import FormatError
from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.planes import coder, on_cuda, torch_messages, triton_tiles
from numcodecs_bitswap.planes.message import Message
from numcodecs_bitswap.planes.model import PlaneModel
from numcodecs_bitswap.planes.triton_tiles import Kind
from numcodecs_bitswap.runtime import scheduler
from test_planes_torch import CONTENTS, HOW, LEVELS, NONE, ONE, THREE, TWO, assert_same, damaged, model_of, tile_of
from triton_numpy import Kernel

MODELS = "photo-v1", "universal-v1"


@pytest.fixture(autouse=True)
def in_numpy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Kernels run in numpy, on the CPU; nothing is known of them."""
    for name in ("plane_kernel", "push_kernel"):
        monkeypatch.setattr(triton_tiles, name, Kernel(getattr(triton_tiles, name)))
    monkeypatch.setattr(on_cuda, "DEVICE", "cpu")
    monkeypatch.setattr(on_cuda, "_agrees", {})
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def check(model: PlaneModel, tiles: list[Any], references: Any, largest: list[int], kind: Kind | None = None) -> None:
    """The same bytes, and back to the same samples."""
    shape = tiles[0].shape
    refer = np.array(references, np.int64)[: shape[0]]
    expected = [coder.encode(model, tile, refer, m)[0] for tile, m in zip(tiles, largest, strict=True)]
    messages = triton_tiles.encode(model, tiles, refer, largest, "cpu", kind)
    assert_same(expected, messages)
    decoded = triton_tiles.decode(model, messages, shape, refer, largest, "cpu", kind)
    for tile, back in zip(tiles, decoded, strict=True):
        np.testing.assert_array_equal(tile, back)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "references", "m", "batch", "arch", "kind"),
    [
        ((4, 1, 1), TWO, 1, 2, "small", "plain"),
        ((3, 9, 1), TWO, 16, 2, "small", "wild"),
        ((4, 5, 7), TWO, 255, 2, "default", "plain"),
        ((1, 24, 20), NONE, 255, 1, "uneven", "plain"),
        ((2, 40, 9), ONE, 255, 1, "default", "strong"),
        ((1, 3, 50), NONE, 65535, 1, "uneven", "strong"),
        ((2, 12, 14), ONE, 65536, 1, "default", "plain"),
        ((4, 9, 11), THREE, 2**22 - 1, 1, "uneven", "wild"),
    ],
)
def test_bytes_are_those_of_the_cpu(
    shape: tuple[int, int, int], references: Any, m: int, batch: int, arch: str, kind: str
) -> None:
    rng = np.random.default_rng(batch)
    tiles = [tile_of(rng, shape, m, content) for content in CONTENTS[:batch]]
    check(model_of(arch, batch, kind), tiles, references, [m] * batch)


@pytest.mark.slow
@settings(max_examples=8)
@given(data=st.data())
def test_any_small_tile(data: st.DataObject) -> None:
    P, h, w = (data.draw(st.integers(1, most)) for most in (4, 9, 9))
    refer = data.draw(st.sampled_from([NONE, ONE, TWO, THREE]))
    arch, kind = data.draw(st.sampled_from(["small", "default", "uneven"])), data.draw(st.sampled_from(KINDS))
    contents = data.draw(st.lists(st.sampled_from(CONTENTS), min_size=1, max_size=2))
    largest = [data.draw(st.sampled_from(LEVELS) | st.integers(0, 2**22 - 1)) for _ in contents]
    seed = data.draw(st.integers(0, 1 << 16))
    rng = np.random.default_rng(seed)
    tiles = [tile_of(rng, (P, h, w), m, each) for each, m in zip(contents, largest, strict=True)]
    check(model_of(arch, seed, kind), tiles, refer, largest)


KINDS = ["plain", "strong", "wild"]


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_shipped_models(name: str) -> None:
    m = 4095 if name == "universal-v1" else 255
    rng = np.random.default_rng(0)
    largest = [m, m - 7]
    tiles = [tile_of(rng, (3, 9, 11), m, content) for m, content in zip(largest, ("smooth", "lines"), strict=True)]
    check(catalog.load(name, "cpu").net, tiles, TWO, largest)


@pytest.mark.parametrize("count", [4, 32])
def test_several_lanes(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in a program that was made for larger tiles."""
    for module in (coder, torch_messages, triton_tiles):
        monkeypatch.setattr(module, "lanes", lambda samples: count)
    rng = np.random.default_rng(5)
    tiles = [tile_of(rng, (1, 11, 19), 70_000, "noise")]
    check(model_of("small", 7), tiles, NONE, [70_000], Kind(64, 64, 8))


@pytest.mark.parametrize("how", HOW)
def test_damage_is_a_format_error(how: str) -> None:
    rng = np.random.default_rng(HOW.index(how))
    model, shape, refer = model_of("small", 3), (2, 5, 6), np.array(TWO[:2], np.int64)
    whole = [coder.encode(model, tile_of(rng, shape, 255, content), refer, 255)[0] for content in ("smooth", "noise")]
    broken = damaged(whole[1], how, rng)
    with pytest.raises(FormatError):
        triton_tiles.decode(model, [whole[0], broken], shape, refer, [255, 255], "cpu")


def test_samples_beyond_the_largest_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 15"):
        triton_tiles.encode(model_of("small", 0), [np.full((1, 2, 2), 16)], np.array(NONE[:1]), [15], "cpu")


def test_launches_share_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles that do not fit into it are coded in several."""
    monkeypatch.setattr(triton_tiles, "MEMORY", 1)
    rng = np.random.default_rng(0)
    check(model_of("small", 0), [tile_of(rng, (1, 3, 4), m, "noise") for m in (3, 40)], NONE, [3, 40])


@pytest.fixture
def few_probed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_cuda, "PROBED_SIDE", 4)
    monkeypatch.setattr(on_cuda, "PROBED", 20)


@pytest.mark.usefixtures("few_probed")
@pytest.mark.parametrize("numbers", [(0,), (0, 1, 2), (0, 3)])
def test_probes_have_the_references_that_are_asked_for(numbers: tuple[int, ...]) -> None:
    tiles, references = on_cuda._probes(numbers)
    assert len(tiles[0]) == len(references)
    assert {*(references >= 0).sum(1).tolist()} == {0, *numbers}
    assert (references < np.arange(len(references))[:, None]).all()


@pytest.mark.usefixtures("few_probed")
@pytest.mark.parametrize("wrong", ["bytes", "samples", "error"])
def test_the_cpu_takes_over_with_a_warning(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = {"bytes": "encode", "samples": "decode", "error": "encode"}[wrong]
    right = getattr(triton_tiles, name)

    def changed(*arguments: Any) -> Any:
        if wrong == "error":
            raise RuntimeError("does not compile")
        found = right(*arguments)
        if wrong == "bytes":
            return [Message(heads ^ np.uint32(1), tail) for heads, tail in found]
        return [each + 1 for each in found]

    monkeypatch.setattr(triton_tiles, name, changed)
    model, references = model_of("small", 0), np.array(ONE[:2])
    with pytest.warns(UserWarning, match=f"the CPU: .*{wrong if wrong != 'error' else 'does not compile'}"):
        assert not on_cuda.usable(wrong == "samples", model, (2, 9, 9), references)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not on_cuda.usable(wrong == "samples", model, (2, 9, 9), references)  # once


@pytest.mark.slow
@pytest.mark.usefixtures("few_probed")
def test_chunks_of_a_pass_are_those_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """As from Zarr's threads: several chunks with several kinds of tiles in one launch, through the scheduler."""
    monkeypatch.setattr(coder, "TILE", 8)
    monkeypatch.setattr(plane_route, "CUDA_SAMPLES", 1)
    model, references = model_of("small", 0), np.array(ONE[:2])
    rng = np.random.default_rng(3)
    chunks = [tile_of(rng, (2, 11, 9), m, "smooth").astype(np.int32) for m in (9, 255, 300)]
    largest = [9, 255, 300]
    expected = [coder.encode(model, each, references, m) for each, m in zip(chunks, largest, strict=True)]
    monkeypatch.setattr(scheduler, "device", lambda: "cuda")
    assert not plane_route._on_cuda(False, model, (2, 11, 9), references), "only a user's choice"
    monkeypatch.setattr(scheduler, "_chosen", "cuda")
    monkeypatch.setattr(scheduler, "scheduler", scheduler.Scheduler(1))
    launches: list[int] = []
    encode = on_cuda.encode
    monkeypatch.setattr(on_cuda, "encode", lambda *asked: launches.append(len(asked[1])) or encode(*asked))
    found: dict[int, Any] = {}

    def code(k: int) -> None:
        found[k] = plane_route._encode(model, chunks[k], references, largest[k])
        found[k] = found[k], plane_route._decode(model, found[k], (2, 11, 9), references, largest[k])

    assert on_cuda.usable(False, model, (2, 11, 9), references)
    assert on_cuda.usable(True, model, (2, 11, 9), references)
    threads = [threading.Thread(target=code, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, (messages, planes) in sorted(found.items()):
        assert len(messages) == 4
        for one, other in zip(messages, expected[k], strict=True):
            np.testing.assert_array_equal(one.heads, other.heads)
            np.testing.assert_array_equal(one.tail, other.tail)
        np.testing.assert_array_equal(planes, chunks[k])
        assert planes.dtype == np.uint16
    assert len(launches) < 3


@triton.jit
def _swap(x, n, BARRIER: tl.constexpr, SIZE: tl.constexpr):  # type: ignore[no-untyped-def]
    i = tl.arange(0, SIZE)
    tl.store(x + i, i, i < n)
    if BARRIER:
        tl.debug_barrier()
    tl.store(x + i, tl.load(x + n - 1 - i, i < n, other=0), i < n)


@pytest.mark.parametrize(("n", "barrier"), [(4, False), (9, True), (4, True)])
def test_missing_barriers_and_stray_accesses_are_found(n: int, barrier: bool) -> None:
    """By `triton_numpy`. What is stored where another thread may yet load is found too."""
    launch = Kernel(_swap)[(1,)]
    options = {"BARRIER": barrier, "SIZE": 16, "num_warps": 1, "num_stages": 1, "enable_fp_fusion": False}
    with pytest.raises((RuntimeError, IndexError)) as raised:
        launch(torch.zeros(8, dtype=torch.int32), n, **options)
    assert isinstance(raised.value, IndexError) == (n > 8)

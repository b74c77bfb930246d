"""Chunks through stages and core: exact for every shape, the message empty at the end, no random bits, close to the
bound.
"""

import json
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.research.bound import bound_bits
from numcodecs_bitswap.backends import for_device
from numcodecs_bitswap.bitsback import groups
from numcodecs_bitswap.bitsback.groups import BITS_BACK, CORES, DIRECT, Coded
from numcodecs_bitswap.errors import FormatError, MessageExhausted, ModelError
from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.nets.bit_swap import BitSwapModel
from numcodecs_bitswap.nets.flow import FlowModel
from numcodecs_bitswap.train.export import architecture, integer_tensors
from numcodecs_bitswap.train.flow import FlowArchitecture
from numcodecs_bitswap.train.networks import Architecture, BitSwapNet
from numcodecs_bitswap.train.recipe import Net
from pictures import photograph
from tiny import NARROW

MODELS = ["tiny-rgb8-v1", "tiny-gray8-v1", "no stages", "three layers"]


@cache
def model(name: str, core: str = "bit_swap") -> Any:
    """A shipped model; or one with random weights: S = 0 (the setting of the papers), or three latent layers."""
    flow = core == "local_bits_back"
    if name in catalog.names():
        return catalog.load(name.replace("v1", "flow") if flow else name, "cpu").net
    torch.manual_seed(1)
    stages, layers = {"no stages": (0, 2), "three layers": (1, 3)}[name]
    net: Net
    if flow:
        net = FlowArchitecture(
            channels=3,
            stages=stages,
            mixtures=2,
            halvings=1,
            value_bits=8,
            latent_bits=12,
            noise_bits=5,
            bucket_bits=4,
            **NARROW,
        ).network()
        return FlowModel(architecture(net), integer_tensors(net), for_device("cpu"))
    net = Architecture(
        channels=3, stages=stages, mixtures=2, **NARROW, latent_layers=layers, latent_channels=2
    ).network()
    return BitSwapModel(architecture(net), integer_tensors(net), for_device("cpu"))


def check(name: str, classes: list[NDArray[np.uint8]], lanes: int, core: str) -> list[Coded]:
    """Round trip of B chunks; `decode` itself checks that the message is empty at the end."""
    coded = groups.encode(model(name, core), classes, lanes, core)
    for b, each in enumerate(coded):
        decoded = groups.decode(model(name, core), [each], [c.shape[1:4] for c in classes], core)
        for before, after in zip(classes, decoded, strict=True):
            assert after.dtype == np.uint8
            assert np.array_equal(before[b : b + 1], after)
    return coded


@pytest.mark.parametrize("core", CORES)
@given(
    st.sampled_from(MODELS),
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 19), st.integers(1, 19)), min_size=1, max_size=3),
    st.integers(1, 9),
    st.integers(0, 2**16),
)
def test_every_shape(core: str, name: str, geometry: list[tuple[int, int, int]], lanes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    c = model(name).channels
    top = int(rng.choice([2, 40, 256]))
    check(name, [rng.integers(0, top, (1, *size, c), dtype=np.uint8) for size in geometry], lanes, core)


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("name", MODELS)
def test_in_a_batch_as_alone(name: str, core: str) -> None:
    c = model(name).channels
    image = photograph()[..., :c]
    chunks = np.stack([image[None, y : y + 41, x : x + 30] for y, x in ((0, 0), (99, 50), (200, 300))])
    together = check(name, [chunks], 3, core)
    for b, each in enumerate(together):
        (alone,) = groups.encode(model(name, core), [chunks[b : b + 1]], 3, core)
        assert alone.schedule == each.schedule
        assert np.array_equal(alone.heads, each.heads)
        assert np.array_equal(alone.tail, each.tail)


def test_chunks_that_need_different_schedules_in_one_batch() -> None:
    """Of two tiny chunks the flat one cannot pay for its latents and the textured one can."""
    rng = np.random.default_rng(0)
    chunks = np.stack([np.full((1, 2, 2, 3), 130, np.uint8), rng.integers(0, 256, (1, 2, 2, 3), dtype=np.uint8)])
    flat, textured = check("tiny-rgb8-v1", [chunks], 6, "bb_ans")
    assert flat.schedule == ((1, DIRECT),)
    assert textured.schedule == ((1, BITS_BACK),)


@pytest.mark.parametrize("core", CORES)
def test_without_stages_batches_grow(core: str) -> None:
    """The first patch is coded direct and pays for the next ones: a logarithmic number of groups, one start only."""
    image = photograph()
    patches = np.stack([image[y : y + 16, x : x + 16] for y in range(0, 128, 16) for x in range(0, 128, 16)])[None]
    (coded,) = check("no stages", [patches], 1, core)
    sizes = [size for size, _ in coded.schedule]
    assert sum(sizes) == 64
    assert coded.schedule[0] == (1, DIRECT)
    assert all(mode == BITS_BACK for _, mode in coded.schedule[2:])
    assert len(sizes) <= 12
    assert sizes[-2] > 4


@pytest.mark.parametrize(
    ("name", "lanes", "size", "excess"), [("tiny-rgb8-v1", 32, 256, 0.002), ("tiny-gray8-v1", 1, 64, 0.003)]
)
@pytest.mark.parametrize("core", CORES)
def test_total_is_close_to_the_bound(core: str, name: str, lanes: int, size: int, excess: float) -> None:
    """Total bytes, heads included, against -log2 p of the integer model, at the latents popped."""
    x = photograph()[None, None, :size, :size, : model(name).channels]
    (coded,) = groups.encode(model(name, core), [x], lanes, core)
    bound = bound_bits(model(name, core), [x], lanes, core)[0]
    total = 32 * lanes + 8 * coded.tail.nbytes
    assert bound < total < bound * (1 + excess)


def test_no_initial_bits() -> None:
    """The same bytes every time: no random words go in, whatever torch's generator holds."""
    x = photograph()[None, None, :32, :32]
    first = groups.encode(model("no stages"), [x], 2)[0]
    torch.manual_seed(99)
    again = groups.encode(model("no stages"), [x], 2)[0]
    assert np.array_equal(first.tail, again.tail)


def test_an_altered_message_is_refused() -> None:
    x = photograph()[None, None, :24, :24]
    (coded,) = groups.encode(model("tiny-rgb8-v1"), [x], 2)
    geometry = [(1, 24, 24)]
    with pytest.raises(MessageExhausted):
        groups.decode(model("tiny-rgb8-v1"), [Coded(2, coded.schedule, coded.heads, coded.tail[40:])], geometry)
    longer = np.concatenate([np.zeros(4, np.uint8), coded.tail])
    with pytest.raises(FormatError, match="not empty"):
        groups.decode(model("tiny-rgb8-v1"), [Coded(2, coded.schedule, coded.heads, longer)], geometry)


@pytest.mark.parametrize("schedule", [(), ((2, 0),), ((1, 0), (1, 0)), ((1, 2),), ((0, 0), (1, 0))])
def test_a_schedule_that_does_not_fit_is_refused(schedule: tuple[tuple[int, int], ...]) -> None:
    coded = Coded(1, schedule, np.full(1, 1 << 24, np.uint32), np.zeros(0, np.uint8))
    with pytest.raises(FormatError):
        groups.group_geometry(coded.schedule, [(1, 8, 8)])


@pytest.mark.parametrize(
    "change",
    [
        {"format": 3},
        {"format": 4},
        {"kind": "vae"},
        {"channels": 2},
        {"stages": -1},
        {"mixtures": "3"},
        {"blocks": {"stage": 1}},
        {"latent_channels": 5},
    ],
)
def test_an_arch_that_breaks_the_rules_is_refused(change: dict[str, object]) -> None:
    torch.manual_seed(1)
    net = BitSwapNet(Architecture(channels=1, stages=1, mixtures=1, **NARROW, latent_layers=1, latent_channels=2))
    BitSwapModel(architecture(net), integer_tensors(net), for_device("cpu"))
    with pytest.raises(ModelError):
        BitSwapModel(json.loads(json.dumps(architecture(net) | change)), integer_tensors(net), for_device("cpu"))


def test_the_cores_differ_with_several_layers_only() -> None:
    """Bit-Swap needs the bits of one layer of latents to begin with, BB-ANS those of all."""
    x = np.stack([photograph()[y : y + 16, x : x + 16] for y in (0, 40) for x in (0, 50)])[None]
    one, other = (groups.encode(model("tiny-gray8-v1"), [x[..., :1]], 1, core)[0] for core in ("bit_swap", "bb_ans"))
    assert not np.array_equal(one.tail, other.tail)
    with pytest.raises((FormatError, MessageExhausted)):
        groups.decode(model("tiny-gray8-v1"), [one], [x.shape[1:4]], "bb_ans")

"""Models of 16-bit samples: the twin in floats, the chunks that its integers code, and the data it learns from."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from numcodecs_bitswap.bitsback import groups
from numcodecs_bitswap.bitsback.bound import bound_bits
from numcodecs_bitswap.bitsback.groups import BITS_BACK, DIRECT
from numcodecs_bitswap.nets.deep_model import DeepModel
from numcodecs_bitswap.train.arrays import ArraySource, read_items
from numcodecs_bitswap.train.data import Augmentation, DataError
from numcodecs_bitswap.train.export import architecture, integer_tensors
from numcodecs_bitswap.train.loop import evaluate
from numcodecs_bitswap.train.networks import Architecture, BitSwapNet
from strategies import picture


def network(channels: int, stages: int, seed: int = 1) -> BitSwapNet:
    """A network that makes use of all of its parts."""
    torch.manual_seed(seed)
    net = BitSwapNet(Architecture(channels, stages, 2, 8, 1, 8, 8, 1, 8, 1, 2, 2, levels=65536)).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return net


def model(net: BitSwapNet) -> DeepModel:
    return DeepModel(architecture(net), integer_tensors(net), "cpu")


def chunks(number: int, size: int, channels: int, noise: int = 60) -> NDArray[Any]:
    """uint16 (number, 1, size, size, channels)."""
    rng = np.random.default_rng(0)
    smooth = np.stack([picture((size, size, channels), seed) for seed in range(number)]).astype(np.int64)
    return (40 * smooth + rng.integers(0, noise, smooth.shape)).astype(np.uint16)[:, None]


@pytest.mark.parametrize(("channels", "stages"), [(1, 1), (3, 1), (1, 2)])
def test_the_twin_reports_what_the_coder_pays(channels: int, stages: int) -> None:
    """To the sampling of the latents."""
    net, x = network(channels, stages), chunks(96, 16, channels)  # blocks too small for shifts
    patches = torch.from_numpy(x[:, 0].astype(np.int32)).permute(0, 3, 1, 2)
    rates = evaluate(net, patches)
    paid = bound_bits(model(net), [x], 1).sum() / x.size
    assert paid == pytest.approx(rates["total"], rel=0.01)
    assert rates["core"] * x[0].size > 21 * channels


def test_the_twin_of_the_direct_mode_reports_what_the_coder_pays() -> None:
    net = network(1, 0)
    x = chunks(24, 16, 1)
    patches = torch.from_numpy(x[:, 0].astype(np.int32)).permute(0, 3, 1, 2)
    coded = [groups.encode(model(net), [each[None]], 1)[0] for each in x]
    assert {mode for each in coded for _, mode in each.schedule} == {DIRECT}
    paid = sum(8 * each.tail.nbytes for each in coded) / x.size
    assert paid == pytest.approx(evaluate(net, patches)["direct"], abs=0.1)


@pytest.mark.parametrize("core", ["bit_swap", "bb_ans"])
@settings(max_examples=15)
@given(
    st.sampled_from([(1, 0), (1, 2), (3, 1)]),
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 19), st.integers(1, 19)), min_size=1, max_size=3),
    st.integers(1, 9),
    st.integers(0, 2**16),
)
def test_every_shape_and_every_value(
    core: str, kind: tuple[int, int], geometry: list[tuple[int, int, int]], lanes: int, seed: int
) -> None:
    """In a batch as alone, and B chunks come back."""
    net, rng = model(network(*kind)), np.random.default_rng(seed)
    wild = rng.integers(0, 65536, 5)
    classes = [
        np.where(rng.random((2, *each, kind[0])) < 0.1, rng.choice(wild, (2, *each, kind[0])), 300).astype(np.uint16)
        for each in geometry
    ]
    coded = groups.encode(net, classes, lanes, core)
    for b, each in enumerate(coded):
        (alone,) = groups.encode(net, [c[b : b + 1] for c in classes], lanes, core)
        assert alone.schedule == each.schedule
        assert np.array_equal(alone.tail, each.tail)
        for before, after in zip(classes, groups.decode(net, [each], geometry, core), strict=True):
            assert after.dtype == np.uint16
            assert np.array_equal(before[b : b + 1], after)


def test_total_is_close_to_the_bound() -> None:
    net, x = model(network(1, 2)), chunks(1, 128, 1)
    (coded,) = groups.encode(net, [x], 4)
    assert coded.schedule == ((1, BITS_BACK),)
    bound = bound_bits(net, [x], 4)[0]
    assert bound < 32 * 4 + 8 * coded.tail.nbytes < bound * 1.003


@pytest.mark.parametrize("dtype", ["<u2", ">i2"])
def test_items_are_what_a_codec_makes_of_them(tmp_path: Path, dtype: str) -> None:
    array = np.arange(2 * 4 * 5).reshape(2, 4, 5) * 16 - (32768 if "i" in dtype else 0)
    np.save(tmp_path / "a.npy", array.astype(dtype))
    items = read_items(tmp_path / "a.npy", 1, 65536)
    assert np.array_equal(items[1, ..., 0], np.arange(20).reshape(4, 5))
    with pytest.raises(DataError, match="not uint8 "):
        read_items(tmp_path / "a.npy", 1)
    np.save(tmp_path / "b.npy", np.full((2, 4, 5), 7, np.uint8))
    assert read_items(tmp_path / "b.npy", 1, 65536).max() == 7
    np.save(tmp_path / "c.npy", np.zeros((2, 4, 5), np.float32))
    with pytest.raises(DataError, match="not uint8, uint16 or int16"):
        read_items(tmp_path / "c.npy", 1, 65536)


def test_divided_patches() -> None:
    items = [np.full((8, 8, 1), 6400, np.uint16)]
    patches = ArraySource([items], 8, Augmentation(divided=0.5)).sample(200, np.random.default_rng(0))
    assert {int(patch[0, 0, 0]) for patch in patches} == {6400 >> k for k in range(7)}

"""Models of kind `vae` in whole chunks and codecs: patches of their shape and of others, every likelihood, batches that
grow, and what a model of few levels cannot code.
"""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.research.bound import bound_bits
from numcodecs_bitswap import BBANS, BitSwap, ModelError
from numcodecs_bitswap.backends import for_device
from numcodecs_bitswap.bitsback import groups
from numcodecs_bitswap.bitsback.groups import BITS_BACK, DIRECT, Coded
from numcodecs_bitswap.chunk.frame import Route
from numcodecs_bitswap.errors import FormatError
from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.nets.vae import VaeModel
from numcodecs_bitswap.train.export import architecture, integer_tensors, write_model
from numcodecs_bitswap.train.vae import VaeArchitecture, VaeNet
from strategies import assert_identical

LEVELS = {"bernoulli": 2, "beta_binomial": 256, "logistic": 256, "categorical": 5}
HEIGHT, WIDTH = 9, 8


def network(likelihood: str, channels: int = 1) -> VaeNet:
    torch.manual_seed(1)
    return VaeArchitecture(
        channels=channels,
        height=HEIGHT,
        width=WIDTH,
        latent_channels=3,
        latent_bits=4,
        likelihood=likelihood,
        levels=LEVELS[likelihood],
        mixtures=2,
        hidden=8,
        direct_width=8,
        direct_blocks=1,
        channel_width=8,
    ).network()


@cache
def model(likelihood: str, channels: int) -> VaeModel:
    net = network(likelihood, channels)
    return VaeModel(architecture(net), integer_tensors(net), for_device("cpu"))


@pytest.mark.parametrize("likelihood", LEVELS)
@given(st.sampled_from([1, 3]), st.lists(st.integers(1, 9), min_size=1, max_size=3), st.integers(1, 5), st.data())
def test_every_chunk_comes_back(likelihood: str, channels: int, numbers: list[int], lanes: int, data: Any) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    sizes = [data.draw(st.sampled_from([(HEIGHT, WIDTH), (HEIGHT, 5), (1, 1), (WIDTH, HEIGHT)])) for _ in numbers]
    classes = [
        rng.integers(0, LEVELS[likelihood], (1, n, *size, channels), dtype=np.uint8)
        for n, size in zip(numbers, sizes, strict=True)
    ]
    net = model(likelihood, channels)
    made = [groups.encode(net, classes, lanes, core)[0] for core in ("bit_swap", "bb_ans")]
    assert np.array_equal(made[0].tail, made[1].tail)  # one layer: the orders are the same
    decoded = groups.decode(net, [made[0]], [each.shape[1:4] for each in classes])
    for before, after in zip(classes, decoded, strict=True):
        assert np.array_equal(before, after)


@pytest.mark.parametrize("likelihood", LEVELS)
def test_groups_grow_and_the_total_is_close_to_the_bound(likelihood: str) -> None:
    x = np.random.default_rng(0).integers(0, LEVELS[likelihood], (1, 300, HEIGHT, WIDTH, 1), dtype=np.uint8)
    net = model(likelihood, 1)
    (coded,) = groups.encode(net, [x], 1)
    assert coded.schedule[0] == (1, DIRECT)
    assert coded.schedule[-1][1] == BITS_BACK
    assert len(coded.schedule) < 25
    bound = bound_bits(net, [x], 1)[0]
    assert bound < 32 + 8 * coded.tail.nbytes < 1.001 * bound + 48


def test_a_core_that_does_not_fit_is_refused() -> None:
    coded = Coded(1, ((1, BITS_BACK),), np.full(1, 1 << 26, np.uint32), np.zeros(500, np.uint8))
    with pytest.raises(FormatError, match="patches of"):
        groups.decode(model("logistic", 1), [coded], [(1, HEIGHT, WIDTH + 1)])


@pytest.mark.parametrize("change", [{"format": 1}, {"likelihood": "normal"}, {"levels": 7}, {"height": 8}])
def test_an_arch_that_breaks_the_rules_is_refused(change: dict[str, object]) -> None:
    net = network("beta_binomial")
    with pytest.raises(ModelError):
        VaeModel(architecture(net) | change, integer_tensors(net), for_device("cpu"))


def test_in_a_codec(tmp_path: Path) -> None:
    """Images in one chunk, edges included; an array of other levels than the model's is stored."""
    for likelihood in LEVELS:
        write_model(network(likelihood), tmp_path / f"{likelihood}.safetensors", likelihood, "none", "none")
    catalog.register_folder(tmp_path)
    rng = np.random.default_rng(0)
    for likelihood, levels in LEVELS.items():
        images = (rng.integers(0, 2, (400, HEIGHT, WIDTH)) * (levels - 1)).astype(np.uint8)
        for codec in (BBANS(model=likelihood), BitSwap(model=likelihood)):
            for array in (images, images[:, :, :5], images.reshape(40, 10 * HEIGHT, WIDTH)):
                assert_identical(codec.decode(codec.encode(array)), array)
    assert BBANS(model="bernoulli").encode(images * 0 + rng.integers(0, 9, images.shape, np.uint8))[5] != Route.MODEL

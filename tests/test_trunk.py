"""nets/torch_networks.py: by layers, whole and in slabs, a grid gives the activations of a network compiled whole."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from numcodecs_bitswap.backends import for_device
from numcodecs_bitswap.nets import torch_networks
from numcodecs_bitswap.nets.trunk import Trunk
from numcodecs_bitswap.nets.units import aligned
from random_models import Networks

INPUTS, OUTPUTS = 11, 6


@pytest.fixture(scope="module")
def networks() -> tuple[Trunk, Trunk]:
    """One compiled whole, and the same in torch."""
    networks = Networks(0, 13)
    networks.trunk("n", 2, INPUTS, OUTPUTS)
    backends = for_device("cpu"), for_device("torch")
    whole, layers = (Trunk(networks.tensors, "n", INPUTS, OUTPUTS, 2, backend) for backend in backends)
    return whole, layers


@given(st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)), st.integers(1, 60), st.integers(0, 2**32))
@settings(max_examples=40)
def test_slabs_change_nothing(networks: tuple[Trunk, Trunk], shape: tuple[int, int, int], slab: int, seed: int) -> None:
    u = np.zeros((*shape, aligned(INPUTS)), np.int8)
    u[..., :INPUTS] = np.random.default_rng(seed).integers(-127, 128, (*shape, INPUTS), np.int8)
    whole, layers = networks
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch_networks, "SLAB", slab)
        grid = torch.from_numpy(u)
        parts = torch_networks.slabs(grid)
        assert torch.equal(torch.cat([torch_networks.cells(grid, part) for part in parts]), grid.flatten(0, 2))
        results = layers(grid)
    for one, other in zip(whole(u), results, strict=True):
        assert np.array_equal(one, other.numpy())


def test_slabs_are_small() -> None:
    u = torch.zeros(3, 200, 100, 8, dtype=torch.int8)
    sizes = {len(torch_networks.cells(u, slab)) for slab in torch_networks.slabs(u)}
    assert len(torch_networks.slabs(u)) > 10
    assert max(sizes) <= torch_networks.SLAB

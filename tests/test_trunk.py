"""nets/slabs.py: a grid gives the same activations whole and in slabs, with compiled loops and without."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from numcodecs_bitswap.nets import numba_ops, slabs, torch_ops
from numcodecs_bitswap.nets.trunk import Trunk
from random_models import Networks

INPUTS, OUTPUTS = 11, 6


@pytest.fixture(scope="module")
def network() -> Trunk:
    networks = Networks(0, 13)
    networks.trunk("n", 2, INPUTS, OUTPUTS)
    return Trunk(networks.tensors, "n", INPUTS, OUTPUTS, 2, "cpu")


@given(st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)), st.integers(1, 60), st.integers(0, 2**32))
@settings(max_examples=40)
def test_slabs_change_nothing(network: Trunk, shape: tuple[int, int, int], slab: int, seed: int) -> None:
    u = torch.zeros(*shape, torch_ops.aligned(INPUTS), dtype=torch.int8)
    u[..., :INPUTS] = torch.from_numpy(np.random.default_rng(seed).integers(-127, 128, (*shape, INPUTS), np.int8))
    whole = network(u)
    for operations in (numba_ops, torch_ops):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(slabs, "SLAB", slab)
            patch.setattr(slabs, "operations", lambda device, ops=operations: ops)
            parts = slabs.slabs(u)
            assert torch.equal(torch.cat([slabs.cells(u, part) for part in parts]), u.flatten(0, 2))
            features, y = network.by_layers(u)
        assert torch.equal(features, whole[0])
        assert torch.equal(y, whole[1])


def test_slabs_are_small() -> None:
    u = torch.zeros(3, 200, 100, 8, dtype=torch.int8)
    sizes = {len(slabs.cells(u, slab)) for slab in slabs.slabs(u)}
    assert len(slabs.slabs(u)) > 10
    assert max(sizes) <= slabs.SLAB

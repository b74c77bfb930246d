"""Compare products and a network compiled whole with the reference, and print the instruction that made them: run as
another CPU.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch

from numcodecs_bitswap.backends import for_device
from numcodecs_bitswap.nets import numba_tiles
from numcodecs_bitswap.nets.numba_networks import product
from numcodecs_bitswap.nets.trunk import Trunk
from numcodecs_bitswap.runtime import vectors
from random_models import Networks

rng = np.random.default_rng(0)
for rows, inner, columns in ((1, 8, 8), (13, 40, 56), (9, 432, 120)):
    a = rng.choice(np.array([-127, 127, 1], np.int8), (rows, inner))
    w = rng.choice(np.array([-63, 63], np.int8), (inner, columns))
    assert np.array_equal(product(a, w), a.astype(np.int64) @ w.astype(np.int64))

networks = Networks(0, 27)
networks.trunk("n", 1, 9, 21)
wide = networks.tensors["n.head.w"].shape
networks.tensors["n.head.w"] = networks.rng.integers(-4032, 4033, wide).astype(np.int16)
trunk, layers = (Trunk(networks.tensors, "n", 9, 21, 1, for_device(device)) for device in ("cpu", "torch"))
u = np.zeros((2, 5, 13, 16), np.int8)
u[..., :9] = rng.integers(-127, 128, (2, 5, 13, 9), np.int8)
for one, other in zip(trunk(u), layers(torch.from_numpy(u)), strict=True):
    assert np.array_equal(one, other.numpy())
print(json.dumps({"instruction": vectors.VNNI, "avx2": vectors.AVX2, "lanes": numba_tiles.LANES}))

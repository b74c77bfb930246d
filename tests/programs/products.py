"""Compare products and a network compiled whole with the reference, and print the instruction that made them: run as
another CPU.
"""

import json
import os
import sys
from pathlib import Path

os.environ["NUMCODECS_BITSWAP_GEMM"] = "vnni"
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch

from numcodecs_bitswap.nets import numba_tiles
from numcodecs_bitswap.nets.exact import GEMMS
from numcodecs_bitswap.nets.trunk import Trunk
from random_models import Networks

rng = np.random.default_rng(0)
for rows, inner, columns in ((1, 8, 8), (13, 40, 56), (9, 432, 120)):
    a = torch.from_numpy(rng.choice(np.array([-127, 127, 1], np.int8), (rows, inner)))
    w = torch.from_numpy(rng.choice(np.array([-63, 63], np.int8), (inner, columns)))
    assert torch.equal(GEMMS["vnni"](a, w), GEMMS["int64"](a, w))

networks = Networks(0, 27)
networks.trunk("n", 1, 9, 21)
wide = networks.tensors["n.head.w"].shape
networks.tensors["n.head.w"] = networks.rng.integers(-4032, 4033, wide).astype(np.int16)
trunk = Trunk(networks.tensors, "n", 9, 21, 1, "cpu")
u = torch.zeros(2, 5, 13, 16, dtype=torch.int8)
u[..., :9] = torch.from_numpy(rng.integers(-127, 128, (2, 5, 13, 9), np.int8))
os.environ["NUMCODECS_BITSWAP_GEMM"] = "int64"
layers = Trunk(networks.tensors, "n", 9, 21, 1, "cpu")
assert all(map(torch.equal, trunk(u), layers(u)))
print(json.dumps({"instruction": numba_tiles.VNNI, "lanes": numba_tiles.LANES}))

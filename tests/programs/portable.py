"""Encode a fixed set of arrays, decode golden frames, and print the frames' checksums: run under different
environments.

Where NUMCODECS_BITSWAP_DEVICE is "torch", by torch.
"""

import hashlib
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from golden_cases import CASES, GOLDEN
from numcodecs_bitswap import BBANS, BitSwap, LocalBitsBack, scheduler
from numcodecs_bitswap.nets.numba_tiles import AVX2
from pictures import photograph

torch_alone = os.environ.get("NUMCODECS_BITSWAP_DEVICE") == "torch"
for name, case in CASES.items():
    if case.route == 4 and ("tiny" in name if torch_alone else "patches" not in name):
        decoded = BitSwap().decode((GOLDEN / f"{name}.frame").read_bytes())
        assert np.array_equal(decoded, np.load(GOLDEN / f"{name}.npy")), name

image = photograph()
jobs: list[tuple[Any, np.ndarray[Any, Any]]]
rgb = [image[y : y + 40, x : x + 48] for y in (0, 90, 180) for x in (10, 300)]
jobs = [(BitSwap(model="tiny-rgb8-v1"), tile) for tile in rgb]
jobs += [(BitSwap(model="tiny-gray8-v1"), tile[..., 1]) for tile in rgb]
jobs += [(BBANS(model="tiny-rgb8-v1"), tile) for tile in rgb[:3]]
jobs += [(LocalBitsBack(model="tiny-rgb8-flow"), tile) for tile in rgb[:3]]
jobs += [(LocalBitsBack(model="patch32-rgb8-flow"), np.stack([tile[:32, :32] for tile in rgb]))]
jobs += [(BitSwap(model="photo-rgb8-v2"), rgb[0]), (BitSwap(model="photo-gray8-v2"), rgb[0][..., 0])]

alone = [codec.encode(tile) for codec, tile in jobs]
with ThreadPoolExecutor(len(jobs)) as pool:
    together = list(pool.map(lambda job: job[0].encode(job[1]), jobs))
    back = list(pool.map(BitSwap().decode, together))
assert together == alone, "a chunk's bytes depend on its company"
assert all(np.array_equal(array, tile) for array, (_, tile) in zip(back, jobs, strict=True))
torch: Any = sys.modules.get("torch")
print(
    json.dumps(
        {
            "frames": [hashlib.sha256(frame).hexdigest() for frame in alone],
            "routes": sorted({frame[5] for frame in alone}),
            "numba": "numba" in sys.modules,
            "avx2": AVX2,
            "capability": torch and torch.backends.cpu.get_cpu_capability(),
            "passes": scheduler.scheduler._limit,
        }
    )
)

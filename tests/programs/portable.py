"""Encode a fixed set of arrays, decode golden frames, and print the frames' checksums: run under different
environments.

Where NUMCODECS_BITSWAP_DEVICE is "torch", by torch, which is slow on a CPU: fewer and smaller ones of each kind.
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

from golden_cases import CASES, FEW, GOLDEN
from numcodecs_bitswap import BBANS, BitSwap, LocalBitsBack
from numcodecs_bitswap.runtime import scheduler
from numcodecs_bitswap.runtime.vectors import AVX2
from pictures import from_jpeg, photograph

torch_alone = os.environ.get("NUMCODECS_BITSWAP_DEVICE") == "torch"
for name, case in CASES.items():
    if case.route == 4 and (name in FEW and name != "mnist" if torch_alone else "patches" not in name):
        decoded = BitSwap().decode((GOLDEN / f"{name}.frame").read_bytes())
        assert np.array_equal(decoded, np.load(GOLDEN / f"{name}.npy")), name

image = photograph()
corners = [(y, x) for y in (0, 90, 180) for x in (10, 300)]
rgb = [image[y : y + 24, x : x + 28] for y, x in corners[:2]] + [image[y : y + 40, x : x + 48] for y, x in corners[2:]]
digits = {name: np.load(GOLDEN / f"{name}.npy")[:4] for name in ("mnist", "mnist_binary")}
kinds: dict[str, tuple[Any, list[np.ndarray[Any, Any]]]] = {
    "rgb": (BitSwap(model="tiny-rgb8-v1"), rgb),
    "gray": (BitSwap(model="tiny-gray8-v1"), [tile[..., 1] for tile in rgb]),
    "bbans": (BBANS(model="tiny-rgb8-v1"), rgb[:3]),
    "flow": (LocalBitsBack(model="tiny-rgb8-flow"), rgb[:3]),
    "patches": (
        LocalBitsBack(model="patch32-rgb8-flow"),
        [np.stack([image[y : y + 32, x : x + 32] for y, x in corners[:2]])],
    ),
    "digits": (BitSwap(model="mnist-v1"), [digits["mnist"]]),
    "binary digits": (BitSwap(model="mnist-binary-v1"), [digits["mnist_binary"]]),
    "jpeg": (
        BitSwap(model="jpeg-v1"),
        [from_jpeg(image[:48, :64], "ycbcr", (2, 2), 80), from_jpeg(image[96:144, 200:240], "rgb", (1, 1), 60)],
    ),
    "photo": (BitSwap(model="photo-rgb8-v2"), rgb[:1]),
    "photo gray": (BitSwap(model="photo-gray8-v2"), [rgb[0][..., 0]]),
}
jobs = {
    f"{kind} {k}": (codec, tile)
    for kind, (codec, tiles) in kinds.items()
    for k, tile in enumerate(tiles[:2] if torch_alone else tiles)
}
alone = {name: codec.encode(tile) for name, (codec, tile) in jobs.items()}
with ThreadPoolExecutor(len(jobs)) as pool:
    together = list(pool.map(lambda job: job[0].encode(job[1]), jobs.values()))
    back = list(pool.map(BitSwap().decode, together))
assert together == [*alone.values()], "a chunk's bytes depend on its company"
assert all(np.array_equal(array, tile) for array, (_, tile) in zip(back, jobs.values(), strict=True))
torch: Any = sys.modules.get("torch")
print(
    json.dumps(
        {
            "frames": {name: hashlib.sha256(frame).hexdigest() for name, frame in alone.items()},
            "routes": sorted({frame[5] for frame in alone.values()}),
            "numba": "numba" in sys.modules,
            "avx2": AVX2,
            "capability": torch and torch.backends.cpu.get_cpu_capability(),
            "threads": torch and torch.get_num_threads(),
            "passes": scheduler.scheduler._limit,
        }
    )
)

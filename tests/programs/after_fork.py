"""The codec in a child process that was forked after the parent had used it; in the main thread and under Zarr.

`after_fork.py DEVICE`. By torch, without `set_num_threads` after the fork, this hangs: OpenMP's threads stayed in the
parent, and torch waits for them.
"""

import os
import sys

import numpy as np
import torch
import zarr

from numcodecs_bitswap import BitSwap, set_device
from strategies import picture

torch.set_num_threads(2)
set_device(sys.argv[1])
codec = BitSwap(model="tiny-rgb8-v1")
image = picture((128, 128, 3))
frame = codec.encode(image)
serializer = {"name": "numcodecs_bitswap.bitswap", "configuration": codec.get_config() | {}}
del serializer["configuration"]["id"]
array = zarr.create_array({}, data=image, chunks=(64, 64, 3), serializer=serializer, compressors=None)
torch.mm(torch.ones(600, 600), torch.ones(600, 600))  # OpenMP's threads are surely there

child = os.fork()
if child == 0:
    same = codec.encode(image) == frame and np.array_equal(codec.decode(frame), image)
    os._exit(0 if same and np.array_equal(array[:], image) else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

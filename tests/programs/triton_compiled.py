"""Compile the Triton kernels for several GPUs, through the backend's own launches, on a machine that has none.

Prints for each GPU, distribution and number of lanes the sizes in bytes of the machine code of pop and push.
"""

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import triton
from triton.backends.compiler import GPUTarget

from numcodecs_bitswap.rans.message import empty_words
from numcodecs_bitswap.rans.triton_backend import TritonStack
from plain_message import BLOCKS

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
code: list[int] = []


class Driver:
    """Says that there is a GPU; nothing is launched on it."""

    def __init__(self, number: int, target: GPUTarget) -> None:
        self.get_current_device = lambda: number
        self.get_current_stream = lambda device: 0
        self.get_current_target = lambda: target


launch = triton.JITFunction.run


def compile_only(self: Any, *arguments: Any, warmup: bool, **options: Any) -> None:
    asm = launch(self, *arguments, warmup=True, **options).asm
    code.append(len(asm.get("cubin") or asm["hsaco"]))


triton.JITFunction.run = compile_only
made = []
for number, (name, target) in enumerate(TARGETS.items()):
    triton.runtime.driver.set_active(Driver(number, target))
    for kind, make in BLOCKS.items():
        for lanes in (7, 512) if kind == "mixture" else (512,):
            code.clear()
            stack = TritonStack.unflatten([empty_words(lanes)] * 2, "cpu")
            distribution = make(np.random.default_rng(0), 2, 1000)
            native = distribution.native()
            if native.triton:
                stack._push(distribution, native, stack._pop(distribution, native))
                made.append((name, kind, lanes, list(code)))
print(json.dumps(made))

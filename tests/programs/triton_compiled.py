"""Compile the Triton kernels for several GPUs, through the package's own launches, on a machine that has none.

Prints for each GPU, and distribution and number of lanes, network, or plane coder, the sizes in bytes of the machine
code. Kernels that have an instruction for floating-point numbers fail; those of planes if one of them is contracted,
not rounded as IEEE 754 says, or takes subnormal numbers for 0.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
import triton
from triton.backends.compiler import GPUTarget

from numcodecs_bitswap.distributions.triton_forms import form
from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.nets import triton_ops
from numcodecs_bitswap.nets.torch_layer import TorchLayer
from numcodecs_bitswap.planes import triton_tiles
from numcodecs_bitswap.rans.triton_backend import TritonStack
from numcodecs_bitswap.rans.words import empty_words
from reference.message import BLOCKS, on_torch

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
FLOATS = r".*\.[bt]?f(16|32|64|16x2)\b.*"
LOOSE = r".*\b(fma|mad)\.[a-z0-9.]*f(16|32|64)\b.*|.*\.(ftz|approx|full)\b.*|.*\b(add|sub|mul|div)\.f(16|32|64)\b.*"
"""Without `.rn` ptxas may contract a product and a sum."""
PLANES = {"sm_80": (0, False), "sm_90": (2, True), "gfx942": (1, True)}
"""For each GPU the number of references of the plane, and whether it is decoded: each takes half a minute."""
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
    forbidden = LOOSE if self.fn.__module__.endswith("planes.triton_kernels") else FLOATS
    if "ptx" in asm and (floats := re.search(forbidden, asm["ptx"])):
        raise AssertionError(f"{self.fn.__name__}: {floats.group()}")
    code.append(len(asm.get("cubin") or asm["hsaco"]))


def network(stage: Any) -> None:
    """Everything that a pass asks of a stage."""
    grid, cpu = torch.zeros(2, 16, 16, 3, dtype=torch.int16), torch.device("cpu")
    for u, base, trunk in (*triton_ops.inputs_a(grid), stage.a), (*triton_ops.inputs_b(grid, grid)[:2], stage.b):
        every = trunk.first, *trunk.blocks[0], trunk.head, trunk.skip
        first, conv, out, head, skip = (TorchLayer(each, cpu) for each in every)
        features = triton_ops.block(triton_ops.dense(u, first), conv, out)
        y = triton_ops.outputs(features, head, u, skip)
        for ch, correction in enumerate(stage.corrections["11"], 1):
            layers = TorchLayer(correction.first, cpu), TorchLayer(correction.out, cpu)
            added = triton_ops.correction(features, grid, base, ch, layers)
            triton_ops.mixtures(y, 0, added, base, grid, ch, stage.mixtures)
        triton_ops.mixtures(y, 0, None, base, grid, 0, stage.mixtures)


def planes(R: int, decoded: bool) -> None:
    """A plane of a tile of 256 x 256 with R references."""
    net, shape = catalog.load("photo-v1", "cpu").net, (R + 1, 256, 256)
    stack = triton_tiles.TorchStack.unflatten([empty_words(16)], "cpu")
    coding = triton_tiles._Coding(net, shape, [255], stack, triton_tiles.Kind.of(shape))
    coding.learned = triton_tiles._Learned(net, R, 1, 32, coding.device)
    fields = torch.zeros(1, 2 + len(net.reach) + 2 * R, coding.skew.rows, coding.skew.pitch, dtype=torch.int32)
    coding._launch(R, fields, fields, None if decoded else (fields, fields), R)
    if not decoded:
        coding._push(fields, fields)


class Trusted(dict[Any, bool]):
    """Of every kind of call."""

    def __missing__(self, kind: Any) -> bool:
        return True

    def __contains__(self, kind: object) -> bool:
        return True


triton_ops._agrees = Trusted()
triton.JITFunction.run = compile_only
made = []
for number, (name, target) in enumerate(TARGETS.items()):
    triton.runtime.driver.set_active(Driver(number, target))
    for kind, make in BLOCKS.items():
        for lanes in (7, 512) if kind == "mixture" else (512,):
            code.clear()
            stack = TritonStack.with_forms([empty_words(lanes)] * 2, "cpu", form)
            distribution = on_torch(make(np.random.default_rng(0), 2, 1000))
            native = distribution.native()
            if form(distribution):
                symbols = stack._pop(distribution, native)
                stack._push(distribution, native, symbols)
                if hasattr(distribution, "shifted"):
                    stack._costs(distribution, symbols, (-1, 1), 2, torch.zeros(65537, dtype=torch.int64))
                made.append((name, kind, lanes, list(code)))
    code.clear()
    network(catalog.load("photo-rgb8-v2", "cpu").net.stages[0])
    made.append((name, "networks", 0, list(code)))
    code.clear()
    planes(*PLANES[name])
    made.append((name, "planes", 0, list(code)))
print(json.dumps(made))

"""nets/numba_networks.py: networks compiled whole give the integers of their layers one after the other, in torch."""

import json
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from llvmlite import binding as llvm
from llvmlite import ir
from numpy.typing import NDArray

from numcodecs_bitswap.backends import for_device
from numcodecs_bitswap.backends.on_torch import TorchBackend
from numcodecs_bitswap.nets import torch_networks
from numcodecs_bitswap.nets.layers import Layer
from numcodecs_bitswap.nets.numba_networks import Chain
from numcodecs_bitswap.nets.torch_layer import GEMMS, TorchLayer
from numcodecs_bitswap.nets.trunk import Trunk
from numcodecs_bitswap.nets.units import aligned
from numcodecs_bitswap.runtime import vectors
from numcodecs_bitswap.runtime.jit import FEATURES

PROGRAM = Path(__file__).parent / "programs" / "products.py"
REFERENCE = TorchBackend("torch", gemm=GEMMS["int64"])
grids = st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 20))
widths = st.integers(1, 70)
seeds = st.integers(0, 2**32)


class Layers:
    """Random layers, mostly of extreme weights."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.tensors: dict[str, Any] = {}

    def add(self, name: str, inputs: int, outputs: int, wide: bool = False) -> None:
        limit, dtype = (4032, np.int16) if wide else (63, np.int8)
        some = [-limit, limit, *self.rng.integers(-limit, limit + 1, 3)]
        self.tensors[f"{name}.w"] = self.rng.choice(some, (outputs, inputs)).astype(dtype)
        self.tensors[f"{name}.b"] = self.rng.integers(-(2**20), 2**20, outputs).astype(np.int32)
        self.tensors[f"{name}.f"] = self.rng.choice([0, 3, 8, 14, 20], outputs).astype(np.uint8)

    def activations(self, cells: tuple[int, ...], channels: int) -> NDArray[np.int8]:
        u = np.zeros((*cells, aligned(channels)), np.int8)
        values = self.rng.choice([-127, 127, *self.rng.integers(-127, 128, 3)], (*cells, channels))
        u[..., :channels] = values
        return u


@given(grids, st.tuples(widths, widths, widths, widths), st.integers(0, 2), st.sets(st.integers(0, 6)), seeds)
@settings(max_examples=60)
def test_a_whole_network_is_its_layers(
    cells: tuple[int, int, int], sizes: tuple[int, int, int, int], blocks: int, wide: set[int], seed: int
) -> None:
    n_in, width, inner, n_out = sizes
    layers = Layers(seed)
    layers.add("n.in", n_in, width, 0 in wide)
    for k in range(blocks):
        layers.add(f"n.{k}.conv", 9 * width, inner, 1 + k in wide)
        layers.add(f"n.{k}.out", inner, width, 3 + k in wide)
    layers.add("n.head", width, n_out, 5 in wide)
    layers.add("n.skip", n_in, n_out, 6 in wide)
    whole, reference = (
        Trunk(layers.tensors, "n", n_in, n_out, blocks, each) for each in (for_device("cpu"), REFERENCE)
    )
    u = layers.activations(cells, n_in)
    expected = [each.numpy() for each in reference(torch.from_numpy(u))]
    for given_u in (u, u.swapaxes(1, 2).copy().swapaxes(1, 2)):
        for one, other in zip(whole(given_u), expected, strict=True):
            assert one.dtype == other.dtype
            assert np.array_equal(one, other)


@given(st.integers(1, 30), st.tuples(widths, widths, widths), st.integers(1, 9), st.tuples(*[st.booleans()] * 2), seeds)
def test_a_channel_network_is_its_layers(
    rows: int, sizes: tuple[int, int, int], earlier: int, wide: tuple[bool, bool], seed: int
) -> None:
    width, inner, n_out = sizes
    layers = Layers(seed)
    layers.add("n.in", width + earlier, inner, wide[0])
    layers.add("n.out", inner, n_out, wide[1])
    pair = [
        Layer(layers.tensors, "n.in", (width, earlier)),
        Layer(layers.tensors, "n.out", (inner,)),
    ]
    x = np.concatenate([layers.activations((rows,), width), layers.activations((rows,), earlier)], 1)
    reference = (TorchLayer(each, torch.device("cpu"), GEMMS["int64"]) for each in pair)
    assert np.array_equal(Chain(pair)(x), torch_networks.corrected(torch.from_numpy(x), *reference).numpy())


def test_what_does_not_fit_is_refused() -> None:
    layers = Layers(0)
    layers.add("n.in", 17, 9)
    layers.add("n.out", 9, 5)
    whole = Chain([Layer(layers.tensors, "n.in", (16, 1)), Layer(layers.tensors, "n.out", (9,))])
    assert whole(np.zeros((3, 24), np.int8)).shape == (3, 8)
    for wrong in (np.zeros((3, 16), np.int8), np.zeros((3, 24), np.int16)):
        with pytest.raises(ValueError, match="24 int8 inputs"):
            whole(wrong)


def test_networks_run_on_many_threads_at_once() -> None:
    layers = Layers(0)
    for name, inputs, outputs in (
        ("in", 9, 24),
        ("0.conv", 216, 24),
        ("0.out", 24, 24),
        ("head", 24, 7),
        ("skip", 9, 7),
    ):
        layers.add(f"n.{name}", inputs, outputs)
    whole = Trunk(layers.tensors, "n", 9, 7, 1, for_device("cpu"))
    inputs = [layers.activations((1 + k % 2, 30, 10 + k), 9) for k in range(16)]
    alone = [whole(u) for u in inputs]
    with ThreadPoolExecutor(8) as pool:
        for one, other in zip(pool.map(whole, 4 * inputs), 4 * alone, strict=True):
            assert all(map(np.array_equal, one, other))


def instructions() -> dict[str, str]:
    """Ways to make products that can be tried here: all CPUs can do without the instruction."""
    ways = {"generic": ""}
    if vectors.AVX512 or vectors.VNNI:
        ways["haswell"] = "+avx2"
    if vectors.VNNI == "avx512vnni" and "+avxvnni" in FEATURES:
        ways["alderlake"] = "+avx2,+avxvnni"
    return ways


@pytest.mark.slow
@pytest.mark.parametrize("cpu", instructions())
def test_products_without_the_widest_instruction(cpu: str) -> None:
    """As each other CPU would make them that this one can stand in for."""
    environment = {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": instructions()[cpu]}
    run = subprocess.run(
        [sys.executable, str(PROGRAM)], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr[-3000:]
    expected = {"instruction": "avxvnni" if cpu == "alderlake" else None, "avx2": cpu != "generic", "lanes": 8}
    assert json.loads(run.stdout) == expected


def arm_code(features: str) -> Counter[str]:
    """The instructions of one step of a layer, 8 outputs of 8 pixels, as an ARM CPU would run them."""
    module = ir.Module()
    numbers = ir.VectorType(vectors.I32, 8)
    kind = ir.FunctionType(ir.VoidType(), [vectors.I64] * 3)
    function = ir.Function(module, kind, "step")
    builder = ir.IRBuilder(function.append_basic_block())
    x, w, sums = function.args
    inputs = vectors.load(builder, x, numbers)
    for o in range(8):
        weights = vectors.spread(builder, vectors.load(builder, builder.add(w, vectors.I64(4 * o)), vectors.I32), 8)
        place = builder.add(sums, vectors.I64(32 * o))
        total = vectors.dot(builder, vectors.load(builder, place, numbers), [inputs], [weights])
        vectors.store(builder, total, place)
    builder.ret_void()
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple("aarch64-unknown-linux-gnu")
    machine = target.create_target_machine(cpu="generic", features=features, opt=3)
    code = machine.emit_assembly(llvm.parse_assembly(str(module)))
    return Counter(line.split()[0] for line in code.splitlines() if line.startswith("\t"))


@pytest.mark.parametrize(("neon", "features"), [("usdot", "+i8mm"), ("udot", "+dotprod"), (None, "+neon")])
def test_products_on_arm(neon: str | None, features: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One instruction for 16 products where the CPU has it. That they are right is seen on such a CPU, or under QEMU:
    `make test-machines`.
    """
    for name, value in {"VNNI": None, "AVX2": False, "AVX512": False, "NEON": neon}.items():
        monkeypatch.setattr(vectors, name, value)
    code = arm_code(features)
    if neon is None:
        assert code["mla"] >= 64
    else:
        assert code[neon] in (16, 18)
        assert code["mla"] == 0

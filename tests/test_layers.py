"""Integer arithmetic of the networks: every backend gives the same integers, and nothing inexact is ever chosen or
loaded.
"""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from numcodecs_bitswap.errors import DeviceError, ModelError
from numcodecs_bitswap.nets import layers, numba_networks, torch_layer
from numcodecs_bitswap.nets.layers import Layer
from numcodecs_bitswap.nets.torch_layer import GEMMS, TorchLayer, choose_gemm
from numcodecs_bitswap.nets.torch_ops import neighbours, requantise
from numcodecs_bitswap.nets.units import aligned


def layer_tensors(w: np.ndarray, b: np.ndarray, f: np.ndarray) -> layers.Tensors:
    wide = np.abs(w).max() > 64
    return {"x.w": w.astype(np.int16 if wide else np.int8), "x.b": b.astype(np.int32), "x.f": f.astype(np.uint8)}


@given(st.integers(1, 40), st.integers(1, 60), st.integers(1, 30), st.integers(0, 2**32), st.booleans())
def test_every_backend_gives_the_same_integers(rows: int, inner: int, columns: int, seed: int, extreme: bool) -> None:
    rng = np.random.default_rng(seed)
    a, w = rng.integers(-127, 128, (rows, 8 * inner)), rng.integers(-63, 64, (8 * inner, 8 * columns))
    if extreme:
        a, w = np.where(a > 0, 127, -127), np.where(w > 0, 63, -63)
    expected = a @ w
    assert np.array_equal(numba_networks.product(a.astype(np.int8), w.astype(np.int8)), expected)
    for gemm in GEMMS.values():
        result = gemm(torch.from_numpy(a.astype(np.int8)), torch.from_numpy(w.astype(np.int8)))
        assert result.dtype == torch.int32
        assert np.array_equal(result.numpy(), expected)


def test_rows_that_overlap_in_memory() -> None:
    """The neighbourhoods of a grid one cell wide can be rows that overlap; torch._int_mm gave wrong sums for them."""
    h = torch.arange(16, dtype=torch.int8).view(1, 2, 1, 8)
    rows = neighbours(h)
    assert rows.stride() != (72, 1)  # else this test shows nothing
    w = torch.ones(72, 8, dtype=torch.int8)
    for gemm in GEMMS.values():
        assert gemm(rows, w).tolist() == [[int(h.sum())] * 8] * 2


@given(st.integers(1, 70), st.integers(1, 20), st.integers(0, 2**32), st.sampled_from([63, 4032]))
def test_layer_is_the_formula_of_the_format(n_in: int, n_out: int, seed: int, limit: int) -> None:
    rng = np.random.default_rng(seed)
    w, b = (
        rng.choice([-limit, limit, *rng.integers(-limit, limit + 1, 9)], (n_out, n_in)),
        rng.integers(-(2**20), 2**20, n_out),
    )
    f, u = rng.integers(0, 25, n_out), rng.integers(-127, 128, (5, n_in))
    layer = Layer(layer_tensors(w, np.where(f > 22, 0, b), f * (f <= 22)), "x", (n_in,))
    on_torch = TorchLayer(layer, torch.device("cpu"))
    f, b = f * (f <= 22), np.where(f > 22, 0, b)
    rows = torch.zeros(5, aligned(n_in), dtype=torch.int8)
    rows[:, :n_in] = torch.from_numpy(u.astype(np.int8))
    half = np.where(f > 0, 1 << np.maximum(f - 1, 0), 0)
    assert np.array_equal(requantise(on_torch.sums(rows), on_torch)[:, :n_out].numpy(), (u @ w.T + b + half) >> f)


@pytest.mark.parametrize(
    ("w", "b", "f"),
    [
        (np.full((1, 8), 64), [0], [0]),  # a weight that saturates some kernels
        (np.full((1, 8), -64), [0], [0]),
        (np.full((1, 8), 63), [1 << 24], [0]),  # a sum that float32 cannot hold
        (np.full((1, 2200), 63), [0], [0]),
        (np.full((1, 8), 4033), [0], [0]),
        (np.full((1, 8), 4032), [1 << 29], [0]),
        (np.full((1, 8), 63), [0], [25]),
        (np.full((1, 7), 63), [0], [0]),  # wrong shape
        (np.full((1, 8), 63), [0, 0], [0]),
    ],
)
def test_a_layer_that_would_not_be_exact_is_refused(w: np.ndarray, b: list[int], f: list[int]) -> None:
    n_in = 2200 if w.shape[1] == 2200 else 8
    with pytest.raises(ModelError):
        Layer(layer_tensors(w, np.array(b), np.array(f)), "x", (n_in,))


def test_a_missing_or_mistyped_tensor_is_refused() -> None:
    tensors = layer_tensors(np.ones((1, 8)), np.zeros(1), np.zeros(1))
    with pytest.raises(ModelError, match=r"x\.b"):
        Layer(tensors | {"x.b": tensors["x.b"].astype(np.int64)}, "x", (8,))
    with pytest.raises(ModelError, match=r"x\.f"):
        Layer({k: v for k, v in tensors.items() if k != "x.f"}, "x", (8,))


def test_an_inexact_backend_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")

    def saturating(a: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """What int8 kernels without VNNI do to full-range weights: 16-bit sums of pairs."""
        pairs = (a.long().unsqueeze(2) * w.long()).unflatten(1, (-1, 2)).sum(2)
        return pairs.clamp(-(2**15), 2**15 - 1).sum(1).int()

    def inexact(a: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return torch_layer._float32(a, w) - (a == 127).all(1, keepdim=True).int()

    monkeypatch.setitem(GEMMS, "int8", inexact)
    choose_gemm.cache_clear()
    try:
        assert choose_gemm(cpu) is GEMMS["float32"]
        choose_gemm.cache_clear()
        with monkeypatch.context() as patch:
            for name in GEMMS:
                patch.setitem(GEMMS, name, inexact)
            with pytest.raises(DeviceError, match="exact"):
                choose_gemm(cpu)
        monkeypatch.setitem(GEMMS, "int8", saturating)
        choose_gemm.cache_clear()
        assert choose_gemm(cpu) is saturating  # 7-bit weights: pairs fit 16 bits, so even this one is exact
    finally:
        choose_gemm.cache_clear()

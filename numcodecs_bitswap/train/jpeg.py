"""Fits a model of JPEG coefficients (FORMAT.md 11) to observations of the encoder: predictions by least squares, the
network on sampled rows with fake quantisation.
"""

import copy
import math
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..jpeg.coefficient_tables import CLASSES, FEATURES, KINDS, OUTPUTS, OWN, ROWS, TERMS, WEIGHT_BITS
from ..jpeg.coefficients import Seen
from .planes import UNIT, Layer

DEFAULT: dict[str, Any] = {"kind": "jpeg", "width": 32, "blocks": 2}
LOGIT = 48.0
"""Steps of an output per natural unit."""
RIDGE = 1e-3


class Predictions:
    """Normal equations of the predictions of coefficients, for luma and colours, and for chroma."""

    def __init__(self) -> None:
        self.squares = np.zeros((2, 64, TERMS, TERMS))
        self.products = np.zeros((2, 64, TERMS))

    def add(self, chroma: bool, coefficients: NDArray[np.int16], steps: NDArray[np.uint16]) -> None:
        """Add the blocks (rows, columns, 64) of a component."""
        d = coefficients.astype(np.float64) * steps
        west, north = d[1:, :-1].reshape(-1, 8, 8), d[:-1, 1:].reshape(-1, 8, 8)
        block = d[1:, 1:].reshape(-1, 64)
        for i in range(64):
            v, u = divmod(i, 8)
            unused = np.zeros((len(block), TERMS - 16 - u - v))
            terms = np.concatenate([west[:, v, :], north[:, :, u], block[:, OWN[i]], unused], 1)
            weighed = terms / (20 + np.abs(terms[:, :16]).sum(1, keepdims=True))
            self.squares[int(chroma), i] += weighed.T @ terms
            self.products[int(chroma), i] += weighed.T @ block[:, i]

    def tensor(self) -> NDArray[np.int16]:
        """Weights int16 (2, 64, TERMS)."""
        diagonal = np.trace(self.squares, axis1=2, axis2=3)[..., None, None] * RIDGE / TERMS + 1
        weights = np.linalg.solve(self.squares + diagonal * np.eye(TERMS), self.products[..., None])[..., 0]
        return np.asarray(np.clip(np.round(weights * 2.0**WEIGHT_BITS), -32767, 32767), np.int16)


class Net(nn.Module):
    """The network, in units of 1/32."""

    def __init__(self, arch: dict[str, Any]) -> None:
        super().__init__()
        width = arch["width"]
        self.first = Layer(FEATURES, width, 1.4)
        self.embedding = nn.Parameter(torch.randn(KINDS * ROWS, width) * 0.3 * UNIT)
        self.a = nn.ModuleList(Layer(width, width, 1.0) for _ in range(arch["blocks"]))
        self.b = nn.ModuleList(Layer(width, width, 0.3) for _ in range(arch["blocks"]))
        self.head = Layer(width, OUTPUTS, 0.3, out_gain=torch.full((OUTPUTS,), LOGIT))

    def forward(self, x: Tensor, row: Tensor, quantised: bool = True) -> Tensor:
        embedding = self.embedding[row]
        if quantised:
            embedding = embedding + (embedding.round() - embedding).detach()
        h = (self.first(x, quantised) + embedding).clamp(-127, 127)
        for a, b in zip(self.a, self.b, strict=True):
            v = a(h.clamp_min(0), quantised).clamp(0, 127)
            h = (h + b(v, quantised)).clamp(-127, 127)
        y: Tensor = self.head(h.clamp_min(0), quantised)
        return y

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Tensors of a model file."""
        layers: dict[str, Any] = {"in": self.first, "head": self.head}
        for k, (a, b) in enumerate(zip(self.a, self.b, strict=True)):
            layers |= {f"{k}.a": a, f"{k}.b": b}
        found: dict[str, NDArray[Any]] = {
            "embedding": self.embedding.detach().round().clamp(-1023, 1023).numpy().astype(np.int16)
        }
        for name, layer in layers.items():
            w, b, f = (each.numpy() for each in layer.integers())
            found[f"{name}.w"], found[f"{name}.b"] = w.astype(np.int8), b.astype(np.int32)
            found[f"{name}.f"] = f.astype(np.uint8)
        return found


def decisions(seen: Seen) -> tuple[Tensor, Tensor, Tensor]:
    """For each row: which outputs code a decision (n, OUTPUTS), the decisions, and the bits without a network (n,)."""
    n, value = len(seen.value), seen.value
    asked, answer = np.zeros((n, OUTPUTS), np.float32), np.zeros((n, OUTPUTS), np.float32)
    asked[:, 0], answer[:, 0] = seen.may_be_zero, value == 0
    asked[:, 1], answer[:, 1] = value != 0, value > 0
    size = np.abs(value)
    bits = np.frexp(size)[1]
    first = np.where(value > 0, 2, 2 + CLASSES)
    for k in range(1, CLASSES + 1):
        rows = np.flatnonzero(bits >= k)
        asked[rows, first[rows] + k - 1] = 1
        answer[rows, first[rows] + k - 1] = bits[rows] == k
    rows = np.flatnonzero(bits >= 2)
    column = 2 + 2 * CLASSES + np.minimum(bits[rows], 4) - 2
    asked[rows, column], answer[rows, column] = 1, (size[rows] >> (bits[rows] - 2)) & 1
    even = np.maximum(bits - 2, 0) + np.maximum(bits - CLASSES, 0)
    return torch.from_numpy(asked), torch.from_numpy(answer), torch.from_numpy(even.astype(np.float32))


def rows_of(seen: Iterable[Seen]) -> Seen:
    """All rows, joined."""
    inputs, row, value, may_be_zero = zip(*seen, strict=True)
    return Seen(*map(np.concatenate, (inputs, row, value, may_be_zero)))


def bits(net: Net, seen: Seen, quantised: bool = True) -> Tensor:
    """Cost of each row in bits."""
    asked, answer, even = decisions(seen)
    y = net(torch.from_numpy(seen.inputs).float(), torch.from_numpy(seen.row), quantised) / LOGIT
    loss = nn.functional.binary_cross_entropy_with_logits(y, answer, reduction="none")
    return (loss * asked).sum(1) / math.log(2) + even


@torch.no_grad()
def rate(net: Net, seen: Seen) -> float:
    """Mean bits of rows."""
    parts = np.array_split(np.arange(len(seen.row)), len(seen.row) // 16384 + 1)
    return sum(bits(net, seen.some(k)).sum().item() for k in parts) / len(seen.row)


def fit(
    arch: dict[str, Any],
    rows: Seen,
    minutes: float,
    *,
    held: Seen | None = None,
    batch: int = 4096,
    step_size: float = 3e-3,
    say: Callable[[str], None] = print,
    seed: int = 0,
) -> Net:
    """A network fitted to rows: the moving average of its weights."""
    torch.manual_seed(seed)
    net = Net(arch)
    average = copy.deepcopy(net)
    others = [p for name, p in net.named_parameters() if name != "embedding"]
    groups: list[dict[str, Any]] = [{"params": others}, {"params": [net.embedding], "scale": UNIT}]
    optimiser = torch.optim.Adam(groups, lr=step_size, betas=(0.9, 0.99))
    rng, begin, said, step = np.random.default_rng(seed), time.monotonic(), 0.0, 0
    while (spent := (time.monotonic() - begin) / 60 / minutes) < 1:
        for group in optimiser.param_groups:
            slope = 0.5 * (1 + math.cos(math.pi * spent)) * 0.99 + 0.01
            group["lr"] = step_size * group.get("scale", 1.0) * min(1, (step + 1) / 50) * slope
        chosen = rng.integers(0, len(rows.row), batch)
        loss = bits(net, rows.some(chosen), spent > 0.15).mean()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        step += 1
        keep = min(0.999, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(net.parameters()), 1 - keep)
        if spent - said > 0.1:
            said = spent
            text = f"{100 * spent:3.0f} %, {step} steps, {loss.item():.4f} bits/number"
            say(text + (f", validation {rate(average, held):.4f}" if held else ""))
    return average

"""Fits the networks of the plane coder to what the encoder sees (FORMAT.md 9.4): an MLP on sampled rows with fake
quantisation. Every number of reference planes has a network of its own.
"""

import copy
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..planes.model import input_size
from ..planes.observe import Rows
from ..planes.tables import REFERENCES, SCALE

UNIT = 32.0
LIMIT = 63
OCTAVE = 16 / math.log(2)
"""Steps of a logit or a scale to a natural unit."""


class Layer(nn.Module):
    """A linear layer with weights of 7 bits and a shift for each output."""

    def __init__(self, n_in: int, n_out: int, std: float, in_gain: float = 1.0, out_gain: Tensor | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in) * std / math.sqrt(n_in))
        self.bias = nn.Parameter(torch.zeros(n_out))
        self.gain: Tensor
        self.out: Tensor
        self.register_buffer("out", torch.full((n_out,), UNIT) if out_gain is None else out_gain)
        self.register_buffer("gain", self.out[:, None] * in_gain / UNIT)

    def integers(self) -> tuple[Tensor, Tensor, Tensor]:
        """Integer weights, biases and shifts, as floats."""
        with torch.no_grad():
            w = self.weight * self.gain
            f = torch.floor(torch.log2(LIMIT / w.abs().amax(1).clamp_min(1e-9))).clamp_(0, 14)
            scale = torch.exp2(f)
            return (w * scale[:, None]).round_().clamp_(-LIMIT, LIMIT), (self.bias * self.out * scale).round_(), f

    def forward(self, x: Tensor, quantised: bool) -> Tensor:
        w, b = self.weight * self.gain, self.bias * self.out
        if quantised:
            wi, bi, f = self.integers()
            scale = torch.exp2(-f)
            w, b = w + (wi * scale[:, None] - w).detach(), b + (bi * scale - b).detach()
        y = nn.functional.linear(x, w, b)
        return y + ((y + 0.5).floor() - y).detach() if quantised else y


class Net(nn.Module):
    """The network of planes with so many reference planes."""

    def __init__(self, arch: dict[str, Any], references: int) -> None:
        super().__init__()
        W, K = arch["width"], arch["mixtures"]
        self.K = K
        n = input_size(len(arch["supports"]), references)
        out = torch.cat([torch.full((K,), 64.0), torch.full((2 * K,), OCTAVE)])
        self.first = Layer(n, W, 1.4, 1.5)
        self.a = nn.ModuleList(Layer(W, W, 1.4) for _ in range(arch["blocks"]))
        self.b = nn.ModuleList(Layer(W, W, 0.7) for _ in range(arch["blocks"]))
        self.head = Layer(W, 3 * K, 0.05, out_gain=out)
        self.skip = Layer(n, 2 * K, 0.0, 1.0, out_gain=out[: 2 * K])
        with torch.no_grad():
            self.head.bias.copy_(torch.cat([torch.zeros(K), torch.linspace(-1.0, 0.6, K), torch.zeros(K)]))

    def forward(self, u: Tensor, quantised: bool = True) -> Tensor:
        h = self.first(u, quantised).clamp(-127, 127)
        for a, b in zip(self.a, self.b, strict=True):
            v = a(h.clamp_min(0), quantised).clamp(0, 127)
            h = (h + b(v, quantised)).clamp(-127, 127)
        return self.head(h.clamp_min(0), quantised) + nn.functional.pad(self.skip(u, quantised), (0, self.K))

    def layers(self) -> dict[str, Layer]:
        """By their names in a model file."""
        found = {"in": self.first, "head": self.head, "skip": self.skip}
        for k, (a, b) in enumerate(zip(self.a, self.b, strict=True)):
            found |= {f"{k}.a": a, f"{k}.b": b}
        return found


def bits(y: Tensor, K: int, blend: Tensor, q: Tensor, x: Tensor, m: Tensor) -> Tensor:
    """Bits of each sample under the mixture (FORMAT.md 9.5), floors included."""
    scale = SCALES[q][:, None]
    off, s, logits = y[:, :K], y[:, K : 2 * K], y[:, 2 * K :] / OCTAVE
    log_s = (2 * q[:, None] + s).clamp(0, 447) / OCTAVE
    inverse = torch.exp(-log_s)
    d = (32 * x - blend)[:, None] - off.clamp(-8192, 8192) * scale / 64
    upper, lower = (d + 16) * inverse, (d - 16) * inverse
    # The difference of two logistic functions, without cancellation far from the mean.
    flip = d > 0
    upper, lower = torch.where(flip, -lower, upper), torch.where(flip, -upper, lower)
    first, last = (x <= 0)[:, None], (x >= m)[:, None]
    lower = torch.where(torch.where(flip, last, first), torch.full_like(lower, -1e4), lower)
    upper = torch.where(torch.where(flip, first, last), torch.full_like(upper, 1e4), upper)
    mass = torch.sigmoid(upper) - torch.sigmoid(lower)
    # Where both are far out the difference vanishes in float32; its logarithm is that of the tail.
    width = (upper - lower).clamp(max=60)
    tail = upper.clamp(max=0) + torch.log(-torch.expm1(-width.clamp_min(1e-6)))
    log_p = torch.where(mass > 1e-6, torch.log(mass.clamp_min(1e-9)), tail)
    total = torch.logsumexp(log_p + torch.log_softmax(logits, 1), 1)
    # Masses are of 2^16 with a floor of one for each bucket that a sample may be in; low bits are even.
    return -torch.logaddexp(total, total.new_tensor(math.log(2.0**-16))) / math.log(2)


SCALES = torch.from_numpy(SCALE)


def fit(
    arch: dict[str, Any],
    rows: list[Rows],
    minutes: float,
    *,
    held: list[Rows] | None = None,
    nets: list[Net] | None = None,
    batch: int = 4096,
    rate: float = 3e-3,
    say: Callable[[str], None] = print,
    seed: int = 0,
) -> list[Net]:
    """Networks fitted to rows, one for each number of reference planes; those without rows stay as they are."""
    torch.manual_seed(seed)
    nets = nets or [Net(arch, R) for R in range(REFERENCES + 1)]
    averages = [copy.deepcopy(net) for net in nets]
    busy = [R for R in range(REFERENCES + 1) if len(rows[R].x) >= 64]
    optimizer = torch.optim.Adam([p for R in busy for p in nets[R].parameters()], lr=rate, betas=(0.9, 0.99))
    begin, said, step, losses = time.monotonic(), 0.0, 0, []
    while (spent := (time.monotonic() - begin) / 60 / minutes) < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 50) * (0.5 * (1 + math.cos(math.pi * spent)) * 0.99 + 0.01)
        loss = torch.zeros(())
        for R in busy:
            index = torch.randint(0, len(rows[R].x), (batch,))
            loss = loss + evaluate(nets[R], rows[R], index.numpy(), spent > 0.15).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for R in busy for p in nets[R].parameters()], 1.0)
        optimizer.step()
        step += 1
        losses.append(loss.item() / len(busy))
        keep = min(0.999, (1 + step) / (10 + step))
        with torch.no_grad():
            for net, average in zip(nets, averages, strict=True):
                for p, a in zip(net.parameters(), average.parameters(), strict=True):
                    a.lerp_(p, 1 - keep)
        if spent - said > 0.1:
            said = spent
            text = f"{100 * spent:3.0f} %, {step} steps, {np.mean(losses[-200:]):.4f} bits/sample"
            say(text + (f", held back {score(averages, held)}" if held else ""))
    return averages


def evaluate(net: Net, rows: Rows, index: NDArray[Any], quantised: bool = True) -> Tensor:
    """Bits of some rows."""
    n = net.first.weight.shape[1]
    u = torch.from_numpy(rows.inputs[index, :n]).float()
    blend, x, m = (torch.from_numpy(each[index]).float() for each in (rows.blend, rows.x, rows.m))
    return bits(net(u, quantised), net.K, blend, torch.from_numpy(rows.q[index]).long(), x, m)


@torch.no_grad()
def score(nets: list[Net], rows: list[Rows]) -> str:
    """Mean bits of rows for each number of references."""
    found = []
    for net, each in zip(nets, rows, strict=True):
        if len(each.x):
            parts = [
                evaluate(net, each, part)
                for part in np.array_split(np.arange(len(each.x)), max(1, len(each.x) // 16384))
            ]
            found.append(f"{torch.cat(parts).mean().item():.4f}")
    return " ".join(found)


def integer_tensors(nets: list[Net]) -> dict[str, NDArray[Any]]:
    """Tensors of a model file."""
    tensors: dict[str, NDArray[Any]] = {}
    for R, net in enumerate(nets):
        for name, layer in net.layers().items():
            w, b, f = (each.numpy() for each in layer.integers())
            tensors[f"net{R}.{name}.w"] = w.astype(np.int8)
            tensors[f"net{R}.{name}.b"] = b.astype(np.int32)
            tensors[f"net{R}.{name}.f"] = f.astype(np.uint8)
    return tensors

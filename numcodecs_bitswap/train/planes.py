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
from ..planes.tables import CONTEXT_FIRST, CONTEXT_INPUT, CONTEXTS, REFERENCES, SCALE

UNIT = 32.0
LIMIT = 63
LEARNT = 0.4, 1.0
"""Of what the last layer knows at the end of a tile, for a pixel somewhere in it: least and most."""
USUAL = sum(LEARNT) / 2
"""The same where no pixel is drawn at random: to measure rates."""
LEAST_ROWS = 64
"""A network with fewer rows is not trained."""
OCTAVE = 16 / math.log(2)
"""Steps of a logit or a scale per natural unit."""


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

    @torch.no_grad()
    def set_integers(self, w: Tensor, b: Tensor, f: Tensor) -> None:
        """Weights of which `integers` makes these; inverse of it."""
        scale = torch.exp2(-f)
        # Slightly smaller: rounding up the largest weight would change the shift.
        self.weight.copy_(w * (1 - 1e-6) * scale[:, None] / self.gain)
        self.bias.copy_(b * scale / self.out)

    def forward(self, x: Tensor, quantised: bool) -> Tensor:
        w, b = self.weight * self.gain, self.bias * self.out
        if quantised:
            wi, bi, f = self.integers()
            scale = torch.exp2(-f)
            w, b = w + (wi * scale[:, None] - w).detach(), b + (bi * scale - b).detach()
        y = nn.functional.linear(x, w, b)
        return y + ((y + 0.5).floor() - y).detach() if quantised else y


class Net(nn.Module):
    """The network of planes with a given number of reference planes."""

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

    def forward(
        self, u: Tensor, quantised: bool = True, learnt: Tensor | None = None, q: Tensor | None = None
    ) -> Tensor:
        """Outputs (n, 3 K) of inputs (n, inputs). With `learnt`, (n, 3 K, width + CONTEXTS), added to the last layer's
        weights, and the local scales' indices q.
        """
        h = self.first(u, quantised).clamp(-127, 127)
        for a, b in zip(self.a, self.b, strict=True):
            v = a(h.clamp_min(0), quantised).clamp(0, 127)
            h = (h + b(v, quantised)).clamp(-127, 127)
        h = h.clamp_min(0)
        y: Tensor = self.head(h, quantised)
        if learnt is not None and q is not None:
            classes = ((q - CONTEXT_FIRST) >> 2).clamp(0, CONTEXTS - 1)
            contexts = CONTEXT_INPUT * nn.functional.one_hot(classes, CONTEXTS).to(h.dtype)
            y = y + torch.einsum("bjk,bk->bj", learnt, torch.cat([h, contexts], 1))
        return y + nn.functional.pad(self.skip(u, quantised), (0, self.K))

    def layers(self) -> dict[str, Layer]:
        """Layers by their names in a model file."""
        found = {"in": self.first, "head": self.head, "skip": self.skip}
        for k, (a, b) in enumerate(zip(self.a, self.b, strict=True)):
            assert isinstance(a, Layer)
            assert isinstance(b, Layer)
            found |= {f"{k}.a": a, f"{k}.b": b}
        return found


def bits(y: Tensor, K: int, blend: Tensor, q: Tensor, x: Tensor, m: Tensor) -> Tensor:
    """Bits of each sample under the mixture (FORMAT.md 9.5), floors included."""
    scale = SCALES[q][:, None]
    off, s, logits = y[:, :K], y[:, K : 2 * K], y[:, 2 * K :] / OCTAVE
    log_s = (2 * q[:, None] + s).clamp(0, 447) / OCTAVE
    inverse = torch.exp(-log_s)
    d = (32 * x - blend).float()[:, None] - off.clamp(-8192, 8192) * scale / 64
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


class Fitting:
    """Networks on their way, one for each number of reference planes, and the moving averages of their weights, which
    are the result. A step depends on the state and on its number alone.

    Parameters
    ----------
    nets : list of Net
    rows : list of Rows
        What they are fitted to. Networks without rows stay as they are.
    batch : int
        Rows of each network in a step.
    rate : float
        The learning rate at first.
    """

    def __init__(self, nets: list[Net], rows: list[Rows], batch: int = 4096, rate: float = 3e-3, seed: int = 0) -> None:
        self.nets, self.rows, self.batch, self.rate, self.seed = nets, rows, batch, rate, seed
        self.averages = copy.deepcopy(nets)
        self.busy = [R for R in range(REFERENCES + 1) if len(rows[R].x) >= LEAST_ROWS]
        self.optimiser = torch.optim.Adam(self.parameters, lr=rate, betas=(0.9, 0.99))
        self.step = 0

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Parameters of the networks that have rows."""
        return [p for R in self.busy for p in self.nets[R].parameters()]

    def train(self, progress: float, quantised: bool) -> float:
        """One step of a schedule that ends at a progress of 1; returns bits/sample of all rows."""
        rate = self.rate * min(1, (self.step + 1) / 50)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * (0.5 * (1 + math.cos(math.pi * progress)) * 0.99 + 0.01)
        rng = np.random.default_rng((self.seed, self.step))
        counts = [len(self.rows[R].x) for R in self.busy]
        parts = []
        for R, count in zip(self.busy, counts, strict=True):
            index = rng.integers(0, count, self.batch)
            share = rng.uniform(*LEARNT, (self.batch, 1, 1))
            parts.append(evaluate(self.nets[R], self.rows[R], index, quantised, share).mean())
        self.optimiser.zero_grad()
        torch.autograd.backward(torch.stack(parts).sum())
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        self.step += 1
        keep = min(0.999, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for net, average in zip(self.nets, self.averages, strict=True):
                torch._foreach_lerp_(list(average.parameters()), list(net.parameters()), 1 - keep)
        return sum(part.item() * count for part, count in zip(parts, counts, strict=True)) / sum(counts)

    def state(self) -> dict[str, Any]:
        """The state for a checkpoint; inverse of `load`."""
        return {
            "nets": [net.state_dict() for net in self.nets],
            "average": [net.state_dict() for net in self.averages],
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        for nets, key in ((self.nets, "nets"), (self.averages, "average")):
            for net, values in zip(nets, state[key], strict=True):
                net.load_state_dict(values)
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = state["step"]


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
    fitting = Fitting(nets or new_nets(arch, seed), rows, batch, rate, seed)
    begin, said, losses = time.monotonic(), 0.0, []
    while (spent := (time.monotonic() - begin) / 60 / minutes) < 1:
        losses.append(fitting.train(spent, spent > 0.15))
        if spent - said > 0.1:
            said = spent
            text = f"{100 * spent:3.0f} %, {fitting.step} steps, {np.mean(losses[-200:]):.4f} bits/sample"
            say(text + (f", validation {score(fitting.averages, held)}" if held else ""))
    return fitting.averages


def new_nets(arch: dict[str, Any], seed: int = 0) -> list[Net]:
    """Untrained networks."""
    torch.manual_seed(seed)
    return [Net(arch, R) for R in range(REFERENCES + 1)]


def evaluate(net: Net, rows: Rows, index: NDArray[Any], quantised: bool = True, share: Any = USUAL) -> Tensor:
    """Costs of some rows in bits, when the last layer has learnt a share of what it knows at the end of their tiles."""
    n = net.first.weight.shape[1]
    u = torch.from_numpy(rows.inputs[index, :n]).float()
    blend, x, m = (torch.from_numpy(each[index]) for each in (rows.blend, rows.x, rows.m))
    q = torch.from_numpy(rows.q[index]).long()
    learnt = torch.from_numpy((rows.learnt[rows.tile[index]] * share).astype(np.float32))
    return bits(net(u, quantised, learnt, q), net.K, blend, q, x, m)


@torch.no_grad()
def rates(nets: list[Net], rows: list[Rows]) -> list[float]:
    """Mean bits of rows for each number of references; nan where there are none."""
    found = []
    for net, each in zip(nets, rows, strict=True):
        count = len(each.x)
        parts = np.array_split(np.arange(count), count // 16384 + 1) if count else []
        bits_of = [evaluate(net, each, part) for part in parts]
        found.append(torch.cat(bits_of).mean().item() if bits_of else math.nan)
    return found


def score(nets: list[Net], rows: list[Rows]) -> str:
    """`rates` as text."""
    return " ".join(f"{rate:.4f}" for rate in rates(nets, rows) if not math.isnan(rate))


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


@torch.no_grad()
def take_tensors(nets: list[Net], tensors: dict[str, NDArray[Any]]) -> None:
    """Set networks to those of a model file of the same architecture; inverse of `integer_tensors`."""
    for R, net in enumerate(nets):
        for name, layer in net.layers().items():
            layer.set_integers(*(torch.from_numpy(tensors[f"net{R}.{name}.{end}"].astype(np.float32)) for end in "wbf"))

"""From neighbours to the distributions of samples, in torch: inputs, networks, mixtures (FORMAT.md 9.3 to 9.6).

Part of `torch_tiles`; see its docstring for conventions.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import tables
from .model import PlaneModel
from .tables import AROUND, LEAST_SCALE, NEAR, OUTPUTS, SEEN_OTHER
from .torch_planes import Neighbours

EXACT_FLOAT = 1 << 24
"""float32 holds all integers up to it."""
MOST_OFF = 2.0**22
"""Of a mean from the prediction, in 1/32 level."""


class Buckets:
    """Buckets of samples by their distance from the centre.

    Attributes
    ----------
    m, half, alphabet : int
    edges : int32 tensor, shape (alphabet + 1,)
        Lower edges.
    bits : int64 tensor, shape (alphabet,)
        Numbers of low bits.
    """

    def __init__(self, m: int, device: torch.device) -> None:
        shift = max(m.bit_length() - 4, 0)
        self.m, self.half = m, 8 * shift + (m >> shift) + 1
        self.alphabet = 2 * self.half
        i = np.arange(self.half + 1)
        shifts = np.maximum((i >> 3) - 1, 0)
        edges = (i - 8 * shifts) << shifts
        self.edges = torch.from_numpy(np.concatenate([-edges[:0:-1], edges]).astype(np.int32)).to(device)
        self.bits = torch.from_numpy(np.concatenate([shifts[-2::-1], shifts[:-1]])).to(device)
        self.all = torch.arange(self.alphabet + 1, device=device)
        self.sigmoid = torch.from_numpy(tables.SIGMOID).to(device)

    def of(self, d: Tensor) -> Tensor:
        """The bucket, int64, of a distance, int32."""
        v = torch.where(d >= 0, d, -d - 1)
        shift = ((v.float().view(torch.int32) >> 23) - 130).clamp(min=0)
        i = 8 * shift + (v >> shift)
        return torch.where(d >= 0, self.half + i, self.half - 1 - i).long()


class Mixture(NamedTuple):
    """The distributions of a wavefront: K logistics.

    Attributes
    ----------
    buckets : Buckets
    weight : int64 tensor, shape (B, K, n)
    mean : int32 tensor, shape (B, K, n)
    slope : float32 tensor, shape (B, K, n)
    centre : int32 tensor, shape (B, n)
    rate : int64 tensor, shape (B, n)
    """

    buckets: Buckets
    weight: Tensor
    mean: Tensor
    slope: Tensor
    centre: Tensor
    rate: Tensor

    def cumulative(self, s: Tensor) -> Tensor:
        """The mass below buckets s, of 2^16: int64 (B, n, number), from int64 (B, n, number) or (number,)."""
        x = self.centre[..., None] + self.buckets.edges[s]
        at = 32 * x - 16
        mass = torch.zeros_like(at, dtype=torch.int64)
        for k in range(self.weight.shape[1]):
            t = (at - self.mean[:, k, :, None]).float() * self.slope[:, k, :, None]
            index = t.clamp(-4096, 4095).floor().int() + 4096
            mass += self.weight[:, k, :, None] * self.buckets.sigmoid[index]
        inner = s + (self.rate[..., None] * mass >> 44)
        return torch.where(x <= 0, 0, torch.where(x > self.buckets.m, 1 << 16, inner))

    def gradients(self, values: Tensor, scale: Tensor) -> Tensor:
        """Of samples, int32 (B, n), with the local scales, float32 (B, n): integers in float32 (B, 3 K, n)."""
        buckets = self.buckets
        s = buckets.of(values - self.centre)
        ends = self.centre[:, None] + buckets.edges[torch.stack([s, s + 1], 1)]
        t = (32 * ends - 16)[:, None] - self.mean[:, :, None]
        t = (t.float() * self.slope[:, :, None]).clamp(-4096, 4095).floor().int()
        parts = buckets.sigmoid[t + 4096].int()
        below, above = (ends <= 0)[:, None], (ends > buckets.m)[:, None]
        a = torch.where(below[:, :, 0], 0, parts[:, :, 0])
        b = torch.where(above[:, :, 1], 1 << 16, parts[:, :, 1])
        da, db = (each * ((1 << 16) - each) >> 16 for each in (a, b))
        weights = self.weight.sum(1).int()
        total = (self.weight * (b - a)).sum(1).int() + 4 * weights
        share, unit = (torch.full_like(scale, 256.0) / each.float() for each in (weights, total))
        w, step = self.weight.float(), float(np.float32(1 / 384))
        o = w * unit[:, None]
        by = (scale[:, None] * self.slope * step).clamp(max=16)
        found = [
            o * (db - da).float() * by,
            o * (db * t[:, :, 1] - da * t[:, :, 0]).float() * step,
            w * share[:, None] - o * (b - a).float(),
        ]
        return torch.cat(found, 1).clamp(-tables.GRADIENT, tables.GRADIENT).trunc()


class _Layer:
    """One layer of a network: sums, biases, shifts.

    float32 products are exact while sums are below 2^24, at any precision set in torch: inputs and
    weights have 8 bits. Larger layers take float64.
    """

    def __init__(
        self, model: PlaneModel, place: NDArray[np.int64], n_out: int, steps: int, device: torch.device
    ) -> None:
        rows, blob = -(-n_out // OUTPUTS) * OUTPUTS, model.blob
        at, bias, shift = (int(each) for each in place)
        weights = blob[at : at + rows * steps].view(np.int8).reshape(rows, 4 * steps)[:n_out]
        small = int(np.abs(weights.astype(np.int64)).sum(1).max()) * 255 < EXACT_FLOAT
        self.weights = torch.from_numpy(weights.astype(np.float32 if small else np.float64)).to(device)
        self.bias, self.shift = (
            torch.from_numpy(blob[each : each + n_out].reshape(-1, 1)).to(device) for each in (bias, shift)
        )

    def __call__(self, x: Tensor) -> Tensor:
        """int32 (B, outputs, n) of activations (B, inputs, n)."""
        w = self.weights[:, : x.shape[1]]  # all but what fills up words of four
        return (w @ x.to(w.dtype)).int() + self.bias >> self.shift


class Network:
    """The network of planes with R references."""

    def __init__(self, model: PlaneModel, R: int, device: torch.device) -> None:
        net, width, K = model.nets[R], model.width, model.mixtures
        steps, places = int(net[0]), net[1:].reshape(-1, 3)
        if not steps:
            raise ValueError(f"the model has no network for {R} references")
        inner = [_Layer(model, place, width, width // 4, device) for place in places[1:-2]]
        self.first = _Layer(model, places[0], width, steps, device)
        self.blocks = list(zip(inner[::2], inner[1::2], strict=True))
        self.head = _Layer(model, places[-2], 3 * K, width // 4, device)
        self.skip = _Layer(model, places[-1], 2 * K, steps, device)

    def __call__(self, x: Tensor, q: Tensor, head: "Head") -> tuple[Tensor, Tensor]:
        """Outputs, int32 (B, 3 K, n), of inputs with offset 128, float32 (B, inputs, n), and of local scales, int32 (B,
        n); and the inputs of the last layer, float32 (B, inputs, n).
        """
        state = self.first(x).clamp(-127, 127)
        for a, b in self.blocks:
            hidden = a(state.clamp(min=0)).clamp(0, 127)
            state = (state + b(hidden)).clamp(-127, 127)
        context = (q - tables.CONTEXT_FIRST >> 2).clamp(0, tables.CONTEXTS - 1)
        there = context[:, None] == torch.arange(tables.CONTEXTS, device=q.device)[:, None]
        known = torch.cat([state.clamp(min=0), tables.CONTEXT_INPUT * there], 1).float()
        y, skip = head(known), self.skip(x)
        y[:, : skip.shape[1]] += skip
        return y, known


class Head:
    """The last layer of a network, which is trained during coding (FORMAT.md 9.6), for each of B tiles.

    Attributes
    ----------
    weights : float32 tensor, shape (B, 3 K, inputs)
    inputs, outputs : float32 tensors, shape (B, inputs) and (B, 3 K)
        Moments.
    count : float32 tensor, shape (1,)
        The same of the number of pixels.
    """

    def __init__(self, network: Network, K: int, batch: int) -> None:
        layer = network.head
        device = layer.weights.device
        first = torch.nn.functional.pad(layer.weights.float(), (0, tables.CONTEXTS))
        self.bias, self.shift = layer.bias, layer.shift
        self.weights = first.expand(batch, -1, -1).clone()
        self.inputs, self.outputs = (torch.zeros(batch, n, device=device) for n in (first.shape[1], first.shape[0]))
        self.count = torch.zeros(1, device=device)
        rates = [tables.HEAD_RATES[0]] * K + [tables.HEAD_RATES[1]] * (2 * K)
        powers = (1 << self.shift.long()).float()
        self.rates = torch.tensor(rates, dtype=torch.float32, device=device)[:, None] * powers

    def __call__(self, x: Tensor) -> Tensor:
        """int32 (B, 3 K, n) of inputs (B, inputs, n). Sums stay below 2^24, so float32 is exact."""
        return ((self.weights + 0.5).floor() @ x).int() + self.bias >> self.shift

    def learn(self, x: Tensor, gradients: Tensor) -> None:
        """Make a step with a wavefront's inputs (B, inputs, n) and gradients (B, 3 K, n), integers in float32."""
        x, gradients = x.double(), gradients.double()
        sums = (gradients @ x.transpose(1, 2)).float()
        self.count = self.count * tables.HEAD_KEEP + float(x.shape[2])
        self.inputs = self.inputs * tables.HEAD_KEEP + (x * x).sum(2).float()
        self.outputs = self.outputs * tables.HEAD_KEEP + (gradients * gradients).sum(2).float()
        sizes = self.outputs[:, :, None] * (self.inputs / self.count)[:, None] + tables.HEAD_PRIOR
        moved = self.weights - sums * self.rates / sizes
        self.weights = moved.clamp(-tables.HEAD_LIMIT, tables.HEAD_LIMIT)


def log8(s: Tensor) -> Tensor:
    """8 times the binary logarithm of f32(s), s >= 1, int32, evenly spaced in each octave, rounded down."""
    return (s.float().view(torch.int32) >> 20) - 1016


def _squash(rows: Tensor, factor: Tensor) -> Tensor:
    """Rows, int32, times factor, float32, as inputs of the network with offset 128, float32."""
    x = rows.float() * factor
    a = x.abs()
    a = torch.minimum(a, a * 0.25 + 24).clamp(max=127).trunc()
    return torch.where(x < 0, -a, a) + 128


def _relative(log: Tensor, q: Tensor | int, times: int) -> Tensor:
    """A logarithm relative to q as an input of the network with offset 128, float32."""
    return (times * (log - q)).clamp(-127, 127).float() + 128


class Looks:
    """From neighbours to distributions: what is the same for all planes."""

    def __init__(self, model: PlaneModel, m: int, device: torch.device) -> None:
        self.m, self.top, self.K, self.buckets = m, 32 * m, model.mixtures, Buckets(m, device)
        self.level = float(np.float32(127.5) / np.float32(max(m, 1)))
        self.scale, self.inverse, self.slope, self.weight = (
            torch.from_numpy(table).to(device) for table in (tables.SCALE, tables.INVERSE, tables.SLOPE, tables.WEIGHT)
        )
        self.one = torch.ones((), device=device)

    def blend(self, pred: Tensor, magnitudes: Tensor) -> Tensor:
        """Predictions weighted by the inverse square of their errors nearby: int32 (B, n) of (B, V, n) twice."""
        f = magnitudes.float()
        g = self.one / (f * f)
        terms = g * (pred - pred[:, :1]).float()
        num, den = terms[:, 0], g[:, 0]
        for v in range(1, pred.shape[1]):
            num, den = num + terms[:, v], den + g[:, v]
        return ((num / den + 0.5).floor().int() + pred[:, 0]).clamp(0, self.top)

    def inputs(
        self,
        around: Neighbours,
        gathered: tuple[Tensor, ...],
        X: Tensor,
        pred: Tensor,
        magnitudes: Tensor,
        blend: Tensor,
        q: Tensor,
        base: Tensor,
    ) -> Tensor:
        """Inputs of the network with offset 128, float32 (B, inputs, n).

        Parameters
        ----------
        around : Neighbours
        gathered : tuple of int32 tensors, shape (B, number, n)
            As `around` gathers them.
        X : int32 tensor, shape (B, N, n)
            Regressors.
        pred : int32 tensor, shape (B, V, n)
        magnitudes : int32 tensor, shape (B, V + 1, n)
        blend, q, base : int32 tensor, shape (B, n)
        """
        V = pred.shape[1]
        _, _, _, near, far, errors = gathered
        seen = X.index_select(1, around.seen_own)
        inverse = self.inverse[q][:, None]
        wide, fine = inverse * 256, inverse * 16
        at, q = blend[:, None], q[:, None]
        base = base[:, None]
        differences = torch.cat([pred - at, at - 16 * base, near[:, : len(NEAR) * V], at, self.top - at], 1)
        activity = 4 + 4 * seen[:, :4].abs().sum(1, keepdim=True, dtype=torch.int32)
        reach = 8 * LEAST_SCALE + far.abs().sum(1, keepdim=True, dtype=torch.int32)
        parts = [
            _squash(seen, wide),
            _squash(differences, fine),
            _relative(log8(magnitudes[:, :V] >> 3), q, 4),
            _relative(log8(reach >> 3), q, 4),
            _relative(log8(activity), q, 2),
            _relative(q, 48, 2),
            (base.float() * self.level).trunc(),
        ]
        if errors.shape[1]:
            errors = errors.reshape(len(q), -1, len(AROUND), q.shape[2])
            others = X.index_select(1, around.seen_other).view(len(q), -1, SEEN_OTHER, q.shape[2])
            total = errors.abs().sum(2, keepdim=True, dtype=torch.int32)
            log = log8((13 * total.long() >> 6).int() + LEAST_SCALE)
            wide = self.inverse[log] * 256
            each = [_relative(log, q[:, None], 2), _squash(others, wide), _squash(errors, wide * 0.0625)]
            parts.append(torch.cat(each, 2).flatten(1, 2))
        return torch.cat(parts, 1)

    def mixture(self, y: Tensor, blend: Tensor, q: Tensor) -> Mixture:
        """Distributions of the network's outputs int32 (B, 3 K, n) and of blend and q, int32 (B, n)."""
        K = self.K
        off, spread, share = y.long().view(len(y), 3, K, -1).unbind(1)
        weight = self.weight[(share.amax(1, keepdim=True) - share).clamp(max=tables.WEIGHTS - 1)]
        total = weight.sum(1).double()
        room = torch.full_like(total, (65536.0 - self.buckets.alphabet) * 268435456.0)
        rate = (room / total).floor().long()
        j = (2 * q[:, None] + spread).clamp(0, tables.LOGISTIC_SCALES - 1)
        shift = off.clamp(-8192, 8192).float() * self.scale[q][:, None] * 0.015625
        mean = blend[:, None] + shift.clamp(-MOST_OFF, MOST_OFF).int()
        score = share - j
        peak, chosen = torch.full_like(score[:, 0], -(1 << 30)), mean[:, 0]
        for k in range(K):
            higher = score[:, k] > peak
            peak, chosen = torch.where(higher, score[:, k], peak), torch.where(higher, mean[:, k], chosen)
        centre = (chosen + 16 >> 5).clamp(0, self.m)
        return Mixture(self.buckets, weight, mean, self.slope[j], centre, rate)

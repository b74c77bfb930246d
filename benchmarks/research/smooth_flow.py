"""A flow of a model file in float64 and without any rounding: a smooth function with a derivative, for the black-box
variant of local bits-back coding. Nothing that a frame depends on.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from numcodecs_bitswap.backends import for_device
from numcodecs_bitswap.nets.flow import FlowModel
from numcodecs_bitswap.nets.flow_layers import LEVEL, POINTWISE_BITS, Coupling, Pointwise, Split, Squeeze
from numcodecs_bitswap.nets.layers import Tensors

Size = tuple[int, int]
STEPS = 100
"""Halvings of an interval of 2^13 levels or deviations: to the last bit of a float64."""


class SmoothFlow:
    """The function of one model file, from levels to standard deviations; vectors (d,) are grids (h, w, c) in C order.

    Attributes
    ----------
    model : FlowModel
        The integer model, with the layers and their steps.
    """

    def __init__(self, arch: dict[str, Any], tensors: Tensors):
        self.model = FlowModel(arch, tensors, for_device("cpu"))
        self._tensors = {name: torch.from_numpy(t.astype("float64")) for name, t in tensors.items()}
        self._blocks = arch["blocks"]["core"]

    def forward(self, x: Tensor, size: Size) -> Tensor:
        """Latents (d,): those of each split, then those of the last layer."""
        z, v = [], x.reshape(1, *size, self.model.channels)
        for number, layer in enumerate(self.model.layers, 1):
            if isinstance(layer, Squeeze):
                v = layer.forward(v)
            elif isinstance(layer, Pointwise):
                v = v @ _matrix(layer).T
            elif isinstance(layer, Split):
                z.append(v[..., layer.taken].flatten())
                v = v[..., layer.kept]
            else:
                value = self._function(f"flow{number}", layer, v)(v[..., layer.changed])
                v = _with(v, layer.changed, value)
        return torch.cat([*z, v.flatten()])

    def inverse(self, z: Tensor, size: Size) -> Tensor:
        """The values (d,) of latents (d,), by halving."""
        _, h, w, c = self.model.last_shape(1, *size)
        rest, v = z[: len(z) - h * w * c], z[len(z) - h * w * c :].reshape(1, h, w, c)
        for number, layer in reversed(list(enumerate(self.model.layers, 1))):
            if isinstance(layer, Squeeze):
                v = layer.inverse(v)
            elif isinstance(layer, Pointwise):
                v = torch.linalg.solve(_matrix(layer), v.reshape(-1, v.shape[3]).T).T.reshape(v.shape)
            elif isinstance(layer, Split):
                n = v[..., 0].numel() * len(layer.taken)
                rest, taken = rest[: len(rest) - n], rest[len(rest) - n :]
                v = _joined(layer, v, taken.reshape(*v.shape[:3], -1))
            else:
                function = self._function(f"flow{number}", layer, v)
                v = _with(v, layer.changed, _halved(function, v[..., layer.changed]))
        return v.flatten()

    def jacobian(self, x: Tensor, size: Size) -> Tensor:
        """The derivative (d, d) of `forward`, one backward pass for each row."""
        with torch.inference_mode(False), torch.enable_grad():
            jacobian: Any = torch.autograd.functional.jacobian
            matrix: Tensor = jacobian(lambda v: self.forward(v, size), x.clone())
        return matrix.detach()

    def _function(self, name: str, layer: Coupling, v: Tensor) -> Callable[[Tensor], Tensor]:
        """The function of the changed channels' values (1, h, w, changed)."""
        u, references = self._see(layer, v)
        y = self._trunk(name, u)
        y = y.reshape(len(y), len(layer.changed), -1, *y.shape[2:]).permute(0, 3, 4, 1, 2)
        zero = torch.zeros_like(v[..., 0])
        base = torch.stack([references[q] if q >= 0 else zero for q in layer.colours], dim=3).unsqueeze(4)
        *logits, offsets, scales = y.chunk(3 if layer.kind == "mixture" else 2, dim=4)
        means = base + offsets.clamp(-8160, 8160) / 32
        log_scales = (scales.clamp(0, 127) / 12 - 4) * math.log(2)
        if layer.kind == "affine":
            return lambda x: (x - means[..., 0]) * torch.exp(-log_scales[..., 0]) / math.log(2)
        weights = torch.log_softmax(logits[0].clamp(-127, 127) * (math.log(2) / 12), dim=4)

        def mixture(x: Tensor) -> Tensor:
            t = (x.unsqueeze(4) - means) * torch.exp(-log_scales)
            below = torch.logsumexp(weights + F.logsigmoid(t), dim=4)
            logit = below - torch.logsumexp(weights + F.logsigmoid(-t), dim=4)
            size = torch.special.ndtri(torch.sigmoid(-logit.abs()).clamp(min=1e-300))
            return torch.where(logit < 0, size, -size)

        return mixture

    def _see(self, layer: Coupling, v: Tensor) -> tuple[Tensor, list[Tensor]]:
        """As `Inputs`, but real: a pixel with its noise less the mean of the noise."""
        inputs = layer.inputs
        pixel = torch.tensor([each.pixel for each in inputs.known])
        seen = torch.where(pixel, v[..., inputs.channels] - 0.5, v[..., inputs.channels] * 32)
        level = torch.full_like(seen[..., 0], float(LEVEL))
        references = [level if k is None else seen[..., k] for k in inputs.references]
        relative = torch.stack(
            [references[each.colour] if each.pixel else torch.zeros_like(level) for each in inputs.known], dim=3
        )
        h, w = v.shape[1:3]
        rows, columns = (torch.arange(-1, side + 1).clamp(0, side - 1) for side in (h, w))
        around = seen[:, rows][:, :, columns]
        windows = [around[:, m : m + h, n : n + w] - relative for m in range(3) for n in range(3)]
        u = torch.cat(windows, dim=3)
        own = [k for k in inputs.references if k is not None]
        u = _with(u, [4 * len(inputs.channels) + k for k in own], seen[..., own] - LEVEL)
        return u.clamp(-127, 127).permute(0, 3, 1, 2), references

    def _trunk(self, name: str, u: Tensor) -> Tensor:
        h = self._layer(f"{name}.in", u).clamp(0, 127)
        for k in range(self._blocks):
            v = self._layer(f"{name}.{k}.conv", h).clamp(0, 127)
            h = (h + self._layer(f"{name}.{k}.out", v)).clamp(-127, 127)
        return self._layer(f"{name}.head", h) + self._layer(f"{name}.skip", u)

    def _layer(self, name: str, u: Tensor) -> Tensor:
        w, b, f = (self._tensors[f"{name}.{part}"] for part in "wbf")
        side = math.isqrt(w.shape[1] // u.shape[1])
        weights = (w * torch.exp2(-f)[:, None]).reshape(len(w), side, side, -1).permute(0, 3, 1, 2)
        return F.conv2d(u, weights, b * torch.exp2(-f), padding=side // 2)


def _matrix(layer: Pointwise) -> Tensor:
    """The matrix of a pointwise layer: the lower times the upper one."""
    upper, lower = (torch.from_numpy(m) / 2.0**POINTWISE_BITS for m in (layer.upper, layer.lower))
    one = torch.eye(len(upper), dtype=torch.float64)
    return (one + lower) @ (one + upper)


def _joined(layer: Split, kept: Tensor, taken: Tensor) -> Tensor:
    v = kept.new_empty(*kept.shape[:3], len(layer.taken) + len(layer.kept))
    v[..., layer.taken], v[..., layer.kept] = taken, kept
    return v


def _with(v: Tensor, channels: list[int], values: Tensor) -> Tensor:
    parts = list(v.unbind(3))
    for k, value in zip(channels, values.unbind(3), strict=True):
        parts[k] = value
    return torch.stack(parts, dim=3)


def _halved(function: Callable[[Tensor], Tensor], y: Tensor) -> Tensor:
    low, high = torch.full_like(y, -4096.0), torch.full_like(y, 4096.0)
    for _ in range(STEPS):
        middle = (low + high) / 2
        above = function(middle) >= y
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    return high

"""The layers of a flow (FORMAT.md section 6.5): integers (N, h, w, channels) in, integers out, and back.

A channel is a pixel channel (in steps of 2^-value_bits levels) until a coupling transforms it, from then on a latent
channel (in steps of 2^-latent_bits standard deviations).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .. import arrays
from ..arrays import Array
from ..errors import ModelError
from .backend import Backend
from .layers import Tensors
from .transforms import Elementwise, outputs
from .trunk import Trunk
from .units import aligned

MOST_CHANNELS = 4096
LARGEST = 1 << 26
"""All bounds of values are below this."""
POINTWISE_BITS = 12
LEVEL = 128
"""Reference of pixels where no other one is known."""


class Channel(NamedTuple):
    """Static properties of a channel: its colour, whether it is a pixel channel, and the bound of its values."""

    colour: int
    pixel: bool
    bound: int


@dataclass(frozen=True)
class Steps:
    """Step sizes: 2^-value_bits levels of pixels, 2^-latent_bits deviations of latents; noise of 2^noise_bits steps."""

    value_bits: int
    latent_bits: int
    noise_bits: int


class Squeeze:
    """Cells of 2 x 2 become channels: phase (0, 0) first, then (0, 1), (1, 0), (1, 1), each with all channels."""

    role = "bijection"

    def __init__(self, channels: list[Channel]):
        if 4 * len(channels) > MOST_CHANNELS:
            raise ModelError(f"a flow has at most {MOST_CHANNELS} channels")
        self.after = channels * 4

    def forward(self, v: Array) -> Array:
        """(N, 2h, 2w, C) to (N, h, w, 4 C)."""
        return arrays.of(v).concatenate([v[:, a::2, b::2] for a in (0, 1) for b in (0, 1)], 3)

    def inverse(self, v: Array) -> Array:
        """(N, h, w, 4 C) to (N, 2h, 2w, C)."""
        n, h, w, c = v.shape
        cells = arrays.of(v).permute(v.reshape(n, h, w, 2, 2, c // 4), (0, 1, 3, 2, 4, 5))
        return cells.reshape(n, 2 * h, 2 * w, c // 4)


class Pointwise:
    """An invertible matrix for the channels of every cell: a unit upper and then a unit lower triangular matrix, in
    lifting steps that each add a rounded sum of other channels to one. So it is exactly invertible and preserves
    volume.

    Raises
    ------
    ModelError
        A tensor is missing, or values could leave their bounds.
    """

    role = "bijection"

    def __init__(self, tensors: Tensors, name: str, channels: list[Channel]):
        c = len(channels)
        if len({(each.pixel) for each in channels}) != 1:
            raise ModelError(f"{name}: a pointwise layer takes pixels or latents, not both")
        self.upper, self.lower = (
            np.triu(_matrix(tensors, f"{name}.upper", c), 1),
            np.tril(_matrix(tensors, f"{name}.lower", c), -1),
        )
        bounds = [each.bound for each in channels]
        for matrix, order in ((self.upper, range(c)), (self.lower, range(c - 1, -1, -1))):
            for i in order:
                rest = sum(int(abs(m)) * b for m, b in zip(matrix[i], bounds, strict=True))
                bounds[i] += (rest >> POINTWISE_BITS) + 1
        if max(bounds) >= LARGEST:
            raise ModelError(f"{name}: values could reach 2^26")
        self.after = [each._replace(bound=bound) for each, bound in zip(channels, bounds, strict=True)]

    def forward(self, v: Array) -> Array:
        """Apply the upper, then the lower matrix."""
        columns = _columns(v)
        for i in range(len(columns)):
            columns[i] = columns[i] + _sum(self.upper[i], columns)
        for i in reversed(range(len(columns))):
            columns[i] = columns[i] + _sum(self.lower[i], columns)
        return arrays.of(v).cast(arrays.of(v).stack(columns, 3), "int32")

    def inverse(self, v: Array) -> Array:
        """Subtract the sums of the lower, then of the upper matrix, in the opposite order."""
        columns = _columns(v)
        for i in range(len(columns)):
            columns[i] = columns[i] - _sum(self.lower[i], columns)
        for i in reversed(range(len(columns))):
            columns[i] = columns[i] - _sum(self.upper[i], columns)
        return arrays.of(v).cast(arrays.of(v).stack(columns, 3), "int32")


def _columns(v: Array) -> list[Array]:
    """The channels, int64."""
    of = arrays.of(v)
    return [of.packed(v[..., k], "int64") for k in range(v.shape[3])]


def _sum(row: Any, columns: list[Array]) -> Array | int:
    terms = [int(row[j]) * columns[j] for j in np.flatnonzero(row).tolist()]
    return (sum(terms[1:], terms[0]) + (1 << (POINTWISE_BITS - 1))) >> POINTWISE_BITS if terms else 0


class Split:
    """Channels that are coded as latents here and leave the flow.

    Attributes
    ----------
    taken, kept : list of int
    """

    role = "split"

    def __init__(self, channels: list[Channel], taken: list[int]):
        self.taken, self.kept = taken, [k for k in range(len(channels)) if k not in taken]
        if any(channels[k].pixel for k in taken) or not self.kept:
            raise ModelError("a split takes channels that were transformed, and leaves some")
        self.after = [channels[k] for k in self.kept]

    def join(self, kept: Array, taken: Array) -> Array:
        """All channels, from those kept and those taken."""
        v = arrays.of(kept).empty((*kept.shape[:3], len(self.taken) + len(self.kept)), "int32")
        for channels, values in ((self.taken, taken), (self.kept, kept)):
            for i, k in enumerate(channels):
                v[..., k] = values[..., i]
        return v


class Coupling:
    """Transforms some channels, each value by a function of its own, whose parameters a network computes from the other
    channels.

    Attributes
    ----------
    changed : list of int
        The channels that are transformed.

    Raises
    ------
    ModelError
        The tensors do not fit, or both pixel and latent channels are to be transformed.
    """

    role = "coupling"

    def __init__(
        self,
        tensors: Tensors,
        name: str,
        kind: str,
        channels: list[Channel],
        changed: list[int],
        mixtures: int,
        blocks: int,
        steps: Steps,
        backend: Backend,
    ):
        self.kind, self.changed, self.steps, self._backend = kind, changed, steps, backend
        self.inputs = Inputs(channels, [k for k in range(len(channels)) if k not in changed], steps)
        of = [channels[k] for k in changed]
        if not self.inputs.channels or not changed or len({each.pixel for each in of}) != 1:
            raise ModelError(f"{name}: a coupling transforms pixels or latents, not both, and not all channels")
        self.bits = steps.value_bits if of[0].pixel else steps.latent_bits
        self.reach = max(each.bound for each in of).bit_length()
        self.colours = [each.colour if each.pixel else -1 for each in of]
        self.network = Trunk(
            tensors, name, 9 * len(self.inputs.channels), len(changed) * outputs(kind, mixtures), blocks, backend
        )
        self.after = list(channels)
        for k in (
            changed
        ):  # an affine function returns at most 28 units, and a popped value is at most 13 deviations from it
            self.after[k] = Channel(channels[k].colour, False, 28 * 14 << steps.latent_bits)
        if 28 * 14 << steps.latent_bits >= LARGEST:
            raise ModelError(f"{name}: values could reach 2^26")

    def function(self, v: Array) -> Elementwise:
        """The functions of the changed channels, from the values of the others; those of the changed ones have no
        effect.
        """
        u, references = self.inputs(v)
        y = self.network.outputs(u)
        y = y.reshape(-1, y.shape[3] // len(self.changed))
        of, s = arrays.of(v), self.steps
        base = of.zeros((*v.shape[:3], len(self.changed)), "int32")
        for i, colour in enumerate(self.colours):
            if colour >= 0:
                base[..., i] = 32 * references[colour]
        return self._backend.elementwise(
            self.kind, y, base.reshape(-1), self.bits, self.reach, s.latent_bits, s.noise_bits
        )


class Inputs:
    """The inputs of a coupling's network: the 3 x 3 cells around each, edges repeated, of the channels that stay.

    Attributes
    ----------
    channels : list of int
    """

    def __init__(self, known: list[Channel], channels: list[int], steps: Steps):
        self.channels, self.steps = channels, steps
        self.known = [known[k] for k in channels]
        colours = max((each.colour for each in known), default=0) + 1
        # Inputs of pixels are relative to the first staying pixel of their colour in the same cell.
        self.references = [
            next((i for i, each in enumerate(self.known) if each.pixel and each.colour == q), None)
            for q in range(colours)
        ]
        # Half of what int16 holds, so that differences fit, too. Few models need more.
        small = all(each.bound >> self._drops(each) < 1 << 14 for each in self.known)
        self._dtype: Any = "int16" if small else "int32"

    def _drops(self, known: Channel) -> int:
        """Low bits that are not in the network's input."""
        return self.steps.value_bits if known.pixel else self.steps.latent_bits - 5

    def __call__(self, v: Array) -> tuple[Array, list[Array]]:
        """v : int32 (N, h, w, C). Returns the network's input, int8 (N, h, w, aligned(9 channels)), and the reference
        of every colour in levels, int32 (N, h, w).
        """
        n, h, w, _ = v.shape
        of, k = arrays.of(v), len(self.channels)
        seen = of.empty((n, h, w, k), self._dtype)
        for i, (channel, known) in enumerate(zip(self.channels, self.known, strict=True)):
            seen[..., i] = v[..., channel] >> self._drops(known)
        level = of.full((n, h, w), LEVEL, self._dtype)
        references = [level if own is None else seen[..., own] for own in self.references]
        relative = of.zeros((n, h, w, k), self._dtype)
        for i, known in enumerate(self.known):
            if known.pixel:
                relative[..., i] = references[known.colour]
        rows, columns = (of.clip(of.range(-1, side + 1), 0, side - 1) for side in (h, w))
        around = seen[:, rows][:, :, columns]
        u = of.zeros((n, h, w, aligned(9 * k)), "int8")
        for at in range(9):
            window = around[:, at // 3 : at // 3 + h, at % 3 : at % 3 + w]
            u[..., k * at : k * (at + 1)] = of.clip(window - relative, -127, 127)
        for own in self.references:
            if own is not None:
                u[..., 4 * k + own] = of.clip(seen[..., own] - LEVEL, -127, 127)
        return u, [of.cast(each, "int32") for each in references]


def _matrix(tensors: Tensors, name: str, c: int) -> Any:
    matrix = tensors.get(name, np.empty(0))
    if matrix.shape != (c, c) or matrix.dtype != np.int32:
        raise ModelError(f"the model needs an int32 tensor {name} of shape ({c}, {c})")
    return matrix.astype(np.int64)

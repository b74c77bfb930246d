"""Mixtures of logistics over 16-bit samples (FORMAT.md section 3.10): a cost that does not grow with 2^16.

A sample is coded as its residual to the centre of its mixture, the way a float is written: a *bucket*, which says sign,
exponent and three bits more, and then the *low bits*, all equally likely. Buckets are an eighth to a sixteenth as wide
as they are far from the centre, so within one the mixture hardly changes, and 224 of them reach every sample.
Imports `rans.distribution`, the low bits, the checks and the tables.
"""

from functools import cache, cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..rans.distribution import Functions, Native, TritonFunctions
from .bits import Bits
from .checks import check_range
from .tables import positions, tables

LEVELS = 1 << 16
BUCKETS = 224
"""Alphabet of the first block; the residuals 0 .. 65535 have the upper half."""
HALF = BUCKETS // 2
MEANS, SCALES = 32 * (LEVELS - 1), 271
"""Largest mean and scale index."""
FINE = 116
"""Scale indices from FINE + 12 on are folded back by octaves: index j - 12 r with the difference divided by 2^r."""
SHIFT = 25


class DeepMixture:
    """A mixture of K logistics over 0 .. 65535 for every symbol of a block; its symbols are buckets.

    Parameters
    ----------
    logits : int32 tensor, shape (B, n, K)
        Units of 1/12 octave.
    means : int32 tensor, shape (B, n, K)
        Units of 1/32 level, 0 .. 2097120.
    scales : int32 tensor, shape (B, n, K)
        0 .. 271; index j is a scale of 2^(j/12 - 4) levels.

    Raises
    ------
    ValueError
        Shapes that differ or a value outside its range.
    """

    alphabet = BUCKETS
    scale_limit = SCALES

    def __init__(self, logits: Tensor, means: Tensor, scales: Tensor) -> None:
        self.batch, self.n, self.components = means.shape
        self._logits, self._means, self._scales = logits, means, scales
        if not logits.shape == means.shape == scales.shape:
            raise ValueError(f"no mixture has shapes {logits.shape}, {means.shape}, {scales.shape}")
        check_range("means", means, 0, MEANS)
        check_range("scales", scales, 0, SCALES)

    @cached_property
    def centre(self) -> Tensor:
        """The level next to the mean of the component with the highest peak: int32 (B, n)."""
        # Not argmax, which on CUDA may return any of equal ones.
        order = torch.arange(self.components, device=self._means.device)
        peak = (self._logits - self._scales) * self.components - order
        highest = peak == peak.amax(2, keepdim=True)
        return ((self._means * highest).sum(2) + 16 >> 5).int()

    def shifted(self, shift: int | Tensor) -> "DeepMixture":
        """See `Shiftable.shifted`."""
        by = shift.unsqueeze(2) if isinstance(shift, Tensor) else shift
        return DeepMixture(self._logits, self._means, (self._scales + by).clamp_(0, SCALES))

    def thinned(self, every: int) -> "DeepMixture":
        """See `Shiftable.thinned`."""
        return DeepMixture(*(each[:, ::every] for each in (self._logits, self._means, self._scales)))

    def prepare(self, first: int, last: int) -> tuple[Tensor, ...]:
        """See `Distribution.prepare`: centres (B, k), and zero points, inverse scales and R w_k (B, k, K), int64."""
        _, invscale, weight, _, _ = _tensors(self._means.device)
        logits, means, scales = (p[:, first:last].long() for p in (self._logits, self._means, self._scales))
        centre = self.centre[:, first:last].long()
        w = weight[(logits.amax(2, keepdim=True) - logits).clamp(max=127)]
        r = ((LEVELS - BUCKETS) << 28) // w.sum(2, keepdim=True)
        return centre, means + 16 - 32 * centre.unsqueeze(2), invscale[scales], r * w

    def cum(self, prepared: tuple[Tensor, ...], symbols: Tensor) -> Tensor:
        """See `Distribution.cum`."""
        centre, zero, inverse, weight = prepared
        sigmoid, _, _, edges, _ = _tensors(symbols.device)
        edge = edges.take(symbols)
        t = (((32 * edge[..., None] - zero) * inverse >> SHIFT) + 4096).clamp(0, 8191)
        inner = symbols + ((weight * sigmoid.take(t)).sum(-1) >> 44)
        level = centre + edge
        return torch.where(level >= LEVELS, 1 << 16, torch.where(level <= 0, 0, inner))

    def native(self) -> Native:
        """See `Distribution.native`; the fields are logits, means and scales."""
        logits, means, scales = (p.int().contiguous() for p in (self._logits, self._means, self._scales))
        return Native(Functions(_load, _guess, _cum), (logits, means, scales), _constants(means.device), _triton)

    def split(self, samples: Tensor) -> tuple[Tensor, Bits, Tensor]:
        """Samples (B, n) as buckets, and the distribution and values of their low bits; inverse of `join`."""
        *_, edges, places = _tensors(samples.device)
        residual = samples.long() - self.centre
        upper = residual >= 0
        place = places.take(torch.where(upper, residual, -residual - 1))
        buckets = torch.where(upper, HALF + place, HALF - 1 - place)
        return buckets.int(), self.low_bits(buckets), (residual - edges.take(buckets)).int()

    def low_bits(self, buckets: Tensor) -> Bits:
        """The distribution of the low bits of samples in these buckets."""
        i = torch.where(buckets >= HALF, buckets - HALF, HALF - 1 - buckets)
        return Bits(((i >> 3) - 1).clamp(min=0).int().unsqueeze(2))

    def join(self, buckets: Tensor, low: Tensor) -> Tensor:
        """Samples (B, n) of buckets and low bits, int32; inverse of `split`. From altered frames any."""
        return (self.centre + _tensors(buckets.device)[3].take(buckets.long()) + low).int()


@cache
def _edges() -> NDArray[np.int64]:
    """E(s) of FORMAT.md section 3.10, s = 0 .. 224."""
    i = np.arange(HALF + 1)
    b = np.maximum((i >> 3) - 1, 0)
    upper = (i - 8 * b) << b
    return np.concatenate([-upper[:0:-1], upper])


@cache
def _tensors(device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """SIGMOID, inverse scales in units of 2^-SHIFT, WEIGHT, E(s), and the bucket of each residual from 0 on."""
    sigmoid, invscale, weight = (table.astype(np.int64) for table in tables())
    j = np.arange(SCALES + 1)
    octaves = np.maximum((j - FINE) // 12, 0)
    inverse = invscale[j - 12 * octaves] << (SHIFT - 12 - octaves)
    places = np.searchsorted(_edges()[HALF:], np.arange(LEVELS), "right") - 1
    first, *rest = (torch.from_numpy(t).to(device) for t in (sigmoid, inverse, weight, _edges(), places))
    return first, rest[0], rest[1], rest[2], rest[3]


# The native form. local: K zero points, K inverse scales, K weights, as in `DeepMixture.prepare`; the centre.
SIGMOID, INVSCALE, WEIGHT, POSITION, EDGE = 0, 8192, 8320, 8448, 12544  # places in the constants


@cache
def _constants(device: torch.device) -> Tensor:
    """The tables; where SIGMOID is about 16 u, for guesses; E(s)."""
    sigmoid, invscale, weight = tables()
    position = positions(sigmoid)
    constants = np.concatenate([sigmoid, invscale, weight, position, _edges()])
    return torch.from_numpy(constants.astype(np.int32)).to(device)


def _load(b: int, i: int, local: Any, logits: Any, means: Any, scales: Any, constants: Any, components: int) -> None:
    top, peak, best = logits[b, i, 0], logits[b, i, 0] - scales[b, i, 0], 0
    for k in range(1, components):
        top = max(top, logits[b, i, k])
        if logits[b, i, k] - scales[b, i, k] > peak:
            peak, best = logits[b, i, k] - scales[b, i, k], k
    centre = (means[b, i, best] + 16) >> 5
    total = 0
    for k in range(components):
        w = constants[WEIGHT + min(top - logits[b, i, k], 127)]
        total += w
        octaves = max((scales[b, i, k] - FINE) // 12, 0)
        local[k] = means[b, i, k] + 16 - 32 * centre
        local[components + k] = constants[INVSCALE + scales[b, i, k] - 12 * octaves] << (SHIFT - 12 - octaves)
        local[2 * components + k] = w
    r = ((LEVELS - BUCKETS) << 28) // total
    for k in range(components):
        local[2 * components + k] *= r
    local[3 * components] = centre


def _cum(s: int, local: Any, constants: Any, components: int) -> Any:
    edge = constants[EDGE + s]
    mass = 0
    for k in range(components):
        t = ((32 * edge - local[k]) * local[components + k] >> SHIFT) + 4096
        mass += local[2 * components + k] * constants[SIGMOID + min(max(t, 0), 8191)]
    value = s + (mass >> 44)
    level = local[3 * components] + edge
    if level <= 0:
        value = 0
    if level >= LEVELS:
        value = 1 << 16
    return value


def _guess(r: int, local: Any, constants: Any, components: int) -> Any:
    # The mean of the components' quantiles, in units of 1/32 level; weights sum to nearly 2^44, here 2^24.
    position = constants[POSITION + (min(max(r - HALF, 0), 65535) >> 4)]
    place = 0
    for k in range(components):
        quantile = local[k] + (position << SHIFT) // local[components + k]
        place += min(max(quantile, -(1 << 22)), 1 << 22) * (local[2 * components + k] >> 20)
    residual = place >> 29
    distance = min(max(residual, -residual - 1), LEVELS - 1)
    b = 0
    while distance >> b >= 16:
        b += 1
    i = 8 * b + (distance >> b)
    return HALF + i if residual >= 0 else HALF - 1 - i


def _triton() -> TritonFunctions:
    from .triton_forms import DEEP

    return DEEP

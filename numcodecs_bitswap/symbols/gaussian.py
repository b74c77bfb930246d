"""Gaussians over the integers (FORMAT.md section 3.8): for the values of flows, which are finer than a symbol can be.

A value is a symbol and a place in it: 2^m values of the middle, less than a sixteenth of a standard deviation, share a
symbol, and a few symbols hold all that is far out. Imports `rans.distribution`, the checks and the tables.
"""

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..rans.distribution import Functions, Native, TritonFunctions
from .checks import block_shape, check_range, some
from .tables import vae_tables

UNIT = 8
"""Standard deviations are in units of 2^-UNIT."""
LARGEST = 1 << 26
"""Bound of values and means."""
REACH, TAILS = 112, 5
"""Symbols of the middle on each side, and beyond them."""
WIDTHS = (4, 8, 16, 256)
"""Width of the tails but the last, in steps of 2^m."""
LAST_BITS = 28
"""The last tail holds 2^LAST_BITS values: all that are left."""
CENTRE = REACH + TAILS
ALPHABET = 2 * CENTRE
STEP = 196608 << 13
"""768 * 256 2^13: turns offsets in 1/64 step and a deviation's mantissa into 1/64 of a place in NORMAL."""


class Gaussian:
    """A Gaussian for every value of a block.

    Parameters
    ----------
    means : int32 tensor, shape (B, n, 1)
        |means| <= 2^26.
    deviations : int32 tensor, shape (B, n, 1)
        Standard deviations in 1/256, 2^8 .. 2^27.
    floor : bool
        Whether values far from the mean can be coded: at a cost of 0.0001 bit for each value. Without it none is
        popped, and to push one is an error.

    Raises
    ------
    ValueError
        Other shapes, or a value outside its range.
    """

    alphabet, components = ALPHABET, 1

    def __init__(self, means: Tensor, deviations: Tensor, floor: bool) -> None:
        self.batch, self.n = block_shape(means, deviations)
        check_range("means", means, -LARGEST, LARGEST)
        check_range("deviations", deviations, 1 << UNIT, 1 << 27)
        means, deviations = means[..., 0].int(), deviations[..., 0].int()
        self._shift = torch.bucketize(deviations, _thresholds(means.device), out_int32=True, right=True)
        self._mantissa = deviations >> self._shift
        self._reach = 7 * self._mantissa >> 9
        self._step = means >> self._shift
        rest = means - (self._step << self._shift)
        # Of a step's values the first is half a value above the step's lower end.
        self._offset = ((rest.long() << 6) >> self._shift).int() + (32 >> self._shift)
        self._floor = floor

    def prepare(self, first: int, last: int) -> tuple[Tensor, ...]:
        """See `Distribution.prepare`: offset, reach and STEP // mantissa, each int64 (B, k)."""
        offset, reach, mantissa = (p[:, first:last].long() for p in (self._offset, self._reach, self._mantissa))
        return offset, reach, STEP // mantissa

    def cum(self, prepared: tuple[Tensor, ...], symbols: Tensor) -> Tensor:
        """See `Distribution.cum`."""
        offset, reach, inverse = prepared
        normal, beyond = _tensors(symbols.device)
        d = torch.minimum(torch.maximum(symbols - CENTRE, -reach), reach) + beyond.take(symbols)
        t = ((64 * d - offset) * inverse >> 13).clamp(-4096 << 6, (4095 << 6) - 1)
        place, part = (t >> 6) + 4096, t & 63
        natural = (normal.take(place) * (64 - part) + normal.take(place + 1) * part + 32) >> 6
        natural = torch.where(symbols <= 0, 0, torch.where(symbols >= ALPHABET, 1 << 16, natural))
        if not self._floor:
            return natural
        ones = symbols.clamp(0, TAILS) + (symbols - (ALPHABET - TAILS)).clamp(0, TAILS)
        return ones + (((1 << 16) - 2 * TAILS) * natural >> 16)

    def native(self) -> Native:
        """See `Distribution.native`; the fields are offsets, mantissas and reaches."""
        fields = [p.unsqueeze(-1).contiguous() for p in (self._offset, self._mantissa, self._reach)]
        constants = _constants(self._floor, self._shift.device)
        return Native(Functions(_load, _guess, _cum), (fields[0], fields[1], fields[2]), constants, _triton)

    def split(self, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Symbols of values, how many bits their places in them have, and the places: int32 (B, n) each.

        Raises
        ------
        ValueError
            A value outside +-2^26.
        """
        check_range("values", values, -LARGEST, LARGEST)
        d = (values >> self._shift) - self._step
        symbols = torch.minimum(torch.maximum(d, -self._reach), self._reach - 1) + CENTRE
        places = values & ((1 << self._shift) - 1)
        below, above = d < -self._reach, d >= self._reach
        if some(far := below | above):
            high = ((self._step + self._reach) << self._shift) - 1
            low = (self._step - self._reach) << self._shift
            beyond = torch.where(above, values - high, low - values) - 1
            for k in range(TAILS):
                inside = far if k == 0 else far & (beyond >= self._tail_start(k))
                symbols = torch.where(inside & above, ALPHABET - TAILS + k, symbols)
                symbols = torch.where(inside & below, TAILS - 1 - k, symbols)
                places = torch.where(inside, beyond - self._tail_start(k), places)
        return symbols, self.sizes(symbols), places

    def join(self, symbols: Tensor, places: Tensor) -> Tensor:
        """Values (B, n) of symbols and places: the inverse of `split`, bounded by +-2^26."""
        values = ((symbols - CENTRE + self._step) << self._shift) + places
        tail = self._tail(symbols)
        if some(far := tail >= 0):
            high = (self._step + self._reach) << self._shift
            low = ((self._step - self._reach) << self._shift) - 1
            start = torch.stack([self._tail_start(k) for k in range(TAILS)])
            beyond = start.gather(0, tail.clamp(min=0).long()[None])[0] + places
            values = torch.where(far, torch.where(symbols > CENTRE, high + beyond, low - beyond), values)
        return values.clamp(-LARGEST, LARGEST)

    def sizes(self, symbols: Tensor) -> Tensor:
        """Bits of the places in symbols, int32 (B, n)."""
        tail = self._tail(symbols)
        if not some(tail >= 0):
            return self._shift
        sizes = [self._shift + (width.bit_length() - 1) for width in WIDTHS]
        sizes += [torch.full_like(self._shift, LAST_BITS), self._shift]
        return torch.stack(sizes).gather(0, torch.where(tail < 0, TAILS, tail).long()[None])[0]

    def _tail(self, symbols: Tensor) -> Tensor:
        """Number of the tail, from 0, of each symbol; -1 in the middle."""
        return torch.maximum(symbols - (ALPHABET - TAILS), TAILS - 1 - symbols).clamp(min=-1)

    def _tail_start(self, k: int) -> Tensor:
        """Where tail k begins, counted from the end of the middle."""
        return torch.full_like(self._shift, sum(WIDTHS[:k])) << self._shift


def _beyond() -> list[int]:
    """Lower end of every symbol, in steps beyond the reach; 0 in the middle."""
    outer = [sum(WIDTHS[:k]) for k in range(1, TAILS)]
    return [0, *(-each for each in reversed(outer)), *[0] * (2 * REACH + 1), *outer, 0]


@cache
def _thresholds(device: torch.device) -> Tensor:
    """Deviations from which one bit more is shifted out."""
    return torch.tensor([1 << m for m in range(13, 28)], dtype=torch.int32, device=device)


@cache
def _tensors(device: torch.device) -> tuple[Tensor, Tensor]:
    """NORMAL and `_beyond`, int64."""
    normal = torch.from_numpy(vae_tables().normal.astype(np.int64)).to(device)
    return normal, torch.tensor(_beyond(), device=device)


# The native form. local: offset, STEP // mantissa, reach, mantissa.
BEYOND, POSITION, FLOOR = 8192, 8192 + ALPHABET + 1, 8192 + ALPHABET + 1 + 4096  # places in the constants


@cache
def _constants(floor: bool, device: torch.device) -> Tensor:
    """NORMAL, `_beyond`, the inverse of NORMAL for guesses, and whether there is a floor."""
    normal = vae_tables().normal
    position = np.searchsorted(normal, 16 * np.arange(4096) + 8) - 4096
    constants = np.concatenate([normal, _beyond(), position, [int(floor)]])
    return torch.from_numpy(constants.astype(np.int32)).to(device)


def _load(b: int, i: int, local: Any, offsets: Any, mantissas: Any, reaches: Any, constants: Any, k: int) -> None:
    local[0] = offsets[b, i, 0]
    local[1] = STEP // mantissas[b, i, 0]
    local[2] = reaches[b, i, 0]
    local[3] = mantissas[b, i, 0]


def _cum(s: int, local: Any, constants: Any, k: int) -> Any:
    d = min(max(s - CENTRE, -local[2]), local[2]) + constants[BEYOND + s]
    t = min(max((64 * d - local[0]) * local[1] >> 13, -4096 << 6), (4095 << 6) - 1)
    place, part = (t >> 6) + 4096, t & 63
    value = (constants[place] * (64 - part) + constants[place + 1] * part + 32) >> 6
    if s <= 0:
        value = 0
    if s >= ALPHABET:
        value = 1 << 16
    if constants[FLOOR]:
        ones = min(max(s, 0), TAILS) + min(max(s - (ALPHABET - TAILS), 0), TAILS)
        value = ones + (((1 << 16) - 2 * TAILS) * value >> 16)
    return value


def _guess(r: int, local: Any, constants: Any, k: int) -> Any:
    d = (constants[POSITION + (r >> 4)] * local[3] // 3072 + local[0]) >> 6
    return CENTRE + min(max(d, -local[2]), local[2] - 1)


def _triton() -> TritonFunctions:
    from .triton_forms import INTEGER_GAUSSIAN

    return INTEGER_GAUSSIAN

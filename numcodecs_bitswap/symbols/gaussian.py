"""Gaussians over the integers (FORMAT.md section 3.8): for the values of flows, which are finer than a symbol can be.

A value is a symbol and a place in it: 2^m values of the middle, less than a sixteenth of a standard deviation, share a
symbol, and a few symbols hold all that is far out. Imports `rans.distribution`, the checks and the tables.
"""

from functools import cache, cached_property
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..rans.distribution import Functions, Loops, Native, TritonFunctions
from . import gaussian_places
from .checks import block_shape, check_range
from .gaussian_places import ALPHABET, CENTRE, LARGEST, TAILS, UNIT, beyond, reaches
from .tables import positions, vae_tables


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
        self._parts = parts(means.device.type)
        self._means, self._deviations, self._floor = means[..., 0].int(), deviations[..., 0].int(), floor
        if not self._parts.within(self._means, self._deviations):
            check_range("means", means, -LARGEST, LARGEST)
            check_range("deviations", deviations, 1 << UNIT, 1 << 27)

    @cached_property
    def _fields(self) -> tuple[Tensor, ...]:
        fields: tuple[Tensor, ...] = self._parts.fields(self._means, self._deviations)
        return fields

    def prepare(self, first: int, last: int) -> tuple[Tensor, ...]:
        """See `Distribution.prepare`: offset, reach and STEP // mantissa, each int64 (B, k)."""
        mantissa, offset, inverse = (p[:, first:last].long() for p in self._fields[2:])
        return offset, reaches(mantissa), inverse

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
        """See `Distribution.native`; the fields are offsets, mantissas and STEP // mantissa."""
        mantissa, offset, inverse = (p.unsqueeze(-1) for p in self._fields[2:])
        functions, constants = Functions(_load, _guess, _cum), _constants(self._floor, offset.device)
        return Native(functions, (offset, mantissa, inverse), constants, _triton)

    def loops(self) -> Loops | None:
        """Compiled loops for the block of values that FORMAT.md says; None where there are none."""
        if self._parts is gaussian_places:
            return None
        from .gaussian_loops import pop, push

        fields = (each.contiguous().numpy() for each in (self._means, self._deviations))
        return Loops(push, pop, (*fields, self._floor), 3)

    def split(self, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Symbols of values, how many bits their places in them have, and the places: int32 (B, n) each.

        Raises
        ------
        ValueError
            A value outside +-2^26.
        """
        check_range("values", values, -LARGEST, LARGEST)
        symbols, sizes, places = self._parts.split(values, *self._fields[:3])
        return symbols, sizes, places

    def join(self, symbols: Tensor, places: Tensor) -> Tensor:
        """Values (B, n) of symbols and places: the inverse of `split`, bounded by +-2^26."""
        values: Tensor = self._parts.join(symbols, places, *self._fields[:3])
        return values

    def sizes(self, symbols: Tensor) -> Tensor:
        """Bits of the places in symbols, int32 (B, n)."""
        sizes: Tensor = self._parts.sizes(symbols, self._fields[0])
        return sizes


@cache
def parts(device: str) -> ModuleType:
    """`gaussian_places`, or `gaussian_numba` with the same functions and results."""
    if device == "cpu" and find_spec("numba"):
        from . import gaussian_numba

        return gaussian_numba
    return gaussian_places


@cache
def _tensors(device: torch.device) -> tuple[Tensor, Tensor]:
    """NORMAL and `beyond`, int64."""
    normal = torch.from_numpy(vae_tables().normal.astype(np.int64)).to(device)
    return normal, torch.tensor(beyond(), device=device)


# The native form. local: offset, STEP // mantissa, reach, mantissa.
BEYOND, POSITION, FLOOR = 8192, 8192 + ALPHABET + 1, 8192 + ALPHABET + 1 + 4096  # places in the constants


@cache
def _constants(floor: bool, device: torch.device) -> Tensor:
    """NORMAL, `beyond`, the inverse of NORMAL for guesses, and whether there is a floor."""
    normal = vae_tables().normal
    position = positions(normal)
    constants = np.concatenate([normal, beyond(), position, [int(floor)]])
    return torch.from_numpy(constants.astype(np.int32)).to(device)


def _load(b: int, i: int, local: Any, offsets: Any, mantissas: Any, inverses: Any, constants: Any, k: int) -> None:
    row, column = np.uint64(b), np.uint64(i)
    local[0] = offsets[row, column, 0]
    local[1] = inverses[row, column, 0]
    local[2] = 7 * np.int64(mantissas[row, column, 0]) >> 9
    local[3] = mantissas[row, column, 0]


def _cum(s: int, local: Any, constants: Any, k: int) -> Any:
    d = min(max(s - CENTRE, -local[2]), local[2]) + constants[np.uint64(BEYOND + s)]
    t = min(max((64 * d - local[0]) * local[1] >> 13, -4096 << 6), (4095 << 6) - 1)
    place, part = np.uint64((t >> 6) + 4096), t & 63
    value = (constants[place] * (64 - part) + constants[place + np.uint64(1)] * part + 32) >> 6
    value = 0 if s <= 0 else value
    value = 1 << 16 if s >= ALPHABET else value
    ones = min(max(s, 0), TAILS) + min(max(s - (ALPHABET - TAILS), 0), TAILS)
    return ones + (((1 << 16) - 2 * TAILS) * value >> 16) if constants[FLOOR] else value


def _guess(r: int, local: Any, constants: Any, k: int) -> Any:
    d = (constants[np.uint64(POSITION + (r >> 4))] * local[3] * 21845 + (local[0] << 26)) >> 32  # 21845 is 2^26 / 3072
    return CENTRE + min(max(d, -local[2]), local[2] - 1)


def _triton() -> TritonFunctions:
    from .triton_forms import INTEGER_GAUSSIAN

    return INTEGER_GAUSSIAN

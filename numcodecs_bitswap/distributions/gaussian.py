"""Gaussians over the integers (FORMAT.md section 3.8), for the values of flows, which are finer than symbols can be.

A value is a symbol and its place (the *offset* of FORMAT.md) in the symbol's interval: in the middle 2^h values, less
than a sixteenth of a standard deviation, share a symbol, and a few symbols hold the tails.
"""

from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import arrays
from ..arrays import Array
from ..rans.distribution import Functions, Loops, Native
from ..rans.message import Message
from . import gaussian_places
from .bits import Bits
from .checks import at_most, block_shape, check_range
from .gaussian_places import ALPHABET, CENTRE, LARGEST, LAST_BITS, TAILS, UNIT, beyond, reaches
from .tables import positions, vae_tables


class Gaussian:
    """A Gaussian for every value of a block.

    Parameters
    ----------
    means : int32 array, shape (B, n, 1)
        |means| <= 2^26.
    deviations : int32 array, shape (B, n, 1)
        Standard deviations in units of 1/256, 2^8 .. 2^27.
    floor : bool
        Whether values far from the mean can be coded, at a cost of 0.0001 bit for each value. Without a floor none is
        popped, and pushing one is an error.

    Raises
    ------
    ValueError
        Other shapes, or a value outside its range.
    """

    alphabet, components = ALPHABET, 1

    def __init__(self, means: Array, deviations: Array, floor: bool) -> None:
        self.batch, self.n = block_shape(means, deviations)
        of = arrays.of(means)
        self._means, self._deviations = (of.cast(each[..., 0], "int32") for each in (means, deviations))
        self._floor = floor
        check_range("means", means, -LARGEST, LARGEST)
        check_range("deviations", deviations, 1 << UNIT, 1 << 27)

    @cached_property
    def _fields(self) -> tuple[Array, ...]:
        return gaussian_places.fields(self._means, self._deviations)

    def prepare(self, first: int, last: int) -> tuple[Array, ...]:
        """See `Distribution.prepare`: offset, reach and STEP // mantissa, each int64 (B, k)."""
        of = arrays.of(self._means)
        mantissa, offset, inverse = (of.cast(p[:, first:last], "int64") for p in self._fields[2:])
        return offset, reaches(mantissa), inverse

    def cum(self, prepared: tuple[Array, ...], symbols: Array) -> Array:
        """See `Distribution.cum`."""
        offset, reach, inverse = prepared
        of = arrays.of(symbols)
        normal, beyond = map(of.constant, _tables())
        d = of.minimum(of.maximum(symbols - CENTRE, -reach), reach) + of.take(beyond, symbols)
        t = of.clip((64 * d - offset) * inverse >> 13, -4096 << 6, (4095 << 6) - 1)
        place, part = (t >> 6) + 4096, t & 63
        natural = (of.take(normal, place) * (64 - part) + of.take(normal, place + 1) * part + 32) >> 6
        natural = of.where(symbols <= 0, 0, of.where(symbols >= ALPHABET, 1 << 16, natural))
        if not self._floor:
            return natural
        ones = of.clip(symbols, 0, TAILS) + of.clip(symbols - (ALPHABET - TAILS), 0, TAILS)
        return ones + (((1 << 16) - 2 * TAILS) * natural >> 16)

    def native(self) -> Native:
        """See `Distribution.native`; the fields are offsets, mantissas and STEP // mantissa."""
        of = arrays.of(self._means)
        mantissa, offset, inverse = (of.packed(p, "int32")[..., None] for p in self._fields[2:])
        functions, constants = Functions(_load, _guess, _cum), of.constant(_constants(self._floor))
        return Native(functions, (offset, mantissa, inverse), constants)

    def loops(self) -> Loops:
        """Compiled loops for the block of values of FORMAT.md section 3.8; for numpy arrays."""
        from .gaussian_loops import pop, push  # needs numba

        fields = (np.ascontiguousarray(each) for each in (self._means, self._deviations))
        return Loops(push, pop, (*fields, self._floor), 3)

    def push(self, message: Message, values: Array) -> None:
        """Push values (B, n) as in FORMAT.md section 3.8: places, then symbols.

        Raises
        ------
        ValueError
            A value outside +-2^26.
        """
        of = arrays.of(values)
        symbols, sizes, places = self.split(values)
        if (most := at_most(sizes, LAST_BITS)) > 0:
            message.push(Bits(of.clip(sizes, None, 16)[..., None]), places & 0xFFFF)
        if most > 16:
            message.push(Bits(of.clip(sizes - 16, 0, None)[..., None]), places >> 16)
        message.push(self, symbols)

    def pop(self, message: Message) -> Array:
        """Pop values (B, n): the inverse of `push`."""
        symbols = message.pop(self)
        of, sizes = arrays.of(symbols), self.sizes(symbols)
        places: Array | int = 0
        if (most := at_most(sizes, LAST_BITS)) > 16:
            places = message.pop(Bits(of.clip(sizes - 16, 0, None)[..., None])) << 16
            sizes = of.clip(sizes, None, 16)
        if most > 0:
            places = message.pop(Bits(sizes[..., None])) + places
        return self.join(symbols, places)

    def split(self, values: Array) -> tuple[Array, Array, Array]:
        """Symbols of values, numbers of bits of their places, and the places: int32 (B, n) each.

        Raises
        ------
        ValueError
            A value outside +-2^26.
        """
        check_range("values", values, -LARGEST, LARGEST)
        return gaussian_places.split(values, *self._fields[:3])

    def join(self, symbols: Array, places: Array | int) -> Array:
        """Values (B, n) of symbols and places, clamped to +-2^26: the inverse of `split`."""
        return gaussian_places.join(symbols, places, *self._fields[:3])

    def sizes(self, symbols: Array) -> Array:
        """Numbers of bits of the places in symbols, int32 (B, n)."""
        return gaussian_places.sizes(symbols, self._fields[0])


@cache
def _tables() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """NORMAL and `beyond`."""
    return vae_tables().normal.astype(np.int64), np.array(beyond(), np.int64)


# The native form. local: offset, STEP // mantissa, reach, mantissa.
BEYOND, POSITION, FLOOR = 8192, 8192 + ALPHABET + 1, 8192 + ALPHABET + 1 + 4096  # indices in the constants


@cache
def _constants(floor: bool) -> NDArray[np.int32]:
    """NORMAL, `beyond`, the inverse of NORMAL for guesses, and whether there is a floor."""
    normal = vae_tables().normal
    position = positions(normal)
    constants = np.concatenate([normal, beyond(), position, [int(floor)]])
    return constants.astype(np.int32)


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

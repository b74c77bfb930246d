"""The functions of `gaussian_places` and `Gaussian` for one value, as parts of compiled loops: the same integers."""

from typing import Any

import numpy as np

from ..runtime.jit import inlined
from .gaussian_places import ALPHABET, CENTRE, LAST_BITS, MANTISSA_BITS, SIZES, STARTS, STEP, TAILS, beyond
from .tables import vae_tables

NORMAL, BEYOND = vae_tables().normal, np.array(beyond())
STARTS64, SIZES64 = STARTS.astype(np.int64), SIZES.astype(np.int64)


@inlined
def field(mean: Any, deviation: Any) -> Any:
    """h, the mean in steps, mantissa, offset and STEP // mantissa."""
    # The exponent of a deviation as a float is its number of bits minus one.
    exponent = (np.float64(deviation).view(np.int64) >> 52) - 1023
    shift: Any = max(exponent + 1 - MANTISSA_BITS, 0)
    mantissa = np.int64(deviation) >> shift
    offset = ((mean & ((1 << shift) - 1)) << 6 >> shift) + (32 >> shift)
    # Exact: a quotient that is not an integer is at least 1/mantissa below the next one, far more than rounding adds.
    return shift, mean >> shift, mantissa, offset, np.int64(np.float64(STEP) / np.float64(mantissa))


@inlined
def mass(edge, offset, inverse):  # type: ignore[no-untyped-def]
    """The mass below an edge, given in steps from that of the mean."""
    t = min(max((64 * edge - offset) * inverse >> 13, -4096 << 6), (4095 << 6) - 1)
    place, part = np.uint64((t >> 6) + 4096), t & 63
    return (NORMAL[place] * (64 - part) + NORMAL[place + np.uint64(1)] * part + 32) >> 6


@inlined
def cum(symbol, offset, reach, inverse, floor):  # type: ignore[no-untyped-def]
    """See `Distribution.cum`."""
    edge = min(max(symbol - CENTRE, -reach), reach) + BEYOND[np.uint64(symbol)]
    value = mass(edge, offset, inverse)
    value = 0 if symbol <= 0 else value
    value = 1 << 16 if symbol >= ALPHABET else value
    if floor:
        ones = min(max(symbol, 0), TAILS) + min(max(symbol - (ALPHABET - TAILS), 0), TAILS)
        value = ones + (((1 << 16) - 2 * TAILS) * value >> 16)
    return value


@inlined
def far(value, shift, step, d, reach):  # type: ignore[no-untyped-def]
    """Symbol, number of bits of the place, and place of a value in a tail."""
    end = (step + (reach if d >= reach else -reach)) << shift
    further = value - end if d >= reach else end - 1 - value
    k = 0
    while k + 1 < TAILS and further >= STARTS64[k + 1] << shift:
        k += 1
    symbol = ALPHABET - TAILS + k if d >= reach else TAILS - 1 - k
    return symbol, shift + SIZES64[k] if k + 1 < TAILS else LAST_BITS, further - (STARTS64[k] << shift)

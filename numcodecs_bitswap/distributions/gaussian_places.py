"""Values <-> symbols of a Gaussian and places in them (the *offsets* of FORMAT.md section 3.8), vectorised.
`gaussian_numba` has the same for one value in compiled loops.
"""

import numpy as np

from .. import arrays
from ..arrays import Array
from .checks import some

UNIT = 8
"""Standard deviations are in units of 2^-UNIT."""
LARGEST = 1 << 26
"""Bound of values and means."""
REACH, TAILS = 112, 5
"""Symbols of the middle and of the tail, on each side."""
WIDTHS = (4, 8, 16, 256)
"""Widths of the tail's symbols except the last, in steps of 2^h."""
LAST_BITS = 28
"""The last symbol of a tail holds 2^LAST_BITS values: all that are left."""
MANTISSA_BITS = 13
STEP = 196608 << 13
"""768 * 256 * 2^13: converts edges in 1/64 step, with a deviation's mantissa, to 1/64 of an index of NORMAL."""
CENTRE = REACH + TAILS
ALPHABET = 2 * CENTRE


def tail_start(k: int) -> int:
    """Start of tail symbol k, in steps from the end of the middle."""
    return sum(WIDTHS[:k])


def beyond() -> list[int]:
    """Lower edge of every symbol, in steps beyond the middle; 0 in the middle."""
    outer = [tail_start(k) for k in range(1, TAILS)]
    return [0, *(-each for each in reversed(outer)), *[0] * (2 * REACH + 1), *outer, 0]


THRESHOLDS = np.array([1 << m for m in range(MANTISSA_BITS, 28)], np.int32)
"""Deviations from which on h is larger by one."""
STARTS = np.array([tail_start(k) for k in range(TAILS)], np.int32)
SIZES = np.array([width.bit_length() - 1 for width in WIDTHS] + [0], np.int32)
"""Binary logarithms of WIDTHS; 0 for the last symbol, which has LAST_BITS."""


def fields(means: Array, deviations: Array) -> tuple[Array, Array, Array, Array, Array]:
    """h, the mean in steps of 2^h, the mantissa of the deviation, g of FORMAT.md section 3.8, and STEP // mantissa:
    int32 each. g is where the mean is in its step, in 1/64 step.
    """
    of = arrays.of(means)
    shift = of.place(deviations, of.constant(THRESHOLDS))
    step = means >> shift
    rest = means - (step << shift)
    # The first value of a step is half a value above the lower end of the step.
    offset = of.cast((of.cast(rest, "int64") << 6) >> shift, "int32") + (32 >> shift)
    mantissa = deviations >> shift
    return shift, step, mantissa, offset, STEP // mantissa


def split(values: Array, shift: Array, step: Array, mantissa: Array) -> tuple[Array, Array, Array]:
    """Symbols of values, numbers of bits of their places, and the places: int32 each."""
    of = arrays.of(values)
    d, reach = (values >> shift) - step, reaches(mantissa)
    symbols = of.minimum(of.maximum(d, -reach), reach - 1) + CENTRE
    places = values & ((1 << shift) - 1)
    below, above = d < -reach, d >= reach
    if some(far := below | above):
        high = ((step + reach) << shift) - 1
        low = (step - reach) << shift
        further = of.where(above, values - high, low - values) - 1
        for k in range(TAILS):
            start = tail_start(k) << shift
            inside = far if k == 0 else far & (further >= start)
            symbols = of.where(inside & above, ALPHABET - TAILS + k, symbols)
            symbols = of.where(inside & below, TAILS - 1 - k, symbols)
            places = of.where(inside, further - start, places)
    return of.cast(symbols, "int32"), sizes(symbols, shift), of.cast(places, "int32")


def join(symbols: Array, places: Array, shift: Array, step: Array, mantissa: Array) -> Array:
    """Values of symbols and places, clamped to +-2^26: the inverse of `split`."""
    of = arrays.of(symbols)
    values = ((symbols - CENTRE + step) << shift) + places
    tail = _tail(symbols)
    if some(far := tail >= 0):
        reach = reaches(mantissa)
        high = (step + reach) << shift
        low = ((step - reach) << shift) - 1
        further = (of.take(of.constant(STARTS), of.clip(tail, 0, None)) << shift) + places
        values = of.where(far, of.where(symbols > CENTRE, high + further, low - further), values)
    return of.clip(values, -LARGEST, LARGEST)


def sizes(symbols: Array, shift: Array) -> Array:
    """Numbers of bits of the places in symbols, int32."""
    of, tail = arrays.of(symbols), _tail(symbols)
    if not some(tail >= 0):
        return shift
    outside = of.where(tail == TAILS - 1, LAST_BITS, shift + of.take(of.constant(SIZES), of.clip(tail, 0, None)))
    return of.cast(of.where(tail < 0, shift, outside), "int32")


def reaches(mantissa: Array) -> Array:
    """Steps of the middle on each side: 3.5 standard deviations (W of FORMAT.md)."""
    return 7 * mantissa >> 9


def _tail(symbols: Array) -> Array:
    """Index k of each symbol in its tail; -1 in the middle."""
    of = arrays.of(symbols)
    return of.clip(of.maximum(symbols - (ALPHABET - TAILS), TAILS - 1 - symbols), -1, None)

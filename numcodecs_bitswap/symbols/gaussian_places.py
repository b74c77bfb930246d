"""Values as symbols of a Gaussian and places in them (FORMAT.md section 3.8), in torch: the reference of
`gaussian_numba`, which has the same functions.
"""

from functools import cache

import torch
from torch import Tensor

from .checks import some

UNIT = 8
"""Standard deviations are in units of 2^-UNIT."""
LARGEST = 1 << 26
"""Bound of values and means."""
REACH, TAILS = 112, 5
"""Symbols of the middle on each side, and beyond them."""
WIDTHS = (4, 8, 16, 256)
"""Width of the tails but the last, in steps of 2^h."""
LAST_BITS = 28
"""The last tail holds 2^LAST_BITS values: all that are left."""
MANTISSA_BITS = 13
STEP = 196608 << 13
"""768 * 256 2^13: turns offsets in 1/64 step and a deviation's mantissa into 1/64 of a place in NORMAL."""
CENTRE = REACH + TAILS
ALPHABET = 2 * CENTRE


def within(means: Tensor, deviations: Tensor) -> bool:
    """Whether it is known already that all are in their ranges."""
    return False


def fields(means: Tensor, deviations: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Of means and deviations, int32: h, the mean in steps of 2^h, the mantissa, the offset of the mean from the middle
    of its step's first value, in 1/64 step, and STEP // mantissa; all int32.
    """
    shift = torch.bucketize(deviations, _thresholds(means.device), out_int32=True, right=True)
    step = means >> shift
    rest = means - (step << shift)
    # Of a step's values the first is half a value above the step's lower end.
    offset = ((rest.long() << 6) >> shift).int() + (32 >> shift)
    mantissa = deviations >> shift
    return shift, step, mantissa, offset, STEP // mantissa


def split(values: Tensor, shift: Tensor, step: Tensor, mantissa: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Symbols of values, how many bits their places in them have, and the places: int32 each."""
    d, reach = (values >> shift) - step, reaches(mantissa)
    symbols = torch.minimum(torch.maximum(d, -reach), reach - 1) + CENTRE
    places = values & ((1 << shift) - 1)
    below, above = d < -reach, d >= reach
    if some(far := below | above):
        high = ((step + reach) << shift) - 1
        low = (step - reach) << shift
        beyond = torch.where(above, values - high, low - values) - 1
        for k in range(TAILS):
            start = tail_start(k) << shift
            inside = far if k == 0 else far & (beyond >= start)
            symbols = torch.where(inside & above, ALPHABET - TAILS + k, symbols)
            symbols = torch.where(inside & below, TAILS - 1 - k, symbols)
            places = torch.where(inside, beyond - start, places)
    return symbols, sizes(symbols, shift), places


def join(symbols: Tensor, places: Tensor, shift: Tensor, step: Tensor, mantissa: Tensor) -> Tensor:
    """Values of symbols and places: the inverse of `split`, bounded by +-2^26."""
    values = ((symbols - CENTRE + step) << shift) + places
    tail = _tail(symbols)
    if some(far := tail >= 0):
        reach = reaches(mantissa)
        high = (step + reach) << shift
        low = ((step - reach) << shift) - 1
        start = torch.stack([tail_start(k) << shift for k in range(TAILS)])
        beyond = start.gather(0, tail.clamp(min=0).long()[None])[0] + places
        values = torch.where(far, torch.where(symbols > CENTRE, high + beyond, low - beyond), values)
    return values.clamp(-LARGEST, LARGEST)


def sizes(symbols: Tensor, shift: Tensor) -> Tensor:
    """Bits of the places in symbols, int32."""
    tail = _tail(symbols)
    if not some(tail >= 0):
        return shift
    each = [shift + (width.bit_length() - 1) for width in WIDTHS]
    each += [torch.full_like(shift, LAST_BITS), shift]
    return torch.stack(each).gather(0, torch.where(tail < 0, TAILS, tail).long()[None])[0]


def reaches(mantissa: Tensor) -> Tensor:
    """Steps of the middle on each side: 3.5 standard deviations."""
    return 7 * mantissa >> 9


def tail_start(k: int) -> int:
    """Where tail k begins, in steps from the end of the middle."""
    return sum(WIDTHS[:k])


def beyond() -> list[int]:
    """Lower end of every symbol, in steps beyond the reach; 0 in the middle."""
    outer = [tail_start(k) for k in range(1, TAILS)]
    return [0, *(-each for each in reversed(outer)), *[0] * (2 * REACH + 1), *outer, 0]


def _tail(symbols: Tensor) -> Tensor:
    """Number of the tail, from 0, of each symbol; -1 in the middle."""
    return torch.maximum(symbols - (ALPHABET - TAILS), TAILS - 1 - symbols).clamp(min=-1)


@cache
def _thresholds(device: torch.device) -> Tensor:
    """Deviations from which one bit more is shifted out."""
    return torch.tensor([1 << m for m in range(MANTISSA_BITS, 28)], dtype=torch.int32, device=device)

"""The functions of `gaussian_places` on a CPU, each one compiled loop: the same integers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..jit import compiled, inlined
from .gaussian_places import (
    ALPHABET,
    CENTRE,
    LARGEST,
    LAST_BITS,
    MANTISSA_BITS,
    STEP,
    TAILS,
    WIDTHS,
    beyond,
    tail_start,
)
from .tables import vae_tables

NORMAL, BEYOND = vae_tables().normal, np.array(beyond())
STARTS = np.array([tail_start(k) for k in range(TAILS)])
SIZES = np.array([width.bit_length() - 1 for width in WIDTHS])


def fields(means: Tensor, deviations: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """See `gaussian_places.fields`."""
    shift, step, mantissa, offset, inverse = _run(_fields, 5, means, deviations)
    return shift, step, mantissa, offset, inverse


def split(values: Tensor, shift: Tensor, step: Tensor, mantissa: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """See `gaussian_places.split`."""
    symbols, bits, places = _run(_split, 3, values, shift, step, mantissa)
    return symbols, bits, places


def join(symbols: Tensor, places: Tensor, shift: Tensor, step: Tensor, mantissa: Tensor) -> Tensor:
    """See `gaussian_places.join`."""
    return _run(_join, 1, symbols, places, shift, step, mantissa)[0]


def sizes(symbols: Tensor, shift: Tensor) -> Tensor:
    """See `gaussian_places.sizes`."""
    return _run(_sizes, 1, symbols, shift)[0]


def intervals(symbols: Tensor, offset: Tensor, mantissa: Tensor, inverse: Tensor, floor: bool) -> tuple[Tensor, Tensor]:
    """See `Native.intervals`."""
    starts, freqs = _run(_floored if floor else _natural, 2, symbols, offset, mantissa, inverse)
    return starts, freqs


def _run(loop: Callable[..., None], results: int, *inputs: Tensor) -> list[Tensor]:
    """Call a loop over the values of int32 tensors of one shape; returns its results."""
    out = [torch.empty(inputs[0].shape, dtype=torch.int32) for _ in range(results)]
    loop(*(each.int().reshape(-1).numpy() for each in (*inputs, *out)))
    return out


@compiled
def _fields(means: Any, deviations: Any, shifts: Any, steps: Any, mantissas: Any, offsets: Any, inverses: Any) -> None:
    for i in range(len(means)):
        # The exponent of a deviation as a float is its number of bits less one.
        exponent = (np.float64(deviations[i]).view(np.int64) >> 52) - 1023
        shift = max(exponent + 1 - MANTISSA_BITS, 0)
        mean, mantissa = np.int64(means[i]), np.int64(deviations[i]) >> shift
        shifts[i], steps[i], mantissas[i] = shift, mean >> shift, mantissa
        offsets[i] = ((mean & ((1 << shift) - 1)) << 6 >> shift) + (32 >> shift)
        # Exact: what is no integer is at least 1/mantissa below the next one, far more than is rounded.
        inverses[i] = np.int32(np.float64(STEP) / np.float64(mantissa))


@inlined
def _cum(symbol, offset, reach, inverse, floor):  # type: ignore[no-untyped-def]
    d = min(max(symbol - CENTRE, -reach), reach) + BEYOND[np.uint64(symbol)]
    t = min(max((64 * d - offset) * inverse >> 13, -4096 << 6), (4095 << 6) - 1)
    place, part = np.uint64((t >> 6) + 4096), t & 63
    value = (NORMAL[place] * (64 - part) + NORMAL[place + np.uint64(1)] * part + 32) >> 6
    value = 0 if symbol <= 0 else value
    value = 1 << 16 if symbol >= ALPHABET else value
    if floor:
        ones = min(max(symbol, 0), TAILS) + min(max(symbol - (ALPHABET - TAILS), 0), TAILS)
        value = ones + (((1 << 16) - 2 * TAILS) * value >> 16)
    return value


@inlined
def _intervals(symbols, offsets, mantissas, inverses, floor, starts, freqs):  # type: ignore[no-untyped-def]
    for i in range(len(symbols)):
        symbol, reach = np.int64(symbols[i]), 7 * np.int64(mantissas[i]) >> 9
        start = _cum(symbol, np.int64(offsets[i]), reach, np.int64(inverses[i]), floor)
        starts[i] = start
        freqs[i] = _cum(symbol + 1, np.int64(offsets[i]), reach, np.int64(inverses[i]), floor) - start


@compiled
def _floored(symbols: Any, offsets: Any, mantissas: Any, inverses: Any, starts: Any, freqs: Any) -> None:
    _intervals(symbols, offsets, mantissas, inverses, True, starts, freqs)


@compiled
def _natural(symbols: Any, offsets: Any, mantissas: Any, inverses: Any, starts: Any, freqs: Any) -> None:
    _intervals(symbols, offsets, mantissas, inverses, False, starts, freqs)


@compiled
def _split(values: Any, shifts: Any, steps: Any, mantissas: Any, symbols: Any, bits: Any, places: Any) -> None:
    far = 0
    for i in range(len(values)):
        d, reach = (values[i] >> shifts[i]) - steps[i], 7 * mantissas[i] >> 9
        symbols[i], bits[i] = d + CENTRE, shifts[i]
        places[i] = values[i] & ((1 << shifts[i]) - 1)
        far += (d < -reach) | (d >= reach)
    if not far:
        return
    for i in range(len(values)):
        d, reach, shift = symbols[i] - CENTRE, 7 * mantissas[i] >> 9, np.int64(shifts[i])
        if not -reach <= d < reach:
            end = (np.int64(steps[i]) + (reach if d >= reach else -reach)) << shift
            beyond = values[i] - end if d >= reach else end - 1 - values[i]
            k = 0
            while k + 1 < TAILS and beyond >= STARTS[k + 1] << shift:
                k += 1
            symbols[i] = ALPHABET - TAILS + k if d >= reach else TAILS - 1 - k
            places[i] = beyond - (STARTS[k] << shift)
            bits[i] = shift + SIZES[k] if k + 1 < TAILS else LAST_BITS


@compiled
def _join(symbols: Any, places: Any, shifts: Any, steps: Any, mantissas: Any, values: Any) -> None:
    for i in range(len(symbols)):
        k, shift = max(symbols[i] - (ALPHABET - TAILS), TAILS - 1 - symbols[i]), np.int64(shifts[i])
        value = ((symbols[i] - CENTRE + steps[i]) << shift) + places[i]
        if k >= 0:
            reach, above = 7 * mantissas[i] >> 9, symbols[i] > CENTRE
            beyond = (STARTS[k] << shift) + places[i]
            end = (np.int64(steps[i]) + (reach if above else -reach)) << shift
            value = end + beyond if above else end - 1 - beyond
        values[i] = min(max(value, -LARGEST), LARGEST)


@compiled
def _sizes(symbols: Any, shifts: Any, bits: Any) -> None:
    for i in range(len(symbols)):
        k = max(symbols[i] - (ALPHABET - TAILS), TAILS - 1 - symbols[i])
        bits[i] = shifts[i]
        if k >= 0:
            bits[i] = shifts[i] + SIZES[k] if k + 1 < TAILS else LAST_BITS

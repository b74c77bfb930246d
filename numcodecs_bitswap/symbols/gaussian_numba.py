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
    UNIT,
    WIDTHS,
    beyond,
    tail_start,
)
from .tables import vae_tables

NORMAL, BEYOND = vae_tables().normal, np.array(beyond())
STARTS = np.array([tail_start(k) for k in range(TAILS)])
SIZES = np.array([width.bit_length() - 1 for width in WIDTHS])


def within(means: Tensor, deviations: Tensor) -> bool:
    """See `gaussian_places.within`."""
    return bool(_within(means.reshape(-1).numpy(), deviations.reshape(-1).numpy()))


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


def _run(loop: Callable[..., None], results: int, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Call a loop over the values of int32 tensors of one shape; returns its results."""
    arrays = [each.numpy().reshape(-1) for each in inputs]
    out = np.empty((results, inputs[0].numel()), np.int32)  # to make one array takes longer than a short loop
    loop(*arrays, *out)
    return torch.from_numpy(out).view(results, *inputs[0].shape).unbind()


@inlined
def field(mean: Any, deviation: Any) -> Any:
    """h, the mean in steps, mantissa, offset and STEP // mantissa."""
    # The exponent of a deviation as a float is its number of bits less one.
    exponent = (np.float64(deviation).view(np.int64) >> 52) - 1023
    shift: Any = max(exponent + 1 - MANTISSA_BITS, 0)
    mantissa = np.int64(deviation) >> shift
    offset = ((mean & ((1 << shift) - 1)) << 6 >> shift) + (32 >> shift)
    # Exact: what is no integer is at least 1/mantissa below the next one, far more than is rounded.
    return shift, mean >> shift, mantissa, offset, np.int64(np.float64(STEP) / np.float64(mantissa))


@compiled
def _within(means, deviations):  # type: ignore[no-untyped-def]
    outside = 0
    for i in range(len(means)):
        outside |= (abs(np.int64(means[i])) > LARGEST) | (deviations[i] < 1 << UNIT) | (deviations[i] > 1 << 27)
    return outside == 0


@compiled
def _fields(means, deviations, shifts, steps, mantissas, offsets, inverses):  # type: ignore[no-untyped-def]
    for i in range(len(means)):
        shift, step, mantissa, offset, inverse = field(np.int64(means[i]), deviations[i])
        shifts[i], steps[i], mantissas[i], offsets[i], inverses[i] = shift, step, mantissa, offset, inverse


@inlined
def mass(edge, offset, inverse):  # type: ignore[no-untyped-def]
    """What lies below an edge, in steps from the mean's."""
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
    """Symbol, bits of the place and the place of a value that is not in the middle."""
    end = (step + (reach if d >= reach else -reach)) << shift
    further = value - end if d >= reach else end - 1 - value
    k = 0
    while k + 1 < TAILS and further >= STARTS[k + 1] << shift:
        k += 1
    symbol = ALPHABET - TAILS + k if d >= reach else TAILS - 1 - k
    return symbol, shift + SIZES[k] if k + 1 < TAILS else LAST_BITS, further - (STARTS[k] << shift)


@compiled
def _split(values, shifts, steps, mantissas, symbols, bits, places):  # type: ignore[no-untyped-def]
    outside = 0
    for i in range(len(values)):
        d, reach = (values[i] >> shifts[i]) - steps[i], 7 * mantissas[i] >> 9
        symbols[i], bits[i] = d + CENTRE, shifts[i]
        places[i] = values[i] & ((1 << shifts[i]) - 1)
        outside += (d < -reach) | (d >= reach)
    if not outside:
        return
    for i in range(len(values)):
        d, reach = symbols[i] - CENTRE, 7 * mantissas[i] >> 9
        if not -reach <= d < reach:
            symbols[i], bits[i], places[i] = far(np.int64(values[i]), np.int64(shifts[i]), steps[i], d, reach)


@compiled
def _join(symbols, places, shifts, steps, mantissas, values):  # type: ignore[no-untyped-def]
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
def _sizes(symbols, shifts, bits):  # type: ignore[no-untyped-def]
    for i in range(len(symbols)):
        k = max(symbols[i] - (ALPHABET - TAILS), TAILS - 1 - symbols[i])
        bits[i] = shifts[i]
        if k >= 0:
            bits[i] = shifts[i] + SIZES[k] if k + 1 < TAILS else LAST_BITS

"""Scales adapted to a chunk (FORMAT.md section 5.1): one shift of all scale indices of a block, sent with the block.

A network's scales are calibrated for the images that it was trained on. On other images they are off, in a block by
about the same factor; coding this factor takes a few bits and saves many more.
"""

from typing import TypeGuard

import numpy as np

from .. import arrays
from ..arrays import Array, Arrays
from ..distributions.categorical import Categorical
from ..distributions.logistic_mixture import LogisticMixture
from ..rans.distribution import Distribution
from ..rans.message import Message
from .coder import Parameters, block

SHIFTS = -6, -4, -2, 0, 2, 4, 6, 8
"""Units of a scale index, 1/12 octave."""
LOGITS = tuple(0 if shift == 0 else -33 for shift in SHIFTS)
"""Logits of the shifts, units of 1/12 octave: shift 0 costs one bit, any other one almost four."""
PRICES = tuple(263 if shift == 0 else 967 for shift in SHIFTS)
"""Costs of the shifts, in 1/256 bit."""
FEWEST = 256
"""Blocks with fewer symbols for a message have no shift."""
LOOKED_AT = 512
"""Symbols from which the encoder chooses a shift, about."""


_LOGITS = np.array([[LOGITS]], np.int32)
_PRICES = np.array(PRICES, np.int64)
_LOG = np.round(256 * (16 - np.log2(np.append(1, np.arange(1, (1 << 16) + 1))))).astype(np.int64)
"""-log2(f / 2^16) of frequencies f = 0 .. 2^16 (0: as 1), in 1/256 bit."""


def push_block(message: Message, parameters: Parameters, symbols: Array) -> None:
    """Push a block, symbols (B, n), with the cheapest shift, and then the shift."""
    distribution = block(message, parameters)
    if adapted(distribution):
        choice = choose(message, distribution, symbols)
        message.push(distribution.shifted(2 * choice + SHIFTS[0]), symbols)
        message.push(prior(message, arrays.of(symbols)), choice)
    else:
        message.push(distribution, symbols)


def pop_block(message: Message, parameters: Parameters) -> Array:
    """Pop the shift of a block and then the block, (B, n)."""
    distribution = block(message, parameters)
    if adapted(distribution):
        choice = message.pop(prior(message, arrays.of(parameters.tensors[0])))
        distribution = distribution.shifted(2 * choice + SHIFTS[0])
    return message.pop(distribution)


def adapted(distribution: Distribution) -> TypeGuard[LogisticMixture]:
    """Whether a block has a shift."""
    return distribution.n >= FEWEST and isinstance(distribution, LogisticMixture)


def prior(message: Message, of: Arrays) -> Categorical:
    """The distribution of the number of a shift."""
    return Categorical(of.broadcast(of.constant(_LOGITS), (message.batch, 1, len(LOGITS))))


def choose(message: Message, mixture: LogisticMixture, symbols: Array) -> Array:
    """The number of the shift, int32 (B, 1), with which every m-th symbol costs least; of equal ones the first.

    All in integers: the encoder's choice decides the bytes, which are the same on every machine.
    """
    every, count, of = -(-mixture.n // LOOKED_AT), len(SHIFTS), arrays.of(symbols)
    cost = message.costs(mixture, symbols, SHIFTS, every, of.constant(_LOG)) * every + of.constant(_PRICES)
    # Not argmin, which on CUDA may return any of equal ones.
    return of.cast(of.smallest(cost * count + of.range(0, count)) % count, "int32")

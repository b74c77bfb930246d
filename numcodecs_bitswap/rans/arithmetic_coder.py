"""Binary arithmetic coder of decisions with adaptive or computed probabilities, as parts of compiled loops
(FORMAT.md 10.1). Encoder and decoder are one function. Imports only `jit`.

The decoder holds four bytes. At the end the last three are beyond the data and count as zeros.
"""

import numpy as np

from ..runtime.loops import part

LOW, RANGE, CODE, AT = 0, 1, 2, 3
"""Indices in the state, int64 (4,)."""
BEHIND = 3
"""Zeros that the decoder reads after the end of the data."""
EVEN = 1 << 15
"""Probability 1/2, of a decision about which nothing is known."""


@part
def begin(decode, state, data):
    """Initialise a state, before the first decision."""
    state[LOW] = state[CODE] = state[AT] = 0
    state[RANGE] = (1 << 32) - 1
    if decode:
        for k in range(4):
            byte = np.int64(data[k]) if k < len(data) else 0
            state[CODE] = (state[CODE] << 8) | byte
        state[AT] = 4


@part
def decide(decode, bit, p, state, data):
    """Code one decision; p is the probability of 1 in units of 2^-16."""
    bound = (state[RANGE] >> 16) * p
    if decode:
        bit = 1 if state[CODE] < bound else 0
    if bit == 1:
        state[RANGE] = bound
    else:
        state[RANGE] -= bound
        state[CODE if decode else LOW] += -bound if decode else bound
    while state[RANGE] < 1 << 24:
        if decode:
            at = state[AT]
            byte = np.int64(data[at]) if at < len(data) else 0
            state[CODE] = (state[CODE] << 8) | byte
            state[AT] = at + 1
        else:
            emit(state, data)
        state[RANGE] <<= 8
    return bit


@part
def emit(state, data):
    """Write the top byte of LOW, which has 32 bits and a carry."""
    if state[LOW] >> 32:
        k = state[AT] - 1
        while data[k] == 255:
            data[k] = 0
            k -= 1
        data[k] += 1
        state[LOW] &= (1 << 32) - 1
    data[state[AT]] = state[LOW] >> 24
    state[AT] += 1
    state[LOW] = (state[LOW] << 8) & ((1 << 32) - 1)


@part
def overrun(state, data):
    """Whether the decoder has read more bytes than there are."""
    return state[AT] > len(data) + BEHIND


@part
def end(decode, state, data):
    """Length of the data after the last decision."""
    if decode:
        return state[AT] - BEHIND
    # RANGE is 2^24 or more, so one byte, followed by zeros, lies in the interval.
    state[LOW] = (state[LOW] + state[RANGE] - 1) & ~np.int64((1 << 24) - 1)
    emit(state, data)
    return state[AT]

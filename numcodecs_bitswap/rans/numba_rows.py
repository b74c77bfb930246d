"""Runs of successive symbols with known intervals, pushed and popped in rows of up to ROW lanes by vector loops. Lanes
are independent of each other, except for the position of their words in the tail.

`states` has a message's heads and ROW further ones, IDLE. Starts and freqs are int32 arrays of a run with ROW further
entries of any value. `row` are four arrays of `jit.scratch`, of ROW numbers each.
"""

import numpy as np
from numba.extending import register_jitable

ROW = 16
IDLE = 1 << 31
"""A head for lanes beyond those of the message."""
WHOLE = 1 << 16
"""The frequency of a symbol that changes no head."""


def part(function):  # type: ignore[no-untyped-def]
    """A part of compiled loops that LLVM inlines: unlike `jit.inlined` it may take arrays."""
    return register_jitable(forceinline=True, error_model="numpy")(function)


@part
def idle_lanes(lanes):  # type: ignore[no-untyped-def]
    """`states` for messages of `lanes` lanes. Its rows are aligned with cache lines, which is far faster."""
    states = np.full(lanes + ROW + 8, IDLE)
    return states[-(states.ctypes.data // 8) % 8 :]


@part
def push_run(states, lanes, first, count, starts, freqs, row, words, size):  # type: ignore[no-untyped-def]
    """Push `count` symbols, the first of which is number `first` of a block, 0 < freq; returns the size of the tail."""
    start, freq, given, before = row
    left = count
    while left:
        lane_behind = (first + left - 1) % lanes + 1
        width = min(min(lane_behind, ROW), left)
        left -= width
        lane = np.uint64(lane_behind - width)
        for k in range(ROW):
            at, inside = np.uint64(left + k), k < width
            start[k], freq[k] = starts[at] if inside else 0, freqs[at] if inside else WHOLE
        for k in range(ROW):
            head, f = states[lane + np.uint64(k)], freq[k]
            full = np.int64(head >= f << 16) + np.int64(head >= f << 24)
            given[k], before[k] = full, head
            head >>= 8 * full
            # Exact: a quotient that is not an integer is at least 1/f below the next one, far more than rounding adds.
            quotient = np.int64(np.float64(head) / np.float64(f))
            states[lane + np.uint64(k)] = (quotient << 16) + head - quotient * f + start[k]
        for back in range(ROW):
            head = before[ROW - 1 - back]
            words[np.uint64(size)] = head & 255
            words[np.uint64(size + 1)] = head >> 8 & 255
            size += given[ROW - 1 - back]
    return size


@part
def pop_row(states, lane, row, words, size):  # type: ignore[no-untyped-def]
    """Pop ROW symbols from the lanes from `lane` on; the size is negative if there are too few words."""
    start, freq, taken, rest = row
    for k in range(ROW):
        head = states[lane + np.uint64(k)]
        head = freq[k] * (head >> 16) + (head & 0xFFFF) - start[k]
        rest[k] = head
        taken[k] = np.int64(head < 1 << 24) + np.int64(head < 1 << 16)
    for k in range(ROW):
        size -= taken[k]
        at = np.uint64(max(size, 0))  # there are always two extra words
        freq[k] = np.int64(words[at]) + (np.int64(words[at + np.uint64(1)]) << 8)
    for k in range(ROW):
        full = 8 * taken[k]
        states[lane + np.uint64(k)] = (rest[k] << full) + (freq[k] & ((1 << full) - 1))
    return size

"""Push of symbols whose intervals are known, and pop of plain bits: what is left of them where there is nothing to look
for.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..jit import compiled


@compiled
def push_intervals(
    heads: NDArray[np.int64], tail: Any, sizes: Any, starts: Any, freqs: Any, bits: int, first: int, last: int
) -> None:
    """Push symbols with intervals (B, n) to messages first .. last - 1, in words of `bits` bits; see `kernels`."""
    n, lanes, mask = starts.shape[1], heads.shape[1], (1 << bits) - 1
    for m in range(first, last):
        states, words, start, freq = heads[m], tail[m], starts[m], freqs[m]
        size = sizes[m]
        lane = (n - 1) % lanes
        for i in range(n - 1, -1, -1):
            f = np.int64(freq[np.uint64(i)])
            if f <= 0:
                size = -1
                break
            if f == 1 << 16:  # no bits: as if it were not there
                lane = (lane if lane > 0 else lanes) - 1
                continue
            head = states[np.uint64(lane)]
            full = np.int64(head >= f << 16)
            words[np.uint64(size)] = head & mask
            if bits == 8:
                words[np.uint64(size + 1)] = head >> 8 & mask
                full += np.int64(head >> 8 >= f << 16)
            size += full
            head >>= bits * full
            quotient = np.int64(np.uint32(head) // np.uint32(f))
            states[np.uint64(lane)] = (quotient << 16) + head - quotient * f + start[np.uint64(i)]
            lane = (lane if lane > 0 else lanes) - 1
        sizes[m] = size


@compiled
def pop_bits(
    heads: NDArray[np.int64], tail: Any, sizes: Any, shifts: Any, symbols: Any, bits: int, first: int, last: int
) -> None:
    """Pop symbols (B, n) of plain bits with messages first .. last - 1; see `Native.shifts`."""
    n, lanes, least = symbols.shape[1], heads.shape[1], 1 << (32 - bits)
    for m in range(first, last):
        states, words, shift, popped = heads[m], tail[m], shifts[m], symbols[m]
        size = sizes[m]
        lane = 0
        for i in range(n):
            s, head = np.int64(shift[i]), states[np.uint64(lane)]
            r = head & 0xFFFF
            popped[i] = r >> s
            head = (head >> 16 << s) + (r & ((1 << s) - 1))
            short = np.int64(head < least)
            if bits == 8:
                short += np.int64(head < least >> 8)
            size -= short
            if size < 0:
                break
            word = np.int64(words[np.uint64(size)])
            if bits == 8:
                word += np.int64(words[np.uint64(size + 1)]) << 8
            full = bits * short
            states[np.uint64(lane)] = (head << full) + (word & ((1 << full) - 1))
            lane = lane + 1 if lane + 1 < lanes else 0
        sizes[m] = size

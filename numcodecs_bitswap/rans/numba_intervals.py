"""Push of symbols whose intervals are known: what is left of a push when a distribution has found them all at once."""

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

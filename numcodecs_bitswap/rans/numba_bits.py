"""Pop of plain bits, which needs no search for the symbol."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime.jit import compiled
from .words import LEAST_HEAD


@compiled
def pop_bits(heads: NDArray[np.int64], tail: Any, sizes: Any, shifts: Any, symbols: Any, first: int, last: int) -> None:
    """Pop symbols (B, n) of plain bits with messages first .. last - 1; see `Native.shifts`."""
    n, lanes = symbols.shape[1], heads.shape[1]
    for m in range(first, last):
        states, words, shift, popped = heads[m], tail[m], shifts[m], symbols[m]
        size = sizes[m]
        lane = 0
        for i in range(n):
            s, head = np.int64(shift[i]), states[np.uint64(lane)]
            r = head & 0xFFFF
            popped[i] = r >> s
            head = (head >> 16 << s) + (r & ((1 << s) - 1))
            short = np.int64(head < LEAST_HEAD) + np.int64(head < LEAST_HEAD >> 8)
            size -= short
            if size < 0:
                break
            word = np.int64(words[np.uint64(size)]) + (np.int64(words[np.uint64(size + 1)]) << 8)
            full = 8 * short
            states[np.uint64(lane)] = (head << full) + (word & ((1 << full) - 1))
            lane = lane + 1 if lane + 1 < lanes else 0
        sizes[m] = size

"""A message as words, and constants of messages (FORMAT.md section 2). numpy only."""

import numpy as np
from numpy.typing import NDArray

Words = tuple[NDArray[np.uint32], NDArray[np.uint8]]
"""One message: heads in [2^24, 2^32), shape (L,), and tail, shape (T,), its bottom first."""

IMPOSSIBLE = "a symbol that its distribution does not have: the frame was altered or made with other weights"
"""Error of a push of a symbol of frequency 0."""
SHORT = "the message holds fewer words than its symbols need: it is truncated or altered"
"""Error of a pop that needs more words than there are."""

LEAST_HEAD = 1 << 24
SEED = 2654435761
"""2^32 / golden ratio: makes the low bits of empty heads differ (FORMAT.md 2.1)."""


def empty_words(lanes: int) -> Words:
    """The words of the empty message.

    The low bits of its heads differ from lane to lane: the first latents are popped from them, and should be samples of
    their posteriors.
    """
    low = np.arange(1, lanes + 1, dtype=np.uint64) * np.uint64(SEED) % np.uint64(1 << 32) >> np.uint64(8)
    return (LEAST_HEAD + low).astype(np.uint32), np.empty(0, np.uint8)

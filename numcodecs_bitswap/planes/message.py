"""The types that all implementations of the plane coder share: planes, and the messages of their tiles."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Planes = NDArray[Any]
"""Numbers 0 .. m of any kind of integers; decoded ones are uint16 if m is below 2^16, else uint32."""


class Message(NamedTuple):
    """The message of a tile at rest: heads uint32 (L,), tail uint8 (T,)."""

    heads: NDArray[np.uint32]
    tail: NDArray[np.uint8]


def lanes(samples: int) -> int:
    """The number of lanes of a tile's message (FORMAT.md 9.7): one per few kilobytes, since each lane costs bytes."""
    return min(1 << max(samples // 8192, 1).bit_length() - 1, 128)

"""The constants of FORMAT.md section 3.1, loaded once, when first asked for. Imports numpy only.

They are data of the byte format (`tables.npz`), never computed at run time: exp and powers differ between machines.
"""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Tables(NamedTuple):
    """Read-only arrays: `sigmoid` uint16 (8192,), `invscale` int32 (128,), `weight` uint16 (128,)."""

    sigmoid: NDArray[np.uint16]
    invscale: NDArray[np.int32]
    weight: NDArray[np.uint16]


@cache
def tables() -> Tables:
    """Return the tables. Source: FORMAT.md section 3.1."""
    with np.load(Path(__file__).with_name("tables.npz")) as stored:
        arrays = Tables(stored["sigmoid"], stored["invscale"], stored["weight"])
    for array in arrays:
        array.flags.writeable = False
    return arrays

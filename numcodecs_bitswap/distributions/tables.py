"""The tables of FORMAT.md section 3.1, loaded once, at first use. Imports numpy only.

They are data of the byte format (`tables.npz`, `vae_tables.npz`, `flow_tables.npz`) and are never computed at run time,
since exp, powers and logarithms differ between machines.
"""

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Tables(NamedTuple):
    """Read-only arrays: `sigmoid` uint16 (8192,), `invscale` int32 (128,), `weight` uint16 (128,)."""

    sigmoid: NDArray[np.uint16]
    invscale: NDArray[np.int32]
    weight: NDArray[np.uint16]


class VaeTables(NamedTuple):
    """Read-only int32 arrays: `normal` (8192,), `edge` (1024,) with `edge[0]` = 0 unused, `invsigma` (128,), `rise`
    (96, 256), `choose` (256,), `power` (4096,).
    """

    normal: NDArray[np.int32]
    edge: NDArray[np.int32]
    invsigma: NDArray[np.int32]
    rise: NDArray[np.int32]
    choose: NDArray[np.int32]
    power: NDArray[np.int32]


class FlowTables(NamedTuple):
    """Read-only arrays: `tail` int64 (1793,); int32 `log` (1025,), `quantile` (1793,), `octaves` (128,)."""

    tail: NDArray[np.int64]
    log: NDArray[np.int32]
    quantile: NDArray[np.int32]
    octaves: NDArray[np.int32]


@cache
def tables() -> Tables:
    """Return the tables of mixtures and of Bernoulli distributions. Source: FORMAT.md section 3.1."""
    return Tables(**_stored("tables.npz"))


@cache
def vae_tables() -> VaeTables:
    """Return the tables of the models of kind `vae`. Source: FORMAT.md section 3.1."""
    return VaeTables(**_stored("vae_tables.npz"))


@cache
def flow_tables() -> FlowTables:
    """Return the tables of the models of kind `flow`. Source: FORMAT.md section 3.1."""
    return FlowTables(**_stored("flow_tables.npz"))


def positions(masses: NDArray[Any]) -> NDArray[np.int64]:
    """The inverse of a table of masses, for guesses of symbols: entry u is i - 4096 where the mass reaches 16 u + 8."""
    return np.searchsorted(masses, 16 * np.arange(4096) + 8) - 4096


def _stored(name: str) -> dict[str, NDArray[Any]]:
    with np.load(Path(__file__).with_name(name)) as stored:
        arrays = dict(stored)
    for array in arrays.values():
        array.flags.writeable = False
    return arrays

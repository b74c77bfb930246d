"""Quantised coefficients of components <-> bytes (FORMAT.md 11): the kernel's memory and arguments."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError
from ..planes.threads import run
from .coefficient_tables import FEATURES, LOG, ROWS, SHARES, SIGMOIDS, ZIGZAG
from .model import CoefficientModel

BLOCKS_LOG2 = 11
"""A bit of the data holds fewer than 2^BLOCKS_LOG2 blocks: each has two decisions or more, and no probability is above
65520 / 65536.
"""
MOST_BYTES = 24
"""Most bytes of a number: 12 decisions of at most 12 bits, 17 equiprobable ones, and that of the first mantissa bit."""
BAND = 64
"""Rows of the first component's blocks in a band. Bands are coded independently, so that large images use all cores."""
KINDS_OF = {"gray": (0,), "ycbcr": (0, 1, 2), "rgb": (0, 3, 4)}
ORDER_OF = {"gray": (0,), "ycbcr": (0, 1, 2), "rgb": (1, 0, 2)}
"""Coding order of the components: green first."""


class Grid(NamedTuple):
    """The grid of a component's blocks, and how many of the first component's blocks lie in one of them."""

    rows: int
    columns: int
    down: int
    across: int


class Seen(NamedTuple):
    """The encoder's view of coefficients.

    Attributes
    ----------
    inputs : int16 (n, FEATURES)
    row : int64 (n,)
        Of the embedding.
    value : int64 (n,)
        The numbers that are coded.
    may_be_zero : bool (n,)
    """

    inputs: NDArray[np.int16]
    row: NDArray[np.int64]
    value: NDArray[np.int64]
    may_be_zero: NDArray[np.bool_]

    def some(self, chosen: NDArray[np.int64]) -> "Seen":
        """A selection of the rows."""
        return Seen(self.inputs[chosen], self.row[chosen], self.value[chosen], self.may_be_zero[chosen])


def _frame(grids: Sequence[Grid], colour: str) -> NDArray[np.int64]:
    """The kernel's `frame`: a row for each component, in coding order."""
    first, lines = 0, []
    for k, (grid, kind) in enumerate(zip(grids, KINDS_OF[colour], strict=True)):
        same = 0
        while same < k and grids[k - 1 - same][:2] == grid[:2]:
            same += 1
        lines.append([first, grid.rows, grid.columns, kind, grid.down, grid.across, same])
        first += grid.rows * grid.columns
    return np.array(lines, np.int64)


def require_bytes(grids: Sequence[Grid], nbytes: int) -> None:
    """Refuse more blocks than the bytes can hold, before memory is allocated for them.

    Raises
    ------
    FormatError
        There are too few bytes.
    """
    count = sum(grid.rows * grid.columns for grid in grids)
    if count > (8 * nbytes + 32) << BLOCKS_LOG2:
        raise FormatError(f"{nbytes} bytes are too few for {count} blocks")


def bands(grids: Sequence[Grid]) -> list[list[tuple[slice, Grid]]]:
    """For each band and component: the component's rows of blocks in the band, and the grid of these."""
    return [
        [
            (slice(top // grid.down, bottom // grid.down), grid._replace(rows=(bottom - top) // grid.down))
            for grid in grids
        ]
        for top in range(0, grids[0].rows, BAND)
        for bottom in [min(top + BAND, grids[0].rows)]
    ]


class Coding(NamedTuple):
    """Coding of coefficients with a model.

    Parameters
    ----------
    model : CoefficientModel
    colour : "gray", "ycbcr" or "rgb"
    grids : sequence of Grid
        Of each component, in coding order.
    steps : sequence of uint16 (64,)
        Quantisation steps of each component, in coding order.
    """

    model: CoefficientModel
    colour: str
    grids: Sequence[Grid]
    steps: Sequence[NDArray[np.uint16]]

    def encode(self, coefficients: Sequence[NDArray[np.int16]]) -> bytes:
        """Encode each component's coefficients, int16 (rows, columns, 64) of -2047 .. 2047; inverse of `decode`."""
        blocks = _joined(coefficients)
        data = np.empty(len(blocks) * ROWS * MOST_BYTES + 64, np.uint8)
        length = self._run(0, blocks, data)
        if length < 0:
            raise ValueError("coefficients must be in -2047 .. 2047")
        return data[:length].tobytes()

    def decode(self, data: memoryview) -> list[NDArray[np.int16]]:
        """Decode coefficients; inverse of `encode`.

        Raises
        ------
        FormatError
            There are too few bytes, or a number is out of range.
        """
        require_bytes(self.grids, len(data))
        counts = [grid.rows * grid.columns for grid in self.grids]
        blocks = np.zeros((sum(counts) + 1, 64), np.int16)
        if self._run(1, blocks, np.array(data, np.uint8)) != len(data):
            raise FormatError("the coefficients are truncated or altered")
        parts = np.split(blocks, np.cumsum(counts))[:-1]
        return [part.reshape(grid.rows, grid.columns, 64) for part, grid in zip(parts, self.grids, strict=True)]

    def encode_bands(self, coefficients: Sequence[NDArray[np.int16]]) -> list[bytes]:
        """Encode coefficients, one bytes object for each band; inverse of `decode_bands`."""

        def one(band: list[tuple[slice, Grid]]) -> bytes:
            parts = [each[rows] for each, (rows, _) in zip(coefficients, band, strict=True)]
            return self._of(band).encode(parts)

        return run(one, bands(self.grids))

    def decode_bands(self, data: Sequence[memoryview]) -> list[NDArray[np.int16]]:
        """Decode the coefficients of all bands; inverse of `encode_bands`.

        Raises
        ------
        FormatError
            As for `decode`.
        """

        def one(work: tuple[list[tuple[slice, Grid]], memoryview]) -> list[NDArray[np.int16]]:
            band, part = work
            return self._of(band).decode(part)

        parts = run(one, list(zip(bands(self.grids), data, strict=True)))
        return [np.concatenate(each) for each in zip(*parts, strict=True)]

    def observe(self, coefficients: Sequence[NDArray[np.int16]]) -> Seen:
        """The view of `encode` on each number, for training."""
        blocks = _joined(coefficients)
        seen, told = np.zeros((len(blocks) * ROWS, FEATURES + 1), np.int16), np.zeros((len(blocks) * ROWS, 2), np.int32)
        rows = self._run(2, blocks, np.zeros(1, np.uint8), (seen, told))
        seen, told = seen[:rows], told[:rows]
        return Seen(seen[:, :-1], seen[:, -1].astype(np.int64), told[:, 0].astype(np.int64), told[:, 1] > 0)

    def _of(self, band: list[tuple[slice, Grid]]) -> "Coding":
        return self._replace(grids=[grid for _, grid in band])

    def _run(self, mode: int, blocks: NDArray[np.int16], data: NDArray[np.uint8], seen: Any = None) -> int:
        from .coefficient_kernel import code_coefficients  # reads numba

        n = len(blocks)
        memory = *(np.zeros((n, 64), kind) for kind in (np.int32, np.uint8, np.uint8)), *np.zeros((2, n), np.int64)
        scaled = np.zeros((2 * max(grid.columns for grid in self.grids) + 1, 128))
        seen = seen or (np.zeros((0, FEATURES + 1), np.int16), np.zeros((0, 2), np.int32))
        frame, steps = _frame(self.grids, self.colour), np.array([np.asarray(each, np.int64) for each in self.steps])
        tables = self.model.predictions, ZIGZAG, LOG, SIGMOIDS, SHARES
        return int(
            code_coefficients(  # type: ignore[no-untyped-call,call-arg]
                mode, blocks, *memory, scaled, frame, steps, self.model.network(), *tables, *seen, data
            )
        )


def _joined(coefficients: Sequence[NDArray[np.int16]]) -> NDArray[np.int16]:
    """All blocks, and one of zeros."""
    parts = [np.ascontiguousarray(each, np.int16).reshape(-1, 64) for each in coefficients]
    return np.concatenate([*parts, np.zeros((1, 64), np.int16)])

"""What a JPEG file held of an array that was decoded from it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.uint8]
Colour = Literal["gray", "ycbcr", "rgb"]
SAMPLINGS = (1, 1), (2, 2), (1, 2), (2, 1)
"""(sy, sx): so many rows and columns of pixels per sample of chroma."""


@dataclass(frozen=True)
class Component:
    """Quantised coefficients of one component.

    Parameters
    ----------
    steps
        uint16 (64,): of each frequency [8 v + u], v the vertical one.
    coefficients
        int16 (rows, columns, 64) in units of the steps: of each block, frequencies in the same order. The first of a
        block is that of samples from which 128 was taken.
    """

    steps: NDArray[np.uint16]
    coefficients: NDArray[np.int16]


@dataclass(frozen=True)
class Ring:
    """Samples of chroma around those of the components, uint8; None: as the samples at that side.

    Parameters
    ----------
    top, bottom
        (columns + 2,), with the corners.
    left, right
        (rows,).
    """

    top: Samples | None = None
    bottom: Samples | None = None
    left: Samples | None = None
    right: Samples | None = None


@dataclass(frozen=True)
class Picture:
    """Whole MCUs of an array: rectangles of 8 sy x 8 sx pixels, of which a JPEG file is made.

    Parameters
    ----------
    colour
        "ycbcr": the components are Y, Cb and Cr; "rgb": the array's channels as they are; "gray".
    sampling
        (sy, sx) of SAMPLINGS; (1, 1) unless ycbcr.
    offset
        (top, left) of the first whole MCU inside the array.
    components
        1 for gray or 3; for ycbcr with subsampling the rows and columns of chroma times those of the sampling are
        those of luma.
    outer
        For ycbcr with subsampling, what is around Cb and Cr.
    reversed
        For ycbcr: the array's channels are blue, green, red.
    """

    colour: Colour
    sampling: tuple[int, int]
    offset: tuple[int, int]
    components: tuple[Component, ...]
    outer: tuple[Ring, Ring] = (Ring(), Ring())
    reversed: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of pixels."""
        rows, columns, _ = self.components[0].coefficients.shape
        return 8 * rows, 8 * columns

    def region(self) -> tuple[slice, slice]:
        """Where the pixels are in the array."""
        (top, left), (height, width) = self.offset, self.size
        return slice(top, top + height), slice(left, left + width)

"""The JPEG content of an array: coefficients, quantisation steps, sampling and position."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.uint8]
Colour = Literal["gray", "ycbcr", "rgb"]
SAMPLINGS = (1, 1), (2, 2), (1, 2), (2, 1)
"""(sy, sx): rows and columns of pixels per sample of chroma."""


@dataclass(frozen=True)
class Component:
    """Quantised coefficients of one component.

    Parameters
    ----------
    steps
        uint16 (64,): the quantisation step of each frequency 8 v + u, where v is the vertical one.
    coefficients
        int16 (rows, columns, 64) in units of the steps: for each block, frequencies in the same order. They are those
        of samples less 128.
    """

    steps: NDArray[np.uint16]
    coefficients: NDArray[np.int16]


@dataclass(frozen=True)
class Ring:
    """Samples of chroma around a component, uint8. A side that is None repeats the component's outermost samples.

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
    """The whole MCUs of an array. An MCU is a rectangle of 8 sy x 8 sx pixels.

    Parameters
    ----------
    colour
        "ycbcr": the components are Y, Cb and Cr; "rgb": the array's channels as they are; "gray".
    sampling
        (sy, sx), one of SAMPLINGS; (1, 1) unless ycbcr.
    offset
        (top, left) of the first whole MCU inside the array.
    components
        1 for gray, otherwise 3. With subsampling, luma has sy times the rows and sx times the columns of chroma.
    outer
        The rings around Cb and Cr, for ycbcr with subsampling.
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
        """The region of the array that the pixels cover."""
        (top, left), (height, width) = self.offset, self.size
        return slice(top, top + height), slice(left, left + width)

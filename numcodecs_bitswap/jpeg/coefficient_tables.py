"""Constants and tables of the coder of JPEG coefficients (FORMAT.md 11). numpy only.

Frequencies are numbered row by row: 8 v + u, where v is the vertical one. COUNT stands for the number of coefficients
that are not zero.
"""

import numpy as np

from ..planes.tables import SIGMOID

_DIAGONALS = [[(v, d - v) for v in range(8) if 0 <= d - v < 8] for d in range(15)]
ZIGZAG = np.array([8 * v + u for d, cells in enumerate(_DIAGONALS) for v, u in cells[:: 1 if d % 2 else -1]], np.int64)
"""Frequencies from low to high, in the order of a JPEG file."""
COUNT = 64
ROWS = 65
"""Rows of the embedding for each kind of component."""
KINDS = 5
"""Kinds of components: gray, luma or the first colour; Cb; Cr; the second colour; the third colour."""
FEATURES = 44
"""Inputs of the network, apart from the row of the embedding."""
NUMBER_INPUTS, BLOCK_INPUTS, PLACE_INPUTS = 40, 8, 8
"""Bytes of the kernel's inputs, in this order: for what changes with each number, for what numbers of a block share,
for what blocks of a component share. Each is a multiple of 8.
"""
INPUTS = NUMBER_INPUTS + BLOCK_INPUTS + PLACE_INPUTS
BYTES = (
    *range(18), 48, 19, 40, 41, 42, 23, 24, 49, 50, 27, 28, 43, 30, 31, 44, 45, 34, 35, 36, 37, 38, 51, 18, 20, 21, 22,
)  # fmt: skip
"""The byte of each of the FEATURES; for most it is their own number."""
NEGATIVE = {35: 25, 36: 26, 37: 29, 38: 32, 40: 33}
"""The bytes of the negative parts of those that have a sign."""
CLASSES = 10
"""Classes of magnitudes that the network predicts: 1, 2 .. 3, 4 .. 7, ..."""
OUTPUTS = 2 + 2 * CLASSES + 3
EARLY, LATE = 8, 24
"""Outputs that the kernel evaluates for each number, and for large numbers only; each a multiple of 8."""
OUTPUT_ORDER = 0, 1, 2, 3, 12, 13, 22, -1, *range(4, 12), *range(14, 22), 23, 24
"""The kernel's outputs: whether the number is zero; whether it has the likelier sign; whether it is in the first and in
the second class of magnitudes for the likelier sign, then for the other; the second highest bit of two. Then the same
for other classes and numbers of bits. -1: none.
"""
UNIT = 8
"""Steps of SIGMOID to a unit of an output. 48 units are one nat."""
LARGEST_LOG = 1 << 15
LOG = np.minimum(np.round(8 * np.log2(1 + np.arange(LARGEST_LOG + 1))), 127).astype(np.uint8)
SIGMOIDS = np.clip(SIGMOID, 16, 65520).astype(np.int64)
WEIGHT_BITS = 12
"""Fraction bits of the weights of a prediction."""
TERMS = 30
"""Weights of a prediction: 8 for the block on the left, 8 for the block above, 14 for the block itself."""
OWN = [[8 * v + a for a in range(u)] + [8 * b + u for b in range(v)] for v in range(8) for u in range(8)]
"""Frequencies of the block itself that a prediction uses: the lower ones in the same row and column."""
BANDS = 15
"""Number of sums u + v. The shares of other components' innovations are measured for each."""
GAIN_BITS = 8
SHARES = np.array([0, 0, 0, 3200, 3200], np.int64)
"""Initial share of the previous component's innovation, by the kind of the component, in units of 2^-12."""
LARGEST_SQUARES = 36
"""Bits of a sum of squares. Larger sums are halved, so that int64 never overflows."""
INNOVATION = 32767
"""Largest innovation."""
CENTRED = 24
"""From this prediction on, in eighths of a step, the difference to the prediction is coded."""

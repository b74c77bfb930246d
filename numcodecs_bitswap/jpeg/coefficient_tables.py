"""Constants and tables of the coder of JPEG coefficients (FORMAT.md 11). numpy only.

Frequencies are numbered as in a block's rows: 8 v + u, v the vertical one. COUNT stands for the number of coefficients
that are not zero.
"""

import numpy as np

from ..planes.tables import SIGMOID

_DIAGONALS = [[(v, d - v) for v in range(8) if 0 <= d - v < 8] for d in range(15)]
ZIGZAG = np.array([8 * v + u for d, cells in enumerate(_DIAGONALS) for v, u in cells[:: 1 if d % 2 else -1]], np.int64)
"""Frequencies from low to high, as a JPEG file has them."""
COUNT = 64
ROWS = 65
"""Rows of the embedding for each kind of component."""
KINDS = 5
"""Gray, luma and the first colour; Cb; Cr; the second colour; the third."""
FEATURES = 44
"""Inputs of the network but for the row of the embedding."""
INPUTS = 48
"""The same, filled up with zeros."""
CLASSES = 10
"""Classes of magnitudes that have decisions under the network: 1, 2 .. 3, 4 .. 7, ..."""
OUTPUTS = 2 + 2 * CLASSES + 3
UNIT = 8
"""Steps of an output to a step of SIGMOID: 48 to a natural unit."""
LARGEST_LOG = 1 << 15
LOG = np.minimum(np.round(8 * np.log2(1 + np.arange(LARGEST_LOG + 1))), 127).astype(np.int32)
SIGMOIDS = np.clip(SIGMOID, 16, 65520).astype(np.int64)
WEIGHT_BITS = 12
"""Fraction bits of the weights of a prediction."""
TERMS = 30
"""Weights of a prediction: 8 of the block on the left, 8 of the one above, 14 of the block itself."""
OWN = [[8 * v + a for a in range(u)] + [8 * b + u for b in range(v)] for v in range(8) for u in range(8)]
"""Frequencies of the block itself that a prediction uses: those in its row and column that are lower."""
BANDS = 15
"""Sums u + v, over which the share of other components' innovations is measured."""
GAIN_BITS = 8
SHARES = np.array([0, 0, 0, 3200, 3200], np.int64)
"""Of the innovation of the component before, by the kind of the component, in units of 2^-12: what is taken to be seen
at first.
"""
LARGEST_SQUARES = 36
"""Bits of a sum of squares, so that nothing leaves int64; larger ones are halved."""
INNOVATION = 32767
"""Largest innovation."""
CENTRED = 24
"""Of a prediction in eighths of a step, from which on what is coded is the difference to it."""

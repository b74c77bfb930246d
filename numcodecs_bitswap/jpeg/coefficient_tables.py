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
INPUTS = 48
"""Inputs including zeros that pad them."""
CLASSES = 10
"""Classes of magnitudes that the network predicts: 1, 2 .. 3, 4 .. 7, ..."""
OUTPUTS = 2 + 2 * CLASSES + 3
UNIT = 8
"""Steps of SIGMOID to a unit of an output. 48 units are one nat."""
LARGEST_LOG = 1 << 15
LOG = np.minimum(np.round(8 * np.log2(1 + np.arange(LARGEST_LOG + 1))), 127).astype(np.int32)
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

"""Constants and tables of the plane coder (FORMAT.md 9.1 to 9.6). numpy only; imports nothing of this package.

Offsets are (dy, dx). Pixels of a tile are coded in wavefronts u = x + 2 y, so a neighbour is known if dx < -2 dy.
"""

import numpy as np

TILE = 256
"""Largest side of a tile."""
BLOCK = 8
"""Sides, in u and in y, of the blocks over which statistics are summed and for which weights are solved."""
OUTPUTS = 8
"""Outputs of a layer that are computed at a time: widths are multiples of it."""
REFERENCES = 3
"""Most reference planes of a plane."""
LARGEST = (1 << 22) - 1
"""Largest number that can be coded."""

OWN = (
    (0, -1), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-1, -2), (-2, -1), (-2, 1), (-2, 2), (-2, -2), (0, -3), (-3, 0),
    (-3, 1), (-1, -3), (-3, -1), (-2, 3), (-2, -3), (-3, 2), (0, -4), (-3, -2), (-3, 3), (-3, -3), (-3, 4),
)  # fmt: skip
"""Neighbours in the plane itself, near to far. (-1, 0) is not among them: with (0, -1) it makes the base."""
OTHER = ((0, 0), (0, -1), (0, 1), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1), (0, -2), (-2, 0), (0, 2), (2, 0))
"""Neighbours in a reference plane, near to far, without (-1, 0)."""
NEAR = ((0, -1), (-1, 0), (-1, 1), (-1, -1), (0, -2), (-2, 0))
"""Neighbours whose errors give the local scale. The first two count twice."""
FAR = ((0, -3), (0, -4), (-1, -2), (-2, -1), (-2, 1), (-2, 2), (-3, 0), (-1, -3))
"""Neighbours whose errors give the activity further away."""
AROUND = ((0, 0), (0, -1), (-1, 0), (0, 1), (1, 0))
"""Neighbours in a reference plane whose errors are used."""
SEEN_OWN, SEEN_OTHER = 16, 8
"""How many of OWN and OTHER the network sees itself."""

MARGIN_U, MARGIN_Y = 16, 8
"""Cells around a skewed plane: more than any offset reaches."""
LEAST_SCALE = 3
"""Of errors, in 1/32 level."""
CLIP = 2047
"""Largest regressor in statistics."""
KEEP = 0.25
"""Of the statistics of a plane for the next one, if it has as many reference planes."""
WEIGHT_BITS = 14
"""Fraction bits of a predictor's weights."""
WEIGHT_CLIP = 1 << 17
STEP = 32
"""Steps of a mean to a level."""

SCALES = 8 * 28
"""Number of indices of local scales."""
SIGMOID = np.round(65536 / (1 + np.exp(-(np.arange(8192) - 4096) / 384))).astype(np.int64)
LOGISTIC_SCALES = 448
"""Number of indices of logistic scales, 1/16 octave each."""
WEIGHTS = 192


def scale_of(q: int) -> float:
    """The local scale of an index, in 1/32 level: 8 steps to the octave, evenly spaced in it."""
    return (8 + (q & 7)) * 2.0 ** ((q >> 3) - 3)


SCALE = np.array([scale_of(q) for q in range(SCALES)], np.float32)
INVERSE = np.array([1 / scale_of(q) for q in range(SCALES)], np.float32)
SLOPE = np.array([384 / 2 ** (j / 16) for j in range(LOGISTIC_SCALES)], np.float32)
"""Steps of SIGMOID to 1/32 level."""
WEIGHT = np.array([round(4096 * 2 ** (-d / 16)) for d in range(WEIGHTS)], np.int64)

CONTEXTS, CONTEXT_FIRST, CONTEXT_INPUT = 16, 16, 64
"""Inputs of the last layer for classes of the local scale, four indices each from the first on; what the one of the
pixel's class is.
"""
GRADIENT = 1023
"""Largest gradient."""
HEAD_KEEP = 253 / 256
"""Of the moments that steps of the last layer are measured by, from one wavefront to the next."""
HEAD_PRIOR = 2.0**31
"""Added to them."""
HEAD_RATES = 3072, 1152
"""Of a step, for means, and for scales and logits."""
HEAD_LIMIT = 63
"""Largest weight."""

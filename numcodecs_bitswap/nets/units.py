"""Units and sizes common to all forms of the networks (FORMAT.md section 4). Imports nothing of this package."""

WIDE = 64
"""A wide layer's weight is WIDE * high + low, two int8 weights."""
ALIGN = 8
"""Rows are padded to multiples of this: tensor cores require it."""
SYMBOL = 32
"""Units of a mean per level."""
MEAN_LIMIT = 8160


def aligned(n: int) -> int:
    """n rounded up to a multiple of ALIGN."""
    return -(-n // ALIGN) * ALIGN

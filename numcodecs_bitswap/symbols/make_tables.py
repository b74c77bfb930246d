"""Makes `tables.npz`, the constants of FORMAT.md section 3.1, from their formulas in exact decimal arithmetic.

Run once: `python -m numcodecs_bitswap.symbols.make_tables`. The file is part of the byte format, so an existing
one is never overwritten. Tests recompute it; nothing else imports this module.
"""

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from pathlib import Path

import numpy as np

DIGITS = 50


def sigmoid(i: int) -> Decimal:
    """SIGMOID[i] before rounding."""
    return Decimal(2**16) / (1 + (Decimal(4096 - i) / 384).exp())


def invscale(j: int) -> Decimal:
    """INVSCALE[j] before rounding; the scale is 2^(j/12 - 4) levels."""
    return 49152 / Decimal(2) ** (Decimal(j) / 12 - 4)


def weight(d: int) -> Decimal:
    """WEIGHT[d] before rounding."""
    return 2**14 / Decimal(2) ** (Decimal(d) / 12)


def nearest(value: Decimal) -> int:
    """Round to the nearest integer; a value too near a tie to be sure of is an error."""
    distance = abs(value - value.to_integral_value(ROUND_HALF_EVEN))
    if distance > Decimal("0.49999"):
        raise ArithmeticError(f"{value} is too near a tie")
    return int(value.to_integral_value(ROUND_HALF_EVEN))


def main() -> None:
    """Write `tables.npz` beside this file. Raises FileExistsError if it is there."""
    path = Path(__file__).with_name("tables.npz")
    with localcontext(prec=DIGITS), path.open("xb") as file:
        np.savez_compressed(
            file,
            sigmoid=np.array([nearest(sigmoid(i)) for i in range(8192)], np.uint16),
            invscale=np.array([nearest(invscale(j)) for j in range(128)], np.int32),
            weight=np.array([nearest(weight(d)) for d in range(128)], np.uint16),
        )


if __name__ == "__main__":
    main()

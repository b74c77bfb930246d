"""Makes `tables.npz`, `vae_tables.npz` and `flow_tables.npz`, the constants of FORMAT.md section 3.1, in exact decimal
arithmetic.

Run once: `python tests/make_tables.py`. The files are part of the byte format, so an existing one is never overwritten.
Tests recompute them.
"""

from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from itertools import accumulate
from math import comb
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parents[1] / "numcodecs_bitswap" / "distributions"
DIGITS = 50

PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494")


def sigmoid(i: int) -> Decimal:
    """SIGMOID[i] before rounding."""
    return Decimal(2**16) / (1 + (Decimal(4096 - i) / 384).exp())


def invscale(j: int) -> Decimal:
    """INVSCALE[j] before rounding; the scale is 2^(j/12 - 4) levels."""
    return 49152 / Decimal(2) ** (Decimal(j) / 12 - 4)


def weight(d: int) -> Decimal:
    """WEIGHT[d] before rounding."""
    return 2**14 / Decimal(2) ** (Decimal(d) / 12)


def normal(i: int) -> Decimal:
    """NORMAL[i] before rounding."""
    return 2**16 * distribution(Decimal(i - 4096) / 768)


def edge(k: int) -> Decimal:
    """EDGE[k] before rounding, in units of 2^-12. Newton's method, which doubles the digits of a float in each step."""
    x = Decimal(NormalDist().inv_cdf(k / 1024))
    for _ in range(3):
        x -= (distribution(x) - Decimal(k) / 1024) / density(x)
    return 2**12 * x


def invsigma(j: int) -> Decimal:
    """INVSIGMA[j] before rounding; the standard deviation is 2^(j/12 - 8)."""
    return 768 * Decimal(2) ** (8 - Decimal(j) / 12)


def rise(a: int) -> list[Decimal]:
    """RISE[a, x] before rounding for x = 0 .. 255: Gamma(x + t) / Gamma(t) is the product of t + i for i < x."""
    t = Decimal(2) ** (Decimal(a) / 6 - 8)
    return list(accumulate((2**12 * log2(t + i) for i in range(255)), initial=Decimal(0)))


def choose(x: int) -> Decimal:
    """CHOOSE[x] before rounding."""
    return 2**12 * log2(Decimal(comb(255, x)))


def power(f: int) -> Decimal:
    """POWER[f] before rounding."""
    return 2**28 / Decimal(2) ** (Decimal(f) / 4096)


def tail(i: int) -> Decimal:
    """TAIL[i] before rounding: the logistic distribution function at -i/64 octaves."""
    return 2**44 / (1 + Decimal(2) ** (Decimal(i) / 64))


def binary_log(i: int) -> Decimal:
    """LOG[i] before rounding."""
    return 2**24 * log2(1 + Decimal(i) / 1024)


def quantile(i: int) -> Decimal:
    """QUANTILE[i] before rounding, by Newton's method as for `edge`."""
    p = 1 / (1 + Decimal(2) ** (Decimal(-i) / 64))
    x = Decimal(-NormalDist().inv_cdf(float(1 - p)))
    for _ in range(3):
        x -= (distribution(x) - p) / density(x)
    return 2**24 * x


def octaves(j: int) -> Decimal:
    """OCTAVES[j] before rounding: octaves of a logit per unit, if the scale is 2^(j/12 - 4) units."""
    return 2**22 / Decimal(2).ln() * Decimal(2) ** (4 - Decimal(j) / 12)


def density(x: Decimal) -> Decimal:
    """Return the density of the standard normal distribution."""
    return (-x * x / 2).exp() / (2 * PI).sqrt()


def distribution(x: Decimal) -> Decimal:
    """Return the standard normal distribution function: 1/2 + density(x) * (x + x^3/3 + x^5/(3*5) + ...)."""
    term, total, odd = x, x, 1
    while abs(term) > Decimal(10) ** -DIGITS:
        odd += 2
        term *= x * x / odd
        total += term
    return Decimal("0.5") + density(x) * total


def log2(x: Decimal) -> Decimal:
    """Return the binary logarithm."""
    return x.ln() / Decimal(2).ln()


def nearest(value: Decimal) -> int:
    """Round to the nearest integer; a value too near a tie to be sure of is an error."""
    distance = abs(value - value.to_integral_value(ROUND_HALF_EVEN))
    if distance > Decimal("0.499999"):
        raise ArithmeticError(f"{value} is too near a tie")
    return int(value.to_integral_value(ROUND_HALF_EVEN))


def arrays() -> dict[str, NDArray[Any]]:
    """Return the contents of `tables.npz`."""
    return {
        "sigmoid": np.array([nearest(sigmoid(i)) for i in range(8192)], np.uint16),
        "invscale": np.array([nearest(invscale(j)) for j in range(128)], np.int32),
        "weight": np.array([nearest(weight(d)) for d in range(128)], np.uint16),
    }


def vae_arrays() -> dict[str, NDArray[Any]]:
    """Return the contents of `vae_tables.npz`; EDGE[0], which is nowhere used, is 0."""
    return {
        "normal": np.array([nearest(normal(i)) for i in range(8192)], np.int32),
        "edge": np.array([0, *(nearest(edge(k)) for k in range(1, 1024))], np.int32),
        "invsigma": np.array([nearest(invsigma(j)) for j in range(128)], np.int32),
        "rise": np.array([[nearest(value) for value in rise(a)] for a in range(96)], np.int32),
        "choose": np.array([nearest(choose(x)) for x in range(256)], np.int32),
        "power": np.array([nearest(power(f)) for f in range(4096)], np.int32),
    }


def flow_arrays() -> dict[str, NDArray[Any]]:
    """Return the contents of `flow_tables.npz`."""
    return {
        "tail": np.array([nearest(tail(i)) for i in range(1793)], np.int64),
        "log": np.array([nearest(binary_log(i)) for i in range(1025)], np.int32),
        "quantile": np.array([nearest(quantile(i)) for i in range(1793)], np.int32),
        "octaves": np.array([nearest(octaves(j)) for j in range(128)], np.int32),
    }


def main() -> None:
    """Write the files that are not there yet into FOLDER."""
    files: dict[str, Callable[[], dict[str, Any]]] = {
        "tables.npz": arrays,
        "vae_tables.npz": vae_arrays,
        "flow_tables.npz": flow_arrays,
    }
    for name, contents in files.items():
        path = FOLDER / name
        if path.exists():
            print(f"{name} exists and is left as it is")
            continue
        with localcontext(prec=DIGITS):
            made = contents()
        with path.open("xb") as file:
            np.savez_compressed(file, **made)


if __name__ == "__main__":
    main()

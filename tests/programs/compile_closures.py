"""Compile some of the functions below and print what they give: `compile_closures.py [first] [second]`.

Both call a function of one name that is not the same. It is too long to become part of them.
"""

import sys
from typing import Any

import numpy as np
from numba.extending import register_jitable

from numcodecs_bitswap.runtime.jit import compiled


def make(step: int) -> Any:
    """A function that adds so much, again and again."""

    @register_jitable
    def inner(values: Any) -> Any:
        for i in range(len(values)):
            for j in range(i, len(values)):
                if values[j] % 7 == 3:
                    values[i] += step * values[j] // 5
                elif values[j] % 5 == 2:
                    values[i] ^= values[j] >> 1
                else:
                    values[j] = (values[j] * 31 + step) % 1009
            for j in range(i):
                if values[j] > values[i]:
                    values[i], values[j] = values[j], values[i]
                elif values[j] % 3 == 1:
                    values[j] += values[i] // 2 + step
        return values[0]

    return inner


one, two = make(1), make(2)


@compiled
def first(values: Any) -> None:
    """Calls one of the functions in several places."""
    values[0] = one(values) + one(values[1:]) * one(values[2:]) - one(values[3:])


@compiled
def second(values: Any) -> None:
    """Calls the other one."""
    values[0] = two(values) + two(values[1:]) * two(values[2:]) - two(values[3:])


for name in sys.argv[1:]:
    array = np.arange(20)
    {"first": first, "second": second}[name](array)
    print(name, array.tolist())

"""Search for the lines of floats that were made of integers: a robust estimate of the step from a few distinct values,
then parameters whose rounded results are the exact floats. Encoder only: decoding does not depend on it.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .lattice import Line

Floats = NDArray[np.float64]

SAMPLE = 4096
"""Values in which a step is sought. They are neighbours, so that some differ by a single step."""
PHASES = 256
"""Distinct values on which a step is tested."""
SMALLEST, LARGEST = 1e-30, 1e30
"""Range of the magnitudes that are searched."""
CLEAR = 0.6
"""Least mean resultant of the phases of multiples of a step, at most 1. Other values have about PHASES^-1/2."""
LEAST = 3.0
"""Least step, in units of the floats' spacing. With smaller steps a lattice gains nothing over the floats' bits."""
OFF, FINE = 0.5, 0.03
"""Largest root mean square residual after several roundings, in units of the floats' spacing, and of the step."""
DECIMALS = [10.0**-n for n in range(9)]
DIVISORS = [
    3.0,
    7.0,
    12.0,
    15.0,
    16.0,
    31.0,
    32.0,
    60.0,
    63.0,
    127.0,
    128.0,
    254.0,
    255.0,
    256.0,
    360.0,
    1023.0,
    2047.0,
]
DIVISORS += [4095.0, 16383.0, 32767.0, 65534.0, 65535.0, 27.5e3, 4e4, 2e4, 5e4, 50.0, 20.0, 40.0, 200.0, 250.0, 500.0]
NICE = sorted({*DECIMALS, *(1 / d for d in DIVISORS), *(2.0**-n for n in range(-12, 40)), *(5 * s for s in DECIMALS)})[
    ::-1
]
CONSTANTS = [
    273.15,
    -273.15,
    273.16,
    -0.2,
    -0.1,
    0.1,
    0.2,
    0.5,
    -0.5,
    -1.0,
    1.0,
    -2.0,
    -5.0,
    5.0,
    -10.0,
    10.0,
    20.0,
    -20.0,
]
CONSTANTS += [
    -30.0,
    30.0,
    -32.0,
    32.0,
    -32.5,
    -33.0,
    -50.0,
    50.0,
    -64.0,
    64.0,
    100.0,
    -100.0,
    200.0,
    250.0,
    300.0,
    1000.0,
]


def search(values: NDArray[Any], hints: Sequence[Line] = ()) -> Line | None:
    """The line of finite floats (n,) of one group, or None.

    Parameters
    ----------
    values : float32 or float64 array
    hints : sequence of Line
        Lines of other groups, the likeliest first.
    """
    number, glance = values.dtype, values[:: max(len(values) // 512, 1)]
    for hint in hints:
        # Packed fields share their step, and count from their least value.
        least = hint if hint.a == 0 else Line(hint.s, float(values.min()), hint.d, hint.single)
        if _exact(glance, least) and _spans(glance, least) and (hint.a == 0 or _exact(values, least)):
            return least
    begin = max((len(values) - SAMPLE) // 2, 0)
    distinct = _distinct(values[begin : begin + SAMPLE])
    ends = np.array([values.min(), values.max()], np.float64)
    distinct = np.concatenate([ends[:1][ends[:1] < distinct[0]], distinct, ends[1:][ends[1:] > distinct[-1]]])
    if len(distinct) < 8:
        return None
    if np.array_equal(np.rint(distinct), distinct) and np.abs(ends).max() < 2.0**53:
        return Line(1.0, 0.0, 1.0)
    if not SMALLEST < np.abs(ends).max() < LARGEST:
        return None
    unit = _unit(distinct, number)
    step = estimate(distinct, unit, hints[0] if hints else None)
    if step is None:
        return None
    return _line(values, distinct, step, number)


def _distinct(values: NDArray[Any]) -> Floats:
    """The distinct values, ascending."""
    ordered = np.sort(values)
    return np.asarray(ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])], np.float64)


def few(values: NDArray[Any]) -> Line | None:
    """A line through values that are too few to show a step; None if there are more."""
    distinct = _distinct(values[:64])
    if len(distinct) <= 7:
        distinct = _distinct(values)
    if len(distinct) > 7:
        return None
    step = float(np.diff(distinct).min()) if len(distinct) > 1 else 1.0
    return Line(step if np.isfinite(step) else 1.0, float(distinct[0]), 1.0)


def _unit(distinct: Floats, number: np.dtype[Any]) -> float:
    """The largest spacing of floats in the range of the values."""
    return float(np.spacing(np.abs(distinct).max().astype(number)))


def estimate(distinct: Floats, unit: float, hint: Line | None = None) -> float | None:
    """The largest step such that ascending values are multiples of it plus a constant, or None."""
    x = distinct - distinct[0]
    spread = x[:: max(len(x) // PHASES, 1)]
    gaps = np.diff(x)
    gaps = np.sort(gaps[gaps > 0.5 * unit])
    if len(gaps) < 4:
        return None
    if hint is not None and _clear(spread, abs(hint.s / hint.d)):
        return _refined(x, abs(hint.s / hint.d), unit)
    # The least gap is the step or a small multiple of it.
    near = gaps[gaps < gaps[0] + 2.5 * unit]
    least = float(near.mean())
    if least > LEAST * unit:
        for divisor in range(1, 7):
            if (step := _refined(x, least / divisor, unit)) is not None:
                return step
    nice = np.array([s for s in NICE if LEAST * unit < s < 1.5 * gaps[0] + 4 * unit])
    if len(nice):
        phases = np.abs(np.exp(2j * np.pi * (spread[None, :] / nice[:, None])).mean(1))
        for k in np.flatnonzero(phases > CLEAR):
            if (step := _refined(x, float(nice[k]), unit)) is not None:
                return step
    return None


def _clear(spread: Floats, step: float) -> bool:
    return bool(abs(np.exp(2j * np.pi * (spread / step)).mean()) > CLEAR)


def _refined(x: Floats, step: float, unit: float) -> float | None:
    """A step fitted to ascending values, the nearest first, so that multiples are counted right."""
    if step < LEAST * unit:
        return None
    from .kernel import fitted_step  # may read numba

    step = fitted_step(x - x[np.argmin(np.diff(x))], step, OFF * unit, FINE)  # type: ignore[no-untyped-call]
    return step if step > 0 else None


def _line(values: NDArray[Any], distinct: Floats, step: float, number: np.dtype[Any]) -> Line | None:
    """Parameters that give the exact floats if any are found, otherwise an approximation."""
    k = np.rint((distinct - distinct[0]) / step)
    common = np.gcd.reduce(k.astype(np.int64))
    if common > 1:
        step, k = step * float(common), k / float(common)
    unit = _unit(distinct, number)
    steps = _short(step, 2 * unit / max(float(k.max()), 1.0))
    best, most = None, -1
    sample = values[:: max(len(values) // 2048, 1)]
    for attempt in (_from_zero, _from_decimals, _stabbing if number.itemsize == 4 else _near):
        for line in attempt(values, distinct, steps):
            right = _right(sample, line)
            if right > most:
                best, most = line, right
            if right == len(sample) and _exact(values, line):
                return line
    return best


def _from_zero(values: NDArray[Any], distinct: Floats, steps: list[float]) -> Iterator[Line]:
    """Lines through 0: simple fractions and short decimals."""
    lowest, step = distinct[0], steps[-1]
    unit = _unit(distinct, values.dtype)
    k = float(np.rint(lowest / step))
    tolerance = 2 * unit / max(float(np.abs(np.rint(distinct[[0, -1]] / step)).max()), 1.0)
    divisor = float(np.rint(1 / step))
    if (
        divisor >= 1
        and abs(1 / divisor - step) <= tolerance
        and abs(lowest - np.rint(lowest * divisor) / divisor) <= unit
    ):
        yield Line(1.0, 0.0, divisor)
    for s in steps:
        if abs(lowest - k * s) <= unit:
            yield Line(s, 0.0, 1.0)
            if values.dtype.itemsize == 4:
                yield Line(s, 0.0, 1.0, True)


def _from_decimals(values: NDArray[Any], distinct: Floats, steps: list[float]) -> Iterator[Line]:
    """Lines with a constant of few decimal digits, as people choose it."""
    unit, short = _unit(distinct, values.dtype), values.dtype.itemsize == 4
    constants = np.array(CONSTANTS)
    for s in steps:
        k = np.rint((distinct[0] - constants) / s)
        for a in constants[np.abs(constants + k * s - distinct[0]) < unit + 1e-9 * s].tolist():
            if not short:
                yield Line(s, a, 1.0)
            yield Line(float(np.float32(s)), float(np.float32(a)), 1.0, short)


def _near(values: NDArray[Any], distinct: Floats, steps: list[float]) -> Iterator[Line]:
    """Approximate lines, for arithmetic that is no finer than the floats."""
    k = np.rint((distinct - distinct[0]) / steps[-1])
    for s in steps:
        yield Line(s, float(np.median(distinct - s * k)), 1.0)


def _short(step: float, tolerance: float) -> list[float]:
    """Numbers near a step that have few digits, or are exact in binary32."""
    found = []
    for digits in range(1, 11):
        s = float(f"{step:.{digits - 1}e}")
        if abs(s - step) <= tolerance and s > 0:
            found.append(s)
            break
    power = 2.0 ** np.rint(np.log2(step))
    if abs(power - step) <= tolerance:
        found.insert(0, float(power))
    single = np.float32(step)
    near = [single, np.nextafter(single, np.float32(np.inf)), np.nextafter(single, np.float32(0))]
    found += [float(s) for s in near if abs(float(s) - step) <= tolerance]
    return list(dict.fromkeys([*found, step]))


def _stabbing(values: NDArray[Any], distinct: Floats, steps: list[float]) -> Iterator[Line]:
    """Lines in binary64 through the rounding intervals of as many values as possible: of some values first, then also
    of those that were missed.
    """
    chosen, glance = distinct[:: max(len(distinct) // 1024, 1)], values[:: max(len(values) // SAMPLE, 1)]
    line = Line(steps[-1], float(distinct[0]), 1.0)
    for _ in range(5):
        k = np.rint((chosen - line.a) / line.s)
        half = 0.5 * np.spacing(np.abs(chosen).astype(np.float32)).astype(np.float64)
        line = _widest(k, chosen - half, chosen + half, steps)
        yield line
        wrong = glance[~_same(glance, line)]
        if not len(wrong):
            wrong = values[~_same(values, line)]
        if not len(wrong):
            break
        chosen = _distinct(np.concatenate([chosen, wrong[:: max(len(wrong) // 1024, 1)].astype(np.float64)]))


def _widest(k: Floats, low: Floats, high: Floats, steps: list[float]) -> Line:
    """A line with one of the given steps, if it fits all intervals; otherwise with the step that leaves the most room,
    found by bisection: room is a concave function of the step.
    """

    from .kernel import room, widest  # may read numba

    for s in steps[:-1]:
        width, a = room(s, k, low, high)  # type: ignore[no-untyped-call]
        if width > 0:
            return Line(s, a, 1.0)
    reach = 4 * float((high - low).max()) / max(float(np.ptp(k)), 1.0)
    s = widest(steps[-1] - reach, steps[-1] + reach, k, low, high)  # type: ignore[no-untyped-call]
    return Line(s, room(s, k, low, high)[1], 1.0)  # type: ignore[no-untyped-call]


def _same(values: NDArray[Any], line: Line) -> NDArray[np.bool_]:
    with np.errstate(all="ignore"):
        k = np.rint((values.astype(np.float64) * line.d - line.a) / line.s).astype(np.int64)
    return np.asarray(line.values(k, values.dtype) == values)


def _right(values: NDArray[Any], line: Line) -> int:
    return int(np.count_nonzero(_same(values, line)))


def _spans(values: NDArray[Any], line: Line) -> bool:
    """Whether the integers of values on a line, counted from the first, have no common factor."""
    k = np.rint((values.astype(np.float64) * line.d - line.a) / line.s).astype(np.int64)
    return int(np.gcd.reduce(k - k[0])) <= 1


def _exact(values: NDArray[Any], line: Line) -> bool:
    return _right(values, line) == len(values)

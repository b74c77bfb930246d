"""Loops of the search for JPEG coefficients. Integers, and single-precision operations that are rounded one by one: the
result must not depend on the machine.

Samples and frequencies are in units of 1/64 unless stated otherwise.
"""

import numpy as np

from ..runtime.jit import compiled, part
from .decoding_kernel import ROW_SHIFT, add_both, add_cb, add_cr, inverse_block, limited

FAR = 12
"""How far from an estimate chroma is searched where a level was clipped."""
UNKNOWN = 4000
"""Beyond all samples: an open bound."""
UNIT, HALF = 64, 32
LOST = 2 * 256
"""Largest cost of a value that is no multiple of a step, in 1/256 nat, as there are always outliers."""
TOGGLES = 24
"""Frequencies of a block that repair may change by one step."""
MOVES, HELD = 160, 3
"""Most changes in the repair of a block, and for how many a changed frequency is then left alone."""
MANY_WRONG = 24
"""Most wrong pixels of a block that are counted."""
COSINES = np.array(
    [
        [370728, 370728, 370728, 370728],
        [514214, 435930, 291279, 102284],
        [484379, 200636, -200636, -484379],
        [435930, -102284, -514214, -291279],
        [370728, -370728, -370728, 370728],
        [291279, -514214, 102284, 435930],
        [200636, -484379, 484379, -200636],
        [102284, -291279, 435930, -514214],
    ]
)
"""2^20 times the orthonormal cosine transform of size 8: frequencies by the first four positions."""
TRANSFORM = np.concatenate([COSINES, COSINES[:, ::-1] * np.array([[1], [-1]] * 4)], 1)
"""The same by all positions."""


@part
def forward_block(x, w, cosines):
    """Cosine transform of a block, int64 (64,), in place and in the same units. `w` is overwritten.

    Between columns and rows, 10 more bits are kept.
    """
    lines = len(cosines)
    source, target, shift = x, w, 10
    for _ in range(lines >> 2):
        # Columns are written as rows, so the second pass restores the orientation.
        half = np.int64(1) << (shift - 1)
        for i in range(lines):
            a, b, c, d = source[i], source[8 + i], source[16 + i], source[24 + i]
            h, g, f, e = source[56 + i], source[48 + i], source[40 + i], source[32 + i]
            s0, s1, s2, s3 = a + h, b + g, c + f, d + e
            d0, d1, d2, d3 = a - h, b - g, c - f, d - e
            for k in range(0, lines, 2):
                m = cosines[k]
                total = m[0] * s0 + m[1] * s1 + m[2] * s2 + m[3] * s3
                target[8 * i + k] = (total + half) >> shift
                m = cosines[k + 1]
                total = m[0] * d0 + m[1] * d1 + m[2] * d2 + m[3] * d3
                target[8 * i + k + 1] = (total + half) >> shift
        source, target, shift = target, source, 30


@part
def divided(x, step):
    """x / 64 in steps, rounded; int16."""
    return min(max((x + HALF * step) // (UNIT * step), -32768), 32767)


@part
def luma_bounds(red, green, blue, cb, cr):
    """The least and the greatest luma that give these levels with the chroma."""
    low, high = np.int64(0), np.int64(255)
    r, g, b = red - add_cr(cr), green - add_both(cb, cr), blue - add_cb(cb)
    if red > 0:
        low = max(low, r)
    if red < 255:
        high = min(high, r)
    if green > 0:
        low = max(low, g)
    if green < 255:
        high = min(high, g)
    if blue > 0:
        low = max(low, b)
    if blue < 255:
        high = min(high, b)
    return low, high


def solve(colours, first, reach, keep, fixed, estimates, lows, highs):
    """Replace estimates (n, 3) by the nearest luma and chroma that give colours (n, 3), and store the bounds of luma
    for that chroma: none lies between them if no solution was found. With `keep`, chroma stays if luma alone can do.

    With `fixed` luma stays, and chroma, in units of 1/64, is the mean of all solutions, or the nearest one where they
    reach the limit of the search.
    """
    for n in range(len(colours)):
        red, green, blue = np.int64(colours[n, first]), np.int64(colours[n, 1]), np.int64(colours[n, 2 - first])
        luma, cb, cr = np.int64(estimates[n, 0]), np.int64(estimates[n, 1]), np.int64(estimates[n, 2])
        best, far = np.int64(1) << 40, np.int64(reach[n])
        count, sum_cb, sum_cr, most_cb, most_cr = np.int64(0), np.int64(0), np.int64(0), np.int64(0), np.int64(0)
        lows[n], highs[n] = 255, 0
        for distance in range(far + 1):
            if distance * distance >= best and not fixed:
                break
            for i in range(-distance, distance + 1):
                step = 1 if abs(i) == distance else 2 * max(distance, 1)
                for j in range(-distance, distance + 1, step):
                    low, high = luma_bounds(red, green, blue, cb + i, cr + j)
                    if low > high or min(cb + i, cr + j) < 0 or max(cb + i, cr + j) > 255:
                        continue
                    level = min(max(luma, low), high)
                    if fixed and level != luma:
                        continue
                    count += 1
                    sum_cb += i
                    sum_cr += j
                    most_cb, most_cr = max(most_cb, abs(i)), max(most_cr, abs(j))
                    cost = i * i + j * j + (level - luma) * (level - luma)
                    if keep and distance == 0:
                        cost = 0
                    if cost < best:
                        best, lows[n], highs[n] = cost, low, high
                        estimates[n, 0], estimates[n, 1], estimates[n, 2] = level, cb + i, cr + j
        if fixed and count > 0:
            near_cb, near_cr = np.int64(estimates[n, 1]), np.int64(estimates[n, 2])
            estimates[n, 1] = UNIT * near_cb if most_cb == far else UNIT * cb + UNIT * sum_cb // count
            estimates[n, 2] = UNIT * near_cr if most_cr == far else UNIT * cr + UNIT * sum_cr // count


@part
def weigh(values, logarithms, reciprocals, scale, gain, beyond):
    """Log likelihood ratio, in 1/256 nat, that values (n,) of a frequency are noisy multiples of each step, and not of
    none: `gain`, (256,). Returns the largest. `reciprocals`: of the steps; `scale`: cost of the squared distance to a
    multiple. `beyond`, int64 (257,), is overwritten.

    In single precision, so that a CPU handles many values at a time. Every operation is rounded.
    """
    gain[:], beyond[:], largest = 0, 0, 1
    for n in range(len(values)):
        x = min(abs(values[n]), np.float32(1 << 17))
        # Values next to 0 do not tell steps apart.
        if x < 77:
            continue
        last = min((np.int64(x) + 2 * UNIT) >> 6, 255)
        for step in range(2, last + 1):
            d = x - np.rint(x * reciprocals[step]) * np.float32(UNIT * step)
            more = logarithms[step] - d * d * scale
            gain[step] += more if more > np.float32(-LOST) else np.float32(-LOST)
        beyond[last + 1] += LOST
        largest = max(largest, last)
    lost, most = np.int64(0), np.float32(0)
    for step in range(2, largest + 1):
        lost += beyond[step]
        gain[step] -= np.float32(lost)
        most = gain[step] if gain[step] > most else most
    gain[largest + 1 :] = -np.float32(lost + beyond[min(largest + 1, 256)])
    return most


def step_gains(values, logarithms, reciprocals, scale, gains):
    """`weigh` for all frequencies: values (64, n) -> gains (64, 256)."""
    beyond = np.empty(257, np.int64)
    for k in range(len(values)):
        weigh(values[k], logarithms, reciprocals, scale, gains[k], beyond)


def describe(scaled, lows, highs, top, left, columns, blocks, unsure, same, flat):
    """For some blocks, numbered row by row: the number of clipped samples, the number equal to their neighbour to the
    right or below, whichever is larger, and whether all are.
    """
    for n in range(len(blocks)):
        at_y, at_x = top + 8 * (blocks[n] // columns), left + 8 * (blocks[n] % columns)
        lost, across, down = 0, 0, 0
        for y in range(at_y, at_y + 8):
            for x in range(at_x, at_x + 8):
                lost += np.int64(highs[y, x]) - lows[y, x] >= UNKNOWN
                across += x < at_x + 7 and abs(scaled[y, x] - scaled[y, x + 1]) < UNIT
                down += y < at_y + 7 and abs(scaled[y, x] - scaled[y + 1, x]) < UNIT
        unsure[n], same[n], flat[n] = lost, max(across, down), across + down == 112


def frequencies(scaled, top, left, columns, blocks, cosines, values):
    """Frequencies (n, 64) of some blocks, numbered row by row."""
    c, w = np.empty(64, np.int64), np.empty(64, np.int64)
    for n in range(len(blocks)):
        at_y, at_x = top + 8 * (blocks[n] // columns), left + 8 * (blocks[n] % columns)
        for p in range(64):
            c[p] = np.int64(scaled[at_y + (p >> 3), at_x + (p & 7)]) - 128 * UNIT
        forward_block(c, w, cosines)
        for k in range(64):
            values[n, k] = c[k]


@part
def wrong_samples(q, steps, lows, highs, c, w):
    """The number of samples of a block that are out of bounds. Leaves the samples plus 1/2 in c, as the decoder has
    them before it rounds down.
    """
    for k in range(64):
        c[k] = np.int64(q[k]) * np.int64(steps[k])
    inverse_block(c, w, len(steps) >> 3, ROW_SHIFT - 6)
    wrong = 0
    for p in range(len(steps)):
        c[p] += 128 * UNIT
        wrong += c[p] < lows[p] or c[p] > highs[p]
    return wrong


@part
def load(plane, lows, highs, at_y, at_x, low, high, t):
    """Load the samples of a block and their bounds; returns whether all are known."""
    closed = True
    for p in range(len(t)):
        y, x = at_y + (p >> 3), at_x + (p & 7)
        low[p] = UNIT * np.int64(lows[y, x])
        high[p] = UNIT * np.int64(highs[y, x]) + UNIT - 1
        t[p] = plane[y, x]
        closed &= high[p] - low[p] < UNIT
    return closed


def fit(plane, lows, highs, dirty, top, left, steps, rounds, cosines, coefficients, wrong):
    """Fit the coefficients of `dirty` blocks, and count the samples of each that are out of bounds.

    Where samples are unknown, projections onto the bounds and onto multiples of the steps alternate.
    """
    work, count_of = np.empty((7, 64), np.int64), len(steps)
    c, w, q, kept, low, high, t = work[0], work[1], work[2], work[3], work[4], work[5], work[6]
    for i in range(coefficients.shape[0]):
        for j in range(coefficients.shape[1]):
            if not dirty[i, j]:
                continue
            closed = load(plane, lows, highs, top + 8 * i, left + 8 * j, low, high, t)
            count = 65
            for _ in range(1 if closed else rounds):
                for p in range(count_of):
                    c[p] = t[p] - 128 * UNIT
                forward_block(c, w, cosines)
                for k in range(count_of):
                    q[k] = divided(c[k], np.int64(steps[k]))
                now = wrong_samples(q, steps, low, high, c, w)
                if now < count:
                    count = now
                    for k in range(count_of):
                        kept[k] = q[k]
                if now == 0 or closed:
                    break
                same = True
                for p in range(count_of):
                    value = t[p] if high[p] - low[p] < UNIT else min(max(c[p], low[p]), high[p]) - HALF
                    same &= t[p] == value
                    t[p] = value
                if same:
                    break
            wrong[i, j] = count
            for k in range(count_of):
                coefficients[i, j, k] = kept[k]


def repair(plane, lows, highs, dirty, top, left, steps, cosines, basis, coefficients, wrong):
    """Improve the coefficients of dirty blocks that are still wrong, by changes of one step each."""
    low, high, t, c = np.empty(64, np.int64), np.empty(64, np.int64), np.empty(64, np.int64), np.empty(64, np.int64)
    w = np.empty(64, np.int64)
    q, toggles, weights = np.empty(64, np.int64), np.empty((TOGGLES, 64), np.int64), np.empty(64, np.int64)
    cost, sign = np.empty(64, np.int64), np.empty(64, np.int64)
    chosen, state, since = np.empty(TOGGLES, np.int64), np.empty(TOGGLES, np.int64), np.empty(TOGGLES, np.int64)
    for block in range(dirty.size):
        i, j = block // dirty.shape[1], block % dirty.shape[1]
        if not dirty[i, j] or wrong[i, j] == 0:
            continue
        load(plane, lows, highs, top + 8 * i, left + 8 * j, low, high, t)
        kept = coefficients[i, j]
        for k in range(len(steps)):
            q[k] = kept[k]
        wrong_samples(q, steps, low, high, c, w)
        for p in range(len(steps)):
            # Unknown samples are set to the fitted ones.
            c[p] = (t[p] if high[p] - low[p] < UNIT else min(max(c[p], low[p]), high[p]) - HALF) - 128 * UNIT
            weights[p] = 1
        forward_block(c, w, cosines)
        # The residual of each frequency gives its second nearest multiple, and how likely that is.
        for k in range(len(steps)):
            step = np.int64(steps[k])
            rest = c[k] - UNIT * step * q[k]
            sign[k] = 1 if rest >= 0 else -1
            cost[k] = step * (UNIT * step - 2 * abs(rest))
        for n in range(TOGGLES):
            best = 0
            for k in range(1, len(steps)):
                if cost[k] < cost[best]:
                    best = k
            cost[best] = np.int64(1) << 60
            chosen[n], state[n], since[n] = best, 1, -HELD
            for p in range(len(steps)):
                toggles[n, p] = (sign[best] * np.int64(steps[best]) * basis[best, p] + 128) >> 8
        # The best change is made, one at a time. If none is an improvement, the weights of wrong samples grow.
        for move in range(MOVES + 1):
            count = wrong_samples(q, steps, low, high, c, w)
            if count < wrong[i, j]:
                wrong[i, j] = count
                for k in range(len(steps)):
                    kept[k] = q[k]
                if count == 0:
                    break
            now, least, first = np.int64(0), np.int64(1) << 60, 0
            for n in range(-1, TOGGLES):
                if n < 0 or move - since[n] >= HELD:
                    total, by = np.int64(0), np.int64(0) if n < 0 else state[n]
                    other = toggles[max(n, 0)]
                    for p in range(len(steps)):
                        value = c[p] + by * other[p]
                        out = max(low[p] - value, 0) + max(value - high[p], 0)
                        total += weights[p] * out * out
                    if n < 0:
                        now = total
                    elif total < least:
                        least, first = total, n
            if least >= now:
                for p in range(len(steps)):
                    weights[p] += c[p] < low[p] or c[p] > high[p]
            q[chosen[first]] += state[first] * sign[chosen[first]]
            state[first] = -state[first]
            since[first] = move


@part
def chroma_at(samples, y, x, sy, sx):
    """Chroma of a pixel, as the decoder upsamples it from samples with their ring."""
    i, j, p, r = y // sy + 1, x // sx + 1, y & 1, x & 1
    # In sixteenths. Along an axis that is not halved, the next samples have no share.
    down, right = 5 - sy, 5 - sx
    near = down * np.int64(samples[i, j]) + (4 - down) * np.int64(samples[i + 2 * p - 1, j])
    far = down * np.int64(samples[i, j + 2 * r - 1]) + (4 - down) * np.int64(samples[i + 2 * p - 1, j + 2 * r - 1])
    bias = 8 - r if sy == sx else 4 + 4 * (p if sx == 1 else r)
    return (right * near + (4 - right) * far + bias) >> 4


@part
def misfit(samples, i, j, sy, sx, levels, kinds, top, left, height, width):
    """Sum of the differences between the known pixels next to a sample and their upsampled chroma."""
    total = np.int64(0)
    y_first, y_last = (2 * i - 3, 2 * i) if sy == 2 else (i - 1, i - 1)
    x_first, x_last = (2 * j - 3, 2 * j) if sx == 2 else (j - 1, j - 1)
    for y in range(max(y_first, 0), min(y_last + 1, height)):
        for x in range(max(x_first, 0), min(x_last + 1, width)):
            if kinds[y + top, x + left] == 0:
                total += abs(chroma_at(samples, y, x, sy, sx) - levels[y + top, x + left])
    return total


@part
def misfits_inside(c, around, sy, sx, levels, kinds, top, left):
    """The number of known pixels, up to MANY_WRONG, that depend on one block alone and differ from its upsampled
    samples. These are in units of 1/64, less 128.
    """
    for p in range(64):
        around[1 + (p >> 3), 1 + (p & 7)] = limited((c[p] >> 6) + 128)
    wrong = 0
    for y in range(sy - 1, 7 * sy + 1):
        for x in range(sx - 1, 7 * sx + 1):
            if kinds[top + y, left + x] == 0:
                wrong += chroma_at(around, y, x, sy, sx) != levels[top + y, left + x]
        if wrong >= MANY_WRONG:
            return MANY_WRONG
    return wrong


def vote(scaled, at_y, at_x, steps, others, cosines, sy, sx, levels, kinds, top, left, votes):
    """Add to `votes`, int64 (64, n), how many more known pixels of a plane are exact with each other step in `others`
    (64, n) of one frequency. Blocks begin at (at_y, at_x), their pixels at (top, left).
    """
    work, around = np.empty((4, 64), np.int64), np.zeros((10, 10), np.int64)
    c, w, q, kept = work[0], work[1], work[2], work[3]
    rows = min((scaled.shape[0] - at_y) >> 3, (levels.shape[0] - top) // (8 * sy))
    columns = min((scaled.shape[1] - at_x) >> 3, (levels.shape[1] - left) // (8 * sx))
    for i in range(rows):
        for j in range(columns):
            y, x = top + 8 * sy * i, left + 8 * sx * j
            for p in range(len(steps)):
                kept[p] = np.int64(scaled[at_y + 8 * i + (p >> 3), at_x + 8 * j + (p & 7)]) - 128 * UNIT
            forward_block(kept, w, cosines)
            for k in range(len(steps)):
                q[k] = divided(kept[k], np.int64(steps[k])) * np.int64(steps[k])
                c[k] = q[k]
            inverse_block(c, w, len(steps) >> 3, ROW_SHIFT - 6)
            before = misfits_inside(c, around, sy, sx, levels, kinds, y, x)
            for k in range(len(steps)):
                for n in range(others.shape[1]):
                    other = divided(kept[k], others[k, n]) * others[k, n]
                    if other == q[k]:
                        continue
                    for p in range(len(steps)):
                        c[p] = q[p]
                    c[k] = other
                    inverse_block(c, w, len(steps) >> 3, ROW_SHIFT - 6)
                    votes[k, n] += before - misfits_inside(c, around, sy, sx, levels, kinds, y, x)


def reduce_misfit(samples, dirty, reach, sy, sx, levels, kinds, top, left, sweeps):
    """Change dirty samples, of uint8 (h + 2, w + 2) with the ring, by up to `reach` to reduce the misfit of pixels."""
    height, width = sy * (samples.shape[0] - 2), sx * (samples.shape[1] - 2)
    for _ in range(sweeps):
        moved = False
        for i in range(samples.shape[0]):
            for j in range(samples.shape[1]):
                if not dirty[i, j]:
                    continue
                was = np.int64(samples[i, j])
                level, best = was, np.int64(1) << 40
                # The value itself first, then one less, one more, and so on.
                for n in range(2 * reach + 1):
                    value = was + ((n >> 1) + (n & 1)) * (1 - 2 * (n & 1))
                    if value < 0 or value > 255:
                        continue
                    samples[i, j] = value
                    total = misfit(samples, i, j, sy, sx, levels, kinds, top, left, height, width)
                    if total < best:
                        best, level = total, value
                    if best == 0:
                        break
                samples[i, j] = level
                moved |= level != was
        if not moved:
            break


def halve(full, phase, even, odd, inverse, ratio, halved):
    """Least-squares estimate of the samples (h, m + 2), one outside at either end, from which rows of pixels (h, w)
    were upsampled. Pixel x belongs to sample (x + phase) // 2 + 1. `even` and `odd` are added to pixels.

    `inverse`, `ratio`: of the elimination, times 2^20 (`ycbcr._elimination`).
    """
    count = halved.shape[1]
    d = np.empty(count, np.int64)
    for y in range(full.shape[0]):
        for j in range(count):
            d[j] = 0
        for x in range(full.shape[1]):
            at = x + phase
            value = np.int64(full[y, x]) + (odd if at & 1 else even)
            near = (at >> 1) + 1
            d[near] += 3 * value
            d[near + 2 * (at & 1) - 1] += value
        before = np.int64(0)
        for j in range(count):
            before = ((4 * d[j]) * inverse[j] >> 20) - (before * ratio[2 * j] >> 20)
            d[j] = before
        after = np.int64(0)
        for j in range(count - 1, -1, -1):
            after = d[j] - (after * ratio[2 * j + 1] >> 20)
            halved[y, j] = min(max(after, -UNIT * UNKNOWN), UNIT * UNKNOWN)


describe = compiled(describe)
frequencies = compiled(frequencies)
vote = compiled(vote)
reduce_misfit = compiled(reduce_misfit)
halve = compiled(halve)
step_gains = compiled(step_gains)
fit = compiled(fit)
repair = compiled(repair)
solve = compiled(solve)

"""Loops of the search for what a JPEG file held. Integers only: what is found may not depend on the machine.

Samples and frequencies are in units of 1/64 where no more is said.
"""

import numpy as np

from ..jit import compiled, part
from .decoding_kernel import ROW_SHIFT, inverse_block

FAR = 12
"""How far from an estimate chroma is looked for where a level was cut off."""
UNKNOWN = 4000
"""Beyond all samples: an open bound."""
UNIT, HALF = 64, 32
LOST = 2 * 256
"""What a value that is on no multiple of a step costs, in 1/256 nat: there are always some."""
TOGGLES = 24
"""Frequencies of a block that may be one off, in repair."""
MOVES, HELD = 160, 3
"""So often one of them is changed, and not again for so many."""
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
"""2^20 times the orthonormal cosine transform of 8: frequencies by the first four places."""


@part
def forward_8(source, target, at, step, cosines, shift):
    """Frequencies of 8 values from `at` on; `shift` bits of 20 are left."""
    half = np.int64(1) << (shift - 1)
    a, b, c, d = source[at], source[at + step], source[at + 2 * step], source[at + 3 * step]
    h, g, f, e = source[at + 7 * step], source[at + 6 * step], source[at + 5 * step], source[at + 4 * step]
    s0, s1, s2, s3 = a + h, b + g, c + f, d + e
    d0, d1, d2, d3 = a - h, b - g, c - f, d - e
    for k in range(0, 8, 2):
        m = cosines[k]
        target[at + k * step] = (m[0] * s0 + m[1] * s1 + m[2] * s2 + m[3] * s3 + half) >> shift
        m = cosines[k + 1]
        target[at + k * step + step] = (m[0] * d0 + m[1] * d1 + m[2] * d2 + m[3] * d3 + half) >> shift


@part
def forward_block(x, w, cosines):
    """Frequencies int64 (64,) of samples of the same unit, in place; `w` is spoilt. 2^10 of precision between."""
    for y in range(0, 64, 8):
        forward_8(x, w, y, 1, cosines, 10)
    for k in range(8):
        forward_8(w, x, k, 8, cosines, 30)


@part
def divided(x, step):
    """x / 64 in steps, rounded; int16."""
    return min(max((x + HALF * step) // (UNIT * step), -32768), 32767)


@part
def add_cb(cb):
    """What Cb adds to blue, and to green in units of 2^-16."""
    return (116130 * (cb - 128) + 32768) >> 16


@part
def add_cr(cr):
    """What Cr adds to red."""
    return (91881 * (cr - 128) + 32768) >> 16


@part
def add_both(cb, cr):
    """What chroma adds to green."""
    return (-22554 * (cb - 128) - 46802 * (cr - 128) + 32768) >> 16


@part
def luma_bounds(red, green, blue, cb, cr):
    """Luma from which chroma makes these levels: the least and the greatest."""
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


@part
def nearest(red, green, blue, luma, cb, cr, reach):
    """The nearest luma and chroma that make these levels, and whether there are any."""
    best, best_luma, best_cb, best_cr = np.int64(1) << 40, luma, cb, cr
    for distance in range(reach + 1):
        if distance * distance >= best:
            break
        for i in range(-distance, distance + 1):
            step = 1 if abs(i) == distance else 2 * max(distance, 1)
            for j in range(-distance, distance + 1, step):
                low, high = luma_bounds(red, green, blue, cb + i, cr + j)
                if low > high or cb + i < 0 or cb + i > 255 or cr + j < 0 or cr + j > 255:
                    continue
                level = min(max(luma, low), high)
                cost = i * i + j * j + (level - luma) * (level - luma)
                if cost < best:
                    best, best_luma, best_cb, best_cr = cost, level, cb + i, cr + j
    return best < np.int64(1) << 40, best_luma, best_cb, best_cr


@part
def solved(red, green, blue):
    """Luma and chroma of a colour, and its kind: 0 known, 1 cut off somewhere, 2 of no JPEG."""
    cb = ((-11059 * red - 21709 * green + 32768 * blue + 32767) >> 16) + 128
    cr = ((32768 * red - 27439 * green - 5329 * blue + 32767) >> 16) + 128
    y = red - add_cr(cr)
    cut = min(red, green, blue) == 0 or max(red, green, blue) == 255
    if not cut and y == green - add_both(cb, cr) and y == blue - add_cb(cb) and y >= 0 and y < 256:
        return 0, y, cb, cr
    y = (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16
    found, y, cb, cr = nearest(red, green, blue, y, cb, cr, FAR if cut else 1)
    return (1 if cut else 0) if found else 2, y, cb, cr


def split(array, first, stride, planes, kinds):
    """Luma and chroma int16 (3, H, W) of colours, and the kind of each pixel (`solved`). Of each stride-th pixel only,
    when `planes` is empty. How many are of no JPEG.
    """
    bad = 0
    height, width, _ = array.shape
    for at in range(0, height * width, stride):
        y, x = at // width, at % width
        red, green, blue = np.int64(array[y, x, first]), np.int64(array[y, x, 1]), np.int64(array[y, x, 2 - first])
        kind, luma, cb, cr = solved(red, green, blue)
        bad += kind == 2
        if planes.size:
            planes[0, y, x], planes[1, y, x], planes[2, y, x], kinds[y, x] = luma, cb, cr, kind
    return bad


def small_frequencies(plane, tops, lefts, cosines, counts):
    """How many frequencies are next to 0 in blocks at each of 8 x 8 offsets, of windows of 15 x 15."""
    c, w = np.empty(64, np.int64), np.empty(64, np.int64)
    for n in range(len(tops)):
        for oy in range(8):
            for ox in range(8):
                for y in range(8):
                    for x in range(8):
                        c[8 * y + x] = UNIT * np.int64(plane[tops[n] + oy + y, lefts[n] + ox + x])
                forward_block(c, w, cosines)
                for k in range(1, 64):
                    counts[8 * ((tops[n] + oy) & 7) + ((lefts[n] + ox) & 7)] += abs(c[k]) < UNIT


def frequencies(plane, lows, highs, rows, columns, top, left, most_cut, most_flat, cosines, values):
    """Frequencies (n, 64) of samples of blocks in which no more than `most_cut` have an open bound, and no more than
    `most_flat` are as their neighbours; how many blocks those are. What was lost by rounding flat ones is no noise.
    """
    w = np.empty(64, np.int64)
    count = 0
    for n in range(len(rows)):
        at_y, at_x = top + 8 * rows[n], left + 8 * columns[n]
        c, unsure, across, down = values[count], 0, 0, 0
        for y in range(8):
            for x in range(8):
                c[8 * y + x] = plane[at_y + y, at_x + x] - 128 * UNIT
                unsure += highs[at_y + y, at_x + x] - lows[at_y + y, at_x + x] >= UNKNOWN
                across += x > 0 and abs(c[8 * y + x] - c[8 * y + x - 1]) < UNIT
                down += y > 0 and abs(c[8 * y + x] - c[8 * y + x - 8]) < UNIT
        if unsure <= most_cut and max(across, down) <= most_flat:
            forward_block(c, w, cosines)
            count += 1
    return count


def step_gains(values, logarithms, noise, gains):
    """How much more likely values (n, 64) are multiples of each step (64, 256) but for noise than of none, in 1/256
    nat. `noise`: twice the variance, in units of 2^-12.
    """
    short = np.zeros(257, np.int64)
    for k in range(64):
        short[:] = 0
        for n in range(len(values)):
            x = abs(np.int64(values[n, k]))
            # Next to 0 no step is more likely than another.
            if x < 77:
                continue
            last = min((x + 2 * UNIT) // UNIT, 255)
            for step in range(2, last + 1):
                d = x % (UNIT * step)
                d = min(d, UNIT * step - d)
                gains[k, step] += max(logarithms[step] - 256 * d * d // noise, -LOST)
            short[last + 1] += 1
        count = 0
        for step in range(2, 256):
            count += short[step]
            gains[k, step] -= count * LOST


@part
def violation(x, lows, highs, other, sign, weights):
    """By how much samples x + sign other are out of bounds: the sum of squares."""
    total = np.int64(0)
    for p in range(64):
        value = x[p] + sign * other[p]
        out = max(lows[p] - value, 0) + max(value - highs[p], 0)
        total += weights[p] * out * out
    return total


@part
def wrong_samples(q, steps, lows, highs, c, w):
    """How many samples of a block are out of bounds; the samples plus 1/2 are left in c, as the decoder has them before
    it cuts off what is less than 1.
    """
    for k in range(64):
        c[k] = np.int64(q[k]) * np.int64(steps[k])
    inverse_block(c, w, ROW_SHIFT - 6)
    wrong = 0
    for p in range(64):
        c[p] += 128 * UNIT
        wrong += c[p] < lows[p] or c[p] > highs[p]
    return wrong


@part
def repaired(q, kept, steps, lows, highs, target, wrong, basis, work, toggles):
    """Changes the least certain frequencies of a block by one for samples to come nearer to their bounds.

    `kept` are the best, of which so many samples are out of bounds; `wrong` are at first.
    """
    c, w = work[0], work[1]
    # What is left of each frequency says which neighbour it may be as well, and how likely that is.
    cost, sign = work[2], work[3]
    for k in range(64):
        step = np.int64(steps[k])
        rest = target[k] - UNIT * step * np.int64(q[k])
        sign[k] = 1 if rest >= 0 else -1
        cost[k] = step * (UNIT * step - 2 * abs(rest))
    chosen, state, since, weights = work[4], work[5], work[6], work[7]
    for i in range(TOGGLES):
        best = 0
        for k in range(1, 64):
            if cost[k] < cost[best]:
                best = k
        chosen[i], state[i] = best, 1
        cost[best] = np.int64(1) << 60
        for p in range(64):
            toggles[i, p] = (sign[best] * np.int64(steps[best]) * basis[best, p] + 128) >> 8
    # One is changed at a time, the best of them. Where none is better, samples that are wrong weigh more from then on.
    weights[:] = 1
    since[:] = -HELD
    wrong_samples(q, steps, lows, highs, c, w)
    for move in range(MOVES):
        now = violation(c, lows, highs, c, 0, weights)
        least, first = np.int64(1) << 60, 0
        for i in range(TOGGLES):
            if move - since[i] >= HELD:
                total = violation(c, lows, highs, toggles[i], state[i], weights)
                if total < least:
                    least, first = total, i
        if least >= now:
            for p in range(64):
                weights[p] += c[p] < lows[p] or c[p] > highs[p]
        q[chosen[first]] += state[first] * sign[chosen[first]]
        state[first] = -state[first]
        since[first] = move
        count = wrong_samples(q, steps, lows, highs, c, w)
        if count < wrong:
            wrong = count
            kept[:] = q
            if wrong == 0:
                break
    return wrong


def fit(plane, lows, highs, dirty, top, left, steps, rounds, repair, cosines, basis, coefficients, wrong):
    """Coefficients of those blocks that are `dirty`, and how many samples of each are out of bounds.

    Where bounds are open, samples and multiples of the steps are made to agree in turns.
    """
    work, toggles, target = np.empty((8, 64), np.int64), np.empty((TOGGLES, 64), np.int64), np.empty(64, np.int64)
    low, high, t = np.empty(64, np.int64), np.empty(64, np.int64), np.empty(64, np.int64)
    q, kept = np.empty(64, np.int64), np.empty(64, np.int64)
    c, w = work[0], work[1]
    for i in range(coefficients.shape[0]):
        for j in range(coefficients.shape[1]):
            if not dirty[i, j]:
                continue
            closed = True
            for y in range(8):
                for x in range(8):
                    p, at_y, at_x = 8 * y + x, top + 8 * i + y, left + 8 * j + x
                    low[p] = UNIT * np.int64(lows[at_y, at_x])
                    high[p] = UNIT * np.int64(highs[at_y, at_x]) + UNIT - 1
                    t[p] = plane[at_y, at_x]
                    closed &= high[p] - low[p] < UNIT
            count = 65
            for _ in range(1 if closed else rounds):
                for p in range(64):
                    c[p] = t[p] - 128 * UNIT
                forward_block(c, w, cosines)
                for k in range(64):
                    q[k] = divided(c[k], np.int64(steps[k]))
                now = wrong_samples(q, steps, low, high, c, w)
                if now < count:
                    count = now
                    kept[:] = q
                if now == 0 or closed:
                    break
                same = True
                for p in range(64):
                    value = t[p] if high[p] - low[p] < UNIT else min(max(c[p], low[p]), high[p]) - HALF
                    same &= t[p] == value
                    t[p] = value
                if same:
                    break
            if count > 0 and repair:
                q[:] = kept
                for p in range(64):
                    c[p] = t[p] - 128 * UNIT
                forward_block(c, w, cosines)
                target[:] = c
                count = repaired(q, kept, steps, low, high, target, count, basis, work, toggles)
            wrong[i, j] = count
            for k in range(64):
                coefficients[i, j, k] = kept[k]


def project(array, first, decoded, kinds, dirty, top, left, planes, lows, highs):
    """The nearest luma and chroma to `decoded` (3, H, W) that make the colours that were cut off, in dirty blocks;
    int32 (3, H, W), and bounds of luma by the decoded chroma.
    """
    for i in range(dirty.shape[0]):
        for j in range(dirty.shape[1]):
            if not dirty[i, j]:
                continue
            for y in range(8 * i, 8 * i + 8):
                for x in range(8 * j, 8 * j + 8):
                    at_y, at_x = y + top, x + left
                    if kinds[at_y, at_x] != 1:
                        continue
                    red, green = np.int64(array[at_y, at_x, first]), np.int64(array[at_y, at_x, 1])
                    blue = np.int64(array[at_y, at_x, 2 - first])
                    luma, cb, cr = np.int64(decoded[0, y, x]), np.int64(decoded[1, y, x]), np.int64(decoded[2, y, x])
                    low, high = luma_bounds(red, green, blue, cb, cr)
                    if low > high:
                        found, luma, cb, cr = nearest(red, green, blue, luma, cb, cr, FAR)
                        if not found:
                            continue
                        low, high = luma, luma
                    else:
                        luma = min(max(luma, low), high)
                    planes[0, at_y, at_x], planes[1, at_y, at_x] = UNIT * luma, UNIT * cb
                    planes[2, at_y, at_x] = UNIT * cr
                    lows[at_y, at_x] = low if low > 0 else -UNKNOWN
                    highs[at_y, at_x] = high if high < 255 else UNKNOWN


def wrong_pixels(array, pixels, top, left, counts):
    """How many pixels of each block are others: array (H, W, channels), pixels (h, w, channels), counts (rows,
    columns).
    """
    for y in range(pixels.shape[0]):
        for x in range(pixels.shape[1]):
            wrong = 0
            for k in range(pixels.shape[2]):
                wrong |= array[y + top, x + left, k] != pixels[y, x, k]
            counts[y >> 3, x >> 3] += wrong


@part
def chroma_at(samples, y, x, sy, sx):
    """Chroma of a pixel, of samples with a ring around them, as the decoder upsamples it."""
    i, j, p, r = y // sy + 1, x // sx + 1, y & 1, x & 1
    if sx == 1:
        return (3 * np.int64(samples[i, j]) + np.int64(samples[i + 2 * p - 1, j]) + 1 + p) >> 2
    this, next_to = np.int64(samples[i, j]), np.int64(samples[i, j + 2 * r - 1])
    if sy == 1:
        return (3 * this + next_to + 1 + r) >> 2
    this = 3 * this + np.int64(samples[i + 2 * p - 1, j])
    next_to = 3 * next_to + np.int64(samples[i + 2 * p - 1, j + 2 * r - 1])
    return (3 * this + next_to + 8 - r) >> 4


@part
def misfit(samples, i, j, sy, sx, levels, kinds, top, left, height, width):
    """By how much known pixels next to a sample differ from what is upsampled."""
    total = np.int64(0)
    y_first, y_last = (2 * i - 3, 2 * i) if sy == 2 else (i - 1, i - 1)
    x_first, x_last = (2 * j - 3, 2 * j) if sx == 2 else (j - 1, j - 1)
    for y in range(max(y_first, 0), min(y_last + 1, height)):
        for x in range(max(x_first, 0), min(x_last + 1, width)):
            if kinds[y + top, x + left] == 0:
                total += abs(chroma_at(samples, y, x, sy, sx) - levels[y + top, x + left])
    return total


def settle(samples, dirty, reach, sy, sx, levels, kinds, top, left, sweeps):
    """Moves dirty samples, of uint8 (h + 2, w + 2) with the ring, by up to `reach` for pixels to come right."""
    height, width = sy * (samples.shape[0] - 2), sx * (samples.shape[1] - 2)
    for _ in range(sweeps):
        moved = False
        for i in range(samples.shape[0]):
            for j in range(samples.shape[1]):
                if not dirty[i, j]:
                    continue
                best = misfit(samples, i, j, sy, sx, levels, kinds, top, left, height, width)
                if best == 0:
                    continue
                was = np.int64(samples[i, j])
                level = was
                for by in range(1, reach + 1):
                    for value in (was - by, was + by):
                        if value < 0 or value > 255:
                            continue
                        samples[i, j] = value
                        total = misfit(samples, i, j, sy, sx, levels, kinds, top, left, height, width)
                        if total < best:
                            best, level = total, value
                samples[i, j] = level
                moved |= level != was
        if not moved:
            break


def misfits(samples, sy, sx, levels, kinds, top, left, counts):
    """How many known pixels of each MCU are not what is upsampled of samples with a ring."""
    for y in range(sy * (samples.shape[0] - 2)):
        for x in range(sx * (samples.shape[1] - 2)):
            if kinds[y + top, x + left] == 0:
                wrong = chroma_at(samples, y, x, sy, sx) != levels[y + top, x + left]
                counts[y // (8 * sy), x // (8 * sx)] += wrong


def off_triangle(levels, kinds, phase, counts):
    """How many of four pixels in a row, two of each of two samples, were not made of three by 3/4 and 1/4.

    counts (2,): those, and of how many.
    """
    for y in range(levels.shape[0]):
        for x in range(2 - phase, levels.shape[1] - 2, 2):
            if kinds[y, x - 1] | kinds[y, x] | kinds[y, x + 1] | kinds[y, x + 2]:
                continue
            a, b = np.int64(levels[y, x - 1]), np.int64(levels[y, x])
            c, d = np.int64(levels[y, x + 1]), np.int64(levels[y, x + 2])
            counts[0] += abs(3 * (b - c) - (a - d)) > 4
            counts[1] += 1


def halve(full, phase, even, odd, inverse, ratio, halved):
    """Samples (h, m + 2) from which pixels (h, w) of rows were upsampled, with one outside at both ends: the least
    squares. Pixel x belongs to sample (x + phase) // 2 + 1; `even` and `odd` are added to them.

    `inverse`, `ratio`: of the elimination, 2^20 times (`finding._elimination`).
    """
    count = halved.shape[1]
    d = np.empty(count, np.int64)
    for y in range(full.shape[0]):
        d[:] = 0
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


settle = compiled(settle)
misfits = compiled(misfits)
off_triangle = compiled(off_triangle)
halve = compiled(halve)
split = compiled(split)
project = compiled(project)
wrong_pixels = compiled(wrong_pixels)
small_frequencies = compiled(small_frequencies)
frequencies = compiled(frequencies)
step_gains = compiled(step_gains)
fit = compiled(fit)

"""The plane coder on a GPU: a plane of a tile as one program of a Triton kernel (FORMAT.md 9); see `triton_tiles`.

A program codes all wavefronts of its plane in turn. What the program's threads give to one another goes through memory:
after a barrier all of them see it. Float32 operations are rounded one by one, so kernels are compiled without fusion;
divisions are `div_rn`, since `/` is not rounded correctly on GPUs. All else is integers. No loop is pipelined, because
loads must stay behind the stores before them.

Names of dimensions, all powers of two: PX pixels of a wavefront, VP predictors and the blend, NP regressors and the
answer, WP outputs of inner layers, KP components. Rows that fill them up are masked, or multiplied by weights of 0.
"""

import triton
import triton.language as tl

from ..rans.triton_kernels import pop_row, push_row
from . import tables

MU, MY = tl.constexpr(tables.MARGIN_U), tl.constexpr(tables.MARGIN_Y)
LEAST, CLIP, WEIGHT_CLIP = tl.constexpr(tables.LEAST_SCALE), tl.constexpr(tables.CLIP), tl.constexpr(tables.WEIGHT_CLIP)
GRADIENT, HEAD_LIMIT = tl.constexpr(tables.GRADIENT), tl.constexpr(tables.HEAD_LIMIT)
HEAD_KEEP, HEAD_PRIOR = tl.constexpr(tables.HEAD_KEEP), tl.constexpr(tables.HEAD_PRIOR)
CONTEXTS, CONTEXT_FIRST = tl.constexpr(tables.CONTEXTS), tl.constexpr(tables.CONTEXT_FIRST)
CONTEXT_INPUT = tl.constexpr(tables.CONTEXT_INPUT)
LIGHTS, SCALES = tl.constexpr(tables.WEIGHTS), tl.constexpr(tables.LOGISTIC_SCALES)
NEAR, FAR, AROUND = (tl.constexpr(len(each)) for each in (tables.NEAR, tables.FAR, tables.AROUND))
UNIT = tl.constexpr(1 / 384)
INPUTS = tl.constexpr(32)
"""Inputs of a layer that are computed at a time, and rows of inputs that are made of predictions. Products of int8
have 32 factors at least.
"""
REGRESSORS = tl.constexpr(8)
"""Regressors that are computed at a time."""
WRONG = tl.constexpr(4)
"""Trouble: a sample beyond the largest was decoded."""
_NUMBERS = [
    "h", "w", "rows", "pitch", "blocks", "lanes", "columns", "digits", "samples", "begin", "planes",
]  # fmt: skip
"""Not constants of the compiled code: they differ from chunk to chunk."""


@triton.jit
def _row(rows, which, k):
    """Row k of rows (number, ...), as it is: a sum of one term."""
    return tl.sum(tl.where(which == k, rows, tl.zeros_like(rows)), 0)


@triton.jit
def _clamped(values, low, high):
    return tl.minimum(tl.maximum(values, low), high)


@triton.jit
def _floor(x):
    """Integers, of numbers whose integers have 31 bits. Triton's own takes subnormal numbers for 0 on some devices."""
    whole = x.to(tl.int32)
    return whole - (whole.to(tl.float32) > x).to(tl.int32)


@triton.jit
def _log8(s):
    """8 times the binary logarithm of s >= 1, evenly spaced in each octave, rounded down."""
    return (s.to(tl.float32).to(tl.int32, bitcast=True) >> 20) - 1016


@triton.jit
def _scale(q):
    """SCALE[q], the float32 whose exponent and first three bits of the fraction are q."""
    return ((q + 1016) << 20).to(tl.float32, bitcast=True)


@triton.jit
def _squash(values, factor):
    """Integers times a factor, as inputs of the network."""
    x = values.to(tl.float32) * factor
    a = tl.abs(x)
    a = tl.minimum(tl.minimum(a, a * 0.25 + 24.0), 127.0)
    return tl.where(x < 0, -a, a).to(tl.int32)


@triton.jit
def _relative(log, q, times):
    """A logarithm relative to q, as an input of the network."""
    return _clamped(times * (log - q), -127, 127)


@triton.jit
def _bits(s, half):
    """Number of low bits of a sample in bucket s."""
    i = tl.where(s >= half, s - half, half - 1 - s)
    return tl.maximum((i >> 3) - 1, 0)


@triton.jit
def _edge(s, half):
    """The lower edge of bucket s, from the centre."""
    i = tl.abs(s - half)
    b = tl.maximum((i >> 3) - 1, 0)
    e = (i - 8 * b) << b
    return tl.where(s < half, -e, e)


@triton.jit
def _class(v):
    """The class of a distance v >= 0."""
    b = tl.maximum((v.to(tl.float32).to(tl.int32, bitcast=True) >> 23) - 130, 0)
    return 8 * b + (v >> b)


@triton.jit
def _bucket(d, half):
    """The bucket of a sample at distance d from the centre."""
    i = _class(tl.where(d >= 0, d, -d - 1))
    return tl.where(d >= 0, half + i, half - 1 - i)


@triton.jit
def _regressors(field, cell, here, j, n, offsets, base0, base1, base2, base3, R: tl.constexpr):
    """Regressors j, int32 (number, PX), of the pixels of cells (PX,).

    offsets : where n neighbours are from a pixel, then whose base is theirs: 0 the plane's, then those of references.
    """
    at = tl.load(offsets + j, j < n, other=0)[:, None]
    of = tl.load(offsets + n + j, j < n, other=0)[:, None]
    base = tl.where(of == 0, base0[None, :], 0)
    if R > 0:
        base = tl.where(of == 1, base1[None, :], base)
    if R > 1:
        base = tl.where(of == 2, base2[None, :], base)
    if R > 2:
        base = tl.where(of == 3, base3[None, :], base)
    return 2 * tl.load(field + at + cell[None, :], (j < n)[:, None] & here[None, :], other=0) - base


@triton.jit
def _base(field, cell, here, pitch):
    """West and north of each pixel, added."""
    return tl.load(field + cell - pitch, here, other=0) + tl.load(field + cell - 2 * pitch - 1, here, other=0)


@triton.jit
def _seen(field, cell, here, k, inputs, count, unit0, unit1, unit2, unit3, base0, base1, base2, base3,
          R: tl.constexpr):  # fmt: skip
    """Inputs k of the network, int8 (number, PX), that lie in fields. inputs : see `triton_tiles._offsets`."""
    at, times = tl.load(inputs + k)[:, None], tl.load(inputs + count + k)[:, None]
    of, by = tl.load(inputs + 2 * count + k)[:, None], tl.load(inputs + 3 * count + k)[:, None]
    base, unit = tl.where(of == 0, base0[None, :], 0), tl.where(by == 0, unit0[None, :], 0.0)
    if R > 0:
        base, unit = tl.where(of == 1, base1[None, :], base), tl.where(by == 1, unit1[None, :], unit)
    if R > 1:
        base, unit = tl.where(of == 2, base2[None, :], base), tl.where(by == 2, unit2[None, :], unit)
    if R > 2:
        base, unit = tl.where(of == 3, base3[None, :], base), tl.where(by == 3, unit3[None, :], unit)
    value = tl.load(field + at + cell[None, :], (times > 0) & here[None, :], other=0)
    return _squash(times * value - base, tl.where(times == 2, unit * 16.0, unit)).to(tl.int8)


@triton.jit
def _parts(y, KP: tl.constexpr, PX: tl.constexpr):
    """Means, scales and logits, (KP, PX) each, of outputs (4 KP, PX)."""
    y = tl.permute(tl.reshape(y, (2, 2, KP, PX)), (2, 3, 0, 1))
    even, odd = tl.split(y)
    mean, logit = tl.split(even)
    scale, _ = tl.split(odd)
    return mean, scale, logit


@triton.jit
def _whole(mean, scale, logit, KP: tl.constexpr, PX: tl.constexpr):
    """Inverse of `_parts`."""
    joined = tl.join(tl.join(mean, logit), tl.join(scale, tl.zeros_like(scale)))
    return tl.reshape(tl.permute(joined, (2, 3, 0, 1)), (4 * KP, PX))


@triton.jit
def _layer(x, w, at, biases, shifts, WP: tl.constexpr):
    """Layer `at` of the inner ones, of activations int8 (WP, PX)."""
    o, k = tl.arange(0, WP), tl.arange(0, WP)
    sums = tl.dot(tl.load(w + (at * WP + o[:, None]) * WP + k[None, :]), x, out_dtype=tl.int32)
    return (sums + tl.load(biases + at * WP + o)[:, None]) >> tl.load(shifts + at * WP + o)[:, None]


@triton.jit
def _steps(x, mean, slope):
    """Where in SIGMOID, from its middle, the numbers x (PX,) are, of components (KP, PX)."""
    t = (32 * x[None, :] - 16 - mean).to(tl.float32) * slope
    return _floor(_clamped(t, -4096.0, 4095.0))


@triton.jit
def _sigmoid(sigmoids, t):
    return tl.load(sigmoids + t + 4096).to(tl.int32) & 0xFFFF


@triton.jit
def _gradients(a, b, ta, tb, weight, slope, scale, there):
    """Of means, scales and logits, int32 (KP, PX) each. a, b : the sigmoids at ta and tb, the ends of the samples'
    buckets. there : which numbers are; the others are 0.
    """
    da, db = a * (65536 - a) >> 16, b * (65536 - b) >> 16
    weights = tl.sum(weight, 0)
    total = tl.sum(weight * (b - a), 0) + 4 * weights
    share = tl.div_rn(tl.full(total.shape, 256.0, tl.float32), weights.to(tl.float32))
    unit = tl.div_rn(tl.full(total.shape, 256.0, tl.float32), total.to(tl.float32))
    w = weight.to(tl.float32)
    o = w * unit[None, :]
    by = tl.minimum(scale[None, :] * slope * UNIT, 16.0)
    limit: tl.constexpr = GRADIENT * 1.0
    mean = _clamped(o * (db - da).to(tl.float32) * by, -limit, limit).to(tl.int32)
    spread = _clamped(o * (db * tb - da * ta).to(tl.float32) * UNIT, -limit, limit).to(tl.int32)
    logit = _clamped(w * share[None, :] - o * (b - a).to(tl.float32), -limit, limit).to(tl.int32)
    return tl.where(there, mean, 0), tl.where(there, spread, 0), tl.where(there, logit, 0)


@triton.jit
def _products(gradients, x):
    """Sums over the pixels of gradients int32 (4 KP, PX) times inputs int8 (number, PX), in halves of eight bits."""
    high, low = (gradients >> 4).to(tl.int8), (gradients & 15).to(tl.int8)
    return tl.dot(high, tl.trans(x), out_dtype=tl.int32) * 16 + tl.dot(low, tl.trans(x), out_dtype=tl.int32)


@triton.jit
def _step(head, products, outputs, inputs, count, rates):
    """Weights (4 KP, number) of the last layer a step on. outputs, inputs, count : moments."""
    size = outputs[:, None] * tl.div_rn(inputs, tl.zeros_like(inputs) + count)[None, :] + HEAD_PRIOR
    moved = head - tl.div_rn(products.to(tl.float32) * rates[:, None], size)
    return _clamped(moved, -1.0 * HEAD_LIMIT, 1.0 * HEAD_LIMIT)


@triton.jit
def _learn(window, sums, b, u0, h, w, blocks, n, rules, factors, V: tl.constexpr, NP: tl.constexpr):
    """Add the products of block b of the wavefronts from u0 on to the statistics of all predictors (FORMAT.md 9.3)."""
    j, i = tl.arange(0, NP), tl.arange(0, 64)
    u, y = i >> 3, 8 * b + (i & 7)
    x = u0 + u - 2 * y
    there = (j <= n)[:, None] & ((x >= 0) & (x < w) & (y < h))[None, :]
    r = tl.load(window + ((u[None, :] * NP + j[:, None]) * 8 * blocks + y[None, :]), there, other=0).to(tl.int32)
    high, low = (r >> 6).to(tl.int8), (r & 63).to(tl.int8)
    to_high, to_low = tl.trans(high), tl.trans(low)
    mixed = tl.dot(high, to_low, out_dtype=tl.int32) + tl.dot(low, to_high, out_dtype=tl.int32)
    products = (tl.dot(high, to_high, out_dtype=tl.int32) << 12) + (mixed << 6)
    products = (products + tl.dot(low, to_low, out_dtype=tl.int32)).to(tl.float32)
    cells = j[:, None] * NP + j[None, :]
    for v in range(V):
        own = sums + (v * blocks + b) * NP * NP + cells
        tl.store(own, tl.load(own) * tl.load(factors + v) + products)


@triton.jit
def _solve(sums, weights, v, first, last, m, reach, blocks, n, factors, pulls,
           V: tl.constexpr, NP: tl.constexpr, GROUP: tl.constexpr):  # fmt: skip
    """Weights of predictor v in blocks first .. last - 1, GROUP at most: elimination, column by column (FORMAT.md 9.3).

    Only the upper triangles have a meaning. Column m is the answer.
    """
    g, i, k = tl.arange(0, GROUP)[:, None, None], tl.arange(0, NP)[None, :, None], tl.arange(0, NP)[None, None, :]
    flat = tl.arange(0, NP)[None, :]
    ridge = tl.load(factors + V + v)
    from_column = tl.where(k == m, n, k)
    C = tl.zeros((GROUP, NP, NP), tl.float32)
    for step in range(2 * reach + 1):
        d = step - reach
        b = first + g + d
        there = (g < last - first) & (b >= 0) & (b < blocks) & (i < m) & (k <= m)
        power = tl.load(factors + 2 * V + 9 * v + tl.abs(d))
        C += power * tl.load(sums + (v * blocks + b) * NP * NP + i * NP + from_column, there, other=0.0)
    C = tl.where((i == k) & (i < m), C + ridge, C)
    C = tl.where((k == m) & (i < m), C + tl.load(pulls + v * NP + i), C)
    for j in range(m - 1):
        row = tl.sum(tl.where(i == j, C, 0.0), 1)
        pivot = tl.sum(tl.where(flat == j, row, 0.0), 1)
        inverse = tl.div_rn(tl.full(pivot.shape, 1.0, tl.float32), tl.where(pivot < ridge, ridge, pivot))
        factor = -(row * inverse[:, None])
        C = tl.where(i > j, C + factor[:, :, None] * row[:, None, :], C)
    answer, pivots = tl.sum(tl.where(k == m, C, 0.0), 2), tl.sum(tl.where(i == k, C, 0.0), 2)
    pivots = tl.where(pivots < ridge, ridge, pivots)
    solution = tl.zeros((GROUP, NP), tl.float32)
    for back in range(m):
        j = m - 1 - back
        column = tl.sum(tl.where(k == j, C, 0.0), 2)
        value = tl.div_rn(answer, pivots)
        value = tl.sum(tl.where(flat == j, value, 0.0), 1)[:, None]
        answer = tl.where(flat < j, answer - column * value, answer)
        solution = tl.where(flat == j, value, solution)
    # floor(x + 1/2) without rounding; what is not a number becomes the lowest weight
    limit: tl.constexpr = WEIGHT_CLIP * 1.0
    x = solution * 16384.0
    x = tl.where(x > -limit, x, -limit)
    x = tl.where(x < limit, x, limit)
    whole = _floor(x)
    whole += (x - whole.to(tl.float32) >= 0.5).to(tl.int32)
    b = first + tl.arange(0, GROUP)[:, None]
    tl.store(weights + (v * n + flat) * blocks + b, whole, (flat < m) & (b < last))


@triton.jit
def _pad(field, u, h, w, rows, pitch, fields, FP: tl.constexpr):
    """Repeat the border pixels of wavefront u in the cells outside, of so many skewed planes."""
    f, k, r = tl.arange(0, FP)[:, None], tl.arange(0, 16)[None, :], u + MU
    left = (k < 4) & (u % 2 == 0) & (u // 2 < h)
    x = u - w + 1
    right = (k >= 4) & (k < 8) & (x >= 0) & (x % 2 == 0) & (x // 2 < h)
    above = (k >= 8) & (k < 11) & (u < w + 4)
    y = tl.where(left, u // 2, tl.where(right, x // 2, 0))
    row = tl.where(left, r + 1 - k, tl.where(right, r + k - 3, r))
    column = tl.where(left, y + 1, tl.where(right, y, 7 - k))
    there, field = (left | right | above) & (f < fields), field + f * rows * pitch
    value = tl.load(field + r * pitch + MY + y, there, other=0)
    tl.store(field + row * pitch + MY + column, value, there)


@triton.jit
def _cums(s, i, here, mixed, sigmoids, centre, rate, half, m, K: tl.constexpr, KP: tl.constexpr, PX: tl.constexpr):
    """The mass below buckets s (pixels, number) of pixels i."""
    x = centre[:, None] + _edge(s, half)
    mass = tl.zeros_like(s)
    for k in tl.static_range(K):
        weight = tl.load(mixed + k * PX + i, here, other=0)
        mean = tl.load(mixed + (KP + k) * PX + i, here, other=0)
        slope = tl.load(mixed + (2 * KP + k) * PX + i, here, other=0).to(tl.float32, bitcast=True)
        t = (32 * x - 16 - mean[:, None]).to(tl.float32) * slope[:, None]
        mass += weight[:, None] * _sigmoid(sigmoids, _floor(_clamped(t, -4096.0, 4095.0)))
    inner = s + ((rate[:, None] * mass.to(tl.int64)) >> 44).to(tl.int32)
    return tl.where(x <= 0, 0, tl.where(x > m, 65536, inner))


@triton.jit
def _pop(head, size, tail, count, half, m, digits, mixed, sigmoids, lanes,
         K: tl.constexpr, KP: tl.constexpr, PX: tl.constexpr, LB: tl.constexpr):  # fmt: skip
    """Pop the samples of a wavefront, whose mixtures are in `mixed`: rows behind those get the buckets and the numbers
    of both parts of low bits. Heads and size after.
    """
    lane, found = tl.arange(0, LB), mixed + (3 * KP + 2) * PX
    for row in range((count + lanes - 1) // lanes):
        i = row * lanes + lane
        here = (lane < lanes) & (i < count)
        centre = tl.load(mixed + 3 * KP * PX + i, here, other=0)
        rate = tl.load(mixed + (3 * KP + 1) * PX + i, here, other=0).to(tl.uint32, bitcast=True).to(tl.int64)
        r = (head & 0xFFFF).to(tl.int32)
        # The symbol's digits of four bits, highest first, always with start = cum(symbol) <= r < end.
        symbol = tl.zeros_like(r)
        start, end = symbol, symbol + 65536
        for digit in range(digits):
            shift = 4 * (digits - 1 - digit)
            higher = symbol[:, None] + ((tl.arange(0, 16) + 1) << shift)[None, :]
            cum = _cums(
                tl.minimum(higher, 2 * half), i, here, mixed, sigmoids, centre, rate, half, m, K, KP, PX
            )  # fmt: skip
            reached = cum <= r[:, None]
            symbol += tl.sum(reached.to(tl.int32), 1) << shift
            start = tl.maximum(start, tl.max(tl.where(reached, cum, 0), 1))
            end = tl.minimum(end, tl.min(tl.where(reached, 65536, cum), 1))
        tl.store(found + i, symbol, here)
        head, size = pop_row(head, size, tail, here, start, end - start)
    tl.debug_barrier()
    every = tl.arange(0, PX)
    most = tl.max(_bits(tl.load(found + every, every < count, other=half), half), 0)
    for part in range(2):
        low = 16 - 16 * part
        if ((m >> low) >= 16) & (most > low):
            for row in range((count + lanes - 1) // lanes):
                i = row * lanes + lane
                here = (lane < lanes) & (i < count)
                bits = _clamped(_bits(tl.load(found + i, here, other=half), half) - low, 0, 16)
                r = (head & 0xFFFF).to(tl.int32) >> (16 - bits)
                tl.store(found + (1 + part) * PX + i, r, here)
                one = tl.full((LB,), 1, tl.int32)
                head, size = pop_row(head, size, tail, here, r << (16 - bits), one << (16 - bits))
    tl.debug_barrier()
    return head, size


@triton.jit
def _popped(mixed, i, here, half, m, KP: tl.constexpr, PX: tl.constexpr):
    """The samples that `_pop` found, less their centres."""
    found = mixed + (3 * KP + 2) * PX + i
    s = tl.load(found, here, other=half)
    bits = _bits(s, half)
    high = tl.load(found + PX, here & (bits > 16) & ((m >> 16) >= 16), other=0)
    low = tl.load(found + 2 * PX, here & (bits > 0) & (m >= 16), other=0)
    return _edge(s, half) + (high << 16) + low


@triton.jit(do_not_specialize=_NUMBERS)
def plane_kernel(
    field, known, sums, weights, window, local, mixed, state, heads, tail, sizes, trouble, noted, lows, largest,
    offsets, inputs, rules, factors, pulls, layers, biases, shifts, entry, skips, head_biases, rates, lights, sigmoids,
    slopes, inverses, h, w, rows, pitch, blocks, lanes, columns, digits, samples, begin,
    DECODE: tl.constexpr, R: tl.constexpr, V: tl.constexpr, N: tl.constexpr, G: tl.constexpr, K: tl.constexpr,
    LAYERS: tl.constexpr, PX: tl.constexpr, VP: tl.constexpr, FP: tl.constexpr, NP: tl.constexpr, WP: tl.constexpr,
    KP: tl.constexpr, LB: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """Code a plane of each tile, with R references. See `triton_tiles` for the arguments."""
    tile = tl.program_id(0).to(tl.int64)
    area = rows * pitch
    field += tile * (2 + V + 2 * R) * area
    known += tile * area
    sums += tile * V * blocks * NP * NP
    weights += tile * V * N * blocks
    window += tile * 64 * NP * blocks
    local += tile * INPUTS * PX
    mixed += tile * (3 * KP + 5) * PX
    state += tile * ((4 * KP + 1) * (WP + INPUTS) + 4 * KP + 1)
    tail += tile * columns
    noted += tile * samples
    lows += tile * samples
    m = tl.load(largest + tile)
    top, half = 32 * m, _class(m) + 1
    level = tl.div_rn(tl.full((PX,), 127.5, tl.float32), tl.zeros((PX,), tl.float32) + m.to(tl.float32))

    i, lane = tl.arange(0, PX), tl.arange(0, LB)
    vv, kk = tl.arange(0, VP)[:, None], tl.arange(0, KP)[:, None]
    o, p, c = tl.arange(0, 4 * KP), tl.arange(0, WP), tl.arange(0, INPUTS)
    head = tl.zeros((LB,), tl.uint32) + 65536
    size = tl.zeros((), tl.int64)
    if DECODE:
        head = tl.load(heads + tile * lanes + lane, lane < lanes, other=65536).to(tl.uint32)
        size = tl.load(sizes + tile)
    # The last layer: its weights for the network and for the classes of local scales, and its moments.
    own_at, class_at = o[:, None] * WP + p[None, :], 4 * KP * WP + o[:, None] * INPUTS + c[None, :]
    moments = state + 4 * KP * (WP + INPUTS)
    own, of_class = tl.load(state + own_at), tl.load(state + class_at)
    outputs, given, classes = tl.load(moments + o), tl.load(moments + 4 * KP + p), tl.load(moments + 4 * KP + WP + c)
    number = tl.load(moments + 4 * KP + WP + INPUTS)
    wrong, done = tl.zeros((), tl.int32), tl.zeros((), tl.int32) + begin

    for u in range(w + 2 * (h - 1)):
        y0, y1 = tl.maximum((u - w + 2) >> 1, 0), tl.minimum(u >> 1, h - 1)
        if (u % 8 == 0) & (u > 0):
            first, last = tl.maximum((u - 6 - w) >> 1, 0) // 8, tl.minimum((u - 1) >> 1, h - 1) // 8 + 1
            for b in range(first, last):
                _learn(window, sums, b, u - 8, h, w, blocks, N, rules, factors, V, NP)
            tl.debug_barrier()
            for v in range(V):
                period = tl.load(rules + V + v)
                if (u // 8) % period == 0:
                    last = tl.minimum((u + 8 * period - 1) >> 1, h - 1) // 8 + 1
                    m_v, reach = tl.load(rules + v), tl.load(rules + 2 * V + v)
                    for b in range(y0 // 8, last, GROUP):
                        _solve(sums, weights, v, b, last, m_v, reach, blocks, N, factors, pulls, V, NP, GROUP)
            tl.debug_barrier()
        count = y1 - y0 + 1
        if count > 0:  # not so in tiles one pixel wide
            here, y = i < count, y0 + i
            cell = (u + MU) * pitch + MY + y
            base0 = _base(field, cell, here, pitch)
            base1, base2, base3 = base0, base0, base0
            if R > 0:
                base1 = _base(field + (2 + V) * area, cell, here, pitch)
            if R > 1:
                base2 = _base(field + (3 + V) * area, cell, here, pitch)
            if R > 2:
                base3 = _base(field + (4 + V) * area, cell, here, pitch)

            # Predictions, their blend, the local scale (FORMAT.md 9.3, 9.4).
            totals = tl.zeros((VP, PX), tl.int64)
            for first in range(0, N, REGRESSORS):
                j = first + tl.arange(0, REGRESSORS)
                z = _regressors(field, cell, here, j, N, offsets, base0, base1, base2, base3, R)
                at = (vv[:, :, None] * N + j[None, :, None]) * blocks + (y >> 3)[None, None, :]
                there = (vv < V)[:, :, None] & (j < N)[None, :, None] & here[None, None, :]
                weight = tl.load(weights + at, there, other=0)
                totals += tl.sum(weight.to(tl.int64) * z[None, :, :].to(tl.int64), 1)
            totals = ((totals + 512) >> 10) + 16 * base0[None, :].to(tl.int64)
            zero = tl.zeros((VP, PX), tl.int64)
            pred = tl.minimum(tl.maximum(totals, zero), zero + top).to(tl.int32)
            sizes_near = tl.zeros((VP, PX), tl.int32) + 8 * LEAST
            for k in tl.static_range(NEAR):
                offset = tl.load(offsets + 2 * N + vv * NEAR + k, vv <= V, other=0)
                error = tl.load(field + offset + cell[None, :], (vv <= V) & here[None, :], other=0)
                sizes_near += tl.abs(error) * (2 if k < 2 else 1)
            f = sizes_near.to(tl.float32)
            g = tl.div_rn(tl.full((VP, PX), 1.0, tl.float32), f * f)
            pred0 = _row(pred, vv, 0)
            terms = g * (pred - pred0[None, :]).to(tl.float32)
            num, den = tl.zeros((PX,), tl.float32), tl.zeros((PX,), tl.float32)
            for v in tl.static_range(V):
                num += _row(terms, vv, v)
                den += _row(g, vv, v)
            blend = _clamped(_floor(tl.div_rn(num, den) + 0.5) + pred0, 0, top)
            q = _log8(_row(sizes_near, vv, V) >> 3)

            # Inputs that are made of predictions, and logarithms.
            unit = tl.load(inverses + q) * 16.0
            rows_of = local + vv * PX + i[None, :]
            tl.store(rows_of, _squash(pred - blend[None, :], unit[None, :]).to(tl.int8), vv < V)
            logs = _relative(_log8(sizes_near >> 3), q[None, :], 4)
            tl.store(rows_of + (V + 3) * PX, logs.to(tl.int8), vv < V)
            tl.store(local + V * PX + i, _squash(blend - 16 * base0, unit).to(tl.int8))
            tl.store(local + (V + 1) * PX + i, _squash(blend, unit).to(tl.int8))
            tl.store(local + (V + 2) * PX + i, _squash(top - blend, unit).to(tl.int8))
            k = tl.arange(0, FAR)
            offset = tl.load(offsets + 2 * N + NEAR * (V + 1) + k)[:, None]
            error = tl.load(field + offset + cell[None, :], here[None, :], other=0)
            far = _log8((tl.sum(tl.abs(error), 0) + 8 * LEAST) >> 3)
            tl.store(local + (2 * V + 3) * PX + i, _relative(far, q, 4).to(tl.int8))
            near = tl.load(rules + 3 * V + tl.arange(0, 4))
            nearest = _regressors(field, cell, here, near, N, offsets, base0, base1, base2, base3, R)
            texture = _log8(4 + 4 * tl.sum(tl.abs(nearest), 0))
            tl.store(local + (2 * V + 4) * PX + i, _relative(texture, q, 2).to(tl.int8))
            tl.store(local + (2 * V + 5) * PX + i, _relative(q, 48, 2).to(tl.int8))
            tl.store(local + (2 * V + 6) * PX + i, ((base0.to(tl.float32) * level).to(tl.int32) - 128).to(tl.int8))
            unit1, unit2, unit3 = unit, unit, unit
            for s in tl.static_range(R):
                k = tl.arange(0, 8)
                offset = tl.load(offsets + 2 * N + NEAR * (V + 1) + FAR + AROUND * s + k, k < AROUND, other=0)[:, None]
                error = tl.load(field + offset + cell[None, :], (k < AROUND)[:, None] & here[None, :], other=0)
                total = tl.sum(tl.abs(error), 0).to(tl.int64)
                log = _log8(((13 * total) >> 6).to(tl.int32) + LEAST)
                tl.store(local + (2 * V + 7 + s) * PX + i, _relative(log, q, 2).to(tl.int8))
                if s == 0:
                    unit1 = tl.load(inverses + log) * 16.0
                if s == 1:
                    unit2 = tl.load(inverses + log) * 16.0
                if s == 2:
                    unit3 = tl.load(inverses + log) * 16.0

            # The network (FORMAT.md 9.4), first for inputs that lie in fields.
            known_state, skip = tl.zeros((WP, PX), tl.int32), tl.zeros((4 * KP, PX), tl.int32)
            for first in range(0, G, INPUTS):
                seen = first + c
                x = _seen(
                    field, cell, here, seen, inputs, G, unit, unit1, unit2, unit3, base0, base1, base2, base3, R
                )  # fmt: skip
                weight_in = tl.load(entry + p[:, None] * (G + INPUTS) + seen[None, :])
                known_state = tl.dot(weight_in, x, known_state, out_dtype=tl.int32)
                weight_in = tl.load(skips + o[:, None] * (G + INPUTS) + seen[None, :])
                skip = tl.dot(weight_in, x, skip, out_dtype=tl.int32)
            tl.debug_barrier()
            x = tl.load(local + c[:, None] * PX + i[None, :])
            known_state = tl.dot(tl.load(entry + p[:, None] * (G + INPUTS) + G + c[None, :]), x, known_state,
                                 out_dtype=tl.int32)  # fmt: skip
            skip = tl.dot(tl.load(skips + o[:, None] * (G + INPUTS) + G + c[None, :]), x, skip, out_dtype=tl.int32)
            known_state = (known_state + tl.load(biases + p)[:, None]) >> tl.load(shifts + p)[:, None]
            known_state = _clamped(known_state, -127, 127)
            for layer in range(LAYERS):
                inner = _layer(tl.maximum(known_state, 0).to(tl.int8), layers, 2 * layer, biases + WP, shifts + WP, WP)
                inner = _clamped(inner, 0, 127).to(tl.int8)
                inner = _layer(inner, layers, 2 * layer + 1, biases + WP, shifts + WP, WP)
                known_state = _clamped(known_state + inner, -127, 127)
            activations = tl.where(here[None, :], tl.maximum(known_state, 0), 0)
            context = _clamped((q - CONTEXT_FIRST) >> 2, 0, CONTEXTS - 1)
            chosen = tl.where((c[:, None] == context[None, :]) & here[None, :], CONTEXT_INPUT, 0)
            small, small_chosen = activations.to(tl.int8), chosen.to(tl.int8)
            out = tl.dot(_floor(own + 0.5).to(tl.int8), small, out_dtype=tl.int32)
            out = tl.dot(_floor(of_class + 0.5).to(tl.int8), small_chosen, out, out_dtype=tl.int32)
            out = (out + tl.load(head_biases + o)[:, None]) >> tl.load(head_biases + 4 * KP + o)[:, None]
            skip = (skip + tl.load(head_biases + 8 * KP + o)[:, None]) >> tl.load(head_biases + 12 * KP + o)[:, None]

            # The mixtures (FORMAT.md 9.5).
            off, spread, logit = _parts(out + skip, KP, PX)
            largest_logit = tl.max(tl.where(kk < K, logit, -(1 << 30)), 0)
            below = tl.minimum(largest_logit[None, :] - logit, LIGHTS - 1)
            weight = tl.load(lights + below, (kk < K) & (below >= 0), other=0)
            rate = ((65536 - 2 * half).to(tl.int64) << 28) // tl.sum(weight, 0).to(tl.int64)
            index = _clamped(2 * q[None, :] + spread, 0, SCALES - 1)
            slope, scale = tl.load(slopes + index), _scale(q)
            shift = _clamped(off, -8192, 8192).to(tl.float32) * scale[None, :] * 0.015625
            mean = blend[None, :] + _clamped(shift, -4194304.0, 4194304.0).to(tl.int32)
            score = tl.where(kk < K, logit - index, -(1 << 30))
            best = tl.min(tl.where(score == tl.max(score, 0)[None, :], kk, KP), 0)
            centre = tl.sum(tl.where(kk == best[None, :], mean, 0), 0)
            centre = _clamped((centre + 16) >> 5, 0, m)

            # The samples.
            values = tl.zeros((PX,), tl.int32)
            if DECODE:
                at = kk * PX + i[None, :]
                tl.store(mixed + at, weight)
                tl.store(mixed + KP * PX + at, mean)
                tl.store(mixed + 2 * KP * PX + at, slope.to(tl.int32, bitcast=True))
                tl.store(mixed + 3 * KP * PX + i, centre)
                tl.store(mixed + (3 * KP + 1) * PX + i, rate.to(tl.uint32).to(tl.int32, bitcast=True))
                tl.debug_barrier()
                head, size = _pop(
                    head, size, tail, count, half, m, digits, mixed, sigmoids, lanes, K, KP, PX, LB
                )  # fmt: skip
                values = centre + _popped(mixed, i, here, half, m, KP, PX)
                wrong += tl.max((here & ((values < 0) | (values > m))).to(tl.int32), 0)
                values = _clamped(values, 0, m)
            else:
                values = tl.load(known + cell, here, other=0)
            s = _bucket(values - centre, half)
            below, above = centre + _edge(s, half), centre + _edge(s + 1, half)
            ta, tb = _steps(below, mean, slope), _steps(above, mean, slope)
            a, b = _sigmoid(sigmoids, ta), _sigmoid(sigmoids, tb)
            if not DECODE:
                start = s + ((rate * tl.sum(weight * a, 0).to(tl.int64)) >> 44).to(tl.int32)
                end = s + 1 + ((rate * tl.sum(weight * b, 0).to(tl.int64)) >> 44).to(tl.int32)
                start, end = tl.where(below <= 0, 0, start), tl.where(above > m, 65536, end)
                tl.store(noted + done + i, start | ((end - start - 1) << 16), here)
                tl.store(lows + done + i, _bits(s, half) | ((values - below) << 5), here)
            a, b = tl.where((below <= 0)[None, :], 0, a), tl.where((above > m)[None, :], 65536, b)

            # A step of the last layer (FORMAT.md 9.6).
            there = (kk < K) & here[None, :]
            mean, spread, logit = _gradients(a, b, ta, tb, weight, slope, scale, there)
            gradients = _whole(mean, spread, logit, KP, PX)
            number = number * HEAD_KEEP + count.to(tl.float32)
            outputs = outputs * HEAD_KEEP + tl.sum(gradients * gradients, 1).to(tl.float32)
            given = given * HEAD_KEEP + tl.sum(activations * activations, 1).to(tl.float32)
            classes = classes * HEAD_KEEP + tl.sum(chosen * chosen, 1).to(tl.float32)
            rate_of = tl.load(rates + o)
            own = _step(own, _products(gradients, small), outputs, given, number, rate_of)
            of_class = _step(of_class, _products(gradients, small_chosen), outputs, classes, number, rate_of)

            # What later wavefronts need.
            tl.store(field + cell, values, here)
            error = 32 * values[None, :] - tl.where(vv == V, blend[None, :], pred)
            tl.store(field + (1 + vv) * area + cell[None, :], error, (vv <= V) & here[None, :])
            factor = (tl.load(inverses + ((3 * q) >> 2)) * 256.0)[None, :]
            limit: tl.constexpr = CLIP * 1.0
            to = window + (u % 8) * NP * 8 * blocks
            for first in range(0, N + 1, REGRESSORS):
                j = first + tl.arange(0, REGRESSORS)
                z = _regressors(field, cell, here, j, N, offsets, base0, base1, base2, base3, R)
                z = tl.where((j == N)[:, None], (2 * values - base0)[None, :], z)
                r = _clamped(z.to(tl.float32) * factor, -limit, limit).to(tl.int16)
                tl.store(to + j[:, None] * 8 * blocks + y[None, :], r, (j <= N)[:, None] & here[None, :])
            done += count
        tl.debug_barrier()
        _pad(field, u, h, w, rows, pitch, V + 2, FP)
        tl.debug_barrier()

    tl.store(state + own_at, own)
    tl.store(state + class_at, of_class)
    tl.store(moments + o, outputs)
    tl.store(moments + 4 * KP + p, given)
    tl.store(moments + 4 * KP + WP + c, classes)
    tl.store(moments + 4 * KP + WP + INPUTS, number)
    if DECODE:
        tl.store(heads + tile * lanes + lane, head.to(tl.int64), lane < lanes)
        tl.store(sizes + tile, size)
        tl.store(trouble + tile, tl.load(trouble + tile) | tl.where(wrong > 0, WRONG, 0))


@triton.jit(do_not_specialize=_NUMBERS)
def push_kernel(
    heads, tail, sizes, noted, lows, largest, h, w, lanes, columns, samples, planes, LB: tl.constexpr
):  # fmt: skip
    """Push what `plane_kernel` noted, in reverse order."""
    tile, lane = tl.program_id(0).to(tl.int64), tl.arange(0, LB)
    heads += tile * lanes + lane
    tail += tile * columns
    noted += tile * samples
    lows += tile * samples
    m = tl.load(largest + tile)
    head = tl.load(heads, lane < lanes, other=65536).to(tl.uint32)
    size = tl.load(sizes + tile)
    done = samples
    for _plane in range(planes):
        for back in range(w + 2 * (h - 1)):
            u = w + 2 * (h - 1) - 1 - back
            count = tl.maximum(tl.minimum(u >> 1, h - 1) - tl.maximum((u - w + 2) >> 1, 0) + 1, 0)
            done -= count
            rows = (count + lanes - 1) // lanes
            for low in range(0, 32, 16):
                for before in range(tl.where((m >> low) >= 16, rows, 0)):
                    i = (rows - 1 - before) * lanes + lane
                    here = (lane < lanes) & (i < count)
                    note = tl.load(lows + done + i, here, other=0)
                    bits = _clamped((note & 31) - low, 0, 16)
                    if tl.max(bits, 0) > 0:
                        one = tl.full((LB,), 1, tl.int32)
                        number = ((note >> 5) >> low) & ((one << bits) - 1)
                        start, freq = number << (16 - bits), one << (16 - bits)
                        head, size = push_row(head, size, tail, here, start.to(tl.uint32), freq.to(tl.uint32))
            for before in range(rows):
                i = (rows - 1 - before) * lanes + lane
                here = (lane < lanes) & (i < count)
                note = tl.load(noted + done + i, here, other=0).to(tl.uint32, bitcast=True)
                head, size = push_row(head, size, tail, here, note & 0xFFFF, (note >> 16) + 1)
    tl.store(heads, head.to(tl.int64), lane < lanes)
    tl.store(sizes + tile, size)

"""Push and pop of FORMAT.md section 2 as Triton kernels, one program for each message; see `triton_backend`.

Arguments of both: heads int64 (B, L), tail int32 (B, columns) with sizes int64 (B,) words in use, symbols int32 (B, n),
the fields a, b, c and the constants of a block (`distribution.Native`), n, L, the number of columns, the alphabet, the
functions LOAD and CUM of `distribution.TritonFunctions`, K, and BLOCK, a power of two not below L.
"""

import triton
import triton.language as tl

_NUMBERS = ["n", "lanes", "columns", "alphabet"]
"""Not compiled in: they differ from block to block."""


@triton.jit(do_not_specialize=_NUMBERS)
def push_kernel(
    heads, tail, sizes, symbols, a, b, c, constants, n, lanes, columns, alphabet,
    LOAD: tl.constexpr, CUM: tl.constexpr, K: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Push n symbols to each message."""
    message, lane = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
    heads += message * lanes + lane
    tail += message * columns
    head = tl.load(heads, lane < lanes, other=65536).to(tl.uint32)
    size = tl.load(sizes + message)
    rows = (n + lanes - 1) // lanes
    for done in range(rows):
        i = (rows - 1 - done) * lanes + lane
        here = (lane < lanes) & (i < n)
        at = message * n + i
        x, y, z = LOAD(at, here, a, b, c, constants, alphabet, K)
        symbol = tl.load(symbols + at, here, other=0)
        start = CUM(symbol, x, y, z, constants, alphabet, K).to(tl.uint32)
        freq = CUM(symbol + 1, x, y, z, constants, alphabet, K).to(tl.uint32) - start
        # head >= freq * 2^16, without 2^32
        full = here & ((head >> 16) >= freq)
        given = full.to(tl.int32)
        before = tl.sum(given, 0) - tl.cumsum(given, 0)  # words given off by lanes after this one
        tl.store(tail + size + before, (head & 0xFFFF).to(tl.int32), full)
        size += tl.sum(given, 0)
        rest = tl.where(full, head >> 16, head)
        quotient = rest // freq
        head = tl.where(here, (quotient << 16) + (rest - quotient * freq) + start, head)
    tl.store(heads, head.to(tl.int64), lane < lanes)
    tl.store(sizes + message, size)


@triton.jit(do_not_specialize=_NUMBERS)
def pop_kernel(
    heads, tail, sizes, symbols, a, b, c, constants, n, lanes, columns, alphabet,
    LOAD: tl.constexpr, CUM: tl.constexpr, K: tl.constexpr, BLOCK: tl.constexpr, DIGITS: tl.constexpr,
):  # fmt: skip
    """Pop n symbols of each message; of one that has too few words the size becomes negative."""
    message, lane = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
    heads += message * lanes + lane
    tail += message * columns
    head = tl.load(heads, lane < lanes, other=65536).to(tl.uint32)
    size = tl.load(sizes + message)
    rows = (n + lanes - 1) // lanes
    for row in range(rows):
        i = row * lanes + lane
        here = (lane < lanes) & (i < n)
        at = message * n + i
        x, y, z = LOAD(at, here, a, b, c, constants, alphabet, K)
        r = (head & 0xFFFF).to(tl.int32)
        # The symbol's binary digits, highest first, always with start = cum(symbol) <= r < end.
        symbol = tl.zeros_like(r)
        start, end = symbol, symbol + 65536
        for digit in range(DIGITS):
            higher = symbol + (1 << (DIGITS - 1 - digit))
            value = CUM(tl.minimum(higher, alphabet), x, y, z, constants, alphabet, K)
            reached = value <= r
            symbol = tl.where(reached, higher, symbol)
            start = tl.where(reached, value, start)
            end = tl.where(reached, end, value)
        tl.store(symbols + at, symbol, here)
        rest = (end - start).to(tl.uint32) * (head >> 16) + (r - start).to(tl.uint32)
        short = here & (rest < 65536)
        taken = short.to(tl.int32)
        place = size - tl.cumsum(taken, 0)  # this lane's word lies below those of the lanes before it
        word = tl.load(tail + place, short & (place >= 0), other=0).to(tl.uint32)
        size -= tl.sum(taken, 0)
        head = tl.where(here, tl.where(short, (rest << 16) + word, rest), head)
    tl.store(heads, head.to(tl.int64), lane < lanes)
    tl.store(sizes + message, size)

"""Push and pop of FORMAT.md section 2 as Triton kernels, one program for each message; see `triton_backend`.

Arguments of both: heads int64 (B, L), tail int32 (B, columns) with sizes int64 (B,) words in use, trouble int32 (B,),
symbols int32 (B, n), the fields a, b, c and the constants of a block (`distribution.Native`), n, L, the number of
columns, the alphabet, the functions LOAD and CUM of `distribution.TritonFunctions`, K, and BLOCK, a power of two not
below L. Errors are recorded in `trouble`, and no memory but the message's is accessed.
"""

import triton
import triton.language as tl

_NUMBERS = ["n", "lanes", "columns", "alphabet", "batch"]
"""Not constants of the compiled code: they differ from block to block."""
IMPOSSIBLE, EXHAUSTED = tl.constexpr(1), tl.constexpr(2)
"""Errors: a symbol of frequency 0 or outside the alphabet was pushed; there were too few words to pop."""


@triton.jit
def push_row(head, size, tail, here, start, freq):
    """Push a row of intervals, uint32 with freq >= 1, to the heads of the lanes that are `here`: heads and size after.

    tail : pointer to the words of the message.
    """
    # head >= freq * 2^16, without 2^32
    given = (here & ((head >> 16) >= freq)).to(tl.int32) + (here & ((head >> 24) >= freq)).to(tl.int32)
    first = size + tl.sum(given, 0) - tl.cumsum(given, 0)  # above the words of the lanes after this one
    tl.store(tail + first, (head & 255).to(tl.int32), given > 0)
    tl.store(tail + first + 1, ((head >> 8) & 255).to(tl.int32), given > 1)
    rest = head >> (8 * given).to(tl.uint32)
    quotient = rest // freq
    return tl.where(here, (quotient << 16) + (rest - quotient * freq) + start, head), size + tl.sum(given, 0)


@triton.jit
def pop_row(head, size, tail, here, start, freq):
    """Inverse of `push_row` for intervals, int32, with start <= head % 2^16 < start + freq. The size is negative if
    there were too few words; then the heads are of no use.
    """
    rest = freq.to(tl.uint32) * (head >> 16) + ((head & 0xFFFF).to(tl.int32) - start).to(tl.uint32)
    taken = (here & ((rest >> 24) == 0)).to(tl.int32) + (here & ((rest >> 16) == 0)).to(tl.int32)
    first = size - tl.cumsum(taken, 0)  # this lane's words lie below those of the lanes before it
    words = tl.load(tail + first, (taken > 0) & (first >= 0), other=0).to(tl.uint32)
    words += tl.load(tail + first + 1, (taken > 1) & (first >= 0), other=0).to(tl.uint32) << 8
    return tl.where(here, (rest << (8 * taken).to(tl.uint32)) + words, head), size - tl.sum(taken, 0)


@triton.jit(do_not_specialize=_NUMBERS)
def push_kernel(
    heads, tail, sizes, trouble, symbols, a, b, c, constants, n, lanes, columns, alphabet,
    LOAD: tl.constexpr, CUM: tl.constexpr, K: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Push n symbols to each message."""
    message, lane = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
    heads += message * lanes + lane
    tail += message * columns
    head = tl.load(heads, lane < lanes, other=65536).to(tl.uint32)
    size = tl.load(sizes + message)
    impossible = tl.zeros_like(lane)
    rows = (n + lanes - 1) // lanes
    for done in range(rows):
        i = (rows - 1 - done) * lanes + lane
        here = (lane < lanes) & (i < n)
        at = message * n + i
        x, y, z = LOAD(at, here, a, b, c, constants, alphabet, K)
        given_symbol = tl.load(symbols + at, here, other=0)
        symbol = tl.minimum(tl.maximum(given_symbol, 0), alphabet - 1)
        start = CUM(symbol, x, y, z, constants, alphabet, K).to(tl.uint32)
        freq = CUM(symbol + 1, x, y, z, constants, alphabet, K).to(tl.uint32) - start
        impossible += (here & ((freq == 0) | (symbol != given_symbol))).to(tl.int32)
        freq = tl.maximum(freq, 1)
        head, size = push_row(head, size, tail, here, start, freq)
    tl.store(heads, head.to(tl.int64), lane < lanes)
    tl.store(sizes + message, size)
    tl.store(trouble + message, tl.load(trouble + message) | tl.where(tl.sum(impossible, 0) > 0, IMPOSSIBLE, 0))


@triton.jit(do_not_specialize=_NUMBERS)
def pop_kernel(
    heads, tail, sizes, trouble, symbols, a, b, c, constants, n, lanes, columns, alphabet,
    LOAD: tl.constexpr, CUM: tl.constexpr, K: tl.constexpr, BLOCK: tl.constexpr, DIGITS: tl.constexpr,
):  # fmt: skip
    """Pop n symbols of each message."""
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
        head, size = pop_row(head, size, tail, here, start, end - start)
    tl.store(heads, head.to(tl.int64), lane < lanes)
    tl.store(sizes + message, tl.maximum(size, 0))
    tl.store(trouble + message, tl.load(trouble + message) | tl.where(size < 0, EXHAUSTED, 0))


@triton.jit(do_not_specialize=_NUMBERS)
def costs_kernel(
    symbols, a, b, c, constants, log, out, n, batch, alphabet,
    LOAD: tl.constexpr, CUM: tl.constexpr, K: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Sums of log[freq] over the n symbols of each row: out int64 (V B,), fields (V B, n, K) and symbols (B, n)."""
    row, lane = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
    total = tl.zeros_like(lane).to(tl.int64)
    for first in range(0, n, BLOCK):
        i = first + lane
        here = i < n
        x, y, z = LOAD(row * n + i, here, a, b, c, constants, alphabet, K)
        symbol = tl.load(symbols + row % batch * n + i, here, other=0)
        symbol = tl.minimum(tl.maximum(symbol, 0), alphabet - 1)
        freq = CUM(symbol + 1, x, y, z, constants, alphabet, K) - CUM(symbol, x, y, z, constants, alphabet, K)
        total += tl.load(log + freq, here, other=0)
    tl.store(out + row, tl.sum(total, 0))

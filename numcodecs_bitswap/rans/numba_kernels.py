"""The loops of `numba_backend`, compiled for each distribution's functions and cached on disk: push, pop, costs."""

import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba.extending import register_jitable

from ..runtime.jit import compiled, scratch
from .distribution import Functions
from .numba_rows import ROW, idle_lanes, push_run
from .words import LEAST_HEAD

CHUNK = 256
"""Symbols whose intervals are computed in one loop before they are pushed."""
ROUND = 64
"""Lanes whose symbols a pop finds in one loop."""
SMALL_ALPHABET = 256
"""Symbols that `pop_halving` takes eight steps for."""


def _inlined(functions: Functions) -> int:
    """Let functions be inlined in compiled code; returns a checksum of their code."""
    version = 0
    for function in filter(None, functions):
        register_jitable(forceinline=True, error_model="numpy")(function)
        code = function.__code__
        constants = [function.__globals__.get(name) for name in code.co_names]
        version = zlib.crc32(repr((code.co_code, code.co_consts, constants)).encode(), version)
    return version


@cache
def cost_kernel(functions: Functions, components: int, count: int) -> Callable[..., None]:
    """Compile `NumbaStack.costs` for `count` shifts; see `kernels`."""
    load, _, cum, _ = functions
    rescale: Any = functions.rescale
    version, places = _inlined(functions), 4 * components

    def costs(symbols, a, b, c, constants, shifts, limit, every, log, out):  # type: ignore[no-untyped-def]
        _ = version
        local, by, totals = scratch(places), scratch(count), scratch(count)
        for v in range(count):
            by[v] = shifts[v]
        for m in range(symbols.shape[0]):
            for v in range(count):
                totals[v] = 0
            for i in range(0, symbols.shape[1], every):
                load(m, i, local, a, b, c, constants, components)
                for v in range(count):  # a vector of them
                    for k in range(components):
                        rescale(local, k, min(max(c[m, i, k] + by[v], 0), limit), constants, components)
                    start = cum(symbols[m, i], local, constants, components)
                    totals[v] += log[np.uint64(cum(symbols[m, i] + 1, local, constants, components) - start)]
            for v in range(count):
                out[m, v] = totals[v]

    kernel: Callable[..., None] = compiled(costs)
    return kernel


@cache
def kernels(functions: Functions, components: int) -> tuple[Callable[..., None], ...]:
    """Compile push, pop and, of a SMALL_ALPHABET, pop for many lanes, with a distribution's functions inlined and
    loops over its components unrolled.

    The key of cached code is made of the sources, the kernel and its closure. Functions count there by name only, so a
    checksum of their code is in the closure too.
    """
    load, guess, cum = functions[:3]
    version, places = _inlined(functions), 4 * components

    def push(heads, tail, sizes, symbols, alphabet, a, b, c, constants, first, last):  # type: ignore[no-untyped-def]
        _ = version
        local, row = scratch(places), (scratch(ROW), scratch(ROW), scratch(ROW), scratch(ROW))
        starts, freqs = np.empty((2, CHUNK + ROW), np.int32)
        n, lanes = symbols.shape[1], heads.shape[1]
        states = idle_lanes(lanes)
        for m in range(first, last):
            words, size = tail[m], sizes[m]
            states[:lanes] = heads[m]
            for at in range((n - 1) // CHUNK * CHUNK, -1, -CHUNK):
                pushed = symbols[m, at : min(at + CHUNK, n)]
                smallest: Any = np.int64(1)
                for j in range(len(pushed)):
                    load(m, at + j, local, a, b, c, constants, components)
                    start = cum(np.int64(pushed[j]), local, constants, components)
                    freq = cum(np.int64(pushed[j]) + 1, local, constants, components) - start
                    starts[j], freqs[j] = start, freq
                    smallest = min(smallest, freq)
                if smallest < 1:
                    size = -1
                    break
                size = push_run(states, lanes, at, len(pushed), starts, freqs, row, words, size)
            heads[m], sizes[m] = states[:lanes], size

    @register_jitable(forceinline=True)
    def search(r: Any, s: Any, start: Any, end: Any, alphabet: int, local: Any, constants: Any) -> Any:
        """Exponential search from the guess until cum(s) <= r < cum(above), then bisection."""
        above, step = s + 1, 1
        while start > r:
            above, end = s, start
            s = max(s - step, 0)
            start, step = cum(s, local, constants, components), 2 * step
        while end <= r:
            s, start = above, end
            above = min(above + step, alphabet)
            end, step = cum(above, local, constants, components), 2 * step
        while above - s > 1:
            middle = (s + above) >> 1
            value = cum(middle, local, constants, components)
            if value <= r:
                s, start = middle, value
            else:
                above, end = middle, value
        return s, start, end

    @register_jitable(forceinline=True)
    def taken(head: Any, start: Any, end: Any, words: Any, size: Any) -> Any:
        """The head after a symbol and the size of the tail, which is negative if there are too few words."""
        head = (end - start) * (head >> 16) + (head & 0xFFFF) - start
        short = np.int64(head < LEAST_HEAD) + np.int64(head < LEAST_HEAD >> 8)
        size -= short
        # Without branches, which would be mispredicted half of the time. There are always two extra words.
        at = np.uint64(max(size, 0))
        word = np.int64(words[at]) + (np.int64(words[at + np.uint64(1)]) << 8)
        full = 8 * short
        return (head << full) + (word & ((1 << full) - 1)), size

    def pop(heads, tail, sizes, symbols, alphabet, a, b, c, constants, first, last):  # type: ignore[no-untyped-def]
        _ = version
        local = scratch(places)
        n, lanes = symbols.shape[1], heads.shape[1]
        for m in range(first, last):
            states, words, popped = heads[m], tail[m], symbols[m]
            size = sizes[m]
            lane = np.uint64(0)
            for i in range(n):
                load(m, i, local, a, b, c, constants, components)
                head = states[lane]
                r = head & 0xFFFF
                s = guess(r, local, constants, components)
                start, end = cum(s, local, constants, components), cum(s + 1, local, constants, components)
                popped[i], start, end = search(r, s, start, end, alphabet, local, constants)
                states[lane], size = taken(head, start, end, words, size)
                if size < 0:
                    break
                lane = lane + np.uint64(1) if lane + np.uint64(1) < lanes else np.uint64(0)
            sizes[m] = size

    @register_jitable(forceinline=True)
    def halved(bit: int, r: int, s: Any, start: Any, end: Any, local: Any, constants: Any) -> Any:
        value = cum(s + bit, local, constants, components)
        above = value <= r
        return s + bit if above else s, value if above else start, end if above else value

    def pop_halving(heads, tail, sizes, symbols, alphabet, a, b, c, constants, first, last):  # type: ignore[no-untyped-def]
        """The same for a SMALL_ALPHABET, by bisection for many lanes at once, which the compiler vectorises. Guesses
        fail too often with several components.
        """
        _ = version
        local, found, starts, ends = scratch(places), scratch(ROUND), scratch(ROUND), scratch(ROUND)
        n, lanes = symbols.shape[1], heads.shape[1]
        for m in range(first, last):
            states, words, popped = heads[m], tail[m], symbols[m]
            size = sizes[m]
            lane, i = 0, 0
            while i < n:
                count = min(min(lanes - lane, ROUND), n - i)
                for j in range(count):
                    load(m, i + j, local, a, b, c, constants, components)
                    r = states[np.uint64(lane + j)] & 0xFFFF
                    s, start, end = halved(128, r, 0, 0, 1 << 16, local, constants)
                    s, start, end = halved(64, r, s, start, end, local, constants)
                    s, start, end = halved(32, r, s, start, end, local, constants)
                    s, start, end = halved(16, r, s, start, end, local, constants)
                    s, start, end = halved(8, r, s, start, end, local, constants)
                    s, start, end = halved(4, r, s, start, end, local, constants)
                    s, start, end = halved(2, r, s, start, end, local, constants)
                    found[j], starts[j], ends[j] = halved(1, r, s, start, end, local, constants)
                for j in range(count):
                    head = states[np.uint64(lane + j)]
                    popped[np.uint64(i + j)] = found[j]
                    states[np.uint64(lane + j)], size = taken(head, starts[j], ends[j], words, size)
                    if size < 0:
                        break
                if size < 0:
                    break
                i += count
                lane = lane + count if lane + count < lanes else 0
            sizes[m] = size

    def pop_rounds(heads, tail, sizes, symbols, alphabet, a, b, c, constants, first, last):  # type: ignore[no-untyped-def]
        """The same with guesses for many lanes at once, which are independent of each other: for one component, where
        guesses are mostly right.
        """
        _ = version
        local, guesses, starts, ends = scratch(places), scratch(ROUND), scratch(ROUND), scratch(ROUND)
        n, lanes = symbols.shape[1], heads.shape[1]
        for m in range(first, last):
            states, words, popped = heads[m], tail[m], symbols[m]
            size = sizes[m]
            lane, i = 0, 0
            while i < n:
                count = min(min(lanes - lane, ROUND), n - i)
                for j in range(count):
                    load(m, i + j, local, a, b, c, constants, components)
                    s = guess(states[np.uint64(lane + j)] & 0xFFFF, local, constants, components)
                    guesses[j] = s
                    starts[j], ends[j] = cum(s, local, constants, components), cum(s + 1, local, constants, components)
                for j in range(count):
                    s, start, end = guesses[j], starts[j], ends[j]
                    head = states[np.uint64(lane + j)]
                    r = head & 0xFFFF
                    if start > r or end <= r:
                        load(m, i + j, local, a, b, c, constants, components)
                        s, start, end = search(r, s, start, end, alphabet, local, constants)
                    popped[np.uint64(i + j)] = s
                    states[np.uint64(lane + j)], size = taken(head, start, end, words, size)
                    if size < 0:
                        break
                if size < 0:
                    break
                i += count
                lane = lane + count if lane + count < lanes else 0
            sizes[m] = size

    return compiled(push), compiled(pop_rounds if components < 2 else pop), compiled(pop_halving)

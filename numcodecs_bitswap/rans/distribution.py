"""The interface between distributions and the backends of messages (FORMAT.md 2.2). Imports `arrays` only.

All forms below compute the same monotone non-decreasing integer function cum with cum(0) = 0 and cum(alphabet) = 2^16.
A symbol with cum(s) = cum(s + 1) does not occur: it is never popped and cannot be pushed. The vectorised form works on
arrays of numpy and torch. The native form is plain Python functions of integers and arrays, for a just-in-time
compiler. The Triton form has functions of many lanes, on the fields and constants of the native form.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from ..arrays import Array


class Functions(NamedTuple):
    """Functions that a compiler can inline: integer arithmetic on their arguments, and no globals but integer
    constants.

    `local` is an int64 array of 4 K numbers. K is a constant at compilation.
    """

    load: Callable[..., None]
    """load(b, i, local, *fields, constants, K): put the parameters of symbol i of message b into `local`."""
    guess: Callable[..., int]
    """guess(r, local, constants, K): a symbol, at best the one with cum(s) <= r < cum(s + 1)."""
    cum: Callable[..., int]
    """cum(s, local, constants, K) for 0 <= s <= alphabet."""
    rescale: Callable[..., None] | None = None
    """rescale(local, k, index, constants, K): as `load`, with another scale index for component k. None where scales
    are never shifted.
    """


class TritonFunctions(NamedTuple):
    """Functions compiled by Triton that work on many lanes at once: s and `at` are tensors with one axis."""

    load: Any
    """load(at, here, *fields, constants, alphabet, K): the parameters of symbols at = n b + i, three tensors or tuples
    of tensors.

    Lanes outside the mask `here` have no symbol: nothing is read for them, and their parameters may be any.
    """
    cum: Any
    """cum(s, *loaded, constants, alphabet, K): int32, for 0 <= s <= alphabet."""


class Native(NamedTuple):
    """The native form of one block: functions, and contiguous int32 arrays for them, on the block's device."""

    functions: Functions
    fields: tuple[Array, Array, Array]
    """Parameters, (B, n, K) each; K may be 0. Always three: compiled code handles a tuple of arrays slowly."""
    constants: Array
    """Numbers that all symbols share, one axis."""
    shifts: Array | None = None
    """For plain bits, contiguous int32 (B, n): r belongs to symbol r >> shift; with a shift of 16 there are no bits."""


class Loops(NamedTuple):
    """Compiled loops on a CPU that push and pop a block of values, each of which is more than one symbol.

    Both take the heads, tails and sizes of messages (see `numba_backend`), the parameters, the values, the first
    message and the one after the last. A size below 0 reports an error.
    """

    push: Callable[..., None]
    pop: Callable[..., None]
    parameters: tuple[Any, ...]
    most: int
    """Largest number of symbols that a push codes for a value."""


class Distribution(Protocol):
    """The distributions of a block: n symbols for each of `batch` messages (FORMAT.md section 2)."""

    @property
    def batch(self) -> int:
        """Number of messages, B."""

    @property
    def n(self) -> int:
        """Number of symbols of each message."""

    @property
    def alphabet(self) -> int:
        """Symbols are 0 .. alphabet - 1."""

    @property
    def components(self) -> int:
        """K, the number of parameters of each kind for a symbol; 0 if all symbols have the same distribution."""

    def prepare(self, first: int, last: int) -> tuple[Array, ...]:
        """What `cum` needs for the symbols first .. last - 1: arrays of shape (B, last - first, ...)."""

    def cum(self, prepared: tuple[Array, ...], symbols: Array) -> Array:
        """cum(symbols), int64 of the same shape, 0 <= symbols <= alphabet.

        `symbols` is (B, k), the arrays of `prepared` (B, k, ...); or (B, k, j), and they are (B, k, 1, ...).
        """

    def native(self) -> Native:
        """The native form."""


class Values(Distribution, Protocol):
    """The distributions of a block of values, each of which is more than one symbol."""

    def loops(self) -> Loops:
        """Compiled loops that code the whole block; for numpy arrays only."""

    def push(self, message: Any, values: Array) -> None:
        """Push values, int32 (B, n), on a `Message`, symbol by symbol."""

    def pop(self, message: Any) -> Array:
        """Pop values, int32 (B, n), symbol by symbol."""


class Shiftable(Distribution, Protocol):
    """Distributions whose third native field is an index that may be shifted as a whole: a scale."""

    scale_limit: int
    """Shifted indices are clamped to 0 .. this."""

    def shifted(self, shift: int | Array) -> Distribution:
        """The block with other scale indices; an array (B, 1) shifts each message's by its own."""

    def thinned(self, every: int) -> "Shiftable":
        """The block with only symbols number 0, every, 2 every, ..."""

"""What a distribution hands to the backends. Imports `arrays` only.

All forms below compute the same integer function cum with cum(0) = 0 and cum(alphabet) = 2^16, nowhere decreasing. A
symbol with cum(s) = cum(s + 1) does not occur: it is never popped and cannot be pushed. The vectorised form works on
arrays of numpy and of torch; the native form is plain Python functions of integers and arrays, for a just-in-time
compiler; the Triton form has functions of many lanes, on the fields and constants of the native form.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from ..arrays import Array


class Functions(NamedTuple):
    """Functions a compiler can inline: integer arithmetic on their arguments, no global but integer constants.

    `local` is an int64 array of 4 K numbers. K is a constant when they are compiled.
    """

    load: Callable[..., None]
    """load(b, i, local, *fields, constants, K): put all that symbol i of message b needs into `local`."""
    guess: Callable[..., int]
    """guess(r, local, constants, K): a symbol, at best the one with cum(s) <= r < cum(s + 1)."""
    cum: Callable[..., int]
    """cum(s, local, constants, K) for 0 <= s <= alphabet."""
    rescale: Callable[..., None] | None = None
    """rescale(local, k, index, constants, K): what `load` does if component k has another scale index. None, where the
    scales are never shifted.
    """


class TritonFunctions(NamedTuple):
    """Functions compiled by Triton that work on many lanes at once: s and `at` are tensors with one axis."""

    load: Any
    """load(at, here, *fields, constants, alphabet, K): what symbols at = n b + i need, three tensors or tuples of them.

    Lanes outside the mask `here` have no symbol: nothing is read for them, and the parameters of any will do.
    """
    cum: Any
    """cum(s, *loaded, constants, alphabet, K): int32, for 0 <= s <= alphabet."""


class Native(NamedTuple):
    """The native form of one block: functions, and contiguous int32 arrays for them, on the block's device."""

    functions: Functions
    fields: tuple[Array, Array, Array]
    """Parameters, (B, n, K) each; K may be 0. Always three: compiled code handles a tuple of arrays slowly."""
    constants: Array
    """What is the same for all symbols, one axis."""
    shifts: Array | None = None
    """Of plain bits, contiguous int32 (B, n): r belongs to symbol r >> shift; a shift of 16 is none at all."""


class Loops(NamedTuple):
    """Compiled loops on a CPU that push and pop a block of values, each of which is more than one symbol.

    Both are called with the heads, tails and sizes of messages (see `numba_backend`), the parameters, the values,
    the first message and the one behind the last. A size below 0 is trouble.
    """

    push: Callable[..., None]
    pop: Callable[..., None]
    parameters: tuple[Any, ...]
    most: int
    """Symbols that a push codes for each value at the most."""


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
        """K: parameters of a kind that each symbol has; 0 if all symbols have the same distribution."""

    def prepare(self, first: int, last: int) -> tuple[Array, ...]:
        """All that `cum` needs for the symbols first .. last - 1: arrays of shape (B, last - first, ...)."""

    def cum(self, prepared: tuple[Array, ...], symbols: Array) -> Array:
        """cum(symbols), int64 like them, 0 <= symbols <= alphabet.

        `symbols` is (B, k), the arrays of `prepared` (B, k, ...); or (B, k, j), and they are (B, k, 1, ...).
        """

    def native(self) -> Native:
        """The native form."""


class Values(Distribution, Protocol):
    """The distributions of a block of values, each of which is more than one symbol."""

    def loops(self) -> Loops:
        """Compiled loops that code the block whole; of numpy arrays only."""

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
        """The block of symbols number 0, every, 2 every, ..."""

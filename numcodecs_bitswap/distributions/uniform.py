"""The uniform distribution (FORMAT.md section 3.3)."""

from dataclasses import dataclass
from typing import Any

from ..arrays import Array, Arrays
from ..arrays.on_numpy import NUMPY
from ..rans.distribution import Functions, Native


@dataclass(frozen=True)
class Uniform:
    """The same uniform distribution for every symbol of a block.

    Attributes
    ----------
    batch, n : int
        Shape of the block.
    alphabet : int
        1 .. 2^16; cum(s) = (s * 2^16) // alphabet.
    of : Arrays
        The operations of the library and device of the symbols.
    """

    batch: int
    n: int
    alphabet: int
    of: Arrays = NUMPY

    components = 0

    def __post_init__(self) -> None:
        if not 1 <= self.alphabet <= 1 << 16:
            raise ValueError(f"an alphabet of {self.alphabet} symbols does not fit 16 bits")

    def prepare(self, first: int, last: int) -> tuple[Array, ...]:
        """See `Distribution.prepare`: nothing."""
        return ()

    def cum(self, prepared: tuple[Array, ...], symbols: Array) -> Array:
        """See `Distribution.cum`."""
        return (symbols << 16) // self.alphabet

    def native(self) -> Native:
        """See `Distribution.native`."""
        none = self.of.empty((self.batch, self.n, 0), "int32")
        constants = self.of.full((1,), self.alphabet, "int32")
        return Native(Functions(_load, _guess, _cum), (none, none, none), constants)


def _load(b: int, i: int, local: Any, first: Any, second: Any, third: Any, constants: Any, components: int) -> None:
    pass


def _guess(r: int, local: Any, constants: Any, components: int) -> Any:
    return (r * constants[0]) >> 16


def _cum(s: int, local: Any, constants: Any, components: int) -> Any:
    return (s << 16) // constants[0]

"""What a library of arrays offers (`Arrays`): a protocol."""

from collections.abc import Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

Shape = Sequence[int]


class Arrays(Protocol):
    """Operations of one library on one device. Dtypes are names: "int8", "int16", "int32", "int64", "uint8"."""

    asks: bool
    """Whether values may be looked at in between: to ask a GPU is to wait for it."""

    def zeros(self, shape: Shape, dtype: str) -> Any:
        """Zeros."""

    def empty(self, shape: Shape, dtype: str) -> Any:
        """Room for numbers."""

    def full(self, shape: Shape, value: int, dtype: str) -> Any:
        """The same number everywhere."""

    def range(self, first: int, last: int) -> Any:
        """first, ..., last - 1, int64."""

    def put(self, array: NDArray[Any]) -> Any:
        """A numpy array, on the device."""

    def constant(self, table: NDArray[Any]) -> Any:
        """The same of an array that is kept forever and never changed: put there once."""

    def numpy(self, array: Any) -> NDArray[Any]:
        """The inverse of `put`."""

    def cast(self, array: Any, dtype: str) -> Any:
        """The numbers in a dtype; the array itself if it has that."""

    def packed(self, array: Any, dtype: str) -> Any:
        """The numbers in a dtype, in one piece and in C order; the array itself if it is so."""

    def copy(self, array: Any) -> Any:
        """An array of its own, in C order."""

    def size(self, array: Any) -> int:
        """How many numbers there are."""

    def broadcast(self, array: Any, shape: Shape) -> Any:
        """The array as one of a larger shape, to be read only."""

    def permute(self, array: Any, axes: Sequence[int]) -> Any:
        """The array with its axes in another order."""

    def clip(self, array: Any, low: int | None, high: int | None) -> Any:
        """Bounded numbers."""

    def minimum(self, a: Any, b: Any) -> Any:
        """The smaller of each two."""

    def maximum(self, a: Any, b: Any) -> Any:
        """The larger of each two."""

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        """a where the condition is true, else b; arrays or numbers."""

    def take(self, table: Any, index: Any) -> Any:
        """Entries of a table of one axis."""

    def place(self, values: Any, thresholds: Any) -> Any:
        """int32: how many of the ascending thresholds are not above each value."""

    def gather(self, rows: Any, index: Any) -> Any:
        """Entries of rows, along the last axis: both have the same other axes."""

    def sums(self, array: Any) -> Any:
        """Running sums along the last axis, int64."""

    def largest(self, array: Any) -> Any:
        """The maximum along the last axis, which stays."""

    def smallest(self, array: Any) -> Any:
        """The minimum along the last axis, which stays."""

    def total(self, array: Any) -> Any:
        """The sum along the last axis, which stays; int64."""

    def concatenate(self, arrays: Sequence[Any], axis: int) -> Any:
        """Arrays one behind the other."""

    def stack(self, arrays: Sequence[Any], axis: int) -> Any:
        """Arrays along a new axis."""

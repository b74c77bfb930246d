"""What a library of arrays offers (`Arrays`): a protocol."""

from collections.abc import Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

Shape = Sequence[int]


class Arrays(Protocol):
    """Operations of one library on one device. Dtypes are names: "int8", "int16", "int32", "int64", "uint8"."""

    asks: bool
    """Whether values may be read at any time; on a GPU that would wait for it."""

    def zeros(self, shape: Shape, dtype: str) -> Any:
        """Zeros."""

    def empty(self, shape: Shape, dtype: str) -> Any:
        """An uninitialised array."""

    def full(self, shape: Shape, value: int, dtype: str) -> Any:
        """An array filled with one number."""

    def range(self, first: int, last: int) -> Any:
        """first, ..., last - 1, int64."""

    def put(self, array: NDArray[Any]) -> Any:
        """A numpy array, moved to the device."""

    def constant(self, table: NDArray[Any]) -> Any:
        """As `put`, for an array that is kept forever and never changed: it is moved once."""

    def numpy(self, array: Any) -> NDArray[Any]:
        """The inverse of `put`."""

    def cast(self, array: Any, dtype: str) -> Any:
        """The numbers in a dtype; the array itself if it has that dtype."""

    def packed(self, array: Any, dtype: str) -> Any:
        """The numbers in a dtype, contiguous in C order; the array itself if it is so."""

    def copy(self, array: Any) -> Any:
        """A copy in C order."""

    def size(self, array: Any) -> int:
        """Number of elements."""

    def broadcast(self, array: Any, shape: Shape) -> Any:
        """The array broadcast to a larger shape, read-only."""

    def permute(self, array: Any, axes: Sequence[int]) -> Any:
        """The array with its axes in another order."""

    def clip(self, array: Any, low: int | None, high: int | None) -> Any:
        """Numbers clamped to low .. high."""

    def minimum(self, a: Any, b: Any) -> Any:
        """The element-wise minimum."""

    def maximum(self, a: Any, b: Any) -> Any:
        """The element-wise maximum."""

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        """a where the condition is true, else b; arrays or numbers."""

    def take(self, table: Any, index: Any) -> Any:
        """Entries of a one-dimensional table."""

    def place(self, values: Any, thresholds: Any) -> Any:
        """int32: the number of ascending thresholds that are at most each value."""

    def gather(self, rows: Any, index: Any) -> Any:
        """Entries along the last axis; both arrays have the same other axes."""

    def sums(self, array: Any) -> Any:
        """Cumulative sums along the last axis, int64."""

    def largest(self, array: Any) -> Any:
        """The maximum along the last axis, which is kept."""

    def smallest(self, array: Any) -> Any:
        """The minimum along the last axis, which is kept."""

    def total(self, array: Any) -> Any:
        """The sum along the last axis, which is kept; int64."""

    def concatenate(self, arrays: Sequence[Any], axis: int) -> Any:
        """Arrays joined along an axis."""

    def stack(self, arrays: Sequence[Any], axis: int) -> Any:
        """Arrays joined along a new axis."""

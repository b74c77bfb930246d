"""The protocol of a backend for networks. The objects are in `backends`, which combines the other files here."""

from collections.abc import Callable, Sequence
from typing import Protocol

from ..arrays import Array, Arrays
from .layers import Layer
from .transforms import Elementwise


class Backend(Protocol):
    """The part of `backends.base.Backend` that networks use. Grids have channels last."""

    arrays: Arrays
    """The operations of the library and device that grids are on."""
    elementwise: type[Elementwise]
    """The functions of couplings."""

    def network(self, layers: Sequence[Layer], /) -> Callable[[Array], tuple[Array, Array]]:
        """A network (FORMAT.md section 4.2) of layers in, conv and out of each block, head, skip: see `Trunk`."""

    def correction(self, layers: Sequence[Layer], earlier: int, /) -> Callable[[Array, Array, Array], Array]:
        """A channel network (FORMAT.md section 4.4) of two layers, for a channel with `earlier` ones before it: see
        `ChannelNetwork`.
        """

    def inputs_a(self, c: Array, /) -> tuple[Array, Array]:
        """Input u of pass a (FORMAT.md section 5), int8 (N, h, w, aligned(17 c)), and the base of phase (1, 1)."""

    def inputs_b(self, c: Array, d: Array, /) -> tuple[Array, Array, Array]:
        """Input u of pass b, int8 (N, h, w, aligned(33 c)), and the bases of phases (0, 1) and (1, 0)."""

    def mixtures(
        self, y: Array, first: int, added: Array | None, base: Array, pixels: Array, ch: int, k: int, /
    ) -> tuple[Array, Array, Array]:
        """Logits, means and scales of channel `ch` of a phase (FORMAT.md section 4.3), int32 (N, h', w', k) each.

        y : int32 (N, h, w, outputs), the phase's are those from `first` on.
        added : int32 (N, h, w, columns), what a channel network adds to the channel's outputs, or None.
        base : int16 (N, h, w, c)
        pixels : int16 (N, h', w', c), known in the channels before `ch`; h' and w' may be smaller than h and w.
        """

"""Context stages (FORMAT.md section 5): a grid given its phase (0, 0), in two passes.

They need no initial bits. The encoder pushes the finest stage first, so when the core pops its latents, the bits of all
stages are on the message and fund them. (Compare "autoregressive initial bits", SHVC, Ryder et al. 2022.)
"""

from typing import Protocol

from .. import arrays
from ..arrays import Array
from ..rans.message import Message
from . import coder, scale_shifts
from .coder import PhaseParameters, Size, filled, join_phases, phase_sizes, pop_phases, push_phases, split_phases


class Stage(Protocol):
    """The networks of a stage. See nets.stage."""

    def pass_a(self, c: Array, /) -> PhaseParameters: ...
    def pass_b(self, c: Array, d: Array, /) -> tuple[PhaseParameters, PhaseParameters]: ...


def push(message: Message, stage: Stage, grid: Array, adapted: bool = True) -> Array:
    """Push phases (0, 1), (1, 0), then (1, 1) of a grid (N, h, w, c); returns phase (0, 0), not coded yet."""
    c, right, below, d = split_phases(grid)
    push_block = scale_shifts.push_block if adapted else coder.push_block
    push_phases(message, stage.pass_b(c, filled(d, c)), [right, below], push_block)
    push_phases(message, [stage.pass_a(c)], [d], push_block)
    return c


def pop(message: Message, stage: Stage, c: Array, size: Size, adapted: bool = True) -> Array:
    """Pop what `push` pushed and return the grid of height and width `size`."""
    pop_block = scale_shifts.pop_block if adapted else coder.pop_block
    zeros = arrays.of(c).zeros
    right, below, d = (zeros((len(c), *phase, c.shape[-1]), "int16") for phase in phase_sizes(size)[1:])
    pop_phases(message, [stage.pass_a(c)], [d], pop_block)
    pop_phases(message, stage.pass_b(c, filled(d, c)), [right, below], pop_block)
    return join_phases([c, right, below, d], size)

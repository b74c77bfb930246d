"""A context stage (FORMAT.md section 5): the coarser grid and the known phases -> parameters of the next phases."""

from ..arrays import Array
from .backend import Backend
from .layers import Tensors
from .parameters import PhaseParameters, phase_outputs
from .trunk import ChannelNetwork, Trunk


class Stage:
    """Networks `a` and `b` of one stage. Grids are int16 (N, h, w, c), one value per cell and channel.

    Raises
    ------
    ModelError
        The tensors do not fit.
    """

    def __init__(self, tensors: Tensors, name: str, channels: int, mixtures: int, blocks: int, backend: Backend):
        outputs = phase_outputs(channels, mixtures)
        self.mixtures, self._backend = mixtures, backend
        self.a = Trunk(tensors, f"{name}.a", 17 * channels, outputs, blocks, backend)
        self.b = Trunk(tensors, f"{name}.b", 33 * channels, 2 * outputs, blocks, backend)
        self.corrections = {
            phase: tuple(
                ChannelNetwork(tensors, f"{name}.phase{phase}.{ch}", trunk.first.n_out, ch, 3 * mixtures, backend)
                for ch in range(1, channels)
            )
            for phase, trunk in (("11", self.a), ("01", self.b), ("10", self.b))
        }

    def pass_a(self, c: Array) -> PhaseParameters:
        """Parameters of phase (1, 1) given C = phase (0, 0)."""
        u, base = self._backend.inputs_a(c)
        features, y = self.a(u)
        return PhaseParameters(self._backend, y, 0, base, self.mixtures, features, self.corrections["11"])

    def pass_b(self, c: Array, d: Array) -> tuple[PhaseParameters, PhaseParameters]:
        """Parameters of phases (0, 1) and (1, 0) given C and D = phase (1, 1), missing pixels of D filled from C."""
        u, base01, base10 = self._backend.inputs_b(c, d)
        features, y = self.b(u)
        second = self.b.n_out // 2
        return (
            PhaseParameters(self._backend, y, 0, base01, self.mixtures, features, self.corrections["01"]),
            PhaseParameters(self._backend, y, second, base10, self.mixtures, features, self.corrections["10"]),
        )

"""The CPU: numpy arrays and numba's compiled loops. No torch."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from ..arrays import Array
from ..arrays.on_numpy import NUMPY
from ..errors import DeviceError
from ..nets import numba_ops
from ..nets.layers import Layer
from ..nets.numba_networks import Chain, Network
from ..nets.numba_transforms import CompiledElementwise
from ..rans.numba_backend import NumbaStack
from ..runtime.jit import COMPILES
from .base import Backend


class CpuBackend(Backend):
    """See `Backend`.

    Raises
    ------
    DeviceError
        numba is told not to compile.
    """

    device, arrays, elementwise = "cpu", NUMPY, CompiledElementwise
    stack = staticmethod(NumbaStack.unflatten)
    inputs_a, inputs_b = staticmethod(numba_ops.inputs_a), staticmethod(numba_ops.inputs_b)
    mixtures = staticmethod(numba_ops.mixtures)

    def __init__(self) -> None:
        if not COMPILES:
            raise DeviceError("numba is told not to compile (NUMBA_DISABLE_JIT): unset that, or choose 'torch'")

    def running(self) -> AbstractContextManager[None]:
        return nullcontext()

    def network(self, layers: Sequence[Layer]) -> Callable[[Array], tuple[Array, Array]]:
        return Network(layers)

    def correction(self, layers: Sequence[Layer], earlier: int) -> Callable[[Array, Array, Array], Array]:
        chain = Chain(layers)

        def correct(features: Array, pixels: Array, base: Array) -> Array:
            rows = numba_ops.with_deviations(features, pixels, base, earlier)
            return chain(rows).reshape(*features.shape[:3], -1)

        return correct

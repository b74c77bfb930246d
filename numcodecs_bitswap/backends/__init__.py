"""Where models run: `for_device` gives the one object that a model, and through it every message, works with.

base.py says what a device must offer. cpu.py: numpy arrays and compiled loops, without torch. on_torch.py: torch on any
device, with Triton's kernels on CUDA. Imports what the folders `rans`, `symbols` and `nets` have for each; of these none
imports this one.
"""

from functools import cache

from ..errors import DeviceError
from .base import Backend


@cache
def for_device(device: str) -> Backend:
    """The backend of a device: "cpu", "cuda", or "torch", which is torch on the CPU.

    Raises
    ------
    DeviceError
        What it needs is not installed.
    """
    if device == "cpu":
        try:
            from .cpu import CpuBackend
        except ImportError as error:
            raise DeviceError(
                "models of this kind need numba on a CPU: pip install numba (or, some hundred times slower, "
                "pip install torch and choose the device 'torch')"
            ) from error
        return CpuBackend()
    try:
        from .on_torch import TorchBackend
    except ImportError as error:
        raise DeviceError(f"the device {device!r} needs torch: pip install 'numcodecs_bitswap[torch]'") from error
    return TorchBackend(device)

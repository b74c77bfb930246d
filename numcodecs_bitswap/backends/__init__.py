"""Devices: `for_device` returns the one object through which a model and its messages use a device.

base.py has the protocol. cpu.py: numpy arrays and compiled loops, without torch. on_torch.py: torch on any device, with
Triton kernels on CUDA. Backends combine what `rans`, `distributions` and `nets` have for a device, and are passed down
to them; these do not import this package.
"""

import os
from functools import cache
from importlib.util import find_spec

from ..errors import DeviceError
from ..runtime.forks import loading
from .base import Backend


@cache
def for_device(device: str) -> Backend:
    """The backend of a device.

    Parameters
    ----------
    device : "cpu", "cuda" or "torch"
        "torch" is torch on the CPU.

    Returns
    -------
    Backend

    Raises
    ------
    DeviceError
        numba or torch, which the device needs, is not installed.
    """
    if device == "cpu":
        try:
            with loading():
                from .cpu import CpuBackend
        except ImportError as error:
            raise DeviceError(
                "models of this kind need numba on a CPU: pip install numba (or, about a hundred times slower, "
                "pip install torch and choose the device 'torch')"
            ) from error
        return CpuBackend()
    try:
        with loading():
            from .on_torch import TorchBackend
    except ImportError as error:
        raise DeviceError(f"the device {device!r} needs torch: pip install 'numcodecs_bitswap[torch]'") from error
    return TorchBackend(device)


def check_jpeg() -> None:
    """Raise DeviceError unless the JPEG route can run: it needs numba."""
    if find_spec("numba") is None:
        raise DeviceError("images of uint8 need numba, for the search for JPEG coefficients: pip install numba")


def check_planes() -> None:
    """Raise DeviceError unless models of the plane coder can run: they need numba, or torch without numba."""
    if find_spec("numba") is None:
        if find_spec("torch") is None:
            raise DeviceError("models of this kind need numba: pip install numba (or, far slower, torch)")
    elif os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        raise DeviceError("numba is told not to compile (NUMBA_DISABLE_JIT): unset that")

"""Where models run: `for_device` gives the one object that a model, and through it every message, works with.

base.py says what a device must offer. cpu.py: numpy arrays and compiled loops, without torch. on_torch.py: torch on any
device, with Triton's kernels on CUDA. They are made of what `rans`, `distributions` and `nets` have for each, and are
handed down to these, which do not import this one.
"""

import os
from functools import cache
from importlib.util import find_spec

from ..errors import DeviceError
from ..runtime.forks import loading
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
            with loading():
                from .cpu import CpuBackend
        except ImportError as error:
            raise DeviceError(
                "models of this kind need numba on a CPU: pip install numba (or, some hundred times slower, "
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
    """Raise DeviceError unless what JPEG files held can be looked for and decoded."""
    if find_spec("numba") is None:
        raise DeviceError("images of uint8 need numba, which looks whether they were JPEG files: pip install numba")


def check_planes() -> None:
    """Raise DeviceError unless models of the plane coder, which choose for themselves, can run at all."""
    if find_spec("numba") is None:
        if find_spec("torch") is None:
            raise DeviceError("models of this kind need numba: pip install numba (or, far slower, torch)")
    elif os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        raise DeviceError("numba is told not to compile (NUMBA_DISABLE_JIT): unset that")

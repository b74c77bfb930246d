"""What the machine and the environment allow: threads, and sizes. Imports nothing of this package but the errors."""

import os
import re

from ..errors import DeviceError

_SIZE = re.compile(r"(\d+|\d*\.\d+|\d+\.?\d*[eE]\d{1,2})\s*(?:([kKMGT])(i?))?[bB]?")


def cores() -> int:
    """OMP_NUM_THREADS or NUMBA_NUM_THREADS, the smaller of them, if one is set; else the cores that this process may
    use.
    """
    settings = [os.environ.get(name, "") for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")]
    asked = [int(each) for each in settings if each.isdecimal() and int(each) > 0]
    if asked:
        return min(asked)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def size_setting(name: str, default: int) -> int:
    """A number of bytes in an environment variable: 8000000000, 8e9, 8GB or 8GiB.

    Raises
    ------
    DeviceError
        It is something else.
    """
    setting = os.environ.get(name, "").strip()
    if not setting:
        return default
    match = _SIZE.fullmatch(setting)
    if match is None:
        raise DeviceError(f"{name} is {setting!r}; it must be a number of bytes, such as 8000000000, 8GB or 8GiB")
    unit = (1024 if match[3] else 1000) ** (" kMGT".index(match[2].replace("K", "k")) if match[2] else 0)
    return int(match[1]) * unit if match[1].isdecimal() else int(float(match[1]) * unit)

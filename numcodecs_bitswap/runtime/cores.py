"""Limits set by the machine and the environment: threads and sizes in bytes. Imports only `errors`."""

import os
import re

from ..errors import DeviceError

_SIZE = re.compile(r"(\d+|\d*\.\d+|\d+\.?\d*[eE]\d{1,2})\s*(?:([kKMGT])(i?))?[bB]?")


def cores() -> int:
    """Number of threads to use: the smaller of OMP_NUM_THREADS and NUMBA_NUM_THREADS, if one is set; else the number of
    cores that this process may use.
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
        The variable is set to something else.
    """
    setting = os.environ.get(name, "").strip()
    if not setting:
        return default
    match = _SIZE.fullmatch(setting)
    if match is None:
        raise DeviceError(f"{name} is {setting!r}; it must be a number of bytes, such as 8000000000, 8GB or 8GiB")
    unit = (1024 if match[3] else 1000) ** (" kMGT".index(match[2].replace("K", "k")) if match[2] else 0)
    return int(match[1]) * unit if match[1].isdecimal() else int(float(match[1]) * unit)

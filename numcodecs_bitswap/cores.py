"""How many threads this package may use. Imports nothing of it."""

import os


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

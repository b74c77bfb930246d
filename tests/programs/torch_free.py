"""Decode golden frames and encode them again where torch cannot be imported; print their names.

`torch_free.py [without_numba] [name ...]`
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

names = sys.argv[1:]
sys.modules["torch"] = None  # type: ignore[assignment]  # so that to import it fails
if names[:1] == ["without_numba"]:
    sys.modules["numba"] = None  # type: ignore[assignment]
    del names[0]

import numpy as np  # noqa: E402

from golden_cases import CASES, GOLDEN  # noqa: E402
from numcodecs_bitswap import BitSwap  # noqa: E402

for name in names or CASES:
    frame, array, case = (GOLDEN / f"{name}.frame").read_bytes(), np.load(GOLDEN / f"{name}.npy"), CASES[name]
    decoded = BitSwap().decode(frame)
    assert (decoded.dtype, decoded.tobytes()) == (array.dtype, array.tobytes()), name
    if case.still_written:
        assert case.codec(**case.options).encode(array) == frame, name
    print(name)
assert sys.modules["torch"] is None

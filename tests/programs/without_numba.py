"""Decode golden frames of labels, and code them again, where neither numba nor torch can be imported; print their names
and what was warned of.
"""

import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.modules["numba"] = sys.modules["torch"] = None  # type: ignore[assignment]  # so that to import them fails

import numpy as np  # noqa: E402

from golden_cases import GOLDEN  # noqa: E402
from numcodecs_bitswap import BitSwap  # noqa: E402
from numcodecs_bitswap.chunk import frame, plane_route  # noqa: E402
from numcodecs_bitswap.chunk.patches import Axes  # noqa: E402

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for name in sys.argv[1:]:
        given, array = (GOLDEN / f"{name}.frame").read_bytes(), np.load(GOLDEN / f"{name}.npy")
        decoded = BitSwap().decode(given)
        assert (decoded.dtype, decoded.tobytes()) == (array.dtype, array.tobytes()), name
        assert plane_route.as_labels(array, Axes(1, 2, None)) == bytes(frame.parse(memoryview(given))[1]), name
        print(name)
for each in caught:
    print(each.message)

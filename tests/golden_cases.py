"""The golden frames: what each one holds. Frames are written once by make_golden.py, and only ever read by tests.

A case is never changed or removed after a release: it is the promise that its bytes decode for ever.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numcodecs_bitswap import BBANS, BitSwap
from pictures import photograph

GOLDEN = Path(__file__).with_name("golden")


@dataclass(frozen=True)
class Case:
    """The route (FORMAT.md section 1) that its frame takes, the array, the codec and its options."""

    route: int
    make: Callable[[], NDArray[Any]]
    options: dict[str, Any]
    codec: Any = BitSwap


def _crop(height: int, width: int, channels: int = 3) -> NDArray[np.uint8]:
    image = photograph()[60 : 60 + height, 200 : 200 + width]
    return np.ascontiguousarray(image if channels == 3 else image[..., 1])


def _ramp(dtype: str) -> NDArray[Any]:
    return np.arange(600).reshape(20, 30).astype(dtype)


CASES = {
    "raw_bytes": Case(0, lambda: np.random.default_rng(0).integers(0, 256, 50, dtype=np.uint8), {}),
    "raw_empty": Case(0, lambda: np.empty((3, 0, 2), ">u2"), {}),
    "zstd_uint8": Case(1, lambda: np.tile(np.arange(40, dtype=np.uint8), 20), {}),
    "shuffle_big_endian": Case(2, lambda: _ramp(">i4"), {}),
    "shuffle_fortran": Case(2, lambda: np.asfortranarray(_ramp("<f8")), {}),
    "shuffle_datetime": Case(2, lambda: _ramp("<M8[ns]"), {}),
    "shuffle_structured": Case(2, lambda: np.array([(i, i / 4) for i in range(99)], [("a", "<i4"), ("b", ">f8")]), {}),
    "constant_0d": Case(0, lambda: np.array(7, "<i2"), {}),
    "constant_uint16": Case(3, lambda: np.full((5, 6), 513, "<u2"), {}),
    "tiny_rgb": Case(4, lambda: _crop(40, 50), {"model": "tiny-rgb8-v1"}),
    "tiny_rgb_patches": Case(4, lambda: _crop(270, 300), {"model": "tiny-rgb8-v1"}),
    "tiny_rgb_planes_first": Case(
        4,
        lambda: _crop(66, 31).reshape(2, 33, 31, 3).transpose(0, 3, 1, 2).copy(),
        {"model": "tiny-rgb8-v1", "channel_axis": 1},
    ),
    "tiny_rgb_fortran": Case(4, lambda: np.asfortranarray(_crop(32, 24)), {"model": "tiny-rgb8-v1"}),
    "tiny_gray": Case(4, lambda: _crop(61, 47, 1), {"model": "tiny-gray8-v1"}),
    "tiny_gray_stack": Case(4, lambda: _crop(34, 40, 1).reshape(2, 17, 40), {"model": "tiny-gray8-v1"}),
    "photo_rgb": Case(4, lambda: _crop(64, 64), {"model": "photo-rgb8-v1"}),
    "bbans_stored": Case(2, lambda: _ramp(">i4"), {}, BBANS),
    "bbans_tiny_rgb": Case(4, lambda: _crop(40, 50), {"model": "tiny-rgb8-v1"}, BBANS),
    "bbans_tiny_gray_stack": Case(4, lambda: _crop(34, 40, 1).reshape(2, 17, 40), {"model": "tiny-gray8-v1"}, BBANS),
    "photo_rgb_v2": Case(4, lambda: _crop(64, 64), {"model": "photo-rgb8-v2"}),
    "photo_gray_v2": Case(4, lambda: _crop(64, 64, 1), {"model": "photo-gray8-v2"}),
    "photo_gray": Case(4, lambda: _crop(64, 64, 1), {"model": "photo-gray8-v1"}),
}

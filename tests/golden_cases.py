"""The golden frames: what each one holds. Frames are written once by make_golden.py, and only ever read by tests.

A case is never changed or removed after a release: it is the promise that its bytes decode forever.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numcodecs_bitswap import BBANS, BitSwap, LocalBitsBack
from numcodecs_bitswap.jpeg.colour import nearest_ycbcr, to_rgb
from pictures import from_jpeg, photograph

GOLDEN = Path(__file__).with_name("golden")
FEW = ("tiny_rgb", "bbans_tiny_gray_stack", "mnist", "flow_tiny_rgb", "flow_tiny_direct")
"""Small golden frames of every kind of model that has latents: for torch on a CPU, which is slow."""


@dataclass(frozen=True)
class Case:
    """Route of the frame (FORMAT.md section 1), the array, the codec and its options."""

    route: int
    make: Callable[[], NDArray[Any]]
    options: dict[str, Any]
    codec: Any = BitSwap

    @property
    def still_written(self) -> bool:
        """Whether an encoder of today gives the same bytes."""
        return self.route in (0, 3, 4, 5, 7, 8)


def _crop(height: int, width: int, channels: int = 3) -> NDArray[np.uint8]:
    image = photograph()[60 : 60 + height, 200 : 200 + width]
    return np.ascontiguousarray(image if channels == 3 else image[..., 1])


def _digits(n: int) -> NDArray[np.uint8]:
    """(n, 28, 28): strokes of three points each, white on black, with uneven edges."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:28, :28]
    images = np.zeros((n, 28, 28))
    for image in images:
        points = rng.uniform(6, 22, (3, 2))
        for share in np.linspace(0, 1, 30):
            for start, end in pairwise(points):
                at = start + share * (end - start)
                np.maximum(image, 1000 * np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / 1.5), out=image)
    images = np.where(images > 20, images * rng.uniform(0.5, 1.5, images.shape), 0)
    return (np.clip(images, 0, 255) * rng.uniform(0.97, 1, images.shape)).astype(np.uint8)


def _tiles(n: int) -> NDArray[np.uint8]:
    """(n, 32, 32, 3): tiles of the photograph."""
    return np.stack([photograph()[32 * k : 32 * k + 32, 200:232] for k in range(n)])


def _was_jpeg(height: int, width: int) -> NDArray[np.uint8]:
    """Colours that luma and chroma can have, some of them cut off at 255."""
    ycbcr = nearest_ycbcr(_crop(height, width), 2).astype(np.int64)
    ycbcr[..., 0] += np.arange(width)
    return to_rgb(ycbcr.clip(0, 255).astype(np.uint8), 2)


def _camera(dtype: str, planes: int, height: int, width: int) -> NDArray[Any]:
    """16-bit samples (planes, height, width): a linear camera's pictures of one scene with its noise, above an offset,
    of a step of 4 if unsigned.
    """
    light = _crop(height, width, 1).astype(np.int64) ** 2 // 16
    noise = np.random.default_rng(0).normal(0, 1, (planes, height, width)) * (3 + np.sqrt(light) / 8)
    x = light + noise.astype(np.int64)
    return (x * 4 + 500 if "u" in dtype else x - 2000).astype(dtype)


def _field(*shape: int) -> NDArray[np.float64]:
    """What a model of the weather might say: smooth, with a trend from plane to plane, and a little noise."""
    rng = np.random.default_rng(7)
    place = np.indices(shape).astype(np.float64)
    smooth = sum(axis * axis / (30 + 9 * k) + (k - 1.1) * axis / 3 for k, axis in enumerate(place))
    return 271 + smooth + rng.uniform(-0.01, 0.01, shape)


def _with_gaps(dtype: str) -> NDArray[Any]:
    array = _field(3, 24, 30).astype(dtype)
    array[:, 5:11, 8:20] = np.nan
    array[1, 0, :6] = -9999
    array[2] = np.where(array[2] < 275, -9999, array[2])
    return array


def _resampled() -> NDArray[np.float32]:
    """Every number two or three times, as a finer grid has them."""
    coarse = np.random.default_rng(3).normal(3, 1, (2, 20, 16)).astype("<f4")
    array = np.repeat(coarse, [2, 3] * 8, axis=2)
    array[:, 7:10, 5:20] = np.nan
    return array


def _regions(dtype: str) -> NDArray[Any]:
    """Labels (planes, y, x) of regions that change from plane to plane, ids far apart."""
    z, y, x = np.indices((4, 40, 50))
    ids = ((y + z) // 9 * 7 + (x + y // 4 - z) // 11 + 1) ** 3 * 1001
    return np.where((x + 2 * y) % 23 == 0, 0, ids).astype(dtype)


def _records() -> NDArray[Any]:
    """A grid of records: numbers, a colour, a record within, text, and a byte between."""
    kinds = [("t", "<f4"), ("rgb", "u1", (3,)), ("", "V1"), ("in", [("k", ">i2"), ("s", "S2")])]
    array = np.zeros((40, 26), np.lib.format.descr_to_dtype(kinds))
    array["t"], array["rgb"] = _field(40, 26).round(1), _crop(40, 26)
    array["in"]["k"], array["in"]["s"] = _field(40, 26), b"ab"
    return array


def _ramp(dtype: str) -> NDArray[Any]:
    return np.arange(600).reshape(20, 30).astype(dtype)


def _bitswap(layers: int) -> Case:
    return Case(4, lambda: _digits(40), {"model": f"mnist-bitswap{layers}-v2"})


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
    "bbans_stored": Case(2, lambda: _ramp(">i4"), {}, BBANS),
    "bbans_tiny_rgb": Case(4, lambda: _crop(40, 50), {"model": "tiny-rgb8-v1"}, BBANS),
    "bbans_tiny_gray_stack": Case(4, lambda: _crop(34, 40, 1).reshape(2, 17, 40), {"model": "tiny-gray8-v1"}, BBANS),
    "photo_rgb_v2": Case(4, lambda: _crop(64, 64), {"model": "photo-rgb8-v2"}),
    "photo_gray_v2": Case(4, lambda: _crop(64, 64, 1), {"model": "photo-gray8-v2"}),
    "mnist": Case(4, lambda: _digits(80), {"model": "mnist-v1"}, BBANS),
    "mnist_binary": Case(4, lambda: (_digits(60) > 127).astype(np.uint8), {"model": "mnist-binary-v1"}, BBANS),
    **{f"mnist_bitswap{n}_v2": _bitswap(n) for n in (1, 2, 4, 8)},
    "mnist_bbans2": Case(4, lambda: _digits(40), {"model": "mnist-bitswap2-v2"}, BBANS),
    "flow_stored": Case(2, lambda: _ramp(">i4"), {}, LocalBitsBack),
    "flow_tiny_rgb": Case(4, lambda: _crop(40, 48), {"model": "tiny-rgb8-flow"}, LocalBitsBack),
    "flow_tiny_gray": Case(4, lambda: _crop(64, 56, 1), {"model": "tiny-gray8-flow"}, LocalBitsBack),
    "flow_tiny_direct": Case(4, lambda: _crop(57, 47, 1), {"model": "tiny-gray8-flow"}, LocalBitsBack),
    "flow_photo_rgb": Case(4, lambda: _crop(64, 64), {"model": "photo-rgb8-flow"}, LocalBitsBack),
    "flow_photo_gray": Case(4, lambda: _crop(64, 64, 1), {"model": "photo-gray8-flow"}, LocalBitsBack),
    "flow_patch32_rgb": Case(4, lambda: _tiles(8), {"model": "patch32-rgb8-flow"}, LocalBitsBack),
    "patch32_bitswap": Case(4, lambda: _tiles(5), {"model": "patch32-rgb8-l2-v1"}),
    "planes_rgb": Case(5, lambda: _crop(40, 44), {"model": "photo-v1"}),
    "planes_rgb_fortran": Case(5, lambda: np.asfortranarray(_crop(30, 35)), {"model": "universal-v1"}, BBANS),
    "planes_ycbcr": Case(5, lambda: _was_jpeg(33, 40), {}),
    "planes_gray_int8": Case(5, lambda: (_crop(50, 41, 1).astype(np.int64) - 128).astype("i1"), {}),
    "planes_stack": Case(5, lambda: _camera(">u2", 3, 34, 31), {}),
    "planes_stack_int16": Case(5, lambda: _camera("<i2", 4, 20, 33).reshape(2, 2, 20, 33), {}),
    "planes_microscopy": Case(5, lambda: _camera("<u2", 2, 30, 37), {"model": "microscopy-v1"}),
    "planes_last": Case(5, lambda: _camera("<u2", 3, 24, 30).transpose(1, 2, 0).copy(), {"spatial_axes": [0, 1]}),
    "planes_levels": Case(5, lambda: np.round(_crop(64, 60, 1) * 1.7).astype("<u2"), {}),
    "planes_tiles": Case(5, lambda: _crop(8, 300, 1), {}),
    "planes_counts_float64": Case(5, lambda: _camera("<u2", 2, 24, 30).astype("<f8"), {}),
    "planes_hundredths": Case(5, lambda: np.round(_field(2, 30, 34), 2).astype(">f4"), {}),
    "planes_fields": Case(
        5,
        lambda: (
            np.float32([[[250.3]], [[91000.7]], [[0.01]]])
            + _camera("<u2", 3, 20, 25) / np.array([[[64]], [[8]], [[2]]])
        ).astype("<f4"),
        {},
    ),
    "planes_packed_float64": Case(5, lambda: _camera("<i2", 2, 40, 50) * 0.0123456789 + 271.987654321, {}),
    "planes_float32": Case(5, lambda: _field(3, 22, 26).astype("<f4"), {}),
    "planes_float64": Case(5, lambda: _field(2, 20, 26) - 280, {}),
    "planes_float16": Case(5, lambda: _field(2, 20, 26).astype(">f2"), {}),
    "planes_gaps": Case(5, lambda: _with_gaps("<f8"), {}),
    "planes_gaps_int16": Case(5, lambda: np.nan_to_num(_with_gaps("<f8"), nan=-9999).astype("<i2"), {}),
    "planes_copies": Case(5, _resampled, {}),
    "planes_complex": Case(5, lambda: (_field(40, 44).round(1) + 1j * _field(40, 44).round(2)).astype("<c8"), {}),
    "planes_int64": Case(5, lambda: (_field(20, 26) * 10**9).astype(">i8"), {}),
    "planes_times": Case(5, lambda: (_field(20, 26) * 10**3).astype("<i8").view("<M8[ms]"), {}),
    "planes_one_axis": Case(5, lambda: np.random.default_rng(5).normal(0, 40, 4700).cumsum().astype("<i4"), {}),
    "jpeg_gray": Case(7, lambda: from_jpeg(_crop(48, 64, 1), "gray", (1, 1), 60), {}),
    "jpeg_rgb": Case(7, lambda: from_jpeg(_crop(48, 56), "rgb", (1, 1), 50), {}),
    "jpeg_420": Case(7, lambda: from_jpeg(_crop(64, 96), "ycbcr", (2, 2), 75), {}),
    "jpeg_420_strips": Case(7, lambda: from_jpeg(_crop(80, 96), "ycbcr", (2, 2), 75)[3:76, 5:93].copy(), {}),
    "jpeg_444_planes_first": Case(
        7,
        lambda: from_jpeg(_crop(64, 64), "ycbcr", (1, 1), 85).transpose(2, 0, 1).copy(),
        {"channel_axis": 0, "model": "jpeg-v1"},
    ),
    "labels_uint64": Case(5, lambda: _regions("<u8"), {}),
    "labels_bool": Case(5, lambda: _regions("<u8") > 0, {}, BBANS),
    "fields_records": Case(8, _records, {}),
    "bits_float32": Case(6, lambda: np.random.default_rng(0).integers(0, 1 << 20, 200).astype("<f4"), {}),
    "patch32_bbans": Case(4, lambda: _tiles(5), {"model": "patch32-rgb8-l2-v1"}, BBANS),
}

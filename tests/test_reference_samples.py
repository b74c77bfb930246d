"""The package against FORMAT.md: samples and labels, and the decoders that were written from the page."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from numcodecs_bitswap import BitSwap, FormatError, labels, samples
from numcodecs_bitswap.chunk import frame, plane_payload, plane_route
from numcodecs_bitswap.chunk.frame import Header, Route
from numcodecs_bitswap.chunk.patches import Axes
from numcodecs_bitswap.planes import coder
from random_models import model_id, random_planes
from reference import frames as reference_frames
from reference.frames import FrameError
from reference.labels import decode_labels
from strategies import assert_identical
from test_samples import ARRAYS, K, smooth

Array = NDArray[Any]


def frame_of(array: Array, payload: bytes) -> bytes:
    layout = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    header = Header(Route.PLANES, zlib.crc32(array.tobytes(layout)), layout, array.dtype, array.shape)
    return frame.build(header, payload)


def special() -> Array:
    array = smooth(20, 18).astype("<f8")
    array[3:6, 4:9] = np.nan
    array[7, :4] = -0.0, np.inf, -np.inf, np.nan
    return array


def resampled() -> Array:
    array = np.repeat(np.random.default_rng(0).normal(0, 1, (9, 6)).astype("<f4"), 3, 1)
    array[2:5, 4:11] = -9999
    return np.stack([array, array[::-1]])


SMALL: dict[str, Array] = {
    **{name: np.ascontiguousarray(array[:14, :19]) for name, array in ARRAYS.items()},
    "one axis": np.cumsum(K.reshape(-1)[:700]).astype(">i4"),
    "times": (np.cumsum(K.reshape(-1)[:400].astype("<i8")) * 10**9 + 17 * 10**17).view("<M8[ns]"),
    "points": np.cumsum(np.random.default_rng(0).normal(0, 1, (70, 3)), 0).astype(">f4"),
    "points with gaps": np.where(K.reshape(-1, 2)[:90] % 9, np.cumsum(K.reshape(-1, 2)[:90], 0) * 1e-9, np.nan),
    "complex series": (np.cumsum(K.reshape(-1)[:300]) * (0.1 + 1j)).astype("<c16"),
    "complex": (smooth(12, 11) + 1j * smooth(12, 11)[::-1]).astype("<c8"),
    "bool": K[:20, :30] > 9000,
    "datetime": (K[:20, :15].astype("<i8") * 60).view("<M8[s]"),
    "float16": smooth(12, 13).astype(">f2"),
    "float64 that are float32": smooth(12, 13).astype("<f4").astype("<f8"),
    "specials": special(),
    "resampled": resampled(),
    "resampled, other axes": np.asfortranarray(resampled().transpose(1, 2, 0)),
    "planes of their own": (300 + K[:24, :15].reshape(2, 12, 15) / np.array([8, 16])[:, None, None]).astype("<f4"),
    "int64": K[:12, :15].astype(">i8") * 10**14 + K[:12, 15:30],
    "denormals": (K[:12, :15].astype("<u4") + 20_000).view("<f4"),
}


@pytest.mark.parametrize("kind", SMALL)
def test_arrays(kind: str, folder: Path) -> None:
    array, path = SMALL[kind], random_planes(folder)
    last = len(samples.shape_of(array.dtype, array.shape)) - 1
    axes = Axes(last - 1, last, None)
    if kind == "resampled, other axes":
        axes = Axes(0, 1, None)
    payload = plane_route.encode(array, axes, [model_id(path)])
    assert payload is not None
    data = frame_of(array, payload)
    assert_identical(BitSwap().decode(data), array)
    assert_identical(reference_frames.decode(data, lambda _: path), array)


def labelled(*shape: int) -> Array:
    """Regions of many ids, with some noise."""
    rng = np.random.default_rng(sum(shape))
    coarse = rng.integers(0, 50, [-(-n // 5) for n in shape]) ** 4
    array = coarse
    for axis in range(len(shape)):
        array = np.repeat(array, 5, axis)
    array = array[tuple(slice(0, n) for n in shape)].astype("<u4")
    array[rng.random(shape) < 0.02] = 7
    return array


@pytest.mark.parametrize("shape", [(17, 23), (3, 14, 15), (2, 2, 9, 13)])
def test_labels(shape: tuple[int, ...], folder: Path) -> None:
    array, path = labelled(*shape), folder
    payload = plane_route.as_labels(array, Axes(len(shape) - 2, len(shape) - 1, None))
    assert payload is not None
    data = frame_of(array, payload)
    assert_identical(BitSwap().decode(data), array)
    assert_identical(reference_frames.decode(data, lambda _: path), array)


@pytest.mark.parametrize("m", [1, 2, 300, 70_000, 2**32 - 1])
def test_labels_by_the_specification(m: int) -> None:
    """Also numbers that were never seen, in any order."""
    rng = np.random.default_rng(m % 1000)
    planes = rng.choice(rng.integers(0, m + 1, 9), (3, 7, 8))
    planes[1, 3:, 3:] = planes[0, 3:, 3:]
    for references in ([-1, -1, -1], [-1, 0, 0]):
        data = labels.encode(planes, np.array(references), m)
        assert np.array_equal(labels.decode(memoryview(data), (3, 7, 8), np.array(references), m), planes)
        assert np.array_equal(decode_labels(data, (3, 7, 8), references, m), planes)
        for end in range(0, len(data), len(data) // 4 + 1):
            with pytest.raises(FormatError):
                labels.decode(memoryview(data[:end]), (3, 7, 8), np.array(references), m)
            with pytest.raises(FrameError):
                decode_labels(data[:end], (3, 7, 8), references, m)


def test_constant_labels_cost_nothing() -> None:
    planes = np.zeros((4, 100, 100), np.uint8)
    assert len(labels.encode(planes, np.arange(4) - 1, 1)) < 12


def test_labels_take_no_memory_that_their_bytes_do_not_justify() -> None:
    with pytest.raises(FormatError, match="too few"):
        labels.decode(memoryview(b"\0" * 10), (1 << 20, 1 << 10, 1 << 10), np.zeros(1, np.int64), 1)


def test_damage_is_refused(folder: Path) -> None:
    """In both decoders, or the checksum of the content says so."""
    rng = np.random.default_rng(0)
    for kind in ("gaps", "lattice with errors", "resampled", "table"):
        array = SMALL[kind]
        payload = plane_route.encode(
            array, Axes(array.ndim - 2, array.ndim - 1, None), [model_id(random_planes(folder))]
        )
        assert payload is not None
        for at in rng.integers(0, len(payload), 25):
            altered = payload[:at] + bytes([payload[at] ^ int(rng.integers(1, 256))]) + payload[at + 1 :]
            data = frame_of(array, altered)
            with pytest.raises(Exception, match=r".") as caught:
                BitSwap().decode(data)
            assert type(caught.value).__module__.startswith("numcodecs_bitswap")


def test_which_coder(folder: Path) -> None:
    for array, kind in ((labelled(3, 40, 50), plane_payload.LabelsPayload), (K, plane_payload.PlanesPayload)):
        payload = plane_route.encode(
            array, Axes(array.ndim - 2, array.ndim - 1, None), [model_id(random_planes(folder))]
        )
        assert payload is not None
        header = Header(Route.PLANES, 0, "C", array.dtype, array.shape)
        assert isinstance(plane_payload.parse(header, memoryview(payload), coder.lanes_of_tiles), kind)

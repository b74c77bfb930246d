"""`verify=True`: each frame is decoded after it was encoded, and compared with its array, by bytes.

Frames are decoded as readers decode them, by the same backend. It takes about as long as encoding, and finds what
memory, disk caches or a mistake of this package did to one chunk. What is wrong in encoder and decoder alike, as where
code was compiled or linked wrongly, such a comparison cannot find. So each route that a process verifies has first to
code a known array to the known bytes.
"""

import os
import threading
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .chunk.coding import Decoding, Encoding, memory
from .chunk.frame import Route
from .errors import DeviceError, VerifyError
from .options import Options
from .runtime import scheduler
from .runtime.forks import loading

SETTING = "NUMCODECS_BITSWAP_VERIFY"
_known = threading.Lock()


def wanted(option: bool) -> bool:
    """Whether frames are verified: by the codec's option, or by NUMCODECS_BITSWAP_VERIFY=1.

    Raises
    ------
    DeviceError
        The setting is neither 0 nor 1.
    """
    setting = os.environ.get(SETTING, "").strip()
    if setting not in ("", "0", "1"):
        raise DeviceError(f"{SETTING} is {setting!r}; it must be 0 or 1")
    return option or setting == "1"


def verify(frame: bytes, array: NDArray[Any], layout: str, options: Options) -> None:
    """Decode a frame, and compare.

    Parameters
    ----------
    frame : bytes
    array : ndarray
        What was encoded.
    layout : "C" or "F"
        The memory order in which it was.
    options : Options

    Raises
    ------
    VerifyError
        The frame does not give the array back, or known arrays are not coded to the known bytes.
    """
    about = f"the chunk of shape {array.shape}, dtype {array.dtype}, model {options.model}"
    try:
        decoding = Decoding(memoryview(frame))
        kind = _kind(decoding)
        decoded = scheduler.complete(decoding)
    except (MemoryError, DeviceError):
        raise
    except Exception as error:
        raise VerifyError(f"{about}: its frame does not decode: {type(error).__name__}: {error}; {ADVICE}") from error
    same = decoded.shape == array.shape and decoded.dtype == array.dtype
    if not same or not np.array_equal(memory(decoded, layout), memory(array, layout)):
        raise VerifyError(f"{about}: its frame decodes to another array; {ADVICE}")
    if kind is not None:
        with _known:
            says = _checksum(kind)
        if says != KNOWN[kind]:
            raise VerifyError(f"{about}: a known array is not coded to the known bytes ({kind}: {says:08x}); {ADVICE}")


ADVICE = (
    "nothing was written. Encode it again in a new process, with another NUMBA_CACHE_DIR; if it fails again, the "
    "machine's memory may be bad, or it is a mistake of numcodecs_bitswap: please report it with the array"
)


def _kind(work: Decoding) -> str | None:
    """The known array that goes the way of a frame; None for stored ones, which are Zstandard's."""
    if work.header.route == Route.MODEL:
        return "flow" if work.header.codec == "local_bits_back" else "stages"
    if work.header.route == Route.JPEG:
        return "jpeg"
    if work.header.route == Route.PLANES:
        return "planes" if getattr(work.route, "model", None) is not None else "labels"
    return None


def _noise(*shape: int) -> NDArray[np.int64]:
    """Bytes of a generator in integers, the same for ever."""
    n = np.arange(int(np.prod(shape)), dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    n = (n ^ n >> np.uint64(29)) * np.uint64(0xBF58476D1CE4E5B9)
    return (n >> np.uint64(56)).astype(np.int64).reshape(shape)


def _picture(h: int, w: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[:h, :w]
    image: NDArray[np.int64] = (y * y + 5 * x + x * y // 4) // 8 % 200 + _noise(h, w) // 64 + 20
    return image.astype(np.uint8)


def _jpeg() -> NDArray[np.uint8]:
    with loading():
        from .jpeg import decoding, tables
        from .jpeg.picture import Component, Picture

    numbers = np.where(_noise(6, 8, 64) < 20, _noise(6, 8, 64) % 7 - 3, 0)
    numbers[..., 0] = _noise(6, 8) // 8 - 16
    steps = np.ascontiguousarray(tables.standard()[0, 74])
    picture = Picture("gray", (1, 1), (0, 0), (Component(steps, numbers.astype(np.int16)),))
    return np.asarray(decoding.pixels(picture))


ARRAYS: dict[str, tuple[Callable[[], NDArray[Any]], str, str]] = {
    "planes": (lambda: np.stack([_picture(40, 56), _picture(40, 56) + np.uint8(3)]), "universal-v1", "bit_swap"),
    "labels": (lambda: np.repeat(np.repeat(_noise(6, 7) % 5 * 1000, 7, 0), 6, 1), "universal-v1", "bit_swap"),
    "stages": (lambda: _picture(48, 40), "tiny-gray8-v1", "bit_swap"),
    "flow": (lambda: _picture(48, 40), "tiny-gray8-flow", "local_bits_back"),
    "jpeg": (_jpeg, "jpeg-v1", "bit_swap"),
}
"""Of each kind a known array, the model and the codec."""
KNOWN = {
    "planes": 0xA57CCF1D,
    "labels": 0x9F0073C4,
    "stages": 0x1FDB1069,
    "flow": 0x6DB400C2,
    "jpeg": 0x572F0200,
}
"""CRC-32 of the frames of these arrays; of labels, whose frames hold Zstandard's bytes too, of the labels alone. They
change when the byte format, one of these models or a choice of the encoder changes, as golden frames do.
"""


@cache
def _checksum(kind: str) -> int:
    make, model, codec = ARRAYS[kind]
    frame = scheduler.complete(Encoding(make(), Options(model=model), codec))
    return zlib.crc32(Decoding(memoryview(frame)).route.payload.data if kind == "labels" else frame)  # type: ignore[union-attr]

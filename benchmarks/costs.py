"""What the cheapest frames cost to decode: python -m benchmarks.costs

Frames of arrays that say next to nothing, of each route: decoded bytes, time and memory for a byte of the frame.
FORMAT.md section 13 has the limits that these are below.
"""

import sys
import time
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from numcodecs_bitswap import BitSwap, LocalBitsBack
from numcodecs_bitswap.chunk import jpeg_route, model_route, plane_route, stored
from numcodecs_bitswap.chunk.frame import Header, Route, build
from numcodecs_bitswap.chunk.patches import Axes
from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.runtime import scheduler
from pictures import from_jpeg

AXES = Axes(0, 1, None)


def frame_of(array: Any, route: Route, payload: Any, codec: str = "bit_swap") -> bytes:
    """A frame of an array by a route that the encoder might not take."""
    return build(Header(route, zlib.crc32(array.data), "C", array.dtype, array.shape, codec), payload)


def by_planes(array: Any) -> bytes:
    """Of the plane coder."""
    prepared = plane_route.prepare(array, AXES)
    assert prepared is not None
    model = catalog.load("universal-v1", "cpu")
    return frame_of(array, Route.PLANES, plane_route.as_planes(prepared, model, plane_route.Order(0, 1)))


def by_labels(array: Any) -> bytes:
    """Of labels."""
    return frame_of(array, Route.PLANES, plane_route.as_labels(array, AXES))


def by_jpeg(array: Any) -> bytes:
    """Of what a JPEG file held."""
    payload = jpeg_route.encode(array, AXES, "jpeg-v1", ["photo-v1"])
    assert payload is not None
    return frame_of(array, Route.JPEG, payload)


def by_model(array: Any, name: str, codec: str) -> bytes:
    """Of a model of stages."""
    job = model_route.EncodeJob(model_route.load(name, array.shape, AXES, codec), codec, array, AXES)
    scheduler.run([job])
    return frame_of(array, Route.MODEL, job.payload(), codec)


def main() -> None:
    """Print a line for each route."""
    dot, flat = np.zeros((1024, 1024), np.uint8), np.full((512, 512), 99, np.uint8)
    dot[5, 5] = 1
    flat[100:140, 100:150] = 130
    smooth = np.add.outer(np.arange(512), np.arange(512)).astype(np.uint8) // np.uint8(2)
    zeros = np.zeros(1 << 24, np.uint8)
    almost = zeros.copy()
    almost[7] = 1
    frames = {
        "constant": BitSwap().encode(zeros),
        "zstd": frame_of(almost, *stored.encode(almost, 1)),
        "planes": by_planes(dot),
        "labels": by_labels(np.repeat(np.arange(2), 1 << 19).reshape(1024, 1024)),
        "JPEG": by_jpeg(from_jpeg(smooth, "gray", (1, 1), 50)),
        "stages": by_model(flat, "tiny-gray8-v1", BitSwap.core),
        "flow": by_model(flat, "tiny-gray8-flow", LocalBitsBack.core),
    }
    for name, frame in frames.items():
        BitSwap().decode(frame)
        since = time.process_time()
        array = BitSwap().decode(frame)
        taken = time.process_time() - since
        tracemalloc.start()
        BitSwap().decode(frame)
        grown = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        print(
            f"{name:9} {len(frame):6} bytes: {array.nbytes / len(frame):8.0f} decoded bytes and "
            f"{1e3 * taken / len(frame):6.3f} ms for one; {grown / array.nbytes:4.1f} bytes of memory for a decoded one"
        )


if __name__ == "__main__":
    main()

"""The plane coder in Triton's interpreter: run by test_triton.py, with TRITON_INTERPRET=1. Few and tiny tiles, since a
wavefront takes a tenth of a second; test_planes_triton.py runs the kernels in numpy on many.
"""

from typing import Any

import numpy as np
import pytest

from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.planes import coder, triton_tiles
from test_planes_torch import NONE, ONE, THREE, model_of, tile_of


@pytest.mark.parametrize(
    ("shape", "references", "m", "model"),
    [
        ((1, 5, 7), NONE, 255, "universal-v1"),  # with a solution
        ((2, 3, 3), ONE, 70_000, "photo-v1"),
        ((4, 2, 2), THREE, 4095, "wild"),
        ((1, 2, 9), NONE, 65535, "strong"),
    ],
)
def test_bytes_are_those_of_the_cpu(shape: tuple[int, int, int], references: Any, m: int, model: str) -> None:
    net = model_of("small", 1, model) if model in ("wild", "strong") else catalog.load(model, "cpu").net
    tile = tile_of(np.random.default_rng(0), shape, m, "smooth")
    refer = np.array(references, np.int64)[: shape[0]]
    (expected,) = coder.encode(net, tile, refer, m)
    (message,) = triton_tiles.encode(net, [tile], refer, [m], "cpu")
    np.testing.assert_array_equal(message.heads, expected.heads)
    np.testing.assert_array_equal(message.tail, expected.tail)
    np.testing.assert_array_equal(triton_tiles.decode(net, [message], shape, refer, [m], "cpu")[0], tile)

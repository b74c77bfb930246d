"""The plane coder in Triton's interpreter: run by test_triton.py, with TRITON_INTERPRET=1. Few and tiny tiles, since a
wavefront takes a tenth of a second; test_planes_triton.py runs the kernels in numpy on many. More with EXAMPLES=100.
"""

import os
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.planes import coder, triton_tiles
from numcodecs_bitswap.planes.model import PlaneModel
from test_planes_torch import CONTENTS, LEVELS, NONE, ONE, THREE, TWO, model_of, tile_of


def check(net: PlaneModel, shape: tuple[int, int, int], references: Any, m: int, content: str, seed: int) -> None:
    tile = tile_of(np.random.default_rng(seed), shape, m, content)
    refer = np.array(references, np.int64)[: shape[0]]
    (expected,) = coder.encode(net, tile, refer, m)
    (message,) = triton_tiles.encode(net, [tile], refer, [m], "cpu")
    np.testing.assert_array_equal(message.heads, expected.heads)
    np.testing.assert_array_equal(message.tail, expected.tail)
    np.testing.assert_array_equal(triton_tiles.decode(net, [message], shape, refer, [m], "cpu")[0], tile)


@pytest.mark.parametrize(
    ("shape", "references", "m", "model"),
    [
        ((1, 5, 7), NONE, 255, "universal-v1"),  # with a solution
        ((2, 3, 3), ONE, 70_000, "photo-v1"),
    ],
)
def test_bytes_are_those_of_the_cpu(shape: tuple[int, int, int], references: Any, m: int, model: str) -> None:
    check(catalog.load(model, "cpu").net, shape, references, m, "smooth", 0)


@settings(max_examples=int(os.environ.get("EXAMPLES", "4")))
@given(data=st.data())
def test_any_tiny_tile(data: st.DataObject) -> None:
    P, h, w = (data.draw(st.integers(1, most)) for most in (4, 3, 4))
    refer = data.draw(st.sampled_from([NONE, ONE, TWO, THREE]))
    net = model_of("small", data.draw(st.integers(0, 9)), data.draw(st.sampled_from(["plain", "strong", "wild"])))
    m = data.draw(st.sampled_from(LEVELS) | st.integers(0, 2**22 - 1))
    check(net, (P, h, w), refer, m, data.draw(st.sampled_from(CONTENTS)), data.draw(st.integers(0, 1 << 16)))

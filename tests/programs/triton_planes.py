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
from test_planes_torch import CONTENTS, LEVELS, NONE, ONE, THREE, TWO, model_of, tile_of
from test_planes_triton import KINDS, check


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
    check(net, [tile_of(np.random.default_rng(0), shape, m, "smooth")], references, [m])


@settings(max_examples=int(os.environ.get("EXAMPLES", "2")))
@given(data=st.data())
def test_any_tiny_tile(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 4)))
    refer = data.draw(st.sampled_from([NONE, ONE, TWO, THREE]))
    net = model_of("small", data.draw(st.integers(0, 9)), data.draw(st.sampled_from(KINDS)))
    m, content = data.draw(st.sampled_from(LEVELS) | st.integers(0, 2**22 - 1)), data.draw(st.sampled_from(CONTENTS))
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 16)))
    check(net, [tile_of(rng, shape, m, content)], refer, [m])

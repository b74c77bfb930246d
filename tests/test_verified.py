"""A transform that goes wrong costs bytes, never the array: each is checked before anything is coded."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from numcodecs_bitswap import BitSwap, TransformWarning
from numcodecs_bitswap.samples import fixed, gaps, lattice, luma, ordered, steps, words
from strategies import assert_identical

Array = NDArray[Any]
_rng = np.random.default_rng(0)
_walk = _rng.normal(0, 1, (3, 40, 50)).cumsum(1).cumsum(2)
_holed = np.where(_rng.random(_walk.shape) < 0.1, np.nan, _walk).astype("<f4")
_holed.view("u4")[0, 0, :3] = 0x7FC00001, 0xFFC00000, 1 << 31
_regions = np.repeat(np.repeat(_rng.integers(0, 9, (8, 10)), 6, 0), 7, 1) ** 5

# What is coded, and the part of its transforms that goes wrong.
CASES: dict[str, tuple[Array, Any, str]] = {
    "order": (_walk.round().astype("<i2"), ordered.Ordered, "words"),
    "cells": (_walk.astype("<f4") + np.float32(300), fixed.Fixed, "words"),
    "lattice": ((_walk.round(1)).astype("<f4"), lattice.Lattice, "words"),
    "gaps": (_holed, gaps.Gaps, "open"),
    "steps": (_rng.normal(0, 40, 6000).cumsum().astype("<i4"), steps.Steps, "words"),
    "labels": (_regions, ordered.Ordered, "words"),
    "words": (_walk.round().astype(">u4"), words, "to_array"),
}


def altered(transform: Callable[..., Array]) -> Callable[..., Array]:
    """The same, but for one bit."""

    def wrong(*args: Any) -> Array:
        found = transform(*args).copy()
        found.view(f"u{found.itemsize}").flat[found.size // 2] ^= 1
        return found

    return wrong


def raises(*_: Any) -> Array:
    raise IndexError("index 7 is out of bounds")


@pytest.mark.parametrize("fault", ["a bit", "an error"])
@pytest.mark.parametrize("case", CASES)
def test_an_array_comes_back_though_a_transform_fails(case: str, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    array, where, name = CASES[case]
    expected = BitSwap().encode(array)
    assert_identical(BitSwap().decode(expected), array)
    with monkeypatch.context() as patch:
        patch.setattr(where, name, altered(getattr(where, name)) if fault == "a bit" else raises)
        with pytest.warns(TransformWarning, match="report"):
            encoded = BitSwap().encode(array)
    assert encoded != expected
    assert_identical(BitSwap().decode(encoded), array)


@pytest.mark.parametrize("part", [luma.Luma, ordered.Ordered, gaps.Gaps])
def test_fields_that_are_written_wrong_count(part: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    array = CASES["gaps" if part is gaps.Gaps else "order"][0]
    if part is luma.Luma:
        array = np.random.default_rng(0).integers(120, 136, (30, 40, 3)).cumsum(0).clip(0, 255).astype(np.uint8)
        array[..., 1:] = array[..., :1]
    write = part.write
    with monkeypatch.context() as patch:
        patch.setattr(part, "write", lambda *args: write(*args)[:-1])
        with pytest.warns(TransformWarning):
            encoded = BitSwap().encode(array)
    assert_identical(BitSwap().decode(encoded), array)

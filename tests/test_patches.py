"""patches.py: join is the inverse of split for every shape, order and stride, in the order of FORMAT.md 1.3."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from numcodecs_bitswap.chunk.patches import Axes, geometry, horizontal_step, image_axes, join, split
from strategies import arrays

images = hnp.array_shapes(min_dims=2, max_dims=5, min_side=0, max_side=7)
bytes_of_any_shape = arrays(dtype=st.just(np.dtype(np.uint8)), shape=images)


@st.composite
def arrays_with_axes(draw: st.DrawFn) -> tuple[Any, Axes]:
    array = draw(bytes_of_any_shape)
    y, x, *rest = draw(st.permutations(range(array.ndim)))
    return array, Axes(y, x, draw(st.sampled_from([None, *rest])))


@given(arrays_with_axes(), st.integers(1, 5), st.sampled_from("CF"))
def test_join_is_the_inverse_of_split(array_axes: tuple[Any, Axes], size: int, order: Any) -> None:
    array, axes = array_axes
    classes = split(array, axes, size)
    assert [each.shape[:3] for each in classes] == geometry(array.shape, axes, size)
    back = np.zeros(array.shape, np.uint8, order=order)
    join(classes, back, axes, size)
    np.testing.assert_array_equal(back, array)


@given(arrays_with_axes(), st.integers(1, 5))
def test_order_is_that_of_the_format(array_axes: tuple[Any, Axes], size: int) -> None:
    """The rule of FORMAT.md 1.3, word by word: tiles by (image, row, column), sorted stably into classes."""
    array, axes = array_axes
    channel = [] if axes.channel is None else [axes.channel]
    last = [axes.y, axes.x, *channel]
    leading = [axis for axis in range(array.ndim) if axis not in last]
    images = np.transpose(array, leading + last)
    images = images.reshape(int(np.prod([array.shape[axis] for axis in leading])), *images.shape[len(leading) :])
    if not channel:
        images = images[..., None]
    classes: dict[tuple[int, ...], list[Any]] = {}
    for image in images:
        for row in range(0, image.shape[0], size):
            for column in range(0, image.shape[1], size):
                tile = image[row : row + size, column : column + size]
                classes.setdefault(tile.shape[:2], []).append(tile)
    ours = [each for each in split(array, axes, size) if len(each)]
    assert len(ours) == len(classes)
    for patches, tiles in zip(ours, classes.values(), strict=True):
        np.testing.assert_array_equal(patches, np.stack(tiles))


def test_split_in_numbers() -> None:
    array = np.arange(5 * 7, dtype=np.uint8).reshape(5, 7)
    axes = Axes(0, 1, None)
    assert geometry((5, 7), axes, 4) == [(1, 4, 4), (1, 4, 3), (1, 1, 4), (1, 1, 3)]
    np.testing.assert_array_equal(split(array, axes, 4)[1][0, ..., 0], array[:4, 4:])
    assert geometry((3, 2, 5, 8), Axes(2, 3, None), 4) == [(12, 4, 4), (12, 1, 4)]
    assert geometry((0, 8), axes, 4) == []


@pytest.mark.parametrize(
    ("shape", "channel_axis", "spatial_axes", "axes"),
    [
        ((8, 9), "auto", "auto", Axes(0, 1, None)),
        ((8, 9, 3), "auto", "auto", Axes(0, 1, 2)),
        ((8, 9, 4), "auto", "auto", Axes(1, 2, None)),
        ((5, 8, 9, 3), "auto", "auto", Axes(1, 2, 3)),
        ((9, 3), "auto", "auto", Axes(0, 1, None)),
        ((8, 9, 3), None, "auto", Axes(1, 2, None)),
        ((8, 9, 4), -1, "auto", Axes(0, 1, None)),
        ((3, 8, 9), 0, "auto", Axes(1, 2, 0)),
        ((8, 9, 1), 2, "auto", Axes(0, 1, 2)),
        ((8, 9, 3), "auto", [2, 0], Axes(2, 0, None)),
        ((8, 5, 9, 3), "auto", [0, -2], Axes(0, 2, 3)),
        ((8,), "auto", "auto", None),
        ((), "auto", "auto", None),
        ((8, 3), 1, "auto", None),
    ],
)
def test_axes_rule(shape: Any, channel_axis: Any, spatial_axes: Any, axes: Axes | None) -> None:
    assert image_axes(shape, channel_axis, spatial_axes) == axes


@pytest.mark.parametrize(
    ("channel_axis", "spatial_axes"), [(3, "auto"), (-4, "auto"), ("auto", [0, 5]), (1, [0, 1]), (None, [2, -1])]
)
def test_axes_that_do_not_fit(channel_axis: Any, spatial_axes: Any) -> None:
    with pytest.raises(ValueError, match=r"axis|axes"):
        image_axes((8, 9, 3), channel_axis, spatial_axes)


def test_horizontal_step() -> None:
    array = np.array([[0, 255, 0], [5, 5, 6]], np.uint8)
    assert horizontal_step(array, Axes(0, 1, None)) == (255 + 255 + 0 + 1, 4)
    assert horizontal_step(array, Axes(1, 0, None)) == (5 + 250 + 6, 3)

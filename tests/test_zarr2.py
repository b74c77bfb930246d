"""BitSwap as the compressor of Zarr format 2 arrays: every dtype, memory order and chunk shape that Zarr hands over."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numcodecs import Delta

from numcodecs_bitswap import FormatError
from numcodecs_bitswap.chunk.frame import Route
from strategies import picture
from tiny import tiny


def create(codec_class: Any, data: np.ndarray[Any, Any], store: Any = None, **options: Any) -> Any:
    store = {} if store is None else store
    options = {"compressors": codec_class(model=tiny(codec_class)), "zarr_format": 2} | options
    return zarr.create_array(store, data=data, **options)


def routes(array: Any) -> set[Route]:
    """The routes of the chunks in an array's store."""
    frames = [
        value.to_bytes() for key, value in array.store._store_dict.items() if not key.rpartition("/")[2].startswith(".")
    ]
    return {Route(frame[5]) for frame in frames}


DTYPES = ["?", "i1", "u1", "<i2", ">u2", ">i8", "<f2", ">f4", "f8", ">c16", "M8[s]", ">m8[ns]", "S5", "<U3", ">U3"]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [*DTYPES, [("a", "<i4"), ("b", ">f8"), ("c", "S3")]], ids=str)
def test_every_dtype_and_order(codec_class: Any, dtype: Any, order: str) -> None:
    dtype = np.dtype(dtype)
    rng = np.random.default_rng(0)
    if dtype.kind in "SU" or dtype.names:
        data = np.array([str(n) for n in range(35)], "U3") if dtype.kind in "SU" else np.zeros(35, dtype)
        data = data.astype(dtype).reshape(5, 7)
    else:
        data = rng.integers(0, 100, (5, 7)).astype("<i8").astype(dtype)
    array = create(codec_class, data, chunks=(3, 3), order=order)
    np.testing.assert_array_equal(array[:], data)
    np.testing.assert_array_equal(array[1:4, 2], data[1:4, 2])
    assert array[:].dtype == dtype


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    ("shape", "chunks"),
    [((100, 90, 3), (40, 40, 3)), ((3, 70, 64, 3), (2, 64, 32, 3)), ((64, 64, 3), (64, 64, 3))],
)
def test_images_with_edge_chunks(codec_class: Any, shape: Any, chunks: Any, order: str) -> None:
    planes = [picture(shape[-3:], seed) for seed in range(int(np.prod(shape[:-3])))]
    data = np.stack(planes).reshape(shape)
    array = create(codec_class, data, chunks=chunks, order=order)
    np.testing.assert_array_equal(array[:], data)
    np.testing.assert_array_equal(array[..., 10:50, 5, 1], data[..., 10:50, 5, 1])
    assert Route.MODEL in routes(array)


def test_a_part_of_a_chunk_is_written(codec_class: Any) -> None:
    data = picture((80, 80, 3))
    array = create(codec_class, data, chunks=(64, 64, 3))
    array[10:20, 30:70, 1] = data[10:20, 30:70, 1] = 9
    np.testing.assert_array_equal(array[:], data)


def test_strided_and_read_only_data(codec_class: Any) -> None:
    data = np.repeat(picture((64, 64, 3)), 2, axis=1)[::-1, ::2]
    data.flags.writeable = False
    np.testing.assert_array_equal(create(codec_class, data, chunks=(32, 64, 3))[:], data)


def test_no_dimensions_and_no_items(codec_class: Any) -> None:
    assert create(codec_class, np.array(7, "u1"))[()] == 7
    assert create(codec_class, np.zeros((0, 4), "u1"), chunks=(1, 4))[:].shape == (0, 4)


def test_behind_a_filter(codec_class: Any) -> None:
    data = np.cumsum(np.ones((40, 50), "<u2"), axis=0, dtype="<u2")
    np.testing.assert_array_equal(create(codec_class, data, chunks=(40, 50), filters=[Delta("<u2")])[:], data)


def test_as_a_filter(codec_class: Any) -> None:
    data = picture((64, 64, 3))
    np.testing.assert_array_equal(
        create(codec_class, data, chunks=(64, 64, 3), filters=[codec_class(model=tiny(codec_class))], compressors=None)[
            :
        ],
        data,
    )


def test_reopened_from_a_folder(codec_class: Any, tmp_path: Path) -> None:
    data = picture((64, 70, 3))
    create(codec_class, data, tmp_path / "a.zarr", chunks=(64, 64, 3))
    array = zarr.open_array(tmp_path / "a.zarr", mode="r")
    np.testing.assert_array_equal(array[:], data)
    assert array.compressors == (codec_class(model=tiny(codec_class)),)


def test_a_consolidated_group(codec_class: Any, tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "g.zarr", mode="w", zarr_format=2)
    data = {name: picture((40, 40, 3), seed) for seed, name in enumerate("abc")}
    for name, image in data.items():
        group.create_array(name, data=image, chunks=(32, 32, 3), compressors=codec_class(model=tiny(codec_class)))
    zarr.consolidate_metadata(tmp_path / "g.zarr")
    reopened = zarr.open_consolidated(tmp_path / "g.zarr")
    for name, image in data.items():
        np.testing.assert_array_equal(reopened[name][:], image)


def test_many_threads_on_one_array(codec_class: Any) -> None:
    data = picture((128, 128, 3))
    array = zarr.create_array(
        {},
        shape=data.shape,
        dtype="u1",
        chunks=(32, 32, 3),
        compressors=codec_class(model=tiny(codec_class)),
        zarr_format=2,
    )
    corners = [(y, x) for y in range(0, 128, 32) for x in range(0, 128, 32)]

    def write(corner: tuple[int, int]) -> None:
        y, x = corner
        array[y : y + 32, x : x + 32] = data[y : y + 32, x : x + 32]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, corners))
        for read in pool.map(lambda _: array[:], range(4)):
            np.testing.assert_array_equal(read, data)


def test_altered_chunks_are_an_error(codec_class: Any) -> None:
    array = create(codec_class, picture((64, 64, 3)), chunks=(64, 64, 3))
    (key,) = [key for key in array.store._store_dict if key.endswith("0.0.0")]
    frame = bytearray(array.store._store_dict[key].to_bytes())
    frame[len(frame) // 2] ^= 1
    array.store._store_dict[key] = type(array.store._store_dict[key]).from_bytes(bytes(frame))
    with pytest.raises(FormatError):
        array[:]

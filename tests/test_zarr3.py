"""zarr3.py: the serializer of Zarr format 3 arrays, plain and in shards, in every byte order; shared passes."""

import asyncio
import importlib.metadata
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from zarr.core.array_spec import ArrayConfig, ArraySpec
from zarr.core.buffer import default_buffer_prototype

from numcodecs_bitswap import BBANS, BitSwap, FormatError, LocalBitsBack, MissingModel
from numcodecs_bitswap.chunk.frame import Route
from numcodecs_bitswap.runtime import scheduler
from numcodecs_bitswap.zarr3 import BBANSCodec, BitSwapCodec, LocalBitsBackCodec
from strategies import arrays, picture
from tiny import tiny

NUMCODECS: dict[Any, Any] = {
    BitSwapCodec: BitSwap,
    BBANSCodec: BBANS,
    LocalBitsBackCodec: LocalBitsBack,
}
"""The numcodecs codec whose frames a serializer writes."""


def create(serializer_class: Any, data: NDArray[Any], store: Any = None, **options: Any) -> Any:
    store = {} if store is None else store
    options = {
        "serializer": serializer_class(model=tiny(serializer_class)),
        "compressors": None,
        "chunks": data.shape,
    } | options
    array = zarr.create_array(store, shape=data.shape, **({"dtype": data.dtype} | options))
    array[...] = data
    return array


def frames(array: Any) -> list[bytes]:
    stored = sorted(array.store._store_dict.items())  # chunks are stored as they are ready
    return [value.to_bytes() for key, value in stored if not key.endswith("zarr.json")]


# Configuration


def test_discovery(serializer_class: Any) -> None:
    (ours,) = importlib.metadata.entry_points(group="zarr.codecs", name=serializer_class.name)
    assert ours.load() is serializer_class
    assert zarr.registry.get_codec_class(serializer_class.name) is serializer_class


@pytest.mark.parametrize("options", [{}, {"model": "a-model", "channel_axis": None, "spatial_axes": [0, 1]}])
def test_configuration_survives_json(serializer_class: Any, options: Any) -> None:
    codec = serializer_class(**options)
    metadata = json.loads(json.dumps(codec.to_dict()))
    assert metadata["name"] == serializer_class.name
    assert serializer_class.from_dict(metadata) == codec
    assert hash(serializer_class.from_dict(metadata)) == hash(codec)
    assert serializer_class.from_dict({"name": serializer_class.name}) == serializer_class()
    assert metadata["configuration"] == {
        k: v for k, v in NUMCODECS[serializer_class](**options).get_config().items() if k != "id"
    }


def test_metadata_of_an_array_is_plain(serializer_class: Any) -> None:
    array = create(
        serializer_class,
        np.zeros((4, 4)),
        serializer={"name": serializer_class.name, "configuration": {"spatial_axes": [0, 1]}},
    )
    (codec,) = array.metadata.to_dict()["codecs"]
    assert codec == {
        "name": serializer_class.name,
        "configuration": {"model": "auto", "channel_axis": "auto", "spatial_axes": [0, 1]},
    }


@pytest.mark.parametrize("configuration", [{"level": 3}, {"model": 1}, "auto"])
def test_wrong_metadata(serializer_class: Any, configuration: Any) -> None:
    with pytest.raises(TypeError):
        serializer_class.from_dict({"name": serializer_class.name, "configuration": configuration})


def test_axes_are_checked_when_the_array_is_created(serializer_class: Any) -> None:
    with pytest.raises(ValueError, match="axis 2"):
        create(serializer_class, np.zeros((4, 4)), serializer=serializer_class(channel_axis=2))


@pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning")
def test_objects_are_refused_when_the_array_is_created(serializer_class: Any) -> None:
    with pytest.raises(TypeError, match="objects"):
        zarr.create_array(
            {},
            shape=(4,),
            dtype="variable_length_bytes",
            serializer=serializer_class(model=tiny(serializer_class)),
            compressors=None,
        )


# Round trips

scalars = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(),
    hnp.unsigned_integer_dtypes(),
    hnp.complex_number_dtypes(sizes=(64, 128)),
)


@given(arrays(dtype=scalars, shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=1, max_side=5)), st.integers(1, 4))
def test_every_array_comes_back(serializer_class: Any, data: NDArray[Any], side: int) -> None:
    """As bytes, whatever the values mean (NaN with any payload)."""
    if data.dtype.kind == "b":
        data = data.view("u1") != 0  # of a bool Zarr keeps the truth, not always the byte
    array = create(serializer_class, data, chunks=tuple(min(side, n) for n in data.shape))
    read = np.asarray(array[...])
    assert read.tobytes() == data.astype(data.dtype.newbyteorder("=")).astype(read.dtype).tobytes()


@pytest.mark.parametrize("of_array", ["<", ">"])
@pytest.mark.parametrize("of_data", ["<", ">"])
@pytest.mark.parametrize("kind", ["u2", "i4", "f8", "c16", "M8[s]"])
def test_byte_orders(serializer_class: Any, kind: str, of_array: str, of_data: str) -> None:
    """Metadata keeps no byte order, so frames hold one order only, and values are right in whichever is asked for."""
    data = np.arange(100).reshape(10, 10).astype("<i8").astype(of_data + kind)
    array = create(serializer_class, data, dtype=np.dtype(of_array + kind), chunks=(4, 10))
    np.testing.assert_array_equal(array[:], data)
    reference = create(serializer_class, data.astype("<" + kind), chunks=(4, 10))
    assert frames(array) == frames(reference)
    assert zarr.open_array(array.store)[3, 4] == data[3, 4]


@pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning")
@pytest.mark.parametrize("dtype", ["S5", "U3", "V4", [("a", "<i4"), ("b", "<f8")]], ids=str)
def test_other_dtypes(serializer_class: Any, dtype: Any) -> None:
    data = np.zeros((4, 5), dtype)
    data[1, 2] = (7, 1.5) if data.dtype.names else np.array([b"ab"]).astype(dtype)[0]
    np.testing.assert_array_equal(create(serializer_class, data, chunks=(3, 3))[:], data)


FILTERS = {
    "Delta": {"dtype": "<i4"},
    "FixedScaleOffset": {"dtype": "<i4", "astype": "<i2", "offset": 0, "scale": 1},
    "BitRound": {"keepbits": 7},
}


@pytest.mark.filterwarnings("ignore:.*Numcodecs codecs:UserWarning")
@pytest.mark.parametrize("name", FILTERS)
def test_filters_before_the_serializer(serializer_class: Any, name: str) -> None:
    """Delta and FixedScaleOffset hand over one axis, BitRound integers instead of floats."""
    filters = pytest.importorskip("zarr.codecs.numcodecs")
    data = picture((100, 90)).astype("f4" if name == "BitRound" else "i4")
    serializer = serializer_class(model=tiny(serializer_class), verify=True)
    array = create(
        serializer_class,
        data,
        chunks=(32, 32),
        serializer=serializer,
        filters=[getattr(filters, name)(**FILTERS[name])],
    )
    np.testing.assert_array_equal(array[:], data)


LAYOUTS = {
    "plain": {"chunks": (32, 32, 3)},
    "shards": {"chunks": (32, 32, 3), "shards": (64, 64, 3)},
    "one chunk": {"chunks": (100, 90, 3)},
    "F order": {"chunks": (32, 32, 3), "config": {"order": "F"}},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_images_with_edge_chunks(serializer_class: Any, layout: str) -> None:
    data = picture((100, 90, 3))
    array = create(serializer_class, data, **LAYOUTS[layout])
    np.testing.assert_array_equal(array[:], data)
    np.testing.assert_array_equal(array[10:50, 5, 1], data[10:50, 5, 1])
    array[10:50, 5, 1] = data[10:50, 5, 1] = 0
    np.testing.assert_array_equal(array[:], data)
    if layout != "shards":
        assert Route.MODEL in {Route(frame[5]) for frame in frames(array)}


def test_bytes_are_those_of_the_numcodecs_codec(serializer_class: Any) -> None:
    data = picture((64, 64, 3))
    assert frames(create(serializer_class, data)) == [
        NUMCODECS[serializer_class](model=tiny(serializer_class)).encode(data)
    ]
    assert (
        frames(create(serializer_class, np.asfortranarray(data)))
        == frames(create(serializer_class, data[::-1][::-1]))
        == frames(create(serializer_class, data))
    )


def test_missing_chunks_and_empty_ones(serializer_class: Any) -> None:
    array = create(serializer_class, np.zeros((64, 64, 3), "u1"), chunks=(32, 32, 3))
    assert frames(array) == []
    assert not array[:].any()
    array[:40, :40] = picture((40, 40, 3))
    np.testing.assert_array_equal(array[:40, :40], picture((40, 40, 3)))
    assert not array[40:].any()


def test_reopened_from_a_folder_with_consolidated_groups(serializer_class: Any, tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "g.zarr", mode="w")
    data = {name: picture((40, 40, 3), seed) for seed, name in enumerate("abc")}
    for name, image in data.items():
        group.create_array(
            name,
            data=image,
            chunks=(32, 32, 3),
            serializer=serializer_class(model=tiny(serializer_class)),
            compressors=None,
        )
    with pytest.warns(UserWarning, match="Consolidated"):
        zarr.consolidate_metadata(tmp_path / "g.zarr")
    reopened = zarr.open_consolidated(tmp_path / "g.zarr")
    for name, image in data.items():
        np.testing.assert_array_equal(reopened[name][:], image)
        assert reopened[name].serializer == serializer_class(model=tiny(serializer_class))


def test_between_the_formats(serializer_class: Any) -> None:
    data = picture((80, 80, 3))
    two = zarr.create_array(
        {},
        data=data,
        chunks=(64, 64, 3),
        compressors=NUMCODECS[serializer_class](model=tiny(serializer_class)),
        zarr_format=2,
    )
    three = zarr.from_array(
        {}, data=two, serializer=serializer_class(model=tiny(serializer_class)), compressors=None, zarr_format=3
    )
    np.testing.assert_array_equal(three[:], data)


# Passes, batches, errors


def test_sibling_chunks_share_passes(serializer_class: Any) -> None:
    data = np.concatenate([picture((32, 32, 3), seed) for seed in range(40)])
    for options in ({"chunks": (32, 32, 3)}, {"chunks": (32, 32, 3), "shards": (640, 32, 3)}):
        before = scheduler.scheduler.passes
        array = create(serializer_class, data, **options)
        written = scheduler.scheduler.passes
        np.testing.assert_array_equal(array[:], data)
        assert written - before <= 10
        assert scheduler.scheduler.passes - written <= 10


def spec(shape: tuple[int, ...], dtype: str = "u1") -> ArraySpec:
    zdtype = zarr.create_array({}, shape=shape, dtype=dtype).metadata.data_type
    return ArraySpec(shape, zdtype, 0, ArrayConfig("C", False), default_buffer_prototype())


def test_a_batch_is_one_pass_and_keeps_its_gaps(serializer_class: Any) -> None:
    images = [picture((32, 32, 3), seed) for seed in range(30)]
    of = spec((32, 32, 3))
    chunks = [of.prototype.nd_buffer.from_numpy_array(image) for image in images]

    async def both_ways() -> tuple[list[Any], list[Any]]:
        encoded = list(
            await serializer_class(model=tiny(serializer_class)).encode(
                [(None, of), *((chunk, of) for chunk in chunks), (None, of)]
            )
        )
        return encoded, list(
            await serializer_class(model=tiny(serializer_class)).decode([(chunk, of) for chunk in encoded])
        )

    before = scheduler.scheduler.passes
    encoded, decoded = asyncio.run(both_ways())
    assert scheduler.scheduler.passes - before == 2
    assert encoded[0] is encoded[-1] is decoded[0] is decoded[-1] is None
    alone = NUMCODECS[serializer_class](model=tiny(serializer_class))
    for image, frame, read in zip(images, encoded[1:-1], decoded[1:-1], strict=True):
        assert frame.to_bytes() == alone.encode(image)
        np.testing.assert_array_equal(read.as_numpy_array(), image)


def test_one_bad_chunk_fails_alone(serializer_class: Any) -> None:
    of = spec((32, 32, 3))
    good = NUMCODECS[serializer_class](model=tiny(serializer_class)).encode(picture((32, 32, 3)))
    frames = [good, good[:-1], good]
    chunks = [of.prototype.buffer.from_bytes(frame) for frame in frames]

    async def decode() -> list[Any]:
        return await asyncio.gather(
            *(serializer_class(model=tiny(serializer_class))._decode_single(chunk, of) for chunk in chunks),
            return_exceptions=True,
        )

    first, bad, last = asyncio.run(decode())
    assert isinstance(bad, FormatError)
    for read in (first, last):
        np.testing.assert_array_equal(read.as_numpy_array(), picture((32, 32, 3)))


def test_a_waiter_that_is_cancelled_does_not_stop_its_siblings(serializer_class: Any) -> None:
    of = spec((32, 32, 3))
    chunk = of.prototype.nd_buffer.from_numpy_array(picture((32, 32, 3)))

    async def encode() -> Any:
        one, other = (
            asyncio.ensure_future(serializer_class(model=tiny(serializer_class))._encode_single(chunk, of))
            for _ in range(2)
        )
        await asyncio.sleep(0)
        one.cancel()
        return await other

    assert asyncio.run(encode()).to_bytes() == NUMCODECS[serializer_class](model=tiny(serializer_class)).encode(
        picture((32, 32, 3))
    )


@pytest.mark.parametrize(
    ("shape", "dtype"), [((32, 32, 4), "u1"), ((32, 96), "u1"), ((32, 32, 3), "i1"), ((16, 32, 3), "u2")]
)
def test_a_chunk_of_another_array_is_refused(serializer_class: Any, shape: Any, dtype: str) -> None:
    of = spec(shape, dtype)
    chunk = of.prototype.buffer.from_bytes(
        NUMCODECS[serializer_class](model=tiny(serializer_class)).encode(picture((32, 32, 3)))
    )
    with pytest.raises(FormatError, match="the array's chunk"):
        asyncio.run(serializer_class(model=tiny(serializer_class))._decode_single(chunk, of))


def test_a_missing_model_is_said(serializer_class: Any) -> None:
    with pytest.raises(MissingModel, match="no-such-model"):
        create(serializer_class, picture((32, 32, 3)), serializer=serializer_class(model="no-such-model"))


def test_many_threads_on_one_array(serializer_class: Any) -> None:
    data = picture((128, 128, 3))
    array = create(serializer_class, data, chunks=(32, 32, 3))
    with ThreadPoolExecutor(8) as pool:
        for read in pool.map(lambda _: array[:], range(8)):
            np.testing.assert_array_equal(read, data)


def test_opening_an_array_imports_no_torch(serializer_class: Any, tmp_path: Path) -> None:
    import subprocess

    create(serializer_class, picture((64, 64, 3)), tmp_path / "a.zarr")
    code = f"import sys, zarr; zarr.open_array({str(tmp_path / 'a.zarr')!r}).info; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)

"""convert/: what arrives is what was there, in every dtype and format; and a target is no array before it is whole."""

import io
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.core.dtype import VariableLengthUTF8
from zarr.storage import MemoryStore

from numcodecs_bitswap import BitSwap, options
from numcodecs_bitswap.cli import main
from numcodecs_bitswap.convert import journal
from numcodecs_bitswap.convert.axes import axes_options
from numcodecs_bitswap.convert.copying import convert
from numcodecs_bitswap.convert.plan import Wanted, make
from numcodecs_bitswap.convert.processes import Processes
from numcodecs_bitswap.errors import SourceError
from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.readers.arrays import UNFINISHED, open_array
from numcodecs_bitswap.zarr3 import BitSwapCodec
from pictures import photograph

PROGRAMS = Path(__file__).parent / "programs"
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
GRADIENT = (np.add.outer(np.arange(150), np.arange(130)) % 251).astype("u2")


def ome(path: Path, zarr_format: int) -> dict[str, Any]:
    """An image of two scales and labels, as OME-Zarr has it; returns the arrays."""
    attributes: Any = {
        "multiscales": [
            {
                "axes": [{"name": "c"}, {"name": "y", "unit": "micrometer"}, {"name": "x"}],
                "datasets": [{"path": "0"}, {"path": "1"}],
            }
        ]
    }
    group = zarr.create_group(path, zarr_format=zarr_format, attributes=attributes)
    arrays = {"0": np.stack([GRADIENT, GRADIENT + 7]), "1": GRADIENT[None, ::2, ::2], "labels/cells/0": GRADIENT // 20}
    for name, data in arrays.items():
        names: Any = {"dimension_names": ("c", "y", "x")[-data.ndim :]} if zarr_format == 3 else {}
        chunks = (1, 64, 64)[-data.ndim :]
        keys: Any = {"name": "v2" if zarr_format == 2 else "default", "separator": "/"}
        group.create_array(name, data=data, chunks=chunks, chunk_key_encoding=keys, **names)
        group[name].attrs["unit"] = name
    return arrays


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_hierarchy_and_back(tmp_path: Path, zarr_format: int) -> None:
    arrays = ome(tmp_path / "a.zarr", zarr_format)
    convert(str(tmp_path / "a.zarr"), str(tmp_path / "b.zarr"), Wanted(), verify=True)
    convert(str(tmp_path / "b.zarr"), str(tmp_path / "c.zarr"), Wanted(codec="blosc"), workers="threads", threads=2)
    before = zarr.open_group(tmp_path / "a.zarr", mode="r")
    for place in ("b.zarr", "c.zarr"):
        group = zarr.open_group(tmp_path / place, mode="r")
        assert group.attrs.asdict() == before.attrs.asdict()
        assert {name for name, _ in group.members(None)} == {name for name, _ in before.members(None)}
        for name, data in arrays.items():
            array: Any = group[name]
            assert np.array_equal(array[:], data)
            assert array.chunks == before[name].chunks  # type: ignore[union-attr]
            assert array.attrs.asdict() == {"unit": name}
            metadata: Any = array.metadata
            if zarr_format == 3:
                assert metadata.dimension_names == ("c", "y", "x")[-data.ndim :]
            assert metadata.encode_chunk_key((1, 2, 3)).endswith("1/2/3")
        assert not (tmp_path / place / UNFINISHED).exists()
    assert "bitswap" in str(zarr.open_array(tmp_path / "b.zarr" / "0", mode="r").metadata).lower()


def every_dtype() -> dict[str, Any]:
    """Arrays that conversions have gone wrong for."""
    payload = np.array([0x7FC00001, 0x7FC00000], "u4").view("f4")
    return {
        "bool": np.eye(9, dtype=bool),
        "big": np.arange(30, dtype=">u2").reshape(5, 6),
        "negative-zero": np.array([[0.0, -0.0], [-0.0, -0.0]]),
        "nan-payloads": np.repeat(payload, 8).reshape(4, 4),
        "complex": np.array([[1 + 2j, complex(-0.0, 0.0)]]),
        "time": np.array([["2020-01-01", "NaT"]], "M8[s]"),
        "scalar": np.array(7, "i8"),
        "empty": np.zeros((0, 5), "u1"),
        "line": np.arange(300, dtype="i4"),
        "fixed": np.array([["ab", "c"]], "U3"),
    }


@pytest.mark.filterwarnings("ignore:.*does not have a Zarr V3 spec", "ignore:.*ZarrUserWarning")
@pytest.mark.parametrize(("old", "new"), [(2, 2), (2, 3), (3, 2), (3, 3)])
def test_every_dtype_in_every_format(tmp_path: Path, old: int, new: int) -> None:
    group = zarr.create_group(tmp_path / "a.zarr", zarr_format=old)
    arrays = every_dtype()
    for name, data in arrays.items():
        fill = np.nan if name == "nan-payloads" else None if old == 2 and name == "big" else 0
        options: Any = {} if data.dtype.kind in "MU" else {"fill_value": fill}
        array = group.create_array(
            name,
            shape=data.shape,
            chunks=(2,) * data.ndim,
            dtype=data.dtype,
            config={"write_empty_chunks": True},
            **options,
        )
        array[...] = data
    texts = group.create_array("text", shape=(3,), dtype=VariableLengthUTF8(), chunks=(2,))
    texts[:] = np.array(["one", "", "three"], dtype=object)
    convert(str(tmp_path / "a.zarr"), str(tmp_path / "b.zarr"), Wanted(zarr_format=new), verify=True)
    made = zarr.open_group(tmp_path / "b.zarr", mode="r")
    for name, data in arrays.items():
        got: Any = made[name][...]  # type: ignore[index]
        assert np.asarray(got).astype(data.dtype).tobytes() == data.tobytes(), name
    assert list(made["text"][:]) == ["one", "", "three"]  # type: ignore[index, arg-type]


def test_empty_chunks_stay_empty(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "a.zarr", shape=(640, 64), chunks=(64, 64), dtype="u2", fill_value=3)
    array[100:120] = 5
    convert(str(tmp_path / "a.zarr"), str(tmp_path / "b.zarr"), Wanted())
    made = zarr.open_array(tmp_path / "b.zarr", mode="r")
    assert made.nchunks_initialized == 1
    assert np.array_equal(made[:], array[:])


def test_chunks_shards_and_format(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=GRADIENT, chunks=(32, 32), zarr_format=2, filters=None)
    wanted = Wanted(chunks=(32, 64), shards=(64, 128), zarr_format=3, codec="zstd")
    convert(str(tmp_path / "a.zarr"), str(tmp_path / "b.zarr"), wanted, verify=True)
    made = zarr.open_array(tmp_path / "b.zarr", mode="r")
    assert (made.chunks, made.shards) == ((32, 64), (64, 128))
    assert np.array_equal(made[:], GRADIENT)
    with pytest.raises(SourceError, match="--format 3"):
        make(str(tmp_path / "a.zarr"), Wanted(shards=(64, 128)))
    with pytest.raises(SourceError, match="2 positive numbers"):
        make(str(tmp_path / "a.zarr"), Wanted(chunks=(64,)))


def test_axes_by_their_names() -> None:
    assert axes_options((5, 64, 64), ("z", "y", "x")) == {}
    assert axes_options((64, 64, 3), ("y", "x", "c")) == {}
    assert axes_options((64, 64, 5), ("y", "x", "z")) == {"channel_axis": None, "spatial_axes": [0, 1]}
    assert axes_options((3, 64, 64), ("c", "y", "x")) == {"channel_axis": 0, "spatial_axes": [1, 2]}
    assert axes_options((64, 64, 4), ("lat", "lon", None)) == {"channel_axis": None, "spatial_axes": [0, 1]}
    assert axes_options((64, 64), None) == {}
    assert axes_options((64, 64, 1), None, 2) == {"channel_axis": 2}


def test_what_is_missing_or_taken_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=GRADIENT, chunks=(64, 64))
    source, target = str(tmp_path / "a.zarr"), str(tmp_path / "b.zarr")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    for arguments, what in (
        ([source, source + "/"], "the same"),
        ([source, str(tmp_path / "full")], "exists"),
        ([source, target, "--model", "no-such-model"], "not installed"),
        ([source, target, "--model", "photo-v1", "--codec", "zstd"], "goes with"),
        ([str(tmp_path / "nowhere"), target], "not a Zarr array"),
        ([source, target, "--channel-axis", "7"], "axis 7"),
        ([source, target, "--dask", "tcp://127.0.0.1:9"], "no dask scheduler"),
        ([source, str(tmp_path / "a.bsw"), "--codec", "zstd"], "holds a frame"),
    ):
        assert main(["convert", *arguments]) == 2, arguments
        assert what in capsys.readouterr().err


def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ome(tmp_path / "a.zarr", 3)
    assert main(["convert", str(tmp_path / "a.zarr"), str(tmp_path / "b.zarr"), "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert "labels/cells/0" in text
    assert "nothing was written" in text
    assert not (tmp_path / "b.zarr").exists()


def test_the_model_goes_along(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=photograph()[:64, :64], chunks=(64, 64, 3))
    arguments = ["convert", str(tmp_path / "a.zarr"), str(tmp_path / "b.zarr"), "--model", "photo-v1"]
    assert main([*arguments, "--embed-model"]) == 0
    assert (tmp_path / "b.zarr" / ".bitswap" / f"{catalog.find('photo-v1').sha256}.safetensors").is_file()
    assert np.array_equal(zarr.open_array(tmp_path / "b.zarr", mode="r")[:], photograph()[:64, :64])


def test_all_models_that_auto_takes_go_along(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=GRADIENT, chunks=(32, 32))
    assert main(["convert", str(tmp_path / "a.zarr"), str(tmp_path / "b.zarr"), "--embed-model"]) == 0
    models = {catalog.find(name).sha256 for name in (*options.AUTO_PLANES[1], options.AUTO_JPEG)}
    assert {path.stem for path in (tmp_path / "b.zarr" / ".bitswap").iterdir()} == models


def test_a_damaged_source_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = str(tmp_path / "a.zarr")
    zarr.create_array(source, data=GRADIENT, chunks=(32, 32), serializer=BitSwapCodec(), compressors=None)
    chunk = tmp_path / "a.zarr" / "c" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-1])
    assert main(["convert", source, str(tmp_path / "b.zarr")]) == 2
    assert f"{source} cannot be read at (0, 0): FormatError: the frame checksum" in capsys.readouterr().err


@pytest.mark.parametrize("dtype", ["i2", "u1", "f4", "f8"])
def test_missing_values_of_xarray_in_format_3(tmp_path: Path, dtype: str) -> None:
    xarray = pytest.importorskip("xarray")
    values = np.where(np.eye(20) > 0, np.nan, np.arange(400.0).reshape(20, 20) % 200)
    encoding = {"a": {"dtype": dtype, "_FillValue": 250}}
    dataset = xarray.Dataset({"a": (("y", "x"), values)})
    dataset.to_zarr(tmp_path / "a.zarr", zarr_format=2, encoding=encoding, consolidated=False)
    convert(str(tmp_path / "a.zarr"), str(tmp_path / "b.zarr"), Wanted(zarr_format=3))
    opened = xarray.open_dataset(tmp_path / "b.zarr", engine="zarr", consolidated=False)
    np.testing.assert_array_equal(opened.a, values)


@pytest.mark.parametrize("name", ["a.jpg", "a.npz", "a.nc"])
def test_files_that_are_not_written(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "a.npy", GRADIENT)
    assert main(["convert", str(tmp_path / "a.npy"), str(tmp_path / name)]) == 2
    assert ".npy, .png, .tif, .tiff are written" in capsys.readouterr().err
    assert not (tmp_path / name).exists()


@pytest.mark.slow
def test_processes(tmp_path: Path) -> None:
    ome(tmp_path / "a.zarr", 3)
    convert(str(tmp_path / "a.zarr"), str(tmp_path / "b.zarr"), Wanted(codec="zstd"), workers="processes", threads=2)
    assert np.array_equal(zarr.open_array(tmp_path / "b.zarr" / "1", mode="r")[:], GRADIENT[None, ::2, ::2])


def test_a_dask_cluster(tmp_path: Path) -> None:
    from distributed import LocalCluster

    ome(tmp_path / "a.zarr", 3)
    make_cluster: Any = LocalCluster
    with make_cluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0") as cluster:
        address = cluster.scheduler_address
        convert(str(tmp_path / "a.zarr"), str(tmp_path / "b.zarr"), Wanted(codec="zstd"), workers=address)
    assert np.array_equal(zarr.open_array(tmp_path / "b.zarr" / "1", mode="r")[:], GRADIENT[None, ::2, ::2])


def unopenable(target: Path) -> None:
    """Nobody takes the target for an array or group."""
    for opener in (zarr.open, zarr.open_array, zarr.open_group):
        with pytest.raises((FileNotFoundError, ValueError)):
            opener(target, mode="r")
    with pytest.raises(SourceError, match="unfinished conversion"):
        open_array(str(target))


class Stopped(BaseException):
    """As a kill, between two operations on the store."""


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_stopped_before_any_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zarr_format: int) -> None:
    """The root opens when all is there, wherever a run ends; and the next run finishes."""
    arrays = ome(tmp_path / "a.zarr", zarr_format)
    monkeypatch.setattr(journal, "EVERY", 0.0)
    write, passed, most = journal.write, 0, 0

    def counted(store: Any, key: str, data: bytes) -> None:
        nonlocal passed
        passed += 1
        if passed > most:
            raise Stopped
        write(store, key, data)

    monkeypatch.setattr(journal, "write", counted)
    source = str(tmp_path / "a.zarr")
    for most in range(1, 100, 3):
        target, passed = tmp_path / f"b{most}.zarr", 0
        try:
            convert(source, str(target), Wanted(codec="zstd"), threads=1)
        except Stopped:
            unopenable(target)
        else:
            break
        passed, most = 0, 1000
        convert(source, str(target), Wanted(codec="zstd"), threads=1)
        group = zarr.open_group(target, mode="r")
        assert all(np.array_equal(group[name][:], data) for name, data in arrays.items())  # type: ignore[index]
        assert not (target / UNFINISHED).exists()
    else:
        pytest.fail("it never came to an end")


def test_another_conversion_does_not_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=GRADIENT, chunks=(64, 64))
    source, target = str(tmp_path / "a.zarr"), str(tmp_path / "b.zarr")
    with monkeypatch.context() as patch:
        patch.setattr(journal.Journal, "publish", lambda *_: (_ for _ in ()).throw(Stopped()))
        with pytest.raises(Stopped):
            convert(source, target, Wanted(codec="zstd"))
    with pytest.raises(SourceError, match="same options"):
        convert(source, target, Wanted(codec="gzip"))
    convert(source, target, Wanted(codec="zstd"))
    with pytest.raises(SourceError, match="exists"):
        convert(source, target, Wanted(codec="zstd"))


def test_verify_mends_what_an_earlier_run_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a power cut: marked as done, and not on the disk."""
    zarr.create_array(tmp_path / "a.zarr", data=GRADIENT, chunks=(64, 64))
    source, target = str(tmp_path / "a.zarr"), tmp_path / "b.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(journal.Journal, "publish", lambda *_: (_ for _ in ()).throw(Stopped()))
        with pytest.raises(Stopped):
            convert(source, str(target), Wanted(codec="zstd"))
    (target / "c" / "0" / "1").unlink()
    (target / "c" / "1" / "1").write_bytes(b"half")
    convert(source, str(target), Wanted(codec="zstd"), verify=True)
    assert np.array_equal(zarr.open_array(target, mode="r")[:], GRADIENT)


@pytest.mark.slow
def test_killed_at_any_moment(tmp_path: Path) -> None:
    """A process that is killed again and again, with threads and with processes, and resumes each time."""
    program = [sys.executable, str(PROGRAMS / "convert_killed.py"), str(tmp_path), "--megabytes", "20", "--kills", "4"]
    done = subprocess.run(program, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_full_disk_is_said_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=GRADIENT, chunks=(64, 64))
    arguments = ["convert", str(tmp_path / "a.zarr"), str(tmp_path / "b.zarr"), "--codec", "zstd"]

    async def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(journal.Target, "set", full)
        assert main(arguments) == 2
    assert "No space left on device" in capsys.readouterr().err
    unopenable(tmp_path / "b.zarr")
    assert main(arguments) == 0
    assert np.array_equal(zarr.open_array(tmp_path / "b.zarr", mode="r")[:], GRADIENT)


@pytest.mark.slow
def test_a_process_that_ends_is_said(tmp_path: Path) -> None:
    """As when the system is short of memory and kills one."""
    data = np.cumsum(np.random.default_rng(0).integers(0, 3, (2048, 2048)), 1, dtype="u2")
    zarr.create_array(tmp_path / "a.zarr", data=data, chunks=(64, 64))

    def kill() -> None:
        while not (children := multiprocessing.active_children()):
            time.sleep(0.01)
        children[0].kill()

    threading.Thread(target=kill, daemon=True).start()
    with pytest.raises(SourceError, match="process that copies blocks has ended"):
        convert(str(tmp_path / "a.zarr"), str(tmp_path / "b.zarr"), Wanted(), workers="processes", threads=2)


@pytest.mark.slow
@pytest.mark.parametrize("after", [0, 0.05, 0.2, 0.5, 1, 1.5])
def test_a_process_may_end_at_any_time(after: float) -> None:
    """While it starts, waits or works: calls of this process are said to have failed, and nothing waits for ever."""

    def kill() -> None:
        while not (children := multiprocessing.active_children()):
            time.sleep(0.001)
        time.sleep(after)
        children[0].kill()

    with Processes(2) as executor:
        threading.Thread(target=kill, daemon=True).start()
        calls = [executor.submit(time.sleep, 0.1) for _ in range(40)]
        errors = [call.exception(timeout=60) for call in calls]
    assert any(isinstance(error, BrokenExecutor) for error in errors)
    assert all(error is None or isinstance(error, BrokenExecutor) for error in errors)
    assert not multiprocessing.active_children()


def test_what_calls_of_processes_return() -> None:
    with Processes(1) as executor:
        assert executor.submit(divmod, 7, 2).result() == (3, 1)
        with pytest.raises(ZeroDivisionError):
            executor.submit(divmod, 7, 0).result()
        with pytest.raises(RuntimeError, match="pickle"):
            executor.submit(threading.Lock).result()
        assert executor.submit(divmod, 9, 2).result() == (4, 1)


@pytest.mark.slow
def test_a_batch_system_stops_it(tmp_path: Path) -> None:
    data = np.cumsum(np.random.default_rng(0).integers(0, 3, (2048, 2048)), 1, dtype="u2")
    zarr.create_array(tmp_path / "a.zarr", data=data, chunks=(64, 64))
    target = tmp_path / "b.zarr"
    program = [sys.executable, "-m", "numcodecs_bitswap", "convert", str(tmp_path / "a.zarr"), str(target)]
    with subprocess.Popen(program, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as process:
        while not (target / UNFINISHED / "plan.json").exists() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate()
    assert process.returncode == 130
    assert "the same command resumes" in error
    unopenable(target)


def test_files_both_ways(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import imagecodecs

    rgb16 = (np.add.outer(np.arange(60), np.arange(50))[..., None] * np.array([500, 501, 502])).astype("u2")
    rgba = np.dstack([photograph()[:40, :50], np.tile(np.arange(50, dtype="u1"), (40, 1))])
    for name, data in (("rgb16", rgb16), ("rgb", photograph()[:70, :64]), ("gray", rgb16[..., 0]), ("rgba", rgba)):
        png, bsw, again, npy, stored = (
            str(tmp_path / f"{name}{s}") for s in (".png", ".bsw", "2.png", ".npy", ".zarr")
        )
        (tmp_path / f"{name}.png").write_bytes(imagecodecs.png_encode(np.ascontiguousarray(data)))
        for source, target in ((png, bsw), (bsw, again), (again, stored), (stored, npy)):
            assert main(["convert", source, target]) == 0, capsys.readouterr().err
        assert "ratio" in capsys.readouterr().out
        for each in (bsw, again, npy, stored):
            opened = open_array(each)
            assert np.array_equal(opened.read((0,) * data.ndim, data.shape), data)
            assert opened.dtype == data.dtype
    assert np.array_equal(BitSwap().decode((tmp_path / "rgb.bsw").read_bytes()), photograph()[:70, :64])
    assert main(["convert", png, bsw]) == 2
    assert "exists" in capsys.readouterr().err
    np.save(tmp_path / "f.npy", np.zeros((4, 4)))
    assert main(["convert", str(tmp_path / "f.npy"), str(tmp_path / "f.png")]) == 2
    assert not list(tmp_path.glob("*.part"))


def test_metadata_only_in_the_plan(tmp_path: Path) -> None:
    """The plan of a conversion is JSON, with the metadata as they will be."""
    ome(tmp_path / "a.zarr", 3)
    plan = make(str(tmp_path / "a.zarr"), Wanted())
    assert json.load(io.BytesIO(plan.metadata["0/zarr.json"]))["node_type"] == "array"
    store = MemoryStore()
    target = journal.Target(store, plan.metadata)
    assert zarr.open_array(target, path="0", mode="r").shape == (2, 150, 130)
    with pytest.raises(FileNotFoundError):
        zarr.open_array(store, path="0", mode="r")

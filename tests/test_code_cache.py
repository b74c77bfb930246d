"""code_cache.py: compiled code on disk is checked, made by one process, and never in the way."""

import importlib.util
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba.core import config
from numba.core.compiler_lock import global_compiler_lock

from numcodecs_bitswap.runtime import code_cache
from numcodecs_bitswap.runtime.jit import compiled

PROGRAM = Path(__file__).parent / "programs" / "compile_small.py"
SOURCE = "def double(values):\n    for i in range(len(values)):\n        values[i] *= 2\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file with a kernel of its own, that nobody has compiled."""
    path = tmp_path / "source" / "small.py"
    path.parent.mkdir()
    path.write_text(SOURCE)
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """NUMBA_CACHE_DIR."""
    path = tmp_path / "cache"
    monkeypatch.setattr(config, "CACHE_DIR", str(path))
    return path


def double(source: Path) -> Any:
    """The kernel, as a fresh process has it; it was called, and did what it should."""
    spec = importlib.util.spec_from_file_location("small", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    kernel, values = compiled(module.double), np.arange(4)
    kernel(values)
    assert values.tolist() == [0, 2, 4, 6]
    return kernel


def was_loaded(kernel: Any) -> bool:
    """Whether the kernel was on disk."""
    return sum(kernel.stats.cache_hits.values()) == 1


def files(folder: Path) -> list[Path]:
    """What is kept."""
    return sorted(folder.rglob("*.code"))


def test_code_is_kept_and_loaded(source: Path, folder: Path) -> None:
    assert not was_loaded(double(source))
    assert len(files(folder)) == 1
    assert was_loaded(double(source))
    assert {path.suffix for path in folder.rglob("*.*")} == {".code", ".lock"}


def test_damaged_files_are_compiled_again(source: Path, folder: Path) -> None:
    double(source)
    (path,) = files(folder)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    damaged = [b"", b"\x80", whole[:32], whole[:-1], whole[: len(whole) // 2], whole + b"x", bytes(len(whole))]
    for at in rng.integers(0, len(whole), 20):
        damaged.append(whole[:at] + bytes([whole[at] ^ 1 << int(at) % 8]) + whole[at + 1 :])
    for data in damaged:
        path.write_bytes(data)
        assert not was_loaded(double(source))
        assert path.read_bytes()[:8] != data[:8] or path.read_bytes() != data
    assert was_loaded(double(source))


def test_code_of_other_sources_or_types_is_not_loaded(source: Path, folder: Path) -> None:
    """Not even under the right name."""
    double(source)
    (path,) = files(folder)
    old = path.read_bytes()
    source.write_text(SOURCE + "\n# of another release\n")
    code_cache._stamp.cache_clear()
    assert not was_loaded(double(source))
    path.write_bytes(old)
    assert not was_loaded(double(source))


def test_a_folder_in_the_place_of_the_file(source: Path, folder: Path) -> None:
    double(source)
    (path,) = files(folder)
    path.unlink()
    path.mkdir()
    for _ in range(2):
        assert not was_loaded(double(source))
    assert not list(folder.rglob("*.tmp"))


def test_a_full_disk_stops_nothing(source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    for _ in range(2):
        assert not was_loaded(double(source))
    assert not [path for path in folder.rglob("*.*") if path.suffix != ".lock"]


def test_unusable_folders_stop_nothing(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "file" / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    (source.parent / "__pycache__").touch()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for _ in range(2):
        assert not was_loaded(double(source))
    assert not files(tmp_path)


def test_a_folder_filled_ahead_may_be_read_only(source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    double(source)
    monkeypatch.setattr(code_cache, "writable", lambda folder: False)
    assert was_loaded(double(source))


def start(source: Path, folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, str(PROGRAM), str(source), *arguments]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


@pytest.mark.slow
def test_cold_processes_compile_once_in_all(source: Path, tmp_path: Path) -> None:
    processes = [start(source, tmp_path / "cache", "0.5") for _ in range(4)]
    said = [process.communicate(timeout=120)[0] for process in processes]
    assert all(each.endswith("[0, 2, 4, 6]\n") for each in said)
    assert sum("compiled double" in each for each in said) == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no lock there")
def test_a_process_that_dies_compiling_holds_nobody_up(source: Path, tmp_path: Path) -> None:
    with start(source, tmp_path / "cache", "100") as dies:
        assert dies.stdout is not None
        assert dies.stdout.readline() == "begins\n"
        waits = start(source, tmp_path / "cache")
        time.sleep(1)
        dies.send_signal(signal.SIGKILL)
        assert "compiled double" in waits.communicate(timeout=60)[0]


@pytest.mark.skipif(sys.platform == "win32", reason="no lock there")
def test_patience_ends(
    source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Then every process compiles for itself. Who waits is told, once."""
    for name, value in (("PATIENCE", 1.0), ("SILENT", 0.2)):
        monkeypatch.setattr(code_cache, name, value)
    monkeypatch.setattr(code_cache.Notice, "told", False)
    with start(source, folder, "100") as holds, caplog.at_level(logging.INFO, "numcodecs_bitswap"):
        assert holds.stdout is not None
        assert holds.stdout.readline() == "begins\n"
        for _ in range(2):
            monkeypatch.setattr(code_cache, "write", lambda path, data: None)
            assert not was_loaded(double(source))
        holds.kill()
    assert [record.getMessage() for record in caplog.records] == [code_cache.WAITING]


@pytest.mark.parametrize(("notebook", "told"), [(True, True), (False, False)])
def test_a_notebook_is_told(
    notebook: bool, told: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As on a terminal; nothing is printed where standard error is a file."""
    monkeypatch.setattr(code_cache.Notice, "told", False)
    monkeypatch.setattr(code_cache, "SILENT", 0.01)
    if notebook:
        monkeypatch.setitem(sys.modules, "ipykernel", sys)
    else:
        monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    notice = code_cache.Notice(code_cache.COMPILING)
    notice._timer.join()
    assert (code_cache.COMPILING in capsys.readouterr().err) == told


def test_what_fails_to_compile_holds_no_lock(source: Path, folder: Path) -> None:
    source.write_text("def double(values):\n    return values.nothing\n")
    with pytest.raises(Exception, match="nothing"):
        double(source)
    assert code_cache.FileLock._held == {}


def test_an_interrupt_leaves_nobody_waiting(source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes right after numba has taken its lock, and before numba knows that it has."""

    def interrupted(*_: Any) -> None:
        global_compiler_lock._lock.acquire()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(global_compiler_lock), "acquire", interrupted)
        with pytest.raises(KeyboardInterrupt):
            double(source)
    thread = threading.Thread(target=double, args=[source], daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive(), "it hangs"


def test_without_compiling_functions_are_python(source: Path, tmp_path: Path) -> None:
    program = f"import sys; sys.argv[1:] = [{str(source)!r}]; import runpy; runpy.run_path({str(PROGRAM)!r})"
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == "[0, 2, 4, 6]\n"


def test_code_of_several_processes_fits_together(tmp_path: Path) -> None:
    """Functions of one name, compiled by processes that count them alike, are not taken for each other."""

    def run(folder: str, *names: str) -> list[str]:
        command = [sys.executable, str(Path(__file__).parent / "programs" / "compile_closures.py"), *names]
        environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / folder)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()

    expected = run("one", "first", "second")
    assert len(set(expected)) == 2
    assert run("two", "first") == expected[:1]
    assert run("two", "second") == expected[1:]
    assert run("two", "first", "second") == expected

"""What happens when the nth file operation, import, thread, allocation or compilation fails, or is interrupted.

    python tests/programs/faults.py SECONDS [--only SCENARIO FAULT N]

Each try is a process of its own, forked from one that has done nothing yet but to import other packages (which are not
made to be imported again where that failed half-way). In it something is done, the nth call of a
kind fails, and then: what was asked for works, or raises an error that says what failed; the next calls work; nothing
hangs; nothing half-written is left. Other faults are interrupts, forks and the death of the process at any moment.
Faults and their n are taken in turn, the small n first, until the time is over. Exit status 1 if anything failed.
"""

import argparse
import errno
import faulthandler
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))
sys.path.insert(0, str(TESTS.parent))

import numpy as np  # noqa: E402

from numcodecs_bitswap.errors import BitswapError  # noqa: E402

PATIENCE = 300.0
"""Seconds after which something hangs: more than to compile the largest loop takes, on a busy machine."""
ENTRIES = "codec", "models.embedded", "convert.copying", "convert.files", "runtime.jit"
"""What scenarios import by themselves."""
EMPTY_ARRAY = {
    "zarr_format": 3,
    "node_type": "array",
    "shape": [4, 4],
    "data_type": "float64",
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 4]}},
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
    "fill_value": 0,
    "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
}
OTHERS = "numba", "numba.core.entrypoints", "numcodecs.zstd", "numcodecs.shuffle", "safetensors.numpy", "zarr", "yaml"


# ---- What is done. Each makes sure that the result is right, and what it leaves in its folder whole.


def _image(h: int, w: int) -> Any:
    y, x = np.mgrid[:h, :w]
    noise = np.random.default_rng(0).integers(0, 3, (h, w))
    return ((x * x // 9 + y * 2) % 200 + noise).astype(np.uint8)


def _coded(codec: str, array: Any, **options: Any) -> None:
    import numcodecs_bitswap

    made = getattr(numcodecs_bitswap, codec)(**options)
    frame = made.encode(array)
    decoded = made.decode(frame)
    if decoded.dtype != array.dtype or decoded.tobytes() != array.tobytes():
        raise AssertionError("another array")


def planes(folder: Path) -> None:
    """The default: several tiles, so that threads take part."""
    _coded("BitSwap", _image(40, 300))


def floats(folder: Path) -> None:
    """Lattices, gaps, labels."""
    array = (_image(30, 40) / 4).astype("<f4")
    array[5:9, 7:9] = np.nan
    _coded("BitSwap", array)
    _coded("BitSwap", np.repeat(np.repeat(np.arange(48).reshape(6, 8) % 5 * 99, 6, 0), 7, 1))


def stages(folder: Path) -> None:
    """Stages and latents, of a model in a search folder."""
    _coded("BitSwap", _image(40, 48), model="tiny-gray8-v1")


def flow(folder: Path) -> None:
    """A flow."""
    _coded("LocalBitsBack", _image(40, 48), model="tiny-gray8-flow")


def jpeg(folder: Path) -> None:
    """An image that was a JPEG file."""
    _coded("BitSwap", np.load(TESTS / "golden" / "jpeg_gray.npy"))


def convert(folder: Path) -> None:
    """An array in a file to a Zarr array: afterwards it is there and whole, or can be gone on with."""
    from numcodecs_bitswap.convert.copying import convert
    from numcodecs_bitswap.convert.plan import Wanted

    source, target = folder / "source.npy", folder / "target.zarr"
    if not source.exists():
        shutil.copyfile(TESTS / "golden" / "planes_stack.npy", source)
    if (target / "zarr.json").exists():
        _whole(folder)
        shutil.rmtree(target)
    convert(str(source), str(target), Wanted(), threads=2)
    _whole(folder)


def _whole(folder: Path) -> None:
    """A target that opens is whole."""
    import zarr

    if (folder / "target.zarr" / "zarr.json").exists():
        array: Any = zarr.open_array(folder / "target.zarr", mode="r")
        if not np.array_equal(array[:], np.load(folder / "source.npy")):
            raise AssertionError("half-written")


def to_file(folder: Path) -> None:
    """An array to a frame in a file."""
    from numcodecs_bitswap.convert.files import convert_file
    from numcodecs_bitswap.convert.plan import Wanted

    source, target = folder / "source.npy", folder / "target.bsw"
    if not source.exists():
        shutil.copyfile(TESTS / "golden" / "planes_stack.npy", source)
    target.unlink(missing_ok=True)
    convert_file(str(source), str(target), Wanted())
    if list(folder.glob("*.part")):
        raise AssertionError("left behind")


def embed(folder: Path) -> None:
    """A model beside an array, and found there. Zarr is not called before the package calls it."""
    from numcodecs_bitswap import embed_model, use_models

    place = folder / "array.zarr"
    if not (place / "zarr.json").exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        (place / "zarr.json").write_text(json.dumps(EMPTY_ARRAY))
    embed_model(str(place), "tiny-gray8-v1")
    if len(use_models(str(place))) != 1:
        raise AssertionError("not found")


def compiling(folder: Path) -> None:
    """A loop that nobody has compiled, and its code on disk."""
    import importlib.util

    from numba.core import config

    config.CACHE_DIR = str(folder / "cache")  # type: ignore[attr-defined]
    source = folder / "small.py"
    if not source.exists():
        source.write_text("def double(values):\n    for i in range(len(values)):\n        values[i] *= 2\n")
    spec: Any = importlib.util.spec_from_file_location("small", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    from numcodecs_bitswap.runtime.jit import compiled

    for _ in range(2):
        kernel, values = compiled(module.double), np.arange(4)
        kernel(values)
        if values.tolist() != [0, 2, 4, 6]:
            raise AssertionError("another result")


SCENARIOS: dict[str, Callable[[Path], None]] = {
    each.__name__: each for each in (planes, floats, stages, flow, jpeg, convert, to_file, embed, compiling)
}


# ---- What goes wrong


class Faults:
    """Counts calls of one kind in this process, and lets the nth fail."""

    def __init__(self) -> None:
        self.left, self.events, self.error = 0, (""), OSError
        self.happened = ""
        sys.addaudithook(self._hook)

    def arm(self, kind: str, n: int) -> None:
        """From now on."""
        self.left, self.events = n, EVENTS[kind]
        self.error, self.kind = ERRORS[kind], kind

    def disarm(self) -> None:
        """No more."""
        self.left = 0

    def count(self, what: str) -> None:
        """One of them."""
        self.left -= 1
        if self.left == 0:
            self.happened = what
            raise self.error()

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.left > 0 and event.startswith(self.events):
            if self.kind == "file" and "importlib" in sys._getframe(1).f_code.co_filename:
                return
            self.count(f"{event} {arguments[:1]}")


EVENTS = {
    "file": ("open", "os.rename", "os.mkdir", "os.remove", "os.listdir", "os.scandir", "os.truncate"),
    "import": ("import",),
    "interrupted import": ("import",),
    "thread": ("thread.",),
    "memory": ("numpy.",),
    "compile": ("compile.",),
    "interrupted compile": ("compile.",),
}
ERRORS: dict[str, Callable[[], BaseException]] = {
    "file": lambda: OSError(errno.ENOSPC, "No space left on device"),
    "import": lambda: ImportError("injected"),
    "interrupted import": lambda: KeyboardInterrupt(),
    "thread": lambda: RuntimeError("can't start new thread"),
    "memory": lambda: MemoryError("injected"),
    "compile": lambda: MemoryError("injected"),
    "interrupted compile": lambda: KeyboardInterrupt(),
}
MOMENTS = "interrupt", "fork", "death"
NOTHING = "nothing"
MAY_RAISE = (BitswapError, MemoryError, KeyboardInterrupt, ImportError)
"""What a call may raise: what says what happened."""


def _patch(faults: Faults) -> None:
    """Let numpy's makers of arrays and numba's compiler be counted."""
    for name in ("empty", "zeros", "full", "concatenate", "stack", "ascontiguousarray", "asarray", "array", "pad"):
        function: Any = getattr(np, name)

        def counted(*arguments: Any, function: Any = function, name: str = name, **named: Any) -> Any:
            faults._hook(f"numpy.{name}", ())
            return function(*arguments, **named)

        setattr(np, name, counted)


def _patch_threads(faults: Faults) -> None:
    name = "_start_joinable_thread" if hasattr(threading, "_start_joinable_thread") else "_start_new_thread"
    start: Any = getattr(threading, name)

    def counted(*arguments: Any, **named: Any) -> Any:
        faults._hook("thread.", ())
        return start(*arguments, **named)

    setattr(threading, name, counted)


def _patch_compiler(faults: Faults) -> None:
    from numba.core import compiler

    run = compiler.compile_extra

    def counted(*arguments: Any, **named: Any) -> Any:
        faults._hook("compile.", ())
        return run(*arguments, **named)

    compiler.compile_extra = counted


def child(scenario: str, fault: str, n: int, folder: Path) -> str:
    """One try; returns what came of it. Raises if it is not what it should be."""
    do, faults = SCENARIOS[scenario], Faults()
    if fault == "memory":
        _patch(faults)
    if fault == "thread":
        _patch_threads(faults)
    if fault.endswith("compile"):
        _patch_compiler(faults)
    result = "worked"
    if fault == NOTHING:
        do(folder)
        return result
    if fault == "fork":
        return _fork(do, n, folder)
    if fault == "interrupt":
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 1e-3 + random.Random(n).random() ** 2 * 3)
    else:
        faults.arm(fault, n)
    try:
        do(folder)
    except MAY_RAISE as error:
        result = type(error).__name__
    except RuntimeError as error:
        theirs = fault == "thread" and "new thread" in str(error)  # of who starts threads of its own: zarr, executors
        # Before 3.12 Python says so where a class was being made.
        interrupted = isinstance(error.__cause__, KeyboardInterrupt) and "__set_name__" in str(error)
        if not (theirs or interrupted):
            raise
        result = "KeyboardInterrupt" if interrupted else "RuntimeError"
    except OSError as error:
        if fault != "file" or "No space" not in str(error) or not _theirs(error):
            raise
        result = "OSError"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faults.disarm()
    left = [path for path in folder.rglob("*") if path.suffix in (".tmp", ".part")]
    if left and not faults.happened.startswith("os.remove"):
        raise AssertionError(f"left behind: {left}")
    for _ in range(2):
        do(folder)
    if fault != "interrupt" and not faults.happened:
        return "none left"
    return result


def _theirs(error: BaseException) -> bool:
    """Whether an error came from a file that the scenario itself touches, or from an import: installed files."""
    own = [each for each in traceback.extract_tb(error.__traceback__) if "numcodecs_bitswap/" in each.filename]
    return not own or any(each.name == "<module>" for each in own)


def _fork(do: Callable[[Path], None], n: int, folder: Path) -> str:
    """Fork at some moment while another thread is at it; both finish."""
    for module in ENTRIES:  # who imports while another thread forks may wait for Python's own locks for ever
        importlib.import_module(f"numcodecs_bitswap.{module}")
    failed: list[BaseException] = []

    def work() -> None:
        try:
            do(folder)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(random.Random(n).random() ** 2 * 2)
    own = folder / "forked"
    own.mkdir()
    faulthandler.cancel_dump_traceback_later()  # its thread is not there after a fork, and would be waited for
    pid, said = os.fork(), folder / "said"
    if pid == 0:
        with said.open("w") as out:
            faulthandler.dump_traceback_later(PATIENCE, exit=True, file=out)
            try:
                do(own)
            except BaseException:
                traceback.print_exc(file=out)
                out.flush()
                os._exit(3)
            os._exit(0)
    if os.waitpid(pid, 0)[1] != 0:
        raise AssertionError(f"the forked process failed: {said.read_text()}")
    thread.join(PATIENCE)
    if thread.is_alive():
        raise AssertionError("it hangs after a fork")
    if failed:
        raise failed[0]
    return "worked"


def attempt(scenario: str, fault: str, n: int) -> tuple[bool, str]:
    """One try in a process of its own: whether all is well, and what came of it."""
    with tempfile.TemporaryDirectory() as name:
        folder, said = Path(name), Path(name) / ".said"
        work = folder / "work"
        work.mkdir()
        pid = os.fork()
        if pid == 0:
            with said.open("w") as out:
                faulthandler.enable(out)
                faulthandler.dump_traceback_later(PATIENCE if fault != NOTHING else 600, exit=True, file=out)
                status = 0
                try:
                    out.write(child(scenario, fault, n, work))
                except BaseException:
                    traceback.print_exc(file=out)
                    status = 3
                out.flush()
                os._exit(status)
        if fault == "death":
            time.sleep(0.05 + random.Random(n).random() ** 2 * 3)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            # Whoever comes next goes on where it stopped.
            pid = os.fork()
            if pid == 0:
                faulthandler.dump_traceback_later(PATIENCE, exit=True)
                try:
                    SCENARIOS[scenario](work)
                except BaseException:
                    traceback.print_exc()
                    os._exit(3)
                os._exit(0)
            status = os.waitpid(pid, 0)[1]
            return status == 0, "went on"
        status = os.waitpid(pid, 0)[1]
        text = said.read_text()
        return status == 0, text if status == 0 else f"status {status}\n{text}"


def applies(scenario: str, fault: str) -> bool:
    """Whether a fault is tried on a scenario. Not forks where zarr runs, whose own lock a child may find taken."""
    if fault == "death":
        return scenario in ("convert", "compiling", "to_file")
    return fault != "fork" or scenario not in ("convert", "embed", "to_file")


def tries() -> Iterator[tuple[str, str, int]]:
    """Faults in turn, with growing n; a fault that does not come up any more is left out."""
    done: set[tuple[str, str]] = set()
    n = 0
    while True:
        n += 1
        for fault in (*EVENTS, *MOMENTS):
            for scenario in SCENARIOS:
                if (scenario, fault) in done or not applies(scenario, fault):
                    continue
                # All of the first few; then less and less dense, so that there is an end to it.
                at = n if n <= 8 or fault in MOMENTS else int(8 * 1.25 ** (n - 8))
                if (yield scenario, fault, at):  # type: ignore[misc]
                    done.add((scenario, fault))


def main() -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--only", nargs=3, metavar=("SCENARIO", "FAULT", "N"))
    parser.add_argument("--seed", type=int, help="take tries at random, and not in turn")
    given = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)  # forks while threads run are what is tried
    for module in OTHERS:
        importlib.import_module(module)
    sys.modules["numba"].core.registry.cpu_target.target_context.refresh()  # imports the rest of it
    if given.only:
        well, text = attempt(given.only[0], given.only[1], int(given.only[2]))
        print(text)
        return int(not well)
    counts: dict[str, Counter[str]] = {}
    for scenario in SCENARIOS:  # what is compiled here is found on disk by the others
        well, text = attempt(scenario, NOTHING, 0)
        if not well:
            print(scenario, text)
            return 1
    failed, end = [], time.monotonic() + given.seconds
    if given.seed is None:
        todo: Any = tries()
    else:
        rng = random.Random(given.seed)
        kinds = [*EVENTS, *MOMENTS]
        todo = iter(lambda: (rng.choice(list(SCENARIOS)), rng.choice(kinds), int(1.5 ** rng.uniform(0, 12))), None)
    answer: Any = None
    while time.monotonic() < end:
        scenario, fault, n = todo.send(answer) if hasattr(todo, "send") else next(todo)
        if not applies(scenario, fault):
            continue
        well, text = attempt(scenario, fault, n)
        answer = text == "none left"
        counts.setdefault(fault, Counter())[text if well else "failed"] += 1
        if not well:
            failed.append(f"--only {scenario} '{fault}' {n}")
            print(failed[-1], text, sep="\n", flush=True)
    for fault, came in counts.items():
        print(f"{fault:20} {came.total():5}  " + ", ".join(f"{what} {k}" for what, k in came.most_common()))
    print(f"failures: {len(failed)}", *failed, sep="\n")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())

"""A cache of compiled code on disk: checked before use, filled by one process while others wait.

numba's own cache trusts its files: a damaged file raises an error or kills the process, and a full disk stops coding.
Here every file begins with a checksum of its content and of what it was compiled for. Code that cannot be loaded is
compiled; code that cannot be saved is used without. Imports only `forks`.

Folders: the one in NUMBA_CACHE_DIR; without it, or if it cannot be written, `__pycache__` next to the source, then the
user's cache folder. Code is searched in all of them, so a folder that was filled earlier may be read-only.
"""

import hashlib
import inspect
import logging
import os
import pickle
import sys
import threading
import time
import uuid
from contextlib import suppress
from functools import cache
from importlib import metadata
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

import numba
from numba.core import bytecode, compiler, config
from numba.core.caching import FunctionCache
from numba.core.compiler_lock import global_compiler_lock
from numba.core.serialize import dumps
from numba.misc.appdirs import AppDirs

from .forks import loading

try:
    import fcntl
except ImportError:  # Windows: every process compiles for itself
    fcntl = None  # type: ignore[assignment]

SHARED = "runtime/code_cache.py", "runtime/jit.py", "rans/arithmetic_coder.py", "runtime/vectors.py"
"""Sources whose functions compiled loops of other folders call."""
logger = logging.getLogger("numcodecs_bitswap")
PATIENCE = 120.0
"""Seconds that a process waits for another one that compiles, before it compiles itself."""
SILENT = 2.0
"""Seconds of compiling or waiting before a message is printed."""
COMPILING = (
    "numcodecs_bitswap: compiling for this machine, once: it takes half a minute to two minutes. "
    "`numcodecs-bitswap warmup` does it in advance"
)
WAITING = "numcodecs_bitswap: waiting for another process that compiles, once: half a minute to two minutes"


def _count_from_elsewhere() -> None:
    """Make the names of functions unique across processes.

    numba distinguishes functions of one name by numbers that it counts from 1 in every process, and the numbers are
    part of the names in cached code. So code from two processes could hold two functions of one name, and the linker
    would take one for the other.
    """
    bytecode.FunctionIdentity._unique_ids = count(int.from_bytes(os.urandom(5)) << 20)


_count_from_elsewhere()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_from_elsewhere)


def keep(dispatcher: Any) -> None:
    """Cache the code of a numba function on disk."""
    kept = CodeCache(dispatcher.py_func)
    compile_ = dispatcher.compile

    def compile_once(signature: Any) -> Any:
        lock: Any = global_compiler_lock._lock
        held = lock._is_owned()
        with loading():
            try:
                return compile_(signature)
            except BaseException:
                # An interrupt right after numba has taken its lock leaves it taken, and other threads waiting for ever.
                while lock._is_owned() and not held:
                    lock.release()
                raise
            finally:
                kept.done()

    dispatcher._cache, dispatcher.compile = kept, compile_once


class CodeCache(FunctionCache):
    """The cache of one function, as numba uses it: always under numba's lock, in one thread."""

    def __init__(self, function: Any) -> None:  # not that of FunctionCache, which looks for a folder of its own
        self._py_func = function
        self._source = Path(inspect.getfile(function))
        self._lock: FileLock | None = None
        self._notice: Notice | None = None
        self.enable()  # type: ignore[no-untyped-call]

    @property
    def cache_path(self) -> str:
        """The folder that code is saved in; empty if there is none."""
        return str(next(filter(writable, self._folders()), ""))

    def flush(self) -> None:
        """Does nothing: files are checked whenever they are loaded."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The code for some types; None: this process has to compile it, and holds the lock to do so."""
        target_context.refresh()
        found = self._load(sig, target_context)
        if found is None:
            with suppress(Exception):
                self._notice = Notice(COMPILING)
                folder = self.cache_path
                if folder:
                    self._lock = FileLock(Path(folder) / "numcodecs_bitswap.lock")
                    if self._lock.wait(self._notice):
                        found = self._load(sig, target_context)
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        """Save code, if it can be saved."""
        if self._notice is not None:
            seconds = time.monotonic() - self._notice.since
            logger.debug("compiled %s in %.1f s", self._py_func.__qualname__, seconds)
        with suppress(Exception):  # a full disk, a folder that is gone, code that cannot be saved
            folder = self.cache_path
            if folder and self._enabled and not data.library.has_dynamic_globals and not any(data.lifted):
                name, about = self._place(sig, data.codegen)
                payload = dumps(data._reduce())  # type: ignore[no-untyped-call]
                write(Path(folder) / name, _digest(about, payload) + payload)

    def done(self) -> None:
        """End a compilation, successful or not: other processes may continue."""
        lock, notice, self._lock, self._notice = self._lock, self._notice, None, None
        if notice is not None:
            notice.end()
        if lock is not None:
            lock.release()

    def _load(self, sig: Any, target_context: Any) -> Any:
        for folder in self._folders() if self._enabled else ():
            with suppress(Exception):  # a file that cannot be loaded, for any reason, counts as missing
                name, about = self._place(sig, target_context.codegen())
                data = memoryview((folder / name).read_bytes())
                if data[:32] == _digest(about, data[32:]):
                    payload = pickle.loads(data[32:])
                    return compiler.CompileResult._rebuild(target_context, *payload)  # type: ignore[no-untyped-call]
        return None

    def _place(self, sig: Any, codegen: Any) -> tuple[str, bytes]:
        """Name of the file for some types on some CPU, and everything that its code depends on."""
        settings = config.BOUNDSCHECK, config.OPT  # type: ignore[attr-defined]
        key = repr((self._index_key(sig, codegen), settings))  # type: ignore[no-untyped-call]
        function = self._py_func.__qualname__.replace("<locals>.", "")
        tag = f"{sys.implementation.cache_tag}{getattr(sys, 'abiflags', '')}"
        name = f"{self._source.stem}.{function}.{tag}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.code"
        about = repr((numba.__version__, _version(), _stamp(self._source.parent), key))
        return name, about.encode()

    def _folders(self) -> list[Path]:
        parent = self._source.parent.absolute()
        own = f"{parent.name}_{hashlib.sha256(str(parent).encode()).hexdigest()[:16]}"
        users = AppDirs(appname="numcodecs_bitswap", appauthor=False).user_cache_dir  # type: ignore[no-untyped-call]
        folders = [parent / "__pycache__", Path(users) / own]
        if chosen := config.CACHE_DIR:  # type: ignore[attr-defined]
            chosen = Path(chosen) / own
            return [chosen] if writable(chosen) else [chosen, *folders]
        return folders


def _digest(about: bytes, payload: bytes | memoryview) -> bytes:
    return hashlib.sha256(about + b"\0" + payload).digest()


@cache
def _version() -> str:
    """The version of this package: cached code is not used after an upgrade."""
    try:
        return metadata.version("numcodecs_bitswap")
    except metadata.PackageNotFoundError:
        return ""


@cache
def _stamp(folder: Path) -> str:
    """Checksum of the sources in a folder and of SHARED: functions call others in these files."""
    digest = hashlib.sha256()
    for path in [*sorted(folder.glob("*.py")), *(Path(__file__).parents[1] / name for name in SHARED)]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


@cache
def writable(folder: Path) -> bool:
    """Whether files can be created in a folder; creates the folder if necessary."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f"{uuid.uuid4().hex[:16]}.tmp"
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError:
        return False
    return True


def write(path: Path, data: bytes) -> None:
    """Write a file under a temporary name, then rename it; no partial file is left."""
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:16]}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class FileLock:
    """A lock between processes: on a range of a file, which the system releases when its holder dies.

    It is reentrant within a process, since functions are compiled while others are. Threads are kept apart by numba's
    lock.
    """

    _held: "dict[Path, tuple[BinaryIO, int]]" = {}  # noqa: RUF012  # one for the process is meant

    def __init__(self, path: Path) -> None:
        self._path = path
        self._taken = False

    def wait(self, notice: "Notice") -> bool:
        """Acquire the lock; returns whether another process had it. After PATIENCE, or where files cannot be locked,
        returns without it.
        """
        if fcntl is None:
            return False
        file, depth = self._held.get(self._path, (None, 0))
        if file is None:
            file = self._path.open("ab")
        waited, end = False, time.monotonic() + PATIENCE
        while depth == 0:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except (BlockingIOError, PermissionError):
                waited, notice.text = True, WAITING
                if time.monotonic() > end:
                    file.close()
                    return True
                time.sleep(0.05)
            except BaseException:  # this file system has no locks; or an interrupt
                file.close()
                raise
        self._held[self._path], self._taken = (file, depth + 1), True
        notice.text = COMPILING
        return waited

    def release(self) -> None:
        """Release the lock, if it was acquired."""
        if not self._taken:
            return
        self._taken = False
        file, depth = self._held.pop(self._path)
        if depth > 1:
            self._held[self._path] = file, depth - 1
        else:
            file.close()


class Notice:
    """Tells, after SILENT seconds, what takes so long: once in a process, on a terminal or in a notebook, and to the
    logger.
    """

    told = False

    def __init__(self, text: str) -> None:
        self.text, self.since = text, time.monotonic()
        self._timer = threading.Timer(SILENT, self._tell)
        self._timer.daemon = True
        with suppress(RuntimeError):  # no more threads
            self._timer.start()

    def _tell(self) -> None:
        if not Notice.told:
            Notice.told = True
            logger.info(self.text)
            with suppress(Exception):  # no stderr, or a closed one
                if sys.stderr.isatty() or "ipykernel" in sys.modules:
                    print(self.text, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Stop: the work is done."""
        self._timer.cancel()

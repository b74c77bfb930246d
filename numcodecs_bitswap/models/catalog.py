"""Model name or id -> file -> loaded model. Searches and verifies; never downloads, never unpickles.

An id is the SHA-256 of the model file (frames hold its first 16 bytes), so the file itself is what is verified. A name
is an alias. Names of shipped models are in `weights/catalog.json`: {name: {file, sha256}}, to which entries are only
ever added. Large files are compressed there, with the suffix .zst; the SHA-256 is that of the decompressed file. Any
other name is that of a .safetensors file in a search folder, without the suffix.

Order of the search: this package; folders registered by `register_folder`; folders in NUMCODECS_BITSWAP_MODELS; folders
of entry points `numcodecs_bitswap.models` (a module in the folder, or a function that returns the folder); models
stored with arrays, after `embedded.use_models`. Only `load` imports what computes.
"""

import functools
import hashlib
import json
import os
import re
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numcodecs import Zstd

from ..errors import BitswapError, FormatError, MissingModel, ModelError
from ..runtime.forks import loading

if TYPE_CHECKING:
    from ..bitsback.groups import Model

WEIGHTS = Path(__file__).with_name("weights")
GROUP = "numcodecs_bitswap.models"
LARGEST = 1 << 28
"""Bytes of the largest model file that is read."""
ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{64}")


@dataclass(frozen=True)
class Entry:
    """A model file.

    Attributes
    ----------
    name : str
    path : Path
    sha256 : str
        The SHA-256 that the file must have, 64 hex digits; empty: not known yet.
    data : bytes or None
        Content of a file that is not in a file system.
    """

    name: str
    path: Path
    sha256: str
    data: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model on a device. `id` has the 16 bytes that frames hold."""

    id: bytes
    name: str
    net: "Model"
    device: str


_registered: list[Path] = []
_given: list[Entry] = []
_found: dict[str, Entry] = {}
_hashes: dict[tuple[Path, int, int], str] = {}
_loaded: dict[tuple[str, str], Loaded] = {}
_kinds: dict[str, str] = {}
_lock = threading.RLock()


def register_folder(path: str | os.PathLike[str]) -> None:
    """Search a folder of .safetensors files for models, in this process."""
    _registered.append(Path(path))


def register_data(data: bytes, sha256: str, place: str) -> Entry:
    """Add a model file in memory to those that are searched, in this process.

    Parameters
    ----------
    data : bytes
    sha256 : str
        The SHA-256 that the data must have, 64 hex digits.
    place : str
        Their origin, for messages.

    Returns
    -------
    Entry

    Raises
    ------
    ModelError
        The data have another SHA-256, or are not a model file.
    """
    entry = Entry(sha256, Path(place), sha256, data)
    entry = replace(entry, name=str(metadata_of(entry).get("name", sha256)))
    with _lock:
        if all(each.sha256 != sha256 for each in _given):
            _given.append(entry)
    return entry


def is_shipped(name: str) -> bool:
    """Whether the name is that of a model of this package; no other model can have it."""
    return name in _shipped()


def names() -> dict[str, str]:
    """Every model that can be found: name -> SHA-256, 64 hex digits."""
    with _lock:
        every = [_hashed(entry, []) for entry in _candidates([])]
    return {entry.name: entry.sha256 for entry in reversed(every) if entry is not None}  # the first of a name counts


def find(name_or_id: str | bytes) -> Entry:
    """The file of a model.

    Parameters
    ----------
    name_or_id : str or bytes
        A name, an id of 32 or 64 hex digits, or the 16 or 32 bytes of an id.

    Returns
    -------
    Entry

    Raises
    ------
    MissingModel
        The model is nowhere on the search path.
    """
    key = name_or_id.hex() if isinstance(name_or_id, bytes) else name_or_id
    with _lock:
        if key not in _found:
            _found[key] = _search(key)
        return _found[key]


def load(name_or_id: str | bytes, device: str) -> Loaded:
    """A verified model on a device, loaded once per process and device.

    Parameters
    ----------
    name_or_id : str or bytes
        As for `find`.
    device : "cpu", "cuda" or "torch"
        Models of kinds `planes` and `jpeg` ignore it.

    Returns
    -------
    Loaded

    Raises
    ------
    MissingModel
        The model is nowhere on the search path.
    ModelError
        The file does not have the SHA-256 of the id, or breaks a rule of FORMAT.md section 7.
    DeviceError
        The device, or what it needs, is missing.
    """
    entry = find(name_or_id)
    with _lock:
        key = (entry.sha256, device)
        if key not in _loaded:
            _loaded[key] = _load(entry, device)
        return _loaded[key]


def _load(entry: Entry, device: str) -> Loaded:
    with loading():
        import safetensors.numpy

    data = read(entry)
    arch, net = _architecture(_metadata(data, entry), entry), None
    with loading():
        from ..backends import check_planes, for_device

        if arch.get("kind") == "planes":
            from ..planes.model import PlaneModel

            check_planes()
            make: Any = functools.partial(PlaneModel, arch)
        elif arch.get("kind") == "jpeg":
            from ..jpeg.model import CoefficientModel

            make = functools.partial(CoefficientModel, arch)
        else:
            from ..nets.bit_swap import BitSwapModel
            from ..nets.flow import FlowModel
            from ..nets.vae import VaeModel

            kinds: dict[Any, Any] = {"vae": VaeModel, "flow": FlowModel}
            kind, backend = kinds.get(arch.get("kind"), BitSwapModel), for_device(device)
            make = lambda tensors: kind(arch, tensors, backend)  # noqa: E731
    try:
        net = make(safetensors.numpy.load(data))
    except BitswapError:
        raise
    except Exception as error:  # an untrusted file may have a value of a wrong type in any field
        raise _no_model(entry, error) from error
    return Loaded(bytes.fromhex(entry.sha256)[:16], entry.name, net, device)


def load_named(model_id: bytes, kind: str) -> Loaded:
    """The model that a frame names, of a kind that has no device.

    Raises
    ------
    MissingModel
        The model is nowhere on the search path.
    FormatError
        It is a model of another kind.
    """
    if kind_of(model_id) != kind:
        raise FormatError("the frame names a model of another kind: it was altered")
    return load(model_id, "cpu")


def kind_of(name_or_id: str | bytes) -> str:
    """The kind of a model (FORMAT.md section 7). Models of kinds `planes` and `jpeg` have no device.

    Raises
    ------
    MissingModel
        The model is nowhere on the search path.
    ModelError
        The file was altered or is not a model file.
    """
    entry = find(name_or_id)
    with _lock:
        if entry.sha256 not in _kinds:
            _kinds[entry.sha256] = architecture_of(entry).get("kind", "")
        return _kinds[entry.sha256]


def architecture_of(entry: Entry) -> dict[str, Any]:
    """The `arch` of a model file (FORMAT.md section 7).

    Raises
    ------
    ModelError
        The file was altered or is not a model file.
    """
    return _architecture(metadata_of(entry), entry)


def metadata_of(entry: Entry) -> dict[str, str]:
    """The metadata of a model file: architecture, name, licence, provenance.

    Raises
    ------
    ModelError
        The file was altered or is not a model file.
    """
    return _metadata(read(entry), entry)


def read(entry: Entry) -> bytes:
    """The bytes of a model file.

    Raises
    ------
    ModelError
        The file cannot be read, or does not have the SHA-256 of the id.
    """
    try:
        data = _content(entry.path) if entry.data is None else entry.data
    except OSError as error:
        raise ModelError(f"{entry.path} cannot be read: {error}") from error
    if entry.path.suffix == ".zst":
        try:
            data = bytes(Zstd().decode(data))
        except RuntimeError as error:
            raise ModelError(f"{entry.path} was altered: {error}") from error
    if (digest := hashlib.sha256(data).hexdigest()) != entry.sha256:
        raise ModelError(f"{entry.path} was altered: its SHA-256 is {digest}, not {entry.sha256}")
    return data


def _no_model(entry: Entry, why: object) -> ModelError:
    return ModelError(f"{entry.path} is not a model file of numcodecs_bitswap: {str(why) or repr(why)}")


def _json(text: str | bytes, entry: Entry) -> dict[str, Any]:
    """A JSON object."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError, MemoryError) as error:
        raise _no_model(entry, error) from error
    if not isinstance(found, dict):
        raise _no_model(entry, "its header or arch is not a JSON object")
    return found


def _metadata(data: bytes, entry: Entry) -> dict[str, str]:
    found = _json(data[8 : 8 + int.from_bytes(data[:8], "little")], entry).get("__metadata__")
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise _no_model(entry, "it has no metadata")
    return found


def _architecture(said: dict[str, str], entry: Entry) -> dict[str, Any]:
    if "arch" not in said:
        raise _no_model(entry, "it has no arch")
    arch = _json(said["arch"], entry)
    if not isinstance(arch.get("kind", ""), str):
        raise _no_model(entry, "its kind is not a string")
    return arch


def _search(key: str) -> Entry:
    if key == "auto":
        raise MissingModel("'auto' is a choice between models: name one; `numcodecs-bitswap models list` prints them")
    looked: list[str] = []
    by_id = ID.fullmatch(key) is not None
    for entry in _candidates(looked):
        if by_id or entry.name == key:
            known = _hashed(entry, looked)
            if known is not None and (not by_id or known.sha256.startswith(key)):
                return known
    raise MissingModel(
        f"model {key!r} is not installed. Looked in: {'; '.join(looked)}. Install the package that brings it, or "
        "put its .safetensors file in a folder and name the folder in NUMCODECS_BITSWAP_MODELS; if it is stored with "
        "the array, call numcodecs_bitswap.use_models on the array"
    )


def _candidates(looked: list[str]) -> Iterator[Entry]:
    """Entries in the order of the search, with an empty SHA-256 if it is not known yet. Adds the places to `looked`."""
    looked.append(str(WEIGHTS))
    for name, line in _shipped().items():
        if (WEIGHTS / line["file"]).is_file():
            yield Entry(name, WEIGHTS / line["file"], line["sha256"])
        else:
            looked.append(f"{WEIGHTS / line['file']} (gone)")
    for folder in _folders(looked):
        looked.append(str(folder))
        for path in _files(folder, looked):
            yield Entry(path.stem, path, "")
    if _given:
        looked.append("stored with arrays: " + ", ".join(str(entry.path) for entry in _given))
    yield from _given


def _folders(looked: list[str]) -> Iterator[Path]:
    yield from _registered
    yield from (Path(name) for name in os.environ.get("NUMCODECS_BITSWAP_MODELS", "").split(os.pathsep) if name)
    for entry_point in metadata.entry_points(group=GROUP):
        try:
            value: Any = entry_point.load()
            folder = Path(value() if callable(value) else os.path.dirname(value.__file__))
        except (Exception, SystemExit) as error:  # a package that fails must not hide the models of others
            looked.append(f"entry point {entry_point.value} ({error!r})")
        else:
            yield folder


@functools.cache
def _shipped() -> dict[str, dict[str, str]]:
    path = WEIGHTS / "catalog.json"
    try:
        catalog: dict[str, dict[str, str]] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}, the list of the models that ship, cannot be read: {error}") from error
    return catalog


def _files(folder: Path, looked: list[str]) -> list[Path]:
    try:
        return sorted(folder.glob("*.safetensors"))
    except OSError as error:
        looked.append(f"{folder} ({error.strerror})")
        return []


def _hashed(entry: Entry, looked: list[str]) -> Entry | None:
    """An entry with its SHA-256; None if its file cannot be read, which is added to `looked` and hides no other."""
    try:
        return entry if entry.sha256 else replace(entry, sha256=_sha256(entry.path))
    except OSError as error:
        looked.append(f"{entry.path} ({error.strerror or error})")
        return None


def _sha256(path: Path) -> str:
    """SHA-256 of a file, cached while its size and time are the same; `load` verifies the bytes that it uses again."""
    about = path.stat()
    key = (path, about.st_mtime_ns, about.st_size)
    if key not in _hashes:
        _hashes[key] = hashlib.sha256(_content(path)).hexdigest()
    return _hashes[key]


def _content(path: Path) -> bytes:
    """The bytes of a file; OSError if it is not a file or too large. It may be a pipe, so opening must not block."""
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise OSError("not a file")
        if about.st_size > LARGEST:
            raise OSError(f"{about.st_size} bytes; a model has at most {LARGEST}")
        return file.read(LARGEST)


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

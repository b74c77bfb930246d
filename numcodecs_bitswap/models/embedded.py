"""Models stored with the data: a model file in the store of the Zarr array that needs it (FORMAT.md 7.7).

Its key is `.bitswap/<SHA-256>.safetensors` under the array's path, in either Zarr format. So the model is copied and
deleted with the array, and no listing of groups shows it. The array's metadata do not refer to it, and nothing in the
metadata is followed: `use_models` reads this one prefix, and every file must have the SHA-256 in its name.

Zarr is imported by the first call: the names of the package can be imported where it is not installed.
"""

import re
from contextlib import suppress
from typing import Any

from ..errors import ModelError, SourceError
from ..runtime import zarr_loop
from . import catalog

FOLDER = ".bitswap"
NAME = re.compile(r"([0-9a-f]{64})\.safetensors")


def embed_model(place: Any, model: str) -> list[str]:
    """Store a model with a Zarr array, or with every array of a group.

    Parameters
    ----------
    place : Array, Group, Store, path or URL
        Whatever `zarr.open` opens; it has to be writeable.
    model : str
        A model's name, or its id in hex digits.

    Returns
    -------
    list of str
        The keys written, in the store.

    Raises
    ------
    MissingModel, ModelError
        The model is not installed, or its file was altered.
    SourceError
        There is no array, or its store cannot be written.
    """
    from zarr.core.buffer import default_buffer_prototype
    from zarr.core.sync import sync

    entry = catalog.find(model)
    buffer = default_buffer_prototype().buffer.from_bytes(catalog.read(entry))
    keys = []
    for array in _arrays(place, "r+"):
        store, key = array.store_path.store, f"{_prefix(array)}/{entry.sha256}.safetensors"
        try:
            sync(store.set(key, buffer))
        except (OSError, ValueError) as error:
            with suppress(Exception):  # readers would refuse a partial file
                sync(store.delete(key))
            raise SourceError(f"{store}/{key} cannot be written: {error}") from error
        keys.append(key)
    return keys


def use_models(place: Any) -> list[str]:
    """Let this process find the models stored with a Zarr array, or with every array of a group.

    Parameters
    ----------
    place : Array, Group, Store, path or URL
        Whatever `zarr.open` opens.

    Returns
    -------
    list of str
        The ids of the models, 64 hex digits each.

    Raises
    ------
    ModelError
        A file is not a model, or does not have the SHA-256 in its name. The others can be found all the same.
    SourceError
        There is no array, or the store cannot list what it has.
    """
    from zarr.core.sync import sync

    found: dict[str, catalog.Entry] = {}
    wrong: list[ModelError] = []
    for array in _arrays(place, "r"):
        store, prefix = array.store_path.store, _prefix(array)
        try:
            names = sorted(sync(_listed(store, prefix)))
        except Exception as error:  # of stores of any kind
            raise SourceError(f"{store}/{prefix} cannot be listed: {error}") from error
        for name in names:
            match = NAME.fullmatch(name)
            if match is None or match[1] in found:
                continue
            try:
                data = _content(store, f"{prefix}/{name}")
                found[match[1]] = catalog.register_data(data, match[1], f"{store}/{prefix}/{name}")
            except ModelError as error:  # the other models are used all the same
                wrong.append(error)
    if wrong:
        raise wrong[0]
    return list(found)


def _content(store: Any, key: str) -> bytes:
    """The value of a key, after a check of its size. A pipe, whose reading would block, has no size."""
    from zarr.core.buffer import default_buffer_prototype
    from zarr.core.sync import sync

    try:
        size = sync(store.getsize(key))
        if not 0 < size <= catalog.LARGEST:
            raise ModelError(f"{store}/{key} has {size} bytes; a model has 1 to {catalog.LARGEST}")
        data = sync(store.get(key, default_buffer_prototype()))
    except OSError as error:
        raise ModelError(f"{store}/{key} cannot be read: {error}") from error
    if data is None:
        raise ModelError(f"{store}/{key} was listed and cannot be read")
    return bytes(data.to_bytes())


async def _listed(store: Any, prefix: str) -> list[str]:
    return [name.rsplit("/", 1)[-1] async for name in store.list_dir(prefix)]


def _prefix(array: Any) -> str:
    return f"{array.path}/{FOLDER}".lstrip("/")


def _arrays(place: Any, mode: Any) -> list[Any]:
    import zarr

    zarr_loop.start()
    try:
        opened = place if isinstance(place, zarr.Array | zarr.Group) else zarr.open(place, mode=mode)
        nodes = [opened] if isinstance(opened, zarr.Array) else [node for _, node in opened.members(None)]
    except Exception as error:  # of stores of any kind; some cannot list what they have
        raise SourceError(f"{place} is not a Zarr array or group, or cannot be reached: {error}") from error
    arrays = [node for node in nodes if isinstance(node, zarr.Array)]
    if not arrays:
        raise SourceError(f"{place} has no arrays")
    return arrays

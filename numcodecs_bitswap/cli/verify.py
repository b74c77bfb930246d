"""`numcodecs-bitswap verify`: decodes everything and prints what fails."""

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any


def add(commands: Any) -> None:
    """Add the command's arguments."""
    text = "Decodes every chunk of a Zarr array or group, of any codec, or a .bsw file. Exit status 1 if one fails."
    parser = commands.add_parser("verify", help="check that everything can be decoded", description=text)
    parser.add_argument("path", nargs="+", help="Zarr array or group (path or URL), or .bsw file")
    parser.add_argument("--threads", type=int, help="chunks at a time (default: the number of cores)")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Verify; returns the exit status."""
    from ..measure.estimate import size
    from ..readers.arrays import FRAME

    count = failed = total = 0
    for path in given.path:
        results = _file(path) if path.endswith(FRAME) else _zarr(path, given.threads)
        for name, place, nbytes, wrong in results:
            count, total = count + 1, total + nbytes
            if wrong is not None:
                failed += 1
                print(f"{name}: chunk {place}: {wrong}")
    print(f"{count} chunk(s), {size(total)}: " + (f"{failed} failed" if failed else "all decode"))
    return 1 if failed else 0


Result = tuple[str, tuple[int, ...], int, str | None]
"""Array, index in its grid, decoded bytes, and the error, or None."""


def _file(path: str) -> Iterator[Result]:
    from ..codec import BitSwap
    from ..errors import BitswapError, SourceError

    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error}") from error
    try:
        yield path, (), BitSwap().decode(data).nbytes, None
    except BitswapError as error:
        yield path, (), 0, f"{type(error).__name__}: {error}"


def _zarr(path: str, threads: int | None) -> Iterator[Result]:
    import os

    from ..convert.copying import use_models_of
    from ..convert.plan import zarr_arrays
    from .progress import Progress

    use_models_of(path)
    arrays = zarr_arrays(path)
    grids = [[-(-n // u) for n, u in zip(a.shape, a.shards or a.chunks, strict=True)] for a in arrays.values()]
    most = max(threads or os.cpu_count() or 1, 1)
    progress = Progress(sum(map(math.prod, grids)), sum(a.nbytes for a in arrays.values()))
    with ThreadPoolExecutor(most) as pool:
        for (name, array), grid in zip(arrays.items(), grids, strict=True):
            for result in _decoded(pool, 4 * most, f"{path}/{name}".rstrip("/"), array, grid):
                progress(1, result[2], 0)
                if result[3] is not None:
                    progress.end()
                yield result
    progress.end()
    sys.stderr.flush()


def _decoded(pool: ThreadPoolExecutor, most: int, name: str, array: Any, grid: Sequence[int]) -> Iterator[Result]:
    """Every chunk or shard of an array, a few at a time."""
    import numpy as np

    from ..measure.contents import batches

    unit = tuple(array.shards or array.chunks)

    def decode(place: tuple[int, ...]) -> Result:
        try:
            data = array[tuple(slice(p * u, (p + 1) * u) for p, u in zip(place, unit, strict=True))]
        except Exception as error:  # of any codec or store: this command reports them
            return name, place, 0, f"{type(error).__name__}: {error}"
        return name, place, np.asarray(data).nbytes, None

    for places in batches(product(*map(range, grid)), most):
        yield from pool.map(decode, places)

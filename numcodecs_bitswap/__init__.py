"""Lossless learned compression of arrays: Bit-Swap, BB-ANS and local bits-back for numcodecs and Zarr.

::

    array chunk
       | chunk.plan               which routes and models are tried
       |
       |-- chunk.plane_route      samples: integers 0 .. m; planes: least squares and a network, one call a tile
       |-- chunk.jpeg_route       jpeg: the coefficients of a JPEG file: found, coded, decoded in integers
       |-- chunk.model_route      patches -> bitsback.groups: nets give parameters, distributions give intervals
       |-- chunk.stored           Zstandard
       |
    payload                       the smallest; rans pushes and pops the messages in it
       | chunk.frame              build, and its inverse parse
    frame bytes

The inverse of every route stands next to it, in the same file.

Importing this package takes milliseconds: numba is loaded by the first chunk that a model codes, torch only for GPUs.
"""

from typing import TYPE_CHECKING, Any

from .errors import (
    BitswapError,
    DeviceError,
    FormatError,
    MessageExhausted,
    MissingModel,
    ModelError,
    ShapeWarning,
    SourceError,
    TransformWarning,
    VerifyError,
)
from .runtime.forks import loading

if TYPE_CHECKING:
    from .codec import BBANS, BitSwap, LocalBitsBack
    from .models.catalog import register_folder
    from .models.embedded import embed_model, use_models
    from .runtime.scheduler import set_device

    __version__: str

__all__ = [
    "BBANS",
    "BitSwap",
    "BitswapError",
    "DeviceError",
    "FormatError",
    "LocalBitsBack",
    "MessageExhausted",
    "MissingModel",
    "ModelError",
    "ShapeWarning",
    "SourceError",
    "TransformWarning",
    "VerifyError",
    "__version__",
    "embed_model",
    "register_folder",
    "set_device",
    "use_models",
]


_PLACES = {
    "BBANS": "codec",
    "BitSwap": "codec",
    "LocalBitsBack": "codec",
    "embed_model": "models.embedded",
    "register_folder": "models.catalog",
    "set_device": "runtime.scheduler",
    "use_models": "models.embedded",
}


if not TYPE_CHECKING:  # else every misspelled name would have a type

    def __getattr__(name: str) -> Any:
        # Deferred, so that `import numcodecs_bitswap.rans` and the like do not read numcodecs and its C libraries.
        if name in _PLACES:
            from importlib import import_module

            with loading():
                return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
        if name == "__version__":
            from importlib.metadata import version

            return version("numcodecs_bitswap")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""What a user's own file may look like: `mypy --strict` accepts it, and knows the types.

Each `type: ignore` is one of a mistake that mypy finds; were it not found, the comment would be reported as unused.
"""

from pathlib import Path
from typing import Any, assert_type

import numpy as np
import zarr
from numpy.typing import NDArray

import numcodecs_bitswap
from numcodecs_bitswap import (
    BBANS,
    BitSwap,
    BitswapError,
    DeviceError,
    FormatError,
    LocalBitsBack,
    MissingModel,
    ModelError,
    ShapeWarning,
    SourceError,
    TransformWarning,
    VerifyError,
    embed_model,
    register_folder,
    set_device,
    use_models,
)
from numcodecs_bitswap.cli import main
from numcodecs_bitswap.zarr3 import BBANSCodec, BitSwapCodec, LocalBitsBackCodec

MISTAKES = (FormatError, MissingModel, ModelError, SourceError, DeviceError, VerifyError)
WARNINGS: tuple[type[UserWarning], ...] = (ShapeWarning, TransformWarning)


def with_numcodecs(array: NDArray[np.uint16]) -> NDArray[Any]:
    """Encode and decode."""
    codec = BitSwap(model="auto", channel_axis=None, spatial_axes=(0, 1), verify=True)
    encoded = codec.encode(array)
    assert_type(encoded, bytes)
    decoded = codec.decode(encoded)
    assert_type(decoded, NDArray[Any])
    assert_type(BBANS().encode(array), bytes)
    assert_type(LocalBitsBack(model="photo-rgb8-flow").encode(array), bytes)
    try:
        codec.decode(b"no frame", out=np.empty_like(array))
    except FormatError as error:
        assert_type(str(error), str)
    except BitswapError:
        raise
    return decoded


def with_zarr(place: Path, array: NDArray[np.uint16]) -> None:
    """Write an array in both formats."""
    zarr.create_array(place / "three.zarr", data=array, serializer=BitSwapCodec(), compressors=None)
    zarr.create_array(place / "two.zarr", data=array, compressors=BitSwap(), zarr_format=2)
    for serializer in (BBANSCodec(model="auto"), LocalBitsBackCodec(channel_axis=0)):
        assert_type(serializer.channel_axis, str | int | None)


def with_models(place: Path) -> int:
    """Choose a device and models, and run a command."""
    set_device("cpu")
    register_folder(place)
    assert_type(embed_model(place / "three.zarr", "photo-v1"), list[str])
    assert_type(use_models(place / "three.zarr"), list[str])
    assert_type(numcodecs_bitswap.__version__, str)
    return main(["models", "list"])


def mistakes() -> None:
    """What mypy has to find."""
    BitSwap(model=3)  # type: ignore[arg-type]
    BitSwap(chanel_axis=0)  # type: ignore[call-arg]
    BitSwap("auto")  # type: ignore[call-arg, misc, unused-ignore]
    BitSwapCodec(spatial_axes=1)  # type: ignore[arg-type]
    set_device(0)  # type: ignore[arg-type]
    embed_model("three.zarr")  # type: ignore[call-arg]
    _ = numcodecs_bitswap.nothing  # type: ignore[attr-defined]

"""Hypothesis profile of the whole suite: few examples, and the same ones in every run. And the codecs, of which every
law holds.
"""

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # one of several processes: threads of torch would wait for each other
    os.environ.setdefault("MKL_NUM_THREADS", "1")

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from numcodecs_bitswap import BBANS, BitSwap, LocalBitsBack
from numcodecs_bitswap.zarr3 import BBANSCodec, BitSwapCodec, LocalBitsBackCodec

settings.register_profile("ci", max_examples=50, deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci")


@pytest.fixture(scope="session", params=[BitSwap, BBANS, LocalBitsBack], ids=lambda each: each.__name__)
def codec_class(request: pytest.FixtureRequest) -> Any:
    """Each numcodecs codec."""
    return request.param


@pytest.fixture(scope="session", params=[BitSwapCodec, BBANSCodec, LocalBitsBackCodec], ids=lambda each: each.__name__)
def serializer_class(request: pytest.FixtureRequest) -> Any:
    """Each serializer of Zarr format 3."""
    return request.param


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which the package finds models."""
    path = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUMCODECS_BITSWAP_MODELS", str(path))
        yield path

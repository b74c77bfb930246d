"""The package against the decoder written from FORMAT.md alone, on models with random weights: messages that the
package makes decode there, and frames made there decode in the package.
"""

import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from numcodecs_bitswap import BBANS
from numcodecs_bitswap.bitsback import groups
from numcodecs_bitswap.chunk import patches
from numcodecs_bitswap.chunk.frame import Header, ModelPayload, Route, build, build_model
from numcodecs_bitswap.distributions.tables import flow_tables, tables, vae_tables
from numcodecs_bitswap.models import catalog
from random_models import LIKELIHOODS, model_id, random_flow, random_hierarchy, random_vae
from reference import distributions as reference_distributions
from reference import flow as reference_flow
from reference import frames as reference_frames
from strategies import assert_identical
from test_reference_decoder import encode, smooth

CODECS = {1: "bit_swap", 2: "bb_ans"}
SIDES = (5, 7)  # of the patches of every vae


def frame_of(path: Path, array: NDArray[Any], codec: str, lanes: int) -> tuple[bytes, set[int]]:
    """The package's frame of images (n, h, w, c), also where storing them is smaller, and the core modes in it."""
    model = catalog.load(model_id(path), "cpu")
    axes = patches.Axes(1, 2, 3)
    classes = patches.split(array, axes, 1 << model.net.patch_log2)
    (coded,) = groups.encode(model.net, [each[None] for each in classes], lanes, codec)
    message = (lanes, coded.schedule, coded.heads, coded.tail)
    payload = ModelPayload(model.id, (1, 2, 3), model.net.patch_log2, *message)
    header = Header(Route.MODEL, zlib.crc32(array.tobytes()), "C", array.dtype, array.shape, codec)
    return build(header, build_model(payload)), {mode for _, mode in coded.schedule}


def check(path: Path, array: NDArray[Any], codec: str, lanes: int) -> set[int]:
    frame, modes = frame_of(path, array, codec, lanes)
    assert_identical(reference_frames.decode(frame, {model_id(path): path}.__getitem__), array)
    return modes


def test_tables() -> None:
    sigmoid, invscale, weight = (table.tolist() for table in tables())
    assert sigmoid == reference_distributions.SIGMOID
    assert invscale == reference_distributions.INVSCALE.tolist()
    assert weight == reference_distributions.WEIGHT.tolist()
    normal, edge, invsigma, rise, choose, power = (table.tolist() for table in vae_tables())
    assert normal == [reference_distributions.normal(i) for i in range(8192)]
    assert edge[1:] == [reference_distributions.edge(k) for k in range(1, 1024)]
    assert invsigma == reference_distributions.INVSIGMA
    assert rise == [reference_distributions.rise(a) for a in range(96)]
    assert choose == reference_distributions.CHOOSE
    assert power == reference_distributions.POWER
    tail, log, quantile, octaves = (table.tolist() for table in flow_tables())
    assert tail == reference_flow.TAIL.tolist()
    assert log == reference_flow.LOG.tolist()
    assert quantile == reference_flow.quantiles()
    assert octaves == reference_flow.OCTAVES.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("codec", CODECS.values())
@pytest.mark.parametrize("latent_bits", [1, 5, 9])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_vae_messages(folder: Path, likelihood: str, latent_bits: int, codec: str) -> None:
    """Of patches that the core fits, whether the message can fund them or not, and of others."""
    for channels in (1, 3):
        path = random_vae(folder, likelihood, channels=channels, latent_bits=latent_bits)
        for shape, modes in [((9, *SIDES), {0, 1}), ((4, 5, 15), {0, 1}), ((3, *SIDES[::-1]), {1})]:
            array = smooth((*shape, channels), LIKELIHOODS[likelihood])
            assert check(path, array, codec, lanes=3) == modes


images = st.tuples(st.integers(1, 5), st.integers(1, 19), st.integers(1, 19))


@pytest.mark.parametrize("codec", CODECS.values())
@pytest.mark.parametrize(("channels", "stages", "layers"), [(1, 0, 3), (3, 0, 2), (1, 2, 2), (3, 1, 3)])
@settings(max_examples=10)
@given(shape=images, lanes=st.integers(1, 9))
def test_hierarchy_messages(
    folder: Path, codec: str, channels: int, stages: int, layers: int, shape: tuple[int, int, int], lanes: int
) -> None:
    path = random_hierarchy(folder, channels=channels, stages=stages, layers=layers)
    check(path, smooth((*shape, channels)), codec, lanes)


@pytest.mark.parametrize(("channels", "stages", "bucket_bits"), [(1, 0, 0), (3, 0, 4), (1, 1, 3), (3, 1, 0)])
@settings(max_examples=6)
@given(g=st.integers(1, 5), h=st.integers(1, 4), w=st.integers(1, 4), lanes=st.integers(1, 9))
def test_flow_messages(
    folder: Path, channels: int, stages: int, bucket_bits: int, g: int, h: int, w: int, lanes: int
) -> None:
    """Of sides that the layers halve, and of others."""
    path = random_flow(folder, channels=channels, stages=stages, bucket_bits=bucket_bits)
    check(path, smooth((g, 2 * h, 2 * w, channels)), "local_bits_back", lanes)
    check(path, smooth((g, 2 * h - 1, w, channels)), "local_bits_back", lanes)


def test_flows_that_transform_latents_again(folder: Path) -> None:
    layers = [["squeeze"], ["affine", [0, 3]], ["mixture", [1, 2]], ["pointwise"], ["squeeze"], ["mixture", [2, 7, 9]]]
    array = smooth((9, 8, 4, 1))
    assert check(random_flow(folder, layers), array, "local_bits_back", 2) == {0, 1}


@pytest.mark.parametrize("number", CODECS)
def test_frames_with_other_choices_of_the_encoder(folder: Path, number: int) -> None:
    """The package decodes what it would not write: smaller patches and groups, direct groups in between."""
    paths = [random_vae(folder, likelihood) for likelihood in LIKELIHOODS]
    for path in (*paths, random_hierarchy(folder, stages=0), random_hierarchy(folder, stages=1, layers=3)):
        array = smooth((7, 5, 15), 2)
        frame, modes = encode(array, path, (1, 2, 255), codec=number, most=2, lanes=5, direct=lambda group: group == 3)
        assert set(modes) == {0, 1}
        assert_identical(BBANS().decode(frame), array)

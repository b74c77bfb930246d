"""measure/classical.py and harness.py: every codec gives back what it takes; figures are those of the bytes."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numcodecs_bitswap.chunk.patches import image_axes
from numcodecs_bitswap.measure.classical import _GENERAL, _PLANES, ARRAYS, PHOTOGRAPHS, classical
from numcodecs_bitswap.measure.harness import Peer, bitswap, measure, table
from strategies import picture

EVERY = [*_GENERAL, *(name for name in _PLANES if "effort 9" not in name and "q 100" not in name)]


@settings(max_examples=40)
@given(
    st.sampled_from(["u1", "<u2", ">u2", "<i2", ">i2", "i4", "f4", "f8", "i1"]),
    st.sampled_from(
        [((9, 11), None), ((3, 9, 11), None), ((9, 11, 3), 2), ((3, 9, 11), 0), ((2, 9, 11, 3), 3), ((50,), None)]
    ),
    st.integers(0, 2**16),
)
def test_every_codec_gives_back_what_it_takes(dtype: str, layout: Any, seed: int) -> None:
    shape, channel = layout
    rng = np.random.default_rng(seed)
    chunks = [(50 * rng.standard_normal(shape) + 20 * k).astype("f8").astype("i8").astype(dtype) for k in range(3)]
    peers = classical(chunks[0], EVERY, image_axes(shape, channel, "auto"))
    assert {"Zstd", "Blosc lz4"} <= {peer.name for peer in peers}
    for peer in peers:
        for chunk in chunks:
            got = peer.decode(peer.encode(chunk))
            assert (got.tobytes() if isinstance(got, np.ndarray) else bytes(got)) == chunk.tobytes(), peer.name


def test_which_codecs_take_what() -> None:
    def names(shape: tuple[int, ...], dtype: str) -> set[str]:
        return {peer.name for peer in classical(np.zeros(shape, dtype))}

    numbers = {"Zstd", "Blosc bitshuffle Zstd 9", "delta + Zstd 19"}
    images = {"PNG", "JPEG-LS", "JPEG 2000", "JPEG XL effort 7"}
    assert names((8, 8), "u1") == numbers | images | {"WebP method 6"}
    assert names((8, 8, 3), "u1") == numbers | images | {"WebP method 6"}
    assert names((2, 8, 8), "i2") == numbers | images | {"pcodec 12"}
    assert names((64,), "u2") == numbers | {"pcodec 12"}
    assert names((8, 8), "f4") == numbers - {"delta + Zstd 19"} | {"pcodec 12"}
    assert names((8, 8), "S3") == numbers - {"delta + Zstd 19"}
    assert {peer.name for peer in classical(np.zeros((8, 8, 3), "u1"), PHOTOGRAPHS)} == set(PHOTOGRAPHS)
    assert {*PHOTOGRAPHS, *ARRAYS} <= {*_GENERAL, *_PLANES}


def test_what_is_measured() -> None:
    chunks = [picture((40, 40), seed) for seed in range(3)]
    codec = bitswap("tiny-gray8-v1", "ours")
    rows = [measure(peer, chunks) for peer in (codec, *classical(chunks[0]))]
    total = sum(len(codec.encode(chunk)) for chunk in chunks)
    assert (rows[0].name, rows[0].total) == ("ours", total)
    assert rows[0].bits_per_sample == pytest.approx(8 * total / 4800)
    assert min(rows[0].encode_mb_s, rows[0].decode_mb_s) > 0
    lines = table(rows, "Zstd").splitlines()
    assert len(lines) == 2 + len(rows)
    assert f"| ours | {total:,} | {8 * total / 4800:.3f} |" in "\n".join(lines)
    wrong = Peer("wrong", lambda chunk: b"12", lambda encoded: np.zeros((40, 40), np.uint8))
    with pytest.raises(AssertionError, match="wrong did not decode"):
        measure(wrong, chunks)

"""Mixtures over 16-bit samples (FORMAT.md sections 3.10 and 3.9): torch, compiled and plain integers agree."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from numcodecs_bitswap.bitsback.blocks import pop_samples, push_samples
from numcodecs_bitswap.errors import FormatError
from numcodecs_bitswap.rans.message import Message
from numcodecs_bitswap.symbols.deep_mixture import DeepMixture
from numcodecs_bitswap.symbols.tables import tables
from plain_message import random_words, same
from test_symbols import native_cum, torch_cum

means = st.integers(0, 2097120) | st.integers(0, 4000) | st.sampled_from([0, 2097120])
component = st.tuples(st.integers(-127, 127), means, st.integers(0, 271))
mixtures = st.lists(component, min_size=1, max_size=5)
samples = st.integers(0, 65535) | st.integers(0, 100) | st.sampled_from([0, 65535])


def first_of(i: int) -> int:
    """L(i) of FORMAT.md section 3.10."""
    b = max((i >> 3) - 1, 0)
    return (i - 8 * b) * 2**b


def edge(s: int) -> int:
    return first_of(s - 112) if s >= 112 else -first_of(112 - s)


def centre(components: list[tuple[int, int, int]]) -> int:
    return max(components, key=lambda each: each[0] - each[2])[1] + 16 >> 5


def plain_cum(s: int, components: list[tuple[int, int, int]]) -> int:
    """FORMAT.md section 3.10, in its own order."""
    x = centre(components) + edge(s)
    if x <= 0 or x >= 2**16:
        return 0 if x <= 0 else 2**16
    sigmoid, invscale, weight = ([int(value) for value in table] for table in tables())
    top = max(logit for logit, _, _ in components)
    w = [weight[min(top - logit, 127)] for logit, _, _ in components]
    r = ((2**16 - 224) * 2**28) // sum(w)
    total = 0
    for w_k, (_, m, j) in zip(w, components, strict=True):
        octaves = max((j - 116) // 12, 0)
        inverse = invscale[j - 12 * octaves] * 2 ** (13 - octaves)
        total += w_k * sigmoid[min(max(((32 * x - 16 - m) * inverse >> 25) + 4096, 0), 8191)]
    return s + (r * total >> 44)


def mixture(components: list[tuple[int, int, int]], n: int) -> DeepMixture:
    """n symbols with the same components."""
    logits, means, scales = torch.tensor(components, dtype=torch.int32).T.expand(n, 3, -1).unbind(1)
    return DeepMixture(logits[None], means[None], scales[None])


@given(mixtures)
def test_every_bucket(components: list[tuple[int, int, int]]) -> None:
    """And every bucket that holds samples has a frequency."""
    symbols = list(range(225))
    cum = torch_cum(mixture(components, 225), symbols)
    assert native_cum(mixture(components, 225), symbols) == cum == [plain_cum(s, components) for s in symbols]
    first = [centre(components) + edge(s) for s in symbols]
    holds = [a < 2**16 and b > 0 for a, b in pairwise(first)]
    assert all((freq >= 1) == some for freq, some in zip(np.diff(cum), holds, strict=True))
    assert (cum[0], cum[-1]) == (0, 2**16)


@given(mixtures, st.lists(samples, min_size=1, max_size=50))
def test_a_sample_is_its_bucket_and_its_low_bits(components: list[tuple[int, int, int]], x: list[int]) -> None:
    distribution = mixture(components, len(x))
    buckets, low_bits, low = distribution.split(torch.tensor([x], dtype=torch.int32))
    assert distribution.join(buckets, low).tolist() == [x]
    for one, s, v, width in zip(
        x, buckets[0].tolist(), low[0].tolist(), (1 << 16 >> low_bits.prepare(0, len(x))[0][0]).tolist(), strict=True
    ):
        assert one == centre(components) + edge(s) + v
        assert 0 <= v < width == edge(s + 1) - edge(s)


def random_block(rng: np.random.Generator, batch: int, n: int, k: int) -> DeepMixture:
    fields = [rng.integers(low, high, (batch, n, k)) for low, high in ((-127, 128), (0, 2097121), (0, 272))]
    fields[1] = np.where(
        rng.random((batch, n, 1)) < 0.5, fields[1][:, :, :1] + rng.integers(-999, 999, (batch, n, k)), fields[1]
    )
    return DeepMixture(*(torch.from_numpy(f.clip(0 if i else -127, 2097120)).int() for i, f in enumerate(fields)))


@given(st.integers(0, 2**32), st.sampled_from([1, 3, 4]))
def test_both_backends_push_the_same_words_and_pop_the_samples(seed: int, k: int) -> None:
    rng, batch, n, lanes = np.random.default_rng(seed), 2, 300, 7
    distribution = random_block(rng, batch, n, k)
    x = np.where(
        rng.random((batch, n)) < 0.5,
        rng.integers(0, 65536, (batch, n)),
        distribution.centre.numpy() + rng.integers(-40, 40, (batch, n)),
    )
    x = torch.from_numpy(np.asarray(x).clip(0, 65535)).int()
    words = [random_words(rng, lanes, 9) for _ in range(batch)]
    ends = []
    for backend in ("numba", "torch"):
        message = Message.unflatten(words, backend=backend)
        push_samples(message, distribution, x)
        ends.append(message.flatten())
        assert torch.equal(pop_samples(message, distribution), x)
        assert same(message, words)
    assert same(message.unflatten(ends[0]), ends[1])


@pytest.mark.parametrize("mean", [100 * 32, 65000 * 32])
def test_a_sample_out_of_range_is_refused(mean: int) -> None:
    """No encoder pushes one, but the bucket at either end of the range reaches beyond it."""
    components = [(0, mean, 100)]
    distribution, cum = mixture(components, 1), [plain_cum(s, components) for s in range(225)]
    there = [s for s in range(224) if cum[s + 1] > cum[s]]
    bucket = torch.tensor([[there[0] if mean < 2**20 else there[-1]]], dtype=torch.int32)
    low_bits = distribution.low_bits(bucket)
    low = 0 if mean < 2**20 else (1 << 16 >> int(low_bits.prepare(0, 1)[0])) - 1
    message = Message.empty(1, 1)
    message.push(low_bits, torch.tensor([[low]], dtype=torch.int32))
    message.push(distribution, bucket)
    with pytest.raises(FormatError, match="out of range"):
        pop_samples(message, distribution)


def test_the_mixture_has_the_mass_of_its_logistics() -> None:
    """Far from every sample's own bucket being that wide: 224 buckets of 2^-16 and rounding is all that is lost."""
    for m, j in [(32 * 20000, 130), (32 * 3000 + 7, 100), (32 * 500, 60), (32 * 40000, 200)]:
        scale = 2 ** (j / 12 - 4)
        for s in range(1, 224):
            x = centre([(0, m, j)]) + edge(s)
            real = 1 / (1 + np.exp(np.clip(-(x - 0.5 - m / 32) / scale, -50, 50)))
            if 0 < x < 65536:
                assert abs(plain_cum(s, [(0, m, j)]) - s - real * (2**16 - 224)) < 2**16 * (0.25 / 384 + 1e-4)


def test_out_of_range_parameters_are_refused() -> None:
    good = torch.zeros(1, 2, 3, dtype=torch.int32)
    for bad in ((good, good - 1, good), (good, good + 2097121, good), (good, good, good + 272), (good, good, good - 1)):
        with pytest.raises(ValueError, match="not all in"):
            DeepMixture(*bad)
    with pytest.raises(ValueError, match="shapes"):
        DeepMixture(good, good[:, :1], good)

"""The reference decoder against a mirror-image encoder of the same page, on small random models.

The encoder shares the decoder's networks and distributions, so these tests prove that FORMAT.md describes a code that
can be inverted, and that the decoder refuses what the page forbids. They do not import the package.
"""

import copy
import json
import math
import zlib
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numcodecs import Zstd
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from random_models import LIKELIHOODS, model_id, random_hierarchy, random_vae
from reference import distributions as symbols
from reference import frames as ref
from reference.distributions import Block, Ints, Uniform
from reference.frames import Message
from reference.networks import FrameError, Model

Array = np.ndarray[Any, Any]

# ---- The mirror-image encoder


def varint(value: int) -> bytes:
    return (bytes([value & 127 | 128]) + varint(value >> 7)) if value > 127 else bytes([value])


def build_frame(route: int, array: Array, payload: bytes, layout: int = 0, codec: int = 1) -> bytes:
    dtype = array.dtype
    text = (json.dumps(dtype.descr, separators=(",", ":")) if dtype.names else dtype.str).encode()
    fields = b"".join(varint(n) for n in (array.ndim, *array.shape))
    order: Any = "CF"[layout]
    rest = zlib.crc32(array.tobytes(order)).to_bytes(4, "little") + bytes([layout]) + varint(len(text)) + text
    return seal(b"\x89BS" + bytes([1, codec, route]) + bytes(4) + rest + fields + payload)


def seal(frame: bytes) -> bytes:
    """The frame with its checksum made right."""
    return frame[:6] + zlib.crc32(frame[:6] + frame[10:]).to_bytes(4, "little") + frame[10:]


def push_all(message: Message, blocks: Iterable[tuple[Block, Ints]]) -> None:
    for block, values in reversed(list(blocks)):
        message.push(block, values)


def encode_stage(model: Model, stage: str, message: Message, field: Ints, shifts: bool) -> Ints:
    """Any shift may be chosen; here they take turns."""
    cells = ref.complete(field)
    c, d = cells[:, ::2, ::2], cells[:, 1::2, 1::2]
    for phases in (ref.pass_b(model, stage, c, d), ref.pass_a(model, stage, c)):
        for block, values in reversed(list(ref.blocks(model, phases, field))):
            if shifts and ref.has_shift(block):
                v = len(message.tail) % 8
                message.push(block.shifted(2 * v - 6), values)
                message.push(ref.SHIFT, np.array([v]))
            else:
                message.push(block, values)
    return c


def encode_bit_swap(model: Model, message: Message, x: Ints) -> None:
    core = ref.core_of(model, *x.shape[:3])
    chain = [x, *core.chain()[1:]]
    for n in range(model.latent_layers):
        ref.pop_all(message, [(core.q(n + 1, chain[n]), chain[n + 1])])
        push_all(message, core.p(n, chain[n + 1], chain[n]))
    message.push(core.prior(), chain[-1])


def encode_bb_ans(model: Model, message: Message, x: Ints) -> None:
    core = ref.core_of(model, *x.shape[:3])
    chain = [x, *core.chain()[1:]]
    for n in range(model.latent_layers):
        ref.pop_all(message, [(core.q(n + 1, chain[n]), chain[n + 1])])
    for n in range(model.latent_layers):
        push_all(message, core.p(n, chain[n + 1], chain[n]))
    message.push(core.prior(), chain[-1])


def encode_direct(model: Model, message: Message, x: Ints) -> None:
    while x.shape[1:3] != (1, 1):
        x = encode_stage(model, f"stage{model.stages + 1}", message, x, False)
    for ch in reversed(range(model.channels)):
        message.push(Uniform(len(x), 256), x[..., ch])


CODECS = {1: (encode_bit_swap, encode_direct), 2: (encode_bb_ans, encode_direct)}


def encode_field(model: Model, message: Message, codec: int, mode: int, x: Ints) -> None:
    for number in range(1, model.stages + 1):
        x = encode_stage(model, f"stage{number}", message, x, True)
    CODECS[codec][mode](model, message, x)


def encode(
    array: Array,
    path: Path,
    axes: tuple[int, int, int],
    *,
    codec: int = 1,
    lanes: int = 1,
    patch_log2: int = 3,
    most: int = 3,
    direct: Callable[[int], bool] = lambda group: False,
    layout: int = 0,
) -> tuple[bytes, list[int]]:
    """The frame and the core modes of its groups, of `most` patches each.

    Direct where asked, where bits are missing and where the core does not fit.
    """
    model = Model(path, model_id(path))
    y, x, channel = axes
    last = (y, x) if channel == 255 else axes
    images = np.moveaxis(array, last, tuple(range(-len(last), 0)))
    images = images.reshape(-1, array.shape[y], array.shape[x], model.channels).astype(np.int64)
    message = Message(ref.empty_heads(lanes), [])
    tiles = ref.tile(*images.shape[:3], 1 << patch_log2)
    schedule: list[tuple[int, int]] = []
    while tiles:
        h, w = tiles[0][3:]
        size = sum(t[3:] == (h, w) for t in tiles[: min(most, max(1, 2**19 // (h * w)))])
        group, tiles = tiles[:size], tiles[size:]
        field = np.stack([images[n, top : top + h, left : left + w] for n, top, left, _, _ in group])
        before, mode = copy.deepcopy(message), int(direct(len(schedule)))
        try:
            encode_field(model, message, codec, mode, field)
        except FrameError:
            message, mode = before, 1
            encode_field(model, message, codec, mode, field)
        schedule.append((size, mode))
    numbers = [lanes, len(schedule), *(2 * size + mode for size, mode in schedule), len(message.tail)]
    payload = model_id(path) + bytes([*axes, patch_log2]) + b"".join(varint(n) for n in numbers)
    payload += np.array(message.heads, "<u4").tobytes() + bytes(message.tail)
    return build_frame(4, array, payload, layout, codec), [mode for _, mode in schedule]


def smooth(shape: tuple[int, ...], levels: int = 256) -> Array:
    """Samples with small differences between neighbours, and every value somewhere."""
    rng = np.random.default_rng(0)
    ramp = sum(np.ix_(*(np.arange(n) * 3 for n in shape)), np.zeros(shape, np.int64))
    return ((ramp + rng.integers(-6, 7, shape)) % levels).astype(np.uint8)


def check(array: Array, path: Path, axes: tuple[int, int, int], **options: Any) -> list[int]:
    frame, modes = encode(array, path, axes, **options)
    decoded = ref.decode(frame, {model_id(path): path}.__getitem__)
    assert (decoded.dtype, decoded.shape) == (array.dtype, array.shape)
    assert decoded.tobytes() == array.tobytes()
    return modes


# ---- Tests


def test_tables() -> None:
    assert [symbols.SIGMOID[i] for i in (0, 4096, 8191)] == [2, 32768, 65534]
    assert [int(symbols.INVSCALE[j]) for j in (0, 48, 96)] == [49152 * 16, 49152, 3072]
    assert [int(symbols.WEIGHT[d]) for d in (0, 12, 127)] == [16384, 8192, 11]
    assert [symbols.normal(i) for i in (0, 4096 - 768, 4096, 8191)] == [0, 10398, 32768, 65536]
    assert [symbols.edge(k) for k in (1, 256, 512, 768, 1023)] == [-12686, -2763, 0, 2763, 12686]
    assert [symbols.INVSIGMA[j] for j in (0, 96, 108)] == [768 * 256, 768, 384]
    assert [symbols.rise(a)[x] for a, x in ((48, 0), (48, 3), (54, 2), (0, 1))] == [0, 10588, 10588, -32768]
    assert [symbols.CHOOSE[x] for x in (0, 1, 254, 255)] == [0, 32745, 32745, 0]
    assert [symbols.POWER[f] for f in (0, 2048)] == [2**28, 189812531]
    exact = [2**16 / (1 + (Decimal(4096 - i) / 384).exp()) for i in range(8192)]
    assert min(abs(v % 1 - Decimal("0.5")) for v in exact) > Decimal("1e-5")


def some_blocks(n: int) -> Iterator[Block]:
    rng = np.random.default_rng(1)
    logits, means, scales = (rng.integers(lo, hi, (n, 3)) for lo, hi in ((-127, 128), (-131071, 131072), (0, 128)))
    yield symbols.Mixture(logits, means, scales, 128)
    yield Uniform(n, 128)
    for p in (1, 5, 9):
        yield symbols.GaussianBuckets(rng.integers(-16384, 16385, n), rng.integers(0, 128, n), p)
    yield symbols.Listed(symbols.bernoulli, rng.integers(-341, 342, (n, 1)), 2)
    yield symbols.Listed(symbols.beta_binomial, rng.integers(0, 96, (n, 2)), 256)
    for alphabet in (2, 128, 256):
        yield symbols.Listed(symbols.categorical, rng.integers(-127, 128, (n, alphabet)), alphabet)


def test_push_and_pop_are_inverse_on_any_message() -> None:
    n = 20
    rng = np.random.default_rng(1)
    for block in some_blocks(n):
        for i in range(n):
            cum = [block.cum(i, s) for s in range(block.alphabet + 1)]
            assert (cum[0], cum[-1]) == (0, 2**16)
            assert min(np.diff(cum)) >= 1
        start = Message(rng.integers(2**24, 2**32, 7).tolist(), rng.integers(0, 2**8, 400).tolist())
        values = rng.integers(0, block.alphabet, n)
        message = copy.deepcopy(start)
        message.push(block, values)
        assert message.pop(block).tolist() == values.tolist()
        assert (message.heads, message.tail) == (start.heads, start.tail)
        message.push(block, message.pop(block))
        assert (message.heads, message.tail) == (start.heads, start.tail)


def check_masses(block: Block, expected: Any) -> None:
    masses = np.diff([block.cum(0, s) for s in range(block.alphabet + 1)]) / 2**16
    assert np.allclose(masses, expected, atol=5e-4)


def test_distributions_are_what_they_are_called() -> None:
    """Against closed forms of the real distributions."""
    for logit in range(-341, 342, 31):
        one = 1 / (1 + math.exp(-logit / 32))
        check_masses(symbols.Listed(symbols.bernoulli, np.array([[logit]]), 2), [1 - one, one])
    alpha, beta = 4, 2  # indices 60 and 54
    counts = [math.comb(x + alpha - 1, x) * math.comb(255 - x + beta - 1, 255 - x) for x in range(256)]
    masses = np.array(counts) / sum(counts)
    check_masses(symbols.Listed(symbols.beta_binomial, np.array([[60, 54]]), 256), masses)
    check_masses(symbols.Listed(symbols.categorical, np.array([[0, 12, -12, 24]]), 4), np.array([2, 4, 1, 8]) / 15)
    standard, narrow = (0, 96), (symbols.edge(768), 0)
    for (mean, scale), expected in [(standard, [0.25] * 4), (narrow, [0, 0, 0.5, 0.5])]:
        check_masses(symbols.GaussianBuckets(np.array([mean]), np.array([scale]), 2), expected)


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("stages", "mixtures", "layers"), [(0, 1, 1), (0, 2, 2), (1, 2, 1), (2, 1, 2), (2, 2, 3)])
def test_model_frames(tmp_path: Path, channels: int, stages: int, mixtures: int, layers: int) -> None:
    path = random_hierarchy(tmp_path, seed=2, channels=channels, stages=stages, mixtures=mixtures, layers=layers)
    seen = set()
    for size in [(1, 1), (1, 7), (5, 5), (13, 9), (8, 17), (16, 16)]:
        array = smooth((*size, channels))
        for codec, lanes in [(1, 1), (1, 5), (2, 5), (2, 1)]:
            seen |= set(check(array, path, (0, 1, 2), codec=codec, lanes=lanes))
        check(array, path, (0, 1, 2), direct=lambda group: group % 2 == 0)
    assert seen == {0, 1}


def test_shifts(tmp_path: Path) -> None:
    """Blocks of 272 symbols have them, those of 255 do not."""
    path, array = random_hierarchy(tmp_path, stages=1), smooth((34, 32))
    check(array, path, (0, 1, 255), patch_log2=6)
    for columns, shifted in ((32, True), (30, False)):
        field = smooth((1, 34, columns, 1)).astype(np.int64)
        messages = [Message(ref.empty_heads(1), []) for _ in range(2)]
        for message, shifts in zip(messages, (True, False), strict=True):
            encode_stage(Model(path, model_id(path)), "stage1", message, field, shifts)
        assert (messages[0].tail != messages[1].tail) == shifted


@pytest.mark.slow
@pytest.mark.parametrize("latent_bits", [1, 5, 9])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_vae_frames(tmp_path: Path, likelihood: str, latent_bits: int) -> None:
    """Patches that the core fits, and edges of the images that it does not."""
    for channels in (1, 3):
        path = random_vae(tmp_path, likelihood, channels=channels, latent_bits=latent_bits)
        seen = set()
        for shape in [(4, 5, 7), (3, 5, 9), (1, 13, 7), (2, 8, 8)]:
            array = smooth((*shape, channels), LIKELIHOODS[likelihood])
            for codec, lanes in [(1, 1), (2, 5)]:
                seen |= set(check(array, path, (1, 2, 3), codec=codec, lanes=lanes, most=2))
        assert seen == {0, 1}


def test_the_codec_is_the_order_of_the_latents(tmp_path: Path) -> None:
    """With one layer there is one order only."""
    array = smooth((10, 14))
    for path in (random_hierarchy(tmp_path, layers=1), random_vae(tmp_path, "logistic")):
        bit_swap, bb_ans = (encode(array, path, (0, 1, 255), codec=codec)[0] for codec in (1, 2))
        assert seal(bb_ans[:4] + b"\x01" + bb_ans[5:]) == bit_swap
    two_layers = random_hierarchy(tmp_path, layers=2)
    frame, modes = encode(array, two_layers, (0, 1, 255), codec=2)
    assert 0 in modes
    with pytest.raises(FrameError):
        ref.decode(seal(frame[:4] + b"\x01" + frame[5:]), lambda _: two_layers)


def test_a_core_refuses_patches_that_it_does_not_fit(tmp_path: Path) -> None:
    path = random_vae(tmp_path, "bernoulli")
    model = Model(path, model_id(path))
    for decode_core in (ref.decode_bit_swap, ref.decode_bb_ans):
        with pytest.raises(FrameError, match="own shape"):
            decode_core(model, Message([2**24], []), 1, 7, 5)


def test_axes_and_layouts(tmp_path: Path) -> None:
    grey, colour = random_hierarchy(tmp_path), random_hierarchy(tmp_path, channels=3)
    for layout in (0, 1):
        assert 0 in check(smooth((2, 3, 13, 9)), grey, (2, 3, 255), layout=layout)
        assert 0 in check(smooth((9, 2, 13, 1)), grey, (2, 0, 3), layout=layout)
        assert 0 in check(smooth((2, 3, 13, 9, 2)), colour, (2, 3, 1), layout=layout)
        frame, _ = encode(smooth((9, 13)), grey, (1, 0, 255), layout=layout)
        flags = ref.decode(frame, lambda _: grey).flags
        assert flags.f_contiguous if layout else flags.c_contiguous


def test_stored_routes() -> None:
    record = np.dtype([("a", "<i2"), ("b", "<f4", (2, 3)), ("c", [("d", "|u1"), ("e", "<M8[ns]")])])
    kinds = [np.dtype(name) for name in ("|u1", ">i4", "<f8", "|b1", "<M8[ns]", "<U3", "|S5", "|V3", "<c8")]
    for kind in [*kinds, record]:
        for shape in [(), (1,), (7,), (3, 0), (2, 3, 5), (1,) * 64]:
            for layout in (0, 1):
                items = int(np.prod(shape))
                source = np.random.default_rng(0).integers(0, 2, items * kind.itemsize, np.uint8)
                order: Any = "CF"[layout]
                array = np.ndarray(shape, kind, source.tobytes(), order=order)
                check_stored(0, array, source.tobytes(), layout)
                if not items:
                    continue
                check_stored(1, array, Zstd().encode(source), layout)
                check_stored(2, array, Zstd().encode(source.reshape(items, -1).T.tobytes()), layout)
                constant = np.full(shape, array.reshape(-1)[0], kind, order)
                check_stored(3, constant, source.tobytes()[: kind.itemsize], layout)


def check_stored(route: int, array: Array, payload: bytes, layout: int) -> None:
    decoded = ref.decode(build_frame(route, array, payload, layout), lambda _: "no model is asked for")
    assert (decoded.dtype, decoded.shape, decoded.strides) == (array.dtype, array.shape, array.strides)
    assert decoded.tobytes() == array.tobytes()


def test_descr_with_titles_and_padding() -> None:
    kind = np.dtype(
        {"names": ["a", "b"], "formats": ["<i2", "<i4"], "offsets": [0, 4], "titles": ["A", None], "itemsize": 12}
    )
    array = np.zeros(3, kind)
    check_stored(0, array, array.tobytes(), 0)


def test_damage_is_refused(tmp_path: Path) -> None:
    path = random_hierarchy(tmp_path)
    frame, modes = encode(smooth((9, 5)), path, (0, 1, 255))
    assert 0 in modes

    def find(_: bytes) -> Path:
        return path

    for end in range(len(frame)):
        with pytest.raises(FrameError):
            ref.decode(frame[:end], find)
        altered = frame[:end] + bytes([frame[end] ^ 1]) + frame[end + 1 :]
        with pytest.raises(FrameError):
            ref.decode(altered, find)
        if not 6 <= end < 10:  # the frame checksum itself
            with pytest.raises(FrameError):
                ref.decode(seal(altered), find)
    for longer in (frame + b"\0", frame + b"\0\0"):
        with pytest.raises(FrameError):
            ref.decode(seal(longer), find)
    with pytest.raises(FrameError, match="allows"):
        ref.decode(frame, find, limit=44)


HUGE = b"\x80\x80\x80\x80\x80\x80\x80\x80\x40"  # the varint of 2^62


@pytest.mark.parametrize(
    ("first", "last", "value", "rule"),
    [
        (0, 3, b"\x88BS", "magic"),
        (3, 4, b"\x02", "version"),
        (4, 5, b"\x04", "codec"),
        (5, 6, b"\x09", "route"),
        (14, 15, b"\x02", "layout"),
        (15, 19, b"\x02|O", "without objects"),
        (15, 19, b"\x02u1", "numpy's own form"),
        (15, 19, b"\x03[1]", "dtype"),
        (15, 19, b'\x0e[["a", "|u1"]]', "numpy's own form"),
        (15, 19, b"\x03|X1", "dtype"),
        (19, 20, b"\x41", "ndim"),
        (19, 20, b"\x81\x00", "shortest"),
        (20, 21, b"\xff" * 9 + b"\x01", "9 bytes"),
        (19, 26, b"\x03\x00\x02" + HUGE, "2\\^62"),
    ],
)
def test_fields_out_of_range_are_refused(first: int, last: int, value: bytes, rule: str) -> None:
    array = np.arange(5, dtype=np.uint8)
    frame = build_frame(0, array, array.tobytes())
    ref.decode(frame, lambda _: "")
    with pytest.raises(FrameError, match=rule):
        ref.decode(seal(frame[:first] + value + frame[last:]), lambda _: "")


def test_lengths_of_zero_do_not_count_for_the_largest_product() -> None:
    array = np.zeros((3, 0, 2**60), np.uint8)
    assert ref.decode(build_frame(0, array, b""), lambda _: "").shape == array.shape


def test_exactly_one_zstandard_frame_of_the_decoded_size() -> None:
    data = bytes(range(256)) * 1200  # three blocks
    packed = Zstd().encode(data)
    no_size = b"\x28\xb5\x2f\xfd\x00\x58" + (5 << 3 | 1).to_bytes(3, "little") + bytes(5)
    for payload, size, rule in [
        (packed, len(data) - 1, "content size is"),
        (packed[:-1], len(data), "all of its fields"),
        (packed + b"\0", len(data), "nothing after"),
        (packed + Zstd().encode(b""), len(data), "nothing after"),
        (no_size, 5, "states"),
        (b"\0" + packed, len(data), "a Zstandard frame"),
    ]:
        with pytest.raises(FrameError, match=rule):
            ref.unpack(payload, size)
    for size in (1, 255, 256, 65791, 65792, len(data)):
        for start in (data[:size], bytes(size), np.random.default_rng(0).bytes(size)):
            assert ref.unpack(Zstd(checksum=bool(size % 2)).encode(start), size) == start


def test_groups_of_several_patches_are_bounded() -> None:
    tiles = ref.tile(9, 256, 256, 256)
    assert [len(group) for group, _ in ref.cut_into_groups(tiles, [(8, 0), (1, 1)])] == [8, 1]
    with pytest.raises(FrameError, match="2\\^19"):
        ref.cut_into_groups(tiles, [(9, 0)])
    assert ref.cut_into_groups(ref.tile(1, 4096, 4096, 4096), [(1, 0)])


def layer_by_hand(model: Model, name: str, u: list[int]) -> list[int]:
    w, b, f = (values.tolist() for values in model.layers[name])
    sums = [sum(p * q for p, q in zip(row, u, strict=True)) for row in w]
    return [math.floor(Fraction(s + t, 2**n) + Fraction(n > 0, 2)) for s, t, n in zip(sums, b, f, strict=True)]


def test_head_and_skip_by_hand(tmp_path: Path) -> None:
    path = random_hierarchy(tmp_path)
    model = Model(path, model_id(path))
    u = np.random.default_rng(0).integers(-127, 128, (2, 3, 4, 17))
    h, y = ref.trunk(model, "stage1.a", u)
    for at in np.ndindex(2, 3, 4):
        head = layer_by_hand(model, "stage1.a.head", h[at].tolist())
        skip = layer_by_hand(model, "stage1.a.skip", u[at].tolist())
        assert y[at].tolist() == [p + q for p, q in zip(head, skip, strict=True)]


def test_channel_networks_by_hand(tmp_path: Path) -> None:
    path = random_hierarchy(tmp_path, channels=3)
    model = Model(path, model_id(path))
    rng = np.random.default_rng(0)
    h, x, base = rng.integers(-127, 128, 5), rng.integers(0, 256, 2), rng.integers(0, 8161, 2)
    name = "stage1.phase10.2"
    d = [max(-127, min(127, int(v) - (int(own) + 16) // 32)) for v, own in zip(x, base, strict=True)]
    v = [max(0, min(127, value)) for value in layer_by_hand(model, f"{name}.in", [*h.tolist(), *d])]
    assert ref.correction(model, name, h, x, base).tolist() == layer_by_hand(model, f"{name}.out", v)


def test_broken_models_are_refused(tmp_path: Path) -> None:
    path = random_hierarchy(tmp_path, channels=3)
    tensors, read = load_file(path), reader_of_changed(path)
    name = "stage2.phase01.2.in"
    w, b, f = (tensors[f"{name}.{part}"] for part in "wbf")
    assert "more.w" not in read(tensors | {"more.w": np.zeros(3)}).layers
    for altered, rule in [
        ({f"{name}.w": np.full_like(w, -64)}, "weights and shifts"),
        ({f"{name}.f": np.full_like(f, 25)}, "weights and shifts"),
        ({f"{name}.b": np.full_like(b, -(2**24))}, "sums"),
        ({f"{name}.b": b.astype(np.int64)}, "int32"),
        ({f"{name}.b": b[1:]}, "sizes"),
        ({f"{name}.w": w[:, 1:].copy()}, "sizes"),
        ({"prior": tensors["prior"][:1]}, "prior"),
    ]:
        with pytest.raises(FrameError, match=rule):
            read(tensors | altered)
    for missing in (f"{name}.w", "stage2.b.head.f", "stage1.a.skip.w", "prior"):
        with pytest.raises(FrameError, match="there is a tensor"):
            read({other: tensor for other, tensor in tensors.items() if other != missing})
    for changes in (
        {"channels": 2},
        {"stages": 9},
        {"mixtures": 0},
        {"kind": "other"},
        {"format": 3},
        {"patch_log2": 13},
    ):
        with pytest.raises(FrameError):
            read(tensors, **changes)
    with pytest.raises(FrameError, match="model id"):
        Model(path, bytes(16))


def reader_of_changed(path: Path) -> Callable[..., Model]:
    """Reads the model file with other tensors and other values in `arch`."""
    with safe_open(path, "numpy") as file:
        arch = json.loads(file.metadata()["arch"])

    def read(tensors: dict[str, Array], **changes: Any) -> Model:
        altered = path.with_name("altered.safetensors")
        save_file(tensors, altered, {"arch": json.dumps(arch | changes)})
        return Model(altered, model_id(altered))

    return read


def test_broken_vae_models_are_refused(tmp_path: Path) -> None:
    path = random_vae(tmp_path, "categorical")
    tensors, read = load_file(path), reader_of_changed(path)
    read(tensors, stages=3, patch_log2=20)  # no keys of this kind
    for name in ("q.in.w", "p.head.b", "p.skip.f", "stage1.b.0.conv.w"):
        with pytest.raises(FrameError, match="there is a tensor"):
            read({other: tensor for other, tensor in tensors.items() if other != name})
    for changes in (
        {"channels": 3},
        {"height": 6},
        {"width": 4097},
        {"latent_channels": 4},
        {"latent_bits": 10},
        {"likelihood": "normal"},
        {"likelihood": "bernoulli"},
        {"levels": 6},
        {"levels": 129},
        {"format": 1},
        {"blocks": {"direct": 65}},
    ):
        with pytest.raises(FrameError):
            read(tensors, **changes)

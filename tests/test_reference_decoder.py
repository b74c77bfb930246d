"""The reference decoder against a mirror-image encoder of the same page, on small random models.

The encoder shares the decoder's networks and distributions, so these tests prove that FORMAT.md describes a code that
can be inverted, and that the decoder refuses what the page forbids. They do not import the package.
"""

import copy
import hashlib
import json
import math
import zlib
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numcodecs import Zstd
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import reference_decoder as ref
from reference_decoder import FrameError, Ints, Message, Model, Uniform

Array = np.ndarray[Any, Any]

# ---- A random model


def random_model(
    folder: Path,
    *,
    seed: int = 0,
    channels: int = 1,
    stages: int = 1,
    mixtures: int = 2,
    layers: int = 2,
    width: int = 5,
) -> Path:
    """A model file of small widths; its networks have two blocks in the stages, one elsewhere."""
    rng = np.random.default_rng(seed)
    c, z = channels, 3
    phase = 3 * mixtures * c + c * (c - 1) // 2
    blocks = {"stage": 2, "core": 1, "direct": 1}
    tensors: dict[str, Any] = {
        "prior": np.stack([rng.integers(-2000, 2000, z), rng.integers(0, 128, z)]).astype(np.int32)
    }

    def layer(name: str, inputs: int, outputs: int) -> None:
        tensors[f"{name}.w"] = rng.integers(-63, 64, (outputs, inputs), np.int8)
        tensors[f"{name}.b"] = rng.integers(-30000, 30001, outputs, np.int32)
        tensors[f"{name}.f"] = rng.choice(np.array([0, 4, 6, 8, 10], np.uint8), outputs)

    def trunk(name: str, n_blocks: int, inputs: int, outputs: int) -> None:
        layer(f"{name}.in", inputs, width)
        for k in range(n_blocks):
            layer(f"{name}.{k}.conv", 9 * width, width + 1)
            layer(f"{name}.{k}.out", width + 1, width)
        layer(f"{name}.head", width, outputs)
        layer(f"{name}.skip", inputs, outputs)

    for t in range(1, stages + 2):
        n_blocks = blocks["stage" if t <= stages else "direct"]
        trunk(f"stage{t}.a", n_blocks, 17 * c, phase)
        trunk(f"stage{t}.b", n_blocks, 33 * c, 2 * phase)
        for network in (f"stage{t}.phase{ab}.{ch}" for ab in ("11", "01", "10") for ch in range(1, c)):
            layer(f"{network}.in", width + int(network[-1]), width + 2)
            layer(f"{network}.out", width + 2, 3 * mixtures)
    for n in range(layers):
        trunk(f"q{n + 1}", blocks["core"], z if n else 4 * c, 2 * z)
        trunk(f"p{n}", blocks["core"], z, 2 * z if n else 4 * phase)
    arch = {
        "format": 1,
        "kind": "bit_swap",
        "channels": channels,
        "stages": stages,
        "mixtures": mixtures,
        "latent_layers": layers,
        "latent_channels": z,
        "blocks": blocks,
    }
    path = folder / f"{seed}-{channels}-{stages}-{mixtures}-{layers}-{width}.safetensors"
    save_file(tensors, path, {"arch": json.dumps(arch), "name": "random"})
    return path


def model_id(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()[:16]


# ---- The mirror-image encoder


def varint(value: int) -> bytes:
    return (bytes([value & 127 | 128]) + varint(value >> 7)) if value > 127 else bytes([value])


def build_frame(route: int, array: Array, payload: bytes, layout: int = 0) -> bytes:
    dtype = array.dtype
    text = (json.dumps(dtype.descr, separators=(",", ":")) if dtype.names else dtype.str).encode()
    fields = b"".join(varint(n) for n in (array.ndim, *array.shape))
    order: Any = "CF"[layout]
    rest = zlib.crc32(array.tobytes(order)).to_bytes(4, "little") + bytes([layout]) + varint(len(text)) + text
    return seal(b"\x89BS\x01\x01" + bytes([route]) + bytes(4) + rest + fields + payload)


def seal(frame: bytes) -> bytes:
    """The frame with its checksum made right."""
    return frame[:6] + zlib.crc32(frame[:6] + frame[10:]).to_bytes(4, "little") + frame[10:]


def push_phases(model: Model, message: Message, phases: list[ref.Phase], cells: Ints, h: int, w: int) -> None:
    for block, pixels in reversed(list(ref.blocks(model, phases, cells, h, w))):
        message.push(block, pixels)


def encode_stage(model: Model, stage: str, message: Message, field: Ints) -> Ints:
    h, w = field.shape[1:3]
    cells = ref.complete(field)
    c, d = cells[:, ::2, ::2], cells[:, 1::2, 1::2]
    push_phases(model, message, ref.pass_b(model, stage, c, d), cells, h, w)
    push_phases(model, message, ref.pass_a(model, stage, c), cells, h, w)
    return c


def encode_bit_swap(model: Model, message: Message, x: Ints) -> None:
    cells = ref.complete(x)
    g, rows, columns = cells[:, ::2, ::2].shape[:3]
    shape = (g, rows, columns, model.latent_channels)
    z = message.pop(ref.latents_given(model, "q1", ref.data_of_cells(cells))).reshape(shape)
    push_phases(model, message, ref.data_phases(model, z), cells, *x.shape[1:3])
    for n in range(1, model.latent_layers):
        lower, z = z, message.pop(ref.latents_given(model, f"q{n + 1}", z - 64)).reshape(shape)
        message.push(ref.latents_given(model, f"p{n}", z - 64), lower)
    message.push(ref.prior(model, g, rows, columns), z)


def encode_direct(model: Model, message: Message, x: Ints) -> None:
    while x.shape[1:3] != (1, 1):
        x = encode_stage(model, f"stage{model.stages + 1}", message, x)
    for ch in reversed(range(model.channels)):
        message.push(Uniform(len(x), 256), x[..., ch])


def encode_field(model: Model, message: Message, mode: int, x: Ints) -> None:
    for number in range(1, model.stages + 1):
        x = encode_stage(model, f"stage{number}", message, x)
    (encode_bit_swap, encode_direct)[mode](model, message, x)


def encode(
    array: Array,
    path: Path,
    axes: tuple[int, int, int],
    *,
    lanes: int = 1,
    patch_log2: int = 3,
    most: int = 3,
    direct: Callable[[int], bool] = lambda group: False,
    layout: int = 0,
) -> tuple[bytes, list[int]]:
    """The frame and the core modes of its groups, of `most` patches; direct where asked or where bits are missing."""
    model = Model(path, model_id(path))
    y, x, channel = axes
    last = (y, x) if channel == 255 else axes
    images = np.moveaxis(array, last, tuple(range(-len(last), 0)))
    images = images.reshape(-1, array.shape[y], array.shape[x], model.channels).astype(np.int64)
    message = Message([2**16] * lanes, [])
    tiles = ref.tile(*images.shape[:3], 1 << patch_log2)
    schedule: list[tuple[int, int]] = []
    while tiles:
        h, w = tiles[0][3:]
        size = sum(t[3:] == (h, w) for t in tiles[: min(most, max(1, 2**19 // (h * w)))])
        group, tiles = tiles[:size], tiles[size:]
        field = np.stack([images[n, top : top + h, left : left + w] for n, top, left, _, _ in group])
        before, mode = copy.deepcopy(message), int(direct(len(schedule)))
        try:
            encode_field(model, message, mode, field)
        except FrameError:
            message, mode = before, 1
            encode_field(model, message, mode, field)
        schedule.append((size, mode))
    numbers = [lanes, len(schedule), *(2 * size + mode for size, mode in schedule), len(message.tail)]
    payload = model_id(path) + bytes([*axes, patch_log2]) + b"".join(varint(n) for n in numbers)
    payload += np.array(message.heads, "<u4").tobytes() + np.array(message.tail, "<u2").tobytes()
    return build_frame(4, array, payload, layout), [mode for _, mode in schedule]


def smooth(shape: tuple[int, ...], seed: int = 0) -> Array:
    """Samples with small differences between neighbours, and every value somewhere."""
    rng = np.random.default_rng(seed)
    ramp = sum(np.ix_(*(np.arange(n) * 3 for n in shape)), np.zeros(shape, np.int64))
    return ((ramp + rng.integers(-6, 7, shape)) % 256).astype(np.uint8)


def check(array: Array, path: Path, axes: tuple[int, int, int], **options: Any) -> list[int]:
    frame, modes = encode(array, path, axes, **options)
    decoded = ref.decode(frame, {model_id(path): path}.__getitem__)
    assert (decoded.dtype, decoded.shape) == (array.dtype, array.shape)
    assert decoded.tobytes() == array.tobytes()
    return modes


# ---- Tests


def test_tables() -> None:
    assert [ref.SIGMOID[i] for i in (0, 4096, 8191)] == [2, 32768, 65534]
    assert [int(ref.INVSCALE[j]) for j in (0, 48, 96)] == [49152 * 16, 49152, 3072]
    assert [int(ref.WEIGHT[d]) for d in (0, 12, 127)] == [16384, 8192, 11]
    exact = [2**16 / (1 + (Decimal(4096 - i) / 384).exp()) for i in range(8192)]
    assert min(abs(v % 1 - Decimal("0.5")) for v in exact) > Decimal("1e-5")


def test_push_and_pop_are_inverse_on_any_message() -> None:
    rng = np.random.default_rng(1)
    n, k, alphabet = 50, 3, 128
    logits, means, scales = (rng.integers(lo, hi, (n, k)) for lo, hi in ((-127, 128), (-131071, 131072), (0, 128)))
    for block in (ref.Mixture(logits, means, scales, alphabet), Uniform(n, alphabet)):
        for i in range(n):
            cum = [block.cum(i, s) for s in range(alphabet + 1)]
            assert (cum[0], cum[-1]) == (0, 2**16)
            assert min(np.diff(cum)) >= 1
        start = Message(rng.integers(2**16, 2**32, 7).tolist(), rng.integers(0, 2**16, 200).tolist())
        symbols = rng.integers(0, alphabet, n)
        message = copy.deepcopy(start)
        message.push(block, symbols)
        assert message.pop(block).tolist() == symbols.tolist()
        assert (message.heads, message.tail) == (start.heads, start.tail)
        message.push(block, message.pop(block))
        assert (message.heads, message.tail) == (start.heads, start.tail)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("stages", "mixtures", "layers"), [(0, 1, 1), (0, 2, 2), (1, 2, 1), (2, 1, 2), (2, 2, 3)])
def test_model_frames(tmp_path: Path, channels: int, stages: int, mixtures: int, layers: int) -> None:
    path = random_model(tmp_path, channels=channels, stages=stages, mixtures=mixtures, layers=layers)
    seen = set()
    for size in [(1, 1), (1, 7), (5, 5), (13, 9), (8, 17), (16, 16)]:
        for lanes in (1, 5):
            array = smooth((*size, channels))
            seen |= set(check(array, path, (0, 1, 2), lanes=lanes))
            check(array, path, (0, 1, 2), lanes=lanes, direct=lambda group: group % 2 == 0)
    assert seen == {0, 1}


def test_axes_and_layouts(tmp_path: Path) -> None:
    grey, colour = random_model(tmp_path), random_model(tmp_path, channels=3)
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
    path = random_model(tmp_path)
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
        (4, 5, b"\x02", "codec"),
        (5, 6, b"\x05", "route"),
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
    path = random_model(tmp_path)
    model = Model(path, model_id(path))
    u = np.random.default_rng(0).integers(-127, 128, (2, 3, 4, 17))
    h, y = ref.trunk(model, "stage1.a", u)
    for at in np.ndindex(2, 3, 4):
        head = layer_by_hand(model, "stage1.a.head", h[at].tolist())
        skip = layer_by_hand(model, "stage1.a.skip", u[at].tolist())
        assert y[at].tolist() == [p + q for p, q in zip(head, skip, strict=True)]


def test_channel_networks_by_hand(tmp_path: Path) -> None:
    path = random_model(tmp_path, channels=3)
    model = Model(path, model_id(path))
    rng = np.random.default_rng(0)
    h, x, base = rng.integers(-127, 128, 5), rng.integers(0, 256, 2), rng.integers(0, 8161, 2)
    name = "stage1.phase10.2"
    d = [max(-127, min(127, int(v) - (int(own) + 16) // 32)) for v, own in zip(x, base, strict=True)]
    v = [max(0, min(127, value)) for value in layer_by_hand(model, f"{name}.in", [*h.tolist(), *d])]
    assert ref.correction(model, name, h, x, base).tolist() == layer_by_hand(model, f"{name}.out", v)


def test_broken_models_are_refused(tmp_path: Path) -> None:
    path = random_model(tmp_path, channels=3)
    tensors = load_file(path)
    with safe_open(path, "numpy") as file:
        metadata = file.metadata()
    arch = json.loads(metadata["arch"])

    def read(tensors: dict[str, Array], **changes: Any) -> Model:
        altered = tmp_path / "altered.safetensors"
        save_file(tensors, altered, {"arch": json.dumps(arch | changes)})
        return Model(altered, model_id(altered))

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
    for changes in ({"channels": 2}, {"stages": 9}, {"mixtures": 0}, {"kind": "other"}, {"format": 3}):
        with pytest.raises(FrameError):
            read(tensors, **changes)
    with pytest.raises(FrameError, match="model id"):
        Model(path, bytes(16))

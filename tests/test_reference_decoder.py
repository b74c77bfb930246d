"""The reference decoder against a mirror-image encoder of the same page, on small random models.

The encoder shares the decoder's networks and distributions, so these tests prove that FORMAT.md describes a code that
can be inverted, and that the decoder refuses what the page forbids. They do not import the package.
"""

import copy
import hashlib
import json
import zlib
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference_decoder as ref
from numcodecs import Zstd
from reference_decoder import FrameError, Ints, Message, Model, Uniform
from safetensors.numpy import save_file

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
        layer(f"{name}.head", width + inputs, outputs)

    for t in range(1, stages + 2):
        n_blocks = blocks["stage" if t <= stages else "direct"]
        trunk(f"stage{t}.a", n_blocks, 17 * c, phase)
        trunk(f"stage{t}.b", n_blocks, 33 * c, 2 * phase)
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


def build_frame(route: int, array: np.ndarray[Any, Any], payload: bytes, layout: int = 0, dtype: str = "") -> bytes:
    text = (dtype or array.dtype.str).encode()
    fields = b"".join(varint(n) for n in (array.ndim, *array.shape))
    order: Any = "CF"[layout]
    rest = zlib.crc32(array.tobytes(order)).to_bytes(4, "little") + bytes([layout]) + varint(len(text)) + text
    return seal(b"\x89BS\x01\x01" + bytes([route]) + bytes(4) + rest + fields + payload)


def seal(frame: bytes) -> bytes:
    """The frame with its checksum made right."""
    return frame[:6] + zlib.crc32(frame[:6] + frame[10:]).to_bytes(4, "little") + frame[10:]


def push_phases(message: Message, blocks: ref.Blocks) -> None:
    for block, pixels in reversed(list(blocks)):
        message.push(block, pixels)


def encode_stage(model: Model, name: str, message: Message, field: Ints) -> Ints:
    h, w = field.shape[1:3]
    cells = ref.complete(field)
    c, d = cells[:, ::2, ::2], cells[:, 1::2, 1::2]
    push_phases(message, ref.phase_blocks(*ref.pass_b(model, name, c, d), ref.PASS_B, cells, h, w))
    push_phases(message, ref.phase_blocks(*ref.pass_a(model, name, c), ref.PASS_A, cells, h, w))
    return c


def encode_bit_swap(model: Model, message: Message, x: Ints) -> None:
    cells = ref.complete(x)
    g, rows, columns = cells[:, ::2, ::2].shape[:3]
    shape = (g, rows, columns, model.latent_channels)
    z = message.pop(ref.latents(ref.trunk(model, "q1", ref.data_of_cells(cells)))).reshape(shape)
    push_phases(message, ref.data_blocks(model, z, cells, *x.shape[1:3]))
    for n in range(1, model.latent_layers):
        lower, z = z, message.pop(ref.latents(ref.trunk(model, f"q{n + 1}", z - 64))).reshape(shape)
        message.push(ref.latents(ref.trunk(model, f"p{n}", z - 64)), lower)
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
    array: np.ndarray[Any, Any],
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
        size = sum(t[3:] == tiles[0][3:] for t in tiles[:most])
        group, tiles = tiles[:size], tiles[size:]
        field = np.stack([images[n, top : top + h, left : left + w] for n, top, left, h, w in group])
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


def smooth(shape: tuple[int, ...], seed: int = 0) -> np.ndarray[Any, Any]:
    """Samples with small differences between neighbours, and every value somewhere."""
    rng = np.random.default_rng(seed)
    ramp = sum(np.ix_(*(np.arange(n) * 3 for n in shape)), np.zeros(shape, np.int64))
    return ((ramp + rng.integers(-6, 7, shape)) % 256).astype(np.uint8)


def check(array: np.ndarray[Any, Any], path: Path, axes: tuple[int, int, int], **options: Any) -> list[int]:
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
                text = json.dumps(kind.descr) if kind.names else ""
                check_stored(0, array, source.tobytes(), layout, text)
                if not items:
                    continue
                check_stored(1, array, Zstd().encode(source), layout, text)
                check_stored(2, array, Zstd().encode(source.reshape(items, -1).T.tobytes()), layout, text)
                constant = np.full(shape, array.reshape(-1)[0], kind, order)
                check_stored(3, constant, source.tobytes()[: kind.itemsize], layout, text)


def check_stored(route: int, array: np.ndarray[Any, Any], payload: bytes, layout: int, text: str) -> None:
    decoded = ref.decode(build_frame(route, array, payload, layout, text), lambda _: "no model is asked for")
    assert (decoded.dtype, decoded.shape, decoded.strides) == (array.dtype, array.shape, array.strides)
    assert decoded.tobytes() == array.tobytes()


def test_descr_with_titles_and_padding() -> None:
    kind = np.dtype(
        {"names": ["a", "b"], "formats": ["<i2", "<i4"], "offsets": [0, 4], "titles": ["A", None], "itemsize": 12}
    )
    array = np.zeros(3, kind)
    frame = build_frame(0, array, array.tobytes(), 0, json.dumps(kind.descr))
    assert ref.decode(frame, lambda _: "").dtype == kind


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


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("magic", b"\x88BS"),
        ("version", b"\x02"),
        ("codec", b"\x02"),
        ("route", b"\x05"),
        ("layout", b"\x02"),
        ("dtype", b"\x03|O8"),
        ("dtype", b"\x02u1"),
        ("dtype", b"\x03[1]"),
        ("ndim", b"\x41"),
        ("ndim", b"\x81\x00"),
        ("shape", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
    ],
)
def test_fields_out_of_range_are_refused(field: str, value: bytes) -> None:
    array = np.arange(5, dtype=np.uint8)
    frame = build_frame(0, array, array.tobytes())
    first, last = {
        "magic": (0, 3),
        "version": (3, 4),
        "codec": (4, 5),
        "route": (5, 6),
        "layout": (14, 15),
        "dtype": (15, 19),
        "ndim": (19, 20),
        "shape": (20, 21),
    }[field]
    ref.decode(frame, lambda _: "")
    with pytest.raises(FrameError):
        ref.decode(seal(frame[:first] + value + frame[last:]), lambda _: "")

"""The plane coder against the decoder written from FORMAT.md alone, on models with random weights."""

import hashlib
import json
import zlib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from numcodecs_bitswap import BitSwap, FormatError, ModelError, samples
from numcodecs_bitswap.chunk import frame, plane_payload, plane_route
from numcodecs_bitswap.chunk.frame import Header, Route
from numcodecs_bitswap.chunk.patches import Axes
from numcodecs_bitswap.chunk.plane_payload import PlanesPayload
from numcodecs_bitswap.jpeg import colour
from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.planes import coder, least_squares, model, tables
from numcodecs_bitswap.planes.coder import Order
from random_models import SMALL_PLANES, model_id, random_planes
from reference import frames as reference_frames
from reference import planes as reference_planes
from reference.networks import FrameError
from strategies import assert_identical

Array = NDArray[Any]


class Seen:
    """What distributions a reference decoder made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.centres: set[tuple[int, int]] = set()
        self.bits: set[int] = set()
        seen = self

        class Noted(reference_planes.Buckets):
            def __init__(self, *arguments: Any) -> None:
                super().__init__(*arguments)
                seen.centres |= {(centre, self.m) for centre in self.centre}

            def bits(self, s: int) -> int:
                seen.bits.add(super().bits(s))
                return super().bits(s)

        monkeypatch.setattr(reference_planes, "Buckets", Noted)


def smooth(shape: tuple[int, ...], step: int = 3, noise: int = 6) -> Array:
    ramp = sum(np.ix_(*(np.arange(n) * step for n in shape)), np.zeros(shape, np.int64))
    return ramp + np.random.default_rng(0).integers(-noise, noise + 1, shape)


def ends(array: Array) -> Array:
    """Some samples at the ends of their range and far from their neighbours."""
    array = array.copy()
    flat = array.reshape(-1)
    flat[3::17], flat[5::19] = array.min(), array.max()
    return array


def rgb_of_a_jpeg(shape: tuple[int, int]) -> Array:
    ycbcr = np.stack([smooth(shape) % 256, 128 + smooth(shape, 1) % 20, 110 + smooth(shape, 1) % 30])
    return np.moveaxis(colour.to_rgb(ycbcr.astype(np.uint8), 0), 0, 2)


GAPS = np.array([0, 3, 7, 8, 20, 30, 45, 47, 64, 901], np.uint16)
ARRAYS: dict[str, Array] = {
    "rgb": ends(smooth((24, 20, 3)) % 256).astype(np.uint8),
    "rgb of a jpeg": rgb_of_a_jpeg((20, 24)),
    "rgb, channels first": (smooth((3, 9, 25)) % 256).astype(np.uint8),
    "gray": ends(smooth((17, 13))).astype(np.uint8),
    "one row": ends(smooth((1, 37))).astype(np.uint8),
    "one column": ends(smooth((37, 1))).astype(np.uint8),
    "two rows": ends(smooth((2, 19))).astype(np.uint8),
    "one pixel a plane": smooth((9, 1, 1)).astype(np.uint8),
    "blocks of eight": (smooth((16, 24)) % 97).astype(np.uint8),
    "past blocks of eight": (smooth((17, 25)) % 97).astype(np.uint8),
    "bits": (smooth((12, 30)) % 7 < 3).astype(np.uint8),
    "signed": (smooth((12, 11)) - 40).astype(np.int8),
    "stack of 16 bits": (ends(smooth((3, 20, 24), 40, 90)) + 500).astype("<u2"),
    "whole range of 16 bits": ends(np.random.default_rng(0).integers(0, 65536, (2, 17, 18))).astype("<u2"),
    "signed 16 bits, two leading axes": (smooth((2, 3, 9, 12), 70, 30) - 300).astype(">i2"),
    "every 16th value": (smooth((15, 14)) * 16 + 24000).astype(">u2"),
    "some levels": GAPS[np.abs(smooth((20, 24))) // 12 % 10],
    "Fortran order": np.asfortranarray(smooth((14, 15)).astype(np.uint8)),
    "two tiles": (smooth((2, 300), 1, 3) % 256).astype(np.uint8),
    "two lanes": (smooth((96, 172), 1, 3) % 256).astype(np.uint8),
}


def axes_of(kind: str, array: Array) -> Axes:
    if kind in ("rgb", "rgb of a jpeg"):
        return Axes(0, 1, 2)
    return Axes(array.ndim - 2, array.ndim - 1, 0 if kind == "rgb, channels first" else None)


def header_of(array: Array) -> Header:
    layout: Any = "C" if array.flags.c_contiguous else "F"
    return Header(Route.PLANES, zlib.crc32(array.tobytes(layout)), layout, array.dtype, array.shape)


def payload_of(path: Path, array: Array, axes: Axes) -> bytes:
    """By the plane coder, even where it gains nothing."""
    prepared = plane_route.prepare(array, axes)
    assert prepared is not None
    return plane_route.as_planes(prepared, *plane_route.choose(prepared, axes, [catalog.load(path.stem, "cpu")]))


def check(path: Path, array: Array, payload: bytes) -> PlanesPayload:
    """Both decoders give the array."""
    data = frame.build(header_of(array), payload)
    assert_identical(reference_frames.decode(data, {model_id(path): path}.__getitem__), array)
    assert_identical(BitSwap().decode(data), array)
    parsed = plane_payload.parse(header_of(array), memoryview(payload), coder.lanes_of_tiles)
    assert isinstance(parsed, PlanesPayload)
    return parsed


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays(folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path, array, seen = random_planes(folder), ARRAYS[kind], Seen(monkeypatch)
    payload = payload_of(path, array, axes_of(kind, array))
    parsed = check(path, array, payload)
    scale = parsed.samples.scale
    assert isinstance(scale, samples.Luma) == (kind == "rgb of a jpeg")
    assert bool(getattr(scale, "table", ())) == (kind == "some levels")
    assert (parsed.permuted is not None) == (kind in ("rgb", "rgb, channels first"))
    assert len(parsed.messages) == (2 if kind == "two tiles" else 1)
    assert len(parsed.messages[0][0]) == (2 if kind == "two lanes" else 1)
    assert 0 in seen.bits
    if kind in ("rgb", "stack of 16 bits", "whole range of 16 bits"):
        assert len(seen.bits) > 2
        assert any(centre == 0 for centre, _ in seen.centres)
        assert any(centre == m for centre, m in seen.centres)
    if kind == "whole range of 16 bits":
        assert max(seen.bits) == 12


MODELS: dict[str, dict[str, Any]] = {
    "every neighbour": {"supports": [[23, 12], [6, 4]]},
    "few neighbours": {"supports": [[16, 8], [1, 1]]},
    "every neighbour of references alone": {"supports": [[3, 2], [17, 12]]},
    "one predictor": {"supports": [[16, 8]], "forgetting": [[0, 0]], "reach": [0], "period": [8], "ridge": [1 << 24]},
    "no block": {"blocks": 0, "width": 8, "mixtures": 1},
    "least ridge": {"ridge": [1024, 1024], "forgetting": [[255, 255], [255, 255]], "reach": [8, 8]},
    "limits": {
        "supports": [[23, 12], [20, 9], [17, 8], [16, 8], [23, 12], [9, 7], [1, 1], [2, 1]],
        "forgetting": [[255, 255]] * 8, "reach": [8] * 8, "period": [8, 1, 2, 3, 4, 5, 6, 7], "ridge": [1 << 14] * 8,
        "width": 128, "blocks": 8, "mixtures": 7,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_models(folder: Path, name: str) -> None:
    path = random_planes(folder, seed=1, **MODELS[name])
    shape = (3, 9, 10) if name == "limits" else (3, 12, 17)
    for array in (ends(smooth(shape, 40, 90)).astype("<u2"), (smooth(shape[1:]) % 256).astype(np.uint8)):
        payload = payload_of(path, array, Axes(array.ndim - 2, array.ndim - 1, None))
        check(path, array, payload)


ORDERS = {
    "no references": Order(2, 3),
    "the plane before": Order(2, 3, ((1, 1),)),
    "two axes": Order(2, 3, ((0, 1), (1, 1))),
    "far ones": Order(2, 3, ((1, 2), (1, 1))),
    "beyond all": Order(2, 3, ((0, 5), (1, (1 << 32) - 1))),
    "the same twice": Order(2, 3, ((1, 1), (1, 1))),
    "permuted": Order(2, 3, ((1, 1), (0, 1)), 1, (2, 0, 1)),
    "other spatial axes": Order(3, 0, ((2, 1), (1, 1)), 2, (3, 1, 0, 2)),
}


@pytest.mark.parametrize("kind", ORDERS)
def test_orders(folder: Path, kind: str) -> None:
    """Also those that the encoder never chooses."""
    order, path = ORDERS[kind], random_planes(folder, seed=2)
    array = (smooth((2, 3, 4, 11), 5) + 30).astype(np.uint8)
    prepared = samples.prepare(array, (order.y, order.x), None)
    numbers, m = prepared.numbers, prepared.m
    net = catalog.load(model_id(path), "cpu").net
    coded = coder.encode(net, order.planes(numbers), order.refer(numbers.shape), m)
    fields = order.references, order.permuted, order.permutation, m, tuple(coded)
    check(path, array, plane_payload.build(PlanesPayload(prepared.samples, model_id(path), *fields)))


def test_codec(folder: Path) -> None:
    """A frame of the codec's own, under a model with small weights."""
    arch = SMALL_PLANES | {"supports": [[16, 8], [5, 4]]}
    save_file(model.random_tensors(arch), folder / "tame.safetensors", {"arch": json.dumps(arch)})
    array = ARRAYS["rgb"]
    data = BitSwap(model="tame").encode(array)
    assert frame.parse(memoryview(data))[0].route == Route.PLANES
    assert_identical(reference_frames.decode(data, lambda _: folder / "tame.safetensors"), array)


def test_damage_is_refused(folder: Path) -> None:
    path, array = random_planes(folder), (smooth((4, 5)) % 50).astype(np.uint8)
    payload = payload_of(path, array, Axes(0, 1, None))
    named = payload.index(model_id(path))
    for end in [*range(named), *range(named + 16, len(payload))]:
        for altered in (payload[:end], payload[:end] + bytes([payload[end] ^ 1]) + payload[end + 1 :]):
            data = frame.build(header_of(array), altered)
            with pytest.raises((FrameError, IndexError)):
                reference_frames.decode(data, lambda _: path)
            with pytest.raises(FormatError):
                BitSwap().decode(data)


@pytest.mark.parametrize(
    "change",
    [
        {"references": ((1, 1),)},
        {"references": ((2, 0),)},
        {"references": ((2, 1 << 32),)},
        {"references": ((2, 1),) * 3},
        {"permuted": 1, "permutation": (0, 1, 2)},
        {"permuted": 2, "permutation": (0, 1, 1)},
        {"m": 0},
        {"m": 254},
        {"m": 1 << 22},
        {"messages": ()},
        {"axes": (0, 0)},
        {"axes": (0, 3)},
        {"scale": samples.Luma(0)},
        {"scale": samples.Luma(3)},
        {"narrow": True},
    ],
)
def test_fields_out_of_range_are_refused(folder: Path, change: dict[str, Any]) -> None:
    """In a frame of luma and chroma."""
    path, array = random_planes(folder), rgb_of_a_jpeg((5, 6))
    payload = payload_of(path, array, Axes(0, 1, 2))
    parsed = check(path, array, payload)
    if change.keys() & {"axes", "scale", "narrow"}:
        change = {"samples": replace(parsed.samples, **change)}
    data = frame.build(header_of(array), plane_payload.build(replace(parsed, **change)))
    with pytest.raises(FrameError):
        reference_frames.decode(data, lambda _: path)
    with pytest.raises(FormatError):
        BitSwap().decode(data)


# ---- Parts


def test_tables() -> None:
    assert tables.SCALE.tolist() == [float(scale) for scale in reference_planes.SCALE]
    assert tables.INVERSE.tobytes() == reference_planes.INVERSE.tobytes()
    assert tables.SLOPE.tobytes() == reference_planes.SLOPE.tobytes()
    assert tables.WEIGHT.tolist() == reference_planes.WEIGHT.tolist()
    assert tables.SIGMOID.tolist() == reference_planes.SIGMOID
    assert [list(each) for each in (tables.OWN, tables.OTHER, tables.NEAR, tables.FAR, tables.AROUND)] == [
        reference_planes.OWN,
        reference_planes.OTHER,
        reference_planes.NEAR,
        reference_planes.FAR,
        reference_planes.AROUND,
    ]


@numba.njit(error_model="numpy")  # type: ignore[untyped-decorator]
def solve(  # type: ignore[no-untyped-def]
    statistics, v, first, count, size, rate, reach, least, target, C, lanes, w
):
    """That of a compiled loop, called from Python."""
    least_squares.solve(statistics, v, first, count, size, rate, reach, least, target, C, lanes, w)


@pytest.mark.parametrize("rank", [1, 3, 40])
@pytest.mark.parametrize("ridge", [1024, 300000, 1 << 24])
@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 26])
def test_solutions(folder: Path, size: int, ridge: int, rank: int) -> None:
    """Of full and of singular statistics, as large as they get."""
    rng = np.random.default_rng([size, ridge, rank])
    path = random_planes(folder, ridge=[ridge, ridge])
    net = reference_planes.PlaneModel(path, model_id(path))
    regression = reference_planes.Regression(net, 1, 40, 10)
    v, rows, n = 1, regression.block_rows, regression.n
    regression.sizes[v] = size
    pad = least_squares.PAD
    statistics = np.zeros((1, pad + rows + 2 * pad, n, 64), np.float32)
    for b in range(rows):
        r = rng.integers(-2047, 2048, (64, rank)) @ rng.integers(-3, 4, (rank, n + 1))
        products = r.clip(-2047, 2047).T @ r.clip(-2047, 2047) * [1, 256, 0, 7, 50][b]
        regression.statistics[v, b] = products
        statistics[0, pad + b, :, : n + 1] = products[:n]
        statistics[0, pad + b, :, size] = products[:n, n]  # the target
    target = (net.targets[1] / 2**14).astype(np.float32)
    C, lanes, w = np.zeros((n, 64, 8), np.float32), np.zeros((6, 8), np.float32), np.zeros((1, rows, n))
    rate, least = np.float32(230 / 256), np.float32(ridge)
    for first, count in ((0, 3), (3, rows - 3)):
        solve(statistics, 0, first, count, size, rate, 2, least, target, C, lanes, w)
    for b in range(rows):
        assert w[0, b, :size].tolist() == regression.solve(v, b).tolist()


def test_rounding_of_weights() -> None:
    """As with fractions, and what is not a number."""
    for value in (0.0, 2.0**-15, -(2.0**-15), 3e-39, -3e-39, 1 - 2.0**-24, 7.99999, 8.0, 1e30, -1e30):
        exact = (Fraction(float(np.float32(value))) * 2**14 + Fraction(1, 2)).__floor__()
        assert reference_planes.rounded(np.float32(value)) == min(max(exact, -(2**17)), 2**17)
    C, lanes, w = np.zeros((1, 8, 8), np.float32), np.zeros((6, 8), np.float32), np.zeros((1, 1, 1))
    for value, expected in ((np.nan, -(2**17)), (np.inf, 2**17), (-np.inf, -(2**17))):
        statistics = np.zeros((1, 25, 1, 8), np.float32)
        statistics[0, least_squares.PAD, 0, 1] = value
        one = np.float32(1)
        solve(statistics, 0, 0, 1, 1, one, 0, one, np.zeros(1, np.float32), C, lanes, w)
        assert w[0, 0, 0] == expected == reference_planes.rounded(np.float32(value))


def test_buckets_tile_the_samples() -> None:
    for m in (1, 2, 15, 16, 255, 4000, 65535):
        buckets = reference_planes.Buckets(np.zeros((3, 1), np.int64), np.array([32 * (m // 3)]), np.array([40]), m)
        covered = buckets.low(0, 0)
        for s in range(buckets.alphabet):
            assert buckets.low(0, s) == covered
            assert buckets.cum(0, s) <= buckets.cum(0, s + 1)
            if covered <= m and covered + (1 << buckets.bits(s)) > 0:
                assert buckets.cum(0, s) < buckets.cum(0, s + 1)
            covered += 1 << buckets.bits(s)
        assert (buckets.cum(0, 0), buckets.cum(0, buckets.alphabet)) == (0, 1 << 16)


# ---- Model files


def tensors_of(path: Path) -> dict[str, Array]:
    return dict(load_file(path))


def refused(path: Path, arch: dict[str, Any], tensors: dict[str, Array], rule: str) -> None:
    """By the package with a sentence, and by the reference."""
    with pytest.raises(ModelError, match=rule):
        model.PlaneModel(arch, tensors)
    altered = path.with_suffix(".altered")
    save_file(tensors, altered, {"arch": json.dumps(arch)})
    with pytest.raises((FrameError, KeyError, TypeError, ValueError)):
        reference_planes.PlaneModel(altered, hashlib.sha256(altered.read_bytes()).digest()[:16])


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"format": 2}, "format 1"),
        ({"supports": []}, "pairs of supports"),
        ({"supports": [[3, 2]] * 9}, "pairs of supports"),
        ({"supports": [3, 2]}, "pairs of supports"),
        ({"supports": [[3, 2], [24, 9]]}, "neighbours"),
        ({"supports": [[3, 2], [17, 13]]}, "neighbours"),
        ({"supports": [[0, 2], [17, 9]]}, "neighbours"),
        ({"supports": [[3, 2], [17, 0]]}, "neighbours"),
        ({"supports": [[3, 9], [17, 2]]}, "ascend together"),
        ({"supports": [[3, 2], [15, 9]]}, "a support of 16, 8"),
        ({"supports": [[3, 2], [16, 7]]}, "a support of 16, 8"),
        ({"forgetting": [[154, 90]]}, "one forgetting"),
        ({"forgetting": [[154, 90], [256, 3]]}, "forgetting in pairs"),
        ({"forgetting": [[154, 90], [-1, 3]]}, "forgetting in pairs"),
        ({"forgetting": 7}, "forgetting in pairs"),
        ({"reach": [1, 9]}, "reach of"),
        ({"reach": [-1, 2]}, "reach of"),
        ({"reach": [1, 2, 3]}, "one reach"),
        ({"period": [0, 1]}, "period of"),
        ({"period": [1, 9]}, "period of"),
        ({"ridge": [0, 2000]}, "ridge of"),
        ({"ridge": [1 << 25, 2000]}, "ridge of"),
        ({"ridge": [0.5, 2000]}, "ridge of"),
        ({"width": 18}, "width"),
        ({"width": 132}, "width"),
        ({"width": 0}, "width"),
        ({"blocks": 9}, "blocks"),
        ({"blocks": -1}, "blocks"),
        ({"mixtures": 0}, "mixtures"),
        ({"mixtures": 8}, "mixtures"),
    ],
)
def test_architectures_that_are_refused(folder: Path, changes: dict[str, Any], rule: str) -> None:
    path = random_planes(folder)
    model.PlaneModel(SMALL_PLANES, tensors_of(path))
    refused(path, SMALL_PLANES | changes, tensors_of(path), rule)


@pytest.mark.parametrize("key", [key for key in SMALL_PLANES if key not in ("format", "kind")])
def test_architectures_with_something_missing(folder: Path, key: str) -> None:
    path = random_planes(folder)
    refused(path, {name: value for name, value in SMALL_PLANES.items() if name != key}, tensors_of(path), key)


def test_tensors_that_are_refused(folder: Path) -> None:
    path = random_planes(folder)
    tensors = tensors_of(path)
    w, b, f, target = (tensors[name] for name in ("net1.0.a.w", "net1.0.a.b", "net1.0.a.f", "target2"))
    for name in tensors:
        if not name.startswith("target"):
            without = {other: tensor for other, tensor in tensors.items() if other != name}
            refused(path, SMALL_PLANES, without, f"a tensor {name}")
    for name, tensor, rule in [
        ("net1.0.a.w", np.where(w == w.max(), 64, w).astype(np.int8), "weights of at most"),
        ("net1.0.a.w", np.where(w == w.max(), -64, w).astype(np.int8), "weights of at most"),
        ("net1.0.a.w", w.astype(np.int16), "of int8"),
        ("net1.0.a.w", w[:, 1:].copy(), "shape"),
        ("net1.0.a.b", b.astype(np.int64), "of int32"),
        ("net1.0.a.b", np.full_like(b, 1 << 29), "sums below"),
        ("net1.0.a.b", np.full_like(b, -(1 << 31)), "sums below"),
        ("net1.0.a.f", f + np.uint8(16), "shifts of at most"),
        ("net1.0.a.f", f.astype(np.int8), "of uint8"),
        ("target2", target[1:].copy(), "shape"),
        ("target2", target.astype(np.float32), "of int32"),
        ("target2", np.full_like(target, -(1 << 17) - 1), "targets of at most"),
    ]:
        refused(path, SMALL_PLANES, tensors | {name: tensor}, rule)


def test_a_model_without_targets_has_zeros(folder: Path) -> None:
    tensors = {name: tensor for name, tensor in tensors_of(random_planes(folder)).items() if name[:6] != "target"}
    assert not model.PlaneModel(SMALL_PLANES, tensors).targets.any()

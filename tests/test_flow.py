"""Flows and local bits-back coding: every layer's inverse, volume and rate, messages that return to their start, the
integer flow beside its form in floats, and what a model file may not say.
"""

import json
import math
import zlib
from contextlib import nullcontext
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors import safe_open

from benchmarks.research.bound import bound_bits, flow_bits
from benchmarks.research.lbb_variants import VARIANTS
from benchmarks.research.smooth_flow import SmoothFlow
from numcodecs_bitswap import BBANS, BitSwap, FormatError, LocalBitsBack, ModelError
from numcodecs_bitswap.backends import for_device
from numcodecs_bitswap.bitsback import groups, local_bits_back
from numcodecs_bitswap.bitsback.groups import BITS_BACK, DIRECT
from numcodecs_bitswap.chunk.frame import parse, parse_model
from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.nets.flow import FlowModel
from numcodecs_bitswap.nets.flow_layers import Channel, Pointwise
from numcodecs_bitswap.nets.numba_transforms import CompiledElementwise
from numcodecs_bitswap.nets.transforms import Elementwise
from numcodecs_bitswap.rans.message import Message
from numcodecs_bitswap.train.couplings import Coupling as CouplingTwin
from numcodecs_bitswap.train.export import architecture, integer_tensors
from numcodecs_bitswap.train.flow import FlowArchitecture, FlowNet, squeeze, unsqueeze
from pictures import photograph
from random_models import random_flow
from strategies import picture
from tiny import NARROW


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    with safe_open(path, "numpy") as file:
        return json.loads(file.metadata()["arch"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def model(folder: Path, **options: Any) -> FlowModel:
    """A model with random weights and every kind of layer."""
    return FlowModel(*read(random_flow(folder, **options)), for_device("cpu"))


@cache
def shipped() -> FlowModel:
    net: Any = catalog.load("patch32-rgb8-flow", "cpu").net
    return net  # type: ignore[no-any-return]


def message_of(seed: int, words: int = 400_000, lanes: int = 3) -> Message:
    rng = np.random.default_rng(seed)
    heads = rng.integers(1 << 24, 1 << 32, lanes, dtype=np.uint32)
    return Message.unflatten([(heads, rng.integers(0, 256, words, dtype=np.uint8))], for_device("cpu").stack)


def same(one: Message, other: Message) -> bool:
    return all(
        np.array_equal(a, b)
        for p, q in zip(one.flatten(), other.flatten(), strict=True)
        for a, b in zip(p, q, strict=True)
    )


def patches(n: int, size: int, channels: int = 3) -> NDArray[np.int16]:
    image = photograph()
    places = [(37 * k % (image.shape[0] - size), 61 * k % (image.shape[1] - size)) for k in range(n)]
    return np.stack([image[y : y + size, x : x + size, :channels] for y, x in places]).astype(np.int16)


def tensor(grid: NDArray[Any]) -> torch.Tensor:
    """A grid (N, h, w, c) for networks of training, (N, c, h, w)."""
    return torch.from_numpy(grid).permute(0, 3, 1, 2)


# Functions of values


def function(kind: str, seed: int, bits: int = 10, noise: int = 5, n: int = 60) -> tuple[Elementwise, Any]:
    """Functions with random parameters, far out of their ranges at times, and values near their means."""
    rng = np.random.default_rng(seed)
    k = 3
    wild = 40 if seed % 5 == 0 else 1
    y = np.concatenate(
        [rng.integers(-60, 60, (n, k)) * wild, rng.integers(-900, 900, (n, k)) * wild, rng.integers(-9, 90, (n, k))], 1
    )
    if kind == "affine":
        y = y[:, [3, 6]]
    base = rng.integers(0, 8160, n)
    x = ((base + rng.integers(-3000, 3000, n)) << (bits - 5)) + rng.integers(0, 1 << (bits - 5), n)
    parameters = (each.astype(np.int32) for each in (y, base))
    return CompiledElementwise(kind, *parameters, bits, bits + 9, 14, noise), x.astype(np.int32)


@pytest.mark.parametrize("kind", ["mixture", "affine"])
@given(st.integers(0, 2**31), st.integers(5, 14))
def test_functions_compiled_and_in_torch(kind: str, seed: int, bits: int) -> None:
    f, x = function(kind, seed, bits)
    results, deviations = f.forward(x)
    values = f.inverse(results)
    far = np.random.default_rng(seed).integers(-(1 << 27), 1 << 27, len(x)).astype(np.int32)
    assert np.array_equal(f.inverse(results, x), values)
    assert np.array_equal(f.inverse(results, far), values)
    y, base, *steps = [getattr(f, field.name) for field in fields(f)][1:]
    plain = Elementwise(kind, torch.from_numpy(y), torch.from_numpy(base), *steps)
    for mine, theirs in zip((results, deviations), plain.forward(torch.from_numpy(x)), strict=True):
        assert np.array_equal(mine, theirs.numpy())
    assert np.array_equal(values, plain.inverse(torch.from_numpy(results)).numpy())
    vectorised = Elementwise(kind, y, base, *steps)
    assert np.array_equal(vectorised.forward(x)[0], results)


@pytest.mark.parametrize("kind", ["mixture", "affine"])
@given(st.integers(0, 2**31))
def test_functions_never_fall_and_inverses_are_the_first_values(kind: str, seed: int) -> None:
    f, x = function(kind, seed)
    results, deviations = f.forward(x)
    assert (deviations >= 256).all()
    assert (f.forward(x + 1)[0] >= results).all()
    assert (f.forward(x + 1000)[0] >= results).all()
    values = f.inverse(results)
    inside = (values > -(1 << f.reach)) & (values < 1 << f.reach)
    assert (f.forward(values)[0] >= results)[inside].all()
    assert (f.forward(values - 1)[0] <= results)[inside].all()


def test_a_function_is_the_quantile_of_the_mixture() -> None:
    """And the deviation is the derivative times the noise's, in doubles."""
    f, x = function("mixture", 3, bits=12, n=4000)
    results, deviations = map(torch.from_numpy, f.forward(x))
    x, y = torch.from_numpy(x), torch.from_numpy(f.y).double()
    w = torch.softmax(y[:, :3] * math.log(2) / 12, 1)
    means, scales = (y[:, 3:6] + torch.from_numpy(f.base)[:, None]) / 32, torch.exp2(y[:, 6:].clamp(0, 127) / 12 - 4)
    t = (x[:, None].double() / 2**12 - means) / scales
    p = (w * torch.sigmoid(t)).sum(1)
    inside = (p > 1e-4) & (p < 1 - 1e-4)
    z = torch.special.ndtri(p)
    density = (w * torch.sigmoid(t) * torch.sigmoid(-t) / scales).sum(1)
    expected = density * torch.exp(0.5 * z**2) * math.sqrt(2 * math.pi) * 2.0 ** (5 - 12) * 2**14 * 256
    away = (results / 2**14 - z).abs()[inside]  # the weights of components are rounded to 1 / 2^14
    assert away.max() < 0.03
    assert away.mean() < 1e-3
    wide = inside & (expected > 2000) & (scales.min(1).values > 0.2)
    assert wide.sum() > 100
    assert ((deviations / expected).log().abs() < 0.02)[wide].all()


# Layers


@given(st.integers(0, 2**31))
@settings(max_examples=20)
def test_every_layer_is_undone_and_the_message_returns(folder: Path, seed: int) -> None:
    """Also with values that no trained flow would make."""
    channels = 3 if seed % 2 else 1
    own = model(folder, channels=channels, seed=seed % 5)
    v = np.random.default_rng(seed).integers(0, 256 << 9, (2, 4, 6, channels)).astype(np.int32)
    message = message_of(seed)
    for layer in own.layers:
        coder, before = local_bits_back.LAYERS[layer.role], message.copy()
        after = coder.push(message, own, layer, v)
        back = message.copy()
        assert np.array_equal(coder.pop(back, own, layer, after), v)
        assert same(back, before)
        v = after


@pytest.mark.parametrize("seed", range(3))
def test_a_flow_is_undone_and_the_message_returns(folder: Path, seed: int) -> None:
    own = model(folder, channels=3, seed=seed, stages=0)
    grid = patches(2, 8)
    message = message_of(seed)
    before = message.copy()
    local_bits_back.push(message, own, grid)
    assert np.array_equal(local_bits_back.pop(message, own, 2, (8, 8)), grid)
    assert same(message, before)


def test_squeezes_of_both_kinds_agree() -> None:
    x = np.arange(2 * 4 * 6 * 3).reshape(2, 4, 6, 3)
    cells = squeeze(tensor(x))
    assert np.array_equal(shipped().squeeze(x), cells.permute(0, 2, 3, 1).numpy())
    assert np.array_equal(unsqueeze(cells).permute(0, 2, 3, 1).numpy(), x)


# the network in floats


@cache
def float_net(channels: int = 1) -> FlowNet:
    torch.manual_seed(2)
    net = FlowArchitecture(
        channels=channels,
        stages=0,
        mixtures=2,
        halvings=2,
        value_bits=10,
        latent_bits=14,
        noise_bits=5,
        bucket_bits=4,
        **NARROW,
        patch_log2=4,
        colour_steps=3,
    ).network()
    with torch.no_grad():
        for trunk in net.trunks().values():
            for name, p in trunk.named_parameters():
                if "head.weight" in name:
                    p.mul_(20)
        for matrix in net.matrices.values():
            matrix.normal_(0, 0.1)
    return net.eval()


def test_the_twins_log_determinant_is_that_of_finite_differences() -> None:
    """Of the whole flow, without rounding, in doubles; layer by layer it is the diagonal or 1."""
    net = float_net(1)
    double = FlowNet(net.arch).double()
    double.load_state_dict(net.state_dict())
    x = tensor(patches(1, 8, 1)).double() + 0.37

    def flat(v: torch.Tensor) -> torch.Tensor:
        z, _ = double.transform(v.reshape(1, 1, 8, 8), False, torch.float64)
        return torch.cat([each.flatten() for each in z])

    step = 1e-4
    with torch.no_grad():
        columns = [
            (flat(x.flatten() + step * e) - flat(x.flatten() - step * e)) / (2 * step)
            for e in torch.eye(64, dtype=torch.float64)
        ]
        expected = torch.linalg.slogdet(torch.stack(columns, 1))[1].item()
        assert double.transform(x, False, torch.float64)[1].item() == pytest.approx(expected, rel=5e-4)


def test_each_coupling_of_the_twin_has_the_volume_of_its_derivative() -> None:
    net = float_net(1)
    v = squeeze(tensor(patches(1, 8, 1)).float() + 0.5)
    layer = next(each for each in net.layers.values() if isinstance(each, CouplingTwin))
    with torch.no_grad():
        after, volume = layer(v, True, torch.float32)
        moved = v.clone()
        moved[:, layer.changed] += 0.05
        back = v.clone()
        back[:, layer.changed] -= 0.05
        slope = (layer(moved, True, torch.float32)[0] - layer(back, True, torch.float32)[0])[:, layer.changed] / 0.1
    assert torch.log(slope).sum().item() == pytest.approx(volume.item(), abs=0.3)
    rest = [k for k in range(v.shape[1]) if k not in layer.changed]
    assert torch.equal(after[:, rest], v[:, rest])


@pytest.mark.parametrize("channels", [1, 3])
def test_twin_and_integer_flow_agree(channels: int) -> None:
    """On the same noise: latents, and the rate within 0.5 %."""
    net = float_net(channels)
    own = FlowModel(architecture(net), integer_tensors(net), for_device("cpu"))
    grid = patches(12, 16, channels)
    noise = np.random.default_rng(0).integers(0, 1 << 10, grid.shape).astype(np.int32)
    real = tensor((grid + (noise + 0.5) / 2**10).astype(np.float32))
    with torch.no_grad():
        z, volume = net.transform(real)
    bits = sum(0.5 * (each**2 + math.log(2 * math.pi)).sum() for each in z) - volume.sum()
    expected = bits.item() / math.log(2)
    assert flow_bits(own, grid, noise).sum() == pytest.approx(expected, rel=0.005)


def test_the_noise_of_the_twin_is_popped_at_the_rate_it_says() -> None:
    net = float_net(1)
    own = FlowModel(architecture(net), integer_tensors(net), for_device("cpu"))
    grid = patches(20, 16, 1)
    message = message_of(0)
    size = len(message.flatten()[0][1])
    local_bits_back.pop_noise(message, own, grid)
    popped = 8 * (size - len(message.flatten()[0][1])) / grid.size
    with torch.no_grad():
        _, expected = net.dequantise(tensor(grid).float(), True, torch.float32)
    assert popped == pytest.approx(10 + expected.mean().item() / 256, abs=0.05)


# Rates


def test_the_gap_to_the_density_is_small() -> None:
    """What local bits-back, its grid and its Gaussians cost in addition to the flow's -log2 p, in bits/sample."""
    grid = patches(200, 32)
    message = message_of(1, 4_000_000, 16)
    before = message.copy()
    local_bits_back.push(message, shipped(), grid)
    total = 8 * (len(message.flatten()[0][1]) - 4_000_000)
    noise = local_bits_back.pop_noise(before, shipped(), grid)
    popped = 8 * (4_000_000 - len(before.flatten()[0][1]))
    bound = flow_bits(shipped(), grid, noise).sum() + shipped().steps.value_bits * grid.size - popped
    assert abs(total - bound) / grid.size < 0.004


def test_total_is_close_to_the_bound() -> None:
    own: Any = catalog.load("tiny-rgb8-flow", "cpu").net
    x = photograph()[None, None, :256, :256]
    (coded,) = groups.encode(own, [x], 32, "local_bits_back")
    assert coded.schedule == ((1, BITS_BACK),)
    bound = bound_bits(own, [x], 32, "local_bits_back")[0]
    assert bound < 32 * 32 + 8 * len(coded.tail) < bound * 1.005


def test_without_stages_batches_grow() -> None:
    """The first patches are coded direct; after them one start only."""
    x = patches(60, 32).astype(np.uint8)[None]
    (coded,) = groups.encode(shipped(), [x], 1, "local_bits_back")
    modes = [mode for _, mode in coded.schedule]
    assert modes == sorted(modes, reverse=True)
    assert 1 <= modes.count(DIRECT) <= 8
    assert coded.schedule[-2][0] > 4


# Variants


@pytest.mark.parametrize("name", VARIANTS)
def test_the_messages_of_every_variant_return(folder: Path, name: str) -> None:
    arch, tensors = read(catalog.find("tiny-gray8-flow").path)
    arch |= {"value_bits": 12, "latent_bits": 16, "noise_bits": 4}
    flow = SmoothFlow(arch, tensors)
    what = flow if name == "black_box" else flow.model
    grid = patches(2, 6, 1)
    message = message_of(3)
    before = message.copy()
    VARIANTS[name].push(message, what, grid)
    assert np.array_equal(VARIANTS[name].pop(message, what, 2, (6, 6)), grid)
    assert same(message, before)


def test_the_variants_code_at_the_same_rate() -> None:
    """And one value after the other takes fewer bits to begin with."""
    arch, tensors = read(catalog.find("tiny-gray8-flow").path)
    flow = SmoothFlow(arch | {"value_bits": 14, "latent_bits": 17, "noise_bits": 4}, tensors)
    grid = patches(10, 8, 1)
    rates = {}
    for name, variant in VARIANTS.items():
        message = message_of(3)
        variant.push(message, flow if name == "black_box" else flow.model, grid)
        rates[name] = 8 * (len(message.flatten()[0][1]) - 400_000) / grid.size
    assert rates["autoregressive"] == pytest.approx(rates["compositional"], abs=0.05)
    assert rates["black_box"] == pytest.approx(rates["compositional"], abs=0.15)


def test_the_smooth_flow_is_the_flow_without_rounding() -> None:
    arch, tensors = read(catalog.find("tiny-gray8-flow").path)
    flow = SmoothFlow(arch, tensors)
    x = torch.from_numpy(patches(1, 6, 1)).double().flatten() + 0.5
    z = flow.forward(x, (6, 6))
    assert torch.allclose(flow.inverse(z, (6, 6)), x, atol=1e-6)
    jacobian = flow.jacobian(x, (6, 6))
    step = 1e-5
    column = (flow.forward(x + step * torch.eye(36)[7], (6, 6)) - flow.forward(x - step * torch.eye(36)[7], (6, 6))) / (
        2 * step
    )
    assert torch.allclose(jacobian[:, 7], column, atol=1e-3)


# Codecs and models


def test_a_model_belongs_to_its_codecs() -> None:
    image = picture((40, 40, 3))
    for codec in (BitSwap, BBANS):
        with pytest.raises(ModelError, match="LocalBitsBack"):
            codec(model="tiny-rgb8-flow").encode(image)
    with pytest.raises(ModelError, match="BitSwap and BBANS"):
        LocalBitsBack(model="tiny-rgb8-v1").encode(image)


@pytest.mark.parametrize(("at", "value", "what"), [(4, 1, "with bit_swap"), (3, 2, "version 2")])
def test_frames_of_another_codec_or_version_are_refused(at: int, value: int, what: str) -> None:
    """What the checksum cannot tell, because it was made anew."""
    frame = bytearray(LocalBitsBack(model="tiny-rgb8-flow").encode(picture((48, 48, 3))))
    frame[at] = value
    frame[6:10] = zlib.crc32(frame[:6] + frame[10:]).to_bytes(4, "little")
    with pytest.raises(FormatError, match=what):
        LocalBitsBack().decode(bytes(frame))


def test_patches_that_the_flow_does_not_fit_are_coded_direct() -> None:
    """Sides are halved evenly by squeezes."""
    codec = LocalBitsBack(model="tiny-rgb8-flow")
    for size, mode in (((64, 64), BITS_BACK), ((64, 61), BITS_BACK), ((64, 57), DIRECT)):
        frame = codec.encode(image := picture((*size, 3)))
        assert parse_model(*parse(memoryview(frame))).schedule == ((1, mode),)
        np.testing.assert_array_equal(codec.decode(frame), image)


def test_a_popped_value_that_is_no_pixel_is_refused(folder: Path) -> None:
    """Random bits are not what the encoder wrote, whatever they decode to."""
    own = model(folder, channels=1)
    with pytest.raises(FormatError):
        local_bits_back.pop(message_of(5), own, 4, (8, 8))


SQUEEZE: list[Any] = ["squeeze"]
MIXTURE: list[Any] = ["mixture", [1, 2]]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"format": 1}, "format"),
        ({"kind": "vae"}, "kind"),
        ({"value_bits": 4}, "value_bits"),
        ({"latent_bits": 18}, "latent_bits"),
        ({"noise_bits": -1}, "noise_bits"),
        ({"bucket_bits": 10}, "bucket_bits"),
        ({"value_bits": 5, "bucket_bits": 6}, "bucket_bits"),
        ({"blocks": {"stage": 1}}, "blocks"),
        ({"layers": []}, "layers"),
        ({"layers": [[]]}, "layers"),
        ({"layers": "squeeze"}, "layers"),
        ({"layers": [SQUEEZE]}, "transformed"),
        ({"layers": [["rotate"]]}, "rotate"),
        ({"layers": [SQUEEZE, ["mixture", [2, 1]]]}, "in order"),
        ({"layers": [SQUEEZE, ["mixture", [4]]]}, "channels"),
        ({"layers": [SQUEEZE, ["mixture"]]}, "channels"),
        ({"layers": [SQUEEZE, ["affine", []]]}, "channels"),
        ({"layers": [SQUEEZE, ["mixture", [0, 1, 2, 3]]]}, "not all channels"),
        ({"layers": [SQUEEZE, ["split", [0]]]}, "split"),
        ({"layers": [SQUEEZE, MIXTURE, ["mixture", [0, 1]]]}, "not both"),
        ({"layers": [SQUEEZE, MIXTURE, ["pointwise"]]}, "not both"),
        ({"layers": [["pointwise"], SQUEEZE, MIXTURE]}, "flow1"),
        ({"layers": [SQUEEZE, ["mixture", [1, 2, 3]]]}, "flow2"),
    ],
)
def test_an_arch_that_breaks_the_rules_is_refused(folder: Path, change: dict[str, Any], what: str) -> None:
    layers = [SQUEEZE, MIXTURE, ["mixture", [0, 3]]]
    arch, tensors = read(random_flow(folder, layers))
    FlowModel(arch, tensors, for_device("cpu"))
    with pytest.raises(ModelError, match=what):
        FlowModel(arch | change, tensors, for_device("cpu"))


def test_matrices_that_could_leave_the_bounds_are_refused(folder: Path) -> None:
    arch, tensors = read(random_flow(folder, channels=3))
    tensors["flow1.upper"] = np.full((3, 3), 1 << 24, np.int32)
    with pytest.raises(ModelError, match="could reach"):
        FlowModel(arch, tensors, for_device("cpu"))


def test_a_bound_of_2_to_the_26_is_refused() -> None:
    """Functions are inverted within the next power of two, which then would be one above that of values."""
    channels = [Channel(0, True, 1 << 20), Channel(1, True, 1 << 20)]
    tensors = {f"flow1.{name}": np.zeros((2, 2), np.int32) for name in ("upper", "lower")}
    for bound, refused in (((1 << 26) - 3, False), ((1 << 26) - 2, True)):  # each matrix adds 1
        changed = [channels[0]._replace(bound=bound), channels[1]]
        with pytest.raises(ModelError, match="could reach") if refused else nullcontext():
            Pointwise(tensors, "flow1", changed)

"""Model files of FORMAT.md section 7 with small random networks."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

LIKELIHOODS = {"bernoulli": 2, "beta_binomial": 256, "logistic": 256, "categorical": 5}
"""And how many levels each has here."""


def model_id(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()[:16]


class Networks:
    """`tensors` of the networks added so far, whose h is `width` wide."""

    def __init__(self, seed: int, width: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.width = width
        self.tensors: dict[str, Any] = {}

    def layer(self, name: str, inputs: int, outputs: int) -> None:
        self.tensors[f"{name}.w"] = self.rng.integers(-63, 64, (outputs, inputs), np.int8)
        self.tensors[f"{name}.b"] = self.rng.integers(-30000, 30001, outputs, np.int32)
        self.tensors[f"{name}.f"] = self.rng.choice(np.array([0, 4, 6, 8, 10], np.uint8), outputs)

    def trunk(self, name: str, blocks: int, inputs: int, outputs: int) -> None:
        self.layer(f"{name}.in", inputs, self.width)
        for k in range(blocks):
            self.layer(f"{name}.{k}.conv", 9 * self.width, self.width + 1)
            self.layer(f"{name}.{k}.out", self.width + 1, self.width)
        self.layer(f"{name}.head", self.width, outputs)
        self.layer(f"{name}.skip", inputs, outputs)

    def stage(self, t: int, blocks: int, channels: int, mixtures: int) -> None:
        self.trunk(f"stage{t}.a", blocks, 17 * channels, phase(channels, mixtures))
        self.trunk(f"stage{t}.b", blocks, 33 * channels, 2 * phase(channels, mixtures))
        for ab in ("11", "01", "10"):
            for ch in range(1, channels):
                self.layer(f"stage{t}.phase{ab}.{ch}.in", self.width + ch, self.width + 2)
                self.layer(f"stage{t}.phase{ab}.{ch}.out", self.width + 2, 3 * mixtures)

    def save(self, path: Path, arch: dict[str, Any]) -> Path:
        save_file(self.tensors, path, {"arch": json.dumps(arch), "name": "random"})
        return path


def phase(channels: int, mixtures: int) -> int:
    """The values of y that one phase takes."""
    return 3 * mixtures * channels + channels * (channels - 1) // 2


def random_hierarchy(
    folder: Path,
    *,
    seed: int = 0,
    channels: int = 1,
    stages: int = 1,
    mixtures: int = 2,
    layers: int = 2,
    width: int = 5,
) -> Path:
    """A model of kind `bit_swap`; its networks have two blocks in the stages, one elsewhere."""
    networks, z = Networks(seed, width), 3
    blocks = {"stage": 2, "core": 1, "direct": 1}
    means, scales = networks.rng.integers(-2000, 2000, z), networks.rng.integers(0, 128, z)
    networks.tensors["prior"] = np.stack([means, scales]).astype(np.int32)
    for t in range(1, stages + 2):
        networks.stage(t, blocks["stage" if t <= stages else "direct"], channels, mixtures)
    for n in range(layers):
        networks.trunk(f"q{n + 1}", blocks["core"], z if n else 4 * channels, 2 * z)
        networks.trunk(f"p{n}", blocks["core"], z, 2 * z if n else 4 * phase(channels, mixtures))
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
    sizes = f"{channels}-{stages}-{mixtures}-{layers}-{width}"
    return networks.save(folder / f"{seed}-{sizes}.safetensors", arch)


def random_vae(
    folder: Path,
    likelihood: str,
    *,
    seed: int = 0,
    channels: int = 1,
    latent_bits: int = 5,
    height: int = 5,
    width: int = 7,
) -> Path:
    """A model of kind `vae` for patches of (height, width)."""
    networks, mixtures, z, n = Networks(seed, 5), 2, 3, height * width * channels
    levels = LIKELIHOODS[likelihood]
    parameters = {"bernoulli": 1, "beta_binomial": 2, "logistic": 3 * mixtures, "categorical": levels}
    networks.trunk("q", 0, n, 2 * z)
    networks.trunk("p", 0, z, n * parameters[likelihood])
    networks.stage(1, 1, channels, mixtures)
    arch = {
        "format": 2,
        "kind": "vae",
        "channels": channels,
        "height": height,
        "width": width,
        "latent_channels": z,
        "latent_bits": latent_bits,
        "likelihood": likelihood,
        "levels": levels,
        "mixtures": mixtures,
        "blocks": {"direct": 1},
    }
    return networks.save(folder / f"{likelihood}-{seed}-{channels}-{latent_bits}-{height}-{width}.safetensors", arch)


def random_flow(
    folder: Path,
    layers: list[list[Any]] | None = None,
    *,
    seed: int = 0,
    channels: int = 1,
    stages: int = 0,
    mixtures: int = 2,
    value_bits: int = 9,
    latent_bits: int = 12,
    noise_bits: int = 3,
    bucket_bits: int = 4,
) -> Path:
    """A model of kind `flow`; without `layers`, one with every kind of layer."""
    networks, c = Networks(seed, 5), channels
    if layers is None:
        layers = [["pointwise"], ["squeeze"], ["mixture", list(range(c, 3 * c))], ["affine", list(range(3 * c, 4 * c))]]
        layers += [["split", list(range(2 * c, 4 * c))], ["mixture", list(range(c))], ["pointwise"]]
    now = c
    for number, (kind, *chosen) in enumerate(layers, 1):
        name = f"flow{number}"
        if kind == "squeeze":
            now *= 4
        elif kind == "split":
            now -= len(chosen[0])
        elif kind == "pointwise":
            for part in ("upper", "lower"):
                networks.tensors[f"{name}.{part}"] = networks.rng.integers(-2000, 2001, (now, now), np.int32)
        else:
            own = 3 * mixtures if kind == "mixture" else 2
            networks.trunk(name, 1, 9 * (now - len(chosen[0])), own * len(chosen[0]))
    if bucket_bits:
        networks.trunk("dequantise", 1, 36 * c, 8 * c)
    for t in range(1, stages + 2):
        networks.stage(t, 1, channels, mixtures)
    arch = {
        "format": 2,
        "kind": "flow",
        "channels": c,
        "stages": stages,
        "mixtures": mixtures,
        "value_bits": value_bits,
        "latent_bits": latent_bits,
        "noise_bits": noise_bits,
        "bucket_bits": bucket_bits,
        "layers": layers,
        "blocks": {"stage": 1, "core": 1, "direct": 1},
    }
    name = hashlib.sha256(repr(arch).encode()).hexdigest()[:8]
    return networks.save(folder / f"flow-{seed}-{name}.safetensors", arch)


SMALL_PLANES: dict[str, Any] = {
    "format": 1,
    "kind": "planes",
    "supports": [[3, 2], [17, 9]],
    "forgetting": [[154, 90], [243, 230]],
    "reach": [1, 2],
    "period": [1, 2],
    "ridge": [16384, 1024],
    "width": 16,
    "blocks": 1,
    "mixtures": 2,
}


def random_planes(folder: Path, *, seed: int = 0, **sizes: Any) -> Path:
    """A model of kind `planes`: SMALL_PLANES with other `sizes`.

    Written once, as the metadata of a file have no order and the id would change.
    """
    arch = SMALL_PLANES | sizes
    path = folder / f"planes-{seed}-{hashlib.sha256(json.dumps(arch).encode()).hexdigest()[:8]}.safetensors"
    if path.exists():
        return path
    rng, width, K = np.random.default_rng(seed), arch["width"], arch["mixtures"]
    tensors: dict[str, Any] = {}

    def layer(name: str, inputs: int, shifts: list[int], bias: int) -> None:
        tensors[f"{name}.w"] = rng.integers(-63, 64, (len(shifts), inputs), np.int8)
        tensors[f"{name}.f"] = np.array(shifts, np.uint8)
        tensors[f"{name}.b"] = rng.integers(-bias, bias + 1, len(shifts)).astype(np.int32) << shifts
        tensors[f"{name}.b"] = tensors[f"{name}.b"].astype(np.int32)

    for R in range(4):
        inputs = 23 + 8 * len(arch["supports"]) + 14 * R
        layer(f"net{R}.in", inputs, [8] * width, 30)
        for k in range(arch["blocks"]):
            layer(f"net{R}.{k}.a", width, rng.integers(6, 10, width).tolist(), 20)
            layer(f"net{R}.{k}.b", width, rng.integers(6, 10, width).tolist(), 20)
        layer(f"net{R}.head", width, [*rng.integers(0, 8, K).tolist(), *[8] * 2 * K], 60)
        layer(f"net{R}.skip", inputs, [*rng.integers(0, 8, K).tolist(), *[9] * K], 30)
        own, other = (max(each) for each in zip(*arch["supports"], strict=True))
        tensors[f"target{R}"] = rng.integers(-3000, 3001, own + R * other).astype(np.int32)
    save_file(tensors, path, {"arch": json.dumps(arch), "name": path.stem})
    return path


def random_jpeg(folder: Path, *, seed: int = 0, width: int = 16, blocks: int = 2, reach: int = 900) -> Path:
    """A model of kind `jpeg`, with weights of predictions of at most `reach`. Written once, as above."""
    path = folder / f"jpeg-{seed}-{width}-{blocks}-{reach}.safetensors"
    if path.exists():
        return path
    rng = np.random.default_rng(seed)
    tensors: dict[str, Any] = {}

    def layer(name: str, inputs: int, outputs: int, shift: int, bias: int) -> None:
        f = rng.integers(shift - 1, shift + 2, outputs)
        tensors[f"{name}.w"] = rng.integers(-63, 64, (outputs, inputs), np.int8)
        tensors[f"{name}.f"] = f.astype(np.uint8)
        tensors[f"{name}.b"] = (rng.integers(-bias, bias + 1, outputs) << f).astype(np.int32)

    layer("in", 44, width, 8, 30)
    for k in range(blocks):
        layer(f"{k}.a", width, width, 8, 20)
        layer(f"{k}.b", width, width, 8, 20)
    layer("head", width, 25, 7, 60)
    tensors["embedding"] = rng.integers(-60, 61, (325, width), np.int16)
    tensors["prediction"] = rng.integers(-reach, reach + 1, (2, 64, 30)).astype(np.int16)
    arch = {"format": 1, "kind": "jpeg", "width": width, "blocks": blocks}
    save_file(tensors, path, {"arch": json.dumps(arch), "name": path.stem})
    return path

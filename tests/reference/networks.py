"""Section 7 of FORMAT.md, for `frames`: a model file, read and checked."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from reference.distributions import Ints


class FrameError(ValueError):
    """The frame or the model file breaks a rule of FORMAT.md."""


def require(kept: bool, rule: str) -> None:
    if not kept:
        raise FrameError(f"broken rule: {rule}")


SIZES: dict[str, dict[str, Sequence[int]]] = {
    "bit_swap": {
        "channels": (1, 3),
        "stages": range(9),
        "mixtures": range(1, 17),
        "latent_layers": range(1, 17),
        "latent_channels": range(1, 257),
        "patch_log2": range(3, 13),
    },
    "vae": {
        "channels": (1, 3),
        "height": range(1, 4097),
        "width": range(1, 4097),
        "latent_channels": range(1, 257),
        "latent_bits": range(1, 10),
        "mixtures": range(1, 17),
    },
    "flow": {
        "channels": (1, 3),
        "stages": range(9),
        "mixtures": range(1, 17),
        "value_bits": range(5, 15),
        "latent_bits": range(5, 18),
        "noise_bits": range(9),
        "bucket_bits": range(10),
        "patch_log2": range(3, 13),
    },
}
LEVELS: dict[str, Sequence[int]] = {
    "bernoulli": (2,),
    "beta_binomial": (256,),
    "logistic": (256,),
    "categorical": range(2, 129),
}
PARTS = {"w": ("int8", "int16"), "b": ("int32",), "f": ("uint8",)}


class Model:
    """A model file: the sizes of `arch` and the tensors named there, all checked; further tensors are not looked at."""

    def __init__(self, path: str | Path, model_id: bytes) -> None:
        require(hashlib.sha256(Path(path).read_bytes()).digest()[:16] == model_id, "the model file has the model id")
        with safe_open(path, "numpy") as self.file:
            arch = {"patch_log2": 8} | json.loads(self.file.metadata()["arch"])
            self.kind: str = arch["kind"]
            require(self.kind in SIZES, "a model of kind bit_swap, vae or flow")
            require(arch["format"] in ((1, 2) if self.kind == "bit_swap" else (2,)), "a format of this kind")
            require(all(arch[key] in allowed for key, allowed in SIZES[self.kind].items()), "sizes of the model")
            require(all(count in range(65) for count in arch["blocks"].values()), "blocks 0..64")
            self.channels: int = arch["channels"]
            self.mixtures: int = arch["mixtures"]
            self.blocks: dict[str, int] = {}  # of each trunk
            self.layers: dict[str, tuple[Ints, Ints, Ints]] = {}  # w, b and f of each layer
            if self.kind != "flow":
                self.latent_channels: int = arch["latent_channels"]
            if self.kind == "bit_swap":
                self.stages: int = arch["stages"]
                self.latent_layers: int = arch["latent_layers"]
                self.read_bit_swap_core(arch["blocks"]["core"])
            elif self.kind == "flow":
                self.stages = arch["stages"]
                self.read_flow(arch)
            else:
                self.stages, self.latent_layers = 0, 1
                self.height: int = arch["height"]
                self.width: int = arch["width"]
                self.latent_bits: int = arch["latent_bits"]
                self.likelihood: str = arch["likelihood"]
                self.levels: int = arch["levels"]
                require(self.likelihood in LEVELS, "one of the four likelihoods")
                require(self.levels in LEVELS[self.likelihood], "levels of the likelihood")
                self.read_vae_core()
            self.read_stages(arch["blocks"])

    # Every network with its input and output sizes (sections 4.3, 4.4, 5 and 6)

    def phase(self) -> int:
        """The values of y that one phase takes."""
        return 3 * self.mixtures * self.channels + self.channels * (self.channels - 1) // 2

    def read_bit_swap_core(self, blocks: int) -> None:
        z = self.latent_channels
        for n in range(self.latent_layers):
            self.read_trunk(f"q{n + 1}", blocks, z if n else 4 * self.channels, 2 * z)
            self.read_trunk(f"p{n}", blocks, z, 2 * z if n else 4 * self.phase())
        self.prior = self.read("prior", "int32")
        require(self.prior.shape == (2, z), "sizes of the prior")

    def read_vae_core(self) -> None:
        n = self.height * self.width * self.channels
        own = {"bernoulli": 1, "beta_binomial": 2, "logistic": 3 * self.mixtures, "categorical": self.levels}
        self.read_trunk("q", 0, n, 2 * self.latent_channels)
        self.read_trunk("p", 0, self.latent_channels, n * own[self.likelihood])

    def read_flow(self, arch: dict[str, Any]) -> None:
        self.value_bits, self.latent_bits = int(arch["value_bits"]), int(arch["latent_bits"])
        self.noise_bits, self.bucket_bits = int(arch["noise_bits"]), int(arch["bucket_bits"])
        require(self.bucket_bits <= self.value_bits, "bucket_bits at most value_bits")
        self.flow_layers: list[list[Any]] = arch["layers"]
        self.matrices: dict[str, Ints] = {}
        require(len(self.flow_layers) in range(1, 65), "1..64 layers")
        blocks, pixels = arch["blocks"]["core"], [True] * self.channels
        if self.bucket_bits:
            self.read_trunk("dequantise", blocks, 36 * self.channels, 8 * self.channels)
        for n, (kind, *chosen) in enumerate(self.flow_layers, 1):
            every = range(len(pixels))
            if kind == "squeeze":
                pixels = pixels * 4
            elif kind == "pointwise":
                require(len(set(pixels)) == 1, "a pointwise layer takes pixels' or latents' channels")
                for part in (f"flow{n}.upper", f"flow{n}.lower"):
                    self.matrices[part] = self.read(part, "int32")
                    require(self.matrices[part].shape == (len(pixels), len(pixels)), f"sizes of {part}")
            else:
                require(kind in ("split", "mixture", "affine"), "a kind of layer")
                require(chosen[0] == sorted({*chosen[0]} & {*every}) and len(chosen[0]) > 0, "ascending channels")
                require(len(chosen[0]) < len(pixels), "a layer leaves a channel")
                require(len({pixels[k] for k in chosen[0]}) == 1, "channels of one sort")
                if kind == "split":
                    require(not pixels[chosen[0][0]], "a split takes latents'")
                    pixels = [each for k, each in enumerate(pixels) if k not in chosen[0]]
                else:
                    own = 3 * self.mixtures if kind == "mixture" else 2
                    self.read_trunk(f"flow{n}", blocks, 9 * (len(pixels) - len(chosen[0])), own * len(chosen[0]))
                    pixels = [each and k not in chosen[0] for k, each in enumerate(pixels)]
        require(not any(pixels), "no channel is a pixel's in the end")

    def read_stages(self, blocks: dict[str, int]) -> None:
        c = self.channels
        for t in range(1, self.stages + 2):
            count = blocks["stage" if t <= self.stages else "direct"]
            width_a = self.read_trunk(f"stage{t}.a", count, 17 * c, self.phase())
            width_b = self.read_trunk(f"stage{t}.b", count, 33 * c, 2 * self.phase())
            for name, width in (("phase11", width_a), ("phase01", width_b), ("phase10", width_b)):
                for ch in range(1, c):
                    inner = self.read_layer(f"stage{t}.{name}.{ch}.in", width + ch)
                    self.read_layer(f"stage{t}.{name}.{ch}.out", inner, 3 * self.mixtures)

    def read_trunk(self, name: str, blocks: int, inputs: int, outputs: int) -> int:
        """Returns the width of h."""
        self.blocks[name] = blocks
        width = self.read_layer(f"{name}.in", inputs)
        for k in range(blocks):
            inner = self.read_layer(f"{name}.{k}.conv", 9 * width)
            self.read_layer(f"{name}.{k}.out", inner, width)
        self.read_layer(f"{name}.head", width, outputs)
        self.read_layer(f"{name}.skip", inputs, outputs)
        return width

    def read_layer(self, name: str, inputs: int, outputs: int | None = None) -> int:
        """Returns the outputs; None: as many as there are."""
        w, b, f = (self.read(f"{name}.{part}", *dtypes) for part, dtypes in PARTS.items())
        wide = self.file.get_tensor(f"{name}.w").dtype == "int16"
        n = len(w) if outputs is None else outputs
        require((w.shape, b.shape, f.shape) == ((n, inputs), (n,), (n,)), f"sizes of {name}")
        require(np.abs(w).max() <= (4032 if wide else 63) and f.max() <= 24, f"weights and shifts of {name}")
        sums = np.abs(w).sum(1) * 127 + np.abs(b) + (1 << f >> 1)
        require(sums.max() < (2**29 if wide else 2**24), f"sums of {name}")
        self.layers[name] = w, b, f
        return n

    def read(self, name: str, *dtypes: str) -> Ints:
        require(name in set(self.file.keys()), f"there is a tensor {name}")
        tensor: NDArray[Any] = self.file.get_tensor(name)
        require(str(tensor.dtype) in dtypes, f"{name} is {dtypes}")
        return tensor.astype(np.int64)


class Layers:
    """What models of kind `planes` and `jpeg` have in common: layers (4.1) of int8 weights and sizes that are known."""

    reach_of_inputs: int  # what the sums are checked with

    def __init__(self) -> None:
        self.layers: dict[str, tuple[Ints, Ints, Ints]] = {}

    @contextmanager
    def opened(self, path: str | Path, model_id: bytes) -> Iterator[dict[str, Any]]:
        """Gives `arch`; tensors can be read until the end."""
        require(hashlib.sha256(Path(path).read_bytes()).digest()[:16] == model_id, "the model file has the model id")
        with safe_open(path, "numpy") as self.file:
            yield json.loads(self.file.metadata()["arch"])

    def read_layer(self, name: str, inputs: int, outputs: int) -> None:
        w = self.read(f"{name}.w", "int8", (outputs, inputs))
        b = self.read(f"{name}.b", "int32", (outputs,))
        f = self.read(f"{name}.f", "uint8", (outputs,))
        require(np.abs(w).max() <= 63 and f.max() <= 24, f"weights and shifts of {name}")
        sums = self.reach_of_inputs * np.abs(w).sum(1) + np.abs(b) + (1 << f >> 1)
        require(sums.max() < 2**29, f"sums of {name}")
        self.layers[name] = w, b, f

    def read(self, name: str, dtype: str, shape: tuple[int, ...]) -> Ints:
        require(name in set(self.file.keys()), f"there is a tensor {name}")
        tensor: NDArray[Any] = self.file.get_tensor(name)
        require(str(tensor.dtype) == dtype and tensor.shape == shape, f"{name} is {dtype} {shape}")
        return tensor.astype(np.int64)

    def linear(self, name: str, u: Ints) -> Ints:
        """A layer on columns u (inputs, columns)."""
        w, b, f = (values if values.ndim > 1 else values[:, None] for values in self.layers[name])
        sums: Ints = w @ u + b + (1 << f >> 1)
        return sums >> f

"""A flow (FORMAT.md section 6.5): stages, direct stage, dequantisation and layers of one model file."""

from typing import Any

from .. import arrays
from ..arrays import Array
from ..errors import ModelError
from .arch import check_integers, check_kind
from .backend import Backend
from .flow_layers import Channel, Coupling, Inputs, Pointwise, Split, Squeeze, Steps
from .layers import Tensors
from .parameters import DATA_LEVELS, Parameters, latent_buckets
from .stage import Stage
from .trunk import Trunk

LIMITS = {
    "channels": (1, 3),
    "stages": (0, 8),
    "mixtures": (1, 16),
    "value_bits": (5, 14),
    "latent_bits": (5, 17),
    "noise_bits": (0, 8),
    "bucket_bits": (0, 9),
    "patch_log2": (3, 12),
}


class FlowModel:
    """The networks of one model file of kind `flow` on one device.

    Attributes
    ----------
    stages, direct, levels, patch_log2
        As of `BitSwapModel`.
    layers : list of Squeeze, Pointwise, Coupling, Split
    last_channels : int
        Channels after the last layer.
    steps : Steps

    Raises
    ------
    ModelError
        `arch` or a tensor breaks a rule of FORMAT.md section 7.
    """

    cores = ("local_bits_back",)
    levels = DATA_LEVELS

    def __init__(self, arch: dict[str, Any], tensors: Tensors, backend: Backend):
        self.arch, self.backend = arch, backend
        check_kind(arch, "flow", (2,))
        check_integers(arch | {"patch_log2": arch.get("patch_log2", 8)}, LIMITS, ("stage", "core", "direct"))
        self.channels: int = arch["channels"]
        self.patch_log2: int = arch.get("patch_log2", 8)
        blocks, c, k = arch["blocks"], arch["channels"], arch["mixtures"]
        depth = [blocks["stage"]] * arch["stages"] + [blocks["direct"]]
        stages = [Stage(tensors, f"stage{t}", c, k, n, backend) for t, n in enumerate(depth, 1)]
        self.stages, self.direct = stages[:-1], stages[-1]
        self.steps = Steps(arch["value_bits"], arch["latent_bits"], arch["noise_bits"])
        channels = [Channel(colour, True, DATA_LEVELS << arch["value_bits"]) for colour in range(c)]
        self._squeeze, self.bucket_bits = Squeeze(channels), arch["bucket_bits"]
        if self.bucket_bits > arch["value_bits"]:
            raise ModelError("the model's arch has more bucket_bits than value_bits")
        if self.bucket_bits:
            self._inputs = Inputs(self._squeeze.after, list(range(4 * c)), self.steps)
            self._noise = Trunk(tensors, "dequantise", 36 * c, 8 * c, blocks["core"], backend)
        self.layers: list[Squeeze | Pointwise | Coupling | Split] = []
        for number, line in enumerate(_lines(arch.get("layers")), 1):
            self.layers.append(self._layer(tensors, f"flow{number}", line, channels))
            channels = self.layers[-1].after
        if any(each.pixel for each in channels):
            raise ModelError("a channel of the flow is never transformed")
        self.last_channels = len(channels)
        self._cell = 1 << max(sum(isinstance(each, Squeeze) for each in self.layers), self.bucket_bits > 0)

    def _layer(
        self, tensors: Tensors, name: str, line: list[Any], channels: list[Channel]
    ) -> Squeeze | Pointwise | Coupling | Split:
        kind, chosen = line[0], line[1] if len(line) > 1 else []
        if kind in ("affine", "mixture", "split") and not _channel_list(chosen, len(channels)):
            raise ModelError(f"{name}: {kind} needs a list of channels, in order, not {chosen!r}")
        if kind == "squeeze":
            return Squeeze(channels)
        if kind == "pointwise":
            return Pointwise(tensors, name, channels)
        if kind == "split":
            return Split(channels, chosen)
        if kind in ("affine", "mixture"):
            count = self.arch["blocks"]["core"]
            mixtures = self.arch["mixtures"]
            return Coupling(tensors, name, kind, channels, chosen, mixtures, count, self.steps, self.backend)
        raise ModelError(f"{name}: layers of kind {kind!r} are unknown: upgrade numcodecs_bitswap to use the model")

    def fits(self, height: int, width: int) -> bool:
        """Whether the core can code patches of this size: its grid must be divisible by the cells of all squeezes."""
        return all(-(-side >> len(self.stages)) % self._cell == 0 for side in (height, width))

    def last_shape(self, n: int, height: int, width: int) -> tuple[int, int, int, int]:
        """Shape of the last layer's values for n grids."""
        halvings = sum(isinstance(each, Squeeze) for each in self.layers)
        return n, height >> halvings, width >> halvings, self.last_channels

    def noise_posterior(self, grid: Array) -> Parameters:
        """q(u | x), the buckets of the dequantisation noise of pixels x (N, h, w, c): on the grid of cells, with the
        channels of a squeeze.
        """
        pixels = arrays.of(grid).cast(grid, "int32") << self.steps.value_bits
        u, _ = self._inputs(self._squeeze.forward(pixels))
        return latent_buckets(self._noise.outputs(u), 1 << self.bucket_bits)

    def squeeze(self, grid: Array) -> Array:
        """(N, h, w, c) to (N, h/2, w/2, 4 c)."""
        return self._squeeze.forward(grid)

    def unsqueeze(self, cells: Array) -> Array:
        """The inverse of `squeeze`."""
        return self._squeeze.inverse(cells)


def _lines(layers: Any) -> list[list[Any]]:
    if (
        not isinstance(layers, list)
        or not 1 <= len(layers) <= 64
        or any(not isinstance(x, list) or not x for x in layers)
    ):
        raise ModelError("the model's arch needs a list of 1 to 64 layers, each a list")
    return layers


def _channel_list(chosen: Any, channels: int) -> bool:
    return (
        isinstance(chosen, list)
        and len(chosen) > 0
        and all(type(k) is int and 0 <= k < channels for k in chosen)
        and chosen == sorted(set(chosen))
    )

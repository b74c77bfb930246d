"""The plane coder on a GPU with Triton: the same messages as `tile.code_tile`, for many tiles of one shape at once.

A launch of `triton_kernels.plane_kernel` codes one plane of all tiles, each in a program of its own; torch skews planes
and keeps what they need from one to the next. Nothing returns to the host before the last plane.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import FormatError, MessageExhausted
from ..rans.torch_backend import TorchStack
from ..rans.words import SHORT, empty_words
from . import tables
from .message import Message, Planes, lanes
from .model import PlaneModel
from .tables import BLOCK
from .torch_messages import check_empty, stack_of
from .torch_planes import Neighbours, Skew
from .triton_kernels import INPUTS, plane_kernel, push_kernel

LEAST = INPUTS.value
"""Least number of pixels of a wavefront, and of outputs of an inner layer, in a program."""
LEAST_LANES = 16
"""Least number of lanes in a program, so that few kernels are compiled."""
SOLVED = 1 << 12
"""Numbers of the systems of equations that a program solves at a time."""
MEMORY = 1 << 32
"""Of the tiles of a launch, in bytes, about."""


@dataclass(frozen=True)
class Kind:
    """What kernels are compiled for, besides a model and a number of references.

    Attributes
    ----------
    pixels, lanes : int
        Of a program: powers of two.
    warps : int
    """

    pixels: int
    lanes: int
    warps: int

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> "Kind":
        """The kind of tiles (P, h, w)."""
        P, h, w = shape
        pixels = max(_power(min(h, (w + 1) // 2)), LEAST)
        return cls(pixels, max(lanes(P * h * w), LEAST_LANES), 4 if pixels < 128 else 8)


def encode(
    model: PlaneModel,
    tiles: Sequence[Planes],
    references: NDArray[np.int64],
    largest: Sequence[int],
    device: str = "cuda",
    kind: Kind | None = None,
) -> list[Message]:
    """Messages of tiles: the bytes of `coder.encode`.

    Parameters
    ----------
    model : PlaneModel
    tiles : sequence of integer arrays, shape (P, h, w)
        All of one shape.
    references : int64 array, shape (P, R)
        Reference planes of each plane, padded with -1.
    largest : sequence of int
        The largest sample of each tile, 0 .. `tables.LARGEST`.
    device : str
        The torch device: CUDA, or the CPU under Triton's interpreter.
    kind : Kind, optional
        Default: that of the tiles' shape.

    Returns
    -------
    list of Message
        One for each tile.
    """
    shape = tuple(tiles[0].shape)
    if any(tile.max() > m for tile, m in zip(tiles, largest, strict=True)):
        raise ValueError(f"samples are at most {max(largest)}")
    found: list[Message] = []
    for part in _parts(model, len(tiles), shape):
        planes = torch.from_numpy(np.stack(tiles[part]).astype(np.int32)).to(device)
        stack = TorchStack.unflatten([empty_words(lanes(planes[0].numel()))] * len(planes), device)
        coding = _Coding(model, shape, largest[part], stack, kind or Kind.of(shape))
        coding.encode(planes, references)
        found += [Message(*words) for words in stack.flatten()]
    return found


def decode(
    model: PlaneModel,
    messages: Sequence[Message],
    shape: tuple[int, int, int],
    references: NDArray[np.int64],
    largest: Sequence[int],
    device: str = "cuda",
    kind: Kind | None = None,
) -> list[Planes]:
    """Decode tiles from their messages; inverse of `encode`.

    Parameters
    ----------
    model : PlaneModel
    messages : sequence of Message
    shape : (P, h, w)
        Of each tile.
    references, largest, device, kind
        As in `encode`.

    Returns
    -------
    list of int32 arrays, shape (P, h, w)

    Raises
    ------
    FormatError
        A message is too short or too long, or holds an impossible value.
    """
    found: list[Planes] = []
    for part in _parts(model, len(messages), shape):
        stack = stack_of(messages[part], shape, device)
        coding = _Coding(model, shape, largest[part], stack, kind or Kind.of(shape))
        found += list(coding.decode(references).cpu().numpy())
    return found


class _Coding:
    """Tiles on the way from or to a stack of their messages."""

    def __init__(
        self, model: PlaneModel, shape: tuple[int, ...], largest: Sequence[int], stack: TorchStack, kind: Kind
    ) -> None:
        self.model, self.shape, self.stack, self.kind = model, shape, stack, kind
        self.batch, self.device = len(largest), stack.heads.device
        self.skew, self.blocks = _skew(*shape[1:], self.device), -(-shape[1] // BLOCK)
        self.largest = torch.tensor(list(largest), dtype=torch.int32, device=self.device)
        self.most = max(largest)
        self.digits = (2 * _half(self.most) - 1).bit_length() + 3 >> 2
        self.learned: _Learned
        self.trouble = self._zeros(torch.int32)
        samples, K = kind.pixels, _power(model.mixtures, 4)
        self.local = self._zeros(torch.int8, LEAST, samples)
        self.mixed = self._zeros(torch.int32, 3 * K + 5, samples)

    def _zeros(self, dtype: torch.dtype, *shape: int) -> Tensor:
        return torch.zeros(self.batch, *shape, dtype=dtype, device=self.device)

    def encode(self, planes: Tensor, references: NDArray[np.int64]) -> None:
        """Push planes, int32 (B, P, h, w)."""
        P, h, w = self.shape
        noted, lows = (self._zeros(torch.int32, P * h * w) for _ in range(2))
        self._code(planes.flatten(2), references, (noted, lows))
        self._push(noted, lows)

    def _push(self, noted: Tensor, lows: Tensor) -> None:
        P, h, w = self.shape
        # A bucket takes two bytes of a message at most, the low bits three (`coder.empty_tail`).
        self.stack.reserve(P * h * w * 5 // 2 + 1 if self.most >= 16 else P * h * w)
        stack, L = self.stack, self.stack.heads.shape[1]
        with torch.cuda.device_of(noted):  # type: ignore[no-untyped-call]  # Triton launches on the current device
            push_kernel[(self.batch,)](
                *(stack.heads, stack.tail, stack.size, noted, lows, self.largest),
                *(h, w, L, stack.tail.shape[1], P * h * w, P),
                LB=self.kind.lanes,
                num_warps=1,
                num_stages=1,
                enable_fp_fusion=False,
            )

    def decode(self, references: NDArray[np.int64]) -> Tensor:
        """Pop planes, int32 (B, P, h, w)."""
        P, h, w = self.shape
        planes = self._zeros(torch.int32, P, h * w)
        self._code(planes, references, None)
        if (self.stack.size < 0).any():
            raise MessageExhausted(SHORT)
        if self.trouble.any():
            raise FormatError("a sample beyond the largest: the frame was altered or made with other weights")
        check_empty(self.stack)
        return planes.view(self.batch, P, h, w)

    def _code(self, planes: Tensor, references: NDArray[np.int64], noted: tuple[Tensor, Tensor] | None) -> None:
        """Code planes (B, P, h w) in order; filled in place when decoding, that is if there is nothing to note in."""
        V, skew = len(self.model.reach), self.skew
        middle, quarter = (self.largest + 1 >> shift for shift in (1, 2))
        errors, before = torch.zeros_like(planes), -1
        for p in range(planes.shape[1]):
            others = list(takewhile(lambda other: other >= 0, references[p].tolist()))
            R = len(others)
            fields = self._zeros(torch.int32, 2 + V + 2 * R, skew.rows, skew.pitch)
            fields[:, 0], fields[:, 1 : V + 2] = middle[:, None, None], quarter[:, None, None, None]
            for s, other in enumerate(others):
                fields[:, 2 + V + s] = _known(skew, planes[:, other], middle)
                fields[:, 2 + V + R + s] = skew.known(errors[:, other], 0)
            if before == R:
                self.learned.sums.mul_(tables.KEEP)
            else:
                self.learned = _Learned(self.model, R, self.batch, self.blocks, self.device)
            before = R
            known = skew.known(planes[:, p], 0) if noted else fields
            self._launch(R, fields, known, noted, p)
            if not noted:
                planes[:, p] = skew.flat(fields[:, 0])
            errors[:, p] = skew.flat(fields[:, 1 + V])

    def _launch(self, R: int, fields: Tensor, known: Tensor, noted: tuple[Tensor, Tensor] | None, p: int) -> None:
        (P, h, w), skew, stack, learned = self.shape, self.skew, self.stack, self.learned
        plan = _plan(self.model, R, self.device)
        offsets, inputs = _offsets(self.model, R, h, w, self.device)
        noted_at, lows_at = noted or (self.trouble, self.trouble)
        V, NP = len(self.model.reach), plan.regressors
        with torch.cuda.device_of(fields):  # type: ignore[no-untyped-call]  # Triton launches on the current device
            plane_kernel[(self.batch,)](
                *(fields, known, learned.sums, learned.weights, learned.window, self.local, self.mixed, learned.head),
                *(stack.heads, stack.tail, stack.size, self.trouble, noted_at, lows_at, self.largest),
                *(offsets, inputs, *plan.tensors, *_constants(self.device)),
                *(h, w, skew.rows, skew.pitch, self.blocks, stack.heads.shape[1], stack.tail.shape[1], self.digits),
                *(P * h * w, p * h * w),
                DECODE=not noted,
                R=R,
                V=V,
                N=int(self.model.orders[R]),
                G=inputs.shape[1],
                K=self.model.mixtures,
                LAYERS=self.model.blocks,
                PX=self.kind.pixels,
                VP=_power(V + 1),
                FP=_power(V + 2),
                NP=NP,
                WP=plan.width,
                KP=_power(self.model.mixtures, 4),
                LB=self.kind.lanes,
                GROUP=max(min(SOLVED // NP**2, 8), 1),
                num_warps=self.kind.warps,
                num_stages=1,
                enable_fp_fusion=False,
            )


class _Learned:
    """What planes with R references learn, for each of B tiles; see `triton_kernels`.

    Attributes
    ----------
    sums : float32 tensor, shape (B, V, blocks, NP, NP)
        Statistics of regressors and, as number N, of the answer.
    weights : int32 tensor, shape (B, V, N, blocks)
    window : int16 tensor, shape (B, 8, NP, 8 blocks)
        Scaled regressors of the last wavefronts, by wavefront and y.
    head : float32 tensor, shape (B, number)
        The last layer's weights (4 KP, WP) and (4 KP, LEAST), moments of its outputs, inputs, classes, and of pixels.
    """

    def __init__(self, model: PlaneModel, R: int, batch: int, blocks: int, device: torch.device) -> None:
        plan, V, N = _plan(model, R, device), len(model.reach), int(model.orders[R])
        NP, WP, outputs = plan.regressors, plan.width, 4 * _power(model.mixtures, 4)
        self.sums = torch.zeros(batch, V, blocks, NP, NP, device=device)
        self.weights = plan.targets[:, :, None].expand(batch, V, N, blocks).clone(memory_format=torch.contiguous_format)
        self.window = torch.zeros(batch, 8, NP, 8 * blocks, dtype=torch.int16, device=device)
        self.head = torch.zeros(batch, (outputs + 1) * (WP + LEAST) + outputs + 1, device=device)
        self.head[:, : outputs * WP] = plan.head.flatten()


class _Plan:
    """A model's numbers for planes with R references, as the kernel takes them.

    Attributes
    ----------
    regressors, width : int
        NP and WP of the kernel.
    targets : int32 tensor, shape (V, N)
        First weights of the predictors.
    head : float32 tensor, shape (4 KP, WP)
        First weights of the last layer.
    tensors : tuple of Tensor
        Arguments of the kernel, from `rules` to `rates`.
    """

    def __init__(self, model: PlaneModel, R: int, device: torch.device) -> None:
        V, N, K = len(model.reach), int(model.orders[R]), model.mixtures
        KP = _power(K, 4)
        self.regressors, self.width = _power(N + 1, LEAST), _power(model.width, LEAST)
        sizes = model.sizes[R].tolist()
        rules = [*sizes, *model.period.tolist(), *model.reach.tolist(), *model.near_rows[R].tolist()]
        powers = np.ones((V, 9), np.float32)
        for d in range(1, 9):
            powers[:, d] = powers[:, d - 1] * model.lamv
        pulls = np.zeros((V, self.regressors), np.float32)
        targets = np.zeros((V, N), np.int32)
        for v, size in enumerate(sizes):
            pulls[v, :size] = model.ridges[v] * model.targets[R, :size]
            targets[v, :size] = np.floor(model.targets[R, :size].astype(np.float64) * (1 << tables.WEIGHT_BITS) + 0.5)
        factors = np.concatenate([model.lams, model.ridges, powers.reshape(-1)]).astype(np.float32)

        steps, places = int(model.nets[R, 0]), model.nets[R, 1:].reshape(-1, 3)
        gathered, local = _columns(model, R)
        seen = -(-len(gathered) // LEAST) * LEAST

        def layer(place: Any, n_out: int, inputs: int, offset: int) -> tuple[NDArray[np.int8], NDArray[Any]]:
            """Weights, and biases and shifts (2, n_out)."""
            at, bias, shift = (int(each) for each in place)
            w = model.blob[at : at + n_out * inputs // 4].view(np.int8).reshape(n_out, inputs)
            biases = model.blob[bias : bias + n_out] + offset * w.sum(1, dtype=np.int32)
            return w, np.stack([biases, model.blob[shift : shift + n_out]])

        def arranged(w: NDArray[np.int8], rows: int) -> NDArray[np.int8]:
            """Columns of inputs in the kernel's order."""
            out = np.zeros((rows, seen + LEAST), np.int8)
            out[: len(w), : len(gathered)] = w[:, gathered]
            out[: len(w), [seen + row for row in local]] = w[:, list(local.values())]
            return out

        width = model.width
        first, ends = layer(places[0], width, 4 * steps, 128)
        numbers = np.zeros((1 + 2 * model.blocks, 2, self.width), np.int32)
        numbers[0, :, :width] = ends
        inner = np.zeros((max(2 * model.blocks, 1), self.width, self.width), np.int8)
        for k, place in enumerate(places[1:-2]):
            inner[k, :width, :width], numbers[1 + k, :, :width] = layer(place, width, width, 0)
        skip, skip_ends = layer(places[-1], 2 * K, 4 * steps, 128)
        last, last_ends = layer(places[-2], 3 * K, width, 0)
        # Means, scales and logits begin at multiples of KP.
        spread = [KP * (k // K) + k % K for k in range(3 * K)]
        head, skips = np.zeros((4 * KP, self.width), np.float32), np.zeros((4 * KP, seen + LEAST), np.int8)
        head_numbers, rates = np.zeros((4, 4 * KP), np.int32), np.zeros(4 * KP, np.float32)
        head[spread, :width], head_numbers[:2, spread] = last, last_ends
        skips[spread[: 2 * K]], head_numbers[2:, spread[: 2 * K]] = arranged(skip, 2 * K), skip_ends
        step = np.repeat(np.array([tables.HEAD_RATES[0], tables.HEAD_RATES[1]], np.float32), [K, 2 * K])
        rates[spread] = step * (1 << last_ends[1].astype(np.int64)).astype(np.float32)

        def move(array: NDArray[Any]) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(device)

        self.targets, self.head = move(targets), move(head)
        self.tensors = tuple(
            move(each)
            for each in (
                *(np.array(rules, np.int32), factors, pulls, inner, numbers[:, 0], numbers[:, 1]),
                *(arranged(first, self.width), skips, head_numbers, rates),
            )
        )


def _columns(model: PlaneModel, R: int) -> tuple[list[int], dict[int, int]]:
    """Which inputs of the network lie in fields, and which one each row of those made of predictions is."""
    V, count = len(model.reach), int(model.put_counts[R])
    kinds = model.puts[R, :count, 0].tolist()
    gathered = [k for k, kind in enumerate(kinds) if kind in (0, 2)]
    local = {int(model.puts[R, k, 1]): k for k, kind in enumerate(kinds) if kind == 1}
    logs, *of_references = model.puts[R, count, : 1 + R].tolist()
    return gathered, local | {V + 3 + k: logs + k for k in range(V + 4)} | dict(enumerate(of_references, 2 * V + 7))


@lru_cache(16)
def _plan(model: PlaneModel, R: int, device: torch.device) -> _Plan:
    return _Plan(model, R, device)


@lru_cache(8)
def _skew(h: int, w: int, device: torch.device) -> Skew:
    return Skew(h, w, device)


@lru_cache(16)
def _offsets(model: PlaneModel, R: int, h: int, w: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Where the neighbours of a pixel are from its cell, and the rows of inputs that lie in fields, int32 (4, number):
    where, times what, whose base is taken away, whose local scale is the unit. A row taken twice is a regressor.
    """
    skew, V = _skew(h, w, device), len(model.reach)
    around = Neighbours(model, R, skew)
    regressors, _, _, near, far, errors = around.offsets.int().split(around.counts)  # type: ignore[no-untyped-call]
    gathered, _ = _columns(model, R)
    rows = np.zeros((4, -(-len(gathered) // LEAST) * LEAST), np.int32)
    rows[2] = -1
    for row, k in zip(rows.T, gathered, strict=False):
        kind, a, by, place, factor = model.puts[R, k].tolist()
        if kind == 0:
            row[:] = int(regressors[a]), 2, int(around.bases[a]), factor
        else:  # puts count the references themselves before the errors
            field = a - R if a < 2 + R + V else a
            row[:] = field * skew.rows * skew.pitch + by * skew.pitch + place, 1, -1, factor
    where = torch.cat([regressors, around.bases.int(), near, far, errors])
    return where, torch.from_numpy(rows).to(device)


@lru_cache(4)
def _constants(device: torch.device) -> tuple[Tensor, ...]:
    """Tables: lights, sigmoids (uint16, as int16), slopes, inverses."""
    arrays = (
        tables.WEIGHT.astype(np.int32),
        tables.SIGMOID.astype(np.uint16).view(np.int16),
        tables.SLOPE,
        tables.INVERSE,
    )
    return tuple(torch.from_numpy(array).to(device) for array in arrays)


def _known(skew: Skew, plane: Tensor, start: Tensor) -> Tensor:
    """See `Skew.known`; each tile has its own start (B,)."""
    return skew.known(plane - start[:, None], 0) + start[:, None, None]


def _half(m: int) -> int:
    """Half of the alphabet of samples of 0 .. m (FORMAT.md 9.5)."""
    shift = max(m.bit_length() - 4, 0)
    return 8 * shift + (m >> shift) + 1


def _power(n: int, least: int = 1) -> int:
    """The least power of two that is not below n."""
    return max(1 << (n - 1).bit_length(), least)


def _parts(model: PlaneModel, count: int, shape: tuple[int, ...]) -> list[slice]:
    """Tiles for a launch each: as many as fit into MEMORY."""
    P, h, w = shape
    V, R = len(model.reach), tables.REFERENCES
    cells = (w + 2 * h + 2 * tables.MARGIN_U) * (h + 2 * tables.MARGIN_Y)
    size = 4 * cells * (3 + V + 2 * R) + 36 * P * h * w + 4 * V * (h // BLOCK + 1) * 64 * 64
    step = max(MEMORY // size, 1)
    return [slice(at, at + step) for at in range(0, count, step)]

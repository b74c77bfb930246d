"""The plane coder in torch, on any device: the same messages as `tile.code_tile`, for many tiles of one shape at once.

A second implementation of FORMAT.md 9, and a check of the first. All pixels of a wavefront in all B tiles are coded at
once; Python loops over wavefronts, never over pixels. Integers are exact. Every float32 or float64 operation is rounded
once, in the kernel's order, so matrix products are of integers only.

Tensors of a wavefront have shape (B, ..., n), n its number of pixels.
"""

from itertools import takewhile
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from ..errors import FormatError
from ..rans.torch_backend import TorchStack
from ..rans.words import empty_words
from .message import Message, Planes, lanes
from .model import PlaneModel
from .tables import BLOCK, LEAST_SCALE, MARGIN_U, MARGIN_Y, NEAR, WEIGHT_BITS
from .torch_messages import check_empty, stack_of
from .torch_networks import Head, Looks, Mixture, Network, log8
from .torch_planes import Neighbours, Regression, Skew


def encode(
    model: PlaneModel, tiles: list[Planes], references: NDArray[np.int64], m: int, device: str = "cpu"
) -> list[Message]:
    """Messages of tiles: the bytes of `coder.encode`.

    Parameters
    ----------
    model : PlaneModel
    tiles : list of integer arrays, shape (P, h, w)
        All of one shape; samples are 0 .. m.
    references : int64 array, shape (P, R)
        Reference planes of each plane, padded with -1.
    m : int
        Largest sample, 0 .. `tables.LARGEST`.
    device : str
        The torch device.

    Returns
    -------
    list of Message
        One for each tile.
    """
    planes = np.stack(tiles)
    if planes.max() > m:
        raise ValueError(f"samples are at most {m}")
    batch, shape = len(planes), planes.shape[1:]
    coder = _Encoder(torch.from_numpy(planes.astype(np.int32)).to(device), m)
    _code(model, batch, shape, references, m, torch.device(device), coder)
    return coder.messages(device)


def frequencies(model: PlaneModel, tile: Planes, references: NDArray[np.int64], m: int) -> list[NDArray[np.int64]]:
    """The sizes of the intervals of each plane of a tile (P, h, w), in no particular order."""
    coder = _Encoder(torch.from_numpy(tile)[None], m)
    _code(model, 1, tile.shape, references, m, torch.device("cpu"), coder)
    return [torch.cat([freq.flatten() for _, freq in plane]).numpy() for plane in coder.noted]


def decode(
    model: PlaneModel,
    messages: list[Message],
    shape: tuple[int, int, int],
    references: NDArray[np.int64],
    m: int,
    device: str = "cpu",
) -> list[Planes]:
    """Decode tiles from their messages; inverse of `encode`.

    Parameters
    ----------
    model : PlaneModel
    messages : list of Message
    shape : (P, h, w)
        Of each tile.
    references, m, device
        As in `encode`.

    Returns
    -------
    list of int32 arrays, shape (P, h, w)

    Raises
    ------
    FormatError
        A message is too short or too long, or holds an impossible value.
    """
    coder = _Decoder(stack_of(messages, shape, device), m)
    planes = _code(model, len(messages), shape, references, m, torch.device(device), coder)
    check_empty(coder.stack)
    return list(planes.cpu().numpy())


class _Coder(Protocol):
    """What is done with the distributions of a wavefront."""

    def begin(self, p: int, skew: Skew) -> None:
        """Called before plane p."""

    def code(self, u: int, mixture: Mixture) -> Tensor:
        """The samples of wavefront u, int32 (B, n)."""

    def end(self) -> None:
        """Called after each plane."""


class _Encoder:
    """Notes the intervals of the samples of planes, int32 (B, P, h, w)."""

    def __init__(self, planes: Tensor, m: int) -> None:
        self.planes, self.m = planes, m
        self.noted: list[list[tuple[Tensor, Tensor]]] = []
        self.lanes = lanes(planes[0].numel())

    def begin(self, p: int, skew: Skew) -> None:
        """See `_Coder`."""
        self.skew, self.plane = skew, skew.known(self.planes[:, p].flatten(1), 0)
        self.noted.append([])

    def code(self, u: int, mixture: Mixture) -> Tensor:
        """See `_Coder`."""
        y0, y1 = self.skew.span(u)
        values = self.plane[:, u + MARGIN_U, y0 + MARGIN_Y : y1 + MARGIN_Y + 1]
        buckets, d = mixture.buckets, values - mixture.centre
        s = buckets.of(d)
        ends = mixture.cumulative(torch.stack([s, s + 1], 2))
        self._note(ends[..., 0], ends[..., 1] - ends[..., 0])
        bits, number = buckets.bits[s], (d - buckets.edges[s]).long()
        for low in _parts(self.m):
            part = (bits - low).clamp(0, 16)
            freq = 1 << (16 - part)
            self._note((number >> low & (1 << part) - 1) * freq, freq)
        return values

    def _note(self, start: Tensor, freq: Tensor) -> None:
        """Whole rows of intervals, int64 (B, n): what is behind the last leaves the message as it is."""
        more = -start.shape[1] % self.lanes
        self.noted[-1].append((pad(start, (0, more)), pad(freq, (0, more), value=1 << 16)))

    def end(self) -> None:
        """See `_Coder`."""

    def messages(self, device: str) -> list[Message]:
        """The messages, once all is noted."""
        stack = TorchStack.unflatten([empty_words(self.lanes)] * len(self.planes), device)
        for plane in reversed(self.noted):
            start, freq = (torch.cat(each, 1) for each in zip(*plane, strict=True))
            stack.reserve(start.shape[1])
            stack.push_intervals(start, freq)
        return [Message(*words) for words in stack.flatten()]


class _Decoder:
    """Pops samples."""

    def __init__(self, stack: TorchStack, m: int) -> None:
        self.stack, self.m = stack, m
        self.wrong = torch.zeros(1, dtype=torch.bool, device=stack.heads.device)

    def begin(self, p: int, skew: Skew) -> None:
        """See `_Coder`."""

    def code(self, u: int, mixture: Mixture) -> Tensor:
        """See `_Coder`. Samples beyond the largest are noted, and brought back to it so that all goes on."""
        stack, buckets, L = self.stack, mixture.buckets, self.stack.heads.shape[1]
        table = mixture.cumulative(buckets.all)
        found = []
        for i in range(0, table.shape[1], L):
            row = table[:, i : i + L]
            s = (row <= stack.peek(row.shape[1])[..., None]).sum(2, keepdim=True) - 1
            start = row.gather(2, s)
            stack.pop_row(start[..., 0], (row.gather(2, s + 1) - start)[..., 0])
            found.append(s[..., 0])
        s = torch.cat(found, 1)
        values = mixture.centre + buckets.edges[s]
        for low in _parts(self.m):
            bits, numbers = 16 - (buckets.bits[s] - low).clamp(0, 16), []
            for i in range(0, table.shape[1], L):
                shift = bits[:, i : i + L]
                r = stack.peek(shift.shape[1]) >> shift
                stack.pop_row(r << shift, 1 << shift)
                numbers.append(r)
            values = values + (torch.cat(numbers, 1).int() << low)
        self.wrong |= ((values < 0) | (values > self.m)).any()
        return values.clamp(0, self.m)

    def end(self) -> None:
        """See `_Coder`. Asks here what waits for the device."""
        self.stack.check_size()
        if self.wrong.any():
            raise FormatError("a sample beyond the largest: the frame was altered or made with other weights")


def _parts(m: int) -> list[int]:
    """The first of the low bits that each block of them holds, in pop order."""
    return [low for low in (16, 0) if m >> low >= 16]


def _code(
    model: PlaneModel,
    batch: int,
    shape: tuple[int, ...],
    references: NDArray[np.int64],
    m: int,
    device: torch.device,
    coder: _Coder,
) -> Tensor:
    """Code the planes of tiles in order, and return them: int32 (B, P, h, w)."""
    P, h, w = shape
    skew, looks, V = Skew(h, w, device), Looks(model, m, device), len(model.reach)
    networks: dict[int, tuple[Network, Neighbours]] = {}
    planes = torch.zeros(batch, P, h * w, dtype=torch.int32, device=device)
    errors = torch.zeros_like(planes)
    regression: Regression | None = None
    head: Head | None = None
    for p in range(P):
        others = list(takewhile(lambda other: other >= 0, references[p].tolist()))
        R = len(others)
        if R not in networks:
            networks[R] = Network(model, R, device), Neighbours(model, R, skew)
        buffer = torch.empty(batch, 2 + V + 2 * R, skew.rows, skew.pitch, dtype=torch.int32, device=device)
        buffer[:, 0] = m + 1 >> 1
        buffer[:, 1 : V + 2] = m + 1 >> 2
        for q, other in enumerate(others):
            buffer[:, 2 + V + q] = skew.known(planes[:, other], m + 1 >> 1)
            buffer[:, 2 + V + R + q] = skew.known(errors[:, other], 0)
        coder.begin(p, skew)
        if regression is not None and head is not None and R == regression.R:
            regression.go_on()
        else:
            regression = Regression(model, R, batch, skew)
            head = Head(networks[R][0], model.mixtures, batch)
        _code_plane(regression, *networks[R], head, looks, skew, buffer, coder)
        coder.end()
        planes[:, p] = skew.flat(buffer[:, 0])
        errors[:, p] = skew.flat(buffer[:, 1 + V])
    return planes.view(batch, P, h, w)


def _code_plane(
    regression: Regression,
    network: Network,
    around: Neighbours,
    head: Head,
    looks: Looks,
    skew: Skew,
    buffer: Tensor,
    coder: _Coder,
) -> None:
    """Code one plane. `buffer` is what `around` describes: here the plane and its errors become known."""
    V = len(regression.sizes)
    own = buffer[:, : V + 2]
    twice = torch.tensor([2, 2] + [1] * (len(NEAR) - 2), dtype=torch.int32, device=skew.device)[:, None]
    columns = torch.arange(skew.h, device=skew.device) + MARGIN_Y
    for u in range(skew.wavefronts):
        if u % BLOCK == 0:
            regression.begin(u)
        y0, y1 = skew.span(u)
        if y1 < y0:  # of a tile one pixel wide
            skew.repeat_border(own, u)
            continue
        r = u + MARGIN_U
        gathered = around.gather(buffer, columns[y0 : y1 + 1] + r * skew.pitch)
        neighbours, west, north, near, _, _ = gathered
        bases = west + north
        X, base = 2 * neighbours - bases.index_select(1, around.bases), bases[:, 0]
        sums = regression.predict(X, u) * 2.0 ** (4 - WEIGHT_BITS)
        pred = ((sums + 0.5).floor() + 16.0 * base[:, None].double()).clamp(0, looks.top).int()
        weighted = near.abs().view(len(near), V + 1, len(NEAR), -1) * twice
        magnitudes = 8 * LEAST_SCALE + weighted.sum(2, dtype=torch.int32)
        blend, q = looks.blend(pred, magnitudes[:, :V]), log8(magnitudes[:, V] >> 3)
        inputs = looks.inputs(around, gathered, X, pred, magnitudes, blend, q, base)
        y, known = network(inputs, q, head)
        mixture = looks.mixture(y, blend, q)
        values = coder.code(u, mixture)
        head.learn(known, mixture.gradients(values, looks.scale[q]))
        row = own[:, :, r, y0 + MARGIN_Y : y1 + MARGIN_Y + 1]
        row[:, 0] = values
        row[:, 1:] = 32 * values[:, None] - torch.cat([pred, blend[:, None]], 1)
        skew.repeat_border(own, u)
        regression.note(u, X, 2 * values - base, looks.inverse[3 * q >> 2] * 256)

"""The plane coder in torch, on any device: the same messages as `tile.code_tile`, for many tiles of one shape at once.

A second statement of FORMAT.md 9, and the check of the first. Everything of a wavefront is done at once, for all its
pixels and all B tiles; Python loops over wavefronts, never over pixels. Integers are exact. Of float32 and float64 each
operation is rounded once, in the kernel's order, so products of matrices are of integers only.

Tensors of a wavefront have shape (B, ..., n), n its number of pixels.
"""

from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from ..errors import FormatError
from ..rans.torch_backend import TorchStack
from . import tables
from .coder import Message, Planes, empty_heads, lanes
from .model import PlaneModel
from .products import OUTPUTS
from .tables import AROUND, BLOCK, FAR, LEAST_SCALE, MARGIN_U, MARGIN_Y, NEAR, SEEN_OTHER, SEEN_OWN, WEIGHT_BITS

EXACT_FLOAT = 1 << 24
"""float32 holds all integers up to it."""
MOST_OFF = 2.0**22
"""Of a mean from the prediction, in 1/32 level."""


def encode(
    model: PlaneModel, tiles: list[Planes], references: NDArray[np.int64], m: int, device: str = "cpu"
) -> list[Message]:
    """Messages of tiles: the bytes of `coder.encode`.

    Parameters
    ----------
    model : PlaneModel
    tiles : list of uint16 arrays, shape (P, h, w)
        All of one shape; samples are 0 .. m.
    references : int64 array, shape (P, R)
        Reference planes of each plane, -1 behind the last.
    m : int
        Largest sample, 0 .. 65535.
    device : str
        Where to do it.

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


def decode(
    model: PlaneModel,
    messages: list[Message],
    shape: tuple[int, int, int],
    references: NDArray[np.int64],
    m: int,
    device: str = "cpu",
) -> list[Planes]:
    """Tiles of their messages; inverse of `encode`.

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
    list of uint16 arrays, shape (P, h, w)

    Raises
    ------
    FormatError
        A message is too short, has something left, or holds what cannot be.
    """
    count = lanes(int(np.prod(shape)))
    for heads, _ in messages:
        if heads.shape != (count,) or heads.min() < 1 << 24:
            raise FormatError(f"a message of this tile has {count} heads in [2^24, 2^32)")
    coder = _Decoder(TorchStack.unflatten([tuple(message) for message in messages], device), m)
    planes = _code(model, len(messages), shape, references, m, torch.device(device), coder)
    empty = torch.from_numpy(empty_heads(count).astype(np.int64)).to(device)
    if coder.stack.size.any() or (coder.stack.heads != empty).any():
        raise FormatError("the message is not empty after its last symbol: the frame was altered")
    return list(planes.to(torch.int32).cpu().numpy().astype(np.uint16))


class _Skew:
    """Where pixels of a tile lie in skewed planes (see `tile`), cells of which are numbered row by row.

    Attributes
    ----------
    wavefronts, rows, pitch : int
        Wavefronts of a tile, rows of a skewed plane and cells in a row.
    cells : int64 tensor, shape (h w,)
        The cell of each pixel.
    pixels : int64 tensor, shape (rows pitch,)
        The pixel that a cell of a known plane repeats, h w if none.
    """

    def __init__(self, h: int, w: int, device: torch.device) -> None:
        self.h, self.w, self.device = h, w, device
        self.wavefronts = w + 2 * (h - 1)
        self.rows, self.pitch = self.wavefronts + 2 * MARGIN_U, h + 2 * MARGIN_Y
        y, x = np.indices((h, w))
        cells = (x + 2 * y + MARGIN_U) * self.pitch + y + MARGIN_Y
        row, column = np.indices((self.rows, self.pitch))
        u, y = row - MARGIN_U, column - MARGIN_Y
        x = u - 2 * y
        source = np.full((self.rows, self.pitch), h * w)
        above = (y >= -3) & (y < 0) & (u >= 0) & (u < w + 4)
        source[above] = u[above].clip(0, w - 1)
        beside = (y >= 0) & (y < h + 2) & (x >= -4) & (x < w + 4)
        y = y.clip(0, h - 1)
        source[beside] = (y * w + x.clip(0, w - 1))[beside]
        left = beside & (x < 0)
        source[left] = np.where(y > 0, (y - 1) * w, h * w)[left]
        self.cells = torch.from_numpy(cells.reshape(-1)).to(device)
        self.pixels = torch.from_numpy(source.reshape(-1)).to(device)

    def span(self, u: int) -> tuple[int, int]:
        """First and last y of wavefront u."""
        return max(0, (u - self.w + 2) >> 1), min(self.h - 1, u >> 1)

    def known(self, plane: Tensor, start: int) -> Tensor:
        """A known plane (B, h w) skewed, (B, rows, pitch), with what is outside of it on all sides."""
        outside = pad(plane, (0, 1), value=start)
        return outside.index_select(1, self.pixels).view(-1, self.rows, self.pitch)

    def flat(self, skewed: Tensor) -> Tensor:
        """Pixels (B, h w) of a skewed plane."""
        return skewed.flatten(1).index_select(1, self.cells)

    def repeat_border(self, own: Tensor, u: int) -> None:
        """Repeat the border pixels of wavefront u in the cells outside, of planes (B, number, rows, pitch)."""
        r = u + MARGIN_U
        if u % 2 == 0 and u // 2 < self.h:
            y = u // 2 + MARGIN_Y
            own[:, :, r - 2 : r + 2, y + 1] = own[:, :, r, y, None]
        k = u - self.w + 1
        if k >= 0 and k % 2 == 0 and k // 2 < self.h:
            y = k // 2 + MARGIN_Y
            own[:, :, r + 1 : r + 5, y] = own[:, :, r, y, None]
        if u < self.w + 4:
            own[:, :, r, MARGIN_Y - 3 : MARGIN_Y] = own[:, :, r, MARGIN_Y, None]


class _Buckets:
    """Buckets of samples by their distance from the centre.

    Attributes
    ----------
    m, half, alphabet : int
    edges : int32 tensor, shape (alphabet + 1,)
        Lower edges.
    bits : int64 tensor, shape (alphabet,)
        Numbers of low bits.
    """

    def __init__(self, m: int, device: torch.device) -> None:
        shift = max(m.bit_length() - 4, 0)
        self.m, self.half = m, 8 * shift + (m >> shift) + 1
        self.alphabet = 2 * self.half
        i = np.arange(self.half + 1)
        shifts = np.maximum((i >> 3) - 1, 0)
        edges = (i - 8 * shifts) << shifts
        self.edges = torch.from_numpy(np.concatenate([-edges[:0:-1], edges]).astype(np.int32)).to(device)
        self.bits = torch.from_numpy(np.concatenate([shifts[-2::-1], shifts[:-1]])).to(device)
        self.all = torch.arange(self.alphabet + 1, device=device)
        self.sigmoid = torch.from_numpy(tables.SIGMOID).to(device)

    def of(self, d: Tensor) -> Tensor:
        """The bucket, int64, of a distance, int32."""
        v = torch.where(d >= 0, d, -d - 1)
        shift = ((v.float().view(torch.int32) >> 23) - 130).clamp(min=0)
        i = 8 * shift + (v >> shift)
        return torch.where(d >= 0, self.half + i, self.half - 1 - i).long()


class _Mixture(NamedTuple):
    """The distributions of a wavefront: K logistics.

    Attributes
    ----------
    buckets : _Buckets
    weight : int64 tensor, shape (B, K, n)
    mean : int32 tensor, shape (B, K, n)
    slope : float32 tensor, shape (B, K, n)
    centre : int32 tensor, shape (B, n)
    rate : int64 tensor, shape (B, n)
    """

    buckets: _Buckets
    weight: Tensor
    mean: Tensor
    slope: Tensor
    centre: Tensor
    rate: Tensor

    def cumulative(self, s: Tensor) -> Tensor:
        """The mass below buckets s, of 2^16: int64 (B, n, number), from int64 (B, n, number) or (number,)."""
        x = self.centre[..., None] + self.buckets.edges[s]
        at = 32 * x - 16
        mass = torch.zeros_like(at, dtype=torch.int64)
        for k in range(self.weight.shape[1]):
            t = (at - self.mean[:, k, :, None]).float() * self.slope[:, k, :, None]
            index = t.clamp(-4096, 4095).floor().int() + 4096
            mass += self.weight[:, k, :, None] * self.buckets.sigmoid[index]
        inner = s + (self.rate[..., None] * mass >> 44)
        return torch.where(x <= 0, 0, torch.where(x > self.buckets.m, 1 << 16, inner))


class _Coder(Protocol):
    """What is done with the distributions of a wavefront."""

    def begin(self, p: int, skew: _Skew) -> None:
        """Called before plane p."""

    def code(self, u: int, mixture: _Mixture) -> Tensor:
        """The samples of wavefront u, int32 (B, n)."""

    def end(self) -> None:
        """Called after each plane."""


class _Encoder:
    """Notes the intervals of the samples of planes, int32 (B, P, h, w)."""

    def __init__(self, planes: Tensor, m: int) -> None:
        self.planes, self.m = planes, m
        self.noted: list[list[tuple[Tensor, Tensor]]] = []
        self.lanes = lanes(planes[0].numel())

    def begin(self, p: int, skew: _Skew) -> None:
        """See `_Coder`."""
        self.skew, self.plane = skew, skew.known(self.planes[:, p].flatten(1), 0)
        self.noted.append([])

    def code(self, u: int, mixture: _Mixture) -> Tensor:
        """See `_Coder`."""
        y0, y1 = self.skew.span(u)
        values = self.plane[:, u + MARGIN_U, y0 + MARGIN_Y : y1 + MARGIN_Y + 1]
        buckets, d = mixture.buckets, values - mixture.centre
        s = buckets.of(d)
        ends = mixture.cumulative(torch.stack([s, s + 1], 2))
        self._note(ends[..., 0], ends[..., 1] - ends[..., 0])
        if self.m >= 16:
            freq = 1 << (16 - buckets.bits[s])
            self._note((d - buckets.edges[s]) * freq, freq)
        return values

    def _note(self, start: Tensor, freq: Tensor) -> None:
        """Whole rows of intervals, int64 (B, n): what is behind the last leaves the message as it is."""
        more = -start.shape[1] % self.lanes
        self.noted[-1].append((pad(start, (0, more)), pad(freq, (0, more), value=1 << 16)))

    def end(self) -> None:
        """See `_Coder`."""

    def messages(self, device: str) -> list[Message]:
        """The messages, once all is noted."""
        heads, tail = empty_heads(self.lanes).astype(np.uint32), np.zeros(0, np.uint8)
        stack = TorchStack.unflatten([(heads, tail)] * len(self.planes), device)
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

    def begin(self, p: int, skew: _Skew) -> None:
        """See `_Coder`."""

    def code(self, u: int, mixture: _Mixture) -> Tensor:
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
        if self.m >= 16:
            bits, low = 16 - buckets.bits[s], []
            for i in range(0, table.shape[1], L):
                shift = bits[:, i : i + L]
                r = stack.peek(shift.shape[1]) >> shift
                stack.pop_row(r << shift, 1 << shift)
                low.append(r)
            values = values + torch.cat(low, 1).int()
        self.wrong |= ((values < 0) | (values > self.m)).any()
        return values.clamp(0, self.m)

    def end(self) -> None:
        """See `_Coder`. Asks here what waits for the device."""
        self.stack.check_size()
        if self.wrong.any():
            raise FormatError("a sample beyond the largest: the frame was altered or made with other weights")


class _Layer:
    """One layer of a network: sums, biases, shifts.

    Sums are below 2^24 if those of the absolute weights are small, so float32 products are exact, whatever the precision
    that torch was told to use: inputs and weights have 8 bits.
    """

    def __init__(
        self, model: PlaneModel, place: NDArray[np.int64], n_out: int, steps: int, device: torch.device
    ) -> None:
        rows, blob = -(-n_out // OUTPUTS) * OUTPUTS, model.blob
        at, bias, shift = (int(each) for each in place)
        weights = blob[at : at + rows * steps].view(np.int8).reshape(rows, 4 * steps)[:n_out]
        small = int(np.abs(weights.astype(np.int64)).sum(1).max()) * 255 < EXACT_FLOAT
        self.weights = torch.from_numpy(weights.astype(np.float32 if small else np.float64)).to(device)
        self.bias, self.shift = (
            torch.from_numpy(blob[each : each + n_out].reshape(-1, 1)).to(device) for each in (bias, shift)
        )

    def __call__(self, x: Tensor) -> Tensor:
        """int32 (B, outputs, n) of activations (B, inputs, n)."""
        w = self.weights[:, : x.shape[1]]  # all but what fills up words of four
        return (w @ x.to(w.dtype)).int() + self.bias >> self.shift


class _Network:
    """The network of planes with R references."""

    def __init__(self, model: PlaneModel, R: int, device: torch.device) -> None:
        net, width, K = model.nets[R], model.width, model.mixtures
        steps, places = int(net[0]), net[1:].reshape(-1, 3)
        if not steps:
            raise ValueError(f"the model has no network for {R} references")
        inner = [_Layer(model, place, width, width // 4, device) for place in places[1:-2]]
        self.first = _Layer(model, places[0], width, steps, device)
        self.blocks = list(zip(inner[::2], inner[1::2], strict=True))
        self.head = _Layer(model, places[-2], 3 * K, width // 4, device)
        self.skip = _Layer(model, places[-1], 2 * K, steps, device)

    def __call__(self, x: Tensor) -> Tensor:
        """Outputs, int32 (B, 3 K, n), of inputs with offset 128, float32 (B, inputs, n)."""
        state = self.first(x).clamp(-127, 127)
        for a, b in self.blocks:
            hidden = a(state.clamp(min=0)).clamp(0, 127)
            state = (state + b(hidden)).clamp(-127, 127)
        y, skip = self.head(state.clamp(min=0)), self.skip(x)
        y[:, : skip.shape[1]] += skip
        return y


class _Regression:
    """Statistics and weights of the predictors over the NB blocks of one plane.

    Attributes
    ----------
    window : float64 tensor, shape (B, BLOCK, N + 1, NB BLOCK)
        Scaled regressors of the last wavefronts, by wavefront and y; the target is the last.
    sums : list of float32 tensors, shape (B, NB + 2 reach, n, n + 1)
        Decayed products of each predictor's regressors with one another and with the target; zeros outside.
    weights : float64 tensor, shape (B, NB, V, N)
        Integers.
    """

    def __init__(self, model: PlaneModel, R: int, batch: int, skew: _Skew) -> None:
        self.model, self.skew, device = model, skew, skew.device
        self.n, self.sizes = int(model.orders[R]), [int(size) for size in model.sizes[R]]
        self.targets = model.targets[R]
        blocks, V = -(-skew.h // BLOCK), len(self.sizes)
        self.window = torch.zeros(batch, BLOCK, self.n + 1, blocks * BLOCK, dtype=torch.float64, device=device)
        self.sums = [
            torch.zeros(batch, blocks + 2 * int(reach), size, size + 1, device=device)
            for size, reach in zip(self.sizes, model.reach, strict=True)
        ]
        first = np.zeros((V, self.n))
        for v, size in enumerate(self.sizes):
            first[v, :size] = np.floor(self.targets[:size] * np.float64(1 << WEIGHT_BITS) + 0.5)
        self.weights = torch.from_numpy(first).to(device).expand(batch, blocks, V, self.n).clone()
        self.columns = [torch.tensor([*range(size), self.n], device=device) for size in self.sizes]
        ridged = [
            (model.ridges[v], model.ridges[v] * self.targets[:size]) for v, size in enumerate(self.sizes)
        ]  # in float32
        self.ridges = [(float(ridge), torch.from_numpy(part).to(device)) for ridge, part in ridged]
        self.one = torch.ones((), device=device)

    def predict(self, X: Tensor, u: int) -> Tensor:
        """Weights times regressors int32 (B, N, n) of wavefront u: float64 (B, V, n), integers below 2^53."""
        y0, y1 = self.skew.span(u)
        first, last = y0 // BLOCK, y1 // BLOCK + 1
        padded = pad(X.double(), (y0 - first * BLOCK, last * BLOCK - 1 - y1))
        by_block = padded.view(*padded.shape[:2], last - first, BLOCK).transpose(1, 2)
        sums = (self.weights[:, first:last] @ by_block).transpose(1, 2).flatten(2)
        return sums[..., y0 - first * BLOCK : y1 + 1 - first * BLOCK]

    def note(self, u: int, X: Tensor, target: Tensor, factor: Tensor) -> None:
        """Keep regressors int32 (B, N, n) and target (B, n) of wavefront u, scaled by float32 (B, n)."""
        y0, y1 = self.skew.span(u)
        scaled = torch.cat([X, target[:, None]], 1).float() * factor[:, None]
        self.window[:, u % BLOCK, :, y0 : y1 + 1] = scaled.clamp(-tables.CLIP, tables.CLIP).trunc()

    def begin(self, u: int) -> None:
        """What is done before wavefront u, a multiple of BLOCK: learn from the last ones, then solve."""
        if u > 0:
            self._learn(self.skew.span(u - BLOCK)[0] // BLOCK, self.skew.span(u - 1)[1] // BLOCK + 1)
            first = self.skew.span(u)[0] // BLOCK
            for v, period in enumerate(int(each) for each in self.model.period):
                if u // BLOCK % period == 0:
                    self._solve(v, first, self.skew.span(u + BLOCK * period - 1)[1] // BLOCK + 1)
        self.window.zero_()

    def _learn(self, first: int, last: int) -> None:
        window = self.window[..., first * BLOCK : last * BLOCK]
        rows = window.unflatten(3, (last - first, BLOCK)).permute(0, 3, 2, 1, 4).flatten(3)
        products = (rows @ rows.transpose(2, 3)).float()  # integers below 2^31, rounded once
        for v, (size, columns) in enumerate(zip(self.sizes, self.columns, strict=True)):
            reach = int(self.model.reach[v])
            sums = self.sums[v][:, reach + first : reach + last]
            sums.mul_(float(self.model.lams[v])).add_(products[:, :, :size].index_select(3, columns))

    def _solve(self, v: int, first: int, last: int) -> None:
        """Weights of predictor v in blocks first .. last - 1: windowed sums and ridge, then elimination, column by
        column. All blocks of all tiles at once; an element sees the kernel's operations in the kernel's order.
        """
        m, reach, lam = self.sizes[v], int(self.model.reach[v]), self.model.lamv[v]
        ridge, right = self.ridges[v]
        C = torch.zeros_like(self.sums[v][:, first:last])
        for dv in range(-reach, reach + 1):
            factor = np.float32(1)
            for _ in range(abs(dv)):
                factor *= lam
            C += self.sums[v][:, reach + first + dv : reach + last + dv] * float(factor)
        C.diagonal(0, 2, 3).add_(ridge)
        C[..., m] += right
        for j in range(m - 1):
            inverse = self.one / C[..., j, j].clamp(min=ridge)
            row = C[..., j, j + 1 :]
            factors = row[..., :-1] * inverse[..., None]
            C[..., j + 1 :, j + 1 :] -= factors[..., :, None] * row[..., None, :]
        pivots = C.diagonal(0, 2, 3).clamp(min=ridge)
        solution = C[..., m].clone()
        for i in reversed(range(m)):
            value = solution[..., i : i + 1] / pivots[..., i : i + 1]
            solution[..., :i] -= C[..., :i, i] * value
            solution[..., i : i + 1] = value
        rounded = torch.floor(solution.double() * float(1 << WEIGHT_BITS) + 0.5)
        self.weights[:, first:last, v, :m] = rounded.clamp(-tables.WEIGHT_CLIP, tables.WEIGHT_CLIP)


class _Neighbours:
    """Cells that a pixel of a plane with R references looks at, all of them gathered at once.

    Planes lie in one buffer: the plane itself, errors of the V predictors and of the blend, the reference planes, their
    errors.

    Attributes
    ----------
    offsets : int64 tensor
        From a pixel's own cell: of the regressors, of west and north of the plane and of each reference plane, of NEAR
        of each kind of errors, of FAR, of AROUND of each reference plane.
    bases : int64 tensor, shape (N,)
        Whose west and north are a regressor's base: 0 the plane's, then those of reference planes.
    seen_own, seen_other : int64 tensor, shape (SEEN_OWN,), (R SEEN_OTHER,)
        Regressors that the network sees.
    counts : list of int
        How many offsets there are of each kind.
    """

    def __init__(self, model: PlaneModel, R: int, skew: _Skew) -> None:
        V = len(model.sizes[R])
        own, other = model.own[R].tolist(), model.others[R].tolist()
        regressors: dict[int, tuple[int, int, int, int]] = {}
        for dy, dx, j in own:
            regressors[j] = (0, 0, dy, dx)
        for q in range(R):
            for dy, dx, *indices in other:
                regressors[indices[q]] = (1 + q, 2 + V + q, dy, dx)
        chosen = [regressors[j] for j in range(int(model.orders[R]))]
        planes = [0, *range(2 + V, 2 + V + R)]
        kinds: list[list[tuple[int, int, int]]] = [
            [where for _, *where in chosen],  # type: ignore[misc]
            [(a, 0, -1) for a in planes],
            [(a, -1, 0) for a in planes],
            [(1 + v, *near) for v in range(V + 1) for near in NEAR],
            [(1 + V, *far) for far in FAR],
            [(2 + V + R + q, *around) for q in range(R) for around in AROUND],
        ]
        plane = skew.rows * skew.pitch
        offsets = [a * plane + (dx + 2 * dy) * skew.pitch + dy for kind in kinds for a, dy, dx in kind]
        self.counts = [len(kind) for kind in kinds]
        self.offsets, self.bases, self.seen_own, self.seen_other = (
            torch.tensor(each, dtype=torch.int64, device=skew.device)
            for each in (
                offsets,
                [base for base, *_ in chosen],
                [j for *_, j in own[:SEEN_OWN]],
                [indices[q] for q in range(R) for _, _, *indices in other[:SEEN_OTHER]],
            )
        )

    def gather(self, buffer: Tensor, cells: Tensor) -> tuple[Tensor, ...]:
        """Neighbours of the pixels of cells (n,), int32 (B, number, n) of each kind."""
        where = (self.offsets[:, None] + cells).flatten()
        return buffer.flatten(1).index_select(1, where).view(len(buffer), -1, len(cells)).split(self.counts, 1)


def _log8(s: Tensor) -> Tensor:
    """8 times the binary logarithm of s >= 1, int32, evenly spaced in each octave, rounded down."""
    return (s.float().view(torch.int32) >> 20) - 1016


def _squash(rows: Tensor, factor: Tensor) -> Tensor:
    """Rows, int32, times factor, float32, as inputs of the network with offset 128, float32."""
    x = rows.float() * factor
    a = x.abs()
    a = torch.minimum(a, a * 0.25 + 24).clamp(max=127).trunc()
    return torch.where(x < 0, -a, a) + 128


def _relative(log: Tensor, q: Tensor, times: int) -> Tensor:
    """A logarithm relative to q as an input of the network with offset 128, float32."""
    return (times * (log - q)).clamp(-127, 127).float() + 128


class _Looks:
    """From neighbours to distributions: what is the same for all planes."""

    def __init__(self, model: PlaneModel, m: int, device: torch.device) -> None:
        self.m, self.top, self.K, self.buckets = m, 32 * m, model.mixtures, _Buckets(m, device)
        self.level = float(np.float32(127.5) / np.float32(max(m, 1)))
        self.scale, self.inverse, self.slope, self.weight = (
            torch.from_numpy(table).to(device) for table in (tables.SCALE, tables.INVERSE, tables.SLOPE, tables.WEIGHT)
        )
        self.one = torch.ones((), device=device)

    def blend(self, pred: Tensor, magnitudes: Tensor) -> Tensor:
        """Predictions weighted by the inverse square of their errors nearby: int32 (B, n) of (B, V, n) twice."""
        f = magnitudes.float()
        g = self.one / (f * f)
        terms = g * (pred - pred[:, :1]).float()
        num, den = terms[:, 0], g[:, 0]
        for v in range(1, pred.shape[1]):
            num, den = num + terms[:, v], den + g[:, v]
        return ((num / den + 0.5).floor().int() + pred[:, 0]).clamp(0, self.top)

    def inputs(
        self,
        around: _Neighbours,
        gathered: tuple[Tensor, ...],
        X: Tensor,
        pred: Tensor,
        magnitudes: Tensor,
        blend: Tensor,
        q: Tensor,
        base: Tensor,
    ) -> Tensor:
        """Inputs of the network with offset 128, float32 (B, inputs, n).

        Parameters
        ----------
        around : _Neighbours
        gathered : tuple of int32 tensors, shape (B, number, n)
            As `around` gathers them.
        X : int32 tensor, shape (B, N, n)
            Regressors.
        pred : int32 tensor, shape (B, V, n)
        magnitudes : int32 tensor, shape (B, V + 1, n)
        blend, q, base : int32 tensor, shape (B, n)
        """
        V = pred.shape[1]
        _, _, _, near, far, errors = gathered
        seen = X.index_select(1, around.seen_own)
        inverse = self.inverse[q][:, None]
        wide, fine = inverse * 256, inverse * 16
        at, q = blend[:, None], q[:, None]
        base = base[:, None]
        differences = torch.cat([pred - at, at - 16 * base, near[:, : len(NEAR) * V], at, self.top - at], 1)
        activity = 4 + 4 * seen[:, :4].abs().sum(1, keepdim=True, dtype=torch.int32)
        reach = 8 * LEAST_SCALE + far.abs().sum(1, keepdim=True, dtype=torch.int32)
        parts = [
            _squash(seen, wide),
            _squash(differences, fine),
            _relative(_log8(magnitudes[:, :V] >> 3), q, 4),
            _relative(_log8(reach >> 3), q, 4),
            _relative(_log8(activity), q, 2),
            _relative(q, 48, 2),
            (base.float() * self.level).trunc(),
        ]
        if errors.shape[1]:
            errors = errors.unflatten(1, (-1, len(AROUND)))
            others = X.index_select(1, around.seen_other).unflatten(1, (-1, SEEN_OTHER))
            total = errors.abs().sum(2, keepdim=True, dtype=torch.int32)
            log = _log8((13 * total >> 6) + LEAST_SCALE)
            wide = self.inverse[log] * 256
            each = [_relative(log, q[:, None], 2), _squash(others, wide), _squash(errors, wide * 0.0625)]
            parts.append(torch.cat(each, 2).flatten(1, 2))
        return torch.cat(parts, 1)

    def mixture(self, y: Tensor, blend: Tensor, q: Tensor) -> _Mixture:
        """Distributions of the network's outputs int32 (B, 3 K, n) and of blend and q, int32 (B, n)."""
        K = self.K
        off, spread, share = y.long().unflatten(1, (3, K)).unbind(1)
        weight = self.weight[(share.amax(1, keepdim=True) - share).clamp(max=tables.WEIGHTS - 1)]
        total = weight.sum(1).double()
        room = torch.full_like(total, (65536.0 - self.buckets.alphabet) * 268435456.0)
        rate = (room / total).floor().long()
        j = (2 * q[:, None] + spread).clamp(0, tables.LOGISTIC_SCALES - 1)
        shift = off.clamp(-8192, 8192).float() * self.scale[q][:, None] * 0.015625
        mean = blend[:, None] + shift.clamp(-MOST_OFF, MOST_OFF).int()
        score = share - j
        peak, chosen = torch.full_like(score[:, 0], -(1 << 30)), mean[:, 0]
        for k in range(K):
            higher = score[:, k] > peak
            peak, chosen = torch.where(higher, score[:, k], peak), torch.where(higher, mean[:, k], chosen)
        centre = (chosen + 16 >> 5).clamp(0, self.m)
        return _Mixture(self.buckets, weight, mean, self.slope[j], centre, rate)


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
    skew, looks, V = _Skew(h, w, device), _Looks(model, m, device), len(model.reach)
    networks: dict[int, tuple[_Network, _Neighbours]] = {}
    planes = torch.zeros(batch, P, h * w, dtype=torch.int32, device=device)
    errors = torch.zeros_like(planes)
    for p in range(P):
        others = [int(each) for each in references[p]]
        others = others[: others.index(-1)] if -1 in others else others
        R = len(others)
        if R not in networks:
            networks[R] = _Network(model, R, device), _Neighbours(model, R, skew)
        buffer = torch.empty(batch, 2 + V + 2 * R, skew.rows, skew.pitch, dtype=torch.int32, device=device)
        buffer[:, 0] = m + 1 >> 1
        buffer[:, 1 : V + 2] = m + 1 >> 2
        for q, other in enumerate(others):
            buffer[:, 2 + V + q] = skew.known(planes[:, other], m + 1 >> 1)
            buffer[:, 2 + V + R + q] = skew.known(errors[:, other], 0)
        coder.begin(p, skew)
        _code_plane(_Regression(model, R, batch, skew), *networks[R], looks, skew, buffer, coder)
        coder.end()
        planes[:, p] = skew.flat(buffer[:, 0])
        errors[:, p] = skew.flat(buffer[:, 1 + V])
    return planes.view(batch, P, h, w)


def _code_plane(
    regression: _Regression,
    network: _Network,
    around: _Neighbours,
    looks: _Looks,
    skew: _Skew,
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
        weighted = near.abs().unflatten(1, (V + 1, len(NEAR))) * twice
        magnitudes = 8 * LEAST_SCALE + weighted.sum(2, dtype=torch.int32)
        blend, q = looks.blend(pred, magnitudes[:, :V]), _log8(magnitudes[:, V] >> 3)
        inputs = looks.inputs(around, gathered, X, pred, magnitudes, blend, q, base)
        values = coder.code(u, looks.mixture(network(inputs), blend, q))
        row = own[:, :, r, y0 + MARGIN_Y : y1 + MARGIN_Y + 1]
        row[:, 0] = values
        row[:, 1:] = 32 * values[:, None] - torch.cat([pred, blend[:, None]], 1)
        skew.repeat_border(own, u)
        regression.note(u, X, 2 * values - base, looks.inverse[3 * q >> 2] * 256)

"""Neighbours and least squares of the plane coder in torch (FORMAT.md 9.1 to 9.3).

Part of `torch_tiles`; see its docstring for conventions.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from . import tables
from .model import PlaneModel
from .tables import AROUND, BLOCK, FAR, MARGIN_U, MARGIN_Y, NEAR, WEIGHT_BITS


class Skew:
    """Positions of a tile's pixels in skewed planes (see `tile`), whose cells are numbered row by row.

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
        """Skew a known plane (B, h w) to (B, rows, pitch), and fill the cells outside on all sides."""
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


class Neighbours:
    """The neighbouring cells that a pixel of a plane with R references uses, all gathered at once.

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

    def __init__(self, model: PlaneModel, R: int, skew: Skew) -> None:
        V = len(model.sizes[R])
        chosen = [
            (a, 0 if a == 0 else 1 + V + a, dy, du - 2 * dy) for a, du, dy in model.moves[R, : model.orders[R]].tolist()
        ]
        shown = [put for put in model.puts[R, : model.put_counts[R]].tolist() if put[0] == 0]
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
                [put[1] for put in shown if put[4] == 0],
                [put[1] for put in shown if put[4] > 0],
            )
        )

    def gather(self, buffer: Tensor, cells: Tensor) -> tuple[Tensor, ...]:
        """Neighbours of the pixels of cells (n,), int32 (B, number, n) of each kind."""
        where = (self.offsets[:, None] + cells).flatten()
        rows = buffer.flatten(1).index_select(1, where).view(len(buffer), -1, len(cells))
        return rows.split(self.counts, 1)  # type: ignore[no-any-return, no-untyped-call]


class Regression:
    """Statistics and weights of the predictors over the NB blocks of planes with R references, one after the other.

    Attributes
    ----------
    window : float64 tensor, shape (B, BLOCK, N + 1, NB BLOCK)
        Scaled regressors of the last wavefronts, by wavefront and y; the target is the last.
    sums : list of float32 tensors, shape (B, NB + 2 reach, n, n + 1)
        Decayed products of each predictor's regressors with one another and with the target; zeros outside.
    weights : float64 tensor, shape (B, NB, V, N)
        Integers.
    """

    def __init__(self, model: PlaneModel, R: int, batch: int, skew: Skew) -> None:
        self.model, self.R, self.skew, device = model, R, skew, skew.device
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

    def go_on(self) -> None:
        """Begin the next plane with a part of this one's statistics."""
        for sums in self.sums:
            sums.mul_(tables.KEEP)

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
        """Prepare wavefront u, a multiple of BLOCK: add the last ones to the statistics, then solve."""
        if u > 0:
            self._learn(self.skew.span(u - BLOCK)[0] // BLOCK, self.skew.span(u - 1)[1] // BLOCK + 1)
            first = self.skew.span(u)[0] // BLOCK
            for v, period in enumerate(int(each) for each in self.model.period):
                if u // BLOCK % period == 0:
                    self._solve(v, first, self.skew.span(u + BLOCK * period - 1)[1] // BLOCK + 1)
        self.window.zero_()

    def _learn(self, first: int, last: int) -> None:
        window = self.window[..., first * BLOCK : last * BLOCK]
        rows = window.reshape(*window.shape[:3], last - first, BLOCK).permute(0, 3, 2, 1, 4).flatten(3)
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

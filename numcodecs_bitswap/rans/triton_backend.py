"""The message on a GPU: push and pop of FORMAT.md section 2 as Triton kernels, one program for each message.

A program holds the heads of its message's lanes and codes a block row by row (see `torch_backend`). The loop, the
search and the tail are in the kernel; nothing returns to the host between rows. Heads are unsigned 32-bit numbers
there. Messages are stored as in the torch backend, which codes distributions without a Triton form, and everything on a
device where the kernels give other words than it does. Imports no distribution.

Only `check` and `flatten` wait for the device. Errors in a push or pop are recorded on the device, and `check` raises
them; until then popped symbols may be any of their alphabets.
"""

import warnings
from collections.abc import Callable
from functools import cache
from threading import Lock
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from ..errors import FormatError, MessageExhausted
from .distribution import Distribution, Native, Shiftable, TritonFunctions
from .message import check_symbols
from .torch_backend import TorchStack
from .triton_kernels import EXHAUSTED, costs_kernel, pop_kernel, push_kernel
from .words import IMPOSSIBLE, LEAST_HEAD, SHORT, Words

LANES = 1024
"""Messages of more lanes are coded by the torch backend, so that a program's heads stay in registers."""
WARP = 32
"""Threads of a warp: no program has fewer lanes, used or not."""
ENOUGH = 10_000
"""Symbols of each kind that are also coded by the torch backend and compared, before its kernels are trusted."""

BLOCK = 512
"""Symbols of a program of the costs kernel."""

_agreed: dict[Any, float] = {}
"""Symbols that both backends have coded alike, for each kind of kernel; minus infinity after the first difference."""
_AGREEING = Lock()


class TritonStack(TorchStack):
    """B messages on a CUDA device, or on the CPU under Triton's interpreter.

    Attributes
    ----------
    trouble : int32 tensor, shape (B,)
        Errors so far, see `triton_kernels`.
    most : int
        Upper bound of the words of a message: the sizes themselves are on the device.
    forms : callable
        Returns the Triton form of a block, or None: this package's are in `distributions.triton_forms`.
    """

    defers = True

    forms: Callable[[Distribution], TritonFunctions | None]

    def __init__(self, heads: Tensor, tail: Tensor, size: Tensor) -> None:
        super().__init__(heads, tail, size)
        self.trouble = torch.zeros_like(size, dtype=torch.int32)
        self.most = tail.shape[1] - 1

    @classmethod
    def with_forms(
        cls, words: list[Words], device: str, forms: Callable[[Distribution], TritonFunctions | None]
    ) -> Self:
        """See `Message.unflatten`."""
        stack = cls.unflatten(words, device)
        stack.forms = forms
        return stack

    def copy(self) -> Self:
        """See `Message.copy`."""
        other = super().copy()
        other.trouble, other.most, other.forms = self.trouble.clone(), self.most, self.forms
        return other

    def check(self) -> None:
        """See `Message.check`."""
        found = {int(each) for each in self.trouble.tolist()}
        if any(each & EXHAUSTED.value for each in found):
            raise MessageExhausted(SHORT)
        if any(found):
            raise FormatError(IMPOSSIBLE)

    def push(self, distribution: Distribution, symbols: Tensor) -> None:
        """See `Message.push`."""
        native = self._trusted(distribution)
        if native is None:
            check_symbols(distribution, symbols)
            super().push(distribution, symbols)
        else:
            self._push(distribution, native, symbols)

    def pop(self, distribution: Distribution) -> Tensor:
        """See `Message.pop`."""
        native = self._trusted(distribution)
        return super().pop(distribution) if native is None else self._pop(distribution, native)

    def costs(self, shiftable: Shiftable, symbols: Tensor, shifts: tuple[int, ...], every: int, log: Tensor) -> Tensor:
        """See `Message.costs`."""
        if self._trusted(shiftable) is None:
            return super().costs(shiftable, symbols, shifts, every, log)
        return self._costs(shiftable, symbols, shifts, every, log)

    def _push(self, distribution: Distribution, native: Native, symbols: Tensor) -> None:
        self.reserve(distribution.n)
        self._run(push_kernel, distribution, native, symbols.int().contiguous())

    def _pop(self, distribution: Distribution, native: Native) -> Tensor:
        symbols = torch.empty(distribution.batch, distribution.n, dtype=torch.int32, device=self.heads.device)
        self._run(pop_kernel, distribution, native, symbols, DIGITS=(distribution.alphabet - 1).bit_length())
        return symbols

    def _costs(self, shiftable: Shiftable, symbols: Tensor, shifts: tuple[int, ...], every: int, log: Tensor) -> Tensor:
        few, (batch, count) = shiftable.thinned(every), (shiftable.batch, len(shifts))
        native, form = few.native(), self.forms(few)
        a, b, scales = (field.repeat(count, 1, 1) for field in native.fields)
        scales.view(count, batch, -1).add_(_numbers(shifts, scales.device)).clamp_(0, few.scale_limit)
        out = torch.empty(count * batch, dtype=torch.int64, device=symbols.device)
        with torch.cuda.device_of(symbols):  # type: ignore[no-untyped-call]
            costs_kernel[(count * batch,)](
                *(symbols[:, ::every].int().contiguous(), a, b, scales, native.constants, log, out),
                *(few.n, batch, few.alphabet, *form),  # type: ignore[misc]  # asked for by `_trusted`
                K=few.components,
                BLOCK=BLOCK,
                enable_fp_fusion=False,
            )
        return out.view(count, batch).T

    def reserve(self, symbols: int) -> None:
        """Make room for the words of `symbols` more symbols, without reading the sizes from the device."""
        self.most += 2 * symbols
        if self.most >= self.tail.shape[1]:
            self._grow(self.most + 1)

    def _run(self, kernel: Any, distribution: Distribution, native: Native, symbols: Tensor, **sizes: int) -> None:
        lanes = self.heads.shape[1]
        block = _block(lanes)
        with torch.cuda.device_of(symbols):  # type: ignore[no-untyped-call]  # Triton launches on the current device
            kernel[(distribution.batch,)](
                *(self.heads, self.tail, self.size, self.trouble, symbols, *native.fields, native.constants),
                *(distribution.n, lanes, self.tail.shape[1], distribution.alphabet, *self.forms(distribution)),  # type: ignore[misc]
                K=distribution.components,
                BLOCK=block,
                **sizes,
                num_warps=min(block // WARP, 16),
                enable_fp_fusion=False,  # there is no float; unset, Triton 3.9 warns of it
            )

    def _trusted(self, distribution: Distribution) -> Native | None:
        """The native form of a block, if there are kernels for it that agree with the torch backend on this device."""
        native, lanes, form = distribution.native(), self.heads.shape[1], self.forms(distribution)
        if form is None or lanes > LANES or distribution.n == 0:
            return None
        device, sizes = self.heads.device, (distribution.components, distribution.alphabet, _block(lanes))
        kind = (form, sizes, device)
        with _AGREEING:
            agreed = _agreed.setdefault(kind, 0)
            if 0 <= agreed < ENOUGH:
                count = distribution.batch * distribution.n
                _agreed[kind] = agreed + count if self._agrees(distribution, native) else -np.inf
            return native if _agreed[kind] >= 0 else None

    def _agrees(self, distribution: Distribution, native: Native) -> bool:
        """Code a block of random symbols with both backends, from random messages."""
        rng, (batch, lanes) = np.random.default_rng(0), self.heads.shape
        heads = rng.integers(LEAST_HEAD, 1 << 32, (batch, lanes), np.uint32)
        tails = rng.integers(0, 256, (batch, 2 * distribution.n), np.uint8)
        words, device = list(zip(heads, tails, strict=True)), str(self.heads.device)
        expected, stack = TorchStack.unflatten(words, device), TritonStack.with_forms(words, device, self.forms)
        symbols = expected.pop(distribution)
        try:
            same = torch.equal(stack._pop(distribution, native), symbols) and _equal(stack, expected)
            if hasattr(distribution, "shifted"):
                asked: Any = distribution, symbols, (-3, 0, 9), 2, torch.arange(65537, device=device)
                same = same and torch.equal(stack._costs(*asked), expected.costs(*asked))
            stack._push(distribution, native, symbols)
            expected.push(distribution, symbols)
            stack.check()
            problem = None if same and _equal(stack, expected) else "it gives other words"
        except Exception as error:  # Triton's compiler raises errors of many kinds
            problem = f"{type(error).__name__}: {error}"
        if problem:
            warnings.warn(f"Triton is not used on {device}, but the slower torch backend: {problem}", stacklevel=2)
        return problem is None


@cache
def _numbers(values: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.int32, device=device)[:, None, None]


def _block(lanes: int) -> int:
    return max(1 << (lanes - 1).bit_length(), WARP)


def _equal(one: TorchStack, other: TorchStack) -> bool:
    pairs = zip(one.flatten(), other.flatten(), strict=True)
    return all(np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1]) for a, b in pairs)

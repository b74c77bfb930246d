"""Networks on a GPU: layers, residual blocks, inputs and parameters as one Triton kernel each (`triton_layers`,
`triton_cells`), with the functions of `torch_networks` and `torch_ops` and the same integers.

Activations stay on the device as int8, channels last, and no neighbourhood is copied. The first call of every kind is
compared with the torch functions, on its arguments and on extreme values. If they differ, or Triton cannot compile, a
warning is given and the torch functions are used.
"""

import warnings
from collections.abc import Callable, Sequence
from functools import wraps
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
import triton
from torch import Tensor
from torch.nn.functional import pad

from . import torch_networks, torch_ops
from .triton_cells import inputs_kernel, mixtures_kernel
from .triton_layers import block_kernel, correction_kernel, dense_kernel, outputs_kernel
from .units import aligned

if TYPE_CHECKING:
    from .torch_layer import TorchLayer as Layer

CELLS = 64
"""Cells of a program with products, the rows of these."""
VALUES = 1024
"""Values of a program without products."""
LEAST = 32
"""Least number of inputs and outputs of a layer in a program: int8 products of tensor cores require it."""
MOST = 128
"""Largest number. Wider residual blocks use the torch functions."""
PROBED = 2, 19
"""Number of grids, and of lines and columns of a grid, that are compared."""

_agrees: dict[Any, bool] = {}
_AGREEING = Lock()
_packed: "WeakKeyDictionary[Layer, tuple[Tensor, Tensor, Tensor]]" = WeakKeyDictionary()


def checked(reference: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: use the reference instead of a function if their results differ."""

    def decorate(fused: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(fused)
        def run(*arguments: Any) -> Any:
            kind = fused.__name__, *map(_kind, arguments)
            if kind not in _agrees:
                with _AGREEING:
                    if kind not in _agrees:
                        _agrees[kind] = _same(fused, reference, arguments)
            return (fused if _agrees[kind] else reference)(*arguments)

        return run

    return decorate


@checked(torch_networks.dense)
def dense(u: Tensor, layer: "Layer") -> Tensor:
    """See `torch_networks.dense`."""
    u = u.contiguous()
    cells, n = u[..., 0].numel(), _side(len(layer.bias))
    out = u.new_empty(*u.shape[:-1], len(layer.bias))
    shape = (triton.cdiv(cells, CELLS), triton.cdiv(len(layer.bias), n))
    _launch(dense_kernel, shape, u, *_pack(layer), out, cells, **_sizes(layer), OUT=len(layer.bias), CELLS=CELLS, N=n)
    return out


@checked(torch_networks.block)
def block(h: Tensor, conv: "Layer", out: "Layer") -> Tensor:
    """See `torch_networks.block`; h is kept."""
    c, inner = h.shape[3], len(conv.bias)
    if max(c, inner) > MOST:
        return torch_networks.block(h.clone(), conv, out)
    h = h.contiguous()
    result, cells = torch.empty_like(h), h[..., 0].numel()
    arguments = (h, *_pack(conv, 9), *_pack(out), result, cells, *h.shape[1:3])
    first, second = _sizes(conv, 9), _sizes(out)
    sizes = {name: first[name] for name in ("C", "KP", "NP", "WIDE")}
    _launch(
        block_kernel, (triton.cdiv(cells, CELLS),), *arguments, **sizes, NP2=second["NP"], WIDE2=out.wide, CELLS=CELLS
    )
    return result


@checked(torch_networks.outputs)
def outputs(h: Tensor, head: "Layer", u: Tensor, skip: "Layer") -> Tensor:
    """See `torch_networks.outputs`."""
    h, u = h.contiguous(), u.contiguous()
    cells, columns = h[..., 0].numel(), len(head.bias)
    n = _side(columns)
    result = torch.empty(*h.shape[:-1], columns, dtype=torch.int32, device=h.device)
    second = {f"{name}2": size for name, size in _sizes(skip).items() if name != "NP"}
    arguments = (h, *_pack(head), u, *_pack(skip), result, cells)
    shape = (triton.cdiv(cells, CELLS), triton.cdiv(columns, n))
    _launch(outputs_kernel, shape, *arguments, **_sizes(head), **second, OUT=columns, CELLS=CELLS, N=n)
    return result


@checked(torch_networks.corrected)
def corrected(rows: Tensor, first: "Layer", out: "Layer") -> Tensor:
    """See `torch_networks.corrected`."""
    grid = rows[None, None]
    return _correct(grid, grid, grid, 0, (first, out))[0, 0]


@checked(torch_networks.correction)
def correction(features: Tensor, pixels: Tensor, base: Tensor, earlier: int, layers: Sequence["Layer"]) -> Tensor:
    """See `torch_networks.correction`."""
    return _correct(features, pixels, base, earlier, layers)


def _correct(features: Tensor, pixels: Tensor, base: Tensor, earlier: int, layers: Sequence["Layer"]) -> Tensor:
    (first, out), c = layers, features.shape[3]
    columns = len(out.bias)
    if max(len(first.bias), columns) > MOST:
        if earlier:
            return torch_networks.correction(features, pixels, base, earlier, layers)
        return torch_networks.corrected(features[0, 0], first, out)[None, None]
    features, base = features.contiguous(), base.contiguous()
    result = torch.empty(*features.shape[:3], columns, dtype=torch.int32, device=features.device)
    cells = features[..., 0].numel()
    sizes = _sizes(first) | {"C": c}
    arguments = (features, pixels, base, *_pack(first), *_pack(out), result)
    shapes = (cells, *features.shape[1:3], *pixels.shape[1:3], *pixels.stride())
    more = {"NP2": _sizes(out)["NP"], "WIDE2": out.wide, "OUT": columns, "CELLS": CELLS}
    channels = {"CHANNELS": base.shape[3], "EARLIER": earlier}
    _launch(correction_kernel, (triton.cdiv(cells, CELLS),), *arguments, *shapes, **channels, **sizes, **more)
    return result


@checked(torch_ops.inputs_a)
def inputs_a(c: Tensor) -> tuple[Tensor, Tensor]:
    """See `torch_ops.inputs_a`."""
    u, base, _ = _inputs(c, c, False)
    return u, base


@checked(torch_ops.inputs_b)
def inputs_b(c: Tensor, d: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """See `torch_ops.inputs_b`."""
    return _inputs(c, d, True)


def _inputs(c: Tensor, d: Tensor, both: bool) -> tuple[Tensor, Tensor, Tensor]:
    channels, cells = c.shape[3], c[..., 0].numel()
    row = aligned((33 if both else 17) * channels)
    u = torch.empty(*c.shape[:3], row, dtype=torch.int8, device=c.device)
    base, other = (torch.empty(c.shape, dtype=torch.int16, device=c.device) for _ in range(2))
    arguments = (c, *c.stride(), d, *d.stride(), u, base, other, cells, *c.shape[1:3])
    size = min(_side(row), MOST)
    sizes = {"CHANNELS": channels, "BOTH": both, "ROW": row, "CELLS": VALUES // size, "SIZE": size}
    _launch(inputs_kernel, (triton.cdiv(cells, VALUES // size), triton.cdiv(row, size)), *arguments, **sizes)
    return u, base, other


@checked(torch_ops.mixtures)
def mixtures(
    y: Tensor, first: int, added: Tensor | None, base: Tensor, pixels: Tensor, ch: int, k: int
) -> tuple[Tensor, Tensor, Tensor]:
    """See `torch_ops.mixtures`."""
    y, base, more = y.contiguous(), base.contiguous(), y if added is None else added.contiguous()
    logits, means, scales = (torch.empty(*pixels.shape[:3], k, dtype=torch.int32, device=y.device) for _ in range(3))
    cells, size = pixels[..., 0].numel(), 1 << (k - 1).bit_length()
    grids = (y, y.shape[3], first, more, more.shape[3], base, pixels, *pixels.stride(), logits, means, scales)
    shapes = (cells, *y.shape[1:3], *pixels.shape[1:3])
    sizes = {"CHANNELS": pixels.shape[3], "CH": ch, "MORE": added is not None, "K": k}
    block = max(VALUES // size // 4, 1)
    _launch(mixtures_kernel, (triton.cdiv(cells, block),), *grids, *shapes, **sizes, CELLS=block, SIZE=size)
    return logits, means, scales


def _side(n: int) -> int:
    """Side of the block for n inputs or outputs of a layer."""
    return min(max(1 << (n - 1).bit_length(), LEAST), MOST)


def _sizes(layer: "Layer", taps: int = 1) -> dict[str, int]:
    """The constants of a layer for the compilation of a kernel."""
    c, n = len(layer.weights) // taps, len(layer.bias)
    k = _side(c)
    return {"C": c, "KP": -(-c // k) * k, "NP": -(-n // _side(n)) * _side(n), "WIDE": layer.wide, "K": k}


def _pack(layer: "Layer", taps: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Weights, biases and shifts in the layout of the kernels."""
    if layer not in _packed:
        sizes, n = _sizes(layer, taps), len(layer.bias)
        rows = sizes["NP"] - n
        limbs = layer.weights.view(taps, sizes["C"], -1, n).permute(2, 3, 0, 1)
        weights = pad(limbs, (0, sizes["KP"] - sizes["C"], 0, 0, 0, rows)).contiguous()
        _packed[layer] = weights, pad(layer.bias, (0, rows)), pad(layer.shift, (0, rows))
    return _packed[layer]


def _launch(kernel: Any, shape: tuple[int, ...], *arguments: Any, **sizes: int) -> None:
    with torch.cuda.device_of(arguments[0]):  # type: ignore[no-untyped-call]  # Triton launches on the current device
        kernel[shape](*arguments, **sizes, enable_fp_fusion=False)  # there are no floats; if unset, Triton 3.9 warns


def _kind(argument: Any) -> Any:
    """The properties of an argument that kernels are compiled for."""
    if isinstance(argument, Tensor):
        return argument.device, argument.dtype, argument.shape[-1]
    if isinstance(argument, tuple):
        return tuple(map(_kind, argument))
    return argument if isinstance(argument, int | None) else (argument.wide, *argument.weights.shape)


def _same(fused: Callable[..., Any], reference: Callable[..., Any], arguments: tuple[Any, ...]) -> bool:
    """Whether results agree on the first cells of the grids, and on extreme values."""
    problem = None
    for values in (_few(arguments), _extreme(arguments)):
        expected = reference(*(each.clone() if isinstance(each, Tensor) else each for each in values))
        try:
            got = fused(*values)
        except Exception as error:  # Triton's compiler raises errors of many kinds
            problem = f"{type(error).__name__}: {error}"
            break
        pairs = zip(_tensors(got), _tensors(expected), strict=True)
        if not all(a.dtype == b.dtype and torch.equal(a, b) for a, b in pairs):
            problem = "it gives other numbers"
            break
    if problem:
        device = str(arguments[0].device)
        warnings.warn(
            f"torch functions, which are slower, replace Triton's {fused.__name__} on {device}: {problem}", stacklevel=4
        )
    return problem is None


def _few(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(_cut(each) if isinstance(each, Tensor) else each for each in arguments)


def _cut(grid: Tensor) -> Tensor:
    grids, side = PROBED
    return grid[: grids * side * side] if grid.ndim == 2 else grid[:grids, :side, :side]


def _extreme(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Arguments of the same shapes and types with extreme values, in random order."""
    generator = torch.Generator().manual_seed(0)
    limits = {torch.int8: (-127, 127), torch.int16: (0, 255), torch.int32: (-(1 << 22), 1 << 22)}

    def drawn(like: Tensor) -> Tensor:
        low, high = limits[like.dtype]
        which = torch.randint(0, 3, like.shape, generator=generator)
        return torch.tensor([low, high, 1], dtype=like.dtype)[which].to(like.device)

    return tuple(drawn(each) if isinstance(each, Tensor) else each for each in _few(arguments))


def _tensors(result: Any) -> tuple[Tensor, ...]:
    return (result,) if isinstance(result, Tensor) else result

"""A trained network -> the model file of FORMAT.md section 7."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save

from .distributions import MEAN_GAIN, SCALE_GAIN
from .fake_quant import ChannelNetwork, QuantLayer, Trunk
from .files import write_whole
from .flow import FlowNet
from .networks import BitSwapNet
from .recipe import Net
from .stages import ChannelNetworks, Stage


def _trunk(name: str, trunk: Trunk) -> Iterator[tuple[str, QuantLayer]]:
    yield from ((f"{name}.in", trunk.first), (f"{name}.head", trunk.head), (f"{name}.skip", trunk.skip))
    for k, (conv, out) in enumerate(zip(trunk.convs, trunk.outs, strict=True)):
        assert isinstance(conv, QuantLayer)
        assert isinstance(out, QuantLayer)
        yield from ((f"{name}.{k}.conv", conv), (f"{name}.{k}.out", out))


def layers(net: Net) -> Iterator[tuple[str, QuantLayer]]:
    """Every integer layer, with its name in FORMAT.md section 7."""
    for t, stage in enumerate(net.stages, 1):
        assert isinstance(stage, Stage)
        yield from _trunk(f"stage{t}.a", stage.a)
        yield from _trunk(f"stage{t}.b", stage.b)
        for phase, networks in zip(("11", "01", "10"), stage.phases, strict=True):
            assert isinstance(networks, ChannelNetworks)
            for ch, network in enumerate(networks, 1):
                assert isinstance(network, ChannelNetwork)
                name = f"stage{t}.phase{phase}.{ch}"
                yield from ((f"{name}.in", network.first), (f"{name}.out", network.out))
    for name, trunk in net.trunks().items():
        assert isinstance(trunk, Trunk)
        yield from _trunk(name, trunk)


def integer_tensors(net: Net) -> dict[str, NDArray[np.generic]]:
    """Every tensor of FORMAT.md section 7 by name; inverse of `take_tensors`."""
    tensors: dict[str, NDArray[np.generic]] = {}
    if isinstance(net, BitSwapNet):
        tensors["prior"] = net.core.prior_integers().detach().cpu().numpy().astype(np.int32)
    if isinstance(net, FlowNet):
        tensors |= {name: m.detach().cpu().numpy().astype(np.int32) for name, m in net.integers().items()}
    for name, layer in layers(net):
        w, b, shift = (t.cpu().numpy() for t in layer.integers())
        w = w.transpose(0, 2, 3, 1).reshape(len(w), -1)  # (out, in, row, column) to (out, (row, column, in))
        tensors[f"{name}.w"] = w.astype(np.int16 if layer.wide else np.int8)
        tensors[f"{name}.b"] = b.astype(np.int32)
        tensors[f"{name}.f"] = shift.astype(np.uint8)
    return tensors


@torch.no_grad()
def take_tensors(net: Net, tensors: dict[str, NDArray[Any]]) -> int:
    """Set the layers of a network to those of a model file that have their names and shapes; returns how many."""
    taken = 0
    for name, layer in layers(net):
        out, inner, rows, columns = layer.weight.shape
        if name + ".w" not in tensors or tensors[name + ".w"].shape != (out, rows * columns * inner):
            continue
        w = torch.from_numpy(tensors[f"{name}.w"].astype(np.float32)).reshape(out, rows, columns, inner)
        layer.set_integers(
            w.permute(0, 3, 1, 2), *(torch.from_numpy(tensors[name + end].astype(np.float32)) for end in (".b", ".f"))
        )
        taken += 1
    if isinstance(net, BitSwapNet) and tensors.get("prior", np.empty(0)).shape == tuple(net.core.prior.shape):
        prior = torch.from_numpy(tensors["prior"].astype(np.float32))
        net.core.prior.copy_(prior / torch.tensor([[MEAN_GAIN], [SCALE_GAIN]]))
    return taken


def architecture(net: Net) -> dict[str, object]:
    """The `arch` of FORMAT.md section 7."""
    return {"format": 2, "kind": net.arch.kind} | net.arch.header()


def _sorted_header(data: bytes) -> bytes:
    """A safetensors file with sorted keys in its header: the library writes metadata in any order, and the id would
    depend on it.
    """
    size = int.from_bytes(data[:8], "little")
    text = json.dumps(json.loads(data[8 : 8 + size]), sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def write_model(net: Net, path: Path, name: str, licence: str, provenance: str) -> str:
    """Write a model file and return the SHA-256 of its bytes; see `write_tensors`."""
    return write_tensors(architecture(net), integer_tensors(net), path, name, licence, provenance)


def write_tensors(
    arch: dict[str, Any], tensors: dict[str, NDArray[Any]], path: Path, name: str, licence: str, provenance: str
) -> str:
    """Write a model file and return the SHA-256 of its bytes, whose first 16 bytes are the model's id.

    Arrays may need another model of that name, so an existing file is kept, as NAME-XXXXXXXX.safetensors.
    """
    return write_bytes(tensor_bytes(arch, tensors, name, licence, provenance), path)


def tensor_bytes(
    arch: dict[str, Any], tensors: dict[str, NDArray[Any]], name: str, licence: str, provenance: str
) -> bytes:
    """The bytes of a model file."""
    metadata = {
        "arch": json.dumps(arch, sort_keys=True),
        "name": name,
        "licence": licence,
        "provenance": provenance,
    }
    tensors = {key: np.ascontiguousarray(value) for key, value in sorted(tensors.items())}
    return _sorted_header(bytes(save(tensors, metadata)))


def write_bytes(data: bytes, path: Path) -> str:
    """Write a model file as `write_tensors` does."""
    digest = hashlib.sha256(data).hexdigest()
    if path.exists() and (older := path.read_bytes()) != data:
        write_whole(path.with_name(f"{path.stem}-{hashlib.sha256(older).hexdigest()[:8]}{path.suffix}"), older)
    write_whole(path, data)
    return digest

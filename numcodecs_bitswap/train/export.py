"""A trained network -> the model file of FORMAT.md section 7."""

import hashlib
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from .fake_quant import ChannelNetwork, QuantLayer, Trunk
from .files import write_whole
from .flow import FlowNet
from .networks import BitSwapNet
from .recipe import Net
from .stages import ChannelNetworks, Stage


def _layer(name: str, layer: QuantLayer) -> dict[str, NDArray[np.generic]]:
    w, b, shift = (t.cpu().numpy() for t in layer.integers())
    w = w.transpose(0, 2, 3, 1).reshape(len(w), -1)  # (out, in, row, column) to (out, (row, column, in))
    return {
        f"{name}.w": w.astype(np.int16 if layer.wide else np.int8),
        f"{name}.b": b.astype(np.int32),
        f"{name}.f": shift.astype(np.uint8),
    }


def _trunk(name: str, trunk: Trunk) -> dict[str, NDArray[np.generic]]:
    tensors = _layer(f"{name}.in", trunk.first)
    tensors |= _layer(f"{name}.head", trunk.head) | _layer(f"{name}.skip", trunk.skip)
    for k, (conv, out) in enumerate(zip(trunk.convs, trunk.outs, strict=True)):
        assert isinstance(conv, QuantLayer)
        assert isinstance(out, QuantLayer)
        tensors |= _layer(f"{name}.{k}.conv", conv) | _layer(f"{name}.{k}.out", out)
    return tensors


def integer_tensors(net: Net) -> dict[str, NDArray[np.generic]]:
    """Every tensor of FORMAT.md section 7 by name."""
    tensors: dict[str, NDArray[np.generic]] = {}
    if isinstance(net, BitSwapNet):
        tensors["prior"] = net.core.prior_integers().detach().cpu().numpy().astype(np.int32)
    if isinstance(net, FlowNet):
        tensors |= {name: m.detach().cpu().numpy().astype(np.int32) for name, m in net.integers().items()}
    for t, stage in enumerate(net.stages, 1):
        assert isinstance(stage, Stage)
        tensors |= _trunk(f"stage{t}.a", stage.a) | _trunk(f"stage{t}.b", stage.b)
        for phase, networks in zip(("11", "01", "10"), stage.phases, strict=True):
            assert isinstance(networks, ChannelNetworks)
            for ch, network in enumerate(networks, 1):
                assert isinstance(network, ChannelNetwork)
                name = f"stage{t}.phase{phase}.{ch}"
                tensors |= _layer(f"{name}.in", network.first) | _layer(f"{name}.out", network.out)
    for name, trunk in net.trunks().items():
        assert isinstance(trunk, Trunk)
        tensors |= _trunk(name, trunk)
    return tensors


def architecture(net: Net) -> dict[str, object]:
    """The `arch` of FORMAT.md section 7."""
    return {"format": 2, "kind": net.arch.kind} | net.arch.header()


def _sorted_header(data: bytes) -> bytes:
    """A safetensors file with the keys of its header in order: the library gives metadata in any, and the id would
    depend on it.
    """
    size = int.from_bytes(data[:8], "little")
    text = json.dumps(json.loads(data[8 : 8 + size]), sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def write_model(net: Net, path: Path, name: str, licence: str, provenance: str) -> str:
    """Write a model file and return the SHA-256 of its bytes, whose first 16 bytes are the model's id.

    Another model of that name may be the one that arrays need, so its file stays, as NAME-XXXXXXXX.safetensors.
    """
    metadata = {
        "arch": json.dumps(architecture(net), sort_keys=True),
        "name": name,
        "licence": licence,
        "provenance": provenance,
    }
    tensors = {key: np.ascontiguousarray(value) for key, value in sorted(integer_tensors(net).items())}
    data = _sorted_header(bytes(save(tensors, metadata)))
    digest = hashlib.sha256(data).hexdigest()
    if path.exists() and (older := path.read_bytes()) != data:
        write_whole(path.with_name(f"{path.stem}-{hashlib.sha256(older).hexdigest()[:8]}{path.suffix}"), older)
    write_whole(path, data)
    return digest

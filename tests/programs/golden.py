"""Golden frames on this machine: decoded, and encoded again to the same bytes.

    python tests/programs/golden.py package [NAME ...]      by the package, as users have it
    python tests/programs/golden.py reference [NAME ...]    by the decoder that was written from FORMAT.md

The second needs numpy and numcodecs alone, and nothing that is compiled: it runs on machines that numba does not know.
Needs no pytest, and of the package's dependencies only those that the frames need.
"""

import hashlib
import json
import platform
import sys
import tempfile
import time
import types
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]
GOLDEN, WEIGHTS = TESTS / "golden", TESTS.parent / "numcodecs_bitswap" / "weights"
SLOW = 1 << 17
"""Bytes of arrays that the reference decoder is not asked for."""


class _File:
    """safetensors' reader, where there is none: a length, JSON, numbers."""

    def __init__(self, file: Path | bytes, framework: str) -> None:
        data = file if isinstance(file, bytes) else Path(file).read_bytes()
        size = int.from_bytes(data[:8], "little")
        self.said, self.data = json.loads(data[8 : 8 + size]), data[8 + size :]

    def __enter__(self) -> "_File":
        return self

    def __exit__(self, *_: object) -> None:
        return

    def metadata(self) -> Any:
        return self.said.get("__metadata__")

    def keys(self) -> list[str]:
        return [key for key in self.said if key != "__metadata__"]

    def get_tensor(self, name: str) -> Any:
        kinds = {"I8": "i1", "U8": "u1", "I16": "<i2", "I32": "<i4", "I64": "<i8"}
        tensor = self.said[name]
        begin, end = tensor["data_offsets"]
        numbers = np.frombuffer(self.data[begin:end], kinds[tensor["dtype"]]).reshape(tensor["shape"])
        return numbers.astype(numbers.dtype.newbyteorder("="))


def _load(data: bytes) -> dict[str, Any]:
    file = _File(data, "numpy")
    names = file.keys()
    return {name: file.get_tensor(name) for name in names}


if find_spec("safetensors") is None:
    whole, numpys = types.ModuleType("safetensors"), types.ModuleType("safetensors.numpy")
    whole.safe_open, whole.numpy, numpys.load = _File, numpys, _load  # type: ignore[attr-defined]
    sys.modules |= {"safetensors": whole, "safetensors.numpy": numpys}


def find_model(model_id: bytes) -> Path:
    """A file with a shipped model."""
    from numcodecs.zstd import Zstd

    for path in sorted(WEIGHTS.glob("*.safetensors*")):
        data = path.read_bytes()
        data = bytes(Zstd().decode(data)) if path.suffix == ".zst" else data
        if hashlib.sha256(data).digest()[:16] == model_id:
            found = Path(tempfile.gettempdir()) / f"{model_id.hex()}.safetensors"
            found.write_bytes(data)
            return found
    raise LookupError(model_id.hex())


def same(decoded: Any, array: Any) -> bool:
    """Whether two arrays have the same bytes, dtype and shape."""
    return (
        decoded.dtype.str == array.dtype.str and decoded.shape == array.shape and decoded.tobytes() == array.tobytes()
    )


def main() -> int:
    """Run; returns the exit status."""
    how, names = sys.argv[1], sys.argv[2:] or sorted(path.stem for path in GOLDEN.glob("*.frame"))
    wrong, decoded_count, encoded_count = [], 0, 0
    for name in names:
        frame, array = (GOLDEN / f"{name}.frame").read_bytes(), np.load(GOLDEN / f"{name}.npy")
        since = time.process_time()
        if how == "reference":
            from reference import frames

            if array.nbytes > SLOW:
                continue
            good = same(frames.decode(frame, find_model), array)
        else:
            from numcodecs_bitswap import BitSwap

            good = same(BitSwap().decode(frame), array)
            if frame[5] in (4, 5, 7):
                from golden_cases import CASES

                if CASES[name].still_written:
                    encoded_count += 1
                    good = good and CASES[name].codec(**CASES[name].options).encode(array) == frame
        decoded_count += 1
        print(f"{name:28} {'the same' if good else 'WRONG':8} {time.process_time() - since:7.1f} s", flush=True)
        wrong += [] if good else [name]
    machine = f"{platform.machine()}, {sys.byteorder}-endian, numpy {np.__version__}"
    print(f"{machine}: {decoded_count} decoded by the {how}, {encoded_count} encoded again, {len(wrong)} wrong")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())

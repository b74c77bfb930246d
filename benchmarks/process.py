"""What has to be measured in a fresh process: peak memory of a large chunk, and the time of the first and later chunks.

Run as a program, `python -m benchmarks.process TASK [FILE SIDE]`, this module does one task and prints JSON; `memory`
and `startup` start it.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PHOTOGRAPH = Path(__file__).parents[1] / "examples" / "photograph.png"
LARGE = 2048


def memory(side: int = LARGE) -> dict[str, int]:
    """Peak resident bytes of processes that only import numpy, encode and decode one chunk of side x side x 3."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "frame"))
        return {task: _fresh(task, path, str(side)) for task in ("numpy", "encode", "decode")}


def startup() -> dict[str, float]:
    """Seconds of each step of a process that uses the codec for the first time, in order."""
    seconds: dict[str, float] = _fresh("startup")
    return seconds


def _fresh(*arguments: str) -> Any:
    command = [sys.executable, "-m", "benchmarks.process", *arguments]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def enlarged(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The upper left square of an image at size x size, with noise: (size, size, 3).

    Repeated side by side an image would be an easy case for other codecs.
    """
    from PIL import Image

    side = min(pixels.shape[:2])
    image = np.asarray(Image.fromarray(pixels[:side, :side]).resize((size, size), Image.Resampling.BICUBIC))
    noise = np.random.default_rng(0).normal(0, 3, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def _large_chunk(side: int) -> NDArray[np.uint8]:
    from PIL import Image

    return enlarged(np.asarray(Image.open(PHOTOGRAPH)), side)


def _peak(task: str, path: str, side: str) -> int:
    if task != "numpy":
        from numcodecs_bitswap import BitSwap

        if task == "encode":
            Path(path).write_bytes(BitSwap().encode(_large_chunk(int(side))))
        else:
            BitSwap().decode(Path(path).read_bytes())
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # On Linux ru_maxrss counts the parent's memory before exec.
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def _steps() -> dict[str, float]:
    from PIL import Image

    large = np.asarray(Image.open(PHOTOGRAPH))[:256, :256].copy()
    small, integers = large[:64, :64].copy(), np.arange(1000)
    seconds: dict[str, float] = {}
    clock = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal clock
        seconds[name] = time.perf_counter() - clock
        clock = time.perf_counter()

    from numcodecs_bitswap import BitSwap

    lap("import")
    codec = BitSwap()
    lap("construct")
    codec.decode(codec.encode(integers))
    lap("first 1000 integers, both ways")
    first = codec.encode(large)
    lap("first 256 x 256 x 3, encode")
    codec.decode(first)
    lap("first 256 x 256 x 3, decode")
    for name, array in (("1000 integers", integers), ("64 x 64 x 3", small), ("256 x 256 x 3", large)):
        frame = codec.encode(array)
        clock = time.perf_counter()
        for _ in range(10):
            codec.encode(array)
        lap(f"later {name}, encode")
        for _ in range(10):
            codec.decode(frame)
        lap(f"later {name}, decode")
        for way in ("encode", "decode"):
            seconds[f"later {name}, {way}"] /= 10
    return seconds


if __name__ == "__main__":
    print(json.dumps(_steps() if sys.argv[1] == "startup" else _peak(*sys.argv[1:])))

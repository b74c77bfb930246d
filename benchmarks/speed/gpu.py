"""What a GPU does: exactness first, then speeds and where the time goes. A few minutes; writes bench-out/gpu.json.

    python -m benchmarks.speed.gpu [--device cuda] [--quick]

With `--device cpu` the same, far smaller, with torch on the CPU in the place of the GPU: a test of this program.
"""

import argparse
import json
import platform
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.bench import OUT
from benchmarks.speed import rans
from benchmarks.speed.cases import Pictures, Subject, subjects
from benchmarks.speed.paths import differences, through_codec, through_zarr
from numcodecs_bitswap import BitSwap, set_device
from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.planes import coder, torch_tiles
from numcodecs_bitswap.planes.model import PlaneModel
from numcodecs_bitswap.zarr3 import BitSwapCodec

MODELS = "photo-v1", "universal-v1"
KINDS = "smooth", "noise", "extremes", "flat", "lines"
LARGEST = 1, 15, 16, 255, 4095, 65535, 65536, (1 << 22) - 1
REFERENCES = {
    "none": [[-1, -1, -1]] * 4,
    "one": [[-1, -1, -1], [0, -1, -1], [1, -1, -1], [2, -1, -1]],
    "two": [[-1, -1, -1], [0, -1, -1], [1, 0, -1], [2, 0, -1]],
    "three": [[-1, -1, -1], [0, -1, -1], [1, 0, -1], [2, 1, 0]],
}
SHAPES = (4, 64, 64), (4, 33, 47), (2, 256, 256), (3, 200, 256), (4, 1, 9), (4, 9, 1), (2, 128, 130)
SIDE, CHUNKS = 256, 64
"""Of the chunks that go through Zarr at once."""
COUNTS, WARPS = (1, 16, 64, 132, 264, 512), (4, 8, 16)
"""Tiles of a launch, and warps of its programs, that are timed."""


def tile(shape: tuple[int, ...], m: int, seed: int) -> NDArray[np.int32]:
    """A tile of 0 .. m; contents of all kinds take turns."""
    rng, (P, h, w) = np.random.default_rng(seed), shape
    p, y, x = np.ogrid[:P, :h, :w]

    def contents(kind: str) -> Any:
        if kind == "noise":
            return rng.random(shape)
        if kind == "extremes":
            return rng.integers(0, 2, shape) * 1.0
        if kind == "flat":
            return np.full(shape, rng.random())
        if kind == "lines":
            return ((x + y + p) % rng.integers(2, 9) < 2) * 1.0
        waves = np.sin(x / rng.uniform(2, 40) + p) * np.cos(y / rng.uniform(2, 40))
        return 0.5 + 0.4 * waves + rng.normal(0, rng.choice([0.001, 0.01, 0.1]), shape)

    return np.rint(m * contents(KINDS[seed % len(KINDS)]).clip(0, 1)).astype(np.int32)


def both_ways(device: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """What encodes and decodes tiles (model, tiles or messages and shape, references, largest) on a device."""
    if device == "cuda":
        from numcodecs_bitswap.planes import triton_tiles

        return triton_tiles.encode, triton_tiles.decode

    def encode(model: PlaneModel, given: Any, references: Any, largest: Sequence[int]) -> Any:
        return [torch_tiles.encode(model, [x], references, m)[0] for x, m in zip(given, largest, strict=True)]

    def decode(model: PlaneModel, given: Any, shape: Any, references: Any, largest: Sequence[int]) -> Any:
        return [torch_tiles.decode(model, [x], shape, references, m)[0] for x, m in zip(given, largest, strict=True)]

    return encode, decode


def exact_planes(device: str, quick: bool) -> dict[str, Any]:
    """Tiles of every kind, device against CPU: how many were compared, and those that differ."""
    encode, decode = both_ways(device)
    compared, wrong = 0, []
    for name in MODELS:
        model = catalog.load(name, "cpu").net
        for shape in SHAPES[4:6] if quick else SHAPES:
            count = 1 if quick else 80 if shape[1] * shape[2] <= 64 * 64 else 12
            for refer, table in REFERENCES.items():
                references = np.array(table[: shape[0]], np.int64)
                largest = [LARGEST[k % len(LARGEST)] for k in range(count)]
                given = [tile(shape, m, k) for k, m in enumerate(largest)]
                expected = [coder.encode(model, x, references, m)[0] for x, m in zip(given, largest, strict=True)]
                what = f"{name}, {shape}, {refer}"
                try:
                    messages = encode(model, given, references, largest)
                    decoded = decode(model, expected, shape, references, largest)
                except Exception as error:  # of Triton's compiler, or a device's
                    wrong.append(f"{what}: {type(error).__name__}: {error}")
                    continue
                compared += count
                for k, (one, other) in enumerate(zip(messages, expected, strict=True)):
                    if not (np.array_equal(one.heads, other.heads) and np.array_equal(one.tail, other.tail)):
                        wrong.append(f"{what}, tile {k} of 0 .. {largest[k]}: other bytes")
                    if not np.array_equal(decoded[k], given[k]):
                        wrong.append(f"{what}, tile {k} of 0 .. {largest[k]}: other samples")
    return {"compared": compared, "differences": wrong}


def exact_codecs(device: str, pictures: Pictures, quick: bool) -> dict[str, Any]:
    """Frames of all models with stages, latents or flows, and of the default, both ways."""
    every = subjects(["tiny-rgb8-v1"] if quick else catalog.names(), pictures)
    found, compared = [], 0
    for subject in every:
        chunks = [pictures.chunks(subject.net, size, 1)[0] for size in ((32,) if quick else (64, 256))]
        odd = [chunk[:-3] for chunk in chunks] if subject.net.stages else []
        compared += len(chunks) + len(odd)
        found += differences(subject.name, subject.codec, [*chunks, *odd], "torch" if device == "cpu" else device)
    if device == "cuda":  # the default on a CPU has no other device
        rng = np.random.default_rng(0)
        for shape, m in (((256, 256, 3), 255), ((300, 500), 65535), ((4, 300, 270), 4095), ((2, 3, 256, 256), 255)):
            chunk = (m * np.linspace(0, 1, shape[-1]) ** 2 + rng.normal(0, m / 50, shape)).clip(0, m)
            found += differences("default", BitSwap(), [chunk.astype(np.uint8 if m < 256 else np.uint16)], device)
            compared += 1
    return {"compared": compared, "differences": found}


def default_subject() -> Subject:
    """The default codec, which codes planes."""
    return Subject("BitSwap()", BitSwap(), BitSwapCodec(), None)


def zarr_rates(device: str, pictures: Pictures, quick: bool) -> dict[str, Any]:
    """MB/s of concurrent chunks through Zarr and through the codec alone: planes, and models with stages and flows."""
    stages = subjects(["tiny-rgb8-v1"] if quick else ["photo-rgb8-v2", "photo-rgb8-flow"], pictures)
    side, count = (64, 2) if quick else (SIDE, CHUNKS)
    chunks = pictures.chunks(stages[0].net, side, count)
    found: dict[str, Any] = {}
    for where in ("cpu",) if device == "cpu" else ("cuda", "cpu"):
        set_device(where)
        for subject in (default_subject(), *stages):
            subject.codec.decode(subject.codec.encode(chunks[0]))  # loads models and compiles
            for name, way in (("Zarr", through_zarr), ("codec", through_codec)):
                found[f"{subject.name}, {where}, {name}"] = asdict_of(way(subject, chunks, 1 if quick else 3))
    set_device("cpu" if device == "cpu" else "cuda")
    return {"chunks": count, "shape": chunks[0].shape, "rates": found}


def asdict_of(timed: Any) -> dict[str, Any]:
    """A `paths.Timed` as JSON."""
    return asdict(timed.measured) | {"chunks_a_pass": timed.chunks_a_pass}


def seconds(work: Callable[[], Any], times: int) -> float:
    """Least time of some runs, the device's work included."""
    found = []
    for _ in range(times):
        before = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        found.append(time.perf_counter() - before)
    return min(found)


def launches(device: str, pictures: Pictures, quick: bool) -> dict[str, Any]:
    """Tiles of a launch and warps of a program against time and MB/s; the time of the first call, which compiles."""
    encode, decode = both_ways(device)
    model = catalog.load(MODELS[0], "cpu").net
    side = 12 if quick else SIDE
    picture = pictures.chunks(subjects(["tiny-rgb8-v1"], pictures)[0].net, side, 1)[0]
    planes, references = np.ascontiguousarray(np.moveaxis(picture, -1, 0), np.int32), np.array(REFERENCES["two"][:3])
    rows = []
    for warps in (None,) if device == "cpu" else (None, *WARPS):
        more: dict[str, Any] = {}
        if warps is not None:
            from numcodecs_bitswap.planes.triton_tiles import Kind

            more["kind"] = replace(Kind.of(planes.shape), warps=warps)
        for count in COUNTS[:1] if quick else COUNTS if warps is None else (64,):
            given, largest = [planes] * count, [255] * count
            first = seconds(partial(encode, model, given, references, largest, **more), 1)
            messages = encode(model, given, references, largest, **more)
            packed = partial(encode, model, given, references, largest, **more)
            unpacked = partial(decode, model, messages, planes.shape, references, largest, **more)
            first += seconds(unpacked, 1)
            times = seconds(packed, 1 if quick else 3), seconds(unpacked, 1 if quick else 3)
            speeds = [planes.size * count / 1e6 / each for each in times]
            row = {"tiles": count, "warps": warps, "first_seconds": first}
            rows.append(row | dict(zip(("encode_mb_s", "decode_mb_s"), speeds, strict=True)))
            print(rows[-1], flush=True)
    return {"tile": planes.shape, "rows": rows}


def profile(device: str, pictures: Pictures, quick: bool) -> dict[str, list[dict[str, Any]]]:
    """Where the time of encoding and decoding many tiles goes: the longest kernels and operations."""
    encode, decode = both_ways(device)
    model = catalog.load(MODELS[0], "cpu").net
    count, side = (1, 12) if quick else (CHUNKS, SIDE)
    given = [tile((3, side, side), 255, k) for k in range(count)]
    references, largest = np.array(REFERENCES["two"][:3]), [255] * count
    messages = encode(model, given, references, largest)
    kinds = [torch.profiler.ProfilerActivity.CPU]
    if device == "cuda":
        kinds.append(torch.profiler.ProfilerActivity.CUDA)
    found = {}
    for name, work in (
        ("encode", lambda: encode(model, given, references, largest)),
        ("decode", lambda: decode(model, messages, given[0].shape, references, largest)),
    ):
        with torch.profiler.profile(activities=kinds) as profiled:
            work()
        rows = [
            {
                "name": each.key,
                "calls": each.count,
                "device_ms": getattr(each, "self_device_time_total", 0) / 1e3,
                "host_ms": each.self_cpu_time_total / 1e3,
            }
            for each in profiled.key_averages()
        ]
        found[name] = sorted(rows, key=lambda row: (-row["device_ms"], -row["host_ms"]))[:25]
    return found


def run(device: str, quick: bool) -> dict[str, Any]:
    """All parts in turn, each saved when it is done; one that fails is recorded, and the others go on."""
    torch.set_num_threads(1)
    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    result: dict[str, Any] = {"device": name, "torch": torch.__version__, "quick": quick}
    pictures = Pictures()
    parts: dict[str, Callable[[], Any]] = {
        "exact_planes": partial(exact_planes, device, quick),
        "exact_codecs": partial(exact_codecs, device, pictures, quick),
        "zarr": partial(zarr_rates, device, pictures, quick),
        "rans": lambda: [asdict(each) for each in rans.rates(device, 64 if quick else 1)],
        "launches": partial(launches, device, pictures, quick),
        "profile": partial(profile, device, pictures, quick),
    }
    OUT.mkdir(exist_ok=True)
    for part, work in parts.items():
        print(f"\n## {part}\n", flush=True)
        start = time.perf_counter()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                result[part] = work()
            except Exception as error:
                result[part] = {"failed": f"{type(error).__name__}: {error}"}
        result[f"{part}_warnings"] = sorted({str(each.message) for each in caught})
        result[f"{part}_seconds"] = time.perf_counter() - start
        print(json.dumps(result[part], indent=1, default=str)[:4000], *result[f"{part}_warnings"], sep="\n", flush=True)
        (OUT / "gpu.json").write_text(json.dumps(result, indent=1, default=str))
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 1 if something differs from the CPU or a part fails, else 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--quick", action="store_true", help="little of each, to test this program")
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        print("error: torch sees no CUDA device", file=sys.stderr)
        return 2
    set_device(options.device)
    result = run(options.device, options.quick or options.device == "cpu")
    print(f"\n{OUT / 'gpu.json'}")
    failed = [part for part in result.values() if isinstance(part, dict) and (part.get("failed"))]
    wrong = [*result["exact_planes"].get("differences", []), *result["exact_codecs"].get("differences", [])]
    return 1 if failed or wrong else 0


if __name__ == "__main__":
    sys.exit(main())

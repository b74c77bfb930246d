"""`make bench-stacks DATA=folder`: volumes, time series and spectral bands, sizes and speeds of codecs.

    python -m benchmarks.stacks FOLDER [--numbers] [--models NAME ...] [--limit N]

Chunks of up to 16 planes of 256 x 256, each coded on its own; total bytes. Of arrays that models are trained on, the
part that training leaves out. Prints a Markdown table; bench-out/stacks.json, or numbers.json, gets what was measured.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.images import every_kth
from numcodecs_bitswap.errors import BitswapError
from numcodecs_bitswap.measure.classical import classical
from numcodecs_bitswap.measure.harness import Measured, bitswap, measure

OUT = Path("bench-out")
PEERS = ["JPEG XL effort 7", "JPEG-LS", "pcodec 12", "Blosc bitshuffle Zstd 9", "Blosc shuffle Zstd 9", "Zstd 19"]
REFERENCE = "JPEG XL effort 7"
"""The codec whose speeds are shown beside ours."""
CROP = slice(320, 1280)
"""Of a Landsat scene: without its empty border."""

Array = NDArray[Any]


def whole(array: Array) -> Array:
    """All of an array."""
    return array


def half(array: Array) -> Array:
    """The second half along the first axis."""
    return array[len(array) // 2 :]


def as_read(array: Array, scale: float, offset: float) -> Array:
    """Packed integers as xarray reads them, the least as NaN."""
    unpacked = (array * scale + offset).astype(np.float32)
    unpacked[array == np.iinfo(array.dtype).min] = np.nan
    return unpacked


class Stack(NamedTuple):
    """A file, or files of one plane each, by a pattern; what is measured; chunks, cut to sides that are shorter."""

    files: str
    part: Callable[[Array], Array]
    chunk: tuple[int, ...] = (16, 256, 256)


STACKS = {
    "FIB-SEM, fly (z)": Stack("nd/vol_fibsem_fly_u8", half),
    "CT, body (z)": Stack("nd/vol_ct_body_i16", half),
    "EM, larva (z)": Stack("science/isbi2012_em_u8", whole),
    "MRI (z)": Stack("science/mri_structural_i16", lambda a: half(np.moveaxis(a, -1, 0))),
    "functional MRI (t, z)": Stack("nd/mri4d_fmri_u16", half, (14, 4, 80, 80)),
    "EnMAP (band)": Stack("nd/hyper_enmap_i16", whole),
    "AVIRIS (band)": Stack("nd/hyper_jasper_u16", whole),
    "Landsat 8 (band)": Stack(
        "science/landsat8_train_LC80460282016177LGN00_B[234]_u16", lambda a: a[:, CROP, CROP][:, 480:]
    ),
    "Sentinel-2 (band)": Stack("nd/ms_sentinel2_f64", lambda a: a[:, 100:].astype(np.uint16)),
    "sea surface temperature (day)": Stack("nd/sst_ostia_i16", lambda a: a[..., a.shape[-1] // 2 :]),
    "radar, rain (t)": Stack("nd/radar_rain_u8", half),
    "fluorescence, nuclei (field)": Stack("science/bbbc039_fluorescence_u16", half),
    "two-photon, calcium (t)": Stack("nd/time_calcium2p_u16", whole),
    "two-photon, brain (z)": Stack("nd/vol_brain_stpt_u16", half, (1, 16, 256, 256)),
    "bright field, colloids (t)": Stack("nd/time_brightfield_u8", half),
    "mitosis (t, c)": Stack("nd/time_mitosis_u16", half, (16, 2, 256, 256)),
    "yeast (t, c)": Stack("nd/mchan_yeast_u16", whole, (3, 3, 256, 256)),
}
"""By the names in the table, with the axes in front of y and x that a plane has neighbours along."""
NUMBERS = {
    "ERA5, packed fields (member, time, level)": Stack("nd/f32_era5_levels", lambda a: a[:, 5:], (1, 5, 4, 2, 61, 120)),
    "Landsat 7, reflectance (band)": Stack("nd/ms_landsat7_f32", whole, (8, 256, 256)),
    "Sentinel-2, counts as float64 (band)": Stack("nd/ms_sentinel2_f64", whole, (8, 200, 300)),
    "the same as uint16": Stack("nd/ms_sentinel2_f64", lambda a: a.astype(np.uint16), (8, 200, 300)),
    "elevation, lidar": Stack("nd/f32_dem_lidar_1m", whole, (256, 256)),
    "elevation, 5 m": Stack("nd/f32_dem_5m", whole, (256, 256)),
    "ocean colour (t)": Stack("nd/f64_oceancolour", whole, (2, 250, 250)),
    "CCSM, temperature (year)": Stack("nd/f32_ccsm_trefht", half, (8, 64, 128)),
    "NEMO, currents (u v, depth)": Stack("nd/f32_nemo_uv", whole, (1, 8, 201, 151)),
    "cylinder flow (t)": Stack("nd/f32_cylinder_flow", whole, (1, 8, 256, 128)),
    "NDVI (t)": Stack("nd/f32_ndvi_s2", half, (8, 101, 100)),
    "sea surface temperature, int16 (day)": Stack("nd/sst_ostia_i16", whole, (2, 256, 256)),
    "the same as float32": Stack("nd/sst_ostia_i16", lambda a: as_read(a, 0.01, 273.15), (2, 256, 256)),
    "labels, fly (z)": Stack("nd/labels_fly_i32", whole, (8, 250, 250)),
    "cloud mask (t)": Stack("nd/mask_cloud_u8", whole, (68, 101, 100)),
    "radar, rain (t)": Stack("nd/radar_rain_u8", whole, (8, 256, 256)),
}
"""Floats, wide integers, gaps, labels."""


def read(folder: Path, stack: Stack) -> Array | None:
    """The part of a stack that is measured, or None if the folder does not have it."""
    files = sorted(folder.glob(f"{stack.files}.npz"))
    arrays = [np.load(file)["a"] for file in files]
    return stack.part(np.stack(arrays) if len(arrays) > 1 else arrays[0]) if arrays else None


def cut(array: Array, chunk: Sequence[int], limit: int) -> list[Array]:
    """Full chunks; of more than `limit`, every k-th. A side that is longer than the array's is the array's."""
    sides = [min(side, n) for side, n in zip(chunk, array.shape, strict=True)]
    corners = product(*(range(0, n - side + 1, side) for n, side in zip(array.shape, sides, strict=True)))
    places = [tuple(slice(at, at + side) for at, side in zip(corner, sides, strict=True)) for corner in corners]
    return [np.ascontiguousarray(array[place]) for place in every_kth(places, limit)]


def header() -> str:
    """The first two lines of the table."""
    relative = "".join(f" {name} against ours |" for name in PEERS)
    titles = f"| array | chunks | model | ours, bits/sample | best other, bits/sample | ours against it |{relative}"
    speeds = f" ours, encode, decode MB/s | {REFERENCE}, encode, decode MB/s |"
    return f"{titles}{speeds}\n|---|---|---|--:|---|--:|{'--:|' * (len(PEERS) + 2)}"


def line(title: str, chunks: Sequence[Array], ours: Measured, others: Sequence[Measured]) -> str:
    """A line of the table; codecs that do not take such an array stay empty."""
    best = min(others, key=lambda row: row.total)
    named = {row.name: row for row in others}
    cells = [
        title,
        f"{len(chunks)} of {' x '.join(map(str, chunks[0].shape))}, {chunks[0].dtype}",
        ours.name,
        f"{ours.bits_per_sample:.3f}",
        f"{best.name} {best.bits_per_sample:.3f}",
        f"{ours.total / best.total - 1:+.1%}",
        *(f"{named[name].total / ours.total - 1:+.1%}" if name in named else "" for name in PEERS),
        *(f"{row.encode_mb_s:.1f}, {row.decode_mb_s:.1f}" if row else "" for row in (ours, named.get(REFERENCE))),
    ]
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write bench-out/; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stacks", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="with nd/*.npz and science/*.npz, an array `a` in each")
    parser.add_argument("--models", nargs="+", default=["auto"], help="names of models; a line of the table for each")
    parser.add_argument("--numbers", action="store_true", help="floats, wide integers and labels instead")
    parser.add_argument("--limit", type=int, default=8, help="at most so many chunks of an array: every k-th")
    options = parser.parse_args(arguments)
    result: dict[str, Any] = {}
    for title, stack in (NUMBERS if options.numbers else STACKS).items():
        array = read(options.folder, stack)
        if array is None:
            print(f"{title}: no {options.folder / stack.files}.npz", file=sys.stderr)
            continue
        chunks = cut(array, stack.chunk, options.limit)
        try:
            ours = [measure(bitswap(model, model), chunks) for model in options.models]
        except BitswapError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        others = [measure(peer, chunks) for peer in classical(chunks[0], PEERS)]
        if not result:
            print(header())
        for each in ours:
            print(line(title, chunks, each, others), flush=True)
        result[title] = {
            "dtype": str(chunks[0].dtype),
            "chunk": chunks[0].shape,
            "chunks": len(chunks),
            "ours": [asdict(row) for row in ours],
            "others": [asdict(row) for row in others],
        }
    if not result:
        print(f"error: {options.folder} has none of these arrays", file=sys.stderr)
        return 2
    OUT.mkdir(exist_ok=True)
    written = OUT / ("numbers.json" if options.numbers else "stacks.json")
    written.write_text(json.dumps(result, indent=1))
    print(f"\n{written}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

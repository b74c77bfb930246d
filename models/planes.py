"""Makes the plane models that ship: photo-v1, universal-v1 and microscopy-v1.

    python models/planes.py photo-v1 DATA [--minutes 13] [--out FOLDER] [--start FILE]
    python models/planes.py universal-v1 DATA
    python models/planes.py microscopy-v1 DATA --start runs/universal-v1.safetensors

DATA holds natural/photos_d4plus, natural/clothing_d4 (folders of PNG) and, for the other two, nd/*.npz and
science/*.npz (see the models' cards). Rows are what the encoder sees of sampled pixels of augmented tiles; of stacks
only the first half is used, so that the other half can be measured.
"""

import argparse
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from numpy.typing import NDArray
from PIL import Image

from numcodecs_bitswap.jpeg import colour
from numcodecs_bitswap.planes.model import DEFAULT, PlaneModel, random_tensors
from numcodecs_bitswap.planes.observe import Rows, joined, observe
from numcodecs_bitswap.planes.tables import LARGEST, REFERENCES, WEIGHT_BITS
from numcodecs_bitswap.train.export import write_tensors
from numcodecs_bitswap.train.planes import fit, integer_tensors, new_nets, take_tensors

RGB = np.array([[-1, -1], [0, -1], [1, 0]], np.int64)
# Arrays whose first axis is halved.
MICROSCOPY = (
    "nd/vol_fibsem_fly_u8", "nd/vol_brain_stpt_u16", "nd/time_brightfield_u8", "nd/time_mitosis_u16",
    "science/bbbc039_fluorescence_u16",
)  # fmt: skip
OTHERS = "nd/vol_ct_body_i16", "nd/mri4d_fmri_u16", "nd/radar_rain_u8"
Array = NDArray[Any]
Tile = tuple[Array, Array, int]
"""Planes (P, h, w), their references, the largest number."""
rng = np.random.default_rng(0)


def turned(planes: Array) -> Array:
    """One of the eight turns and mirror images of planes (..., h, w)."""
    k = rng.integers(8)
    planes = planes[..., ::-1, :] if k & 1 else planes
    planes = planes[..., ::-1] if k & 2 else planes
    return planes.swapaxes(-1, -2) if k & 4 else planes


def cropped(planes: Array, sides: tuple[int, ...]) -> Array:
    """A square of a random side, or what there is of it."""
    side = int(rng.choice(sides))
    y, x = (rng.integers(max(1, n - side + 1)) for n in planes.shape[-2:])
    return planes[..., y : y + side, x : x + side]


def photograph(image: Image.Image) -> Tile | None:
    """A tile of a photograph: reduced, of another contrast, noisy, or decoded from a JPEG, now and then."""
    if rng.random() < 0.15 and min(image.size) >= 160:
        image = image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)
    a = np.asarray(image).astype(np.float64)
    if rng.random() < 0.15:
        a = 255 * (a / 255) ** rng.uniform(0.7, 1.4) + rng.random(a.shape) * (rng.random() < 0.5)
    if rng.random() < 0.2:
        a = a + rng.normal(0, rng.uniform(0.3, 3), a.shape)
    planes = turned(np.clip(np.round(a), 0, 255).astype(np.uint8).transpose(2, 0, 1))
    planes = np.ascontiguousarray(cropped(planes, (64, 96, 128, 192, 256)))
    order, kind = [1, 0, 2], rng.random()
    if kind < 0.28:
        quality, sampling = int(rng.choice([70, 75, 80, 85, 90, 92, 95, 97])), int(rng.choice([0, 1, 2]))
        file = io.BytesIO()
        Image.fromarray(planes.transpose(1, 2, 0)).save(file, "JPEG", quality=quality, subsampling=sampling)
        decoded = np.asarray(Image.open(file).convert("RGB"))
        planes = decoded.transpose(2, 0, 1)
        if rng.random() < 0.85:
            ycbcr = colour.to_ycbcr(np.ascontiguousarray(decoded), 2)
            if ycbcr is None:
                return None
            planes, order = ycbcr.transpose(2, 0, 1), [0, 1, 2]
    elif kind < 0.4:
        order = list(rng.permutation(3))
    return planes[order], RGB, 255


def photographs(data: Path, repeats: int, clothes: bool = True) -> Iterator[tuple[Tile | None, float]]:
    """Tiles and the share of their pixels to take. Every eighth photograph is left for measuring."""
    large, small = (sorted((data / "natural" / name).glob("*.png")) for name in ("photos_d4plus", "clothing_d4"))
    for files, times, share in ((large, repeats, 0.03), (small if clothes else [], 1, 0.12)):
        for _ in range(times):
            for k, file in enumerate(files):
                if k % 8 != 4:
                    yield photograph(Image.open(file).convert("RGB")), share


def stacks(data: Path, microscopy: bool) -> Iterator[Array]:
    """Arrays (..., h, w): those parts that the model may see."""
    for name in (*MICROSCOPY, *(() if microscopy else OTHERS)):
        a = np.load(data / f"{name}.npz")["a"]
        yield a[: len(a) // 2]
    if microscopy:
        return
    a = np.moveaxis(np.load(data / "science/mri_structural_i16.npz")["a"], -1, 0)
    yield a[: len(a) // 2]
    yield np.load(data / "nd/ms_sentinel2_f64.npz")["a"][:, :100].astype(np.int32)
    yield np.load(data / "nd/sst_ostia_i16.npz")["a"][:, :, :720]
    yield np.load(data / "science/astro_ccd_u16.npz")["a"][None, :520]
    for scene in ("LC80460282016177LGN00", "LC80100202015018LGN00"):
        bands = [np.load(file)["a"] for file in sorted((data / "science").glob(f"landsat8_*{scene}*.npz"))]
        yield np.stack([band[320:800, 320:1280] for band in bands])


def some_planes(a: Array) -> tuple[Array, Array]:
    """Up to five neighbouring planes and their references: up to three before along an axis, or one along each."""
    if a.ndim == 3:
        z = rng.integers(max(1, len(a) - 4))
        planes = a[z : z + 5]
        refer = [[max(k - d, -1) for d in (1, 2, 3)] for k in range(len(planes))]
    else:
        t, c = (rng.integers(max(1, n - 1)) for n in a.shape[:2])
        part = a[t : t + 2, c : c + 2]
        row, planes = part.shape[1], part.reshape(-1, *a.shape[-2:])
        found = [[*([k - row] if k >= row else []), *([k - 1] if k % row else [])] for k in range(len(planes))]
        refer = [[*each, -1, -1, -1][:REFERENCES] for each in found]
    return planes, np.array(refer, np.int64)


def stack_tile(a: Array) -> Tile | None:
    """A tile of a stack under another gain, offset, noise, blur or saturation, now and then."""
    planes, refer = some_planes(a)
    b = turned(cropped(planes, (64, 128, 192, 256)).astype(np.float64))
    if rng.random() < 0.15:
        b = b[:, : b.shape[1] // 2 * 2, : b.shape[2] // 2 * 2]
        b = (b[:, ::2, ::2] + b[:, 1::2, ::2] + b[:, ::2, 1::2] + b[:, 1::2, 1::2]) / rng.choice([1, 2, 4])
    if rng.random() < 0.25:
        b = b * np.exp2(rng.uniform(-3, 3))
    if rng.random() < 0.15:
        b = b + rng.normal(0, 1, b.shape) * rng.choice([0.5, 1, 3, 10, 30])
    if rng.random() < 0.1:
        b = np.sqrt(np.maximum(b - b.min(), 0)) * rng.choice([1, 4, 16])
    if rng.random() < 0.1:
        b = np.minimum(b, np.quantile(b, rng.uniform(0.8, 0.99)))
    if rng.random() < 0.1:
        b = np.maximum(b, np.quantile(b, rng.uniform(0.02, 0.5)))
    x = np.round(b).astype(np.int64)
    x -= x.min()
    x //= max(int(np.gcd.reduce(x, axis=None)), 1)
    if (m := int(x.max())) > LARGEST:
        x, m = x * LARGEST // m, LARGEST
    kind = rng.random()
    if kind < 0.6:  # two references at most, one, or none
        refer = np.where(np.arange(REFERENCES)[None] < (2 if kind < 0.25 else 1 if kind < 0.5 else 0), refer, -1)
    return (x, refer, m) if m else None


def rows_of(
    source: Callable[[], Iterator[tuple[Tile | None, float]]], tensors: dict[str, Array]
) -> tuple[list[Rows], dict[str, Array]]:
    """Rows for each number of references, and the mean weights of the largest predictor: ridge targets."""
    model = PlaneModel(DEFAULT, tensors)
    average = np.zeros((REFERENCES + 1, model.targets.shape[1] + 1))
    found: list[list[Rows]] = [[] for _ in range(REFERENCES + 1)]
    for tile, share in source():
        if tile is not None:
            planes = np.ascontiguousarray(tile[0], np.int32)
            for rows, new in zip(found, observe(model, planes, *tile[1:], share, rng, average), strict=True):
                rows.append(new)
    targets = {
        f"target{R}": np.round(average[R, : model.orders[R]] / max(average[R, -1], 1)).astype(np.int32)
        for R in range(REFERENCES + 1)
    }
    assert max(np.abs(each).max() for each in targets.values()) < 8 << WEIGHT_BITS
    return [joined(rows) for rows in found], targets


def main() -> None:
    """Observe, first for the ridge targets unless a model to start from has them, then for the rows; fit; write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=["photo-v1", "universal-v1", "microscopy-v1"])
    parser.add_argument("data", type=Path)
    parser.add_argument("--minutes", type=float, default=13)
    parser.add_argument("--start", type=Path, help="a model file of the same architecture to start from")
    parser.add_argument("--out", type=Path, default=Path("runs"))
    options = parser.parse_args()
    torch.set_num_threads(1)

    def source(thin: bool) -> Iterator[tuple[Tile | None, float]]:
        if options.name == "photo-v1":
            yield from photographs(options.data, 2 if thin else 14)
            return
        microscopy = options.name == "microscopy-v1"
        for a in stacks(options.data, microscopy):
            for _ in range(20 if thin else 220 if microscopy else 110):
                yield stack_tile(a), 0.01 if thin else 0.07
        if not thin and not microscopy:
            yield from photographs(options.data, 4)

    tensors, nets = random_tensors(DEFAULT), new_nets(DEFAULT)
    if options.start:
        tensors = safetensors.numpy.load_file(options.start)
        take_tensors(nets, tensors)
        targets = {name: tensor for name, tensor in tensors.items() if name.startswith("target")}
    else:
        _, targets = rows_of(lambda: source(True), tensors)
    rows, _ = rows_of(lambda: source(False), tensors | targets)
    print([len(each.x) for each in rows], "rows", flush=True)
    nets = fit(DEFAULT, rows, options.minutes, nets=nets, say=lambda text: print(text, flush=True))
    options.out.mkdir(parents=True, exist_ok=True)
    arch = DEFAULT | {"kind": "planes", "format": 1}
    about = f"python models/planes.py {options.name} DATA --minutes {options.minutes:g}"
    if options.start:
        about += f" --start {options.start.name}"
    path = options.out / f"{options.name}.safetensors"
    print(write_tensors(arch, integer_tensors(nets) | targets, path, options.name, "CC0-1.0", about))


if __name__ == "__main__":
    main()

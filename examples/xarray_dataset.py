"""An xarray dataset with a stack of photographs under BitSwap, other variables as they are."""

import tempfile
from pathlib import Path

import numpy as np
import xarray as xr
from PIL import Image

from numcodecs_bitswap.zarr3 import BitSwapCodec

photograph = np.asarray(Image.open(Path(__file__).with_name("photograph.png")))
frames = np.stack([photograph[:256, x : x + 256] for x in (0, 128, 256, 384)])
days = np.arange("2024-06-01", "2024-06-05", dtype="datetime64[D]").astype("datetime64[ns]")
dataset = xr.Dataset(
    {"image": (("time", "y", "x", "band"), frames), "exposure": (("time",), np.array([0.5, 0.5, 1.0, 2.0]))},
    coords={"time": days, "band": [645, 555, 470]},
)

with tempfile.TemporaryDirectory() as folder:
    # The time axis is a leading one: its items are independent images, here one per chunk.
    encoding = {"image": {"serializer": BitSwapCodec(), "compressors": None, "chunks": (1, 256, 256, 3)}}
    dataset.to_zarr(folder, encoding=encoding, zarr_format=3, consolidated=False)

    # Reading needs the package installed, and nothing said.
    opened = xr.open_zarr(folder, consolidated=False)
    assert opened.identical(dataset)
    third = opened.image.sel(time="2024-06-03", band=555)
    assert np.array_equal(third, frames[2, :, :, 1])

    stored = sum(path.stat().st_size for path in Path(folder, "image", "c").rglob("*") if path.is_file())
    print(f"image: {frames.nbytes:,} -> {stored:,} bytes, {8 * stored / frames.size:.2f} bits/sample")
    brightest = opened.image.mean(["y", "x", "band"]).idxmax().dt.strftime("%d %B").values
    print(f"dataset read back: identical; brightest image: {brightest}")

"""images.py: every image is read exactly or refused, and what is written is read back."""

import io
import struct
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from numcodecs_bitswap.cli import main
from numcodecs_bitswap.errors import SourceError
from numcodecs_bitswap.readers import images
from numcodecs_bitswap.readers.arrays import open_array

RNG = np.random.default_rng(0)
DEEP = RNG.integers(0, 60000, (20, 30, 3)).astype("u2")
SHALLOW = RNG.integers(0, 255, (20, 30, 4)).astype("u1")


def absent(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """As in an environment without these packages."""
    find = images.find_spec
    monkeypatch.setattr(images, "find_spec", lambda name: None if name in names else find(name))


def tiff(array: Any) -> bytes:
    """An uncompressed TIFF of one strip, by hand."""
    height, width, samples = array.shape
    data, bits = array.astype(array.dtype.newbyteorder("<")).tobytes(), 8 * array.itemsize
    extra = 8 + 2 + 12 * 9 + 4
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, samples, extra), (259, 3, 1, 1), (262, 3, 1, 2)]
    tags += [(273, 4, 1, extra + 2 * samples), (277, 3, 1, samples), (278, 4, 1, height), (279, 4, 1, len(data))]
    start = b"II*\0" + struct.pack("<IH", 8, len(tags))
    return (
        start + b"".join(struct.pack("<HHII", *t) for t in tags) + bytes(4) + struct.pack("<H", bits) * samples + data
    )


@pytest.mark.parametrize("array", [DEEP, DEEP[..., 0], SHALLOW, SHALLOW[..., :3], SHALLOW[..., 0], SHALLOW[..., :2]])
def test_png_exactly(tmp_path: Path, array: Any) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(array)))
    shape, dtype = images.header(path)
    assert (shape, dtype) == (array.shape, array.dtype)
    assert np.array_equal(images.read(path), array)
    colours = array if array.ndim == 2 else array[..., 0] if array.shape[2] == 2 else array[..., :3]
    assert np.array_equal(images.read(path, colours=True), colours)
    assert images.header(path, colours=True)[0] == images.read(path, colours=True).shape


def test_deep_png_without_imagecodecs_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(imagecodecs.png_encode(DEEP))
    absent(monkeypatch, "imagecodecs")
    assert main(["estimate", str(path)]) == 2
    assert "numcodecs_bitswap[images]" in capsys.readouterr().err
    with pytest.raises(SourceError, match="imagecodecs"):
        images.write(path, DEEP)


def test_deep_tiff_without_tifffile_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow opens it, as 8 bits."""
    absent(monkeypatch, "tifffile")
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(DEEP))
    assert np.asarray(Image.open(path)).dtype == np.uint8
    with pytest.raises(SourceError, match="pip install tifffile"):
        open_array(str(path))
    path.write_bytes(tiff(SHALLOW[..., :3]))
    assert np.array_equal(images.read(path), SHALLOW[..., :3])


def test_tiff_by_tifffile(tmp_path: Path) -> None:
    pytest.importorskip("tifffile")
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(DEEP))
    assert images.header(path) == (DEEP.shape, DEEP.dtype)
    assert np.array_equal(images.read(path), DEEP)
    for array in (DEEP, DEEP[..., 0], SHALLOW, np.moveaxis(DEEP, 2, 0), DEEP.astype("f4"), DEEP.astype("i2")[None]):
        path.write_bytes(images.write(path, np.ascontiguousarray(array)))
        assert np.array_equal(images.read(path).reshape(array.shape), array)


def test_pages_and_palettes(tmp_path: Path) -> None:
    pages = [Image.fromarray(np.ascontiguousarray(SHALLOW[..., n])) for n in range(4)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert np.array_equal(images.read(tmp_path / "a.tif"), np.moveaxis(SHALLOW, 2, 0))
    Image.fromarray(np.ascontiguousarray(SHALLOW[..., :3])).quantize(16).save(tmp_path / "p.png")
    assert images.header(tmp_path / "p.png")[0] == images.read(tmp_path / "p.png").shape == (20, 30, 3)
    Image.fromarray(SHALLOW[..., 0] > 100).save(tmp_path / "b.png")
    assert np.array_equal(images.read(tmp_path / "b.png"), SHALLOW[..., 0] > 100)


def test_deep_ppm_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ppm"
    path.write_bytes(b"P6\n# made by hand\n30 20\n65535\n" + DEEP.astype(">u2").tobytes())
    with pytest.raises(SourceError, match="16 bits"):
        images.header(path)
    path.write_bytes(b"P6 30 20 255\n" + SHALLOW[..., :3].tobytes())
    assert np.array_equal(images.read(path), SHALLOW[..., :3])


@pytest.mark.parametrize("array", [np.zeros((4, 4)), np.zeros((2, 4, 4, 3), "u1"), np.zeros((4, 4), "i2")])
def test_what_png_does_not_hold_is_refused(tmp_path: Path, array: Any) -> None:
    with pytest.raises(SourceError, match="cannot be written"):
        images.write(tmp_path / "a.png", array)


def test_without_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    Image.fromarray(SHALLOW).save(file, "PNG")
    (tmp_path / "a.png").write_bytes(file.getvalue())
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(SourceError, match="numcodecs_bitswap\\[images\\]"):
        images.header(tmp_path / "a.png")

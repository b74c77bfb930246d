"""Image files <-> arrays, exactly or not at all.

TIFF is read by tifffile where it is installed, PNG of 16 bits by imagecodecs, everything else by Pillow. Pillow
silently reduces colours of 16 bits to 8; such files are refused, and the error says what to install. Palettes are
applied; transparency is a channel of its own. Metadata are not read.
"""

import io
import struct
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SourceError

SUFFIXES = {".png", ".tif", ".tiff", ".webp", ".jpg", ".jpeg", ".bmp", ".ppm"}
WRITEABLE = {".png", ".tif", ".tiff"}
"""Suffixes that `write` takes."""
INSTALL = "pip install 'numcodecs_bitswap[images]'"
MODES = {"1": 1, "L": 8, "LA": 8, "P": 8, "RGB": 8, "RGBA": 8, "CMYK": 8, "I;16": 16, "I;16B": 16, "I": 32, "F": 32}
"""Pillow's modes that hold the samples of a file exactly, and the bits of a sample."""


def header(path: Path, colours: bool = False) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of an image: (y, x), or (y, x, channels); with an axis of pages in front if it has several.

    Parameters
    ----------
    path : Path
    colours : bool
        Leave out transparency: one channel without an axis, or three.

    Raises
    ------
    SourceError
        It cannot be read exactly; the message says what to install.
    """
    if path.suffix.lower() in (".tif", ".tiff") and find_spec("tifffile"):
        import tifffile

        with tifffile.TiffFile(path) as tiff:
            series = tiff.series[0]
            shape, dtype = tuple(series.shape), np.dtype(series.dtype)
            alpha = colours and series.axes.endswith("S") and shape[-1] in (2, 4)
        return _without_alpha(shape) if alpha else shape, dtype
    if channels := _channels_of_16_bits(path):
        width, height = struct.unpack(">II", path.read_bytes()[16:24])
        shape = (height, width, channels)
        return _without_alpha(shape) if colours and channels in (2, 4) else shape, np.dtype("u2")
    with _pillow(path) as image:
        mode, pages = _mode(image, colours), getattr(image, "n_frames", 1)
        sample = np.asarray(_blank(mode))
    shape = (image.height, image.width, *sample.shape[2:])
    return ((pages, *shape) if pages > 1 else shape), sample.dtype


def read(path: Path, colours: bool = False) -> NDArray[Any]:
    """The array of an image; see `header`."""
    if path.suffix.lower() in (".tif", ".tiff") and find_spec("tifffile"):
        import tifffile

        array = np.asarray(tifffile.imread(path, series=0))
        shape, _ = header(path, colours)
        return array if array.shape == shape else array[..., : array.shape[-1] - 1].reshape(shape)
    if channels := _channels_of_16_bits(path):
        import imagecodecs

        array = np.asarray(imagecodecs.png_decode(path.read_bytes()))
        return array[..., : channels - 1].reshape(header(path, True)[0]) if colours and channels in (2, 4) else array
    pages = []
    with _pillow(path) as image:
        for page in range(getattr(image, "n_frames", 1)):
            image.seek(page)
            pages.append(np.asarray(image.convert(_mode(image, colours))))
    return np.stack(pages) if len(pages) > 1 else pages[0]


def write(path: Path, array: NDArray[Any]) -> bytes:
    """The bytes of a lossless image file, of the format that the suffix of `path` names; read back and compared.

    Raises
    ------
    SourceError
        The format cannot hold this array, or the library that writes it is not installed.
    """
    kind = path.suffix.lower()
    native = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    encode = _tiff if kind in (".tif", ".tiff") else _png
    try:
        data, back = encode(native)
    except ImportError as error:
        raise SourceError(f"{path} needs {error.name} to be written: {INSTALL}") from error
    except Exception as error:  # of encoders of any kind
        raise SourceError(f"{array.dtype} of shape {array.shape} cannot be written as {kind}: {error}") from error
    if back.dtype != native.dtype or back.shape != native.shape or back.tobytes() != native.tobytes():
        raise SourceError(f"{array.dtype} of shape {array.shape} does not fit {kind} exactly; write .npy or .bsw")
    return data


def _png(array: NDArray[Any]) -> tuple[bytes, NDArray[Any]]:
    if array.ndim not in (2, 3) or array.dtype.str[1:] not in ("b1", "u1", "u2"):
        raise ValueError("PNG holds one image of uint8 or uint16")
    if find_spec("imagecodecs") and array.dtype.kind == "u":
        import imagecodecs

        data = bytes(imagecodecs.png_encode(array, level=9))
        return data, np.asarray(imagecodecs.png_decode(data))
    if array.itemsize == 2 and array.ndim == 3:
        raise ModuleNotFoundError("PNG of 16 bits", name="imagecodecs")
    return _by_pillow(array, "PNG")


def _tiff(array: NDArray[Any]) -> tuple[bytes, NDArray[Any]]:
    if not find_spec("tifffile"):
        if array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4) and array.dtype == np.uint8):
            return _by_pillow(array, "TIFF")
        raise ModuleNotFoundError("TIFF", name="tifffile")
    import tifffile

    file = io.BytesIO()
    colour = array.ndim >= 3 and array.shape[-1] in (3, 4) and array.dtype.kind == "u"
    tifffile.imwrite(file, array, photometric="rgb" if colour else "minisblack")
    return file.getvalue(), np.asarray(tifffile.imread(io.BytesIO(file.getvalue()), series=0)).reshape(array.shape)


def _by_pillow(array: NDArray[Any], kind: str) -> tuple[bytes, NDArray[Any]]:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(array).save(file, kind)
    return file.getvalue(), np.asarray(Image.open(file))


def _without_alpha(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[:-1], *([3] if shape[-1] == 4 else []))


def _channels_of_16_bits(path: Path) -> int:
    """Number of channels of a PNG of 16 bits with several channels, which Pillow reduces to 8 bits; 0: another file."""
    with path.open("rb") as file:
        start = file.read(26)
    if start[:8] != b"\x89PNG\r\n\x1a\n" or len(start) < 26 or start[24] != 16 or start[25] == 0:
        return 0
    if not find_spec("imagecodecs"):
        raise SourceError(f"{path} has 16 bits and colours, which Pillow cuts to 8: {INSTALL}")
    return {2: 3, 4: 2, 6: 4}[start[25]]


def _pillow(path: Path) -> Any:
    """The opened image, if Pillow reads all of its bits."""
    try:
        from PIL import Image
    except ImportError as error:
        raise SourceError(f"{path} needs Pillow to be read: {INSTALL}") from error
    image = Image.open(path)
    if wrong := _cut(image, path):
        image.close()
        raise SourceError(wrong)
    return image


def _cut(image: Any, path: Path) -> str | None:
    """An error message, if Pillow reads less than the file holds."""
    if image.format == "TIFF":
        bits, samples = image.tag_v2.get(258, (1,)), image.tag_v2.get(277, 1)
        if set(bits) != {MODES.get(image.mode)} or samples != len(image.getbands()):
            text = f"{samples} sample(s) of {max(bits)} bits, which Pillow cuts"
            return f"{path} has {text}: pip install tifffile, or {INSTALL}"
    if image.format == "PPM" and image.mode == "RGB" and _largest_sample(path) > 255:
        return f"{path} has more than 8 bits, which Pillow cuts: make it a PNG or TIFF of 16 bits"
    return None


def _largest_sample(path: Path) -> int:
    """The largest possible sample of a PPM file: the third number of its header."""
    with path.open("rb") as file:
        lines = file.read(4096).split(b"\n")
    words = b" ".join(line.split(b"#")[0] for line in lines).split()
    return int(words[3])


def _mode(image: Any, colours: bool) -> str:
    """Pillow's mode without a palette and, if `colours`, without transparency."""
    mode = str(image.mode)
    if mode == "P":
        mode = "RGBA" if "transparency" in image.info else "RGB"
    if colours:
        return mode if mode in ("L", "I", "F") or mode.startswith("I;16") else "L" if mode in ("1", "LA") else "RGB"
    if mode not in MODES:
        raise SourceError(f"{image.filename} has Pillow's mode {mode}, which is not read exactly")
    return mode


def _blank(mode: str) -> Any:
    from PIL import Image

    return Image.new(mode, (1, 1))

"""JPEG files of given coefficients, written for the tests alone: baseline, with codes of one length."""

import io
import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from numcodecs_bitswap.jpeg.picture import Picture

ZIGZAG = sorted(range(64), key=lambda k: (k // 8 + k % 8, k // 8 if (k // 8 + k % 8) % 2 else k % 8))
DC_SYMBOLS = list(range(12))
AC_SYMBOLS = [0, 0xF0] + [run << 4 | size for run in range(16) for size in range(1, 11)]


def segment(marker: int, body: bytes) -> bytes:
    """A marker with what belongs to it."""
    return struct.pack(">HH", marker, len(body) + 2) + body


def signed(value: int) -> tuple[int, str]:
    """Size of a number, and its bits."""
    size = abs(value).bit_length()
    return size, format(value if value > 0 else value + (1 << size) - 1, f"0{size}b") if size else ""


def block_bits(values: list[int], before: int) -> str:
    """Bits of a block, frequencies in natural order."""
    size, bits = signed(values[0] - before)
    out, run = [format(DC_SYMBOLS.index(size), "05b") + bits], 0
    for k in ZIGZAG[1:]:
        if not values[k]:
            run += 1
            continue
        while run > 15:
            out.append(format(AC_SYMBOLS.index(0xF0), "08b"))
            run -= 16
        size, bits = signed(values[k])
        out.append(format(AC_SYMBOLS.index(run << 4 | size), "08b") + bits)
        run = 0
    if run:
        out.append(format(AC_SYMBOLS.index(0), "08b"))
    return "".join(out)


def write(picture: Picture, height: int, width: int) -> bytes:
    """A file of so many pixels, whose MCUs are those of a picture."""
    (sy, sx), count = picture.sampling, len(picture.components)
    file = [b"\xff\xd8"]
    if count == 3:
        transform = int(picture.colour == "ycbcr")
        file.append(segment(0xFFEE, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, transform)))
    frame = struct.pack(">BHHB", 8, height, width, count)
    scan = struct.pack(">B", count)
    for i, component in enumerate(picture.components):
        file.append(segment(0xFFDB, bytes([i]) + bytes(component.steps[ZIGZAG].astype(np.uint8))))
        frame += bytes([i + 1, sx << 4 | sy if i == 0 and count > 1 else 0x11, i])
        scan += bytes([i + 1, 0])
    file.append(segment(0xFFC0, frame))
    for kind, length, symbols in (0x00, 5, DC_SYMBOLS), (0x10, 8, AC_SYMBOLS):
        counts = bytes(len(symbols) if i + 1 == length else 0 for i in range(16))
        file.append(segment(0xFFC4, bytes([kind]) + counts + bytes(symbols)))
    file.append(segment(0xFFDA, scan + bytes([0, 63, 0])))
    before, bits = [0] * count, []
    rows, columns, _ = picture.components[-1].coefficients.shape
    for i in range(rows):
        for j in range(columns):
            for n, component in enumerate(picture.components):
                ny, nx = (sy, sx) if n == 0 else (1, 1)
                for y in range(ny):
                    for x in range(nx):
                        values = component.coefficients[i * ny + y, j * nx + x].tolist()
                        bits.append(block_bits(values, before[n]))
                        before[n] = values[0]
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    data = bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))
    return b"".join([*file, data.replace(b"\xff", b"\xff\x00"), b"\xff\xd9"])


def decode(file: bytes) -> NDArray[np.uint8]:
    """What Pillow makes of a file."""
    with Image.open(io.BytesIO(file)) as image:
        return np.array(image)

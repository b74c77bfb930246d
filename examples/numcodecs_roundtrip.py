"""BitSwap as a plain numcodecs codec: any array in, bytes out, the same array back."""

import json
from pathlib import Path

import numcodecs
import numpy as np
from PIL import Image

from numcodecs_bitswap import BitSwap, FormatError

photograph = np.asarray(Image.open(Path(__file__).with_name("photograph.png")))[:256, :256]
codec = BitSwap()

encoded = codec.encode(photograph)
decoded = codec.decode(encoded)
assert decoded.dtype == photograph.dtype
assert np.array_equal(decoded, photograph)
print(f"photograph {photograph.shape}: {photograph.nbytes:,} -> {len(encoded):,} bytes, the same array back")

# The configuration is JSON; the registry finds the codec by its id, also in programs that never import this package.
config = json.loads(json.dumps(codec.get_config()))
print(f"configuration: {config}")
assert np.array_equal(numcodecs.get_codec(config).decode(encoded), photograph)

# What no model is for is stored by Zstandard, as exactly: here dates in big-endian, Fortran-order memory.
dates = np.asfortranarray(np.arange("2024-01", "2025-01", dtype="datetime64[D]").astype(">M8[D]")[:360].reshape(90, 4))
stored = codec.encode(dates)
back = codec.decode(stored)
assert back.dtype.str == ">M8[D]"
assert back.flags.f_contiguous
assert np.array_equal(back, dates)
print(f"dates {dates.shape}: {dates.nbytes:,} -> {len(stored):,} bytes, same dtype, byte order and memory order")

# Altered or truncated bytes never decode to something else.
altered = bytearray(encoded)
altered[len(altered) // 2] ^= 1
for bad in (altered, encoded[:-1]):
    try:
        codec.decode(bad)
    except FormatError as error:
        print(f"FormatError: {error}")
    else:
        raise AssertionError("bad bytes were decoded")

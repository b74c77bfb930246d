"""MNIST under a Zarr array with BB-ANS: many small images in one chunk pay for their latents together.

python examples/mnist_zarr.py [t10k-images-idx3-ubyte.gz]
"""

import numpy as np
import zarr
from digits import digits

from numcodecs_bitswap import BBANS
from numcodecs_bitswap.zarr3 import BBANSCodec

images = digits(1000)  # (n, 28, 28) uint8: the last two axes are the picture, the first one is leading

# Zarr format 3, and the same codec in format 2. A chunk holds many images: each is a patch with latents of its own, and
# all but the first few are coded by bits-back, paid for by the bits of those before.
three = zarr.create_array(
    {}, data=images, chunks=(500, 28, 28), serializer=BBANSCodec(model="mnist-v1"), compressors=None
)
two = zarr.create_array({}, data=images, chunks=(500, 28, 28), compressors=BBANS(model="mnist-v1"), zarr_format=2)
default = zarr.create_array({}, data=images, chunks=(500, 28, 28))

for array in (three, two, default):
    assert np.array_equal(array[:], images)
    print(f"Zarr format {array.metadata.zarr_format}: {8 * array.nbytes_stored() / images.size:.3f} bits/sample")

# What one image costs: alone it is stored or coded without latents; in company it costs its share.
codec = BBANS(model="mnist-v1")
for n in (1, 10, 100, 1000):
    print(f"{n:5} images: {8 * len(codec.encode(images[:n])) / images[:n].size:.3f} bits/sample")

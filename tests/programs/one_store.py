"""One of several processes that write and read one Zarr array. Arguments: its place, number, how many there are."""

import sys

import numpy as np
import zarr

from strategies import picture

place, number, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
array = zarr.open_array(place, mode="r+")
side = array.chunks[0]
image = picture(array.shape)
for k in range(number, array.shape[0] // side, count):
    rows = slice(k * side, (k + 1) * side)
    array[rows] = image[rows]
    assert np.array_equal(array[rows], image[rows])

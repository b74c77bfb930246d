"""Any numeric array <-> numbers 0 .. m and the fields that restore it from them (FORMAT.md 1.4).

::

    array
       | words        unsigned integers of the items' size
       | gaps         NaN, fill values: recorded in a mask, and filled in
       | Lattice, Fixed, Ordered or Luma
    numbers, low bits

Encoding applies these transforms from top to bottom, decoding inverts them from bottom to top.
They need numpy, numcodecs, the label coder, and a few compiled loops in `kernel.py`.
"""

from .chain import Samples, is_numeric
from .check import checked, restores
from .choice import Prepared, labelled, look_like_labels, prepare
from .fixed import Fixed
from .lattice import Lattice
from .luma import Luma
from .noise import bits, histogram_bytes
from .ordered import Ordered
from .words import KINDS, is_series, shape_of

__all__ = [
    "KINDS",
    "Fixed",
    "Lattice",
    "Luma",
    "Ordered",
    "Prepared",
    "Samples",
    "bits",
    "checked",
    "histogram_bytes",
    "is_numeric",
    "is_series",
    "labelled",
    "look_like_labels",
    "prepare",
    "restores",
    "shape_of",
]

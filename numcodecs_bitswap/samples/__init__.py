"""Any numeric array <-> numbers 0 .. m and what else it takes to come back (FORMAT.md 1.4).

::

    array
       | words        unsigned integers of the items' size
       | gaps         NaN, fill values: a mask; the rest is filled
       | Lattice, Fixed, Ordered or Luma
    numbers, low bits

Each of them reads from top to bottom as encoder and decoder do. numpy, numcodecs, the label
coder, and a few compiled loops in `kernel.py`.
"""

from .chain import Samples, is_numeric
from .check import checked, comes_back
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
    "comes_back",
    "histogram_bytes",
    "is_numeric",
    "is_series",
    "labelled",
    "look_like_labels",
    "prepare",
    "shape_of",
]

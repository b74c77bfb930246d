"""Conversion of arrays and whole hierarchies from one codec to another, block by block; and of single files.

    source ->  plan.py     the metadata of the target, in memory, and the blocks to copy
               axes.py     the spatial and channel axes, by the names of dimensions
               journal.py  the store of the target: its metadata before they are published, and which blocks are done
               copying.py  copies blocks, by threads, processes or a dask cluster; publishes the metadata at the end
               preview.py  what would be converted, and the expected size
               files.py    one array <-> one file

**A target is an array only when all of it is written.** Chunks are written to their final keys. The metadata are kept
in the folder `unfinished-conversion` of the target until the last chunk is written, and no reader opens an array
without metadata; those of the root come last. Nothing is renamed, so this holds for every store.
"""

OURS = ("bitswap", "bbans", "localbitsback")
CODECS = (*OURS, "zstd", "blosc", "gzip", "none")
"""Codecs of a target."""

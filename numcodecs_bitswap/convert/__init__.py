"""Arrays and whole hierarchies from one codec to another, block by block; and single files.

    source ->  plan.py     what becomes what: metadata of the target, in memory; blocks of the work
               axes.py     which axes are the picture, by their names
               journal.py  the target's store: metadata kept back, blocks that are done
               copying.py  blocks, by threads, processes or a dask cluster; the metadata at the end
               preview.py  what would be converted, and to what size
               files.py    one array <-> one file

**A target is an array when all of it is there, and not before.** Chunks are written where they belong. Metadata are
kept in the folder `unfinished-conversion` of the target until the last chunk is written, and nobody opens an array
without them; those of the root come last. That needs no renaming, so it holds for every store.
"""

OURS = ("bitswap", "bbans", "localbitsback")
CODECS = (*OURS, "zstd", "blosc", "gzip", "none")
"""What a target may be coded with."""

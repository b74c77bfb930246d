"""The thread in which Zarr reads and writes.

Zarr keeps a thread that the system did not let it start, and its next call waits for that thread for ever. So whoever
calls Zarr first calls `start` before.
"""

from ..errors import SourceError


def start() -> None:
    """Start Zarr's thread, unless it runs; again where it could not be started before.

    Raises
    ------
    SourceError
        The system does not let this process have another thread.
    """
    from zarr.core import sync

    try:
        sync._get_loop()
        thread = sync.iothread[0]
        if thread is not None and not thread.is_alive():
            thread.start()
    except RuntimeError as error:
        raise SourceError(f"Zarr needs a thread, which cannot be started ({error}): end other programs") from error

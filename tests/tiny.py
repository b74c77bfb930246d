"""The small shipped models that tests of every codec use."""

from typing import Any


def tiny(codec: Any, channels: int = 3) -> str:
    """The model of a codec or serializer, by the number of channels: flows are coded by local bits-back alone."""
    return f"tiny-{'rgb8' if channels == 3 else 'gray8'}-{'flow' if codec.core == 'local_bits_back' else 'v1'}"

"""Small models that many tests use."""

from typing import Any

NARROW: Any = {
    "width": 8,
    "blocks": 1,
    "channel_width": 8,
    "direct_width": 8,
    "direct_blocks": 1,
    "core_width": 8,
    "core_blocks": 1,
}
"""The sizes of the networks of an untrained model of stages, with latents or a flow."""


def tiny(codec: Any, channels: int = 3) -> str:
    """The model of a codec or serializer, by the number of channels: flows are coded by local bits-back alone."""
    return f"tiny-{'rgb8' if channels == 3 else 'gray8'}-{'flow' if codec.core == 'local_bits_back' else 'v1'}"

"""What a device must offer: a protocol."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from ..nets import backend as nets
from ..rans.message import Stack
from ..rans.words import Words


class Backend(nets.Backend, Protocol):
    """Everything that depends on where models run. Every backend gives the same integers, and so the same bytes."""

    device: str
    """The name it was asked for by."""
    stack: Callable[[list[Words]], Stack]
    """Makes what holds messages, of messages at rest."""

    def running(self) -> AbstractContextManager[Any]:
        """Around all coding."""

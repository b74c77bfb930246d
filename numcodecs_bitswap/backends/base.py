"""The protocol of a backend: what a device must offer."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from ..nets import backend as nets
from ..rans.message import Stack
from ..rans.words import Words


class Backend(nets.Backend, Protocol):
    """Everything that depends on the device. Every backend gives the same integers, and so the same bytes."""

    device: str
    """The name of the device, as in `for_device`."""
    stack: Callable[[list[Words]], Stack]
    """Makes the stack that holds messages, from their words."""

    def running(self) -> AbstractContextManager[Any]:
        """A context in which all coding runs."""

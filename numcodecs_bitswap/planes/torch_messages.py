"""Messages of tiles of one shape <-> one stack in torch, for `torch_tiles` and `triton_tiles`."""

from collections.abc import Sequence

import numpy as np
import torch

from ..errors import FormatError
from ..rans.torch_backend import TorchStack
from ..rans.words import empty_words
from .message import Message, lanes


def stack_of(messages: Sequence[Message], shape: tuple[int, int, int], device: str) -> TorchStack:
    """The messages of tiles (P, h, w), to be decoded.

    Raises
    ------
    FormatError
        A message does not have the heads of such a tile.
    """
    count = lanes(int(np.prod(shape)))
    for heads, _ in messages:
        if heads.shape != (count,) or heads.min() < 1 << 24:
            raise FormatError(f"a message of this tile has {count} heads in [2^24, 2^32)")
    return TorchStack.unflatten([(heads, tail) for heads, tail in messages], device)


def check_empty(stack: TorchStack) -> None:
    """Refuse messages that are not empty once all of their tiles are decoded.

    Raises
    ------
    FormatError
        One is not.
    """
    empty = torch.from_numpy(empty_words(stack.heads.shape[1])[0].astype(np.int64)).to(stack.heads.device)
    if stack.size.any() or (stack.heads != empty).any():
        raise FormatError("the message is not empty after its last symbol: the frame was altered")

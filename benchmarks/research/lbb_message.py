"""Messages to pop from and the files of models, for the tables on local bits-back coding."""

import json
from typing import Any

import numpy as np
from safetensors.numpy import load

from numcodecs_bitswap.backends import for_device
from numcodecs_bitswap.models import catalog
from numcodecs_bitswap.rans.message import Message


def full_message(words: int, lanes: int = 16) -> Message:
    """A message of random words to pop from."""
    rng = np.random.default_rng(0)
    heads = rng.integers(1 << 24, 1 << 32, lanes, dtype=np.uint32)
    return Message.unflatten([(heads, rng.integers(0, 256, words, dtype=np.uint8))], for_device("cpu").stack)


def words_of(message: Message) -> int:
    """Bytes in the tail."""
    return len(message.flatten()[0][1])


def model_file(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """`arch` and tensors of a model."""
    data = catalog.read(catalog.find(name))
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return json.loads(header["__metadata__"]["arch"]), load(data)

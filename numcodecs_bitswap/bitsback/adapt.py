"""Scales adapted to a chunk (FORMAT.md section 5.1): one shift of all scale indices of a block, sent with the block.

A network is as sure of itself as it could be on the images that it was trained on. On others its scales are off, all
of a block by about the same factor, and a few bits for that factor save much more.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from ..rans.message import Message
from ..symbols.categorical import Categorical
from ..symbols.logistic_mixture import LogisticMixture
from .coder import Parameters, block, block_tensors

SHIFTS = -6, -4, -2, 0, 2, 4, 6, 8
"""Units of a scale index, 1/12 octave."""
LOGITS = tuple(0 if shift == 0 else -33 for shift in SHIFTS)
"""Of the shifts, units of 1/12 octave: none costs one bit, any other one not quite four."""
PRICES = tuple(263 if shift == 0 else 967 for shift in SHIFTS)
"""What they cost, in 1/256 bit."""
FEWEST = 256
"""Symbols of a message in a block from which a shift is sent."""
LOOKED_AT = 1024
"""Symbols that the encoder chooses a shift by, about."""


def push_block(message: Message, parameters: Parameters, symbols: Tensor) -> None:
    """Push a block of mixtures, symbols (B, n), with the shift that suits it, and then the shift."""
    if not adapted(message, symbols.shape[1]):
        message.push(block(message, parameters), symbols)
        return
    tensors = block_tensors(message, parameters)
    choice = choose(message, parameters.alphabet, tensors, symbols)
    message.push(shifted(parameters.alphabet, tensors, choice), symbols)
    message.push(prior(message), choice)


def pop_block(message: Message, parameters: Parameters) -> Tensor:
    """Pop the shift of a block and then the block, (B, n)."""
    tensors = block_tensors(message, parameters)
    if not adapted(message, tensors[0].shape[1]):
        return message.pop(block(message, parameters))
    choice = message.pop(prior(message))
    return message.pop(shifted(parameters.alphabet, tensors, choice))


def adapted(message: Message, n: int) -> bool:
    """Whether a block of n symbols for each message has a shift; in version 1 of the format none has."""
    return message.version > 1 and n >= FEWEST


def shifted(alphabet: int, tensors: Sequence[Tensor], choice: Tensor) -> LogisticMixture:
    """The block of logits, means and scales (B, n, K) with the shift number `choice` (B, 1) of each message."""
    logits, means, scales = tensors
    shift = 2 * choice.unsqueeze(2) + SHIFTS[0]
    return LogisticMixture(logits, means, (scales + shift).clamp_(0, 127), alphabet)


def prior(message: Message) -> Categorical:
    """The distribution of the number of a shift."""
    return Categorical(_logits(message.device).expand(message.batch, 1, len(LOGITS)))


@cache
def _logits(device: torch.device) -> Tensor:
    return torch.tensor(LOGITS, dtype=torch.int32, device=device)


def choose(message: Message, alphabet: int, tensors: Sequence[Tensor], symbols: Tensor) -> Tensor:
    """The number of the shift, int32 (B, 1), with which every m-th symbol costs least; of equal ones the first.

    All in integers: the encoder's choice decides the bytes, which are the same on every machine.
    """
    batch, n = symbols.shape
    every, count = -(-n // LOOKED_AT), len(SHIFTS)
    logits, means, scales = (each[:, ::every].repeat(1, count, 1) for each in tensors)
    looked_at = symbols[:, ::every]
    shift = torch.tensor(SHIFTS, dtype=torch.int32, device=symbols.device).repeat_interleave(looked_at.shape[1])
    mixture = LogisticMixture(logits, means, (scales + shift[:, None]).clamp_(0, 127), alphabet)
    frequencies = message.frequencies(mixture, looked_at.repeat(1, count))
    log, price = _costs(symbols.device)
    cost = log.take(frequencies).view(batch, count, -1).sum(2) * every + price
    # Not argmin, which on CUDA may return any of equal ones.
    return (cost * count + torch.arange(count, device=cost.device)).amin(1, keepdim=True).remainder(count).int()


@cache
def _costs(device: torch.device) -> tuple[Tensor, Tensor]:
    """-log2(f / 2^16) of frequencies f = 0 .. 2^16 (0: as 1) and PRICES, int64, in 1/256 bit."""
    f = np.arange(1, (1 << 16) + 1)
    log = np.round(256 * (16 - np.log2(np.append(1, f)))).astype(np.int64)
    return torch.from_numpy(log).to(device), torch.tensor(PRICES, device=device)

"""Blocks of samples: one block of symbols, or of 16-bit samples two, their buckets and their low bits (FORMAT.md
section 3.10). Push above pop.
"""

from torch import Tensor

from ..rans.distribution import Distribution
from ..rans.message import Message
from ..symbols.deep_mixture import LEVELS, DeepMixture


def push_samples(message: Message, distribution: Distribution, samples: Tensor) -> None:
    """Push samples (B, n): of 16-bit samples the low bits first."""
    if isinstance(distribution, DeepMixture):
        samples, low_bits, low = distribution.split(samples)
        message.push(low_bits, low)
    message.push(distribution, samples)


def pop_samples(message: Message, distribution: Distribution) -> Tensor:
    """Pop what `push_samples` pushed.

    Raises
    ------
    FormatError
        A 16-bit sample that does not exist.
    """
    symbols = message.pop(distribution)
    if not isinstance(distribution, DeepMixture):
        return symbols
    samples = distribution.join(symbols, message.pop(distribution.low_bits(symbols)))
    wrong = (samples < 0) | (samples >= LEVELS)
    message.refuse(wrong, "a sample is out of range: the frame was altered or made with other weights")
    return samples

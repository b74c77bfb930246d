"""Network outputs -> costs in bits: FORMAT.md sections 3.2, 4.3 and 6.1 in floats."""

import torch
from torch import Tensor

LATENT_ALPHABET = 128
MEAN_GAIN, SCALE_GAIN, LOGIT_GAIN, CHAIN_GAIN = 32.0, 12.0, 12.0, 64.0
"""Units per level (means), per octave (scales, logits) and per one (chain coefficients)."""

PIXEL_MEANS = 2048.0, 96.0
"""Gain of means and range of their biases where pixels are predicted from latents alone: features of magnitude one have
to reach every level.
"""


def phase_gains(
    channels: int, mixtures: int, octave: float, mean_gain: float = MEAN_GAIN, reach: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Output gains and initial biases (natural units) of one phase. Initial scales are 2**octave levels, initial means
    of the components from -reach to reach levels.
    """
    k = mixtures
    spread = torch.linspace(-1, 1, k) if k > 1 else torch.zeros(1)
    gain = [LOGIT_GAIN] * k + [mean_gain] * k + [SCALE_GAIN] * k
    bias = [0.0] * k + (spread * reach * MEAN_GAIN / mean_gain).tolist() + (4 + octave + spread).tolist()
    chain = {1: [], 3: [0.8, 0.0, 0.8]}[channels]
    return torch.tensor(gain * channels + [CHAIN_GAIN] * len(chain)), torch.tensor(bias * channels + chain)


def latent_gains(latent_channels: int, octave: float) -> tuple[Tensor, Tensor]:
    """The same for Z means and Z scales of a latent layer."""
    z = latent_channels
    return torch.tensor([MEAN_GAIN] * z + [SCALE_GAIN] * z), torch.tensor([0.0] * z + [4 + octave] * z)


def floored(p: Tensor, alphabet: int) -> Tensor:
    """Bits of probability p when every symbol of the alphabet gets 2^-16 first (FORMAT.md section 3)."""
    return -torch.log2(p * (1 - alphabet / 65536) + 1 / 65536)


def mixture_bits(
    x: Tensor, logits: Tensor | None, means: Tensor, scales: Tensor, alphabet: int, posterior: bool = False
) -> Tensor:
    """-log2 p(x) of FORMAT.md section 3.2 with exact sigmoids. means in 1/32 level, scales as indices; components on
    dim 1. A posterior has no floor.

    x : (n, ...); the others (n, K, ...). Returns (n, ...).
    """
    x = x.unsqueeze(1)
    inverse = torch.exp2(4 - scales / SCALE_GAIN)
    centred = (x - means / MEAN_GAIN) * inverse
    upper = torch.where(x >= alphabet - 1, 1.0, torch.sigmoid(centred + 0.5 * inverse))
    lower = torch.where(x <= 0, 0.0, torch.sigmoid(centred - 0.5 * inverse))
    mass = upper - lower
    if logits is None:
        p = mass.squeeze(1)
    else:
        p = (mass * torch.softmax(logits * (torch.log(torch.tensor(2.0)) / LOGIT_GAIN), dim=1)).sum(1)
    return -torch.log2(p.clamp(min=1 / 65536)) if posterior else floored(p, alphabet)


def phase_bits(x: Tensor, y: Tensor, base: Tensor, mixtures: int) -> Tensor:
    """Bits (n, c, h, w) of one phase, FORMAT.md section 4.3. x, base : (n, c, h, w); y : (n, outputs, h, w)."""
    c, k = x.shape[1], mixtures
    chain, pair, bits = y[:, 3 * k * c :].clamp(-127, 127), 0, []
    for ch in range(c):
        logits, offset, scale = torch.split(y[:, 3 * k * ch : 3 * k * (ch + 1)], k, dim=1)
        mean = base[:, ch : ch + 1] + offset.clamp(-8160, 8160)
        for earlier in range(ch):
            residual = 32 * x[:, earlier] - base[:, earlier]
            mean = mean + (chain[:, pair] * residual / CHAIN_GAIN).unsqueeze(1)
            pair += 1
        bits.append(mixture_bits(x[:, ch], logits.clamp(-127, 127), mean, scale.clamp(0, 127), 256))
    return torch.stack(bits, dim=1)

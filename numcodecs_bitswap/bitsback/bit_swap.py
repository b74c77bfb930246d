"""Bit-Swap: recursive bits-back coding with L Markov layers of latents (Kingma, Abbeel, Ho 2019, arXiv:1905.06845;
FORMAT.md section 6.2).

The encoder pops a latent from the message with its posterior: any bits decode to some latent. The decoder gets these
bits back by pushing the latent. Each layer is pushed before the next one is popped, so the message only has to hold the
bits of one layer.
"""

from ..arrays import Array
from ..rans.message import Message
from .coder import (
    Size,
    join_phases,
    phase_sizes,
    pop_latents,
    pop_phases,
    pop_posterior,
    push_latents,
    push_phases,
    push_posterior,
    split_phases,
)
from .core import Networks, data_posterior, unknown


def push(message: Message, model: Networks, grid: Array) -> None:
    """Push a grid x (N, h, w, c): pop z_1, push x; pop z_2, push z_1; ...; push z_L.

    Raises
    ------
    MessageExhausted
        The message has too few bits for a posterior; it is then in an undefined state (copy it before).
    """
    x = split_phases(grid, model.cell)
    z = pop_posterior(message, data_posterior(model, x))
    push_phases(message, model.likelihood(model.latent_input(z)), x)
    for layer in range(1, model.latent_layers):
        above = pop_posterior(message, model.posterior(layer + 1, model.latent_input(z)))
        push_latents(message, model.conditional(layer, model.latent_input(above)), z)
        z = above
    push_latents(message, model.prior(*z.shape[:3]), z)


def pop(message: Message, model: Networks, n: int, size: Size) -> Array:
    """Pop a grid (n, h, w, c) and return the bits of its latents to the message: pop z_L; ...; pop z_1, push z_2; pop
    x, push z_1.
    """
    sizes = phase_sizes(size, model.cell)
    z = pop_latents(message, model.prior(n, *sizes[0]))
    for layer in reversed(range(1, model.latent_layers)):
        above, z = z, pop_latents(message, model.conditional(layer, model.latent_input(z)))
        push_posterior(message, model.posterior(layer + 1, model.latent_input(z)), above)
    grids = [unknown(model, n, each) for each in sizes]
    x = pop_phases(message, model.likelihood(model.latent_input(z)), grids)
    push_posterior(message, data_posterior(model, x), z)
    return join_phases(x, size, model.cell)
